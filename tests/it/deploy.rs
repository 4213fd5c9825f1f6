//! What `config/` names is what `k8s/` mounts and runs. Read as text: no cluster and no kubectl is needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use delius_sidecar::config::settings::{Address, ClientCredentials, Settings, Source as TokenSource, Trust};
use delius_sidecar::config::{self, Source};
use delius_sidecar::switch::report::{Frame, Report, Unit};
use delius_sidecar::switch::{Able, Evidence, Mode, RolledBack, Standing, Terms};
use delius_sidecar::telemetry::metrics::{Metrics, Sample};

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of `config/` with the programs that it names.
fn source(name: &str) -> Source {
    let name = format!("config/{name}");
    let text = file(&name);
    let mut source = Source::new(name, text);
    for program in config::programs(&source.text) {
        let text = file(&format!("config/{program}"));
        source.programs.insert(program, Ok(text));
    }
    source
}

fn environment(name: &str) -> Settings {
    let layers = [source("base.toml"), source(&format!("{name}.toml"))];
    match config::load_run(&layers, &[]) {
        Ok(loaded) => loaded.settings,
        Err(problems) => panic!("{name}: {problems:?}"),
    }
}

/// The directories that a manifest mounts.
fn mounts(manifest: &str) -> Vec<PathBuf> {
    let paths = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("mountPath: "));
    paths.map(PathBuf::from).collect()
}

#[track_caller]
fn assert_mounted(manifest: &str, path: &Path) {
    let mounts = mounts(manifest);
    let found = mounts.iter().any(|mount| path.parent() == Some(mount.as_path()));
    assert!(found, "{} is in none of {mounts:?}", path.display());
}

#[test]
fn every_environment_reads_its_own_files_from_what_is_mounted() {
    let base = file("k8s/base/deployment.yaml");
    for environment in ["dev", "staging", "preprod", "production"] {
        let settings = self::environment(environment);
        assert_eq!(settings.identities.len(), 1);
        for identity in settings.identities.values() {
            let files = identity.material.files();
            assert_eq!(files.len(), 2);
            for path in files {
                assert_mounted(&base, path);
            }
            let staged = identity.staged.as_ref().expect("a place for the next one");
            assert_mounted(&base, &staged.join("tls.crt"));
        }
        let control = settings.control.as_ref().expect("a control socket");
        assert_mounted(&base, &control.socket);
        let mut bundles = 0;
        for (name, upstream) in &settings.upstreams {
            match &upstream.trust {
                Trust::Bundle(bundle) => {
                    assert_mounted(&base, bundle);
                    bundles += 1;
                }
                // The image has the roots of the public CAs; NDH's is private.
                Trust::System => assert_eq!(name, "standard", "{environment}: the system's roots are trusted"),
            }
        }
        assert!(bundles > 0, "{environment}");
        let client = client(&settings);
        assert_mounted(&base, &client.client_id_file);
        assert_mounted(&base, &client.client_secret_file);
        if let Trust::Bundle(bundle) = &client.trust {
            assert_mounted(&base, bundle);
        }
        let state = settings
            .switch
            .state
            .as_ref()
            .expect("a place for what outlives a restart");
        assert_mounted(&base, state);
        assert!(matches!(settings.listen.address, Address::Tcp(address) if address.ip().is_loopback()));
        assert!(base.contains("http://127.0.0.1:8080"));
        let overlay = file(&format!("k8s/overlays/{environment}/sidecar.yaml"));
        assert!(overlay.contains(&format!("/etc/delius-sidecar/config/{environment}.toml")));
        let overlay = file(&format!("k8s/overlays/{environment}/kustomization.yaml"));
        assert!(overlay.contains(&format!(
            "/sources/0/configMap/name\n        value: delius-sidecar-{environment}\n"
        )));
    }
}

/// The client for tokens.
fn client(settings: &Settings) -> &ClientCredentials {
    match &settings.tokens["hmpps-auth"].source {
        TokenSource::ClientCredentials(client) => client,
        TokenSource::DeliusLogon(_) => panic!("a logon has no client"),
    }
}

/// `{ key: KEY, path: PATH }` below `mapping/`: how the pod sees the programs.
fn mounted_programs(manifest: &str) -> BTreeSet<(String, String)> {
    let items = manifest.lines().filter_map(|line| {
        line.trim()
            .strip_prefix("- { key: ")?
            .strip_suffix(" }")?
            .split_once(", path: ")
    });
    items
        .filter(|(_, path)| path.starts_with("mapping/"))
        .map(|(key, path)| (key.to_owned(), path.to_owned()))
        .collect()
}

#[test]
fn the_programs_that_the_configuration_names_are_what_reaches_the_pods() {
    let mut named: BTreeSet<String> = config::programs(&file("config/base.toml")).into_iter().collect();
    assert!(named.len() >= 20, "{named:?}");
    for environment in ["dev", "staging", "preprod", "production"] {
        let own = config::programs(&file(&format!("config/{environment}.toml")));
        named.extend(own);
    }
    let kustomization = file("config/kustomization.yaml");
    let generated: BTreeSet<(String, String)> = kustomization
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.split_once("=mapping/"))
        .map(|(key, path)| (key.to_owned(), format!("mapping/{path}")))
        .collect();
    let paths: BTreeSet<String> = generated.iter().map(|(_, path)| path.clone()).collect();
    assert_eq!(paths, named, "config/kustomization.yaml, and what config/*.toml names");
    // What a ConfigMap allows in a key, and each of them once.
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    assert!(
        generated.iter().all(|(key, _)| key.chars().all(allowed)),
        "{generated:?}"
    );
    let keys: BTreeSet<&String> = generated.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), generated.len());
    // Beside the file that names them: in the same volume.
    let base = file("k8s/base/deployment.yaml");
    assert_eq!(mounted_programs(&base), generated, "k8s/base/deployment.yaml");
    assert_mounted(&base, Path::new("/etc/delius-sidecar/config/base.toml"));
    let volume = base
        .split("- name: config\n          projected:")
        .nth(1)
        .expect("one volume of both");
    let volume = volume.split("\n        - name: ").next().unwrap_or_default();
    assert_eq!(mounted_programs(volume), generated);
}

#[test]
fn in_staging_the_standard_side_is_constructed_and_reached_by_the_names_of_its_services() {
    let settings = environment("staging");
    let standard = &settings.upstreams["standard"];
    let client = client(&settings);
    let certificates = file("k8s/cert-manager/certificates.yaml");
    for (host, port, page) in [
        (&client.host, client.port, "k8s/stand-ins/auth.yaml"),
        (&standard.host, standard.port, "k8s/stand-ins/standard.yaml"),
    ] {
        let manifest = file(page);
        let (_, service) = manifest.split_once("kind: Service\n").expect("a service");
        assert!(service.contains(&format!("  name: {host}\n")), "{host}: {service}");
        assert!(service.contains(&format!("port: {port}\n")), "{port}: {service}");
        assert!(manifest.contains(&format!("--listen=0.0.0.0:{port}\n")), "{manifest}");
        assert!(certificates.contains(&format!("dnsNames: [{host}]")), "{host}");
        let secret = format!("secretName: {host}-identity\n");
        assert!(certificates.contains(&secret) && manifest.contains(&secret), "{secret}");
        let files = manifest
            .split("/etc/stand-in/")
            .skip(1)
            .filter_map(|rest| rest.split('\n').next().filter(|path| path.contains('.')));
        let mut seen = 0;
        for path in files {
            assert_mounted(&manifest, &Path::new("/etc/stand-in").join(path));
            seen += 1;
        }
        assert!(seen >= 2, "{page}");
    }
    // Who signs the tokens is whom the read API asks for the keys, by the name that the tokens carry.
    let (auth, standard) = (file("k8s/stand-ins/auth.yaml"), file("k8s/stand-ins/standard.yaml"));
    let server = format!("https://{}:{}", client.host, client.port);
    assert!(auth.contains(&format!("--issuer={server}/auth/issuer\n")));
    assert!(standard.contains(&format!("--auth={server}\n")));
    let overlay = |name: &str| file(&format!("k8s/overlays/{name}/kustomization.yaml")).contains("../stand-ins");
    assert!(overlay("staging") && !overlay("preprod") && !overlay("production"));
}

#[test]
fn where_no_ndh_exists_the_sidecar_asks_the_service_of_the_gateway() {
    let service = file("k8s/gateway/service.yaml");
    for environment in ["dev", "staging"] {
        let settings = self::environment(environment);
        let ndh = &settings.upstreams["ndh"];
        assert!(
            service.contains(&format!("  name: {}\n", ndh.host)),
            "{}: {service}",
            ndh.host
        );
        assert!(
            service.contains(&format!("port: {}\n", ndh.port)),
            "{}: {service}",
            ndh.port
        );
    }
}

#[test]
fn the_gateway_asks_the_stand_in_beside_it_and_reads_what_is_mounted() {
    let manifest = file("k8s/gateway/deployment.yaml");
    let settings = config::load_gateway(&[source("gateway.toml")], &[])
        .expect("usable")
        .settings;
    let listen = format!("--listen, \"{}:{}\"", settings.upstream.host, settings.upstream.port);
    assert!(manifest.contains(&listen), "{listen}");
    assert!(manifest.contains(&format!("containerPort: {}\n", settings.address.port())));
    assert_mounted(&manifest, &settings.control.as_ref().expect("a control socket").socket);
    for path in settings
        .material
        .files()
        .into_iter()
        .chain([settings.client_ca.as_path()])
    {
        assert_mounted(&manifest, path);
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(manifest.contains(&format!("path: {name} ")), "{name}");
    }
}

#[test]
fn secrets_are_mounted_as_whole_directories_and_only_the_socket_lies_where_files_are_written() {
    for name in ["k8s/base/deployment.yaml", "k8s/gateway/deployment.yaml"] {
        let manifest = file(name);
        let lines = manifest.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        assert_eq!(
            lines.clone().filter(|line| line.starts_with("subPath")).count(),
            0,
            "{name}"
        );
        assert_eq!(
            lines.clone().filter(|line| line.starts_with("preStop")).count(),
            0,
            "{name}"
        );
        let writable: Vec<&str> = lines
            .clone()
            .zip(lines.skip(1))
            .filter(|(line, next)| line.starts_with("mountPath: ") && *next != "readOnly: true")
            .map(|(line, _)| line)
            .collect();
        assert_eq!(writable, ["mountPath: /run/delius-sidecar"], "{name}");
    }
}

/// The metrics that rules name.
fn selected(rules: &str) -> BTreeSet<String> {
    let expressions = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    expressions
        .filter(|word| word.starts_with("delius_sidecar_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_alert_selects_a_metric_that_exists_and_leads_to_a_page_that_exists() {
    let rules = file("k8s/alerts/certificates.yaml");
    let metrics = Arc::new(Metrics::new(1));
    let sample = Sample {
        position: "leaf".to_owned(),
        not_before: 0,
        not_after: 1,
    };
    metrics.certificates("client", "allocation-manager", vec![sample]);
    metrics.lists("ndh", vec![1]);
    metrics.identity_event("ndh", "promoted");
    metrics.retired("ndh", 0.1, 0);
    let shown = metrics.exposition().expect("metrics");
    let selected = selected(&rules);
    assert_eq!(selected.len(), 4, "{selected:?}");
    for name in &selected {
        assert!(shown.contains(&format!("\n{name}{{")), "{name} is not in\n{shown}");
    }
    let documented = file("docs/rotation.md");
    let events = rules
        .split("event=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    for event in events {
        assert!(documented.contains(&format!("\n| `{event}` |")), "{event}");
    }
    let anchors = crate::docs::anchors(&documented);
    let alerts = rules.matches("- alert: ").count();
    let pages: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook_url: docs/rotation.md#"))
        .collect();
    assert!(alerts >= 10 && pages.len() == alerts, "{alerts} alerts, {pages:?}");
    for page in pages {
        assert!(anchors.contains(page), "{page} is none of {anchors:?}");
    }
}

#[test]
fn every_alert_of_the_switch_over_selects_what_is_shown_and_leads_to_its_place() {
    let rules = file("k8s/alerts/switch-over.yaml");
    let metrics = Arc::new(Metrics::new(1));
    let mut evidence = Evidence::new(1, Duration::from_secs(60));
    evidence.dropped("queue");
    metrics.seen("person", "all", "/all", &evidence);
    metrics.token_fetched("hmpps-auth", "timeout");
    metrics.token_secret_since("hmpps-auth", Some(1));
    let rolled_back = RolledBack {
        at: 1,
        from: Mode::Standard,
        share: 1.0,
        reasons: vec!["errors of the standard leg 50 % of 20, at most 1 %".to_owned()],
        reason_then: None,
        configured: (Mode::Standard, 1.0),
    };
    let terms = Terms {
        mode: Mode::Standard,
        able: Able::ALL,
        ..Terms::default()
    };
    let (standing, _) = Standing::new("person", terms, None, Some(rolled_back), 2);
    let frame = Frame {
        now: 2,
        known_since: 0,
        quiet_days: 28,
    };
    metrics.switch(Report::new(2, vec![Unit::new(&standing, None, &[], frame)]));
    let shown = metrics.exposition().expect("metrics");
    let selected = selected(&rules);
    assert!(selected.len() >= 10, "{selected:?}");
    for name in &selected {
        assert!(shown.contains(&format!("\n{name}{{")), "{name} is not in\n{shown}");
    }
    // A word in a matcher that nothing writes would be an alert that never comes.
    for (label, words) in [("verdict", 3), ("code", 2), ("leg", 1)] {
        let values: BTreeSet<&str> = rules
            .split(&format!("{{{label}="))
            .skip(1)
            .filter_map(|rest| rest.split('"').nth(1))
            .flat_map(|value| value.split('|'))
            .collect();
        assert_eq!(values.len(), words, "{label}: {values:?}");
        for value in values {
            assert!(shown.contains(&format!("{label}=\"{value}\"")), "{label} {value}");
        }
    }
    let anchors = crate::docs::anchors(&file("docs/operations.md"));
    let alerts = rules.matches("- alert: ").count();
    let pages: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook_url: docs/operations.md#"))
        .collect();
    assert!(alerts >= 10 && pages.len() == alerts, "{alerts} alerts, {pages:?}");
    for page in pages {
        assert!(anchors.contains(page), "{page} is none of {anchors:?}");
    }
    assert!(file("k8s/alerts/kustomization.yaml").contains("- switch-over.yaml"));
}

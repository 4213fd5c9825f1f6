//! What `config/` names is what `k8s/` mounts and runs. Read as text: no cluster and no kubectl is needed.

use std::fs;
use std::path::{Path, PathBuf};

use delius_sidecar::config::settings::{Address, Trust};
use delius_sidecar::config::{self, Source};

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn source(name: &str) -> Source {
    let name = format!("config/{name}");
    let text = file(&name);
    Source { name, text }
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
        let layers = [source("base.toml"), source(&format!("{environment}.toml"))];
        let settings = config::load_run(&layers, &[]).expect("usable").settings;
        assert_eq!(settings.identities.len(), 1);
        for identity in settings.identities.values() {
            let files = identity.material.files();
            assert_eq!(files.len(), 2);
            for path in files {
                assert_mounted(&base, path);
            }
        }
        for upstream in settings.upstreams.values() {
            let Trust::Bundle(bundle) = &upstream.trust else {
                panic!("{environment}: the system's roots are trusted");
            };
            assert_mounted(&base, bundle);
        }
        assert!(matches!(settings.listen.address, Address::Tcp(address) if address.ip().is_loopback()));
        assert!(base.contains("http://127.0.0.1:8080"));
        let overlay = file(&format!("k8s/overlays/{environment}/sidecar.yaml"));
        assert!(overlay.contains(&format!("/etc/delius-sidecar/config/{environment}.toml")));
        assert!(overlay.contains(&format!("name: delius-sidecar-{environment}")));
    }
}

#[test]
fn where_no_ndh_exists_the_sidecar_asks_the_service_of_the_gateway() {
    let service = file("k8s/gateway/service.yaml");
    for environment in ["dev", "staging"] {
        let layers = [source("base.toml"), source(&format!("{environment}.toml"))];
        let settings = config::load_run(&layers, &[]).expect("usable").settings;
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

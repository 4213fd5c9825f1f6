//! What people see of the configuration: the texts of problems, the shipped files, the command `check`.

use std::fs;
use std::path::{Path, PathBuf};

use delius_sidecar::cert::issue::{Authority, Purposes, Spec, Validity};
use delius_sidecar::cli::check::{self, CheckArgs, ConfigArgs, Verdict};
use delius_sidecar::cli::output::Format;
use delius_sidecar::config::settings::{
    Address, Authorization, Material, Promotion, Revocation, Scheme, Settings, Stale, Trust,
};
use delius_sidecar::config::{self, Loaded, Problems, Source, Style};

const GOOD: &str = r#"
[listen]
address = "127.0.0.1:8080"

[identity.am]
certificate = "/etc/tls.crt"
private_key = "/etc/tls.key"

[upstream.ndh]
url = "https://ndh.example:8443"
trust = "/etc/ca.crt"
identity = "am"
trial = "GET /health"

[[route]]
name = "offender"
match = "GET /secure/offenders/nomsNumber/{nomsNumber}/all"
person = "nomsNumber"
[route.ndh]
upstream = "ndh"
"#;

const GATEWAY: &str = r#"
[gateway]
address = "0.0.0.0:8443"
certificate = "/etc/tls.crt"
private_key = "/etc/tls.key"
client_ca = "/etc/ca.crt"

[[gateway.allow]]
name = "am"
dns = "allocation-manager"
ou = ["HMPPS", "Offender Management"]
routes = ["GET /secure/offenders/nomsNumber/{nomsNumber}/all"]

[upstream.delius]
url = "http://delius.example:8081"
"#;

fn source(name: &str, text: &str) -> Source {
    Source::new(name, text)
}

fn run(text: &str) -> Result<Loaded<Settings>, Problems> {
    config::load_run(&[source("c.toml", text)], &[])
}

/// The problems of a file for `run`, errors and warnings, one line each.
fn lines(text: &str) -> String {
    match run(text) {
        Ok(loaded) => loaded.warnings.lines(),
        Err(problems) => problems.lines(),
    }
}

fn gateway_lines(text: &str) -> String {
    match config::load_gateway(&[source("g.toml", text)], &[]) {
        Ok(loaded) => loaded.warnings.lines(),
        Err(problems) => problems.lines(),
    }
}

/// `GOOD` with one part replaced, which must be there.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

fn gateway_with(from: &str, to: &str) -> String {
    assert!(GATEWAY.contains(from), "{from}");
    GATEWAY.replacen(from, to, 1)
}

#[track_caller]
fn expect(found: &str, expected: &str) {
    assert!(found.contains(expected), "expected\n  {expected}\nin\n{found}");
}

#[test]
fn a_small_file_is_enough_and_the_rest_has_the_documented_defaults() {
    let settings = run(GOOD).expect("usable").settings;
    assert_eq!(lines(GOOD), "");
    assert_eq!(settings.listen.address, Address::Tcp(([127, 0, 0, 1], 8080).into()));
    assert_eq!((settings.listen.workers, settings.listen.limits.headers), (1, 100));
    assert_eq!(settings.listen.limits.body_bytes, 1 << 20);
    assert!(settings.observe.is_none() && settings.control.is_none() && settings.log.access);
    let ndh = &settings.upstreams["ndh"];
    assert_eq!(
        (ndh.scheme, ndh.host.as_str(), ndh.port),
        (Scheme::Https, "ndh.example", 8443)
    );
    assert_eq!(ndh.trust, Trust::Bundle("/etc/ca.crt".into()));
    assert_eq!((ndh.times.first_byte.as_secs(), ndh.times.total.as_secs()), (15, 25));
    let route = &settings.routes[0];
    assert_eq!((route.person.as_deref(), route.idempotent), (Some("nomsNumber"), None));
    assert_eq!(route.ndh.as_ref().expect("a leg").authorization, Authorization::Strip);
}

#[test]
fn every_problem_is_shown_at_once_with_its_place_and_what_would_be_right() {
    let text = GOOD
        .replace("address = \"127", "adress = \"127")
        .replace("[upstream.ndh]", "[upstream.ndh]\ntimeouts = { connect = 30 }")
        .replace("identity = \"am\"", "identity = \"an\"")
        .replace("person = \"nomsNumber\"", "person = \"crn\"\nmode = \"shadow\"");
    assert_eq!(
        lines(&text),
        "c.toml:3:1: error: unknown key `listen.adress`; did you mean `address`?\n\
         c.toml:5:1: warning: `identity.am` is not used by anything; remove it, or name it where it is meant\n\
         c.toml:10:24: error: `upstream.ndh.timeouts.connect`: the duration \"30\" has no unit; write \"30s\" if \
         seconds are meant\n\
         c.toml:13:12: error: `upstream.ndh.identity` names \"an\", but there is no such [identity.NAME]; did you mean \
         \"am\"?\n\
         c.toml:19:10: error: `route.offender.person` names \"crn\", which is no parameter of `match`; `match` has: \
         nomsNumber\n\
         c.toml:20:8: error: `route.offender.mode` cannot be \"shadow\": a route of it has no [route.standard]: only NDH \
         can answer; write mode = \"ndh\" until then\n"
    );
}

#[test]
fn the_annotated_form_shows_the_line_and_a_hint() {
    let problems = run(&with("address =", "adress =")).expect_err("refused");
    assert_eq!(
        problems.annotated(Style::Plain),
        "error: unknown key `listen.adress`\n \
         --> c.toml:3:1\n  \
           |\n\
         3 | adress = \"127.0.0.1:8080\"\n  \
           | ^^^^^^\n  \
           |\n  \
           = help: did you mean `address`?\n"
    );
    assert!(problems.annotated(Style::Colour).contains("\u{1b}["));
}

#[test]
fn the_json_form_has_the_same_facts() {
    let problems = run(&with("address =", "adress =")).expect_err("refused").json();
    assert_eq!(
        problems,
        serde_json::json!([{
            "severity": "error",
            "file": "c.toml",
            "line": 3,
            "column": 1,
            "problem": "unknown key `listen.adress`",
            "hint": "did you mean `address`?",
        }])
    );
}

#[test]
fn what_the_caller_cannot_wait_for_is_refused() {
    let timeouts = |text: &str| {
        lines(&with(
            "[[route]]",
            &format!("[upstream.ndh.timeouts]\n{text}\n[[route]]"),
        ))
    };
    expect(
        &timeouts("total = \"30s\""),
        "`upstream.ndh.timeouts.total` is 30s, but the caller gives up after 30s",
    );
    expect(
        &timeouts("first_byte = \"20s\""),
        "twice connect 2s, handshake 3s and first_byte 20s can take 27s, but total is 25s",
    );
    let patience = with("[identity", "caller_timeout = \"20s\"\n[identity");
    expect(
        &lines(&patience),
        "c.toml:5:18: error: `upstream.ndh.timeouts.total` is 25s, but the caller gives up after 20s",
    );
    assert_eq!(timeouts("first_byte = \"18s\"\ntotal = \"29s\""), "");
}

#[test]
fn the_listener_is_for_this_machine_unless_that_is_said_to_be_unsafe() {
    let open = with("127.0.0.1:8080", "0.0.0.0:8080");
    expect(
        &lines(&open),
        "c.toml:3:11: error: `listen.address` is reachable from other machines",
    );
    assert_eq!(lines(&open.replace("[listen]", "[listen]\nunsafe_listen = true")), "");
    assert_eq!(lines(&with("127.0.0.1:8080", "[::1]:0")), "");
    assert_eq!(lines(&with("127.0.0.1:8080", "unix:/run/delius/http.sock")), "");
    let observe = format!("{GOOD}[observe]\naddress = \"0.0.0.0:8080\"\n");
    expect(&lines(&observe), "`observe.address` takes the port of `listen.address`");
}

#[test]
fn an_upstream_is_protected_or_said_to_be_unsafe() {
    expect(
        &lines(&with("trust = \"/etc/ca.crt\"\n", "")),
        "c.toml:9:1: error: `upstream.ndh.trust` is missing",
    );
    let plain = with("https://", "http://");
    expect(&lines(&plain), "`upstream.ndh.url` is plain HTTP to another machine");
    expect(
        &lines(&plain.replace("ndh.example:8443\"", "ndh.example\"\nunsafe_plain = true")),
        "warning: `upstream.ndh.trust` has no effect",
    );
    let local = plain.replace("ndh.example", "127.0.0.1");
    assert!(run(&local).is_ok(), "{}", lines(&local));
    expect(
        &lines(&with("identity = \"am\"\n", "")),
        "warning: `upstream.ndh.url` is reached over TLS without a client certificate",
    );
    assert_eq!(lines(&with("/etc/ca.crt", "system")), "");
    let system = run(&with("/etc/ca.crt", "system")).expect("usable");
    assert_eq!(system.settings.upstreams["ndh"].trust, Trust::System);
}

#[test]
fn routes_that_match_the_same_request_are_refused_with_both_places() {
    let second = "[[route]]\nname = \"again\"\nmatch = \"GET,HEAD /secure/offenders/nomsNumber/{id}/all\"\n\
                  [route.ndh]\nupstream = \"ndh\"\n";
    let text = format!("{GOOD}{second}");
    expect(
        &lines(&text),
        "c.toml:23:9: error: the routes `offender` and `again` match the same requests",
    );
    let shown = run(&text).expect_err("refused").annotated(Style::Plain);
    expect(&shown, "`offender`");
    expect(&shown, "match = \"GET /secure/offenders/nomsNumber/{nomsNumber}/all\"");
    assert_eq!(lines(&text.replace("GET,HEAD", "PUT")), "");
}

#[test]
fn a_leg_can_only_ask_for_what_the_match_captures() {
    let leg = |path: &str| {
        lines(&with(
            "upstream = \"ndh\"",
            &format!("upstream = \"ndh\"\npath = \"{path}\""),
        ))
    };
    assert_eq!(leg("/api/offenders/nomsNumber/{nomsNumber}/all"), "");
    expect(
        &leg("/api/offenders/crn/{crn}"),
        "`route.offender.ndh.path` needs the parameter {crn}",
    );
    expect(&leg("api"), "does not start with a slash");
}

#[test]
fn what_cannot_work_is_refused_in_words() {
    expect(
        &lines(""),
        "c.toml:1:1: error: there is no [[route]], so no request would pass",
    );
    expect(
        &lines(&with("[route.ndh]\nupstream = \"ndh\"\n", "")),
        "`route.offender` has no leg",
    );
    expect(
        &lines(&with("upstream = \"ndh\"", "upstream = \"nhd\"")),
        "did you mean \"ndh\"?",
    );
    expect(
        &lines(&with("[identity.am]\n", "[identity.am]\nstaged = \"/etc\"\n")),
        "is the directory of `certificate` itself",
    );
    expect(
        &lines(&format!("{GOOD}[drain]\nquiet = \"25s\"\n")),
        "`drain.quiet` (25s) is not shorter than the deadline",
    );
    expect(
        &lines(&format!("{GOOD}[listen.limits]\nbody = \"0B\"\n")),
        "0B is out of bounds",
    );
    expect(
        &lines(&format!("{GOOD}[listen.limits]\nhead = \"1KiB\"\n")),
        "leaves 1024 bytes for the whole head",
    );
    expect(&lines(&format!("{GOOD}[control]\n")), "`control.socket` is missing");
    expect(&lines(&format!("{GOOD}[observe]\n")), "`observe.address` is missing");
    let ping = with("GET /secure/offenders/nomsNumber/{nomsNumber}/all", "GET /health/ping").replace("person", "#");
    expect(&lines(&ping), "matches /health/ping, which the sidecar answers itself");
}

#[test]
fn keys_of_later_versions_are_refused_and_never_ignored() {
    expect(
        &lines(&format!("{GOOD}[trace]\nendpoint = \"https://traces.example\"\n")),
        "error: `trace` is not supported by this version",
    );
    expect(&lines(GATEWAY), "`gateway` is for the file of `gateway`");
}

const TOKEN: &str = "[token.hmpps-auth]\nurl = \"https://sign-in.example/auth/oauth/token\"\ntrust = \"system\"\n\
                     client_id_file = \"/etc/oauth/client-id\"\nclient_secret_file = \"/etc/oauth/client-secret\"\n";

/// `GOOD` with a second upstream that needs a token, and these tables.
fn with_token(tables: &str) -> String {
    with(
        "trial = \"GET /health\"",
        "trial = \"GET /health\"\ntoken = \"hmpps-auth\"",
    ) + tables
}

#[test]
fn a_token_has_the_documented_defaults_and_is_named_by_an_upstream() {
    let text = with_token(TOKEN);
    assert_eq!(lines(&text), "");
    let settings = run(&text).expect("usable").settings;
    assert_eq!(settings.upstreams["ndh"].token.as_deref(), Some("hmpps-auth"));
    let token = &settings.tokens["hmpps-auth"];
    assert_eq!((token.refresh_ahead.as_secs(), token.timeout.as_secs()), (60, 5));
    let config::settings::Source::ClientCredentials(asked) = &token.source else {
        panic!("{token:?}");
    };
    assert_eq!(
        (asked.host.as_str(), asked.port, asked.path.as_str()),
        ("sign-in.example", 443, "/auth/oauth/token")
    );
    assert_eq!((asked.users, asked.grant_in), (1000, config::settings::GrantIn::Body));
    let more = format!("{TOKEN}username_header = \"X-Delius-Username\"\nparameters = {{ auth_source = \"delius\" }}\n");
    let variable = "DELIUS_SIDECAR__TOKEN__HMPPS_AUTH__PARAMETERS__AUTH_SOURCE".to_owned();
    let loaded = config::load_run(
        &[source("c.toml", &with_token(&more))],
        &[(variable, "nomis".to_owned())],
    );
    let settings = loaded.expect("usable").settings;
    assert_eq!(
        settings.tokens["hmpps-auth"].username_header(),
        Some("x-delius-username")
    );
    let config::settings::Source::ClientCredentials(asked) = &settings.tokens["hmpps-auth"].source else {
        panic!("another kind");
    };
    assert_eq!(asked.parameters["auth_source"], "nomis");
}

#[test]
fn a_logon_token_goes_over_an_upstream() {
    let logon = "[token.hmpps-auth]\nkind = \"delius-logon\"\nupstream = \"ndh\"\n";
    assert_eq!(lines(&with_token(logon)), "");
    expect(
        &lines(&with_token(&logon.replace("\"ndh\"", "\"nhd\""))),
        "`token.hmpps-auth.upstream` names \"nhd\", but there is no such [upstream.NAME]; did you mean \"ndh\"?",
    );
    expect(
        &lines(&with_token(&format!("{logon}client_id_file = \"/x\"\n"))),
        "`token.hmpps-auth.client_id_file` means nothing to the kind \"delius-logon\"",
    );
    expect(
        &lines(&with_token(&format!("{logon}path = \"/{{x}}\"\n"))),
        "the path has a parameter, which nothing could fill",
    );
}

#[test]
fn what_is_wrong_with_a_token_is_said_and_a_secret_in_it_is_not_shown() {
    let changed = |from: &str, to: &str| {
        assert!(TOKEN.contains(from), "{from}");
        lines(&with_token(&TOKEN.replacen(from, to, 1)))
    };
    expect(
        &changed("https://sign-in.example", "http://sign-in.example"),
        "anyone on the way could read the client's secret; write https://, or unsafe_plain = true",
    );
    assert_eq!(
        changed(
            "https://sign-in.example/auth/oauth/token\"\ntrust = \"system\"",
            "http://127.0.0.1:9/t\""
        ),
        ""
    );
    expect(
        &changed("trust = \"system\"\n", ""),
        "`token.hmpps-auth.trust` is missing",
    );
    expect(
        &changed("client-secret\"", "client-id\""),
        "is the file of `client_id_file` too",
    );
    expect(
        &changed("client_secret_file", "client_secret"),
        "`token.hmpps-auth.client_secret_file` is missing",
    );
    for (extra, says) in [
        ("timeout = \"30s\"", "but the caller gives up after 30s"),
        ("users = 5", "has no effect: there is no `username_header`"),
        ("username_header = \"Authorization\"", "means something else"),
        ("username_header = \"x y\"", "is not the name of a header"),
        (
            "scopes = [\"read write\"]",
            "is not a scope; write each scope as a text of its own",
        ),
        ("grant_in = \"header\"", "write \"body\" or \"query\""),
        ("parameters = { a = 1 }", "expected a text"),
        ("parameters = \"a\"", "expected a table of texts"),
        ("parameters = { scope = \"a\" }", "cannot be given here; write scopes"),
        ("user_file = \"/x\"", "means nothing to the kind \"client-credentials\""),
    ] {
        expect(&lines(&with_token(&format!("{TOKEN}{extra}\n"))), says);
    }
    let secret = format!("{TOKEN}parameters = {{ client_secret = \"hunter2\" }}\n");
    let problems = run(&with_token(&secret)).expect_err("refused");
    expect(
        &problems.lines(),
        "`token.hmpps-auth.parameters.client_secret` cannot be given here",
    );
    for style in [Style::Plain, Style::Colour] {
        assert!(!problems.annotated(style).contains("hunter2"), "the secret is shown");
    }
    expect(
        &lines(&format!("{GOOD}{TOKEN}")),
        "`token.hmpps-auth` is not used by anything",
    );
    expect(
        &lines(&with_token("")),
        "`upstream.ndh.token` names \"hmpps-auth\", but there is no such [token.NAME]",
    );
    let gateway = gateway_with(
        "url = \"http://delius.example:8081\"",
        "url = \"http://delius.example:8081\"\ntoken = \"t\"",
    );
    expect(&gateway_lines(&gateway), "names a token, which a gateway does not have");
}

#[test]
fn a_managed_identity_says_where_the_next_certificate_arrives_and_how_it_is_proven() {
    let managed = "staged = \"/etc/next\"\npromotion = \"manual\"\nuntried_before = \"30m\"";
    let text = with("[identity.am]", &format!("[identity.am]\n{managed}"));
    let loaded = run(&format!("{text}[control]\nsocket = \"/run/c.sock\"\n")).expect("usable");
    assert_eq!(loaded.warnings.lines(), "");
    let settings = loaded.settings;
    let trial = settings.upstreams["ndh"].trial.as_ref().expect("a trial");
    assert_eq!((trial.method.as_str(), trial.path.as_str()), ("GET", "/health"));
    let identity = &settings.identities["am"];
    assert_eq!(identity.staged.as_deref(), Some(Path::new("/etc/next")));
    assert_eq!(
        (identity.promotion, identity.untried_before.as_secs()),
        (Promotion::Manual, 1800)
    );
    assert_eq!(settings.control.expect("a control").socket, Path::new("/run/c.sock"));
    let plain = run(GOOD).expect("usable").settings.identities["am"].clone();
    assert_eq!(
        (plain.promotion, plain.untried_before.as_secs(), plain.staged),
        (Promotion::Automatic, 3600, None)
    );
    expect(
        &lines(&with("trial = \"GET /health\"\n", "")),
        "c.toml:12:12: warning: `upstream.ndh.identity` is tried by a handshake only, since there is no `trial`",
    );
    for (written, wrong) in [
        ("1ms", "is 1ms, which is not from 1s"),
        ("730h", "is 730h, which is not from 1s"),
    ] {
        let text = with(
            "[identity.am]",
            &format!("[identity.am]\nuntried_before = \"{written}\""),
        );
        expect(&lines(&text), wrong);
    }
}

#[test]
fn certificate_and_key_are_two_files_or_one_or_a_store_with_a_password() {
    let of = |keys: &str| {
        let both = "certificate = \"/etc/tls.crt\"\nprivate_key = \"/etc/tls.key\"\n";
        with(both, keys)
    };
    let material = |keys: &str| {
        let loaded = run(&of(keys)).expect("usable");
        assert_eq!(loaded.warnings.lines(), "");
        loaded.settings.identities["am"].material.clone()
    };
    assert_eq!(
        material("certificate = \"/etc/both.pem\"\npassword_file = \"/etc/password\"\n"),
        Material::Pem {
            certificate: "/etc/both.pem".into(),
            private_key: "/etc/both.pem".into(),
            password_file: Some("/etc/password".into()),
        }
    );
    assert_eq!(
        material("pkcs12 = \"/etc/am.p12\"\npassword_file = \"/etc/password\"\n"),
        Material::Pkcs12 {
            file: "/etc/am.p12".into(),
            password_file: "/etc/password".into(),
        }
    );
    expect(
        &lines(&of("")),
        "c.toml:5:1: error: `identity.am.certificate` is missing",
    );
    expect(
        &lines(&of("pkcs12 = \"/etc/am.p12\"\n")),
        "`identity.am.password_file` is missing: a PKCS#12 file has a password",
    );
    expect(
        &lines(&of(
            "certificate = \"/etc/tls.crt\"\npkcs12 = \"/etc/am.p12\"\npassword_file = \"/etc/p\"\n",
        )),
        "c.toml:6:15: error: `identity.am.certificate` stands beside `pkcs12`",
    );
    expect(
        &lines(&of(
            "pkcs12 = \"/etc/am.p12\"\npassword_file = \"/etc/p\"\nstaged = \"/etc\"\n",
        )),
        "is the directory of `pkcs12` itself",
    );
    let pasted = of("certificate = \"/etc/tls.crt\"\nprivate_key = \"-----BEGIN PRIVATE KEY-----\"\n");
    let shown = run(&pasted).expect_err("refused").annotated(Style::Plain);
    assert!(!shown.contains("BEGIN"), "{shown}");
}

#[test]
fn a_list_of_revoked_certificates_needs_a_word_on_its_age() {
    let with_crl = |keys: &str| with("trial =", &format!("{keys}trial ="));
    let crl = run(&with_crl("crl = \"/etc/ca.crl\"\ncrl_stale = \"accept\"\n")).expect("usable");
    assert_eq!(
        crl.settings.upstreams["ndh"].crl,
        Some(Revocation {
            file: "/etc/ca.crl".into(),
            stale: Stale::Accept,
        })
    );
    expect(
        &lines(&with_crl("crl = \"/etc/ca.crl\"\n")),
        "`upstream.ndh.crl_stale` is missing: what happens when the list is out of date; write crl_stale = \"refuse\"",
    );
    expect(
        &lines(&with_crl("crl_stale = \"refuse\"\n")),
        "c.toml:13:13: error: `upstream.ndh.crl_stale` has no `crl` to be about",
    );
    expect(
        &lines(&with_crl("crl = \"/etc/ca.crl\"\ncrl_stale = \"maybe\"\n")),
        "write \"refuse\" or \"accept\"",
    );
    expect(
        &lines(&with("[identity.am]", "[identity.am]\ncrl = \"/etc/ca.crl\"")),
        "error: `identity.am.crl` is not about this identity but about the other side's certificate",
    );
}

#[test]
fn a_control_socket_has_a_path_that_a_socket_can_have() {
    let control = |path: &str| lines(&format!("{GOOD}[control]\nsocket = \"{path}\"\n"));
    assert_eq!(control(&format!("/{}", "x".repeat(99))), "");
    expect(
        &control(&format!("/{}", "x".repeat(100))),
        "error: `control.socket` has 101 bytes; a unix socket can be found under at most 100",
    );
    let same = with("127.0.0.1:8080", "unix:/run/a.sock");
    expect(
        &lines(&format!("{same}[control]\nsocket = \"/run/a.sock\"\n")),
        "`control.socket` takes the path of `listen.address`",
    );
}

#[test]
fn an_overlay_changes_what_it_names_and_problems_stand_in_the_layer_at_fault() {
    let overlay = "extends = \"c.toml\"\n[upstream.ndh]\nurl = \"https://other.example\"\n[upstream.ndh.timeouts]\n\
                   total = \"29s\"\n[[route]]\nname = \"offender\"\nin_flight = 3\n";
    let layers = |overlay: &str| [source("c.toml", GOOD), source("o.toml", overlay)];
    let settings = config::load_run(&layers(overlay), &[]).expect("usable").settings;
    let ndh = &settings.upstreams["ndh"];
    assert_eq!((ndh.host.as_str(), ndh.times.total.as_secs()), ("other.example", 29));
    assert_eq!(ndh.identity.as_deref(), Some("am"));
    assert_eq!((settings.routes.len(), settings.routes[0].in_flight), (1, Some(3)));
    let problems = config::load_run(&layers(&overlay.replace("29s", "31s")), &[])
        .expect_err("refused")
        .lines();
    expect(&problems, "o.toml:5:9: error: `upstream.ndh.timeouts.total` is 31s");
}

#[test]
fn a_variable_is_the_last_word_and_is_named_where_it_is_wrong() {
    let variables = |value: &str| {
        [(
            "DELIUS_SIDECAR__UPSTREAM__NDH__TIMEOUTS__TOTAL".to_owned(),
            value.to_owned(),
        )]
    };
    let load = |value: &str| config::load_run(&[source("c.toml", GOOD)], &variables(value));
    assert_eq!(
        load("28s").expect("usable").settings.upstreams["ndh"]
            .times
            .total
            .as_secs(),
        28
    );
    let expected = "DELIUS_SIDECAR__UPSTREAM__NDH__TIMEOUTS__TOTAL: error: `upstream.ndh.timeouts.total` is 31s";
    expect(&load("31s").expect_err("refused").lines(), expected);
    expect(
        &load("31s").expect_err("refused").annotated(Style::Plain),
        "error: DELIUS_SIDECAR__UPSTREAM__NDH__TIMEOUTS__TOTAL",
    );
    expect(
        &load("31").expect_err("refused").lines(),
        "the duration \"31\" has no unit",
    );
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    let text = with("identity = \"am\"", "identity = \"am\"\nclient_secret = \"hunter2\"")
        .replace("https://ndh", "https://user:hunter2@ndh");
    let problems = run(&text).expect_err("refused");
    for shown in [
        problems.lines(),
        problems.annotated(Style::Plain),
        problems.json().to_string(),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(problems.iter().count() >= 2);
}

#[test]
fn a_gateway_file_says_who_is_let_in_to_what() {
    let loaded = config::load_gateway(&[source("g.toml", GATEWAY)], &[]).expect("usable");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let settings = loaded.settings;
    assert_eq!(
        (
            settings.allow.len(),
            settings.allow[0].peers.len(),
            settings.allow[0].routes.len()
        ),
        (1, 3, 1)
    );
    assert_eq!(settings.upstream.host, "delius.example");
    let peers: Vec<String> = settings.allow[0].peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["dns:allocation-manager", "ou:HMPPS", "ou:Offender Management"]);
}

#[test]
fn a_gateway_manages_its_own_certificate_with_the_keys_of_an_identity() {
    let text = gateway_with(
        "certificate = \"/etc/tls.crt\"\nprivate_key = \"/etc/tls.key\"\n",
        "pkcs12 = \"/etc/g.p12\"\npassword_file = \"/etc/p\"\nstaged = \"/etc/next\"\npromotion = \"manual\"\n\
         crl = \"/etc/ca.crl\"\ncrl_stale = \"refuse\"\n",
    );
    let text = format!("{text}[control]\nsocket = \"/run/g.sock\"\n");
    let loaded = config::load_gateway(&[source("g.toml", &text)], &[]).unwrap_or_else(|found| panic!("{found}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let settings = loaded.settings;
    assert_eq!(
        settings.material.files(),
        [Path::new("/etc/g.p12"), Path::new("/etc/p")]
    );
    assert_eq!(settings.promotion, Promotion::Manual);
    assert_eq!(settings.staged.as_deref(), Some(Path::new("/etc/next")));
    assert_eq!(settings.crl.map(|crl| crl.stale), Some(Stale::Refuse));
    assert_eq!(settings.control.expect("a control").socket, Path::new("/run/g.sock"));
    expect(
        &gateway_lines(&gateway_with("tls.key\"\n", "tls.key\"\ncrl = \"/etc/ca.crl\"\n")),
        "`gateway.crl_stale` is missing",
    );
}

#[test]
fn a_gateway_that_lets_everybody_or_nobody_in_is_refused() {
    let nobody = gateway_with(
        "dns = \"allocation-manager\"\nou = [\"HMPPS\", \"Offender Management\"]\n",
        "",
    );
    expect(
        &gateway_lines(&nobody),
        "g.toml:8:1: error: `gateway.allow.am` says nothing of who is let in",
    );
    expect(
        &gateway_lines(&gateway_with("dns = \"allocation-manager\"", "dns = []")),
        "`gateway.allow.am.dns` is empty",
    );
    expect(
        &gateway_lines(&gateway_with("dns = \"allocation-manager\"", "dns = \"*\"")),
        "g.toml:10:7: error: ",
    );
    expect(
        &gateway_lines(&gateway_with("ou = [", "cn = [")),
        "of which a certificate has one",
    );
    expect(
        &gateway_lines(&gateway_with("routes =", "dns2 =")),
        "lets nobody do anything",
    );
    expect(&gateway_lines(&gateway_with("\"GET /secure", "\"get /secure")), "GET");
    expect(&gateway_lines(""), "there is no [gateway]");
    expect(&gateway_lines(GOOD), "`listen` is for the file of `run`");
    let two = format!("{GATEWAY}[upstream.other]\nurl = \"http://other.example\"\n");
    expect(
        &gateway_lines(&two),
        "`gateway.upstream` is missing, and there are 2 upstreams",
    );
    let chosen = two.replace("[gateway]", "[gateway]\nupstream = \"other\"");
    expect(&gateway_lines(&chosen), "warning: `upstream.delius` is not used");
}

fn arguments(config: PathBuf, no_files: bool) -> CheckArgs {
    CheckArgs {
        file: ConfigArgs { config: Some(config) },
        no_files,
        gateway: false,
        output: Format::Text,
    }
}

fn judge(config: &Path, no_files: bool) -> Verdict {
    check::judge(&arguments(config.to_owned(), no_files), &[], NOW)
}

#[test]
fn every_shipped_file_is_usable_without_a_warning() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut checked = Vec::new();
    for entry in fs::read_dir(&directory).expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let verdict = judge(&path, true);
            assert!(verdict.problems.is_empty(), "{}:\n{}", path.display(), verdict.problems);
            assert!(verdict.summary.is_some());
            checked.push((
                path.file_stem().expect("a name").to_string_lossy().into_owned(),
                verdict.gateway,
            ));
        }
    }
    checked.sort();
    let expected = ["base", "dev", "gateway", "preprod", "production", "staging"];
    assert_eq!(checked, expected.map(|name| (name.to_owned(), name == "gateway")));
}

#[test]
fn the_shipped_routes_are_the_ones_that_the_application_used_and_the_gateway_lets_them_in() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let read = |name: &str| check::read(Some(&directory.join(name))).expect("readable").sources;
    let run = config::load_run(&read("production.toml"), &[])
        .expect("usable")
        .settings;
    let gateway = config::load_gateway(&read("gateway.toml"), &[])
        .expect("usable")
        .settings;
    assert_eq!(run.routes.len(), 9);
    for route in &run.routes {
        assert!(route.person.is_some(), "{}", route.name);
        let repeatable = !route.template.as_str().ends_with("/prisonOffenderManager");
        assert_eq!(route.idempotent, (!repeatable).then_some(false), "{}", route.name);
        let admitted = gateway.allow[0].routes.iter().any(|(methods, template)| {
            template == &route.template
                && ["GET", "PUT", "DELETE"]
                    .iter()
                    .all(|method| !route.methods.accepts(method) || methods.accepts(method))
        });
        assert!(admitted, "{}", route.name);
    }
}

#[test]
fn a_file_lies_over_one_base_and_no_further() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    write("base.toml", GOOD);
    let over = write("over.toml", "extends = \"base.toml\"\n[listen]\nworkers = 2\n");
    let layers = check::read(Some(&over)).expect("readable");
    assert_eq!(layers.paths, [directory.path().join("base.toml"), over]);
    let itself = write("itself.toml", "# first\nextends = \"itself.toml\"\n");
    let problems = check::read(Some(&itself)).expect_err("refused").lines();
    expect(&problems, "itself.toml:2:11: error: `extends` names this file itself");
    let third = write("third.toml", "extends = \"over.toml\"\n");
    expect(
        &check::read(Some(&third)).expect_err("refused").lines(),
        "which extends base.toml in turn",
    );
    let lost = write("lost.toml", "extends = \"nowhere.toml\"\n");
    expect(
        &check::read(Some(&lost)).expect_err("refused").lines(),
        "lost.toml:1:11: error: `extends` names",
    );
    let missing = check::read(Some(&directory.path().join("missing.toml")))
        .expect_err("refused")
        .lines();
    expect(
        &missing,
        "missing.toml:1:1: error: the configuration cannot be read: there is no such file",
    );
}

/// 2026-01-01: the dates of certificates are made for it.
const NOW: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

/// A directory with a CA, a client certificate for it and a configuration that names them.
fn with_certificate(dns: &str, not_after: i64) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let validity = |not_after| Validity {
        not_before: NOW - 30 * DAY,
        not_after,
    };
    let root = Authority::new_root("root", validity(NOW + 3650 * DAY)).expect("a root");
    let spec = Spec {
        dns: vec![dns.to_owned()],
        ..Spec::new(dns, Purposes::Client, validity(not_after))
    };
    let issued = root.issue(&spec).expect("a leaf");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("tls.crt"), &issued.chain_pem).expect("written");
    fs::write(at("tls.key"), issued.key_pem.expose()).expect("written");
    fs::write(at("ca.crt"), root.certificate_pem()).expect("written");
    let text = GOOD
        .replace("/etc/", &format!("{}/", directory.path().display()))
        .replace("[identity.am]", "[identity.am]\nexpect_dns = \"allocation-manager\"");
    let config = at("config.toml");
    fs::write(&config, text).expect("written");
    (directory, config)
}

#[test]
fn the_files_that_a_configuration_names_are_judged_too() {
    let (directory, config) = with_certificate("allocation-manager", NOW + 200 * DAY);
    let verdict = judge(&config, false);
    assert!(verdict.problems.is_empty(), "{}", verdict.problems);
    assert_eq!(
        verdict.summary.as_deref(),
        Some("routes: 1, upstreams: 1, identities: 1")
    );

    let (_other, other) = with_certificate("allocation-manager", NOW + 200 * DAY);
    fs::copy(other.with_file_name("tls.key"), directory.path().join("tls.key")).expect("copied");
    let problems = judge(&config, false).problems.lines();
    expect(&problems, "config.toml:8:15: error: ");
    expect(&problems, "the private key does not belong to the certificate");
    fs::remove_file(directory.path().join("ca.crt")).expect("removed");
    let problems = judge(&config, false).problems.lines();
    expect(&problems, "config.toml:12:9: error: ");
    expect(&problems, "ca.crt cannot be read: there is no such file");
    assert!(judge(&config, true).problems.is_empty());
}

#[test]
fn a_certificate_that_is_expired_or_somebody_elses_is_an_error_at_its_key() {
    let (_directory, config) = with_certificate("allocation-manager", NOW - DAY);
    let problems = judge(&config, false).problems.lines();
    expect(&problems, "config.toml:7:15: error: ");
    expect(&problems, "expired");
    let (_directory, config) = with_certificate("somebody-else", NOW + 200 * DAY);
    let problems = judge(&config, false).problems.lines();
    expect(&problems, "config.toml:7:15: error: ");
    expect(&problems, "allocation-manager");
}

#[test]
fn tables_that_only_their_parts_imply_have_a_place_too() {
    let text = "[listen]\nlimits.bodi = \"1MiB\"\n[upstream.ndh.timeouts]\nconnect = \"1s\"\n[[route]]\nname = \"a\"\n";
    let found = lines(text);
    expect(
        &found,
        "c.toml:2:8: error: unknown key `listen.limits.bodi`; did you mean `body`?",
    );
    expect(&found, "c.toml:3:11: error: `upstream.ndh.url` is missing");
    expect(&found, "c.toml:5:1: error: `route.a.match` is missing");
}

#[test]
fn the_command_line_is_consistent_and_its_help_has_an_example() {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        check: CheckArgs,
    }
    let mut command = <Line as clap::CommandFactory>::command();
    command.clone().debug_assert();
    expect(&command.render_long_help().to_string(), "--no-files");
    let line =
        <Line as clap::Parser>::try_parse_from(["check", "--config", "f.toml", "--output", "json"]).expect("parsed");
    assert_eq!(line.check.file.config.as_deref(), Some(Path::new("f.toml")));
    assert_eq!(line.check.output, Format::Json);
}

#[test]
fn a_crl_that_is_out_of_date_is_an_error_or_a_warning_as_it_was_chosen() {
    let (directory, config) = with_certificate("allocation-manager", NOW + 200 * DAY);
    let at = |name: &str| directory.path().join(name);
    let root = Authority::new_root(
        "crl",
        Validity {
            not_before: NOW - 30 * DAY,
            not_after: NOW + DAY,
        },
    )
    .expect("a root");
    let text = fs::read_to_string(&config).expect("readable");
    let list = |next: i64| {
        let list = root.crl(&[] as &[&str], NOW - 9 * DAY, next).expect("a list");
        fs::write(at("ca.crl"), list).expect("written");
    };
    let choose = |word: &str| {
        let keys = format!(
            "trial = \"GET /health\"\ncrl = \"{}\"\ncrl_stale = \"{word}\"",
            at("ca.crl").display()
        );
        fs::write(&config, text.replace("trial = \"GET /health\"", &keys)).expect("written");
        judge(&config, false).problems.lines()
    };
    list(NOW + DAY);
    assert_eq!(choose("refuse"), "");
    list(NOW - DAY);
    let refused = choose("refuse");
    expect(&refused, "config.toml:15:7: error: ");
    expect(
        &refused,
        "the CRL of \"CN=crl\" was to be renewed by 2025-12-31T00:00:00Z",
    );
    expect(&choose("accept"), "config.toml:15:7: warning: ");
    fs::write(at("ca.crl"), "nothing").expect("written");
    expect(&choose("accept"), "ca.crl: the CRL file is not PEM");
}

#[test]
fn a_wrong_password_is_shown_at_its_own_key_and_never_itself() {
    let (directory, config) = with_certificate("allocation-manager", NOW + 200 * DAY);
    let at = |name: &str| directory.path().join(name);
    let Some(openssl) = crate::support::openssl::OpenSsl::find(directory.path()) else {
        return;
    };
    openssl.run("pkcs12 -export -inkey tls.key -in tls.crt -passout pass:correct -out tls.p12");
    let text = fs::read_to_string(&config).expect("readable");
    let certificate = format!("certificate = \"{}\"", at("tls.crt").display());
    let key = format!("private_key = \"{}\"", at("tls.key").display());
    let store = format!("pkcs12 = \"{}\"", at("tls.p12").display());
    let password = format!("password_file = \"{}\"", at("password").display());
    fs::write(&config, text.replace(&certificate, &store).replace(&key, &password)).expect("written");
    fs::write(at("password"), "correct\n").expect("written");
    let found = judge(&config, false).problems;
    assert!(found.is_empty(), "{found}");
    fs::write(at("password"), "hunter2").expect("written");
    let found = judge(&config, false).problems;
    expect(&found.lines(), "config.toml:8:17: error: ");
    expect(&found.lines(), "the password does not open the PKCS#12");
    assert!(!found.annotated(Style::Plain).contains("hunter2"), "{found}");
}

#[test]
fn an_identity_that_the_upstreams_list_revokes_is_an_error_where_it_is_named() {
    let (directory, config) = with_certificate("allocation-manager", NOW + 200 * DAY);
    let at = |name: &str| directory.path().join(name);
    let validity = Validity {
        not_before: NOW - 30 * DAY,
        not_after: NOW + 300 * DAY,
    };
    let root = Authority::new_root("root", validity).expect("a root");
    let spec = Spec {
        dns: vec!["allocation-manager".to_owned()],
        ..Spec::new("app", Purposes::Client, validity)
    };
    let issued = root.issue(&spec).expect("a leaf");
    fs::write(at("tls.crt"), &issued.chain_pem).expect("written");
    fs::write(at("tls.key"), issued.key_pem.expose()).expect("written");
    let list = root.crl(&[&issued.serial], NOW - DAY, NOW + DAY).expect("a list");
    fs::write(at("ca.crl"), list).expect("written");
    let text = fs::read_to_string(&config).expect("readable");
    let crl = format!(
        "crl = \"{}\"\ncrl_stale = \"refuse\"\n[[route]]",
        at("ca.crl").display()
    );
    fs::write(&config, text.replacen("[[route]]", &crl, 1)).expect("written");
    let problems = judge(&config, false).problems.lines();
    expect(
        &problems,
        "config.toml:13:12: error: the certificate \"CN=app\" (serial ",
    );
    expect(&problems, "has been revoked: it is on the list of \"CN=root\"");
}

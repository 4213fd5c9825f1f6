//! `doctor --refusals`: nobody is let in where nobody should be, whoever is let in is named, and a round that proves
//! nothing does not pass for a good one.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::bin::Sidecar;
use crate::support::doctor::command;
use crate::support::hostile::{self, Hostile};
use crate::support::peer::{Tls, write_leaf};
use crate::support::pki::{APP, Ask, Key, Leaf, pki};
use crate::support::world::{World, directory, text};
use crate::support::{apache, java, nginx};

/// Everybody who knocks.
const STRANGERS: [&str; 9] = [
    "no certificate",
    "self-signed, right names",
    "other CA, same names",
    "expired",
    "not yet valid",
    "for servers only",
    "right CA, wrong name",
    "revoked",
    "plain HTTP",
];

/// The round at this address, with the CA's key at hand.
fn knock(world: World, arguments: &[&str]) -> (Option<i32>, Value) {
    let directory = directory();
    let config = world.write(directory.path());
    let file = directory.path().join("config.toml");
    std::fs::write(&file, config).expect("write a configuration");
    pki().write_ca(directory.path());
    let output = command(&file)
        .args(["--refusals", "--output", "json", "--ca-dir"])
        .arg(directory.path())
        .args(arguments)
        .output()
        .expect("start the binary");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("no JSON: {said}{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["well"] == true, output.status.success(), "{report:#}");
    (output.status.code(), report["upstreams"][0].clone())
}

fn trying(address: SocketAddr, path: &str) -> World {
    World::to(address).set("upstream.ndh", "trial", text(&format!("GET {path}")))
}

/// Who had this result.
fn with<'a>(report: &'a Value, result: &str) -> Vec<&'a str> {
    let attempts = report["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(attempts.len(), STRANGERS.len(), "{report:#}");
    let of = attempts.iter().filter(|attempt| attempt["result"] == result);
    of.filter_map(|attempt| attempt["who"].as_str()).collect()
}

fn all_but(left_out: &[&str]) -> Vec<&'static str> {
    let kept = STRANGERS.iter().filter(|who| !left_out.contains(who));
    kept.copied().collect()
}

/// Our own gateway in front of a service that answers everything.
fn gateway(service: SocketAddr, revoked: &Leaf) -> Sidecar {
    let directory = directory();
    let list = directory.path().join("crl.pem");
    std::fs::write(&list, pki().crl(&[revoked], 1)).expect("write the list");
    let (chain, key) = write_leaf(directory.path(), "gateway", &pki().server(Key::Ecdsa));
    let ca = directory.path().join("client-ca.crt");
    std::fs::write(&ca, pki().root_pem()).expect("write the client CA");
    let shown = |path: &Path| text(&path.display().to_string());
    let config = format!(
        "[gateway]\naddress = \"127.0.0.1:0\"\ncertificate = {}\nprivate_key = {}\nclient_ca = {}\n\
         crl = {}\ncrl_stale = \"refuse\"\n\
         [[gateway.allow]]\nname = \"app\"\ndns = \"{APP}\"\nroutes = [\"GET /t/{{case}}\"]\n\
         [drain]\ndeadline = \"2s\"\nquiet = \"50ms\"\n\
         [upstream.delius]\nurl = \"http://{service}\"\nunsafe_plain = true\n",
        shown(&chain),
        shown(&key),
        shown(&ca),
        shown(&list),
    );
    Sidecar::try_start("gateway", directory, &config)
        .unwrap_or_else(|(status, printed)| panic!("it did not start: {status}\n{printed}\n{config}"))
}

#[test]
fn our_gateway_lets_nobody_in() {
    let service = Hostile::plain(|_, conn| hostile::go_on(conn));
    let revoked = pki().client(Key::Ecdsa);
    let gateway = gateway(service.address(), &revoked);
    let (code, report) = knock(trying(gateway.listen, "/t/x"), &[]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(with(&report, "refused"), all_but(&["revoked"]), "{report:#}");
    assert_eq!(report["own"]["detail"], "answers 200");
    assert_eq!(
        service.count("GET /t/x"),
        1,
        "only the real identity reached the service"
    );
    let verdict = report["verdict"].as_str().unwrap_or_default();
    assert!(verdict.contains("nobody was let in who should not be"), "{verdict}");
    assert!(verdict.contains("not tried: revoked"), "{verdict}");

    let made = directory();
    std::fs::create_dir(made.path().join("revoked")).expect("make a directory");
    write_leaf(&made.path().join("revoked"), "tls", &revoked);
    let made = made.path().display().to_string();
    let (code, report) = knock(trying(gateway.listen, "/t/x"), &["--refusal-certs", &made]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(with(&report, "refused"), STRANGERS, "{report:#}");
}

#[test]
fn servers_without_a_list_of_names_let_the_wrong_name_in() {
    let peers = [
        nginx::start(pki()).map(|peer| (peer, "/2k")),
        apache::start(pki()).map(|peer| (peer, "/2k")),
        java::start(pki()).map(|peer| (peer, "/bytes/16")),
    ];
    for (peer, path) in peers.into_iter().flatten() {
        for tls in [Tls::V12, Tls::V13] {
            let (code, report) = knock(trying(peer.door(tls, Key::Ecdsa), path), &[]);
            assert_eq!(code, Some(1), "{} {tls:?}: {report:#}", peer.name);
            assert_eq!(
                with(&report, "let_in"),
                ["right CA, wrong name"],
                "{} {tls:?}: {report:#}",
                peer.name
            );
            assert_eq!(
                with(&report, "refused"),
                all_but(&["right CA, wrong name", "revoked"]),
                "{} {tls:?}: {report:#}",
                peer.name
            );
            let verdict = report["verdict"].as_str().unwrap_or_default();
            assert!(verdict.contains("LET IN: right CA, wrong name"), "{verdict}");
        }
    }
}

#[test]
fn a_server_that_asks_nobody_lets_everybody_in() {
    let config = pki().server_config(Tls::V13, &pki().server(Key::Ecdsa), Ask::Nothing);
    let upstream = Hostile::tls(config, |_, conn| hostile::echo(conn));
    let (code, report) = knock(trying(upstream.address(), "/t/x"), &[]);
    assert_eq!(code, Some(1));
    assert_eq!(
        with(&report, "let_in"),
        all_but(&["revoked", "plain HTTP"]),
        "{report:#}"
    );
}

#[test]
fn refusals_where_the_real_identity_is_refused_too_prove_nothing() {
    let config = pki().server_config(Tls::V13, &pki().server(Key::Ecdsa), Ask::Theirs);
    let upstream = Hostile::tls(config, |_, conn| hostile::echo(conn));
    let (code, report) = knock(trying(upstream.address(), "/t/x"), &[]);
    assert_eq!(code, Some(1));
    let verdict = report["verdict"].as_str().unwrap_or_default();
    assert!(verdict.contains("proves nothing"), "{verdict}");
    assert_eq!(with(&report, "let_in"), Vec::<&str>::new());
}

#[test]
fn certificates_made_in_advance_are_used_and_missing_ones_are_said() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| hostile::echo(conn));
    let directory = directory();
    let file = directory.path().join("config.toml");
    let config = trying(upstream.address(), "/t/x").write(directory.path());
    std::fs::write(&file, config).expect("write a configuration");
    let made = [
        ("expired", pki().client_expired()),
        ("not-yet-valid", pki().client_not_yet_valid()),
        ("server-only", pki().client_for_servers_only()),
        // The server reads no list: this one gets in, which proves that it was tried.
        ("revoked", pki().client(Key::Ecdsa)),
    ];
    for (name, leaf) in made {
        let place = directory.path().join("refusals").join(name);
        std::fs::create_dir_all(&place).expect("make a directory");
        write_leaf(&place, "tls", &leaf);
    }
    let output = command(&file)
        .args(["--refusals", "--refusal-certs"])
        .arg(directory.path().join("refusals"))
        .output()
        .expect("start the binary");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (result, who) in [
        ("gets in", "the real identity"),
        ("refused", "expired"),
        ("refused", "not yet valid"),
        ("refused", "for servers only"),
        ("LET IN", "revoked"),
        ("not tried", "right CA, wrong name"),
    ] {
        let line = said
            .lines()
            .find(|line| line.trim_start().starts_with(result) && line.contains(who));
        assert!(line.is_some(), "{result} {who}: {said}");
    }
    assert!(said.contains("wrong-name/tls.crt"), "what is needed: {said}");
}

#[test]
fn run_continuously_it_says_a_line_a_round_and_ends_well_on_sigterm() {
    let service = Hostile::plain(|_, conn| hostile::go_on(conn));
    let gateway = gateway(service.address(), &pki().client(Key::Ecdsa));
    let directory = directory();
    let file = directory.path().join("config.toml");
    let config = trying(gateway.listen, "/t/x").write(directory.path());
    std::fs::write(&file, config).expect("write a configuration");
    let mut child = command(&file)
        .args(["--refusals", "--every", "20ms"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the binary");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        let line = lines.next().expect("a line a round").expect("text");
        assert!(line.contains(" ok upstream ndh: nobody was let in"), "{line}");
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("its id");
    kill_process(pid, Signal::TERM).expect("ask it to end");
    let _ = lines.by_ref().count();
    assert_eq!(child.wait().expect("its end").code(), Some(0));
}

#[test]
fn a_slip_in_the_place_of_the_strangers_certificates_is_wrong_usage() {
    let directory = directory();
    let file = directory.path().join("config.toml");
    let world = World::to(SocketAddr::from(([127, 0, 0, 1], 1)));
    std::fs::write(&file, world.write(directory.path())).expect("write a configuration");
    for option in ["--ca-dir", "--refusal-certs"] {
        let ended = command(&file).args(["--refusals", option, "nowhere"]).output();
        let ended = ended.expect("start the binary");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains(option) && said.contains("nowhere"), "{said}");
    }
}

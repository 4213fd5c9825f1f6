//! A night with the control socket: the real sidecar, the real commands, one certificate after the other by hand.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use delius_sidecar::identity::status::{Lineage, Report};

use crate::support::bin::Sidecar;
use crate::support::eventually;
use crate::support::hostile;
use crate::support::pki::{APP, Key, Leaf, NDH, pki};
use crate::support::raw::Client;
use crate::support::world::{World, directory, text};

fn start(world: World) -> Sidecar {
    let directory = directory();
    let socket = directory.path().join("control.sock");
    let world = world.set("control", "socket", text(&socket.display().to_string()));
    let config = world.write(directory.path());
    Sidecar::start(directory, &config)
}

fn socket(sidecar: &Sidecar) -> PathBuf {
    sidecar.directory().join("control.sock")
}

/// A command that finds the socket through the configuration, as it does in the image.
fn command(sidecar: &Sidecar, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .args(arguments)
        .env("DELIUS_SIDECAR_CONFIG", sidecar.directory().join("config.toml"))
        .stdin(Stdio::null())
        .output()
        .expect("start the binary")
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn ends(sidecar: &Sidecar, arguments: &[&str], code: i32) -> String {
    let output = command(sidecar, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    said(&output)
}

#[track_caller]
fn lineage(sidecar: &Sidecar) -> Lineage {
    let output = command(
        sidecar,
        &["identity", "status", "--upstream", "ndh", "--output", "json"],
    );
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    report.lineages.into_iter().next().expect("one lineage")
}

/// Certificate and key of what is shown to the upstream.
fn serial(lineage: &Lineage) -> String {
    let in_use = lineage.in_use.as_ref().expect("something is in use");
    in_use.chain.first().expect("a leaf").serial.clone()
}

fn put(directory: &Path, leaf: &Leaf) {
    for (name, pem) in [("tls.crt", &leaf.chain_pem), ("tls.key", &leaf.key_pem)] {
        let beside = directory.join("part");
        std::fs::write(&beside, pem).expect("written");
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        std::fs::rename(&beside, directory.join(name)).expect("in place");
    }
}

#[test]
fn a_certificate_is_staged_promoted_and_taken_back_by_hand_and_the_process_told_to_end() {
    let upstream = hostile::echoing();
    let world = World::to(upstream.address())
        .set("identity.allocation-manager", "promotion", text("manual"))
        .set("upstream.ndh", "trial", text("GET /health"));
    let mut sidecar = start(world);
    let socket = socket(&sidecar);
    let mode = std::fs::symlink_metadata(&socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    ends(&sidecar, &["wait", "--max", "10s"], 0);
    let first = serial(&lineage(&sidecar));
    let shown = ends(&sidecar, &["identity", "status"], 0);
    assert!(
        shown.contains("allocation-manager, towards ndh (promotion: manual)"),
        "{shown}"
    );
    assert!(
        shown.contains("in use      generation 1, from the configured place"),
        "{shown}"
    );
    let refused = ends(&sidecar, &["identity", "promote"], 1);
    assert!(refused.starts_with("error: "), "{refused}");
    ends(
        &sidecar,
        &["identity", "rollback", "--reason", "there is nothing before it"],
        1,
    );
    let unknown = ends(&sidecar, &["identity", "promote", "--identity", "nobody"], 1);
    assert!(unknown.contains("unknown_identity"), "{unknown}");

    put(sidecar.directory(), &pki().client(Key::Rsa));
    ends(&sidecar, &["identity", "stage", "--identity", "allocation-manager"], 0);
    let waits = eventually(|| {
        let candidate = lineage(&sidecar).candidate?;
        (candidate.phase == "waiting_for_promotion").then_some(())
    });
    assert!(waits.is_some(), "{}", ends(&sidecar, &["identity", "status"], 0));
    assert_eq!(serial(&lineage(&sidecar)), first, "promotion is manual");

    ends(&sidecar, &["identity", "promote", "--upstream", "ndh"], 0);
    let second = serial(&lineage(&sidecar));
    assert_ne!(second, first);
    assert_eq!(
        Client::connect(sidecar.listen).get("/t/x").expect("a reply").status,
        200
    );

    ends(
        &sidecar,
        &["identity", "rollback", "--reason", "the other side refuses it for /all"],
        0,
    );
    assert_eq!(serial(&lineage(&sidecar)), first);
    assert_eq!(
        Client::connect(sidecar.listen).get("/t/x").expect("a reply").status,
        200
    );
    let uid = rustix::process::getuid().as_raw();
    let line = sidecar.wait_line(|line| line["command"] == "rollback" && line["result"] == "done");
    let line = line.expect("an audit line");
    assert_eq!(
        (line["audit"].as_bool(), line["reason"].as_str()),
        (Some(true), Some("the other side refuses it for /all"))
    );
    assert!(
        line["by"]
            .as_str()
            .is_some_and(|by| by.starts_with(&format!("uid {uid} pid "))),
        "{line}"
    );

    ends(&sidecar, &["shutdown", "--max", "20s"], 0);
    assert!(!socket.exists());
    assert_eq!(sidecar.wait().and_then(|status| status.code()), Some(0));
    let after = ends(&sidecar, &["identity", "status"], 1);
    assert!(after.contains("is the sidecar running"), "{after}");
}

#[test]
fn wait_says_which_certificate_is_missing() {
    let upstream = hostile::echoing();
    let sidecar = start(World::to(upstream.address()).identity_not_delivered());
    let missing = ends(&sidecar, &["wait", "--max", "200ms"], 1);
    assert!(
        missing.contains("identity:allocation-manager") && missing.contains("/nonexistent/tls.crt"),
        "{missing}"
    );
    let shown = ends(&sidecar, &["identity", "status"], 0);
    assert!(
        shown.contains("NOTHING") && shown.contains("/nonexistent/tls.crt"),
        "{shown}"
    );
}

#[test]
fn a_second_process_on_the_same_socket_does_not_start_and_the_first_keeps_it() {
    let upstream = hostile::echoing();
    let sidecar = start(World::to(upstream.address()));
    let second = directory();
    let world = World::to(upstream.address()).set("control", "socket", text(&socket(&sidecar).display().to_string()));
    let config = world.write(second.path());
    match Sidecar::try_start("run", second, &config) {
        Ok(_) => panic!("it runs"),
        Err((status, printed)) => {
            assert!(
                status.contains("exit status: 1") && printed.contains("another process answers"),
                "{status}: {printed}"
            );
        }
    }
    ends(&sidecar, &["wait", "--max", "5s"], 0);
}

#[test]
fn a_gateway_says_what_it_shows_to_callers_and_ends_when_told() {
    let made = directory();
    let path = |name: &str| text(&made.path().join(name).display().to_string());
    put(made.path(), &pki().server(Key::Ecdsa));
    std::fs::write(made.path().join("client-ca.crt"), pki().root_pem()).expect("written");
    let config = format!(
        "[gateway]\naddress = \"127.0.0.1:0\"\ncertificate = {}\nprivate_key = {}\nclient_ca = {}\n\
         [[gateway.allow]]\nname = \"app\"\ndns = \"{APP}\"\nroutes = [\"GET /t/{{case}}\"]\n\
         [drain]\ndeadline = \"2s\"\nquiet = \"50ms\"\n[log]\nformat = \"json\"\n[control]\nsocket = {}\n\
         [upstream.delius]\nurl = \"http://127.0.0.1:9\"\nunsafe_plain = true\n",
        path("tls.crt"),
        path("tls.key"),
        path("client-ca.crt"),
        path("control.sock"),
    );
    let mut gateway = Sidecar::try_start("gateway", made, &config)
        .unwrap_or_else(|(status, printed)| panic!("it did not start: {status}\n{printed}\n{config}"));
    ends(&gateway, &["wait", "--max", "10s"], 0);
    for choice in ["--identity", "--upstream"] {
        let shown = ends(&gateway, &["identity", "status", choice, "gateway"], 0);
        assert!(shown.contains("gateway, shown to callers"), "{shown}");
        assert!(shown.contains(&format!("names: {NDH}")), "{shown}");
    }
    ends(&gateway, &["shutdown", "--max", "20s"], 0);
    assert_eq!(gateway.wait().and_then(|status| status.code()), Some(0));
}

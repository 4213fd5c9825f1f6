//! `run -- COMMAND`: the command runs beside a sidecar that is ready, and its end is the sidecar's.

use rustix::process::Signal;

use crate::support::bin::Sidecar;
use crate::support::pki::{Key, pki};
use crate::support::world::{World, directory, text};
use crate::support::{eventually, hostile};

/// Runs a shell script beside a sidecar; `{dir}` stands for the sidecar's directory.
fn beside(world: World, script: &str) -> Sidecar {
    let directory = directory();
    let script = script.replace("{dir}", &directory.path().display().to_string());
    command(world, directory, &["--", "sh", "-c", &script])
}

fn command(world: World, directory: tempfile::TempDir, arguments: &[&str]) -> Sidecar {
    let config = world.write(directory.path());
    Sidecar::try_start_with("run", directory, &config, arguments)
        .unwrap_or_else(|(status, printed)| panic!("it did not start: {status}\n{printed}"))
}

/// An identity whose files are expected in `place`, and are not there yet.
fn late(world: World, place: &std::path::Path) -> World {
    let file = |name: &str| text(&place.join(name).display().to_string());
    world
        .no_identity()
        .set("identity.late", "certificate", file("late.crt"))
        .set("identity.late", "private_key", file("late.key"))
        .set("upstream.ndh", "identity", text("late"))
}

#[track_caller]
fn code(sidecar: &mut Sidecar) -> Option<i32> {
    let ended = sidecar.wait();
    assert!(ended.is_some(), "it did not end:\n{}", sidecar.printed());
    ended.and_then(|status| status.code())
}

#[test]
fn the_exit_code_of_the_command_is_ours() {
    let upstream = hostile::echoing();
    for (script, expected) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + 9)] {
        let mut sidecar = beside(World::to(upstream.address()), script);
        assert_eq!(code(&mut sidecar), Some(expected), "{script}");
    }
}

#[test]
fn a_command_that_cannot_be_started_is_a_failure_and_not_a_wait() {
    let upstream = hostile::echoing();
    let mut sidecar = command(
        World::to(upstream.address()),
        directory(),
        &["--", "/nonexistent/command"],
    );
    assert_eq!(code(&mut sidecar), Some(1));
    let printed = sidecar.printed();
    assert!(printed.contains("starting /nonexistent/command"), "{printed}");
}

#[test]
fn a_signal_goes_to_the_command_whose_end_is_ours() {
    let upstream = hostile::echoing();
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT")] {
        let script = format!("trap 'exit 9' {name}; touch {{dir}}/started; while :; do sleep 0.02; done");
        let mut sidecar = beside(World::to(upstream.address()), &script);
        let started = sidecar.directory().join("started");
        assert!(
            eventually(|| started.exists().then_some(())).is_some(),
            "the command runs"
        );
        sidecar.signal(signal);
        assert_eq!(code(&mut sidecar), Some(9), "{name}");
    }
}

#[test]
fn the_command_waits_for_the_identity() {
    let upstream = hostile::echoing();
    let directory = directory();
    let world = late(World::to(upstream.address()), directory.path());
    let started = directory.path().join("started");
    let place = directory.path().to_owned();
    let script = format!("touch {}; exit 3", started.display());
    let mut sidecar = command(world, directory, &["--", "sh", "-c", &script]);
    let said = sidecar.wait_line(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("not taken into use"))
    });
    assert!(said.is_some() && !started.exists(), "not before there is an identity");
    let leaf = pki().client(Key::Ecdsa);
    std::fs::write(place.join("late.key"), &leaf.key_pem).expect("deliver the key");
    std::fs::write(place.join("late.crt"), &leaf.chain_pem).expect("deliver the chain");
    assert_eq!(code(&mut sidecar), Some(3));
    assert!(started.exists());
}

#[test]
fn told_to_stop_while_it_waits_for_the_identity_it_stops() {
    let upstream = hostile::echoing();
    for signal in [Signal::TERM, Signal::INT] {
        let directory = directory();
        let world = late(World::to(upstream.address()), directory.path());
        let started = directory.path().join("started");
        let script = format!("touch {}", started.display());
        let mut sidecar = command(world, directory, &["--", "sh", "-c", &script]);
        assert!(
            sidecar
                .wait_line(|line| line["message"]
                    .as_str()
                    .is_some_and(|text| text.contains("not taken into use")))
                .is_some()
        );
        sidecar.signal(signal);
        assert_eq!(code(&mut sidecar), Some(1), "{signal:?}");
        assert!(!started.exists());
    }
}

//! The rotation drill, as the real binary does it: mutual authentication is rehearsed with every build.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::eventually;

/// Two cores serve all tests at once: enough requests to see one that is lost, not enough to disturb the others. By hand
/// it runs with 1,000 a second.
const RATE: &str = "200";

fn rehearse(files: &Path) -> Command {
    let mut rehearse = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"));
    rehearse
        .args(["rehearse", "--output", "json", "--seconds", "0", "--rate", RATE])
        .env("TMPDIR", files)
        .stdin(Stdio::null());
    rehearse
}

/// Processes that were started with a file below this directory.
fn processes(files: &Path) -> usize {
    let place = files.display().to_string();
    let entries = std::fs::read_dir("/proc").expect("the processes").flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(&place))
        .count()
}

fn count(files: &Path) -> usize {
    std::fs::read_dir(files).expect("the directory").count()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

#[test]
fn a_drill_loses_no_request_and_leaves_nothing_behind() {
    let files = tempfile::tempdir().expect("a directory");
    let output = rehearse(files.path()).output().expect("run the rehearsal");
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let told: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}{errors}"));
    for step in told["steps"].as_array().expect("steps") {
        assert_eq!(step["verdict"], "shown", "{step:#}");
    }
    for claim in told["claims"].as_array().expect("claims") {
        assert_eq!(claim["holds"], true, "{claim:#}\n{:#}", told["requests"]);
    }
    assert_eq!(output.status.code(), Some(0), "{printed}{errors}");

    let requests = &told["requests"];
    assert_eq!(requests["failed"], 0, "{requests:#}");
    assert!(number(&requests["sent"]) > 2_000, "{requests:#}");
    let changes = told["changes"].as_array().expect("changes");
    for change in changes {
        assert_eq!(change["requests_on_old"], 0, "{change:#}");
        assert!(number(&change["requests_after"]) > 0, "{change:#}");
        assert_eq!(change["connections_left"], 0, "{change:#}");
        assert_eq!(change["receipt"]["requests_failed"], 0, "{change:#}");
        assert!(change["receipt"]["retired_after_seconds"].is_number(), "{change:#}");
    }
    let has = |what: &str, way: &str| {
        let text = |value: &Value, part: &str| value.as_str().is_some_and(|text| text.contains(part));
        changes
            .iter()
            .any(|change| text(&change["what"], what) && text(&change["way"], way))
    };
    for whose in ["the sidecar's certificate", "the gateway's certificate"] {
        for way in ["in place", "rename", "swap"] {
            assert!(has(whose, way), "{whose}, {way}");
        }
    }
    assert!(has("both CAs", "") && has("only the next CA", "") && has("staged", "control socket"));
    let broken = told["broken"].as_array().expect("broken material");
    let kinds: Vec<&str> = broken.iter().filter_map(|broken| broken["what"].as_str()).collect();
    for kind in [
        "another's key",
        "garbage",
        "empty",
        "expired",
        "another CA",
        "not on the gateway's list",
        "not valid yet",
        "servers only",
    ] {
        assert!(kinds.iter().any(|what| what.contains(kind)), "{kind}: {kinds:?}");
    }
    for broken in broken {
        assert_eq!(broken["requests_on_other"], 0, "{broken:#}");
        assert!(!broken["said"].as_str().unwrap_or_default().is_empty(), "{broken:#}");
    }
    let withdrawn = told["withdrawn"].as_array().expect("certificates that were withdrawn");
    assert_eq!(withdrawn.len(), 2, "off the list, and revoked");
    for withdrawn in withdrawn {
        assert_eq!(withdrawn["requests_on_withdrawn"], 0, "{withdrawn:#}");
        assert!(number(&withdrawn["requests_after"]) > 0, "{withdrawn:#}");
        assert_eq!(withdrawn["receipt"]["why"], "fall_back", "{withdrawn:#}");
    }
    check_clients(&told);
    assert_eq!(count(files.path()), 0, "files are left in the temporary directory");
    assert_eq!(processes(files.path()), 0, "processes are left");
}

/// The OAuth pair and the key that signs its tokens.
fn check_clients(told: &Value) {
    let clients = told["clients"].as_array().expect("clients that were changed");
    let name = |client: &Value, key: &str| client[key].as_str().unwrap_or_default().to_owned();
    let names: Vec<_> = clients
        .iter()
        .map(|client| format!("{} for {}", name(client, "client"), name(client, "before")))
        .collect();
    let expected = [
        "delius-sidecar-1 for delius-sidecar",
        "delius-sidecar-2 for delius-sidecar-1",
    ];
    assert_eq!(names, expected);
    for client in clients {
        assert_eq!(client["requests_on_old"], 0, "{client:#}");
        assert!(number(&client["requests_after"]) > 0, "{client:#}");
    }
    let broken = told["broken_clients"].as_array().expect("pairs that cannot work");
    let kinds: Vec<&str> = broken.iter().filter_map(|broken| broken["what"].as_str()).collect();
    for kind in ["wrong secret", "without its secret", "swapped"] {
        assert!(kinds.iter().any(|what| what.contains(kind)), "{kind}: {kinds:?}");
    }
    for broken in broken {
        assert_eq!(broken["requests_on_other"], 0, "{broken:#}");
        assert!(number(&broken["requests"]) > 0, "{broken:#}");
    }
    let keys = told["keys"].as_array().expect("signing keys that were dropped");
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["refreshes"], 1, "{:#}", keys[0]);
    assert!(number(&keys[0]["requests_after"]) > 0, "{:#}", keys[0]);
}

/// A drill that is under way; ended with its value.
struct UnderWay {
    child: Child,
    files: TempDir,
}

impl UnderWay {
    fn start() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let child = rehearse(files.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the rehearsal");
        Self { child, files }
    }

    fn end(&mut self, signal: Signal) -> Option<i32> {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id()))
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, signal);
        }
        eventually(|| self.child.try_wait().ok().flatten()).and_then(|status| status.code())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Asked first: one that is killed leaves its children behind.
        self.end(Signal::TERM);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_drill_that_is_interrupted_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut drill = UnderWay::start();
        let up = eventually(|| (processes(drill.files.path()) == 2).then_some(()));
        assert!(up.is_some(), "sidecar and gateway do not run");
        assert_eq!(drill.end(signal), Some(1));
        assert_eq!(
            count(drill.files.path()),
            0,
            "files are left in the temporary directory"
        );
        assert_eq!(processes(drill.files.path()), 0, "processes are left");
    }
}

#[test]
fn what_is_to_be_kept_is_kept_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let files = tempfile::tempdir().expect("a directory");
    let keep = files.path().join("new");
    let mut drill = Command::new(env!("CARGO_BIN_EXE_delius-sidecar"));
    let mut child = drill
        .args(["rehearse", "--keep"])
        .arg(&keep)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start the rehearsal");
    let up = eventually(|| (processes(files.path()) == 3).then_some(()));
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let ended = eventually(|| child.try_wait().ok().flatten());
    assert!(up.is_some() && ended.is_some(), "the drill did not run, or did not end");
    let place = std::fs::read_dir(&keep)
        .expect("kept")
        .flatten()
        .next()
        .expect("a directory");
    assert_eq!(place.metadata().expect("it").permissions().mode() & 0o777, 0o700);
    for name in ["sidecar.toml", "gateway.toml", "run.log", "identity/tls.crt"] {
        assert!(place.path().join(name).exists(), "{name}");
    }
    assert_eq!(processes(files.path()), 0, "processes are left");
}

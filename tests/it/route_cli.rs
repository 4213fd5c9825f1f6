//! `route status`, `set`, `reset`, `report`, `explain`: an operator's way through the switch-over, with the real binary,
//! two upstreams that answer as they are told, and a search for persons in all that is said.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use delius_sidecar::switch::Mode;
use delius_sidecar::switch::report::{Report, Unit};
use tempfile::TempDir;

use crate::support::bin::Sidecar;
use crate::support::eventually;
use crate::support::hostile::{Hostile, ok};
use crate::support::raw::Client;
use crate::support::world::directory;

/// In its place 0.0972… of the unit `person`.
const PERSON: &str = "X123456";
const PATH: &str = "/offenders/X123456/all";

/// Two upstreams: each says who it is, and standard fails or differs when told.
struct Sides {
    ndh: Hostile,
    standard: Hostile,
    broken: Arc<AtomicBool>,
    differs: Arc<AtomicBool>,
}

impl Sides {
    fn start() -> Self {
        let (broken, differs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let ndh = Hostile::plain(|_, conn| {
            while conn.request().is_some() {
                conn.write(json("ndh", "A1"));
            }
        });
        let (fails, other) = (broken.clone(), differs.clone());
        let standard = Hostile::plain(move |_, conn| {
            while conn.request().is_some() {
                let tier = if other.load(Ordering::Relaxed) {
                    "SECRETTIER"
                } else {
                    "A1"
                };
                if fails.load(Ordering::Relaxed) {
                    conn.write("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n");
                } else {
                    conn.write(json("standard", tier));
                }
            }
        });
        Self {
            ndh,
            standard,
            broken,
            differs,
        }
    }

    /// A sidecar in front of both, with these terms of the group and some more tables.
    fn sidecar(&self, directory: TempDir, terms: &str) -> Sidecar {
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("view.jq"), "{tier: .body.tier}").expect("written");
        let config = format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n[observe]\naddress = \"127.0.0.1:0\"\n\
             [drain]\nquiet = \"50ms\"\ndeadline = \"2s\"\n[log]\nformat = \"json\"\n\
             [control]\nsocket = {:?}\n[switch]\nstate = {:?}\n\
             [upstream.ndh]\nurl = \"http://{}\"\n[upstream.standard]\nurl = \"http://{}\"\n\
             [group.person]\n{terms}\n\
             [[route]]\nname = \"all\"\nmatch = \"GET /offenders/{{crn}}/all\"\nperson = \"crn\"\ngroup = \"person\"\n\
             [route.ndh]\nupstream = \"ndh\"\nview = \"view.jq\"\n\
             [route.standard]\nupstream = \"standard\"\nview = \"view.jq\"\n\
             [route.comparison]\nagain_after = \"20ms\"\n\
             [[route]]\nname = \"old\"\nmatch = \"GET /old/{{file}}\"\n[route.ndh]\nupstream = \"ndh\"\n",
            path("control.sock"),
            path("switch.json"),
            self.ndh.address(),
            self.standard.address(),
        );
        Sidecar::start(directory, &config)
    }
}

fn json(from: &str, tier: &str) -> String {
    ok(&format!("{{\"from\": \"{from}\", \"tier\": \"{tier}\"}}")).replace("text/plain", "application/json")
}

/// The command as an operator types it.
fn command(sidecar: &Sidecar, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_delius-sidecar"))
        .arg("route")
        .args(arguments)
        .env("DELIUS_SIDECAR_CONFIG", sidecar.directory().join("config.toml"))
        .stdin(Stdio::null())
        .output()
        .expect("start the binary")
}

/// What it says, after it ended with this code; no person and no value is ever among it.
#[track_caller]
fn ends(sidecar: &Sidecar, arguments: &[&str], code: i32) -> String {
    let output = command(sidecar, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    harmless(&said);
    said
}

#[track_caller]
fn harmless(said: &str) {
    for secret in [PERSON, "SECRETTIER"] {
        assert!(!said.contains(secret), "{secret} is in\n{said}");
    }
}

#[track_caller]
fn unit(sidecar: &Sidecar) -> Unit {
    let output = command(sidecar, &["status", "person", "--output", "json"]);
    let report: Report = serde_json::from_slice(&output.stdout).expect("a report");
    report.units.into_iter().next().expect("the unit")
}

/// Which side answers.
#[track_caller]
fn asks(sidecar: &Sidecar) -> String {
    let reply = Client::connect(sidecar.listen).get(PATH).expect("a reply");
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    body["from"].as_str().unwrap_or("neither").to_owned()
}

#[test]
fn an_operator_sets_and_resets_and_everybody_can_see_it() {
    let sides = Sides::start();
    let sidecar = sides.sidecar(directory(), "mode = \"ndh\"");
    assert_eq!(asks(&sidecar), "ndh");
    let shown = ends(&sidecar, &["status"], 0);
    assert!(shown.contains("person  ndh   ndh         GO for shadow"), "{shown}");
    assert!(shown.contains("no standard leg"), "{shown}");

    let set = [
        "set",
        "person",
        "--mode",
        "canary",
        "--share",
        "10%",
        "--reason",
        "first persons",
        "--for",
        "1h",
    ];
    let said = ends(&sidecar, &set, 0);
    assert!(
        said.contains("person: canary 10 %; the gate says NO-GO for canary: 0 of 500 samples"),
        "{said}"
    );
    assert_eq!(asks(&sidecar), "standard");
    let shown = ends(&sidecar, &["status", "person"], 0);
    assert!(
        shown.contains("override for ") && shown.contains(": first persons"),
        "{shown}"
    );
    let explained = ends(&sidecar, &["explain", "GET", PATH], 0);
    for part in [
        "{crn}, among the 10 % of persons",
        "of the running sidecar (set by uid",
        "answers        standard",
    ] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    let smaller = [
        "set", "person", "--mode", "canary", "--share", "9%", "--reason", "fewer", "--for", "1h",
    ];
    ends(&sidecar, &smaller, 0);
    assert_eq!(asks(&sidecar), "ndh");

    ends(
        &sidecar,
        &["reset", "person", "--reason", "enough seen of X123456", "--evidence"],
        0,
    );
    assert_eq!(unit(&sidecar).effective.mode, Mode::Ndh);
    let uid = rustix::process::getuid().as_raw();
    let line = sidecar.wait_line(|line| line["command"] == "route set" && line["result"] == "done");
    let line = line.expect("an audit line");
    assert_eq!(
        (line["unit"].as_str(), line["mode"].as_str()),
        (Some("person"), Some("canary"))
    );
    let detail = line["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("the gate says NO-GO"), "{line}");
    let by = line["by"].as_str().unwrap_or_default();
    assert!(by.starts_with(&format!("uid {uid} pid ")), "{line}");
    for event in ["override_set", "reset"] {
        let line = sidecar.wait_line(|line| line["event"] == event && line["audit"] == true);
        assert!(line.is_some(), "no line of {event}:\n{}", sidecar.printed());
    }
    let line = sidecar.wait_line(|line| line["event"] == "override_set" && line["mode"] == "canary");
    let line = line.expect("the mode is a field of its own");
    assert!(line["share"].is_f64() && line["expires"].is_i64(), "{line}");
    assert!(
        line["reason"].is_string() && line["by"] == by && line["from"].is_null(),
        "{line}"
    );
    harmless(&sidecar.printed());
}

#[test]
fn what_cannot_be_done_is_refused_with_what_would_be_right() {
    let sides = Sides::start();
    let mut sidecar = sides.sidecar(directory(), "mode = \"ndh\"");
    for (line, code, said) in [
        (
            "set person --mode canary --share 5 --reason r --for 1h",
            2,
            "5% or 0.05",
        ),
        (
            "set person --mode off --reason r --for 1h",
            2,
            "ndh, shadow, canary or standard",
        ),
        ("set person --mode ndh --for 1h", 2, "--reason"),
        ("set person --mode ndh --reason r", 2, "--for"),
        ("set person --mode ndh --reason r --for soon", 2, "8h"),
        ("set nobody --mode ndh --reason r --for 1h", 1, "there are: old, person"),
        ("set old --mode standard --reason r --for 1h", 1, "no [route.standard]"),
        (
            "set person --mode standard --share 5% --reason r --for 1h",
            1,
            "leave it out",
        ),
        ("status nobody", 2, "there are: old, person"),
        ("report nobody", 2, "there are: old, person"),
        ("status all", 2, "all switches with its group: person"),
        ("report all", 2, "all switches with its group: person"),
        (
            "set all --mode ndh --reason r --for 1h",
            1,
            "all switches with its group: person",
        ),
        ("explain GET /nowhere/X123456", 1, "421 route_unknown"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let found = ends(&sidecar, &arguments, code);
        assert!(found.contains(said), "{line}: {found}");
    }
    for reason in ["", "two\nlines"] {
        let arguments = ["set", "person", "--mode", "ndh", "--reason", reason, "--for", "1h"];
        let found = ends(&sidecar, &arguments, 1);
        assert!(found.contains("a reason is needed, on one line"), "{found}");
    }
    let ping = ends(&sidecar, &["explain", "GET", "/health/ping"], 0);
    assert!(ping.contains("the sidecar itself"), "{ping}");
    assert_eq!(unit(&sidecar).set, None);
    sidecar.stop();
    let gone = ends(&sidecar, &["status"], 1);
    assert!(gone.contains("is the sidecar running"), "{gone}");
    let alone = ends(&sidecar, &["explain", "GET", PATH], 0);
    assert!(
        alone.contains("ndh, as the configuration says (there is no control socket"),
        "{alone}"
    );
}

#[test]
fn an_override_ends_by_itself() {
    let sides = Sides::start();
    let sidecar = sides.sidecar(directory(), "mode = \"ndh\"");
    ends(
        &sidecar,
        &[
            "set", "person", "--mode", "standard", "--reason", "a look", "--for", "1s",
        ],
        0,
    );
    let line = sidecar.wait_line(|line| line["event"] == "override_expired");
    assert!(line.is_some(), "{}", sidecar.printed());
    assert!(eventually(|| (asks(&sidecar) == "ndh").then_some(())).is_some());
}

#[test]
fn a_report_is_go_only_when_nothing_is_missing() {
    let sides = Sides::start();
    let terms = "mode = \"shadow\"\n[group.person.gate]\nmin_samples = 5";
    let sidecar = sides.sidecar(directory(), terms);
    let missing = ends(&sidecar, &["report", "person"], 1);
    assert!(
        missing.contains("NO-GO for canary") && missing.contains("0 of 5 samples"),
        "{missing}"
    );
    let compared = |least: u64| {
        let seen = eventually(|| {
            assert_eq!(asks(&sidecar), "ndh");
            (unit(&sidecar).evidence.compared >= least).then_some(())
        });
        assert!(seen.is_some(), "{}", ends(&sidecar, &["status"], 0));
    };
    compared(5);
    let go = ends(&sidecar, &["report", "person"], 0);
    assert!(go.contains("person: GO for canary"), "{go}");
    assert!(go.contains("its access for this cannot be withdrawn"), "{go}");
    ends(&sidecar, &["report"], 0);

    sides.differs.store(true, Ordering::Relaxed);
    let differs = eventually(|| {
        asks(&sidecar);
        (unit(&sidecar).evidence.mismatched > 0).then_some(())
    });
    assert!(differs.is_some(), "{}", ends(&sidecar, &["status"], 0));
    let no_go = ends(&sidecar, &["report", "person"], 1);
    assert!(no_go.contains("at most 0.1 %: /tier value"), "{no_go}");
    ends(&sidecar, &["report", "person", "--output", "json"], 1);

    sides.differs.store(false, Ordering::Relaxed);
    ends(
        &sidecar,
        &["reset", "person", "--reason", "the mapping is repaired", "--evidence"],
        0,
    );
    assert!(eventually(|| (unit(&sidecar).evidence.mismatched == 0).then_some(())).is_some());
    harmless(&sidecar.printed());
}

#[test]
fn a_broken_gate_rolls_back_by_itself_and_a_restart_does_not_forget_it() {
    let sides = Sides::start();
    let terms = "mode = \"ndh\"\ncompare = true\n[group.person.gate]\nwindow_samples = 5\nmin_samples = 5";
    let mut sidecar = sides.sidecar(directory(), terms);
    ends(
        &sidecar,
        &[
            "set",
            "person",
            "--mode",
            "standard",
            "--reason",
            "all at once",
            "--for",
            "8h",
        ],
        0,
    );
    assert_eq!(asks(&sidecar), "standard");
    sides.broken.store(true, Ordering::Relaxed);
    let back = eventually(|| (asks(&sidecar) == "ndh").then_some(()));
    assert!(back.is_some(), "{}", ends(&sidecar, &["status"], 0));

    let shown = ends(&sidecar, &["status"], 0);
    assert!(
        shown.contains("ROLLED BACK from standard") && shown.contains("errors of the standard leg"),
        "{shown}"
    );
    let report = ends(&sidecar, &["report", "person"], 1);
    assert!(
        report.contains("rolled back") && report.contains("NO-GO for canary"),
        "{report}"
    );
    let alarm = sidecar.wait_line(|line| line["level"] == "error" && line["unit"] == "person");
    assert!(alarm.is_some(), "no alarm:\n{}", sidecar.printed());
    let again = [
        "set",
        "person",
        "--mode",
        "standard",
        "--reason",
        "all at once",
        "--for",
        "8h",
    ];
    let refused = ends(&sidecar, &again, 1);
    assert!(refused.contains("reason_not_new"), "{refused}");

    sidecar.stop();
    harmless(&sidecar.printed());
    let state = std::fs::read_to_string(sidecar.directory().join("switch.json")).expect("the state");
    harmless(&state);
    let second = directory();
    std::fs::write(second.path().join("switch.json"), &state).expect("written");
    let sidecar = sides.sidecar(second, terms);
    let unit = unit(&sidecar);
    assert_eq!(unit.effective.mode, Mode::Shadow);
    assert_eq!(unit.rolled_back.map(|back| back.from), Some(Mode::Standard));

    sides.broken.store(false, Ordering::Relaxed);
    let repaired = [
        "set", "person", "--mode", "standard", "--reason", "repaired", "--for", "8h",
    ];
    ends(&sidecar, &repaired, 0);
    assert_eq!(asks(&sidecar), "standard");
}

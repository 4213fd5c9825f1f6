//! Gates: GO and NO-GO with what is missing, and the roll-back that nobody has to order.
//!
//! The standard leg is broken on purpose: it lies, it does not know people, it fails. The last word has the configuration
//! that is shipped, against the stand-ins.

use serde_json::{Value, json};

use delius_sidecar::rehearsal::auth::{self, Client as AuthClient};
use delius_sidecar::rehearsal::delius::Data as Legacy;
use delius_sidecar::rehearsal::standard::{self as read_api, Data as Records};
use delius_sidecar::rehearsal::standin::{DeliusStandIn, Options};

use crate::support::bin::NOMS;
use crate::support::scripted::{Say, Scripted};
use crate::support::switch::{
    CLIENT, CLIENT_SECRET, SHORT, Scene, Switch, all, legacy, legs, noms, registrations, standard, wait_for,
};

const GATE: &str = "min_samples = 5\nwindow_samples = 5\nmax_mismatch = 0.01\nmax_errors = 0.05\nmax_missing = 0.01";

fn with_gate(ndh: &Scripted, other: &Scripted, unit: &str) -> Switch {
    Switch::new(&ndh.url(), &other.url())
        .unit(unit)
        .only("group.person.gate", GATE)
}

/// Asks until the unit has rolled back; what is said of it then.
#[track_caller]
fn until_rolled_back(scene: &Scene) -> Value {
    let mut client = scene.client();
    let mut number = 0;
    wait_for("it rolls back", || {
        for _ in 0..5 {
            number += 1;
            let _ = client.get(&all(&noms(number)));
        }
        !scene.unit("person")["rolled_back"].is_null()
    });
    scene.unit("person")
}

#[track_caller]
fn alarmed(scene: &Scene) {
    let line = scene
        .sidecar
        .wait_line(|line| line["level"] == "error" && line["unit"] == "person" && line["audit"] == true);
    assert!(line.is_some(), "no alarm in {}", scene.sidecar.printed());
    wait_for("ndh answers", || scene.leg(&all("Q0001AA")) == "ndh");
}

#[test]
fn lies_of_the_standard_leg_roll_standard_back_and_the_evidence_stays() {
    let (ndh, other) = legs();
    let scene = with_gate(&ndh, &other, "mode = \"standard\"\ncompare = true").start();
    assert_eq!(scene.leg(&all("Q0001AA")), "standard");
    other.act(|_| Say::Json(200, json!({"nomsId": "x", "currentTier": "D3"})));
    let unit = until_rolled_back(&scene);
    assert_eq!(unit["rolled_back"]["from"], "standard");
    assert!(
        unit["rolled_back"]["reasons"].to_string().contains("mismatch"),
        "{unit}"
    );
    assert_ne!(unit["effective"]["mode"], "standard");
    alarmed(&scene);
    let evidence = scene.evidence();
    assert!(evidence["mismatched"].as_u64() >= Some(3), "{evidence}");
    assert!(
        evidence["differences"]["each"].to_string().contains("/tier"),
        "{evidence}"
    );
    // The leg is repaired: still nobody but an operator brings it back.
    other.act(standard);
    scene.sidecar.signal(rustix::process::Signal::HUP);
    assert_eq!(scene.leg(&all("Q0001AA")), "ndh");
    let (code, said) = scene.command(&["route", "status", "person"]);
    assert!(
        code == Some(0) && said.to_lowercase().contains("rolled back"),
        "{code:?} {said}"
    );
    scene.reset();
    wait_for("standard answers", || scene.leg(&all("Q0001AA")) == "standard");
}

#[test]
fn errors_of_the_standard_leg_roll_back_also_with_nothing_compared() {
    for (unit, from) in [
        ("mode = \"standard\"", "standard"),
        ("mode = \"canary\"\ncanary = 0.9", "canary"),
    ] {
        for failure in [Say::Json(500, Value::Null), Say::Reset, Say::Json(403, Value::Null)] {
            let (ndh, other) = legs();
            let scene = with_gate(&ndh, &other, unit).start();
            let said = failure.clone();
            other.act(move |_| said.clone());
            let unit = until_rolled_back(&scene);
            assert_eq!(unit["rolled_back"]["from"], from, "{failure:?}");
            assert!(unit["rolled_back"]["reasons"].to_string().contains("error"), "{unit}");
            alarmed(&scene);
        }
    }
}

#[test]
fn a_token_server_that_is_down_and_a_circuit_that_opens_roll_back_as_well() {
    let (ndh, other) = legs();
    let auth = Scripted::start(|_| Say::Reset);
    let scene = with_gate(&ndh, &other, "mode = \"standard\"")
        .token(&auth.url())
        .start();
    let unit = until_rolled_back(&scene);
    assert_eq!(unit["rolled_back"]["from"], "standard");
    assert_eq!(other.total(), 0, "nothing is sent without a token");
    alarmed(&scene);
    let scene = with_gate(&ndh, &other, "mode = \"standard\"")
        .only(
            "upstream.standard.breaker",
            "min_results = 4\nmin_persons = 2\nopen_for = \"1h\"",
        )
        .start();
    other.act(|_| Say::Json(500, Value::Null));
    let unit = until_rolled_back(&scene);
    assert!(unit["rolled_back"]["reasons"].to_string().contains("error"), "{unit}");
    alarmed(&scene);
}

#[test]
fn a_canary_rolls_back_for_everybody_and_an_override_ends_with_it() {
    let (ndh, other) = legs();
    let scene = with_gate(&ndh, &other, "mode = \"shadow\"\ncompare = true").start();
    scene.set("canary", Some(0.8));
    other.act(|_| Say::Json(404, json!({"message": "nobody"})));
    let unit = until_rolled_back(&scene);
    assert_eq!(unit["rolled_back"]["from"], "canary");
    assert!(unit["rolled_back"]["reasons"].to_string().contains("missing"), "{unit}");
    assert_eq!(
        unit["override"],
        Value::Null,
        "it does not come back when it would have expired"
    );
    assert_eq!(unit["effective"]["mode"], "shadow");
    alarmed(&scene);
    // The same reason as before is none.
    let body = json!({"unit": "person", "mode": "canary", "share": 0.8, "reason": "a test", "for": "1h"});
    let answer = scene.ask("POST", "/route/set", Some(&body));
    assert_eq!(answer.status, 409, "{}", answer.body);
}

#[test]
fn a_few_bad_results_among_many_good_ones_roll_nothing_back() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit("mode = \"standard\"\ncompare = true")
        .only(
            "group.person.gate",
            "window_samples = 5\nmax_mismatch = 0.1\nmax_errors = 0.1",
        )
        .start();
    other.act(|asked| match asked.segment(0) {
        "Q0007AH" => Say::Json(500, Value::Null),
        "Q0008AI" => Say::Json(200, json!({"currentTier": "D3"})),
        _ => standard(asked),
    });
    let mut client = scene.client();
    for number in 0..100 {
        let _ = client.get(&all(&noms(number))).expect("a reply");
    }
    scene.wait_unit("compared", |unit| unit["evidence"]["compared"].as_u64() >= Some(30));
    // That nothing happens takes a while to see: gates are looked at several times a second.
    std::thread::sleep(std::time::Duration::from_millis(700));
    let unit = scene.unit("person");
    assert_eq!(
        (&unit["rolled_back"], &unit["effective"]["mode"]),
        (&Value::Null, &"standard".into()),
        "{unit}"
    );
}

#[test]
fn a_roll_back_outlives_a_restart_where_a_state_file_is_named_and_a_change_of_the_mode_lifts_it() {
    let (ndh, other) = legs();
    let place = tempfile::tempdir().expect("a directory");
    let state = format!("state = {:?}", place.path().join("switch.json").display().to_string());
    let start = |unit: &str| with_gate(&ndh, &other, unit).table("switch", &state).start();
    let scene = start("mode = \"standard\"");
    other.act(|_| Say::Json(500, Value::Null));
    until_rolled_back(&scene);
    drop(scene);
    other.act(standard);
    let scene = start("mode = \"standard\"");
    let unit = scene.unit("person");
    assert_eq!(unit["rolled_back"]["from"], "standard", "{unit}");
    assert_eq!(scene.leg(&all("Q0001AA")), "ndh");
    drop(scene);
    let scene = start("mode = \"canary\"\ncanary = 1.0");
    assert_eq!(scene.unit("person")["rolled_back"], Value::Null);
    assert_eq!(scene.leg(&all("Q0001AA")), "standard");
    drop(scene);
    for garbage in ["", "{", "[]", "\u{0}\u{1}", "{\"version\": \"one\"}"] {
        std::fs::write(place.path().join("switch.json"), garbage).expect("write");
        let scene = start("mode = \"standard\"");
        assert_eq!(scene.leg(&all("Q0001AA")), "standard", "{garbage:?}");
    }
}

#[test]
fn report_says_no_go_with_what_is_missing_and_then_go() {
    let (ndh, other) = legs();
    let scene = with_gate(&ndh, &other, "mode = \"shadow\"").start();
    let (code, said) = scene.command(&["route", "report", "person"]);
    assert!(code == Some(1) && said.contains("NO-GO"), "{code:?} {said}");
    let mut client = scene.client();
    for number in 0..8 {
        let _ = client.get(&all(&noms(number))).expect("a reply");
    }
    scene.wait_unit("compared", |unit| unit["evidence"]["matched"] == 8);
    let (code, said) = scene.command(&["route", "report", "person"]);
    assert!(
        code == Some(1) && said.contains("route registrations: 0 of 5 samples") && !said.contains("route manager:"),
        "a route that nobody asked for: {code:?} {said}"
    );
    for number in 0..5 {
        let _ = client.get(&registrations(&noms(number))).expect("a reply");
    }
    scene.wait_unit("compared", |unit| unit["evidence"]["matched"] == 13);
    let (code, said) = scene.command(&["route", "report", "person"]);
    assert!(
        code == Some(0) && said.contains("GO") && !said.contains("NO-GO"),
        "{code:?} {said}"
    );
    let (code, said) = scene.command(&["route", "report", "person", "--output", "json"]);
    assert_eq!(code, Some(0));
    let _: Value = serde_json::from_str(&said).expect("JSON");
}

#[test]
fn a_fallback_keeps_the_application_well_while_the_unit_rolls_back() {
    let (ndh, other) = legs();
    let scene = with_gate(&ndh, &other, "mode = \"standard\"\nfallback = true")
        .table("upstream.ndh.timeouts", SHORT)
        .table("upstream.standard.timeouts", SHORT)
        .start();
    other.act(|_| Say::Reset);
    let mut client = scene.client();
    for number in 0..30 {
        assert_eq!(client.get(&all(&noms(number))).expect("a reply").status, 200);
    }
    let unit = scene.wait_unit("rolled back", |unit| !unit["rolled_back"].is_null());
    assert!(unit["evidence"]["fallbacks"].as_u64() >= Some(3), "{unit}");
    assert_eq!(ndh.count(|asked| legacy_only(asked.path.as_str())), 30);
}

fn legacy_only(path: &str) -> bool {
    path.starts_with("/secure/")
}

/// The group `person` and route `mappa` as they are shipped, in shadow, asked again soon.
fn shipped() -> (String, String) {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/config/base.toml");
    let base = std::fs::read_to_string(base).expect("the shipped configuration");
    let (_, reads) = base.split_once("# --- reads").expect("reads");
    let (reads, _) = reads.split_once("# --- writes").expect("then writes");
    let reads = reads
        .replace("again_after = \"30s\"", "again_after = \"50ms\"")
        .replace("mode = \"ndh\"", "mode = \"shadow\"");
    let (_, unit) = base.split_once("[group.person]").expect("the group");
    let (unit, _) = unit.split_once("[group.person.gate]").expect("then its gate");
    (reads, unit.replace("mode = \"ndh\"", "mode = \"shadow\""))
}

/// The real case, with the stand-ins Delius, HMPPS Auth and the read API, and the configuration that is shipped.
#[test]
fn the_shipped_configuration_knows_every_difference_of_the_fixtures_and_rolls_back_when_the_read_api_lies() {
    let delius = DeliusStandIn::start(Options::new(Legacy::embedded().expect("people"))).expect("a stand-in");
    let server = auth::start(auth::Options::new(vec![AuthClient::new(CLIENT, CLIENT_SECRET)])).expect("a stand-in");
    let records = Records::embedded().expect("people");
    let api = read_api::start(read_api::Options::new(records, &server)).expect("a stand-in");
    let (reads, unit) = shipped();
    let place = crate::support::world::directory();
    let mapping = concat!(env!("CARGO_MANIFEST_DIR"), "/config/mapping");
    std::os::unix::fs::symlink(mapping, place.path().join("mapping")).expect("link the programs");
    let scene = Switch::new(delius.url(), api.url())
        .token(server.url())
        .routes(&reads)
        .unit(&unit)
        .only(
            "group.person.gate",
            "min_samples = 4\nwindow_samples = 4\nmax_missing = 1.0",
        )
        .start_in(place);
    let people: Vec<String> = ["1XA", "2XB", "3XC", "4XD", "5XE", "6XF", "7XG", "8XH", "9XJ"]
        .iter()
        .map(|end| format!("Z900{end}"))
        .chain(["Z9010XK".to_owned(), "Z9011XL".to_owned()])
        .collect();
    let mut client = scene.client();
    let mut asked = 0;
    for person in &people {
        let base = format!("/secure/offenders/nomsNumber/{person}");
        for route in ["all", "registrations", "risk/resourcing/latest", "allOffenderManagers"] {
            let reply = client.get(&format!("{base}/{route}")).expect("a reply");
            assert!(reply.fault().is_none(), "{route}: {}", reply.text());
            asked += 1;
        }
    }
    let judged = |unit: &Value| {
        let evidence = &unit["evidence"];
        let sum = |key: &str| -> u64 {
            let reasons = evidence[key].as_object();
            reasons.map_or(0, |reasons| reasons.values().filter_map(Value::as_u64).sum())
        };
        evidence["compared"].as_u64().unwrap_or(0) + sum("not_comparable") + sum("dropped")
    };
    wait_for("all are judged", || judged(&scene.unit("person")) >= asked);
    let unit = scene.unit("person");
    let evidence = &unit["evidence"];
    assert_eq!(evidence["mismatched"], 0, "{evidence}");
    assert_eq!(judged(&unit), asked);
    // One is known to Delius alone, one to the standard side alone; resourcing of some is nowhere.
    assert!(evidence["missing_on_standard"].as_u64() >= Some(1), "{evidence}");
    assert!(evidence["missing_on_ndh"].as_u64() >= Some(1), "{evidence}");
    assert!(evidence["known"].as_u64() >= Some(2), "{evidence}");
    assert_eq!(server.requests("POST", "/auth/oauth/token"), 1);
    assert!(api.seen().iter().all(|seen| seen.authorization));
    assert!(delius.seen().iter().all(|seen| !seen.authorization));

    let body = json!({"unit": "person", "mode": "canary", "share": 1.0, "reason": "a try", "for": "1h"});
    assert_eq!(scene.ask("POST", "/route/set", Some(&body)).status, 200);
    wait_for("standard answers in the legacy shape", || {
        let before = api.requests("GET", &format!("/case-records/{NOMS}"));
        let reply = client.get(&all(NOMS)).expect("a reply");
        assert!(
            reply.status == 200 && reply.text().contains("offenderManagers"),
            "{}",
            reply.text()
        );
        api.requests("GET", &format!("/case-records/{NOMS}")) > before
    });
    api.lie(&format!("/case-records/{NOMS}"), json!({"currentTier": "D0"}))
        .expect("a lie");
    wait_for("it rolls back", || {
        let _ = client.get(&all(NOMS));
        !scene.unit("person")["rolled_back"].is_null()
    });
    let said = scene.unit("person");
    assert_eq!(said["rolled_back"]["from"], "canary");
    assert!(
        said["evidence"]["differences"]["each"].to_string().contains("/tier"),
        "{said}"
    );
    let reply = client.get(&all(NOMS)).expect("a reply");
    assert!(reply.status == 200 && !reply.text().contains("D0"), "ndh answers");
}

#[test]
fn requests_of_ndh_alone_are_never_a_reason_to_roll_back() {
    let (ndh, other) = legs();
    let scene = with_gate(&ndh, &other, "mode = \"canary\"\ncanary = 0.5\ncompare = true").start();
    ndh.act(|_| Say::Json(500, Value::Null));
    let mut client = scene.client();
    for number in 0..40 {
        let _ = client.get(&all(&noms(number))).expect("a reply");
    }
    // That nothing happens takes a while to see: gates are looked at several times a second.
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(
        scene.unit("person")["rolled_back"],
        Value::Null,
        "{}",
        scene.unit("person")
    );
    ndh.act(legacy);
    assert_eq!(scene.mode(), "canary");
}

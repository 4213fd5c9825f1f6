//! Gates: GO and NO-GO with what is missing, and the roll-back that nobody has to order.

use serde_json::{Value, json};

use delius_sidecar::rehearsal::auth::{self, Client as AuthClient};
use delius_sidecar::rehearsal::delius::Data as Legacy;
use delius_sidecar::rehearsal::standard::{self as read_api, Data as Records};
use delius_sidecar::rehearsal::standin::{DeliusStandIn, Options};

use crate::support::bin::NOMS;
use crate::support::scripted::{Say, Scripted};
use crate::support::switch::{
    CLIENT, CLIENT_SECRET, SHORT, Scene, Switch, all, legacy, legs, noms, standard, wait_for,
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
    assert!(
        scene.page("/metrics").contains("rolled_back"),
        "{}",
        scene.page("/metrics")
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
    // Gates are looked at several times a second.
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

/// The real case, with the stand-ins: Delius, HMPPS Auth and the read API, and the programs of `config/mapping`.
#[test]
fn the_case_record_is_shadowed_and_rolled_back_when_the_read_api_lies() {
    let delius = DeliusStandIn::start(Options::new(Legacy::embedded().expect("people"))).expect("a stand-in");
    let server = auth::start(auth::Options::new(vec![AuthClient::new(CLIENT, CLIENT_SECRET)])).expect("a stand-in");
    let records = Records::embedded().expect("people");
    let api = read_api::start(read_api::Options::new(records, &server)).expect("a stand-in");
    let shipped = |name: &str| {
        let file = format!("{}/config/mapping/view/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(file).expect("a shipped program")
    };
    let route = "[[route]]\nname = \"offender\"\nmatch = \"GET /secure/offenders/nomsNumber/{nomsNumber}/all\"\n\
         person = \"nomsNumber\"\nmode = \"shadow\"\ncompare = true\n\
         [route.gate]\nmin_samples = 4\nwindow_samples = 4\n\
         [route.ndh]\nupstream = \"ndh\"\nview = \"ndh.jq\"\n\
         [route.standard]\nupstream = \"standard\"\npath = \"/case-records/{nomsNumber}\"\nview = \"standard.jq\"\n\
         [route.comparison]\nagain_after = \"50ms\"\n";
    let scene = Switch::new(delius.url(), api.url())
        .token(server.url())
        .routes(route)
        .program("ndh.jq", &shipped("offender-ndh.jq"))
        .program("standard.jq", &shipped("offender-standard.jq"))
        .start();
    let mut client = scene.client();
    for _ in 0..5 {
        assert_eq!(client.get(&all(NOMS)).expect("a reply").status, 200);
    }
    let unit = |what: &str, holds: &dyn Fn(&Value) -> bool| {
        wait_for(what, || holds(&scene.unit("offender")));
        scene.unit("offender")
    };
    let seen = unit("compared", &|unit| unit["evidence"]["compared"] == 5);
    assert_eq!(seen["evidence"]["matched"], 5, "{}", seen["evidence"]);
    assert_eq!(server.requests("POST", "/auth/oauth/token"), 1);
    let body = json!({"unit": "offender", "mode": "canary", "share": 1.0, "reason": "a try", "for": "1h"});
    assert_eq!(scene.ask("POST", "/route/set", Some(&body)).status, 200);
    api.lie(&format!("/case-records/{NOMS}"), json!({"currentTier": "D0"}))
        .expect("a lie");
    wait_for("it rolls back", || {
        let _ = client.get(&all(NOMS));
        !scene.unit("offender")["rolled_back"].is_null()
    });
    let said = scene.unit("offender");
    assert_eq!(said["rolled_back"]["from"], "canary");
    assert!(
        said["evidence"]["differences"]["each"].to_string().contains("/tier"),
        "{said}"
    );
    let delius_before = delius.requests("GET", &all(NOMS));
    let reply = client.get(&all(NOMS)).expect("a reply");
    assert!(reply.status == 200 && reply.text().contains("offenderManagers"));
    assert!(delius.requests("GET", &all(NOMS)) > delius_before);
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

//! Modes: who answers, who is asked beside it, and how that is changed.
//!
//! By an operator through the control socket, by the configuration, and back by itself. The legs are scripted and remember
//! what they were asked, so that what did not happen can be said as well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::scripted::Say;
use crate::support::switch::{
    SHORT, Switch, all, leg_of, legacy, legs, manager, noms, registrations, standard, wait_for,
};

const SHADOW: &str = "mode = \"shadow\"";
const STANDARD: &str = "mode = \"standard\"";

#[test]
fn in_ndh_only_ndh_is_asked() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url()).start();
    for number in 0..5 {
        assert_eq!(scene.leg(&all(&noms(number))), "ndh");
    }
    assert_eq!((ndh.total(), other.total()), (5, 0));
    assert_eq!(scene.mode(), "ndh");
    assert_eq!(scene.evidence()["compared"], 0);
}

#[test]
fn in_shadow_the_reply_of_ndh_comes_byte_for_byte_and_the_standard_leg_is_compared() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url()).unit(SHADOW).start();
    let reply = scene.get(&all("Q0001AA"));
    let as_sent = "{ \"tier\" : \"A1\",\n  \"noms\":\"Q0001AA\", \"leg\" : \"ndh\" }\n";
    assert_eq!((reply.status, reply.text().as_str()), (200, as_sent));
    assert_eq!(reply.header("x-of-ndh"), Some("yes"));
    let unit = scene.wait_unit("compared", |unit| unit["evidence"]["matched"] == 1);
    assert_eq!(unit["evidence"]["compared"], 1);
    assert_eq!(
        (ndh.total(), other.total()),
        (1, 1),
        "nothing differs: nothing is asked again"
    );
    assert_eq!(other.asked()[0].path, "/case-records/Q0001AA");
}

#[test]
fn in_shadow_a_difference_counts_only_when_it_is_there_again() {
    let (ndh, other) = legs();
    // Wrong about one person for good, about another only once.
    let once = AtomicBool::new(true);
    other.act(move |asked| match asked.segment(0) {
        "Q0001AA" => Say::Json(200, serde_json::json!({"nomsId": "Q0001AA", "currentTier": "D2"})),
        "Q0002AA" if once.swap(false, Ordering::Relaxed) => Say::Json(200, serde_json::json!({"currentTier": "B3"})),
        _ => standard(asked),
    });
    let scene = Switch::new(&ndh.url(), &other.url()).unit(SHADOW).start();
    for person in ["Q0001AA", "Q0002AA", "Q0003AA"] {
        assert_eq!(scene.leg(&all(person)), "ndh");
    }
    let unit = scene.wait_unit("all compared", |unit| unit["evidence"]["compared"] == 3);
    let evidence = &unit["evidence"];
    assert_eq!((&evidence["mismatched"], &evidence["matched"]), (&1.into(), &2.into()));
    assert_eq!(
        (&evidence["asked_again"], &evidence["recovered"]),
        (&2.into(), &1.into())
    );
    assert_eq!((ndh.total(), other.total()), (5, 5));
    let differences = evidence["differences"]["each"].to_string();
    assert!(
        differences.contains("/tier") && !differences.contains("D2"),
        "{differences}"
    );
    assert_eq!(unit["decision"]["go"], false);
}

#[test]
fn writes_and_unsafe_methods_go_to_one_leg_whatever_the_mode() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit("mode = \"shadow\"\nfallback = true\ncompare = true")
        .table("upstream.ndh.timeouts", SHORT)
        .table("upstream.standard.timeouts", SHORT)
        .start();
    let write = |method: &str| {
        let mut client = scene.client();
        client.send(format!(
            "{method} {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}",
            manager("Q0001AA")
        ));
        client.reply(method).expect("a reply")
    };
    for mode in ["ndh", "shadow", "standard"] {
        scene.set(mode, None);
        for method in ["PUT", "DELETE"] {
            let before = (ndh.total(), other.total());
            assert_eq!(write(method).status, 200);
            let standard = usize::from(mode == "standard");
            assert_eq!(
                (ndh.total(), other.total()),
                (before.0 + 1 - standard, before.1 + standard),
                "{method} in {mode}"
            );
        }
    }
    // Where it fails, nobody tries it at the other leg.
    other.act(|_| Say::Json(500, Value::Null));
    let before = ndh.total();
    assert_eq!(write("PUT").status, 500);
    assert_eq!(ndh.total(), before);
    let bodies: Vec<_> = [ndh.asked(), other.asked()].concat();
    assert!(bodies.iter().all(|asked| asked.body == b"{\"a\":1}"));
}

#[test]
fn in_standard_the_standard_leg_answers_in_the_shape_that_the_application_reads() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url()).unit(STANDARD).start();
    let reply = scene.get(&all("Q0001AA"));
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(
        body,
        serde_json::json!({"noms": "Q0001AA", "tier": "A1", "leg": "standard"})
    );
    assert_eq!((ndh.total(), other.total()), (0, 1));
    other.act(|_| Say::Json(500, serde_json::json!({"message": "broken"})));
    let reply = scene.get(&all("Q0001AA"));
    assert_eq!((reply.status, leg_of(&reply).as_str()), (500, "standard"));
    assert_eq!(ndh.total(), 0, "without fallback nobody else is asked");
}

#[test]
fn in_standard_with_fallback_ndh_answers_when_standard_fails() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit("mode = \"standard\"\nfallback = true")
        .only("group.person.gate", "window_samples = 1000")
        .table("upstream.ndh.timeouts", SHORT)
        .table("upstream.standard.timeouts", SHORT)
        .start();
    assert_eq!(scene.leg(&all("Q0001AA")), "standard");
    let html = "Content-Type: text/html\r\n".to_owned();
    let failures: Vec<Say> = vec![
        Say::Json(500, Value::Null),
        Say::Raw(503, html.clone(), b"<html>busy</html>".to_vec()),
        Say::Raw(200, html, b"<html>who are you</html>".to_vec()),
        Say::Json(200, serde_json::json!([1, 2])),
        Say::Json(401, Value::Null),
        Say::Json(403, Value::Null),
        Say::Hang,
        Say::Reset,
        Say::Flood(3 << 20),
    ];
    let count = failures.len();
    for (number, failure) in failures.into_iter().enumerate() {
        let said = failure.clone();
        other.act(move |_| said.clone());
        let person = noms(100 + number);
        assert_eq!(scene.leg(&all(&person)), "ndh", "{failure:?}");
        other.act(standard);
        // A person is not shown two truths within one look at them.
        assert_eq!(scene.leg(&registrations(&person)), "ndh", "{failure:?}");
        assert_eq!(
            scene.leg(&registrations(&person.to_lowercase())),
            "ndh",
            "in lower case"
        );
    }
    assert_eq!(scene.leg(&all("Q0001AA")), "standard", "others are not held");
    let evidence = scene.evidence();
    assert_eq!(evidence["fallbacks"], count);
    // What is normal is no failure.
    other.act(|_| Say::Json(404, serde_json::json!({"message": "nobody"})));
    let reply = scene.get(&all("Q0999AA"));
    assert_eq!((reply.status, leg_of(&reply).as_str()), (404, "standard"));
}

#[test]
fn a_fallback_has_its_own_time() {
    let (ndh, other) = legs();
    other.act(|_| Say::Hang);
    ndh.act(|asked| Say::After(Duration::from_millis(300), Box::new(legacy(asked))));
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit("mode = \"standard\"\nfallback = true")
        .table(
            "upstream.ndh.timeouts",
            "connect = \"200ms\"\nfirst_byte = \"1500ms\"\ntotal = \"2s\"",
        )
        .table(
            "upstream.standard.timeouts",
            "connect = \"200ms\"\nfirst_byte = \"2500ms\"\ntotal = \"3s\"",
        )
        .start();
    // Standard takes more than all that ndh may.
    assert_eq!(scene.leg(&all("Q0001AA")), "ndh");
}

#[test]
fn in_standard_with_compare_ndh_is_asked_too_and_nobody_waits_for_it() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit("mode = \"standard\"\ncompare = true")
        .start();
    for number in 0..3 {
        assert_eq!(scene.leg(&all(&noms(number))), "standard");
    }
    scene.wait_unit("compared", |unit| unit["evidence"]["matched"] == 3);
    assert_eq!((ndh.total(), other.total()), (3, 3));
    ndh.act(|_| Say::Hang);
    assert_eq!(scene.leg(&all("Q0009AA")), "standard");
    wait_for("ndh is asked", || ndh.total() == 4);
}

#[test]
fn the_configuration_changes_the_mode_and_a_bad_one_changes_nothing() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url()).unit("mode = \"ndh\"").start();
    assert_eq!(scene.leg(&all("Q0001AA")), "ndh");
    scene.sidecar.substitute("mode = \"ndh\"", "mode = \"standard\"");
    scene.wait_mode("standard");
    wait_for("standard answers", || scene.leg(&all("Q0001AA")) == "standard");
    // A program that cannot be compiled: the new configuration is refused whole.
    std::fs::write(scene.sidecar.directory().join("view.jq"), "{tier: .body.tier").expect("write");
    scene.sidecar.substitute("mode = \"standard\"", "mode = \"ndh\"");
    let refused = scene
        .sidecar
        .wait_line(|line| line["level"] == "error" && line.to_string().contains("view.jq"));
    assert!(refused.is_some(), "{}", scene.sidecar.printed());
    assert_eq!(scene.leg(&all("Q0001AA")), "standard");
    std::fs::write(scene.sidecar.directory().join("view.jq"), "{tier: .body.tier}").expect("write");
    scene.sidecar.signal(rustix::process::Signal::HUP);
    scene.wait_mode("ndh");
}

#[test]
fn an_operator_sets_a_mode_with_a_reason_and_it_ends_by_itself() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url()).unit(SHADOW).start();
    let (code, said) = scene.command(&["route", "set", "person", "--mode", "standard", "--for", "2s"]);
    assert_eq!(code, Some(2), "without a reason: {said}");
    let arguments = ["--mode", "standard", "--reason", "trying Q1234ZZ", "--for", "2s"];
    let (code, said) = scene.command(&[&["route", "set", "person"], &arguments[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    let unit = scene.unit("person");
    assert_eq!(unit["effective"]["mode"], "standard");
    assert_eq!(
        unit["override"]["reason"], "trying *******",
        "a person is nobody's reason"
    );
    assert_eq!(scene.leg(&all("Q0001AA")), "standard");
    scene.wait_mode("shadow");
    wait_for("ndh answers", || scene.leg(&all("Q0001AA")) == "ndh");
    let expired = scene.sidecar.wait_line(|line| line["event"] == "override_expired");
    assert_eq!(expired.expect("an audit line")["audit"], true);
    let (code, said) = scene.command(&[
        "route", "set", "nobody", "--mode", "ndh", "--reason", "r", "--for", "2s",
    ]);
    assert!(code == Some(1) && said.contains("person"), "{code:?}: {said}");
}

#[test]
fn a_reset_brings_the_configured_mode_back_at_once() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url()).unit(SHADOW).start();
    scene.set("standard", None);
    wait_for("standard answers", || scene.leg(&all("Q0001AA")) == "standard");
    let (code, said) = scene.command(&["route", "reset", "person", "--reason", "enough"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(scene.mode(), "shadow");
    wait_for("ndh answers", || scene.leg(&all("Q0001AA")) == "ndh");
    assert_eq!(scene.unit("person")["override"], Value::Null);
}

#[test]
fn an_override_outlives_a_reload_and_a_restart() {
    let (ndh, other) = legs();
    let place = tempfile::tempdir().expect("a directory");
    let state = format!("state = {:?}", place.path().join("switch.json").display().to_string());
    let start = |unit: &str| {
        let switch = Switch::new(&ndh.url(), &other.url());
        switch.unit(unit).table("switch", &state).start()
    };
    let scene = start(SHADOW);
    scene.set("standard", None);
    scene.sidecar.substitute("min_samples = 5", "min_samples = 6");
    scene.wait_unit("read again", |unit| unit["configured"]["gate"]["min_samples"] == 6);
    assert_eq!(scene.mode(), "standard");
    drop(scene);
    let scene = start(SHADOW);
    assert_eq!(scene.mode(), "standard");
    assert_eq!(scene.leg(&all("Q0001AA")), "standard");
    drop(scene);
    std::fs::write(place.path().join("switch.json"), "{\"version\": 1, \"units\": [garbage").expect("write");
    let scene = start(SHADOW);
    assert_eq!(scene.mode(), "shadow", "what cannot be read is forgotten, and said");
    let said = scene
        .sidecar
        .wait_line(|line| line["level"] == "warn" && line.to_string().contains("switch.json"));
    assert!(said.is_some(), "{}", scene.sidecar.printed());
    assert_eq!(scene.leg(&all("Q0001AA")), "ndh");
}

#[test]
fn what_is_under_way_ends_with_the_leg_that_it_began_with() {
    let (ndh, other) = legs();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    ndh.act(move |asked| {
        let _ = gate.lock().expect("gate").recv_timeout(crate::support::patience());
        legacy(asked)
    });
    let scene = Switch::new(&ndh.url(), &other.url()).start();
    let mut client = scene.client();
    client.send(format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", all("Q0001AA")));
    wait_for("ndh is asked", || ndh.total() == 1);
    scene.set("standard", None);
    wait_for("standard answers", || {
        other.total() > 0 || scene.leg(&all("Q0002AA")) == "standard"
    });
    open.send(()).expect("open");
    assert_eq!(leg_of(&client.reply("GET").expect("a reply")), "ndh");
    assert_eq!(
        leg_of(&client.get(&all("Q0001AA")).expect("a reply")),
        "standard",
        "on the same connection"
    );
}

#[test]
fn a_state_that_cannot_be_written_is_said_and_stops_nothing() {
    let (ndh, other) = legs();
    let place = tempfile::tempdir().expect("a directory");
    let state = place.path().join("not").join("there").join("switch.json");
    let scene = Switch::new(&ndh.url(), &other.url())
        .table("switch", &format!("state = {:?}", state.display().to_string()))
        .start();
    scene.set("standard", None);
    wait_for("standard answers", || scene.leg(&all("Q0001AA")) == "standard");
    let said = scene
        .sidecar
        .wait_line(|line| line["level"] == "warn" && line.to_string().contains("cannot be written"));
    assert!(said.is_some(), "{}", scene.sidecar.printed());
}

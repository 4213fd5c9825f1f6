//! The switch-over in the exposition: every family, well formed, and counters that never go back.

use std::sync::Arc;
use std::time::Duration;

use super::super::strict::parse;
use super::*;
use crate::compare::{Difference, Kind, Verdict};
use crate::switch::evidence::Answered;
use crate::switch::report::{Frame, QUIET_DAYS, RouteFacts};
use crate::switch::{Able, LastUsed, Order, Standing, Terms};

const NOW: i64 = 1_800_000_000;

fn seen(since: i64, mismatches: u64) -> Evidence {
    let mut evidence = Evidence::new(since, Duration::from_secs(60));
    let difference = |known: Option<&str>| Difference {
        pointer: "/tier".to_owned(),
        kind: Kind::Value,
        known: known.map(str::to_owned),
    };
    for _ in 0..mismatches {
        evidence.judged(Duration::ZERO, &Verdict::Mismatch(vec![difference(None)]));
    }
    evidence.judged(Duration::ZERO, &Verdict::Known(vec![difference(Some("level"))]));
    evidence.judged(Duration::ZERO, &Verdict::Refused(Leg::Standard));
    evidence.dropped("queue");
    evidence.again(true);
    evidence.fell_back();
    for (to_application, error) in [(true, false), (false, true)] {
        let answer = Answered {
            leg: Leg::Standard,
            error,
            to_application,
            took: Duration::from_millis(20),
        };
        evidence.answered(Duration::ZERO, answer);
    }
    evidence
}

fn report(evidence: &Evidence) -> Report {
    let terms = Terms {
        mode: Mode::Shadow,
        able: Able::ALL,
        ..Terms::default()
    };
    let (mut standing, _) = Standing::new("person", terms, None, None, NOW);
    let order = Order {
        mode: Mode::Canary,
        share: Some(0.25),
        reason: "first look at A1234BC".to_owned(),
        by: "uid 0".to_owned(),
        hold: Duration::from_secs(600),
    };
    standing.apply(crate::switch::Event::Set(order), NOW).expect("set");
    let mut last_used = LastUsed::default();
    last_used.note(NOW - 5, false);
    let facts = RouteFacts {
        route: "all",
        comparable: true,
        evidence,
        last_used,
        known: Vec::new(),
    };
    let frame = Frame {
        now: NOW,
        known_since: NOW - 1000,
        quiet_days: QUIET_DAYS,
    };
    Report::new(NOW, vec![Unit::new(&standing, None, &[facts], frame)])
}

#[test]
fn who_answers_and_what_was_compared_is_written_as_well_formed_text() {
    let metrics = Arc::new(Metrics::new(1));
    let evidence = seen(1, 2);
    metrics.seen("person", "all", "/all/{noms}", &evidence);
    metrics.switch(report(&evidence));
    metrics.switched("person", "override_set");
    metrics.beside(Some(Beside { queued: 3, bytes: 4096 }));
    let text = metrics.exposition().expect("text");
    parse(&text);
    for line in [
        r#"route_mode{unit="person",mode="canary"} 1"#,
        r#"route_mode{unit="person",mode="shadow"} 0"#,
        r#"route_mode_configured{unit="person",mode="shadow"} 1"#,
        r#"route_standard_share{unit="person"} 0.25"#,
        r#"route_override_expires_timestamp_seconds{unit="person"} 1800000600"#,
        r#"route_events_total{unit="person",event="override_set"} 1"#,
        r#"route_events_total{unit="person",event="rolled_back"} 0"#,
        r#"comparisons_total{unit="person",route="/all/{noms}",verdict="mismatch"} 2"#,
        r#"comparisons_total{unit="person",route="/all/{noms}",verdict="match"} 0"#,
        r#"differences_total{unit="person",route="/all/{noms}",pointer="/tier",kind="value",known=""} 2"#,
        r#"differences_total{unit="person",route="/all/{noms}",pointer="/tier",kind="value",known="level"} 1"#,
        r#"comparisons_dropped_total{unit="person",route="/all/{noms}",reason="queue"} 1"#,
        r#"comparisons_refused_total{unit="person",route="/all/{noms}",leg="standard"} 1"#,
        r#"comparisons_asked_again_total{unit="person",route="/all/{noms}"} 1"#,
        r#"comparisons_recovered_total{unit="person",route="/all/{noms}"} 1"#,
        r#"leg_answers_total{unit="person",route="/all/{noms}",leg="standard",to="application"} 1"#,
        r#"leg_answers_total{unit="person",route="/all/{noms}",leg="standard",to="comparison"} 1"#,
        r#"leg_errors_total{unit="person",route="/all/{noms}",leg="standard"} 1"#,
        r#"fallbacks_total{unit="person",route="/all/{noms}"} 1"#,
        r#"gate_go{unit="person"} 0"#,
        r#"gate_lacks{unit="person",lack="samples"} 1"#,
        r#"gate_lacks{unit="person",lack="latency"} 0"#,
        r#"gate_lacks{unit="person",lack="rolled_back"} 0"#,
        r#"ndh_last_used_timestamp_seconds{unit="person"} 1799999995"#,
        r#"ndh_withdrawable{unit="person"} 0"#,
        "comparisons_queued 3",
        "comparisons_held_bytes 4096",
    ] {
        assert!(
            text.contains(&format!("\ndelius_sidecar_{line}\n")),
            "{line} in\n{text}"
        );
    }
    let p95 = r#"delius_sidecar_leg_duration_seconds{unit="person",leg="standard",quantile="0.95"} 0."#;
    assert!(text.contains(p95), "{p95} in\n{text}");
    for absent in [
        "route_rolled_back_timestamp_seconds{",
        "route_standard_since_timestamp_seconds{",
        "A1234BC",
    ] {
        assert!(!text.contains(absent), "{absent} in\n{text}");
    }
}

#[test]
fn no_counter_goes_back_when_evidence_begins_anew() {
    let metrics = Arc::new(Metrics::new(1));
    let counters = || {
        let lines = parse(&metrics.exposition().expect("text"));
        let counted = lines.into_iter().filter(|line| line.0.ends_with("_total"));
        counted
            .map(|line| ((line.0, line.1), line.2))
            .collect::<BTreeMap<_, _>>()
    };
    let mut before = counters();
    for (since, mismatches) in [(1, 5), (1, 7), (2, 0), (2, 9), (3, 9), (3, 1)] {
        metrics.seen("person", "all", "/all", &seen(since, mismatches));
        let after = counters();
        for (series, value) in &before {
            let now = after.get(series).copied().unwrap_or(-1.0);
            assert!(now >= *value, "{series:?}: {value}, then {now}");
        }
        before = after;
    }
}

//! What is shown of a constructed report, and what counts for GO.

use std::time::Duration;

use anstream::adapter::strip_str;

use super::*;
use crate::compare::{Difference, Kind, Verdict};
use crate::switch::report::{Frame, RouteFacts};
use crate::switch::{Able, Answered, Event, Evidence, Lack, LastUsed, Leg, Order, Short, Standing, Terms};

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;

fn standing(mode: Mode, able: Able) -> Standing {
    let terms = Terms {
        mode,
        share: 0.05,
        able,
        ..Terms::default()
    };
    Standing::new("person", terms, None, None, NOW - HOUR).0
}

fn evidence() -> Evidence {
    let mut evidence = Evidence::new(NOW - HOUR, Duration::from_secs(300));
    let difference = |pointer: &str, known: Option<&str>| Difference {
        pointer: pointer.to_owned(),
        kind: Kind::Value,
        known: known.map(str::to_owned),
    };
    let at = Duration::from_secs(9);
    for _ in 0..990 {
        evidence.judged(at, &Verdict::Match);
    }
    for _ in 0..2 {
        evidence.judged(at, &Verdict::Known(vec![difference("/mappaLevel", Some("latest"))]));
    }
    for _ in 0..8 {
        evidence.judged(at, &Verdict::Mismatch(vec![difference("/tier", None)]));
    }
    evidence.dropped("busy");
    evidence.again(true);
    let answer = Answered {
        leg: Leg::Standard,
        error: false,
        to_application: false,
        took: Duration::from_millis(40),
    };
    (0..100).for_each(|_| evidence.answered(at, answer));
    evidence
}

fn report(standing: &Standing, evidence: &Evidence) -> Report {
    let mut last_used = LastUsed::default();
    last_used.note(NOW - 3 * 86_400, false);
    let facts = RouteFacts {
        route: "all",
        comparable: true,
        evidence,
        last_used,
        known: vec![("latest", "the highest level is not the latest")],
    };
    let frame = Frame {
        now: NOW,
        known_since: 0,
        quiet_days: 28,
    };
    Report::new(NOW, vec![Unit::new(standing, None, &[facts], frame)])
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    let plain = strip_str(text).to_string();
    for part in parts {
        assert!(plain.contains(part), "{part:?} is not in\n{plain}");
    }
}

#[test]
fn a_report_says_no_go_and_exactly_what_is_missing() {
    let report = report(&standing(Mode::Shadow, Able::ALL), &evidence());
    let text = report::text(&report, NOW);
    says(
        &text,
        &[
            "person: NO-GO for canary",
            "missing         mismatch 0.8 % of 1,000, at most 0.1 %: /tier value 8 times",
            "mode            shadow (configured shadow)",
            "routes          all: 1000 compared, 8 mismatched, 0 missing",
            "compared        1000: 990 equal, 2 known, 8 mismatched, 0 missing on standard, 0 missing on ndh",
            "differences     /tier value 8",
            "known           latest 2: the highest level is not the latest",
            "dropped         busy 1",
            "standard        100 answers, 0 to the application, 0 errors; half within",
            "3 days since it was last used",
            "its access for this cannot be withdrawn",
            "person is in shadow: NDH answers",
            "NDH over all: 3 days since it was last used; its access cannot be withdrawn",
        ],
    );
    assert!(!go(&report, true) && !go(&report, false));
}

#[test]
fn compared_is_said_only_where_standard_answers() {
    for (mode, said) in [
        (Mode::Ndh, "(configured ndh)"),
        (Mode::Shadow, "(configured shadow)"),
        (Mode::Standard, "(configured standard, compared)"),
    ] {
        let terms = Terms {
            mode,
            compare: true,
            able: Able::ALL,
            ..Terms::default()
        };
        let standing = Standing::new("person", terms, None, None, NOW - HOUR).0;
        says(&report::text(&report(&standing, &evidence()), NOW), &[said]);
    }
}

#[test]
fn go_counts_what_was_named_else_what_has_a_standard_leg() {
    let mut good = Evidence::new(NOW - HOUR, Duration::from_secs(300));
    (0..500).for_each(|_| good.judged(Duration::ZERO, &Verdict::Match));
    let ready = report(&standing(Mode::Shadow, Able::ALL), &good);
    says(&report::text(&ready, NOW), &["person: GO for canary"]);
    let alone = report(&standing(Mode::Ndh, Able::default()), &Evidence::default());
    let mut both = ready.clone();
    both.units.extend(alone.units.clone());
    assert!(go(&ready, true) && go(&ready, false) && go(&both, false));
    assert!(!go(&both, true) && !go(&alone, false) && !go(&Report::default(), false));
}

#[test]
fn the_status_shows_override_and_roll_back_with_their_reasons() {
    let mut standing = standing(Mode::Standard, Able::ALL);
    let lack = Lack {
        kind: Short::Errors,
        sentence: "errors 50 %".to_owned(),
    };
    standing.apply(Event::Judged(vec![lack]), NOW - HOUR).expect("taken");
    let rolled_back = report(&standing, &evidence());
    let text = status::text(&rolled_back, NOW);
    says(
        &text,
        &[
            "UNIT    MODE    CONFIGURED  EVIDENCE",
            "person  shadow  standard    NO-GO for canary: 1000 compared, 8 mismatched, 0 missing; standard: 100 answers",
            "  ROLLED BACK from standard 60 minutes ago: errors 50 %",
            "its access cannot be withdrawn",
        ],
    );
    let order = Order {
        mode: Mode::Canary,
        share: None,
        reason: "a careful try".to_owned(),
        by: "uid 1".to_owned(),
        hold: Duration::from_secs(2 * 3_600),
    };
    standing.apply(Event::Set(order), NOW - HOUR).expect("set");
    let text = status::text(&report(&standing, &evidence()), NOW);
    says(
        &text,
        &[
            "person  canary 5 %  standard",
            "override for 60 minutes more, by uid 1: a careful try",
        ],
    );
}

#[test]
fn what_has_no_standard_leg_is_said_and_nothing_is_said_of_evidence() {
    let report = report(&standing(Mode::Ndh, Able::default()), &Evidence::default());
    says(
        &status::text(&report, NOW),
        &["person  ndh   ndh         no standard leg"],
    );
    let text = report::text(&report, NOW);
    says(&text, &["no standard leg: NDH alone can answer it"]);
    assert!(!text.contains("compared"), "{text}");
    says(&status::text(&Report::default(), NOW), &["no routes are configured"]);
}

#[test]
fn what_a_terminal_would_obey_is_taken_out_of_every_text() {
    let value = serde_json::json!({ "a\u{1b}": ["x\u{1b}[2J", { "y": "\u{7}" }], "n": 1 });
    let clean = harmless(value).to_string();
    assert!(!clean.contains("\\u001b") && !clean.contains("\\u0007"), "{clean}");
}

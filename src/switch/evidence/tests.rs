//! Evidence adds up, stays bounded, and forgets nothing but what the window is for.

use super::*;
use crate::compare;

const NOW: Duration = Duration::from_secs(1_000);

fn mismatch(pointer: &str) -> compare::Difference {
    compare::Difference {
        pointer: pointer.to_owned(),
        kind: compare::Kind::Value,
        known: None,
    }
}

fn known(pointer: &str, rule: &str) -> compare::Difference {
    compare::Difference {
        known: Some(rule.to_owned()),
        ..mismatch(pointer)
    }
}

fn answer(leg: Leg, error: bool) -> Answered {
    Answered {
        leg,
        error,
        to_application: true,
        took: Duration::from_millis(20),
    }
}

#[test]
fn every_pair_with_a_result_is_counted_once_and_others_apart() {
    let mut evidence = Evidence::new(7, Duration::from_secs(300));
    evidence.judged(NOW, &Verdict::Match);
    let all_known = vec![known("/a", "r"), known("/b", "r"), known("/c", "s")];
    evidence.judged(NOW, &Verdict::Known(all_known));
    evidence.judged(NOW, &Verdict::Mismatch(vec![mismatch("/a"), known("/b", "r")]));
    evidence.judged(NOW, &Verdict::MissingOnStandard(Vec::new()));
    evidence.judged(NOW, &Verdict::MissingOnNdh(Vec::new()));
    evidence.judged(NOW, &Verdict::NotComparable(Reason::Status(Leg::Ndh, 502)));
    evidence.judged(NOW, &Verdict::Refused(Leg::Standard));
    assert_eq!(evidence.compared, 5);
    let sum = evidence.matched + evidence.known + evidence.mismatched;
    assert_eq!(sum + evidence.missing_on_standard + evidence.missing_on_ndh, 5);
    assert_eq!(evidence.not_comparable["ndh_status_502"], 1);
    assert_eq!((evidence.refused.ndh, evidence.refused.standard), (0, 1));
    assert_eq!(evidence.known_rules["r"], 2, "pairs, not differences");
    assert_eq!(evidence.known_rules["s"], 1);
    let recent = evidence.window.recent(NOW);
    assert_eq!((recent.compared, recent.mismatched, recent.missing), (5, 1, 1));
}

#[test]
fn a_leg_refuses_until_something_succeeds_again() {
    let mut evidence = Evidence::default();
    evidence.judged(NOW, &Verdict::Refused(Leg::Ndh));
    assert!(evidence.refuses.ndh && !evidence.refuses.standard);
    evidence.judged(NOW, &Verdict::NotComparable(Reason::Unanswered(Leg::Standard)));
    assert!(evidence.refuses.ndh, "a timeout says nothing of credentials");
    evidence.judged(NOW, &Verdict::Match);
    assert!(!evidence.refuses.ndh);
    assert_eq!(evidence.refused.ndh, 1);
    evidence.judged(NOW, &Verdict::Refused(Leg::Standard));
    evidence.answered(NOW, answer(Leg::Standard, true));
    assert!(evidence.refuses.standard);
    evidence.answered(NOW, answer(Leg::Standard, false));
    assert!(!evidence.refuses.standard, "the application was answered");
}

#[test]
fn only_the_standard_leg_is_in_the_window_and_errors_have_no_latency() {
    let mut evidence = Evidence::default();
    evidence.answered(NOW, answer(Leg::Ndh, true));
    evidence.answered(NOW, answer(Leg::Standard, true));
    evidence.answered(NOW, answer(Leg::Standard, false));
    let recent = evidence.window.recent(NOW);
    assert_eq!((recent.answers, recent.errors, recent.latency.count()), (2, 1, 1));
    assert_eq!(evidence.answers.ndh.errors, 1);
    assert_eq!(evidence.answers.ndh.latency.count(), 0);
}

#[test]
fn differences_beyond_a_hundred_are_counted_together_also_in_a_sum() {
    let mut evidence = Evidence::default();
    for number in 0..150 {
        evidence.judged(NOW, &Verdict::Mismatch(vec![mismatch(&format!("/{number}"))]));
    }
    evidence.judged(NOW, &Verdict::Mismatch(vec![mismatch("/3")]));
    assert_eq!((evidence.differences.each.len(), evidence.differences.other), (100, 50));
    assert_eq!(evidence.differences.most_frequent(false)[0].pointer, "/3");
    let mut sum = evidence.clone();
    sum.merge(&evidence);
    assert_eq!((sum.differences.each.len(), sum.differences.other), (100, 100));
    assert_eq!(sum.differences.most_frequent(false)[0].count, 4);
}

#[test]
fn a_sum_is_the_same_as_if_one_had_seen_everything() {
    let (mut one, mut two, mut all) = (Evidence::new(9, NOW), Evidence::new(5, NOW), Evidence::new(5, NOW));
    let see = |evidence: &mut Evidence, first: bool| {
        if first {
            evidence.answered(NOW, answer(Leg::Standard, true));
            evidence.judged(NOW, &Verdict::Known(vec![known("/a", "r")]));
            evidence.again(false);
            evidence.dropped("busy");
        } else {
            evidence.answered(NOW * 2, answer(Leg::Ndh, false));
            evidence.judged(NOW * 2, &Verdict::Mismatch(vec![mismatch("/a"), known("/a", "r")]));
            evidence.judged(NOW * 2, &Verdict::Refused(Leg::Ndh));
            evidence.again(true);
            evidence.fell_back();
        }
    };
    see(&mut one, true);
    see(&mut two, false);
    see(&mut all, true);
    see(&mut all, false);
    one.merge(&two);
    assert_eq!(one.window.recent(NOW * 2), all.window.recent(NOW * 2));
    (one.window, all.window) = (Window::default(), Window::default());
    assert_eq!(one, all);
}

#[test]
fn evidence_survives_json_but_for_its_window() {
    let mut evidence = Evidence::new(9, NOW);
    evidence.answered(NOW, answer(Leg::Standard, false));
    evidence.judged(NOW, &Verdict::Mismatch(vec![mismatch("/tier")]));
    let json = serde_json::to_string(&evidence).expect("written");
    let mut back: Evidence = serde_json::from_str(&json).expect("read");
    assert_eq!(back.window.recent(NOW), Recent::default());
    back.window = evidence.window.clone();
    assert_eq!(back, evidence);
}

#[test]
fn a_reply_that_nothing_can_be_made_of_is_an_error_of_the_standard_leg() {
    let mut evidence = Evidence::new(0, Duration::from_secs(60));
    evidence.answered(
        NOW,
        Answered {
            leg: Leg::Standard,
            error: false,
            to_application: false,
            took: Duration::from_millis(5),
        },
    );
    evidence.judged(NOW, &Verdict::NotComparable(Reason::NoView(Leg::Standard)));
    evidence.judged(NOW, &Verdict::NotComparable(Reason::NoView(Leg::Ndh)));
    assert_eq!((evidence.answers.standard.errors, evidence.answers.ndh.errors), (1, 0));
    assert_eq!(evidence.window.recent(NOW).errors, 1);
}

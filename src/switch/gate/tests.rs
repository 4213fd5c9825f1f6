//! What a gate says, word for word.

use super::*;
use crate::compare::{Difference, Kind, Verdict};
use crate::switch::{Able, Answered};

const NOW: Duration = Duration::from_secs(5_000);

fn terms() -> Terms {
    Terms {
        able: Able::ALL,
        ..Terms::default()
    }
}

fn answers(evidence: &mut Evidence, good: u64, errors: u64, millis: u64) {
    for number in 0..good + errors {
        evidence.answered(
            NOW,
            Answered {
                leg: Leg::Standard,
                error: number >= good,
                to_application: true,
                took: Duration::from_millis(millis),
            },
        );
    }
}

fn pairs(evidence: &mut Evidence, number: u64, verdict: &Verdict) {
    (0..number).for_each(|_| evidence.judged(NOW, verdict));
}

fn mismatch() -> Verdict {
    Verdict::Mismatch(vec![Difference {
        pointer: "/tier".to_owned(),
        kind: Kind::Value,
        known: None,
    }])
}

fn good() -> Evidence {
    let mut evidence = Evidence::default();
    answers(&mut evidence, 1_000, 0, 20);
    pairs(&mut evidence, 500, &Verdict::Match);
    evidence
}

#[track_caller]
fn lacks(mode: Mode, terms: &Terms, evidence: &Evidence) -> Vec<String> {
    let decision = judge(terms, mode, evidence);
    assert_eq!(decision.go, decision.lacks.is_empty());
    decision.lacks.into_iter().map(|lack| lack.sentence).collect()
}

#[test]
fn good_evidence_is_go_for_the_next_step() {
    for (mode, next) in [
        (Mode::Shadow, Step::Canary),
        (Mode::Canary, Step::Standard),
        (Mode::Standard, Step::WithdrawNdh),
    ] {
        assert_eq!(judge(&terms(), mode, &good()), Decision::new(next, Vec::new()));
    }
    assert!(
        judge(&terms(), Mode::Ndh, &Evidence::default()).go,
        "to shadow nothing is asked for"
    );
}

#[test]
fn each_lack_is_said_in_words_and_numbers() {
    let mut few = Evidence::default();
    pairs(&mut few, 312, &Verdict::Match);
    assert_eq!(lacks(Mode::Shadow, &terms(), &few), ["312 of 500 samples"]);

    let mut differing = good();
    pairs(&mut differing, 492, &Verdict::Known(Vec::new()));
    pairs(&mut differing, 8, &mismatch());
    assert_eq!(
        lacks(Mode::Shadow, &terms(), &differing),
        ["mismatch 0.8 % of 1,000, at most 0.1 %: /tier value 8 times"]
    );

    let mut missing = good();
    pairs(&mut missing, 9, &Verdict::MissingOnStandard(Vec::new()));
    pairs(&mut missing, 1, &Verdict::MissingOnNdh(Vec::new()));
    assert_eq!(
        lacks(Mode::Shadow, &terms(), &missing),
        ["missing on one side 1.96 % of 510, at most 0.1 %: 9 on standard, 1 on ndh"]
    );

    let mut failing = good();
    answers(&mut failing, 0, 1_000, 20);
    assert_eq!(
        lacks(Mode::Shadow, &terms(), &failing),
        ["errors of the standard leg 50 % of 2,000, at most 1 %"]
    );

    let slow = Gate {
        max_p95: Some(Duration::from_millis(10)),
        ..Gate::default()
    };
    let slow = Terms { gate: slow, ..terms() };
    let said = lacks(Mode::Shadow, &slow, &good());
    assert!(
        said[0].starts_with("95 % of the standard leg's answers took up to 2"),
        "{said:?}"
    );

    let mut refusing = good();
    pairs(&mut refusing, 2, &Verdict::Refused(Leg::Standard));
    assert_eq!(
        lacks(Mode::Shadow, &terms(), &refusing),
        ["standard refuses our credentials (401 or 403, 2 times, and the last time too)"]
    );
}

#[test]
fn the_way_to_standard_takes_answers_to_the_application() {
    let mut evidence = Evidence::default();
    pairs(&mut evidence, 500, &Verdict::Match);
    assert!(judge(&terms(), Mode::Shadow, &evidence).go);
    assert_eq!(
        lacks(Mode::Canary, &terms(), &evidence),
        ["0 of 20 answers by standard to the application"]
    );
}

#[test]
fn where_comparing_is_off_a_canary_says_so_and_standard_is_judged_by_its_answers() {
    let mut evidence = Evidence::default();
    answers(&mut evidence, 500, 0, 20);
    assert_eq!(
        lacks(Mode::Canary, &terms(), &evidence),
        ["0 of 500 samples; nothing is compared in canary while `compare = false`"]
    );
    assert!(judge(&terms(), Mode::Standard, &evidence).go);
    let compares = Terms {
        compare: true,
        ..terms()
    };
    assert_eq!(lacks(Mode::Standard, &compares, &evidence), ["0 of 500 samples"]);
}

#[test]
fn what_cannot_be_compared_is_never_go_from_ndh_and_judged_by_its_answers_later() {
    let able = Able {
        compare: false,
        ..Able::ALL
    };
    let writes = Terms { able, ..terms() };
    assert_eq!(judge(&writes, Mode::Ndh, &good()).lacks[0].kind, Short::Mode);
    let mut evidence = Evidence::default();
    answers(&mut evidence, 499, 0, 20);
    assert_eq!(lacks(Mode::Standard, &writes, &evidence).len(), 1);
    answers(&mut evidence, 1, 0, 20);
    assert!(judge(&writes, Mode::Standard, &evidence).go);
}

#[test]
fn a_window_is_judged_only_where_standard_answers_and_there_is_enough() {
    let mut evidence = Evidence::default();
    answers(&mut evidence, 0, 19, 20);
    assert_eq!(breach(&terms(), Mode::Standard, &evidence, NOW), None, "19 of 20");
    answers(&mut evidence, 0, 1, 20);
    let reasons = breach(&terms(), Mode::Standard, &evidence, NOW).expect("broken");
    assert_eq!(
        reasons[0].sentence,
        "errors of the standard leg 100 % of 20, at most 1 %, in the last 5 minutes"
    );
    assert!(breach(&terms(), Mode::Canary, &evidence, NOW).is_some());
    assert_eq!(breach(&terms(), Mode::Shadow, &evidence, NOW), None);
    assert_eq!(breach(&terms(), Mode::Ndh, &evidence, NOW), None);
    let later = NOW + Duration::from_secs(301);
    assert_eq!(breach(&terms(), Mode::Standard, &evidence, later), None, "forgotten");
}

#[test]
fn two_bad_results_roll_nothing_back_and_three_above_the_bound_do() {
    let mut evidence = Evidence::default();
    answers(&mut evidence, 30, 2, 20);
    pairs(&mut evidence, 30, &Verdict::Match);
    pairs(&mut evidence, 2, &mismatch());
    pairs(&mut evidence, 2, &Verdict::MissingOnStandard(Vec::new()));
    assert_eq!(breach(&terms(), Mode::Standard, &evidence, NOW), None);
    pairs(&mut evidence, 1, &mismatch());
    pairs(&mut evidence, 1, &Verdict::MissingOnStandard(Vec::new()));
    answers(&mut evidence, 0, 1, 20);
    let kinds: Vec<Short> = breach(&terms(), Mode::Standard, &evidence, NOW)
        .expect("broken")
        .iter()
        .map(|lack| lack.kind)
        .collect();
    assert_eq!(kinds, [Short::Errors, Short::Mismatch, Short::Missing]);
    // The same number among many is within the bound.
    let mut many = Evidence::default();
    answers(&mut many, 1_000, 3, 20);
    assert_eq!(breach(&terms(), Mode::Standard, &many, NOW), None);
}

#[test]
fn slowness_breaks_the_gate_where_a_bound_is_set() {
    let mut evidence = Evidence::default();
    answers(&mut evidence, 100, 0, 900);
    assert_eq!(breach(&terms(), Mode::Standard, &evidence, NOW), None);
    let gate = Gate {
        max_p95: Some(Duration::from_millis(500)),
        ..Gate::default()
    };
    let bounded = Terms { gate, ..terms() };
    let reasons = breach(&bounded, Mode::Standard, &evidence, NOW).expect("broken");
    assert_eq!(reasons[0].kind, Short::Latency);
}

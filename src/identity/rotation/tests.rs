//! The state machine as a story.

use super::*;

pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const DAY: i64 = 86_400;
pub(super) const AUTOMATIC: Manner = Manner {
    manual: false,
    untried_before: 3_600,
    skew: 60,
};
pub(super) const MANUAL: Manner = Manner {
    manual: true,
    ..AUTOMATIC
};
pub(super) const TERMS: Digest = [9; 32];

pub(super) fn paper(name: u8, from: i64, to: i64) -> Paper {
    Paper {
        digest: [name; 32],
        not_before: from,
        not_after: to,
    }
}

pub(super) fn old() -> Paper {
    paper(1, NOW - 300 * DAY, NOW + 20 * DAY)
}

pub(super) fn new() -> Paper {
    paper(2, NOW - DAY, NOW + 300 * DAY)
}

pub(super) fn passed() -> Verdict {
    Verdict::Passed(String::from("it answered 200"))
}

pub(super) fn rejected() -> Verdict {
    Verdict::Rejected(String::from("unknown CA"))
}

pub(super) fn unreachable() -> Verdict {
    Verdict::Unreachable(String::from("connection refused"))
}

/// With the old one in use as generation 1.
pub(super) fn started(manner: Manner) -> Rotation {
    let mut rotation = Rotation::new(manner, 0);
    assert_eq!(rotation.terms(TERMS, NOW), []);
    let actions = rotation.found(Place::Configured, old(), NOW);
    assert_eq!(actions, [promote(1, None, Why::Start)]);
    rotation
}

/// With generation 2 in use and generation 1 as the way back.
pub(super) fn rotated(manner: Manner) -> Rotation {
    let mut rotation = started(manner);
    rotation.found(Place::Configured, new(), NOW);
    rotation.tried(2, &passed(), NOW);
    if manner.manual {
        rotation.promote(NOW).unwrap();
    }
    assert_eq!(number(&rotation), 2);
    rotation
}

pub(super) fn promote(number: u64, from: Option<u64>, why: Why) -> Action {
    Action::Promote { number, from, why }
}

pub(super) fn number(rotation: &Rotation) -> u64 {
    rotation.in_use().map_or(0, |held| held.number)
}

fn phase(rotation: &Rotation) -> Option<&Phase> {
    rotation.candidate().map(|candidate| &candidate.phase)
}

#[test]
fn a_new_certificate_is_tried_and_then_promoted_and_the_old_one_is_the_way_back() {
    let mut rotation = started(AUTOMATIC);
    assert_eq!(rotation.found(Place::Configured, new(), NOW), [Action::Try(2)]);
    assert_eq!(number(&rotation), 1, "the old one works on meanwhile");
    let why = Why::TrialPassed(String::from("it answered 200"));
    assert_eq!(rotation.tried(2, &passed(), NOW), [promote(2, Some(1), why)]);
    assert_eq!(rotation.previous().map(|held| held.number), Some(1));
    assert_eq!(
        rotation.found(Place::Configured, new(), NOW),
        [],
        "the same again is no news"
    );
}

#[test]
fn a_certificate_that_the_other_side_rejects_is_tried_again_later_and_never_used_meanwhile() {
    let mut rotation = started(AUTOMATIC);
    rotation.found(Place::Configured, new(), NOW);
    assert_eq!(rotation.tried(2, &rejected(), NOW), []);
    assert!(matches!(phase(&rotation), Some(Phase::Again { rejected: true, .. })));
    assert_eq!(rotation.tick(NOW + 5), []);
    assert_eq!(
        rotation.tick(NOW + 13),
        [Action::Try(2)],
        "they may have been told of it by now"
    );
    assert_eq!(rotation.tried(2, &passed(), NOW + 14).len(), 1);
    assert_eq!(number(&rotation), 2);
}

#[test]
fn unreachable_is_not_rejected_and_untried_is_for_the_last_hour_only() {
    let mut rotation = started(AUTOMATIC);
    rotation.found(Place::Configured, new(), NOW);
    assert_eq!(rotation.tried(2, &unreachable(), NOW), []);
    assert_eq!(number(&rotation), 1);
    let late = old().not_after - 3_599;
    let why = Why::AboutToExpire(String::from("connection refused"));
    assert_eq!(rotation.tick(late), [promote(2, Some(1), why)]);
}

#[test]
fn a_rejected_certificate_comes_into_use_when_the_old_one_has_expired() {
    let mut rotation = started(AUTOMATIC);
    rotation.found(Place::Configured, new(), NOW);
    rotation.tried(2, &rejected(), NOW);
    assert_eq!(rotation.tick(old().not_after - 10), [Action::Try(2)]);
    rotation.tried(2, &rejected(), old().not_after - 10);
    let expired = old().not_after + 61;
    assert_eq!(rotation.tick(expired), [promote(2, Some(1), Why::NothingToLose)]);
}

#[test]
fn one_that_is_not_valid_yet_waits_for_its_time() {
    let mut rotation = started(AUTOMATIC);
    let future = paper(3, NOW + DAY, NOW + 90 * DAY);
    assert_eq!(rotation.found(Place::Configured, future, NOW), []);
    assert_eq!(phase(&rotation), Some(&Phase::Waiting));
    assert_eq!(rotation.promote(NOW), Err(Objection::NotYetValid(2)));
    assert_eq!(rotation.tick(NOW + DAY - 1), []);
    assert_eq!(rotation.tick(NOW + DAY), [Action::Try(2)]);
}

#[test]
fn with_nothing_in_use_a_date_within_the_clocks_difference_does_not_matter() {
    let mut rotation = Rotation::new(AUTOMATIC, 0);
    rotation.terms(TERMS, NOW);
    let almost = paper(3, NOW + 50, NOW + DAY);
    assert_eq!(
        rotation.found(Place::Configured, almost, NOW),
        [promote(1, None, Why::Start)]
    );
}

#[test]
fn manual_promotion_waits_for_the_operator() {
    let mut rotation = started(MANUAL);
    assert_eq!(rotation.promote(NOW), Err(Objection::NothingToPromote));
    rotation.found(Place::Staged, new(), NOW);
    assert_eq!(rotation.tried(2, &passed(), NOW), []);
    assert!(matches!(phase(&rotation), Some(Phase::Passed { .. })));
    assert_eq!(rotation.tick(NOW + DAY), []);
    assert_eq!(
        rotation.promote(NOW + DAY),
        Ok(vec![promote(2, Some(1), Why::Operator)])
    );
}

#[test]
fn an_operator_who_asks_during_the_trial_gets_it_when_it_passes() {
    let mut rotation = started(MANUAL);
    rotation.found(Place::Staged, new(), NOW);
    assert_eq!(rotation.promote(NOW), Ok(vec![]));
    assert_eq!(rotation.tried(2, &passed(), NOW).len(), 1);
}

#[test]
fn an_operator_cannot_push_a_certificate_past_its_trial() {
    let mut rotation = started(MANUAL);
    rotation.found(Place::Staged, new(), NOW);
    rotation.tried(2, &rejected(), NOW);
    assert_eq!(rotation.promote(NOW), Ok(vec![Action::Try(2)]));
    assert_eq!(rotation.tried(2, &rejected(), NOW), []);
    assert_eq!(number(&rotation), 1);
    assert_eq!(rotation.tick(NOW + DAY), [Action::Try(2)]);
    assert_eq!(rotation.tried(2, &passed(), NOW + DAY), [], "nobody asked today");
}

#[test]
fn manual_promotion_gives_way_when_nothing_valid_is_in_use() {
    let mut rotation = started(MANUAL);
    rotation.found(Place::Staged, new(), NOW);
    rotation.tried(2, &passed(), NOW);
    assert_eq!(
        rotation.tick(old().not_after + 61),
        [promote(2, Some(1), Why::NothingToLose)]
    );
}

#[test]
fn a_roll_back_goes_back_at_once_and_stays_there() {
    let mut rotation = rotated(AUTOMATIC);
    assert_eq!(rotation.roll_back(NOW), Ok(vec![promote(1, Some(2), Why::RollBack)]));
    assert_eq!(
        rotation.found(Place::Configured, new(), NOW),
        [],
        "its files still lie there"
    );
    assert_eq!(rotation.tick(NOW + DAY), []);
    assert_eq!(rotation.reconsider(NOW + DAY), []);
    assert_eq!(rotation.roll_back(NOW), Err(Objection::NothingToGoBackTo));
    assert_eq!(
        rotation.promote(NOW + DAY),
        Ok(vec![promote(2, Some(1), Why::Operator)])
    );
}

#[test]
fn there_is_no_roll_back_to_an_expired_certificate() {
    let mut rotation = rotated(AUTOMATIC);
    assert_eq!(
        rotation.roll_back(old().not_after + 61),
        Err(Objection::PreviousExpired(1))
    );
    assert_eq!(number(&rotation), 2);
}

#[test]
fn a_candidate_whose_files_are_taken_away_or_changed_is_withdrawn() {
    let mut rotation = started(AUTOMATIC);
    rotation.found(Place::Staged, new(), NOW);
    rotation.unfit(Place::Configured);
    assert!(rotation.candidate().is_some(), "another place");
    rotation.unfit(Place::Staged);
    assert_eq!(rotation.candidate(), None);
    assert_eq!(
        rotation.tried(2, &passed(), NOW),
        [],
        "the trial was of something withdrawn"
    );
    assert_eq!(number(&rotation), 1);
    assert_eq!(rotation.found(Place::Staged, new(), NOW), [Action::Try(3)], "put back");
}

#[test]
fn putting_the_old_files_back_withdraws_the_candidate() {
    let mut rotation = started(AUTOMATIC);
    rotation.found(Place::Configured, new(), NOW);
    rotation.tried(2, &unreachable(), NOW);
    assert_eq!(rotation.found(Place::Configured, old(), NOW), []);
    assert_eq!(rotation.candidate(), None);
}

#[test]
fn the_configured_files_follow_a_promotion_from_the_staged_ones() {
    let mut rotation = started(AUTOMATIC);
    rotation.found(Place::Staged, new(), NOW);
    rotation.tried(2, &passed(), NOW);
    assert_eq!(rotation.found(Place::Configured, old(), NOW), [], "it still lies there");
    assert_eq!(rotation.found(Place::Configured, new(), NOW), []);
    assert_eq!((number(&rotation), rotation.candidate()), (2, None));
}

#[test]
fn files_that_were_gone_for_a_moment_do_not_undo_a_promotion_from_the_staged_place() {
    let mut rotation = started(AUTOMATIC);
    rotation.found(Place::Staged, new(), NOW);
    rotation.tried(2, &passed(), NOW);
    rotation.unfit(Place::Configured);
    assert_eq!(rotation.found(Place::Configured, old(), NOW), []);
    assert_eq!(rotation.candidate(), None);
}

#[test]
fn a_certificate_that_passed_is_promoted_when_the_settings_say_so_later() {
    let mut rotation = started(MANUAL);
    rotation.found(Place::Staged, new(), NOW);
    rotation.tried(2, &passed(), NOW);
    rotation.set_manner(AUTOMATIC);
    assert_eq!(rotation.tick(NOW).len(), 1);
    assert_eq!(number(&rotation), 2);
}

#[test]
fn a_restart_does_not_go_back_to_what_was_left_in_the_staged_directory() {
    let mut rotation = Rotation::new(AUTOMATIC, 0);
    rotation.terms(TERMS, NOW);
    rotation.found(Place::Configured, new(), NOW);
    assert_eq!(rotation.found(Place::Staged, old(), NOW), []);
    assert_eq!(phase(&rotation), Some(&Phase::SetAside { rolled_back: false }));
    let mut rotation = started(AUTOMATIC);
    assert_eq!(
        rotation.found(Place::Staged, new(), NOW),
        [Action::Try(2)],
        "but goes on to the next one"
    );
}

#[test]
fn changed_terms_are_tried_with_the_identity_in_use_and_need_no_operator() {
    let mut rotation = started(MANUAL);
    assert_eq!(rotation.terms([8; 32], NOW), [Action::Try(2)]);
    let actions = rotation.tried(2, &rejected(), NOW);
    assert!(
        matches!(actions[..], [Action::Promote { number: 2, .. }]),
        "{actions:?}"
    );
    assert_eq!(rotation.terms([7; 32], NOW), [Action::Try(3)]);
    assert_eq!(
        rotation.tried(3, &unreachable(), NOW),
        [],
        "a wrong trust bundle must not replace a good one"
    );
    assert_eq!(rotation.terms([8; 32], NOW), [], "put back");
    assert_eq!(rotation.candidate(), None);
}

#[test]
fn a_list_that_revokes_the_server_comes_into_force_although_the_trial_fails() {
    let mut rotation = started(AUTOMATIC);
    rotation.terms([8; 32], NOW);
    let verdict = Verdict::ServerRevoked(String::from("revoked"));
    let expected = promote(2, Some(1), Why::Revoked(String::from("revoked")));
    assert_eq!(rotation.tried(2, &verdict, NOW), [expected]);
}

#[test]
fn terms_that_come_late_start_what_waited_for_them() {
    let mut rotation = Rotation::new(AUTOMATIC, 4);
    assert_eq!(rotation.found(Place::Configured, old(), NOW), []);
    assert_eq!(rotation.terms(TERMS, NOW), [promote(5, None, Why::Start)]);
}

#[test]
fn a_clock_that_was_set_back_does_not_put_a_trial_off_for_ever() {
    let mut rotation = started(AUTOMATIC);
    rotation.found(Place::Configured, new(), NOW);
    rotation.tried(2, &rejected(), NOW);
    assert_eq!(rotation.tick(NOW - DAY + 1), [Action::Try(2)]);
}

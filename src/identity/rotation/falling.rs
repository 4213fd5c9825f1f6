//! The other side refuses what is in use: the story of the way back.

use super::tests::{AUTOMATIC, MANUAL, NOW, new, number, old, passed, promote, rejected, rotated, started};
use super::*;

#[test]
fn the_way_back_is_tried_before_it_is_taken() {
    let mut rotation = rotated(AUTOMATIC);
    assert_eq!(rotation.refused(1, NOW), [], "not the one in use");
    assert_eq!(rotation.refused(2, NOW), [Action::Try(1)]);
    assert_eq!(rotation.refused(2, NOW), [], "it is being tried already");
    assert_eq!(rotation.tried(1, &passed(), NOW), [promote(1, Some(2), Why::FallBack)]);
    assert_eq!(rotation.tick(NOW + 59), []);
    assert_eq!(
        rotation.tick(NOW + 75),
        [Action::Try(2)],
        "the newer one has another chance"
    );
    assert_eq!(rotation.tried(2, &passed(), NOW + 75).len(), 1);
    rotation.refused(2, NOW + 80);
    rotation.tried(1, &passed(), NOW + 80);
    assert_eq!(rotation.tick(NOW + 80 + 119), [], "which takes longer each time");
}

#[test]
fn changed_terms_leave_the_way_back_to_the_certificate_before() {
    let mut rotation = rotated(AUTOMATIC);
    rotation.terms([8; 32], NOW);
    rotation.tried(3, &passed(), NOW);
    assert_eq!(number(&rotation), 3, "the same certificate on new terms");
    assert_eq!(rotation.refused(3, NOW), [Action::Try(1)]);
    assert_eq!(rotation.tried(1, &passed(), NOW), [promote(1, Some(3), Why::FallBack)]);
    assert_eq!(
        rotation.in_use().map(|held| held.terms),
        Some([8; 32]),
        "on the new terms"
    );
}

#[test]
fn a_way_back_that_does_not_work_either_is_not_taken() {
    let mut rotation = rotated(AUTOMATIC);
    rotation.refused(2, NOW);
    let actions = rotation.tried(1, &rejected(), NOW);
    assert!(matches!(actions[..], [Action::NoWayBack(_)]), "{actions:?}");
    assert_eq!(number(&rotation), 2);
    assert_eq!(
        rotation.refused(2, NOW + 1),
        [Action::Try(1)],
        "it is tried again when refused again"
    );
}

#[test]
fn a_refused_certificate_without_a_way_back_stays_and_is_said() {
    let mut rotation = started(AUTOMATIC);
    assert!(matches!(rotation.refused(1, NOW)[..], [Action::NoWayBack(_)]));
    let mut rotation = rotated(AUTOMATIC);
    let late = old().not_after + 100;
    assert!(matches!(rotation.refused(2, late)[..], [Action::NoWayBack(_)]));
}

#[test]
fn when_the_one_in_use_is_refused_the_next_one_is_tried_again_soon() {
    let mut rotation = started(AUTOMATIC);
    rotation.found(Place::Configured, new(), NOW);
    rotation.tried(2, &rejected(), NOW);
    rotation.tick(NOW + 20);
    rotation.tried(2, &rejected(), NOW + 20);
    assert_eq!(rotation.tick(NOW + 30), [], "its second pause is longer");
    assert!(matches!(rotation.refused(1, NOW + 30)[..], [Action::NoWayBack(_)]));
    assert_eq!(rotation.tick(NOW + 35), [Action::Try(2)], "they may have changed over");
}

#[test]
fn when_the_other_side_is_not_trusted_any_more_the_new_trust_is_tried_again_soon() {
    let mut rotation = started(AUTOMATIC);
    rotation.terms([8; 32], NOW);
    let unreachable = Verdict::Unreachable(String::from("unknown issuer"));
    let mut now = NOW;
    for _ in 0..8 {
        rotation.tried(2, &unreachable, now);
        now += 73;
        assert_eq!(rotation.tick(now), [Action::Try(2)]);
    }
    rotation.tried(2, &unreachable, now);
    assert_eq!(rotation.tick(now + 30), []);
    rotation.doubted(1, now + 30);
    assert_eq!(rotation.tick(now + 32), [Action::Try(2)]);
}

#[test]
fn the_alarm_names_what_the_operator_could_promote() {
    let mut rotation = rotated(MANUAL);
    rotation.roll_back(NOW).unwrap();
    let actions = rotation.refused(1, NOW);
    assert!(
        matches!(&actions[..], [Action::NoWayBack(reason)] if reason.contains("generation 2")),
        "{actions:?}"
    );
}

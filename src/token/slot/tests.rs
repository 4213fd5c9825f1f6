//! The place of one token: cases by hand, and any sequence of events against the four promises.

use proptest::prelude::*;

use super::super::gate::Kind;
use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn life(asked: u64, seconds: u64) -> Life {
    Life::new(
        Duration::from_secs(asked),
        Duration::from_secs(seconds),
        Duration::from_secs(60),
        0.0,
    )
}

fn fresh(now: u64, serial: u64) -> Slot<u64> {
    let mut slot = Slot::default();
    assert_eq!(slot.wanted(seconds(now), &Gate::default(), 100 + serial), Answer::Fly);
    assert!(slot.fetched(100 + serial, serial, serial, life(now, 1200)));
    slot
}

#[test]
fn everybody_waits_for_the_one_fetch() {
    let (mut slot, gate) = (Slot::<u64>::default(), Gate::default());
    assert_eq!(slot.wanted(seconds(1), &gate, 1), Answer::Fly);
    for number in 2..9 {
        assert_eq!(slot.wanted(seconds(1), &gate, number), Answer::Wait);
    }
    assert!(slot.fetched(1, 7, 70, life(1, 1200)));
    assert_eq!(slot.wanted(seconds(2), &gate, 9), Answer::Ready(70));
}

#[test]
fn a_token_at_its_last_use_is_not_handed_out_although_no_other_can_be_had() {
    let mut slot = fresh(0, 1);
    let mut gate = Gate::default();
    gate.close(seconds(1000), Trouble::new(Kind::Unreachable, "off"), 0.5);
    assert_eq!(slot.wanted(seconds(1189), &gate, 2), Answer::Ready(1));
    gate.close(seconds(1189), Trouble::new(Kind::Refused, "our client"), 0.5);
    match slot.wanted(seconds(1190), &gate, 2) {
        Answer::Pause(_, Some(trouble)) => assert_eq!(trouble.kind, Kind::Refused),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_is_renewed_while_it_is_still_handed_out() {
    let (mut slot, gate) = (fresh(0, 1), Gate::default());
    assert_eq!(slot.due(&gate), Some(seconds(1140)));
    assert!(!slot.renew(seconds(1139), &gate, 2));
    assert!(slot.renew(seconds(1140), &gate, 3));
    assert_eq!(slot.due(&gate), None, "one is in flight");
    assert_eq!(slot.wanted(seconds(1141), &gate, 4), Answer::Ready(1));
    assert!(slot.fetched(3, 2, 2, life(1141, 1200)));
    assert_eq!(slot.wanted(seconds(1142), &gate, 5), Answer::Ready(2));
}

#[test]
fn a_failed_renewal_is_tried_again_before_the_end() {
    let (mut slot, mut gate) = (fresh(0, 1), Gate::default());
    assert!(slot.renew(seconds(1140), &gate, 2));
    assert!(slot.ended(2));
    gate.close(seconds(1141), Trouble::new(Kind::Timeout, "slow"), 0.5);
    let due = slot.due(&gate).expect("not in flight");
    assert!(due > seconds(1141) && due < seconds(1150), "{due:?}");
}

#[test]
fn only_the_current_token_is_dropped_by_a_refusal() {
    let (mut slot, gate) = (fresh(0, 1), Gate::default());
    assert_eq!(slot.refused(seconds(5), 1, false), Refusal::Another);
    assert_eq!(slot.wanted(seconds(5), &gate, 2), Answer::Fly);
    assert!(slot.fetched(2, 2, 2, life(5, 1200)));
    for late in 0..9 {
        assert_eq!(
            slot.refused(seconds(6 + late), 1, false),
            Refusal::Another,
            "an older one"
        );
        assert_eq!(slot.usable(seconds(6 + late)), Some(&2));
    }
}

#[test]
fn an_api_that_refuses_every_fresh_token_is_not_answered_with_a_fetch_each_time() {
    let (mut slot, gate) = (fresh(0, 1), Gate::default());
    assert_eq!(slot.refused(seconds(5), 1, false), Refusal::Another);
    assert_eq!(slot.wanted(seconds(5), &gate, 2), Answer::Fly);
    assert!(slot.fetched(2, 2, 2, life(5, 1200)));
    for now in 6..35 {
        assert_eq!(slot.refused(seconds(now), 2, false), Refusal::Standing);
        assert_eq!(
            slot.wanted(seconds(now), &gate, 3),
            Answer::Ready(2),
            "for those who are let in"
        );
    }
    assert_eq!(
        slot.refused(seconds(35), 2, false),
        Refusal::Another,
        "after a while, once more"
    );
}

#[test]
fn tokens_that_are_over_as_they_come_do_not_set_off_a_storm() {
    let (mut slot, gate) = (Slot::<u64>::default(), Gate::default());
    assert_eq!(slot.wanted(seconds(1), &gate, 1), Answer::Fly);
    assert!(slot.fetched(1, 1, 1, life(1, 0)));
    match slot.wanted(seconds(1), &gate, 2) {
        Answer::Pause(until, None) => assert_eq!(until, seconds(1) + BETWEEN_FETCHES),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_older_fetch_brings_is_not_taken() {
    let (mut slot, gate) = (fresh(0, 1), Gate::default());
    assert!(slot.renew(seconds(1140), &gate, 2));
    assert!(!slot.fetched(1, 9, 9, life(0, 9000)) && !slot.ended(1));
    assert_eq!(slot.usable(seconds(1141)), Some(&1));
    assert!(slot.in_flight());
}

#[derive(Clone, Debug)]
enum Step {
    Wanted,
    Renew,
    Occupy,
    /// The fetch in flight brings a token of this life in milliseconds.
    Fetched(u64),
    /// The fetch in flight fails, for good or for a while.
    Failed(bool),
    /// The API refuses the token handed out last, or the one before it.
    Refused(bool),
    /// So many milliseconds pass.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Wanted),
        1 => Just(Step::Renew),
        1 => Just(Step::Occupy),
        3 => prop_oneof![Just(0u64), 1u64..3_000, 60_000u64..4_000_000].prop_map(Step::Fetched),
        1 => any::<bool>().prop_map(Step::Failed),
        2 => any::<bool>().prop_map(Step::Refused),
        3 => prop_oneof![1u64..400, 400u64..50_000, 50_000u64..2_000_000].prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_four_promises_hold(steps in prop::collection::vec(step(), 1..200)) {
        let mut slot = Slot::<u64>::default();
        let (mut outer, mut now, mut number) = (Gate::default(), Duration::from_secs(1), 0);
        let mut ends = std::collections::BTreeMap::new();
        let mut handed = [0; 2];
        let (mut in_flight, mut set_out): (Option<u64>, Duration) = (None, now);
        let mut drops: Vec<Duration> = Vec::new();
        for step in steps {
            number += 1;
            let mut flies = false;
            match step {
                Step::Wanted => match slot.wanted(now, &outer, number) {
                    Answer::Ready(token) => {
                        prop_assert!(now < ends[&token], "an expired token was handed out");
                        handed = [token, handed[0]];
                    }
                    Answer::Fly => flies = true,
                    Answer::Wait => prop_assert!(in_flight.is_some(), "waits for nothing"),
                    Answer::Pause(until, _) => prop_assert!(until > now, "a pause that is over"),
                },
                Step::Renew => flies = slot.renew(now, &outer, number),
                Step::Occupy => flies = slot.occupy(now, number),
                Step::Fetched(millis) => if let Some(flight) = in_flight.take() {
                    let life = Life::new(set_out, Duration::from_millis(millis), Duration::from_secs(60), 0.3);
                    ends.insert(flight, life.ends);
                    prop_assert!(slot.fetched(flight, flight, flight, life));
                    outer.open();
                },
                Step::Failed(lasting) => if let Some(flight) = in_flight.take() {
                    let kind = if lasting { Kind::Refused } else { Kind::Timeout };
                    prop_assert!(slot.ended(flight));
                    outer.close(now, Trouble::new(kind, "x"), 0.5);
                },
                Step::Refused(latest) => {
                    let serial = handed[usize::from(!latest)];
                    let before = slot.usable(now).copied();
                    let had = slot.life().is_some();
                    let told = slot.refused(now, serial, false);
                    if had && slot.life().is_none() {
                        drops.push(now);
                        prop_assert!(before.is_none_or(|current| current == serial), "another token was dropped");
                    }
                    if told == Refusal::Standing {
                        prop_assert!(slot.life().is_some());
                    }
                }
                Step::Pass(millis) => now += Duration::from_millis(millis),
            }
            if flies {
                prop_assert!(in_flight.is_none(), "two fetches at once");
                (in_flight, set_out) = (Some(number), now);
            }
        }
        for pair in drops.windows(2) {
            prop_assert!(pair[1] - pair[0] >= BETWEEN_REFUSALS, "a storm: {drops:?}");
        }
    }
}

#[test]
fn a_token_that_has_worked_is_replaced_soon_after_another() {
    let mut slot = fresh(1, 7);
    assert_eq!(slot.refused(seconds(10), 7, false), Refusal::Another);
    assert_eq!(slot.wanted(seconds(10), &Gate::default(), 200), Answer::Fly);
    assert!(slot.fetched(200, 8, 8, life(10, 1200)));
    assert_eq!(slot.refused(seconds(12), 8, false), Refusal::Standing);
    assert_eq!(slot.refused(seconds(12), 8, true), Refusal::Another);
}

//! The state machine under any order of events.

use proptest::prelude::*;

use super::tests::{AUTOMATIC, DAY, MANUAL, NOW, TERMS, number, paper, passed, rejected, unreachable};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Found(Place, Paper),
    Unfit(Place),
    Terms(u8),
    Tried(u64, Verdict),
    Refused(u64),
    Doubted(u64),
    Promote,
    RollBack,
    Reconsider,
    Later(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || prop_oneof![Just(Place::Configured), Just(Place::Staged)];
    let papers = (0u8..6, -3i64..3, 1i64..6).prop_map(|(name, from, length)| {
        paper(
            name * 8 + u8::try_from(length).unwrap(),
            NOW + from * DAY,
            NOW + (from + length) * DAY,
        )
    });
    let verdict = prop_oneof![Just(passed()), Just(rejected()), Just(unreachable())];
    let step = prop_oneof![
        4 => (place(), papers).prop_map(|(place, paper)| Step::Found(place, paper)),
        1 => place().prop_map(Step::Unfit),
        1 => (7u8..9).prop_map(Step::Terms),
        4 => (1u64..20, verdict).prop_map(|(number, verdict)| Step::Tried(number, verdict)),
        2 => (1u64..20).prop_map(Step::Refused),
        1 => (1u64..20).prop_map(Step::Doubted),
        1 => Just(Step::Promote),
        1 => Just(Step::RollBack),
        1 => Just(Step::Reconsider),
        3 => (0..2 * DAY).prop_map(Step::Later),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn no_order_of_events_leaves_it_without_a_working_identity_while_one_is_held(
        manual: bool,
        steps in steps(),
    ) {
        let manner = if manual { MANUAL } else { AUTOMATIC };
        let mut rotation = Rotation::new(manner, 0);
        rotation.terms(TERMS, NOW);
        let mut now = NOW;
        let mut published = 0;
        for step in steps {
            let before = rotation.in_use().copied();
            let number_of = |offset: u64, rotation: &Rotation| rotation.last().saturating_sub(offset % 3);
            let mut actions = match step {
                Step::Found(place, paper) => rotation.found(place, paper, now),
                Step::Unfit(place) => { rotation.unfit(place); Vec::new() }
                Step::Terms(terms) => rotation.terms([terms; 32], now),
                Step::Tried(offset, verdict) => rotation.tried(number_of(offset, &rotation), &verdict, now),
                Step::Refused(offset) => rotation.refused(number_of(offset, &rotation), now),
                Step::Doubted(offset) => rotation.doubted(number_of(offset, &rotation), now),
                Step::Promote => rotation.promote(now).unwrap_or_default(),
                Step::RollBack => rotation.roll_back(now).unwrap_or_default(),
                Step::Reconsider => rotation.reconsider(now),
                Step::Later(seconds) => { now += seconds; Vec::new() }
            };
            actions.extend(rotation.tick(now));
            for action in &actions {
                match action {
                    Action::Promote { number, from, .. } => {
                        prop_assert_eq!(*from, (published != 0).then_some(published), "the chain of receipts is whole");
                        published = *number;
                    }
                    Action::Try(number) => {
                        prop_assert!(rotation.held().any(|held| held.number == *number), "a trial of what is held");
                    }
                    Action::NoWayBack(_) => {}
                }
            }
            prop_assert_eq!(number(&rotation), published, "what is in use was published");
            prop_assert!(before.is_none() || rotation.in_use().is_some(), "never less than before");
            let valid = |held: &Held| rotation.is_valid(held, now);
            let working = rotation.in_use().is_some_and(valid);
            prop_assert!(working || !rotation.held().any(valid), "{rotation:?} at {now}");
            let numbers: Vec<u64> = rotation.held().map(|held| held.number).collect();
            let different: std::collections::BTreeSet<_> = numbers.iter().collect();
            prop_assert_eq!(different.len(), numbers.len(), "each is held once: {:?}", numbers);
        }
    }
}

//! What a leg answered in the last while: results, failures, and how many persons the failures touched.
//!
//! The while is cut into slices that are forgotten one by one; so what counts is the last seven eighths of it at
//! least, and all of it at most. The size is fixed. Persons are kept as bits of a hash, never as themselves: two may
//! share a bit, so their number can come out low and never high.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

const SLICES: usize = 8;

/// Each person is one of this many bits.
const PERSON_BITS: usize = 256;

/// Do not ask for more persons than this: the bits would not show them.
pub(super) const COUNTABLE_PERSONS: u32 = 128;

/// `now` is the time since any fixed origin, and does not go back.
#[derive(Debug)]
pub(super) struct Window {
    slice_millis: u64,
    slices: [Slice; SLICES],
}

/// What the window shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) results: u32,
    pub(super) failures: u32,
    /// Distinct persons among the failures.
    pub(super) persons: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// Which one since the origin.
    number: u64,
    results: u32,
    failures: u32,
    /// Failures of nobody in particular.
    anonymous: u32,
    persons: [u64; PERSON_BITS / 64],
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            slice_millis: (millis(length) / SLICES as u64).max(1),
            slices: [Slice::default(); SLICES],
        }
    }

    pub(super) fn success(&mut self, now: Duration) {
        let slice = self.slice(now);
        slice.results = slice.results.saturating_add(1);
    }

    /// `None` counts as a person of its own.
    pub(super) fn failure(&mut self, now: Duration, person: Option<&str>) {
        let slice = self.slice(now);
        slice.results = slice.results.saturating_add(1);
        slice.failures = slice.failures.saturating_add(1);
        let Some(person) = person else {
            slice.anonymous = slice.anonymous.saturating_add(1);
            return;
        };
        let mut hasher = DefaultHasher::new();
        person.hash(&mut hasher);
        let bit = (hasher.finish() % PERSON_BITS as u64) as usize;
        slice.persons[bit / 64] |= 1 << (bit % 64);
    }

    pub(super) fn sum(&self, now: Duration) -> Sum {
        let number = millis(now) / self.slice_millis;
        let mut all = Slice::default();
        for slice in &self.slices {
            if number.saturating_sub(slice.number) >= SLICES as u64 {
                continue;
            }
            all.results = all.results.saturating_add(slice.results);
            all.failures = all.failures.saturating_add(slice.failures);
            all.anonymous = all.anonymous.saturating_add(slice.anonymous);
            for (bits, some) in all.persons.iter_mut().zip(slice.persons) {
                *bits |= some;
            }
        }
        let known: u32 = all.persons.iter().map(|bits| bits.count_ones()).sum();
        Sum {
            results: all.results,
            failures: all.failures,
            persons: known.saturating_add(all.anonymous),
        }
    }

    pub(super) fn clear(&mut self) {
        self.slices = [Slice::default(); SLICES];
    }

    fn slice(&mut self, now: Duration) -> &mut Slice {
        let number = millis(now) / self.slice_millis;
        let slice = &mut self.slices[(number % SLICES as u64) as usize];
        if slice.number != number {
            *slice = Slice {
                number,
                ..Slice::default()
            };
        }
        slice
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_person_counts_once_in_all_slices_and_nobody_each_time() {
        let mut window = Window::new(at(8_000));
        window.failure(at(0), Some("A1234BC"));
        window.failure(at(3_000), Some("A1234BC"));
        window.failure(at(3_000), None);
        window.failure(at(4_000), None);
        window.success(at(4_000));
        let expected = Sum {
            results: 5,
            failures: 4,
            persons: 3,
        };
        assert_eq!(window.sum(at(4_000)), expected);
    }

    #[test]
    fn slices_are_forgotten_one_by_one() {
        let mut window = Window::new(at(8_000));
        for second in 0..8 {
            window.success(at(second * 1_000));
        }
        for (now, results) in [
            (7_999, 8),
            (8_000, 7),
            (9_500, 6),
            (14_999, 1),
            (15_000, 0),
            (1_000_000, 0),
        ] {
            assert_eq!(window.sum(at(now)).results, results, "at {now}");
        }
    }

    #[test]
    fn a_hundred_persons_are_nearly_all_told_apart() {
        let mut window = Window::new(at(8_000));
        for person in 0..100 {
            window.failure(at(0), Some(&format!("A{person:04}BC")));
        }
        let persons = window.sum(at(0)).persons;
        assert!((70..=100).contains(&persons), "{persons}");
    }

    #[test]
    fn a_window_of_no_length_and_a_time_without_end_are_survived() {
        let mut window = Window::new(Duration::ZERO);
        window.failure(Duration::MAX, None);
        assert_eq!(window.sum(Duration::MAX).failures, 1);
    }

    proptest! {
        #[test]
        fn the_sum_lies_between_what_must_and_what_may_be_remembered(
            steps in prop::collection::vec((0_u64..500, prop::option::of(0_u8..9)), 0..200),
        ) {
            let mut window = Window::new(at(800));
            let (mut now, mut all) = (0, Vec::new());
            for (millis, person) in steps {
                now += millis;
                match person {
                    None => window.success(at(now)),
                    Some(person) => window.failure(at(now), Some(&person.to_string())),
                }
                all.push((now, person));
                let since = |age: u64| all.iter().filter(move |(then, _)| now - then < age);
                let sum = window.sum(at(now));
                prop_assert!((since(701).count()..=since(800).count()).contains(&(sum.results as usize)));
                let failures = |age| since(age).filter(|(_, person)| person.is_some()).count();
                prop_assert!((failures(701)..=failures(800)).contains(&(sum.failures as usize)));
                let distinct: std::collections::BTreeSet<_> = since(800).filter_map(|(_, person)| *person).collect();
                prop_assert!(sum.persons as usize <= distinct.len());
                prop_assert_eq!(sum.persons == 0, sum.failures == 0);
            }
        }
    }
}

//! What a route's legs did and what comparing them came to: written by whoever served or compared, read by the main thread.
//!
//! One lock per route, taken for a few additions; a request that is answered by ndh alone takes none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::switch::{Evidence, LastUsed};

/// After a fallback a person stays with ndh for so long: routes that describe the same thing must not come from different
/// legs within one look at a person.
const HOLD: Duration = Duration::from_secs(60);
/// Persons held at a time; beyond, the oldest goes.
const HOLDS: usize = 1024;

/// The evidence of one route.
#[derive(Debug)]
pub struct Ledger {
    evidence: Mutex<Evidence>,
    /// When NDH answered the application, and when because standard had failed. Unix seconds; 0: not since the start.
    answered: AtomicI64,
    by_fallback: AtomicI64,
}

impl Ledger {
    /// Nothing has been seen yet.
    #[must_use]
    pub fn new(evidence: Evidence) -> Self {
        Self {
            evidence: Mutex::new(evidence),
            answered: AtomicI64::new(0),
            by_fallback: AtomicI64::new(0),
        }
    }

    /// The evidence, for a moment.
    pub fn evidence(&self) -> MutexGuard<'_, Evidence> {
        // Counters are whole after every addition: a panic elsewhere does not make them wrong.
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// NDH was asked for somebody who waits.
    pub fn used_ndh(&self, by_fallback: bool) {
        let now = clock::unix_seconds();
        // Written once a second at most: the line is shared by all workers.
        if self.answered.load(Ordering::Relaxed) != now {
            self.answered.store(now, Ordering::Relaxed);
        }
        if by_fallback {
            self.by_fallback.store(now, Ordering::Relaxed);
        }
    }

    /// When NDH was last asked for somebody who waits.
    #[must_use]
    pub fn last_used(&self) -> LastUsed {
        let read = |at: &AtomicI64| Some(at.load(Ordering::Relaxed)).filter(|at| *at > 0);
        LastUsed {
            answered: read(&self.answered),
            by_fallback: read(&self.by_fallback),
        }
    }
}

/// Persons of a unit who fell back to ndh a moment ago, as numbers that name nobody.
#[derive(Debug, Default)]
pub struct Holds(Mutex<HashMap<u64, Duration>>);

impl Holds {
    /// From now on this person is answered by ndh, for a while.
    pub fn hold(&self, person: u64, now: Duration) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= HOLDS {
            held.retain(|_, until| *until > now);
            if held.len() >= HOLDS
                && let Some(oldest) = held.iter().min_by_key(|(_, until)| **until).map(|(person, _)| *person)
            {
                held.remove(&oldest);
            }
        }
        held.insert(person, now + HOLD);
    }

    /// Whether this person is held.
    #[must_use]
    pub fn holds(&self, person: u64, now: Duration) -> bool {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&person).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_held_for_a_minute_and_the_number_of_them_is_bounded() {
        let holds = Holds::default();
        let now = Duration::from_secs(100);
        for person in 0..(HOLDS as u64 + 10) {
            holds.hold(person, now + Duration::from_millis(person));
        }
        assert_eq!(holds.0.lock().unwrap().len(), HOLDS);
        assert!(!holds.holds(0, now), "the oldest went");
        assert!(holds.holds(HOLDS as u64, now));
        assert!(!holds.holds(HOLDS as u64, now + HOLD + Duration::from_secs(5)));
    }
}

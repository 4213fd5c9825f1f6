//! What a worker needs to know to serve requests: immutable, made from settings, swapped whole.
//!
//! A reload of the configuration and a rotation of a certificate both publish a new plan; a request keeps the one it
//! began with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cert::facts::Facts;
use crate::cert::peer::Pattern;
use crate::config::settings::{Authorization, Limits};
use crate::identity::Front;
use crate::route::{Captures, Match, Table, Template};
use crate::telemetry::metrics::RouteMeter;
use crate::upstream::Target;
use crate::wire::head::Bounds;

/// Everything that decides what happens to a request.
#[derive(Debug)]
pub struct Plan {
    /// The sidecar has one door; the gateway has one for each rule.
    pub doors: Vec<Door>,
    pub unmatched: Unmatched,
    pub lanes: Vec<Arc<Lane>>,
    pub targets: Vec<Arc<Target>>,
    pub limits: Limits,
    /// How long a caller waits at most: the bound on what the sidecar waits for it.
    pub bounds: Bounds,
    /// After the last connection or request of a drain.
    pub drain_quiet: Duration,
    /// The gateway's certificate and whom it believes; `None` in the sidecar, or while there is none.
    pub front: Option<Arc<Front>>,
}

/// A way in: who may take it, and where it leads.
#[derive(Debug)]
pub struct Door {
    pub name: String,
    /// All of them must match the peer's certificate; none: everybody (who reached the listener).
    pub peers: Vec<Pattern>,
    pub table: Table,
    /// For each route of the table, the index of its lane.
    pub lanes: Vec<usize>,
}

/// What a request gets that no door takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// The sidecar: 421 `route_unknown`, and `/health/ping` is answered here.
    Misdirected,
    /// The gateway: a bare 403.
    Forbidden,
}

/// One route with its leg, ready for use.
#[derive(Debug)]
pub struct Lane {
    pub name: String,
    pub meter: Arc<RouteMeter>,
    pub person: Option<String>,
    pub in_flight: Arc<InFlight>,
    pub in_flight_limit: usize,
    pub body_limit: u64,
    pub idempotent: Option<bool>,
    /// Index into [`Plan::targets`].
    pub target: usize,
    pub path: Option<Template>,
    pub authorization: Authorization,
}

/// Requests under way on one route, over all workers and across reloads.
#[derive(Debug, Default)]
pub struct InFlight(AtomicUsize);

/// One request under way; counted until dropped.
#[derive(Debug)]
pub struct Admitted(Arc<InFlight>);

impl InFlight {
    /// Counts one more, unless the limit is reached.
    #[must_use]
    pub fn admit(self: &Arc<Self>, limit: usize) -> Option<Admitted> {
        let admitted = Admitted(self.clone());
        // Counted first and looked at afterwards: two workers can at worst both be refused, never both be let in.
        if self.0.fetch_add(1, Ordering::Relaxed) < limit {
            Some(admitted)
        } else {
            None
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Plan {
    /// The doors that admit this peer, as a set of bits.
    #[must_use]
    pub fn admitted(&self, peer: &Facts) -> Doors {
        let mut doors = Doors(0);
        for (index, door) in self.doors.iter().enumerate().take(Doors::MAX) {
            if door.peers.iter().all(|pattern| pattern.matches(peer)) {
                doors.0 |= 1 << index;
            }
        }
        doors
    }

    /// The lane of a request, among the doors that the peer may take.
    #[must_use]
    pub fn find<'a>(&'a self, doors: Doors, method: &str, path: &'a str) -> Option<(&'a Arc<Lane>, Captures<'a>)> {
        self.doors
            .iter()
            .enumerate()
            .take(Doors::MAX)
            .filter(|(index, _)| doors.0 >> index & 1 == 1)
            .find_map(|(_, door)| {
                let Match { route, captures } = door.table.find(method, path)?;
                Some((&self.lanes[door.lanes[route]], captures))
            })
    }
}

/// A set of doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors(u64);

impl Doors {
    /// As many doors as a set can hold; settings with more are refused.
    pub const MAX: usize = 64;
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Not one.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// A number that stands for a person without naming them; differs between processes.
#[must_use]
pub fn person(lane: &Lane, captures: &Captures<'_>, seed: u64) -> Option<u64> {
    let value = captures.get(lane.person.as_deref()?)?;
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    value.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_requests_under_way_is_kept_and_comes_free_again() {
        let counter = Arc::new(InFlight::default());
        let first = counter.admit(2).unwrap();
        let second = counter.admit(2).unwrap();
        assert!(counter.admit(2).is_none());
        drop(first);
        assert!(counter.admit(2).is_some());
        drop(second);
        assert_eq!(counter.0.load(Ordering::Relaxed), 0);
    }
}

//! What a worker needs to know to serve requests: immutable, made from settings, swapped whole.
//!
//! A reload of the configuration and a rotation of a certificate both publish a new plan; a request keeps the one it
//! began with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::aside::Aside;
use super::ledger::{Holds, Ledger};
use crate::cert::facts::Facts;
use crate::cert::peer::Pattern;
use crate::config::settings::{Authorization, Comparison, Limits};
use crate::identity::Front;
use crate::mapping::{Fields, Program};
use crate::route::{Captures, Match, Table, Template};
use crate::switch::{self, Effective};
use crate::telemetry::metrics::RouteMeter;
use crate::token::Tokens;
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
    /// How long the caller waits for a reply.
    pub patience: Duration,
    /// Bytes of a reply that is held to be mapped or compared.
    pub reply_limit: usize,
    /// For each target: some route answers through it, so that without it the sidecar is not up.
    pub vital: Vec<bool>,
    pub tokens: Arc<Tokens>,
    /// Makes numbers of persons that name nobody; the same for all workers, another in each process.
    pub persons: u64,
    /// Where replies go to be compared; `None`: nowhere.
    pub aside: Option<Aside>,
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

/// One route with its legs, ready for use.
#[derive(Debug)]
pub struct Lane {
    pub name: String,
    pub person: Option<String>,
    pub in_flight: Arc<InFlight>,
    pub in_flight_limit: usize,
    pub body_limit: u64,
    pub idempotent: Option<bool>,
    /// The only parts of a reply that reach the caller.
    pub fields: Option<Arc<Fields>>,
    /// At least one of the two is there.
    pub ndh: Option<Arc<Leg>>,
    pub standard: Option<Arc<Leg>>,
    pub rule: Rule,
    pub comparison: Option<Arc<Comparison>>,
    pub ledger: Arc<Ledger>,
}

/// Which leg of a route answers, and which is asked beside it: the standing of its unit when the plan was made.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What switches together; the canary split is by unit and person.
    pub unit: Arc<str>,
    pub effective: Effective,
    pub fallback: bool,
    pub compare: bool,
    pub holds: Arc<Holds>,
}

/// One way to answer a route.
#[derive(Debug)]
pub struct Leg {
    pub which: switch::Leg,
    /// Index into [`Plan::targets`].
    pub target: usize,
    pub path: Option<Template>,
    pub drops_query: bool,
    pub authorization: Authorization,
    pub token: Option<Token>,
    pub request: Option<Arc<Program>>,
    pub response: Option<Arc<Program>>,
    pub view: Option<Arc<Program>>,
    /// Requests that are made in place of one; usually none.
    pub parts: Vec<String>,
    /// In place of the upstream's.
    pub first_byte: Option<Duration>,
    pub total: Option<Duration>,
    /// Header lines, with CRLF, that are set.
    pub set: Vec<u8>,
    /// Header fields of the caller that do not cross.
    pub without: Vec<Box<str>>,
    pub meter: Arc<RouteMeter>,
    /// Nothing of the reply has to be understood before the caller gets it.
    pub streams: bool,
    /// Of its route, where somebody wants to know when the leg was last used.
    pub ledger: Option<Arc<Ledger>>,
}

/// The token that a leg sends.
#[derive(Clone, Debug)]
pub struct Token {
    pub name: String,
    /// Names the user for whom it is fetched.
    pub username_header: Option<String>,
    /// 403 means "no longer good" as 401 does.
    pub forbidden_is_stale: bool,
}

impl Lane {
    /// Its legs under its unit's standing.
    #[must_use]
    pub fn pair(&self) -> switch::Pair<'_> {
        switch::Pair {
            unit: &self.rule.unit,
            effective: self.rule.effective,
            fallback: self.rule.fallback,
            compare: self.rule.compare,
            ndh: self.ndh.is_some(),
            standard: self.standard.is_some(),
            comparable: self.comparison.is_some(),
        }
    }

    /// One of its legs.
    #[must_use]
    pub const fn leg(&self, which: switch::Leg) -> Option<&Arc<Leg>> {
        match which {
            switch::Leg::Ndh => self.ndh.as_ref(),
            switch::Leg::Standard => self.standard.as_ref(),
        }
    }
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

/// A number that stands for a person without naming them, in whatever letter case; differs between processes.
#[must_use]
pub fn person(lane: &Lane, captures: &Captures<'_>, seed: u64) -> Option<u64> {
    let value = captures.get(lane.person.as_deref()?)?;
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    value
        .bytes()
        .for_each(|byte| byte.to_ascii_uppercase().hash(&mut hasher));
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

//! What was done with one upstream: dials, handshakes, open connections by generation, retries, the circuit.
//!
//! Taking a connection into use and laying it aside happen with every request: a connection counts on the cache lines
//! of the thread that dialled it, which is the thread that uses it. Everything else happens seldom and takes a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

use crate::fault::Code;

/// The states of a circuit, the worst one last: workers have a circuit each, and the worst one is shown.
pub(super) const CIRCUIT: [&str; 3] = ["closed", "half_open", "open"];

/// The counters of one upstream.
#[derive(Debug)]
pub struct UpstreamMeter {
    shards: usize,
    rare: Mutex<Rare>,
    failures: AtomicU64,
}

/// What is counted seldom.
#[derive(Clone, Debug, Default)]
pub(super) struct Rare {
    /// `ok`, or the code.
    pub(super) dials: BTreeMap<&'static str, u64>,
    pub(super) handshakes: BTreeMap<(String, bool), u64>,
    pub(super) handshake_failures: BTreeMap<String, u64>,
    pub(super) retries: BTreeMap<String, u64>,
    circuits: HashMap<ThreadId, usize>,
    generations: BTreeMap<u64, Arc<Open>>,
}

/// Open connections of one generation.
#[derive(Debug)]
struct Open(Box<[Shard]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    active: AtomicI64,
    idle: AtomicI64,
}

/// One open connection in the count of them; it leaves the count when dropped.
#[derive(Debug)]
pub struct ConnectionCount {
    open: Arc<Open>,
    shard: usize,
    idle: bool,
}

impl UpstreamMeter {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            shards: shards.max(1),
            rare: Mutex::default(),
            failures: AtomicU64::new(0),
        }
    }

    /// A connection was dialled, or not: the code says what kept it.
    pub fn dialled(&self, result: Result<(), Code>) {
        let result = result.err().map_or("ok", Code::as_str);
        self.rarely(|rare| *rare.dials.entry(result).or_default() += 1);
    }

    /// A request to it came to a fault of the sidecar's own.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Requests to it that came to a fault of the sidecar's own.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// A TLS handshake was completed.
    pub fn handshake(&self, version: &str, resumed: bool) {
        self.rarely(|rare| *rare.handshakes.entry((version.to_owned(), resumed)).or_default() += 1);
    }

    /// A TLS handshake failed; `reason` is from a fixed list.
    pub fn handshake_failed(&self, reason: &str) {
        self.rarely(|rare| *rare.handshake_failures.entry(reason.to_owned()).or_default() += 1);
    }

    /// A request was sent again; `reason` is from a fixed list.
    pub fn retried(&self, reason: &str) {
        self.rarely(|rare| *rare.retries.entry(reason.to_owned()).or_default() += 1);
    }

    /// The state of the calling worker's circuit.
    pub fn circuit(&self, state: &str) {
        if let Some(state) = CIRCUIT.iter().position(|known| *known == state) {
            self.rarely(|rare| rare.circuits.insert(std::thread::current().id(), state));
        }
    }

    /// Counts a new connection of this generation, at first as active.
    #[must_use]
    pub fn connection(&self, generation: u64) -> ConnectionCount {
        let new = || Arc::new(Open((0..self.shards).map(|_| Shard::default()).collect()));
        let open = self.rarely(|rare| rare.generations.entry(generation).or_insert_with(new).clone());
        let shard = thread_number() % self.shards;
        open.0[shard].active.fetch_add(1, Relaxed);
        ConnectionCount {
            open,
            shard,
            idle: false,
        }
    }

    /// The state of the worst circuit.
    #[must_use]
    pub fn circuit_state(&self) -> &'static str {
        CIRCUIT[self.rarely(|rare| rare.circuits.values().copied().max().unwrap_or(0))]
    }

    /// Open connections: generation, active, idle. A generation is forgotten once a newer one exists and its last
    /// connection is closed.
    #[must_use]
    pub fn connections(&self) -> Vec<(u64, u64, u64)> {
        self.rarely(|rare| {
            let newest = rare.generations.keys().next_back().copied();
            rare.generations
                .retain(|number, open| Some(*number) == newest || Arc::strong_count(open) > 1);
            let row = |(number, open): (&u64, &Arc<Open>)| {
                let sum = |part: fn(&Shard) -> &AtomicI64| {
                    let sum: i64 = open.0.iter().map(|shard| part(shard).load(Relaxed)).sum();
                    u64::try_from(sum).unwrap_or(0)
                };
                (*number, sum(|shard| &shard.active), sum(|shard| &shard.idle))
            };
            rare.generations.iter().map(row).collect()
        })
    }

    pub(super) fn rare(&self) -> Rare {
        self.rarely(|rare| rare.clone())
    }

    fn rarely<T>(&self, change: impl FnOnce(&mut Rare) -> T) -> T {
        change(&mut self.rare.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ConnectionCount {
    /// The connection carries a request.
    pub fn active(&mut self) {
        self.turn(false);
    }

    /// The connection waits for a request.
    pub fn idle(&mut self) {
        self.turn(true);
    }

    fn turn(&mut self, idle: bool) {
        if self.idle != idle {
            self.add(-1);
            self.idle = idle;
            self.add(1);
        }
    }

    fn add(&self, change: i64) {
        let shard = &self.open.0[self.shard];
        let count = if self.idle { &shard.idle } else { &shard.active };
        count.fetch_add(change, Relaxed);
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.add(-1);
    }
}

/// A small number that no other living thread of a pool of workers has.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_active_then_idle_then_gone() {
        let meter = UpstreamMeter::new(2);
        let mut first = meter.connection(1);
        let second = meter.connection(1);
        assert_eq!(meter.connections(), [(1, 2, 0)]);
        first.idle();
        first.idle();
        assert_eq!(meter.connections(), [(1, 1, 1)]);
        first.active();
        drop(second);
        assert_eq!(meter.connections(), [(1, 1, 0)]);
        drop(first);
        assert_eq!(
            meter.connections(),
            [(1, 0, 0)],
            "the newest generation is shown when nothing is open"
        );
    }

    #[test]
    fn an_old_generation_is_shown_until_its_last_connection_closes() {
        let meter = UpstreamMeter::new(1);
        let old = meter.connection(1);
        let new = meter.connection(2);
        assert_eq!(meter.connections(), [(1, 1, 0), (2, 1, 0)]);
        drop(old);
        assert_eq!(meter.connections(), [(2, 1, 0)]);
        drop(new);
    }

    #[test]
    fn the_circuit_shown_is_the_worst_of_all_workers() {
        let meter = UpstreamMeter::new(2);
        assert_eq!(meter.circuit_state(), "closed");
        std::thread::scope(|scope| {
            scope.spawn(|| meter.circuit("open"));
        });
        meter.circuit("closed");
        assert_eq!(meter.circuit_state(), "open");
    }
}

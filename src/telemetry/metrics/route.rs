//! What one route has done: requests by method and status, and how long they took.
//!
//! Each worker counts in a shard of its own, on cache lines of its own, without a lock; the shards are added up when
//! somebody asks. A shard counts method and status exactly in a small table that fills as combinations occur, so that
//! a route costs little more than a kilobyte for each worker.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the duration buckets in seconds; the last one, without a bound, comes on top.
pub(super) const BUCKETS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 30.0,
];

/// Methods with a label of their own; any other is the last one, so that a caller cannot make up labels.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "_OTHER"];

/// Combinations of method and status that a shard can tell apart.
const SLOTS: usize = 64;

/// The counters of one route and leg.
#[derive(Debug)]
pub struct RouteMeter {
    name: String,
    template: String,
    leg: String,
    shards: Box<[Shard]>,
}

/// The counters of one worker. 128: processors fetch cache lines of 64 bytes in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    counts: [Slot; SLOTS],
    /// What found no slot.
    surplus: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

/// A combination of method and status, and how often it occurred. The key is 0 while the slot is free.
#[derive(Debug, Default)]
struct Slot {
    key: AtomicU32,
    count: AtomicU64,
}

/// The sum of all shards at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// Method, status, count. Status `None`: there were too many combinations to tell apart.
    pub(super) counts: Vec<(&'static str, Option<u16>, u64)>,
    pub(super) buckets: [u64; BUCKETS.len() + 1],
    pub(super) seconds: f64,
}

impl RouteMeter {
    pub(super) fn new(name: &str, template: &str, leg: &str, workers: usize) -> Self {
        Self {
            name: name.to_owned(),
            template: template.to_owned(),
            leg: leg.to_owned(),
            shards: (0..workers.max(1)).map(|_| Shard::default()).collect(),
        }
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path template, which is the label: never a path.
    #[must_use]
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The leg that answers.
    #[must_use]
    pub fn leg(&self) -> &str {
        &self.leg
    }

    /// Counts a request. Status 0: the caller left before there was one.
    pub fn record(&self, worker: usize, method: &str, status: u16, duration: Duration) {
        let shard = &self.shards[worker % self.shards.len()];
        shard.count(method_index(method), status);
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound);
        shard.buckets[bucket.unwrap_or(BUCKETS.len())].fetch_add(1, Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        shard.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    /// How many requests were counted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let buckets = self.shards.iter().flat_map(|shard| &shard.buckets);
        buckets.map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// Adds all shards to `tally`.
    pub(super) fn add_to(&self, tally: &mut Tally) {
        for shard in &self.shards {
            for slot in &shard.counts {
                if let Some((method, status)) = combination(slot.key.load(Relaxed)) {
                    tally.add(method, Some(status), slot.count.load(Relaxed));
                }
            }
            let surplus = shard.surplus.load(Relaxed);
            if surplus > 0 {
                tally.add(METHODS[METHODS.len() - 1], None, surplus);
            }
            for (sum, bucket) in tally.buckets.iter_mut().zip(&shard.buckets) {
                *sum += bucket.load(Relaxed);
            }
            tally.seconds += Duration::from_nanos(shard.nanoseconds.load(Relaxed)).as_secs_f64();
        }
    }
}

impl Tally {
    fn add(&mut self, method: &'static str, status: Option<u16>, count: u64) {
        let same = |entry: &&mut (&'static str, Option<u16>, u64)| entry.0 == method && entry.1 == status;
        match self.counts.iter_mut().find(same) {
            Some(entry) => entry.2 += count,
            None => self.counts.push((method, status, count)),
        }
    }
}

impl Shard {
    fn count(&self, method: usize, status: u16) {
        let key = key(method, status);
        // Statuses that occur differ in their low digits: neighbours do not collide.
        let start = usize::from(status) * METHODS.len() + method;
        for step in 0..SLOTS {
            let slot = &self.counts[(start + step) % SLOTS];
            let found = slot.key.load(Relaxed);
            let mine = found == key
                || (found == 0
                    && match slot.key.compare_exchange(0, key, Relaxed, Relaxed) {
                        Ok(_) => true,
                        Err(other) => other == key,
                    });
            if mine {
                slot.count.fetch_add(1, Relaxed);
                return;
            }
        }
        self.surplus.fetch_add(1, Relaxed);
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| Slot::default()),
            surplus: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            nanoseconds: AtomicU64::new(0),
        }
    }
}

fn method_index(method: &str) -> usize {
    let known = METHODS.iter().position(|known| *known == method);
    known.unwrap_or(METHODS.len() - 1)
}

/// Never 0, which is a free slot.
fn key(method: usize, status: u16) -> u32 {
    (u32::try_from(method).unwrap_or(0) << 16 | u32::from(status)) + 1
}

fn combination(key: u32) -> Option<(&'static str, u16)> {
    let packed = key.checked_sub(1)?;
    let method = METHODS.get(usize::try_from(packed >> 16).ok()?)?;
    Some((method, u16::try_from(packed & 0xffff).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(3);

    fn tally(meter: &RouteMeter) -> Tally {
        let mut tally = Tally::default();
        meter.add_to(&mut tally);
        tally
    }

    fn count(tally: &Tally, method: &str, status: Option<u16>) -> u64 {
        let wanted = tally.counts.iter().find(|entry| entry.0 == method && entry.1 == status);
        wanted.map_or(0, |entry| entry.2)
    }

    #[test]
    fn increments_from_many_threads_add_up_also_when_they_share_a_shard() {
        let meter = RouteMeter::new("offender", "/offenders/{nomsNumber}", "ndh", 2);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let meter = &meter;
                scope.spawn(move || {
                    for round in 0..5_000_u16 {
                        meter.record(worker, "GET", 200 + round % 5, QUICK);
                    }
                });
            }
        });
        assert_eq!(meter.requests(), 20_000);
        let tally = tally(&meter);
        for status in 200..205 {
            assert_eq!(count(&tally, "GET", Some(status)), 4_000, "{status}");
        }
        assert_eq!(tally.counts.len(), 5, "each combination has one entry");
        assert!((tally.seconds - 60.0).abs() < 0.001, "{}", tally.seconds);
    }

    #[test]
    fn a_method_made_up_by_a_caller_gets_no_label_of_its_own() {
        let meter = RouteMeter::new("a", "/a", "ndh", 1);
        meter.record(0, "BREW", 405, QUICK);
        meter.record(0, "get", 405, QUICK);
        meter.record(0, "", 0, QUICK);
        let tally = tally(&meter);
        assert_eq!(count(&tally, "_OTHER", Some(405)), 2);
        assert_eq!(count(&tally, "_OTHER", Some(0)), 1);
    }

    #[test]
    fn more_combinations_than_slots_lose_their_status_and_nothing_else() {
        let meter = RouteMeter::new("a", "/a", "ndh", 1);
        for status in 100..200 {
            meter.record(0, "GET", status, QUICK);
        }
        let tally = tally(&meter);
        assert_eq!(tally.counts.iter().map(|entry| entry.2).sum::<u64>(), 100);
        assert_eq!(count(&tally, "_OTHER", None), 100 - SLOTS as u64);
    }

    #[test]
    fn a_duration_counts_in_the_bucket_whose_bound_it_does_not_exceed() {
        let meter = RouteMeter::new("a", "/a", "ndh", 1);
        for milliseconds in [5, 6, 30_000, 30_001] {
            meter.record(0, "GET", 200, Duration::from_millis(milliseconds));
        }
        let buckets = tally(&meter).buckets;
        assert_eq!((buckets[0], buckets[1], buckets[15], buckets[16]), (1, 1, 1, 1));
    }
}

//! How long a leg took: a histogram with fixed bounds, so that those of many threads, routes and slots add up.
//!
//! A quantile is read between the two bounds around it, as Prometheus does; nobody's request is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds in milliseconds; what is slower goes to one more bucket without a bound.
const BOUNDS: [u64; 22] = [
    5, 10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000,
    20_000, 30_000,
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// Counts by bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u64>", into = "Vec<u64>")]
pub struct Latency([u64; BUCKETS]);

impl Latency {
    pub(super) fn add(&mut self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        // Whole milliseconds are cut off: what took 5.2 ms is above 5.
        let above = |bound: &u64| millis > *bound || (millis == *bound && !took.subsec_micros().is_multiple_of(1_000));
        let bucket = BOUNDS.iter().position(|bound| !above(bound)).unwrap_or(BOUNDS.len());
        self.0[bucket] += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// How many were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time that the share `q` of all stayed within; `None` of nothing. What lies beyond the last bound is said to
    /// take that bound, which is longer than any caller waits.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = q * self.count() as f64;
        let mut below = 0;
        for (bucket, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            if (below + count) as f64 >= rank {
                let lower = bucket.checked_sub(1).map_or(0, |before| BOUNDS[before]);
                let upper = BOUNDS.get(bucket).copied().unwrap_or(lower);
                let part = (rank - below as f64) / *count as f64;
                let millis = lower as f64 + (upper - lower) as f64 * part.clamp(0.0, 1.0);
                return Some(Duration::from_secs_f64(millis / 1_000.0));
            }
            below += count;
        }
        None
    }

    /// Half of all took at most this long.
    #[must_use]
    pub fn p50(&self) -> Option<Duration> {
        self.quantile(0.5)
    }

    /// All but one in twenty took at most this long.
    #[must_use]
    pub fn p95(&self) -> Option<Duration> {
        self.quantile(0.95)
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl From<Latency> for Vec<u64> {
    fn from(latency: Latency) -> Self {
        latency.0.to_vec()
    }
}

impl TryFrom<Vec<u64>> for Latency {
    type Error = String;

    fn try_from(counts: Vec<u64>) -> Result<Self, String> {
        let found = counts.len();
        let counts = counts.try_into();
        counts
            .map(Self)
            .map_err(|_| format!("a histogram of {found} buckets; this version has {BUCKETS}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: &[u64]) -> Latency {
        let mut latency = Latency::default();
        millis
            .iter()
            .for_each(|millis| latency.add(Duration::from_millis(*millis)));
        latency
    }

    #[test]
    fn a_quantile_lies_between_the_bounds_around_it() {
        assert_eq!(Latency::default().p95(), None);
        let hundred: Vec<u64> = (0..100).map(|n| if n < 95 { 40 } else { 4_000 }).collect();
        let latency = of(&hundred);
        assert_eq!(latency.p95(), Some(Duration::from_millis(50)));
        let p50 = latency.p50().expect("measured");
        assert!(
            p50 > Duration::from_millis(25) && p50 < Duration::from_millis(50),
            "{p50:?}"
        );
        let p99 = latency.quantile(0.99).expect("measured");
        assert!(p99 > Duration::from_secs(3) && p99 <= Duration::from_secs(5), "{p99:?}");
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket_and_the_slowest_are_not_lost() {
        let mut latency = of(&[5]);
        assert_eq!(latency.0[0], 1);
        latency.add(Duration::from_micros(5_200));
        assert_eq!(latency.0[1], 1);
        latency.add(Duration::from_secs(1_000));
        assert_eq!(latency.0[BUCKETS - 1], 1);
        assert_eq!(of(&[90_000]).p95(), Some(Duration::from_secs(30)));
    }

    #[test]
    fn two_histograms_add_up_and_survive_json() {
        let mut sum = of(&[1, 60, 600]);
        sum.merge(&of(&[2, 60_000]));
        assert_eq!(sum, of(&[1, 2, 60, 600, 60_000]));
        let json = serde_json::to_string(&sum).expect("written");
        assert_eq!(serde_json::from_str::<Latency>(&json).ok(), Some(sum));
        assert!(serde_json::from_str::<Latency>("[1,2]").is_err());
    }
}

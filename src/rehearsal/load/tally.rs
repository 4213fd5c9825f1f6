//! What became of the requests: counts by mark, delays, and the first failures in words.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Failures that are told; all are counted.
const TOLD: usize = 20;

/// One request that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub mark: u64,
    pub what: String,
}

/// What a load came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    pub sent: u64,
    pub answered: u64,
    pub failed: u64,
    /// Failures by mark.
    #[serde(skip)]
    pub failed_by_mark: BTreeMap<u64, u64>,
    pub seconds: f64,
    pub per_second: f64,
    /// From the moment when a request was due to the end of its reply.
    pub median_ms: f64,
    pub p99_ms: f64,
    pub longest_ms: f64,
    /// The first few.
    pub failures: Vec<Failure>,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    answered: u64,
    failed: BTreeMap<u64, u64>,
    failures: Vec<Failure>,
    micros: Vec<u32>,
}

impl Tally {
    pub(super) fn count(&mut self, mark: u64, took: Duration, outcome: Result<(), String>) {
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        match outcome {
            Ok(()) => self.answered += 1,
            Err(what) => {
                *self.failed.entry(mark).or_default() += 1;
                if self.failures.len() < TOLD {
                    self.failures.push(Failure { mark, what });
                }
            }
        }
    }

    pub(super) fn failed(&self, mark: u64) -> u64 {
        self.failed.get(&mark).copied().unwrap_or_default()
    }

    pub(super) const fn answered(&self) -> u64 {
        self.answered
    }

    pub(super) fn figures(&self, took: Duration) -> Figures {
        let mut micros = self.micros.clone();
        micros.sort_unstable();
        let at = |share: usize| {
            let index = (micros.len().saturating_sub(1)) * share / 100;
            f64::from(micros.get(index).copied().unwrap_or_default()) / 1e3
        };
        let failed: u64 = self.failed.values().sum();
        let sent = self.answered + failed;
        let seconds = took.as_secs_f64();
        Figures {
            sent,
            answered: self.answered,
            failed,
            failed_by_mark: self.failed.clone(),
            seconds,
            per_second: sent as f64 / seconds.max(f64::EPSILON),
            median_ms: at(50),
            p99_ms: at(99),
            longest_ms: at(100),
            failures: self.failures.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_failures_are_counted_and_the_first_are_told() {
        let mut tally = Tally::default();
        for number in 1..=100 {
            let outcome = if number <= 60 { Ok(()) } else { Err(number.to_string()) };
            tally.count(number / 90, Duration::from_millis(number), outcome);
        }
        let figures = tally.figures(Duration::from_secs(10));
        assert_eq!((figures.sent, figures.answered, figures.failed), (100, 60, 40));
        assert_eq!(figures.failed_by_mark, BTreeMap::from([(0, 29), (1, 11)]));
        assert_eq!((tally.failed(1), tally.failed(7)), (11, 0));
        assert_eq!((figures.failures.len(), &*figures.failures[0].what), (TOLD, "61"));
        assert_eq!(
            (figures.median_ms, figures.p99_ms, figures.longest_ms),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(figures.per_second, 10.0);
    }
}

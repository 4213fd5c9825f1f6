//! The receipt of a promotion: what came into use, and when the last connection of the old one was gone.

use std::time::Duration;

use super::{Moment, Traffic};
use crate::identity::rotation::Why;
use crate::identity::status::{Receipt, rfc3339};

/// Workers take up a promotion within this time; before, no connection of the old generation may only mean that none
/// was open yet.
const TAKEN_UP: Duration = Duration::from_millis(200);

/// A promotion whose old generation may still have connections.
#[derive(Clone, Debug)]
pub(super) struct Draining {
    from: Option<u64>,
    to: u64,
    why: &'static str,
    promoted: i64,
    since: Duration,
    failed_before: u64,
}

impl Draining {
    pub(super) fn begin(from: Option<u64>, to: u64, why: &Why, now: Moment, traffic: &Traffic<'_>) -> Self {
        Self {
            from,
            to,
            why: why.as_str(),
            promoted: now.wall,
            since: now.uptime,
            failed_before: traffic.failed,
        }
    }

    /// It waits for the end of this generation.
    pub(super) fn is_of(&self, generation: u64) -> bool {
        self.from == Some(generation)
    }

    /// The receipt as far as it goes: the old generation has not retired yet.
    pub(super) fn receipt(&self) -> Receipt {
        let Self { from, to, .. } = self;
        Receipt {
            from: *from,
            to: *to,
            why: self.why.to_owned(),
            promoted: rfc3339(self.promoted),
            retired_after_seconds: None,
            requests_failed: 0,
            sentence: match from {
                None => format!("generation {to} in use since {}, the first one", rfc3339(self.promoted)),
                Some(from) => format!(
                    "generation {to} in use since {}; generation {from} still has connections to end",
                    rfc3339(self.promoted)
                ),
            },
        }
    }

    /// The whole receipt, once the last connection of the old generation is closed.
    pub(super) fn finished(&self, now: Moment, traffic: &Traffic<'_>) -> Option<Receipt> {
        let from = self.from?;
        let after = now.uptime.saturating_sub(self.since);
        if after < TAKEN_UP || (traffic.open)(from) > 0 {
            return None;
        }
        let failed = traffic.failed.saturating_sub(self.failed_before);
        let requests = if failed == 1 { "request" } else { "requests" };
        Some(Receipt {
            retired_after_seconds: Some(after.as_secs_f64()),
            requests_failed: failed,
            sentence: format!(
                "generation {} in use since {}, generation {from} retired after {:.1} s, {failed} {requests} failed",
                self.to,
                rfc3339(self.promoted),
                after.as_secs_f64()
            ),
            ..self.receipt()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment {
        wall: 1_800_000_000,
        uptime: Duration::from_secs(10),
    };

    fn at(seconds: f64) -> Moment {
        Moment {
            wall: START.wall,
            uptime: START.uptime + Duration::from_secs_f64(seconds),
        }
    }

    fn traffic(open: &dyn Fn(u64) -> u64, failed: u64) -> Traffic<'_> {
        Traffic { open, failed }
    }

    #[test]
    fn the_receipt_is_given_when_the_last_old_connection_is_gone() {
        let draining = Draining::begin(Some(3), 4, &Why::Operator, START, &traffic(&|_| 7, 2));
        let busy = |generation| if generation == 3 { 1 } else { 0 };
        assert_eq!(draining.finished(at(5.0), &traffic(&busy, 2)), None);
        let receipt = draining.finished(at(6.5), &traffic(&|_| 0, 3)).expect("retired");
        assert_eq!(receipt.retired_after_seconds, Some(6.5));
        assert_eq!(
            receipt.sentence,
            "generation 4 in use since 2027-01-15T08:00:00Z, generation 3 retired after 6.5 s, 1 request failed"
        );
    }

    #[test]
    fn a_promotion_that_no_worker_has_taken_up_yet_has_retired_nothing() {
        let draining = Draining::begin(Some(1), 2, &Why::RollBack, START, &traffic(&|_| 0, 0));
        assert_eq!(draining.finished(at(0.1), &traffic(&|_| 0, 0)), None);
        assert!(draining.finished(at(0.3), &traffic(&|_| 0, 0)).is_some());
    }
}

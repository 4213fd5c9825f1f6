//! The life of a token: fresh, to be renewed, at its end. Pure; moments are `clock::monotonic`.
//!
//! A token is never sent up to its last second: clocks differ, and a request is under way for a while. It is asked for
//! anew well before that, and not by all pods at once.

use std::time::Duration;

/// Whatever the other side says, a token is asked for anew after this.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The life of a token whose end nobody says: neither the reply nor, as a JWT, the token itself. Delius' built-in life.
pub(super) const UNSAID: Duration = Duration::from_secs(300);
/// What is kept back of a token's life; a fifth of a short one.
const MARGIN: Duration = Duration::from_secs(10);

/// When a token is to be renewed, and until when it may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) renew_at: Duration,
    /// From this moment on it is not sent.
    pub(super) until: Duration,
    /// Its own end.
    pub(super) ends: Duration,
}

impl Life {
    /// Of a token that was asked for at `asked` and lives for `life` from then on: the other side counts from a moment
    /// between the request and its answer. `roll` (0..1) spreads the renewals.
    pub(super) fn new(asked: Duration, life: Duration, refresh_ahead: Duration, roll: f64) -> Self {
        let life = life.min(LONGEST);
        let margin = MARGIN.min(life / 5);
        let ahead = refresh_ahead.min(life / 3).max(margin * 3 / 2);
        let spread = ahead.mul_f64(1.0 + 0.2 * roll.clamp(0.0, 1.0)).min(life / 2);
        Self {
            renew_at: asked + (life - spread),
            until: asked + (life - margin),
            ends: asked + life,
        }
    }

    pub(super) fn is_usable(&self, now: Duration) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_usual_token_is_renewed_a_minute_ahead_and_not_sent_in_its_last_seconds() {
        let life = Life::new(seconds(100), seconds(1200), seconds(60), 0.0);
        assert_eq!((life.renew_at, life.until), (seconds(1240), seconds(1290)));
        assert!(life.is_usable(seconds(1289)) && !life.is_usable(seconds(1290)));
        let spread = Life::new(seconds(100), seconds(1200), seconds(60), 1.0);
        assert_eq!(spread.renew_at, seconds(1228), "another pod asks at another time");
    }

    #[test]
    fn a_short_token_is_renewed_after_two_thirds_of_its_life() {
        let life = Life::new(seconds(0), seconds(30), seconds(60), 0.0);
        assert_eq!((life.renew_at, life.until), (seconds(20), seconds(24)));
    }

    #[test]
    fn a_token_that_is_over_at_once_is_never_usable() {
        assert!(!Life::new(seconds(5), Duration::ZERO, seconds(60), 0.5).is_usable(seconds(5)));
    }

    proptest! {
        #[test]
        fn renewal_comes_before_the_last_use_and_that_before_the_end(
            asked in 0u64..1 << 30, life in 1u64..1 << 40, ahead in 1u64..1 << 30, roll in 0.0f64..1.0,
        ) {
            let asked = Duration::from_millis(asked);
            let life = Life::new(asked, Duration::from_millis(life), Duration::from_millis(ahead), roll);
            prop_assert!(asked < life.renew_at && life.renew_at < life.until && life.until < life.ends);
        }
    }
}

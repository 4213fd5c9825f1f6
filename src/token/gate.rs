//! When to ask again after a failure. Pure.
//!
//! What may pass by itself (unreachable, slow, 5xx, something else than JSON) is asked again after a quarter of a second, then
//! twice as long each time, up to half a minute: a server that was off all night is neither hammered nor missed for long.
//! What somebody has to repair first (our client is refused) is asked again slowly, and never once for each request.

use std::borrow::Cow;
use std::time::Duration;

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub kind: Kind,
    /// What was asked of whom, what was found, what to do; never what the other side wrote.
    pub sentence: Cow<'static, str>,
    /// The other side named a pause.
    pub pause: Option<Duration>,
    /// It is about the user that the token was to name, not about the client.
    pub of_the_user: bool,
}

/// The fixed list of a fetch's failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The client, its address or the request is refused.
    Refused,
    /// Our own files cannot be read, or there is no certificate to show.
    Files,
    /// DNS, TCP, TLS, a connection that ended.
    Unreachable,
    Timeout,
    /// 5xx, 429 and the like.
    ServerError,
    /// Not what a token reply looks like.
    Invalid,
}

impl Kind {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Files => "files",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::ServerError => "server_error",
            Self::Invalid => "invalid",
        }
    }

    /// Whether somebody has to do something first.
    #[must_use]
    pub const fn is_lasting(self) -> bool {
        matches!(self, Self::Refused)
    }
}

impl Trouble {
    pub(super) fn new(kind: Kind, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
            pause: None,
            of_the_user: false,
        }
    }
}

/// Closed after a failure, until it is time to ask again.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    failures: u32,
    closed: Option<Closed>,
}

#[derive(Clone, Debug)]
pub(super) struct Closed {
    pub(super) until: Duration,
    pub(super) trouble: Trouble,
}

impl Gate {
    /// What closes it at this moment.
    pub(super) fn closed(&self, now: Duration) -> Option<&Closed> {
        self.closed.as_ref().filter(|closed| now < closed.until)
    }

    /// The last failure, until something went well.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.closed.as_ref().map(|closed| &closed.trouble)
    }

    /// When it opens; already open: the beginning of time.
    pub(super) fn opens_at(&self) -> Duration {
        self.closed.as_ref().map_or(Duration::ZERO, |closed| closed.until)
    }

    /// A failure. True: nothing was known, or it passes by itself now and did not before (or the other way round): worth a
    /// line in the log.
    pub(super) fn close(&mut self, now: Duration, trouble: Trouble, roll: f64) -> bool {
        let lasting = trouble.kind.is_lasting();
        let news = self.trouble().is_none_or(|known| known.kind.is_lasting() != lasting);
        self.failures = if news { 1 } else { self.failures.saturating_add(1) };
        let pause = pause(self.failures, trouble.kind, roll);
        let until = now + pause.max(trouble.pause.unwrap_or_default().min(LONGEST));
        self.closed = Some(Closed { until, trouble });
        news
    }

    /// Something went well. True: it had been closed.
    pub(super) fn open(&mut self) -> bool {
        self.failures = 0;
        self.closed.take().is_some()
    }

    /// Circumstances have changed: ask at once, and remember what the trouble is.
    pub(super) fn ajar(&mut self) {
        self.failures = 0;
        if let Some(closed) = &mut self.closed {
            closed.until = Duration::ZERO;
        }
    }
}

/// No pause is longer, but for its spread.
const LONGEST: Duration = Duration::from_secs(300);

/// After so many failures of a kind; a quarter more or less by `roll` (0..1).
pub(super) fn pause(failures: u32, kind: Kind, roll: f64) -> Duration {
    let (first, longest) = if kind.is_lasting() {
        (Duration::from_secs(30), LONGEST)
    } else {
        (Duration::from_millis(250), Duration::from_secs(30))
    };
    let doubled = first * (1 << failures.saturating_sub(1).min(16));
    doubled.min(longest).mul_f64(0.75 + 0.5 * roll.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind) -> Trouble {
        Trouble::new(kind, "x")
    }

    #[test]
    fn pauses_grow_to_a_bound_and_are_spread() {
        let pauses = |kind| -> Vec<u128> { (1..20).map(|n| pause(n, kind, 0.5).as_millis()).collect() };
        assert_eq!(
            pauses(Kind::Unreachable)[..8],
            [250, 500, 1000, 2000, 4000, 8000, 16000, 30000]
        );
        assert_eq!(pauses(Kind::Unreachable)[18], 30000);
        assert_eq!(pauses(Kind::Refused)[..5], [30_000, 60_000, 120_000, 240_000, 300_000]);
        assert_ne!(pause(3, Kind::Timeout, 0.1), pause(3, Kind::Timeout, 0.9));
    }

    #[test]
    fn an_alarm_is_raised_once_and_again_when_the_trouble_becomes_another_or_was_over() {
        let mut gate = Gate::default();
        let now = Duration::from_secs(1);
        let news = [
            Kind::Timeout,
            Kind::Unreachable,
            Kind::Refused,
            Kind::Refused,
            Kind::Timeout,
        ];
        let said: Vec<bool> = news.into_iter().map(|kind| gate.close(now, of(kind), 0.5)).collect();
        assert_eq!(said, [true, false, true, false, true]);
        assert!(gate.open() && !gate.open());
        assert!(gate.close(now, of(Kind::Timeout), 0.5));
    }

    #[test]
    fn a_pause_that_the_other_side_names_is_kept_within_reason() {
        let mut gate = Gate::default();
        let named = |seconds| Trouble {
            pause: Some(Duration::from_secs(seconds)),
            ..of(Kind::ServerError)
        };
        gate.close(Duration::ZERO, named(20), 0.0);
        assert_eq!(gate.opens_at(), Duration::from_secs(20));
        gate.close(Duration::ZERO, named(1_000_000), 0.0);
        assert_eq!(gate.opens_at(), LONGEST);
    }
}

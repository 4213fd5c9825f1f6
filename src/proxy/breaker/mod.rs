//! The circuit breaker of one leg, one per worker: values in, verdict out; time is an argument.
//!
//! ```text
//!            faults in a row, or too many failures
//!             over enough persons in the window                time is up: one request goes
//!   Closed ───────────────────────────────────────▶ Open ─────────────────────────────▶ HalfOpen
//!     ▲                                              ▲ ▲   its client went away: at once    │ │
//!     │                                              │ └────────────────────────────────────┘ │
//!     │                                              └─────── it failed: for twice as long ───┤
//!     └────────────────────────────── it succeeded ───────────────────────────────────────────┘
//! ```
//!
//! One person's bad data answers 500 for ever and is no reason to leave everybody else alone; so failures count only
//! where they touch several persons. Each admitted request holds a [`Permit`] that knows the period it was let in:
//! what comes in late from an earlier period decides nothing. A permit that is lost wedges nothing: after
//! [`PROBE_LEASE`] another probe goes.

use std::time::Duration;

use super::window::{COUNTABLE_PERSONS, Window};
use crate::config::settings;

/// The longest time that a circuit stays open before a probe, unless `open_for` is longer. Jitter comes on top.
pub const LONGEST_OPEN: Duration = Duration::from_secs(60);

/// A probe that has not been heard of for this long is given up. Longer than any request may take.
pub const PROBE_LEASE: Duration = Duration::from_secs(60);

/// What refused callers are told while a probe is under way: it is decided soon.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// The breaker. `now` is the time since any fixed origin, and does not go back.
#[derive(Debug)]
pub struct Breaker {
    settings: settings::Breaker,
    phase: Phase,
    /// Counts the changes of phase.
    period: u64,
    /// For how long the circuit was or will be opened, without jitter.
    open_for: Duration,
    faults_in_a_row: u32,
    window: Window,
    jitter: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: Duration },
    HalfOpen { since: Duration },
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Admission {
    /// It goes. Give the permit back with [`Breaker::record`] or [`Breaker::abandon`].
    Pass(Permit),
    /// `circuit_open`, with this `retry-after` (rounded up to seconds).
    Refuse { retry_after: Duration },
}

/// One admitted request.
#[derive(Debug)]
#[must_use = "a probe that is neither recorded nor abandoned keeps the circuit from closing for a minute"]
pub struct Permit {
    period: u64,
    probe: bool,
}

impl Permit {
    /// Whether this request decides if the circuit closes.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// How an admitted request ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// The leg answered, and with what is normal.
    Success,
    /// 5xx, a timeout or a reset after the request was sent. A route that knows no person has `None`, and then each
    /// failure counts as another person.
    Failure { person: Option<&'a str> },
    /// No connection could be made: DNS, connect, TLS. It is nobody's data.
    ConnectionFault,
}

impl<'a> Outcome<'a> {
    /// What a complete reply says. 404 and 409 are normal answers, and every 4xx shows a leg at work.
    #[must_use]
    pub const fn of_status(status: u16, person: Option<&'a str>) -> Self {
        match status {
            ..500 => Self::Success,
            _ => Self::Failure { person },
        }
    }
}

/// The phase, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Closed,
    Open,
    HalfOpen,
}

impl State {
    /// The state as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Breaker {
    /// A closed circuit. `seed` keeps workers and pods from probing all at the same moment.
    #[must_use]
    pub fn new(settings: settings::Breaker, seed: u64) -> Self {
        Self {
            window: Window::new(settings.window),
            open_for: settings.open_for,
            settings,
            phase: Phase::Closed,
            period: 0,
            faults_in_a_row: 0,
            jitter: seed,
        }
    }

    /// Whether a request may go now. The time is only asked for where it matters: not while all is well.
    pub fn admit(&mut self, now: impl Fn() -> Duration) -> Admission {
        let retry_after = match self.phase {
            Phase::Closed => {
                return Admission::Pass(Permit {
                    period: self.period,
                    probe: false,
                });
            }
            Phase::Open { until } => until.saturating_sub(now()),
            Phase::HalfOpen { since } if now().saturating_sub(since) < PROBE_LEASE => PROBE_PATIENCE,
            Phase::HalfOpen { .. } => Duration::ZERO,
        };
        if !retry_after.is_zero() {
            return Admission::Refuse { retry_after };
        }
        self.enter(Phase::HalfOpen { since: now() });
        Admission::Pass(Permit {
            period: self.period,
            probe: true,
        })
    }

    /// Takes note of how a request ended.
    pub fn record(&mut self, now: Duration, permit: Permit, outcome: Outcome<'_>) {
        if permit.period != self.period {
            return;
        }
        match (permit.probe, outcome) {
            (false, outcome) => self.count(now, outcome),
            (true, Outcome::Success) => self.begin_anew(),
            (true, Outcome::Failure { .. } | Outcome::ConnectionFault) => {
                let longest = LONGEST_OPEN.max(self.settings.open_for);
                self.open_for = self.open_for.saturating_mul(2).min(longest);
                self.open(now);
            }
        }
    }

    /// The client went away before the request ended: nothing was learned. The next request may be the probe.
    pub fn abandon(&mut self, now: Duration, permit: Permit) {
        if permit.probe && permit.period == self.period {
            self.enter(Phase::Open { until: now });
        }
    }

    /// Another certificate is shown from now on: what was learned with the one before, which may have been refused, says
    /// nothing of it.
    pub fn begin_anew(&mut self) {
        self.open_for = self.settings.open_for;
        self.faults_in_a_row = 0;
        self.window.clear();
        self.enter(Phase::Closed);
    }

    /// The phase, for metrics. A circuit whose time is up stays open until somebody asks.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    fn count(&mut self, now: Duration, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Success => {
                self.faults_in_a_row = 0;
                self.window.success(now);
                return; // a success never opens
            }
            Outcome::Failure { person } => {
                self.faults_in_a_row = 0; // there was a connection
                self.window.failure(now, person);
            }
            Outcome::ConnectionFault => {
                self.faults_in_a_row = self.faults_in_a_row.saturating_add(1);
                self.window.failure(now, None);
            }
        }
        if self.faults_in_a_row >= self.settings.connection_faults.max(1) || self.failing(now) {
            self.open(now);
        }
    }

    fn failing(&self, now: Duration) -> bool {
        let seen = self.window.sum(now);
        seen.results >= self.settings.min_results
            && f64::from(seen.failures) >= self.settings.failure_ratio * f64::from(seen.results)
            && seen.persons >= self.settings.min_persons.min(COUNTABLE_PERSONS)
    }

    fn open(&mut self, now: Duration) {
        // up to a quarter more, in 256 steps
        let steps = u32::try_from(self.random() >> 56).unwrap_or_default();
        let jitter = (self.open_for / 4 / 256).saturating_mul(steps);
        // never none at all: that would be no circuit breaker
        let wait = self.open_for.saturating_add(jitter).max(Duration::from_millis(1));
        self.enter(Phase::Open {
            until: now.saturating_add(wait),
        });
    }

    const fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.period = self.period.wrapping_add(1);
    }

    /// `SplitMix64`: enough to spread probes, and no dependency.
    const fn random(&mut self) -> u64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.jitter;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;

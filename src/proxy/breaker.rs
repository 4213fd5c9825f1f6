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

    /// Whether a request may go now.
    pub fn admit(&mut self, now: Duration) -> Admission {
        let retry_after = match self.phase {
            Phase::Closed => {
                return Admission::Pass(Permit {
                    period: self.period,
                    probe: false,
                });
            }
            Phase::Open { until } => until.saturating_sub(now),
            Phase::HalfOpen { since } if now.saturating_sub(since) < PROBE_LEASE => PROBE_PATIENCE,
            Phase::HalfOpen { .. } => Duration::ZERO,
        };
        if !retry_after.is_zero() {
            return Admission::Refuse { retry_after };
        }
        self.enter(Phase::HalfOpen { since: now });
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
            (true, Outcome::Success) => {
                self.open_for = self.settings.open_for;
                self.faults_in_a_row = 0;
                self.window.clear();
                self.enter(Phase::Closed);
            }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: settings::Breaker = settings::Breaker {
        window: Duration::from_secs(10),
        min_results: 20,
        failure_ratio: 0.5,
        min_persons: 5,
        connection_faults: 5,
        open_for: Duration::from_secs(5),
    };

    const PEOPLE: [&str; 6] = ["A0001AA", "A0002AA", "A0003AA", "A0004AA", "A0005AA", "A0006AA"];

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn breaker() -> Breaker {
        Breaker::new(SETTINGS, 7)
    }

    fn permit(breaker: &mut Breaker, now: Duration) -> Permit {
        match breaker.admit(now) {
            Admission::Pass(permit) => permit,
            Admission::Refuse { retry_after } => panic!("refused for {retry_after:?} at {now:?}"),
        }
    }

    fn refusal(breaker: &mut Breaker, now: Duration) -> Duration {
        match breaker.admit(now) {
            Admission::Pass(permit) => panic!("{permit:?} at {now:?}"),
            Admission::Refuse { retry_after } => retry_after,
        }
    }

    fn run(breaker: &mut Breaker, now: Duration, outcome: Outcome<'_>) {
        let permit = permit(breaker, now);
        breaker.record(now, permit, outcome);
    }

    fn failure(person: &str) -> Outcome<'_> {
        Outcome::Failure { person: Some(person) }
    }

    /// An open circuit, and for how long.
    fn opened(now: Duration) -> (Breaker, Duration) {
        let mut breaker = breaker();
        for _ in 0..SETTINGS.connection_faults {
            run(&mut breaker, now, Outcome::ConnectionFault);
        }
        let wait = refusal(&mut breaker, now);
        (breaker, wait)
    }

    #[test]
    fn connection_faults_in_a_row_open_the_circuit_at_once() {
        let mut breaker = breaker();
        for _ in 0..4 {
            run(&mut breaker, at(0), Outcome::ConnectionFault);
        }
        run(&mut breaker, at(0), Outcome::Success);
        for _ in 0..4 {
            run(&mut breaker, at(0), Outcome::ConnectionFault);
        }
        assert_eq!(breaker.state(), State::Closed);
        run(&mut breaker, at(0), Outcome::ConnectionFault);
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn one_bad_person_never_opens_the_circuit() {
        let mut breaker = breaker();
        for millis in 0..10_000 {
            run(&mut breaker, at(millis), failure("A1234BC"));
        }
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn failures_of_several_persons_open_it_once_there_are_enough_of_each() {
        // successes, how many persons fail, how often each, what comes of it
        for (successes, people, times, expected) in [
            (10, 5, 2, State::Open),
            (10, 4, 3, State::Closed), // too few persons
            (14, 6, 2, State::Closed), // too small a share
            (0, 6, 3, State::Closed),  // too few results
            (0, 5, 4, State::Open),
        ] {
            let mut breaker = breaker();
            for _ in 0..successes {
                run(&mut breaker, at(0), Outcome::Success);
            }
            for _ in 0..times {
                for person in &PEOPLE[..people] {
                    if breaker.state() == State::Closed {
                        run(&mut breaker, at(0), failure(person));
                    }
                }
            }
            assert_eq!(
                breaker.state(),
                expected,
                "{successes} good, {people} persons {times} times"
            );
        }
    }

    #[test]
    fn without_a_person_each_failure_counts_as_another() {
        let mut breaker = breaker();
        for _ in 0..15 {
            run(&mut breaker, at(0), Outcome::Success);
        }
        for _ in 0..15 {
            assert_eq!(breaker.state(), State::Closed);
            run(&mut breaker, at(0), Outcome::Failure { person: None });
        }
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut breaker = breaker();
        for turn in 0..19 {
            run(&mut breaker, at(0), failure(PEOPLE[turn % 6]));
        }
        run(&mut breaker, at(10_000), failure(PEOPLE[0]));
        assert_eq!(breaker.state(), State::Closed);
        // the same within the window does open it
        let mut breaker = self::breaker();
        for turn in 0..19 {
            run(&mut breaker, at(0), failure(PEOPLE[turn % 6]));
        }
        run(&mut breaker, at(9_000), failure(PEOPLE[0]));
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn client_errors_are_normal_answers_and_server_errors_are_not() {
        for (status, success) in [
            (200, true),
            (304, true),
            (404, true),
            (409, true),
            (429, true),
            (500, false),
            (503, false),
        ] {
            assert_eq!(
                matches!(Outcome::of_status(status, None), Outcome::Success),
                success,
                "{status}"
            );
        }
    }

    #[test]
    fn an_open_circuit_says_when_to_come_back_and_then_lets_one_through() {
        let (mut breaker, wait) = opened(at(1_000));
        assert!(
            wait >= SETTINGS.open_for && wait < SETTINGS.open_for * 5 / 4,
            "{wait:?}"
        );
        assert_eq!(refusal(&mut breaker, at(2_000)), wait - at(1_000));
        let ready = at(1_000) + wait;
        let probe = permit(&mut breaker, ready);
        assert!(probe.is_probe());
        assert_eq!(breaker.state(), State::HalfOpen);
        assert_eq!(refusal(&mut breaker, ready), PROBE_PATIENCE);
        breaker.record(ready, probe, Outcome::Success);
        assert_eq!(breaker.state(), State::Closed);
        assert!(!permit(&mut breaker, ready).is_probe());
    }

    #[test]
    fn a_failed_probe_opens_it_for_twice_as_long_up_to_a_minute_and_success_starts_over() {
        let mut now = at(0);
        let (mut breaker, mut wait) = opened(now);
        for seconds in [10, 20, 40, 60, 60] {
            now += wait;
            run(&mut breaker, now, Outcome::Failure { person: None });
            wait = refusal(&mut breaker, now);
            let base = Duration::from_secs(seconds);
            assert!(wait >= base && wait < base * 5 / 4, "{wait:?} after {base:?}");
        }
        now += wait;
        run(&mut breaker, now, Outcome::Success);
        for _ in 0..SETTINGS.connection_faults {
            run(&mut breaker, now, Outcome::ConnectionFault);
        }
        assert!(refusal(&mut breaker, now) < SETTINGS.open_for * 5 / 4);
    }

    #[test]
    fn what_failed_before_the_circuit_closed_again_is_not_held_against_it() {
        let mut breaker = breaker();
        for turn in 0..20 {
            run(&mut breaker, at(0), failure(PEOPLE[turn % 6]));
        }
        // the probe goes while those failures are still in the window
        let now = refusal(&mut breaker, at(0));
        assert!(now < SETTINGS.window);
        run(&mut breaker, now, Outcome::Success);
        run(&mut breaker, now, failure(PEOPLE[0]));
        assert_eq!(breaker.state(), State::Closed);
        // nor faults in a row
        let (mut breaker, wait) = opened(at(0));
        run(&mut breaker, wait, Outcome::Success);
        run(&mut breaker, wait, Outcome::ConnectionFault);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn a_result_from_before_the_circuit_opened_is_not_the_probes() {
        let mut breaker = breaker();
        let [early, late] = [permit(&mut breaker, at(0)), permit(&mut breaker, at(0))];
        for _ in 0..SETTINGS.connection_faults {
            run(&mut breaker, at(0), Outcome::ConnectionFault);
        }
        let wait = refusal(&mut breaker, at(1));
        breaker.record(at(1), early, Outcome::ConnectionFault);
        assert_eq!(refusal(&mut breaker, at(1)), wait);
        let probe = permit(&mut breaker, at(60_000));
        breaker.record(at(60_001), late, Outcome::ConnectionFault);
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.record(at(60_002), probe, Outcome::Success);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn an_abandoned_probe_makes_room_for_the_next_request() {
        let (mut breaker, wait) = opened(at(0));
        let probe = permit(&mut breaker, wait);
        breaker.abandon(wait, probe);
        assert!(permit(&mut breaker, wait).is_probe());
    }

    #[test]
    fn a_probe_that_is_never_heard_of_again_is_replaced_and_its_late_word_ignored() {
        let (mut breaker, wait) = opened(at(0));
        let lost = permit(&mut breaker, wait);
        refusal(&mut breaker, wait + PROBE_LEASE - at(1));
        let second = permit(&mut breaker, wait + PROBE_LEASE);
        assert!(second.is_probe());
        breaker.record(wait + PROBE_LEASE, lost, Outcome::ConnectionFault);
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.record(wait + PROBE_LEASE, second, Outcome::Success);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn different_seeds_wait_for_different_times() {
        let waits: std::collections::BTreeSet<_> = (0..32)
            .map(|seed| {
                let mut breaker = Breaker::new(SETTINGS, seed);
                for _ in 0..SETTINGS.connection_faults {
                    run(&mut breaker, at(0), Outcome::ConnectionFault);
                }
                refusal(&mut breaker, at(0))
            })
            .collect();
        assert!(waits.len() > 16, "{} of 32", waits.len());
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Wait(u64),
        Admit,
        Success(usize),
        Failure(usize, Option<usize>),
        Fault(usize),
        Abandon(usize),
        Lose(usize),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            2 => (0_u64..20_000).prop_map(Event::Wait),
            6 => Just(Event::Admit),
            1 => any::<usize>().prop_map(Event::Success),
            3 => (any::<usize>(), prop::option::of(0_usize..6)).prop_map(|(which, person)| Event::Failure(which, person)),
            3 => any::<usize>().prop_map(Event::Fault),
            1 => any::<usize>().prop_map(Event::Abandon),
            1 => any::<usize>().prop_map(Event::Lose),
        ];
        prop::collection::vec(event, 0..200)
    }

    proptest! {
        #[test]
        fn no_order_of_events_wedges_the_circuit_and_one_probe_goes_at_a_time(
            events in events(),
            seed: u64,
            faults in 1_u32..4,
            window in 0_u64..5_000,
            open_for in 0_u64..100_000,
        ) {
            let settings = settings::Breaker {
                window: at(window),
                min_results: 4,
                min_persons: 2,
                connection_faults: faults,
                open_for: at(open_for),
                ..SETTINGS
            };
            let longest = LONGEST_OPEN.max(settings.open_for) * 5 / 4 + at(1);
            let mut breaker = Breaker::new(settings, seed);
            let mut now = at(0);
            let mut under_way: Vec<Permit> = Vec::new();
            // when the youngest probe that may still speak was let in
            let mut probe_since = None;
            for event in events {
                let which = |which: usize| (!under_way.is_empty()).then(|| which % under_way.len());
                let (index, outcome) = match event {
                    Event::Wait(millis) => {
                        now += at(millis);
                        continue;
                    }
                    Event::Admit => {
                        match breaker.admit(now) {
                            Admission::Refuse { retry_after } => {
                                prop_assert!(!retry_after.is_zero() && retry_after <= longest);
                            }
                            Admission::Pass(permit) => {
                                if permit.is_probe() {
                                    prop_assert!(probe_since.is_none_or(|since| now >= since + PROBE_LEASE));
                                    probe_since = Some(now);
                                }
                                under_way.push(permit);
                            }
                        }
                        continue;
                    }
                    Event::Success(at) => (which(at), Some(Outcome::Success)),
                    Event::Failure(at, person) => {
                        (which(at), Some(Outcome::Failure { person: person.map(|person| PEOPLE[person]) }))
                    }
                    Event::Fault(at) => (which(at), Some(Outcome::ConnectionFault)),
                    Event::Abandon(at) => (which(at), None),
                    Event::Lose(at) => {
                        if let Some(index) = which(at) {
                            drop(under_way.swap_remove(index));
                        }
                        continue;
                    }
                };
                let Some(index) = index else { continue };
                let permit = under_way.swap_remove(index);
                if permit.probe && permit.period == breaker.period {
                    probe_since = None;
                }
                match outcome {
                    Some(outcome) => breaker.record(now, permit, outcome),
                    None => breaker.abandon(now, permit),
                }
            }
            now += longest.max(PROBE_LEASE);
            let permit = match breaker.admit(now) {
                Admission::Pass(permit) => permit,
                Admission::Refuse { retry_after } => {
                    return Err(TestCaseError::fail(format!("wedged: {retry_after:?} more, {breaker:?}")));
                }
            };
            breaker.record(now, permit, Outcome::Success);
            prop_assert_eq!(breaker.state(), State::Closed);
        }

        #[test]
        fn failures_of_fewer_persons_than_asked_for_never_open_it(
            results in prop::collection::vec((0_u64..400, prop::option::of(0_usize..4)), 0..300),
        ) {
            let mut breaker = breaker();
            let mut now = at(0);
            for (millis, person) in results {
                now += at(millis);
                run(&mut breaker, now, person.map_or(Outcome::Success, |person| failure(PEOPLE[person])));
                prop_assert_eq!(breaker.state(), State::Closed);
            }
        }
    }
}

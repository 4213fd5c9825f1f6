//! The place of one token: events in, answers out. Pure: no request is made here and no clock is read.
//!
//! Four things hold whatever happens (a property test says so): a token past its last use is never handed out; never more than
//! one fetch is in flight; a token that the API refuses is dropped only if it is still the current one; an API that refuses every
//! fresh token causes at most one fetch for it in [`BETWEEN_REFUSALS`].

use std::time::Duration;

use super::gate::{Closed, Gate, Trouble};
use super::life::Life;

/// From one fetch because of the API's refusal until the next.
pub(super) const BETWEEN_REFUSALS: Duration = Duration::from_secs(30);
/// The same for a token that the API had taken before: something has changed there, and a new one may help at once.
const AFTER_WORK: Duration = Duration::from_secs(1);
/// From a fetch's start until the next: tokens may be over as soon as they come.
const BETWEEN_FETCHES: Duration = Duration::from_millis(500);
/// A token is not renewed ahead more often than this; whoever needs it asks.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(5);

/// One token and the fetch for it.
#[derive(Clone, Debug)]
pub(super) struct Slot<T> {
    held: Option<Held<T>>,
    /// The number of the fetch that is in flight.
    flight: Option<u64>,
    /// When the last fetch set out.
    set_out: Option<Duration>,
    /// When a token was last dropped because the API refused it.
    dropped: Option<Duration>,
    pub(super) gate: Gate,
}

#[derive(Clone, Debug)]
struct Held<T> {
    serial: u64,
    token: T,
    life: Life,
}

/// What whoever needs a token is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Ready(T),
    /// A fetch has to be sent out, with the number that was given; then as `Wait`.
    Fly,
    /// A fetch is in flight.
    Wait,
    /// Not before this moment.
    Pause(Duration, Option<Trouble>),
}

/// What is to be done after the API refused a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Ask for another one, or take the one that is here by now.
    Another,
    /// It was fetched because of a refusal just now: another one would be refused as well.
    Standing,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            held: None,
            flight: None,
            set_out: None,
            dropped: None,
            gate: Gate::default(),
        }
    }
}

impl<T: Clone> Slot<T> {
    /// The token, where it may still be sent.
    pub(super) fn usable(&self, now: Duration) -> Option<&T> {
        let held = self.held.as_ref().filter(|held| held.life.is_usable(now));
        held.map(|held| &held.token)
    }

    /// The current token's own end and last use.
    pub(super) fn life(&self) -> Option<Life> {
        self.held.as_ref().map(|held| held.life)
    }

    pub(super) fn in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Somebody needs a token. `outer` closes for all slots of one other side.
    pub(super) fn wanted(&mut self, now: Duration, outer: &Gate, number: u64) -> Answer<T> {
        if let Some(token) = self.usable(now) {
            return Answer::Ready(token.clone());
        }
        if self.in_flight() {
            return Answer::Wait;
        }
        if let Some(Closed { until, trouble }) = closed(now, [outer, &self.gate]) {
            return Answer::Pause(*until, Some(trouble.clone()));
        }
        match self.set_out.map(|set_out| set_out + BETWEEN_FETCHES) {
            Some(earliest) if now < earliest => Answer::Pause(earliest, None),
            _ => {
                self.set_out(now, number);
                Answer::Fly
            }
        }
    }

    /// When [`Self::renew`] would send out a fetch, if nothing else happens; `None`: one is in flight.
    pub(super) fn due(&self, outer: &Gate) -> Option<Duration> {
        if self.in_flight() {
            return None;
        }
        let open = outer.opens_at().max(self.gate.opens_at());
        let paced = |pause| self.set_out.map_or(Duration::ZERO, |set_out| set_out + pause);
        Some(match &self.held {
            Some(held) => held.life.renew_at.max(open).max(paced(BETWEEN_RENEWALS)),
            None => open.max(paced(BETWEEN_FETCHES)),
        })
    }

    /// Nobody waits, but a token is to be there when somebody comes. True: a fetch has to be sent out.
    pub(super) fn renew(&mut self, now: Duration, outer: &Gate, number: u64) -> bool {
        let due = self.due(outer).is_some_and(|due| due <= now);
        if due {
            self.set_out(now, number);
        }
        due
    }

    /// A fetch for another purpose than to renew brings this slot's next token. False: one is in flight already.
    pub(super) fn occupy(&mut self, now: Duration, number: u64) -> bool {
        let free = !self.in_flight();
        if free {
            self.set_out(now, number);
        }
        free
    }

    /// The fetch brought a token. False: it is not the fetch that is waited for, and its token is not taken.
    pub(super) fn fetched(&mut self, number: u64, serial: u64, token: T, life: Life) -> bool {
        if self.flight != Some(number) {
            return false;
        }
        self.flight = None;
        self.held = Some(Held { serial, token, life });
        self.gate.open();
        true
    }

    /// The fetch ended without a token; the gates say why. False: it is not the fetch that is waited for.
    pub(super) fn ended(&mut self, number: u64) -> bool {
        let waited_for = self.flight == Some(number);
        if waited_for {
            self.flight = None;
        }
        waited_for
    }

    /// The API refused the token of this number; `worked`: it has taken it before.
    pub(super) fn refused(&mut self, now: Duration, serial: u64, worked: bool) -> Refusal {
        if self.held.as_ref().is_none_or(|held| held.serial != serial) {
            return Refusal::Another;
        }
        let pause = if worked { AFTER_WORK } else { BETWEEN_REFUSALS };
        if self.dropped.is_some_and(|dropped| now < dropped + pause) {
            return Refusal::Standing;
        }
        self.dropped = Some(now);
        self.held = None;
        Refusal::Another
    }

    fn set_out(&mut self, now: Duration, number: u64) {
        self.set_out = Some(now);
        self.flight = Some(number);
    }
}

/// The one of several gates that opens last, if any is closed.
fn closed<'a>(now: Duration, gates: impl IntoIterator<Item = &'a Gate>) -> Option<&'a Closed> {
    let closed = gates.into_iter().filter_map(|gate| gate.closed(now));
    closed.max_by_key(|closed| closed.until)
}

#[cfg(test)]
mod tests;

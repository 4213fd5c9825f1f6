//! What the process still waits for, and whether it has been told to leave.
//!
//! Readiness is about this process alone (listening, configuration, a valid identity), never about the upstream: an
//! upstream that is down must not take every pod out of service at once. Whoever knows of a condition names it and
//! says in a sentence what is waited for; the probes and the status page show that sentence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The conditions of being ready; clones share them.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Name of the condition → what is waited for.
    pending: BTreeMap<String, String>,
    started: bool,
    draining: bool,
}

impl Readiness {
    /// Waits for `listening` and `configuration`: nothing is ready before those.
    #[must_use]
    #[allow(clippy::new_without_default)] // a default would hide that it begins by waiting
    pub fn new() -> Self {
        let pending = [
            ("listening", "the listening socket is not open yet"),
            ("configuration", "the configuration is not applied yet"),
        ];
        let pending = pending.map(|(name, sentence)| (name.to_owned(), sentence.to_owned()));
        Self(Arc::new(Mutex::new(State {
            pending: BTreeMap::from(pending),
            started: false,
            draining: false,
        })))
    }

    /// The condition `name` is not met (any more); the sentence says what is waited for, and replaces an older one.
    pub fn waiting(&self, name: &str, sentence: &str) {
        let mut state = self.state();
        state.pending.insert(name.to_owned(), sentence.to_owned());
    }

    /// The condition `name` is met. One that nobody named was never in the way.
    pub fn met(&self, name: &str) {
        let mut state = self.state();
        state.pending.remove(name);
        state.started |= state.pending.is_empty();
    }

    /// Every condition is met.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.state().pending.is_empty()
    }

    /// Was ready once, whatever happened since.
    #[must_use]
    pub fn started(&self) -> bool {
        self.state().started
    }

    /// The conditions not met, by name, each with what is waited for.
    #[must_use]
    pub fn pending(&self) -> Vec<(String, String)> {
        let state = self.state();
        state.pending.iter().map(|(n, s)| (n.clone(), s.clone())).collect()
    }

    /// The process has been told to leave; there is no way back.
    pub fn drain(&self) {
        self.state().draining = true;
    }

    /// Told to leave.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.state().draining
    }

    /// Each change is a single step, so a panic elsewhere cannot have left it half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(readiness: &Readiness) -> Vec<String> {
        readiness.pending().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_fresh_process_waits_for_its_socket_and_its_configuration() {
        let readiness = Readiness::new();
        assert!(!readiness.ready() && !readiness.started() && !readiness.draining());
        assert_eq!(names(&readiness), ["configuration", "listening"]);
    }

    #[test]
    fn ready_means_that_the_last_condition_is_met_in_any_order() {
        let readiness = Readiness::new();
        readiness.waiting("identity ndh", "no certificate in /tls yet");
        readiness.met("listening");
        readiness.met("configuration");
        assert!(!readiness.ready() && !readiness.started());
        let expected = ("identity ndh".to_owned(), "no certificate in /tls yet".to_owned());
        assert_eq!(readiness.pending(), [expected]);
        readiness.met("identity ndh");
        assert!(readiness.ready() && readiness.started());
    }

    #[test]
    fn a_condition_lost_later_makes_it_unready_but_it_stays_started() {
        let readiness = Readiness::new();
        readiness.met("listening");
        readiness.met("configuration");
        readiness.waiting("identity ndh", "the certificate has expired");
        assert!(!readiness.ready() && readiness.started());
        readiness.waiting("identity ndh", "the certificate and its successor have expired");
        assert_eq!(
            readiness.pending()[0].1,
            "the certificate and its successor have expired"
        );
    }

    #[test]
    fn a_condition_that_nobody_named_changes_nothing_when_it_is_met() {
        let readiness = Readiness::new();
        readiness.met("identity ndh");
        assert!(!readiness.ready() && !readiness.started());
    }

    #[test]
    fn clones_share_their_conditions_and_the_drain() {
        let readiness = Readiness::new();
        let other = readiness.clone();
        other.met("listening");
        other.met("configuration");
        other.drain();
        assert!(readiness.ready() && readiness.draining());
    }
}

//! What is known of the switch-over, as last reported by the main thread: modes, comparisons, answers by leg.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::{Metrics, lock};
use crate::switch::report::Report;

/// The last report, and how often each kind of event happened to a unit.
#[derive(Debug, Default)]
pub(super) struct Switch {
    pub(super) report: Mutex<Report>,
    pub(super) events: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Metrics {
    /// Where all units stand.
    pub fn switch(&self, report: Report) {
        *lock(&self.switch.report) = report;
    }

    /// Something happened to a unit; `event` is from a fixed list.
    pub fn switched(&self, unit: &str, event: &'static str) {
        *lock(&self.switch.events).entry((unit.to_owned(), event)).or_default() += 1;
    }
}

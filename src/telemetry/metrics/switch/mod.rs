//! What is known of the switch-over, as last told by the main thread: who answers, comparisons, answers by leg.
//!
//! Labels are names of units, route templates, words from fixed lists, and the pointers of differences, which hold no
//! value and no person and are bounded in number. What stands is a gauge of the last report; what is counted is a running
//! total (`totals`), because evidence may begin anew and a counter may not.

mod totals;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::{Family, named};
use super::{Metrics, lock};
use crate::compare::Leg;
use crate::switch::report::{Report, Unit};
use crate::switch::{Evidence, Mode, Short};

use totals::{Counted, Totals};

/// What happens to units. Each is there from the beginning: a counter that appears with its first count has no rise.
const EVENTS: [&str; 7] = [
    "mode_configured",
    "override_set",
    "override_expired",
    "override_dropped",
    "rolled_back",
    "roll_back_lifted",
    "reset",
];

/// What can be missing, in the order of the gate.
const LACKS: [Short; 9] = [
    Short::Mode,
    Short::Samples,
    Short::Mismatch,
    Short::Missing,
    Short::Errors,
    Short::Latency,
    Short::Refused,
    Short::RolledBack,
    Short::Ndh,
];

/// The last report, what was counted since the start, and how often each kind of event happened to a unit.
#[derive(Debug, Default)]
pub(super) struct Switch {
    report: Mutex<Report>,
    totals: Mutex<Totals>,
    events: Mutex<BTreeMap<(String, &'static str), u64>>,
    beside: Mutex<Option<Beside>>,
}

/// What waits to be compared at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Replies that nobody has begun with.
    pub queued: u64,
    /// Bytes of all replies that are held.
    pub bytes: u64,
}

impl Metrics {
    /// Where all units stand.
    pub fn switch(&self, report: Report) {
        *lock(&self.switch.report) = report;
    }

    /// What a route has seen since its evidence began. To be told also just before evidence begins anew.
    pub fn seen(&self, unit: &str, route: &str, template: &str, evidence: &Evidence) {
        lock(&self.switch.totals).look(unit, route, template, evidence);
    }

    /// What waits to be compared.
    pub fn beside(&self, beside: Option<Beside>) {
        *lock(&self.switch.beside) = beside;
    }

    /// Something happened to a unit; `event` is from a fixed list.
    pub fn switched(&self, unit: &str, event: &'static str) {
        *lock(&self.switch.events).entry((unit.to_owned(), event)).or_default() += 1;
    }

    /// What was last told of the switch-over, for the status page.
    #[must_use]
    pub fn switch_report(&self) -> Report {
        lock(&self.switch.report).clone()
    }

    pub(super) fn of_switch(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        {
            let report = lock(&self.switch.report);
            standing(&report.units, out)?;
            readiness(&report.units, out)?;
            ndh(&report, out)?;
        }
        self.events(out)?;
        self.counted(out)?;
        let Some(beside) = *lock(&self.switch.beside) else {
            return Ok(());
        };
        let help = "Replies that wait to be compared";
        Family::new(out, named!("comparisons_queued"), help, MetricType::Gauge)?.gauge(&[], beside.queued)?;
        let help = "Memory that replies hold which wait to be compared";
        let name = named!("comparisons_held_bytes");
        Family::new(out, name, help, MetricType::Gauge)?.gauge(&[], beside.bytes)
    }

    fn events(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut events: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
        for unit in &lock(&self.switch.report).units {
            events.extend(EVENTS.map(|event| ((unit.unit.clone(), event), 0)));
        }
        events.extend(lock(&self.switch.events).clone());
        let help = "What happened to units: modes set and configured, roll-backs";
        let mut family = Family::new(out, named!("route_events"), help, MetricType::Counter)?;
        for ((unit, event), count) in &events {
            family.counter(&[("unit", unit), ("event", event)], *count)?;
        }
        Ok(())
    }

    fn counted(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let totals = lock(&self.switch.totals);
        for counted in Counted::ALL {
            let (name, help) = described(counted);
            let mut family = Family::new(out, name, help, MetricType::Counter)?;
            for (unit, route, values, count) in totals.of(counted) {
                let own = counted.labels().iter().copied().zip(values.iter().map(String::as_str));
                let labels: Vec<(&str, &str)> = [("unit", unit), ("route", route)].into_iter().chain(own).collect();
                family.counter(&labels, count)?;
            }
        }
        Ok(())
    }
}

const fn described(counted: Counted) -> (&'static str, &'static str) {
    match counted {
        Counted::Comparisons => (named!("comparisons"), "Pairs of replies that were compared, by result"),
        Counted::Differences => (
            named!("differences"),
            "Places where the legs differed, also when asked again; `known`: the rule that excuses it",
        ),
        Counted::NotComparable => (
            named!("not_comparable"),
            "Pairs without a result: a leg failed, or its reply cannot be viewed",
        ),
        Counted::Dropped => (
            named!("comparisons_dropped"),
            "Comparisons that did not take place, for want of room or of sense",
        ),
        Counted::Refused => (
            named!("comparisons_refused"),
            "Comparisons in which a leg refused the sidecar's credentials",
        ),
        Counted::AskedAgain => (
            named!("comparisons_asked_again"),
            "Differing pairs that were asked again after a pause",
        ),
        Counted::Recovered => (
            named!("comparisons_recovered"),
            "Differing pairs that did not differ any more when asked again",
        ),
        Counted::Answers => (
            named!("leg_answers"),
            "What a leg answered, or failed to answer: to the application, or to be compared",
        ),
        Counted::Errors => (
            named!("leg_errors"),
            "Answers of a leg that failed: none, 5xx, credentials refused, not to be mapped",
        ),
        Counted::Fallbacks => (
            named!("fallbacks"),
            "Requests that standard failed and NDH was then asked for",
        ),
    }
}

/// Who answers, and why it is not as configured.
fn standing(units: &[Unit], out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Who answers a unit: 1 for the mode it is in";
    modes(units, named!("route_mode"), help, |unit| unit.effective.mode, out)?;
    let help = "Who is configured to answer a unit: 1 for the mode";
    modes(
        units,
        named!("route_mode_configured"),
        help,
        |unit| unit.configured.mode,
        out,
    )?;
    let help = "Share of the persons whom standard answers, 0 to 1";
    let mut family = Family::new(out, named!("route_standard_share"), help, MetricType::Gauge)?;
    for unit in units {
        family.labelled_float(&[("unit", &unit.unit)], unit.effective.share)?;
    }
    type Moment = fn(&Unit) -> Option<i64>;
    let times: [(&str, &str, Moment); 3] = [
        (
            named!("route_override_expires_timestamp_seconds"),
            "End of the override that is in force; absent without one",
            |unit| unit.set.as_ref().map(|set| set.expires),
        ),
        (
            named!("route_rolled_back_timestamp_seconds"),
            "Since when a unit is rolled back; absent while it is not",
            |unit| unit.rolled_back.as_ref().map(|back| back.at),
        ),
        (
            named!("route_standard_since_timestamp_seconds"),
            "Since when standard has answered everybody; absent while it does not",
            |unit| unit.standard_since,
        ),
    ];
    for (name, help, at) in times {
        let mut family = Family::new(out, name, help, MetricType::Gauge)?;
        for unit in units {
            if let Some(at) = at(unit) {
                family.signed(&[("unit", &unit.unit)], at)?;
            }
        }
    }
    Ok(())
}

fn modes(
    units: &[Unit],
    name: &str,
    help: &str,
    of: fn(&Unit) -> Mode,
    out: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let mut family = Family::new(out, name, help, MetricType::Gauge)?;
    for unit in units {
        for mode in Mode::ALL {
            let labels = [("unit", unit.unit.as_str()), ("mode", mode.as_str())];
            family.gauge(&labels, u64::from(of(unit) == mode))?;
        }
    }
    Ok(())
}

/// What the gate says of the next step.
fn readiness(units: &[Unit], out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "The next step of a unit may be taken: 1 for GO, 0 for NO-GO";
    let mut family = Family::new(out, named!("gate_go"), help, MetricType::Gauge)?;
    for unit in units {
        family.gauge(&[("unit", &unit.unit)], u64::from(unit.decision.go))?;
    }
    let help = "What is missing for the next step: 1 where it is";
    let mut family = Family::new(out, named!("gate_lacks"), help, MetricType::Gauge)?;
    for unit in units {
        for lack in LACKS {
            let found = unit.decision.lacks.iter().any(|one| one.kind == lack);
            family.gauge(&[("unit", &unit.unit), ("lack", lack.as_str())], u64::from(found))?;
        }
    }
    let help = "What half, and 95 %, of a leg's answers that are no errors stay within, since the evidence began";
    let mut family = Family::new(out, named!("leg_duration_seconds"), help, MetricType::Gauge)?;
    for unit in units {
        for leg in [Leg::Ndh, Leg::Standard] {
            let times = unit.times.of(leg);
            for (quantile, time) in [("0.5", times.p50), ("0.95", times.p95)] {
                if let Some(time) = time {
                    let labels = [
                        ("unit", unit.unit.as_str()),
                        ("leg", leg.as_str()),
                        ("quantile", quantile),
                    ];
                    family.labelled_float(&labels, time)?;
                }
            }
        }
    }
    Ok(())
}

/// Whether NDH is still needed.
fn ndh(report: &Report, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "When NDH last answered a unit, also by fallback; without an answer, since when that is known";
    let name = named!("ndh_last_used_timestamp_seconds");
    let mut family = Family::new(out, name, help, MetricType::Gauge)?;
    for unit in &report.units {
        let at = unit.withdrawal.last_used.unwrap_or(unit.withdrawal.known_since);
        family.signed(&[("unit", &unit.unit)], at)?;
    }
    let help = "The access to NDH can be withdrawn from a unit: 1, or not: 0";
    let mut family = Family::new(out, named!("ndh_withdrawable"), help, MetricType::Gauge)?;
    for unit in &report.units {
        family.gauge(&[("unit", &unit.unit)], u64::from(unit.withdrawal.possible))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! `route report` as people read it: GO or NO-GO, what is missing, and what it rests on.
//!
//! Pure: what "now" is, is an argument.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cli::output::{Tone, paint};
use crate::cli::span::moment;
use crate::switch::evidence::{Answers, Difference};
use crate::switch::report::{Report, Route, Times, Unit};
use crate::switch::{Mode, Withdrawal, percent};

/// Width of the first column.
const LABEL: usize = 16;
/// Differences that are shown; JSON has all.
const SHOWN: usize = 20;

/// The whole report.
pub(super) fn text(report: &Report, now: i64) -> String {
    if report.units.is_empty() {
        return "NO-GO: no routes are configured here\n".to_owned();
    }
    let mut out = String::new();
    for unit in &report.units {
        out.push_str(&block(unit, now));
        out.push('\n');
    }
    let all = &report.withdrawal;
    let verdict = if all.possible {
        "its access can be withdrawn"
    } else {
        "its access cannot be withdrawn"
    };
    let _ = writeln!(out, "NDH over all: {}; {verdict}", days(all));
    out
}

/// `last used 3 days ago`, in whole days.
pub(super) fn days(withdrawal: &Withdrawal) -> String {
    let days = match withdrawal.days {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    match withdrawal.last_used {
        Some(_) => format!("{days} since it was last used"),
        None => format!("not used in the {days} since this is counted"),
    }
}

struct Page(String);

impl Page {
    /// A label and its lines; nothing where there are none.
    fn rows(&mut self, label: &str, lines: impl IntoIterator<Item = String>) {
        let mut label = label;
        for line in lines {
            let _ = writeln!(self.0, "  {label:LABEL$}{line}");
            label = "";
        }
    }

    fn row(&mut self, label: &str, line: String) {
        self.rows(label, [line]);
    }
}

fn block(unit: &Unit, now: i64) -> String {
    let decision = &unit.decision;
    let verdict = if decision.go {
        paint(Tone::Good, "GO")
    } else {
        paint(Tone::Bad, "NO-GO")
    };
    let mut page = Page(format!("{}: {verdict} for {}\n", unit.unit, decision.next.as_str()));
    page.rows("missing", decision.lacks.iter().map(|lack| lack.sentence.clone()));
    page.row("mode", mode(unit, now));
    page.rows(
        "routes",
        unit.routes.iter().map(|one| route(one, unit.configured.able.standard)),
    );
    if let Some(rolled_back) = &unit.rolled_back {
        page.row("rolled back", moment(rolled_back.at, now));
        page.rows("", rolled_back.reasons.iter().cloned());
    }
    if let Some(set) = &unit.set {
        let until = moment(set.expires, now);
        page.row("override", format!("until {until}, by {}: {}", set.by, set.reason));
    }
    if unit.configured.able.standard {
        evidence(&mut page, unit, now);
    }
    page.row("NDH", days(&unit.withdrawal));
    let (can, reasons) = (unit.withdrawal.possible, &unit.withdrawal.reasons);
    let verdict = if can { "can" } else { "cannot" };
    page.row("", format!("its access for this {verdict} be withdrawn"));
    // In standard they are what is missing already.
    if unit.effective.mode != Mode::Standard {
        page.rows("", reasons.iter().cloned());
    }
    page.0
}

fn route(one: &Route, standard: bool) -> String {
    match (standard, one.comparable) {
        (false, _) => one.route.clone(),
        (true, false) => format!("{}: cannot be compared", one.route),
        (true, true) => format!(
            "{}: {} compared, {} mismatched, {} missing",
            one.route, one.compared, one.mismatched, one.missing
        ),
    }
}

fn mode(unit: &Unit, now: i64) -> String {
    let configured = &unit.configured;
    let wish = match configured.mode {
        Mode::Canary => format!("canary {}", percent(configured.share)),
        mode => mode.to_string(),
    };
    let mut words = vec![format!("configured {wish}")];
    if configured.fallback {
        words.push("with fallback".to_owned());
    }
    // In shadow everything is compared, and in ndh nothing, whatever `compare` says.
    if configured.compare && unit.effective.mode.lets_standard_answer() {
        words.push("compared".to_owned());
    }
    if let Some(since) = unit.standard_since {
        words.push(format!("standard since {}", moment(since, now)));
    }
    format!("{} ({})", unit.effective, words.join(", "))
}

fn evidence(page: &mut Page, unit: &Unit, now: i64) {
    let seen = &unit.evidence;
    page.row("evidence", format!("since {}", moment(seen.since, now)));
    page.row(
        "compared",
        format!(
            "{}: {} equal, {} known, {} mismatched, {} missing on standard, {} missing on ndh",
            seen.compared, seen.matched, seen.known, seen.mismatched, seen.missing_on_standard, seen.missing_on_ndh
        ),
    );
    page.row(
        "asked again",
        format!(
            "{}, of which {} did not differ any more",
            seen.asked_again, seen.recovered
        ),
    );
    page.rows("not comparable", counted(&seen.not_comparable));
    page.rows("dropped", counted(&seen.dropped));
    let refused = [("ndh", seen.refused.ndh), ("standard", seen.refused.standard)];
    let refused = refused.into_iter().filter(|(_, count)| *count > 0);
    page.rows(
        "refused",
        refused.map(|(leg, count)| format!("{count} by {leg} (401 or 403)")),
    );
    page.row("ndh", answers(&seen.answers.ndh, unit.times.ndh));
    page.row("standard", answers(&seen.answers.standard, unit.times.standard));
    if seen.fallbacks > 0 {
        page.row("fallbacks", format!("{} to ndh", seen.fallbacks));
    }
    let unknown = unit.unknown_differences();
    let more = (unknown.len() > SHOWN).then(|| format!("and {} more places", unknown.len() - SHOWN));
    let other = (seen.differences.other > 0).then(|| format!("and {} in other places", seen.differences.other));
    let lines = unknown.iter().take(SHOWN).map(|one| difference(one));
    page.rows("differences", lines.chain(more).chain(other));
    let known = unit
        .known
        .iter()
        .map(|rule| format!("{} {}: {}", rule.name, rule.count, rule.reason));
    page.rows("known", known);
}

fn difference(one: &Difference) -> String {
    let pointer = if one.pointer.is_empty() {
        "(the whole)"
    } else {
        &one.pointer
    };
    format!("{pointer} {} {}", one.kind, one.count)
}

fn counted(counts: &BTreeMap<String, u64>) -> Option<String> {
    let each: Vec<String> = counts
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    (!each.is_empty()).then(|| each.join(", "))
}

fn answers(answers: &Answers, times: Times) -> String {
    let millis = |seconds: f64| format!("{:.0} ms", seconds * 1_000.0);
    let mut line = format!(
        "{} answers, {} to the application, {} errors",
        answers.count, answers.to_application, answers.errors
    );
    if let (Some(p50), Some(p95)) = (times.p50, times.p95) {
        let _ = write!(line, "; half within {}, 95 % within {}", millis(p50), millis(p95));
    }
    line
}

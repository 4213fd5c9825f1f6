//! `route status` as people read it: a line for each unit, and below it what is out of the ordinary.
//!
//! Pure: what "now" is, is an argument.

use crate::cert::facts::span;
use crate::cli::output::{Tone, paint};
use crate::cli::span::distance;
use crate::switch::percent;
use crate::switch::report::{Report, Unit};

/// The whole status.
pub(super) fn text(report: &Report, now: i64) -> String {
    if report.units.is_empty() {
        return "no routes are configured here\n".to_owned();
    }
    let rows: Vec<[String; 4]> = report.units.iter().map(row).collect();
    let head = ["UNIT", "MODE", "CONFIGURED", "EVIDENCE"].map(str::to_owned);
    let wide = |column: usize| {
        let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths = [wide(0), wide(1), wide(2)];
    let line = |row: &[String; 4]| {
        let [a, b, c] = widths;
        format!("{:a$}  {:b$}  {:c$}  {}", row[0], row[1], row[2], row[3])
    };
    let mut out = format!("{}\n", paint(Tone::Heading, &line(&head)));
    for (unit, row) in report.units.iter().zip(&rows) {
        out.push_str(&line(row));
        out.push('\n');
        for below in below(unit, now) {
            out.push_str(&format!("  {below}\n"));
        }
    }
    let ndh = &report.withdrawal;
    let can = if ndh.possible { "can" } else { "cannot" };
    let days = super::report::days(ndh);
    out.push_str(&format!(
        "NDH: {days}; its access {can} be withdrawn (see `route report`)\n"
    ));
    out
}

fn row(unit: &Unit) -> [String; 4] {
    let configured = &unit.configured;
    let wish = match configured.mode {
        crate::switch::Mode::Canary => format!("canary {}", percent(configured.share)),
        mode => mode.to_string(),
    };
    [unit.unit.clone(), unit.effective.to_string(), wish, evidence(unit)]
}

/// `GO for canary: 1,203 compared, 2 mismatched, 0 missing`.
fn evidence(unit: &Unit) -> String {
    if !unit.configured.able.standard {
        return "no standard leg".to_owned();
    }
    let seen = &unit.evidence;
    let verdict = if unit.decision.go { "GO" } else { "NO-GO" };
    let missing = seen.missing_on_standard + seen.missing_on_ndh;
    format!(
        "{verdict} for {}: {} compared, {} mismatched, {missing} missing; standard: {} answers, {} errors",
        unit.decision.next.as_str(),
        seen.compared,
        seen.mismatched,
        seen.answers.standard.count,
        seen.answers.standard.errors,
    )
}

fn below(unit: &Unit, now: i64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(rolled_back) = &unit.rolled_back {
        let from = crate::switch::Effective::of(rolled_back.from, rolled_back.share);
        let word = paint(Tone::Bad, "ROLLED BACK");
        let why = rolled_back.reasons.join("; ");
        lines.push(format!("{word} from {from} {}: {why}", distance(rolled_back.at, now)));
    }
    if let Some(set) = &unit.set {
        let word = paint(Tone::Warning, "override");
        let left = span((set.expires - now).max(0));
        lines.push(format!("{word} for {left} more, by {}: {}", set.by, set.reason));
    }
    lines
}

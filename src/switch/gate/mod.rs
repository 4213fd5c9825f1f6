//! The gate of a unit: what its evidence must show before the next step, and what takes the standard leg out at once.
//!
//! [`judge`] looks at everything since the evidence began and says GO, or NO-GO with each lack in words and numbers.
//! [`breach`] looks at the sliding window alone. One bad result among few is no rate, so a roll-back needs at least
//! [`FEWEST_BAD`] of a kind as well as a share above the bound.

mod routes;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::{Difference, Evidence};
use super::standing::Terms;
use super::words::{count, percent, ratio, times};
use super::{Leg, Mode, seconds};
pub(super) use routes::with_routes;

/// Bad results of one kind in the window before the unit rolls back.
pub const FEWEST_BAD: u64 = 3;
/// Differences that a lack names.
const NAMED: usize = 5;

/// The bounds of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Compared pairs before anything is said. Default 500.
    pub min_samples: u64,
    /// Share of confirmed mismatches among the compared. Default 0.001.
    pub max_mismatch: f64,
    /// Share of persons that one leg knows and the other does not, among the compared. Default 0.001.
    pub max_missing: f64,
    /// Share of errors among the standard leg's answers. Default 0.01.
    pub max_errors: f64,
    /// What 95 % of the standard leg's answers must stay within. Default: not looked at.
    #[serde(rename = "max_p95_s", with = "seconds::optional")]
    pub max_p95: Option<Duration>,
    /// What the automatic roll-back looks at. Default 5 min.
    #[serde(rename = "window_s", with = "seconds")]
    pub window: Duration,
    /// Fewer results in the window than this never roll back. Default 20.
    pub window_samples: u64,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            min_samples: 500,
            max_mismatch: 0.001,
            max_missing: 0.001,
            max_errors: 0.01,
            max_p95: None,
            window: Duration::from_secs(300),
            window_samples: 20,
        }
    }
}

/// What is missing for the next step, or what broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    pub kind: Short,
    /// In words and numbers.
    pub sentence: String,
}

/// What a [`Lack`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Short {
    /// The unit cannot take the step at all, or nothing collects evidence.
    Mode,
    Samples,
    Mismatch,
    Missing,
    Errors,
    Latency,
    /// A leg does not accept our credentials.
    Refused,
    /// The gate broke, and no operator has looked yet.
    RolledBack,
    /// NDH is still needed.
    Ndh,
}

impl Short {
    /// The word in the log and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Samples => "samples",
            Self::Mismatch => "mismatch",
            Self::Missing => "missing",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
            Self::Ndh => "ndh",
        }
    }
}

impl Lack {
    pub(super) fn new(kind: Short, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
        }
    }
}

/// Whether the next step may be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub go: bool,
    pub next: Step,
    /// Empty with GO.
    pub lacks: Vec<Lack>,
}

impl Decision {
    /// GO if nothing is missing.
    #[must_use]
    pub fn new(next: Step, lacks: Vec<Lack>) -> Self {
        Self {
            go: lacks.is_empty(),
            next,
            lacks,
        }
    }
}

/// What GO is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// From ndh: collect evidence.
    Shadow,
    /// From shadow.
    Canary,
    /// From canary.
    Standard,
    /// From standard: do without NDH.
    WithdrawNdh,
}

impl Step {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Standard => "standard",
            Self::WithdrawNdh => "withdrawing NDH",
        }
    }
}

/// Judges everything since the evidence began: is the unit, now in `mode`, ready for the next step?
///
/// In `standard` this says only that the standard leg is fit to stay alone; whether NDH can be withdrawn is said by
/// [`withdrawal`](super::withdrawal).
#[must_use]
pub fn judge(terms: &Terms, mode: Mode, evidence: &Evidence) -> Decision {
    let gate = &terms.gate;
    let mut lacks = Vec::new();
    let next = match mode {
        Mode::Ndh => {
            lacks.extend(from_ndh(terms));
            return Decision::new(Step::Shadow, lacks);
        }
        Mode::Shadow => Step::Canary,
        Mode::Canary => Step::Standard,
        Mode::Standard => Step::WithdrawNdh,
    };
    // Without a person there is no canary: shadow is followed by standard.
    let next = if next == Step::Canary && !terms.able.person {
        Step::Standard
    } else {
        next
    };
    lacks.extend(samples(terms, mode, evidence));
    lacks.extend(differing(gate, evidence));
    let answers = &evidence.answers.standard;
    lacks.extend(errors(gate, answers.errors, answers.count));
    lacks.extend(latency(gate, answers.latency.p95()));
    lacks.extend(refused(evidence));
    Decision::new(next, lacks)
}

/// From ndh nothing has to be shown first, only to be possible.
fn from_ndh(terms: &Terms) -> Option<Lack> {
    if !terms.able.standard {
        return Some(Lack::new(
            Short::Mode,
            "a route of this unit has no standard leg: NDH alone can answer it",
        ));
    }
    (!terms.able.compare).then(|| {
        Lack::new(
            Short::Mode,
            "nothing of this unit can be compared (it takes a safe method, and a view on both legs): going on to standard \
             is a decision that no evidence here supports",
        )
    })
}

/// Pairs that were compared, and answers that the application got from standard.
fn samples(terms: &Terms, mode: Mode, evidence: &Evidence) -> Vec<Lack> {
    let gate = &terms.gate;
    let mut lacks = Vec::new();
    let compares = compares(terms, mode);
    if compares {
        let mut lack = few("samples", evidence.compared, gate.min_samples);
        if let Some(lack) = &mut lack
            && mode == Mode::Canary
            && !terms.compare
        {
            lack.sentence
                .push_str("; nothing is compared in canary while `compare = false`");
        }
        lacks.extend(lack);
    }
    if mode.lets_standard_answer() {
        let least = if compares {
            gate.window_samples
        } else {
            gate.min_samples
        };
        let answered = evidence.answers.standard.to_application;
        lacks.extend(few("answers by standard to the application", answered, least));
    }
    lacks
}

/// Pairs count for the next step. Where standard answers everybody, comparing is a choice, and withdrawing NDH ends it.
const fn compares(terms: &Terms, mode: Mode) -> bool {
    terms.able.compare && (!matches!(mode, Mode::Standard) || terms.compare)
}

fn few(of: &str, found: u64, least: u64) -> Option<Lack> {
    (found < least).then(|| Lack::new(Short::Samples, format!("{} of {} {of}", count(found), count(least))))
}

fn differing(gate: &Gate, evidence: &Evidence) -> Vec<Lack> {
    let compared = evidence.compared;
    let mut lacks = Vec::new();
    if ratio(evidence.mismatched, compared) > gate.max_mismatch {
        let mut sentence = above("mismatch", evidence.mismatched, compared, gate.max_mismatch);
        let named: Vec<String> = evidence
            .differences
            .most_frequent(false)
            .iter()
            // Who is missing on a side is counted apart.
            .filter(|one| !(one.pointer.is_empty() && one.kind.starts_with("only_")))
            .take(NAMED)
            .map(said)
            .collect();
        if !named.is_empty() {
            sentence = format!("{sentence}: {}", named.join(", "));
        }
        lacks.push(Lack::new(Short::Mismatch, sentence));
    }
    let missing = evidence.missing_on_standard + evidence.missing_on_ndh;
    if ratio(missing, compared) > gate.max_missing {
        let sentence = above("missing on one side", missing, compared, gate.max_missing);
        let (standard, ndh) = (count(evidence.missing_on_standard), count(evidence.missing_on_ndh));
        lacks.push(Lack::new(
            Short::Missing,
            format!("{sentence}: {standard} on standard, {ndh} on ndh"),
        ));
    }
    lacks
}

/// `/tier value 6 times`.
fn said(one: &&Difference) -> String {
    let pointer = if one.pointer.is_empty() {
        "(the whole)"
    } else {
        &one.pointer
    };
    format!("{pointer} {} {}", one.kind.replace('_', " "), times(one.count))
}

fn above(what: &str, bad: u64, all: u64, bound: f64) -> String {
    format!(
        "{what} {} of {}, at most {}",
        percent(ratio(bad, all)),
        count(all),
        percent(bound)
    )
}

fn errors(gate: &Gate, bad: u64, all: u64) -> Option<Lack> {
    (ratio(bad, all) > gate.max_errors).then(|| {
        Lack::new(
            Short::Errors,
            above("errors of the standard leg", bad, all, gate.max_errors),
        )
    })
}

fn latency(gate: &Gate, p95: Option<Duration>) -> Option<Lack> {
    let (bound, found) = (gate.max_p95?, p95?);
    (found > bound).then(|| {
        let (found, bound) = (found.as_millis(), bound.as_millis());
        Lack::new(
            Short::Latency,
            format!("95 % of the standard leg's answers took up to {found} ms, at most {bound} ms"),
        )
    })
}

fn refused(evidence: &Evidence) -> Vec<Lack> {
    let one = |leg: Leg| {
        let name = match leg {
            Leg::Ndh => "NDH",
            Leg::Standard => "standard",
        };
        let seen = times(*evidence.refused.of(leg));
        Lack::new(
            Short::Refused,
            format!("{name} refuses our credentials (401 or 403, {seen}, and the last time too)"),
        )
    };
    let legs = [Leg::Ndh, Leg::Standard].into_iter();
    legs.filter(|leg| *evidence.refuses.of(*leg)).map(one).collect()
}

/// Judges the sliding window of a unit that is now in `mode`: reasons to roll back at once, or `None`.
///
/// `moment` is the time since the process began.
#[must_use]
pub fn breach(terms: &Terms, mode: Mode, evidence: &Evidence, moment: Duration) -> Option<Vec<Lack>> {
    if !mode.lets_standard_answer() {
        return None;
    }
    let gate = &terms.gate;
    let recent = evidence.window.recent(moment);
    let mut lacks = Vec::new();
    if recent.answers >= gate.window_samples {
        if recent.errors >= FEWEST_BAD {
            lacks.extend(errors(gate, recent.errors, recent.answers));
        }
        // An answer that is an error says nothing of how long answers take.
        if recent.latency.count() >= gate.window_samples {
            lacks.extend(latency(gate, recent.latency.p95()));
        }
    }
    if recent.compared >= gate.window_samples {
        for (kind, what, bad, bound) in [
            (Short::Mismatch, "mismatch", recent.mismatched, gate.max_mismatch),
            (Short::Missing, "missing on standard", recent.missing, gate.max_missing),
        ] {
            if bad >= FEWEST_BAD && ratio(bad, recent.compared) > bound {
                lacks.push(Lack::new(kind, above(what, bad, recent.compared, bound)));
            }
        }
    }
    for lack in &mut lacks {
        lack.sentence = format!("{}, in the last {}", lack.sentence, span(gate.window));
    }
    (!lacks.is_empty()).then_some(lacks)
}

fn span(length: Duration) -> String {
    match length.as_secs() {
        0 => format!("{} ms", length.as_millis()),
        seconds if seconds >= 120 && seconds.is_multiple_of(60) => format!("{} minutes", seconds / 60),
        1 => "second".to_owned(),
        seconds => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests;

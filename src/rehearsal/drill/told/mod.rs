//! What a drill came to: every change with its figures, and the claims that must hold.

mod client;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::super::load::Figures;
use super::super::record::Tally;
use super::super::step::{Step, Verdict};
use crate::identity::status::Receipt;
use client::count;
pub use client::{ClientChange, KeyChange};

/// Less than this share of the rate that was asked for is no real load.
const HELD: f64 = 0.95;

/// One change that was seen through.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    pub what: String,
    pub way: &'static str,
    pub from: u64,
    pub to: u64,
    /// From the last byte written to its use.
    #[serde(rename = "in_use_after_ms", serialize_with = "milliseconds")]
    pub noticed: Duration,
    /// From its use to the end of the last connection of before.
    #[serde(rename = "closed_after_ms", serialize_with = "milliseconds")]
    pub closed: Duration,
    pub connections_before: usize,
    /// Of those, after the drain bound.
    pub connections_left: usize,
    pub receipt: Receipt,
    /// Requests that were sent while nothing changed, with what was in use.
    pub requests_after: u64,
    /// The same, with a certificate of before.
    pub requests_on_old: u64,
    #[serde(skip)]
    pub(super) mark: u64,
    #[serde(skip)]
    pub(super) current: String,
    #[serde(skip)]
    pub(super) before: BTreeSet<String>,
}

/// Something broken that was put in place.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    pub what: &'static str,
    /// What the sidecar says of it.
    pub said: String,
    /// Requests that were sent meanwhile, with the certificate in use.
    pub requests: u64,
    /// The same, with any other: the broken one.
    pub requests_on_other: u64,
    #[serde(skip)]
    pub(super) mark: u64,
    #[serde(skip)]
    pub(super) current: String,
}

/// What became of a certificate that the other side began to refuse.
#[derive(Clone, Debug, Serialize)]
pub struct Withdrawn {
    pub how: &'static str,
    /// From the last byte written at the other side to the fall-back.
    #[serde(rename = "fell_back_after_ms", serialize_with = "milliseconds")]
    pub after: Duration,
    /// Requests that the other side refused meanwhile.
    pub requests_refused: u64,
    /// Requests afterwards with the certificate that is refused.
    pub requests_on_withdrawn: u64,
    pub requests_after: u64,
    /// What the gateway says to one who shows it.
    pub refusal: String,
    pub receipt: Receipt,
    #[serde(skip)]
    pub(super) during: u64,
    #[serde(skip)]
    pub(super) afterwards: u64,
    #[serde(skip)]
    pub(super) withdrawn: String,
    #[serde(skip)]
    pub(super) current: String,
}

/// Something that must hold, with its figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    pub claim: &'static str,
    pub figure: String,
    pub holds: bool,
}

/// A whole drill.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub steps: Vec<Step>,
    pub requests: Figures,
    pub changes: Vec<Change>,
    pub broken: Vec<Broken>,
    pub withdrawn: Vec<Withdrawn>,
    /// OAuth clients that took the place of the one before.
    pub clients: Vec<ClientChange>,
    /// Pairs that could not.
    pub broken_clients: Vec<Broken>,
    /// Signing keys that were dropped.
    pub keys: Vec<KeyChange>,
    pub claims: Vec<Claim>,
}

impl Outcome {
    /// Everything that was claimed holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.holds)
    }

    /// Lets the far ends' records decide, Delius' and that of the standard route, then claims.
    pub(super) fn judge(mut self, tally: &Tally, standard: &Tally, rate: u32) -> Self {
        let count = |mark: u64, is_meant: &dyn Fn(&str) -> bool| count(tally, mark, is_meant);
        for change in &mut self.changes {
            let Change {
                mark, current, before, ..
            } = &*change;
            let now = count(*mark, &|hash| hash == current);
            let old = count(*mark, &|hash| hash != current && before.contains(hash));
            (change.requests_after, change.requests_on_old) = (now, old);
        }
        for broken in &mut self.broken {
            let current = broken.current.clone();
            broken.requests = count(broken.mark, &|hash| hash == current);
            broken.requests_on_other = count(broken.mark, &|hash| hash != current);
        }
        self.judge_clients(standard);
        for found in &mut self.withdrawn {
            let (withdrawn, current) = (found.withdrawn.clone(), found.current.clone());
            found.requests_on_withdrawn = count(found.afterwards, &|hash| hash == withdrawn);
            found.requests_after = count(found.afterwards, &|hash| hash == current);
            let refused = self.requests.failed_by_mark.remove(&found.during);
            found.requests_refused = refused.unwrap_or_default();
            // The other side's will, and no failure of ours.
            self.requests.failed -= found.requests_refused;
            self.requests.failures.retain(|failure| failure.mark != found.during);
        }
        self.claims = self.claim(rate);
        self
    }

    fn claim(&self, rate: u32) -> Vec<Claim> {
        let Figures {
            sent,
            failed,
            per_second,
            ..
        } = self.requests;
        let undone = self.steps.iter().filter(|step| step.verdict != Verdict::Shown).count();
        let mut claims = vec![
            Claim {
                claim: "every step was carried out",
                figure: format!("{} of {}", self.steps.len() - undone, self.steps.len()),
                holds: undone == 0,
            },
            Claim {
                claim: "no request failed, was late, short or changed",
                figure: format!("{failed} of {sent}"),
                holds: failed == 0 && sent > 0,
            },
            Claim {
                claim: "the load was held",
                figure: format!(
                    "{per_second:.0} of {rate} requests a second, for {:.0} s",
                    self.requests.seconds
                ),
                holds: per_second >= f64::from(rate) * HELD,
            },
            self.none_on_old(),
            Claim {
                claim: "no connection of an old generation was left after the drain bound",
                figure: {
                    let left: usize = self.changes.iter().map(|change| change.connections_left).sum();
                    let before: usize = self.changes.iter().map(|change| change.connections_before).sum();
                    format!("{left} of {before}")
                },
                holds: self.changes.iter().all(|change| change.connections_left == 0),
            },
            Claim {
                claim: "the receipts count no failed request",
                figure: {
                    let failed: u64 = self.changes.iter().map(|change| change.receipt.requests_failed).sum();
                    format!("{failed} in {}", counted(self.changes.len(), "receipt"))
                },
                holds: self.changes.iter().all(|change| change.receipt.requests_failed == 0),
            },
        ];
        if !self.broken.is_empty() {
            let other: u64 = self.broken.iter().map(|broken| broken.requests_on_other).sum();
            let good: u64 = self.broken.iter().map(|broken| broken.requests).sum();
            claims.push(Claim {
                claim: "nothing broken ever replaced the working certificate",
                figure: format!(
                    "{} kinds refused; {other} of {} requests with another certificate",
                    self.broken.len(),
                    good + other
                ),
                holds: other == 0 && self.broken.iter().all(|broken| broken.requests > 0),
            });
        }
        if !self.withdrawn.is_empty() {
            let sum = |of: fn(&Withdrawn) -> u64| self.withdrawn.iter().map(of).sum::<u64>();
            let on_withdrawn = sum(|found| found.requests_on_withdrawn);
            let slowest = self.withdrawn.iter().map(|found| found.after.as_millis()).max();
            claims.push(Claim {
                claim: "no request with a certificate that the other side refuses after the fall-back",
                figure: format!(
                    "{on_withdrawn} of {}; fell back after at most {} ms, {} refused until then",
                    on_withdrawn + sum(|found| found.requests_after),
                    slowest.unwrap_or_default(),
                    sum(|found| found.requests_refused)
                ),
                holds: on_withdrawn == 0 && self.withdrawn.iter().all(|found| found.requests_after > 0),
            });
        }
        claims.extend(self.claim_clients());
        claims
    }

    fn none_on_old(&self) -> Claim {
        let old: u64 = self.changes.iter().map(|change| change.requests_on_old).sum();
        let after: u64 = self.changes.iter().map(|change| change.requests_after).sum();
        Claim {
            claim: "no request on an old generation after a promotion",
            figure: format!("{old} of {}, in {}", after + old, counted(self.changes.len(), "change")),
            // Without any load on the new one, nothing would be shown.
            holds: old == 0 && self.changes.iter().all(|change| change.requests_after > 0),
        }
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn milliseconds<S: serde::Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u128(took.as_millis())
}

#[cfg(test)]
mod tests;

//! What a drill came to: every change with its figures, and the claims that must hold.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::super::load::Figures;
use super::super::record::Tally;
use super::super::step::{Step, Verdict};
use crate::identity::status::Receipt;

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
    pub claims: Vec<Claim>,
}

impl Outcome {
    /// Everything that was claimed holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.holds)
    }

    /// Lets the far end's record decide, then claims.
    pub(super) fn judge(mut self, tally: &Tally, rate: u32) -> Self {
        let count = |mark: u64, is_meant: &dyn Fn(&str) -> bool| -> u64 {
            let marked = tally.range((mark, String::new())..(mark + 1, String::new()));
            let meant = marked.filter(|((_, hash), _)| is_meant(hash));
            meant.map(|(_, count)| count).sum()
        };
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
mod tests {
    use super::*;

    const RATE: u32 = 100;

    fn hashes(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// A drill with one change, one broken certificate and a certificate withdrawn, in which everything held.
    fn outcome() -> Outcome {
        Outcome {
            steps: Vec::new(),
            requests: Figures {
                sent: 1_000,
                answered: 993,
                failed: 7,
                failed_by_mark: [(6, 7)].into(),
                seconds: 10.0,
                per_second: 100.0,
                ..Figures::default()
            },
            changes: vec![Change {
                what: "it".to_owned(),
                way: "rename",
                from: 1,
                to: 2,
                noticed: Duration::ZERO,
                closed: Duration::ZERO,
                connections_before: 16,
                connections_left: 0,
                receipt: Receipt::default(),
                requests_after: 0,
                requests_on_old: 0,
                mark: 2,
                current: "b".to_owned(),
                before: hashes(&["a", "b"]),
            }],
            broken: vec![Broken {
                what: "garbage",
                said: String::new(),
                requests: 0,
                requests_on_other: 0,
                mark: 4,
                current: "b".to_owned(),
            }],
            withdrawn: vec![Withdrawn {
                how: "revoked",
                after: Duration::ZERO,
                requests_refused: 0,
                requests_on_withdrawn: 0,
                requests_after: 0,
                refusal: String::new(),
                receipt: Receipt::default(),
                during: 6,
                afterwards: 7,
                withdrawn: "b".to_owned(),
                current: "a".to_owned(),
            }],
            claims: Vec::new(),
        }
    }

    fn tally() -> Tally {
        let rows = [(1, "a"), (2, "b"), (3, "b"), (4, "b"), (6, "b"), (7, "a")];
        rows.map(|(mark, hash)| ((mark, hash.to_owned()), 10)).into()
    }

    fn untrue(outcome: Outcome, tally: &Tally) -> Vec<&'static str> {
        let claims = outcome.judge(tally, RATE).claims;
        let untrue = claims.into_iter().filter(|claim| !claim.holds);
        untrue.map(|claim| claim.claim).collect()
    }

    #[test]
    fn a_drill_in_which_all_went_well_holds_and_what_was_refused_is_counted_apart() {
        let judged = outcome().judge(&tally(), RATE);
        assert!(judged.holds(), "{:#?}", judged.claims);
        assert_eq!((judged.requests.failed, judged.changes[0].requests_after), (0, 10));
        assert_eq!(judged.broken[0].requests, 10);
        let found = &judged.withdrawn[0];
        assert_eq!((found.requests_refused, found.requests_after), (7, 10));
    }

    #[track_caller]
    fn assert_untrue(claim: &str, change: impl FnOnce(&mut Outcome, &mut Tally)) {
        let (mut outcome, mut tally) = (outcome(), tally());
        change(&mut outcome, &mut tally);
        let untrue = untrue(outcome, &tally);
        assert!(untrue.len() == 1 && untrue[0].contains(claim), "{claim}: {untrue:?}");
    }

    #[test]
    fn each_claim_is_seen_to_be_untrue_when_it_is() {
        let one = |mark, hash: &str| ((mark, hash.to_owned()), 1);
        assert_untrue("no request on an old generation", |_, tally| {
            tally.extend([one(2, "a")])
        });
        assert_untrue("no request on an old generation", |_, tally| {
            tally.remove(&(2, "b".to_owned()));
        });
        assert_untrue("nothing broken", |_, tally| tally.extend([one(4, "x")]));
        assert_untrue("the other side refuses", |_, tally| tally.extend([one(7, "b")]));
        assert_untrue("no connection of an old", |outcome, _| {
            outcome.changes[0].connections_left = 1;
        });
        assert_untrue("receipts", |outcome, _| outcome.changes[0].receipt.requests_failed = 1);
        assert_untrue("no request failed", |outcome, _| {
            outcome.requests.failed += 1;
            outcome.requests.failed_by_mark.insert(2, 1);
        });
        assert_untrue("the load was held", |outcome, _| outcome.requests.per_second = 90.0);
        assert_untrue("every step", |outcome, _| {
            outcome.steps.push(Step {
                title: "it",
                lines: Vec::new(),
                verdict: Verdict::Failed("no".to_owned()),
                took: Duration::ZERO,
            });
        });
    }
}

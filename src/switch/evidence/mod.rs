//! What is known of a route since its evidence began: counts, names of rules, pointers. Never a value, never a person.
//!
//! Each thread counts its own and the sum is made when somebody asks: everything here adds up, over threads to a route and
//! over routes to a unit. Pointers come from replies, so their number is bounded; what finds no place is counted as other.

mod latency;
mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Leg;
use crate::compare::{Reason, Verdict};

pub use latency::Latency;
pub use window::{Recent, Window};

/// Distinct differences that are kept by name.
const DIFFERENCES: usize = 100;

/// Everything that was seen of a route or a unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When the counting began, in unix seconds.
    pub since: i64,
    /// Pairs of replies with a result: the sum of the next five.
    pub compared: u64,
    pub matched: u64,
    /// Every difference of the pair has the name of a known one.
    pub known: u64,
    /// Confirmed by asking again.
    pub mismatched: u64,
    pub missing_on_standard: u64,
    pub missing_on_ndh: u64,
    /// Pairs by the known rule that excused something in them.
    pub known_rules: BTreeMap<String, u64>,
    /// Pairs without a result, by reason: errors, timeouts.
    pub not_comparable: BTreeMap<String, u64>,
    /// Replies of a leg that does not accept our credentials.
    pub refused: PerLeg<u64>,
    /// The last result of the leg was a refusal.
    pub refuses: PerLeg<bool>,
    /// Differing pairs that were asked again after a pause.
    pub asked_again: u64,
    /// Of those, pairs that did not differ any more.
    pub recovered: u64,
    /// Comparisons that did not take place, by reason.
    pub dropped: BTreeMap<String, u64>,
    pub differences: Differences,
    pub answers: PerLeg<Answers>,
    /// Requests that the standard leg failed and NDH then answered.
    pub fallbacks: u64,
    #[serde(skip)]
    pub window: Window,
}

/// One of each leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerLeg<T> {
    pub ndh: T,
    pub standard: T,
}

impl<T> PerLeg<T> {
    pub fn of(&self, leg: Leg) -> &T {
        match leg {
            Leg::Ndh => &self.ndh,
            Leg::Standard => &self.standard,
        }
    }

    pub fn of_mut(&mut self, leg: Leg) -> &mut T {
        match leg {
            Leg::Ndh => &mut self.ndh,
            Leg::Standard => &mut self.standard,
        }
    }
}

/// What a leg answered, to the application and to comparisons.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// Errors among them.
    pub count: u64,
    /// No reply, 5xx, a refusal of our credentials, or a reply that could not be mapped.
    pub errors: u64,
    /// Of `count`: those that went to the application.
    pub to_application: u64,
    /// Of the answers that are no errors.
    pub latency: Latency,
}

/// One answer of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub leg: Leg,
    pub error: bool,
    /// It went to the application; otherwise it was asked for to be compared.
    pub to_application: bool,
    pub took: Duration,
}

/// How often each difference was seen; a pair counts once for each of its differences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// At most a hundred, in the order of their first appearance.
    pub each: Vec<Difference>,
    /// Of those that found no place.
    pub other: u64,
}

/// One place where the legs differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub pointer: String,
    pub kind: String,
    pub known: Option<String>,
    pub count: u64,
}

impl Differences {
    fn add(&mut self, pointer: &str, kind: &str, known: Option<&str>, count: u64) {
        let same = |one: &&mut Difference| one.pointer == pointer && one.kind == kind && one.known.as_deref() == known;
        if let Some(one) = self.each.iter_mut().find(same) {
            one.count += count;
        } else if self.each.len() < DIFFERENCES {
            self.each.push(Difference {
                pointer: pointer.to_owned(),
                kind: kind.to_owned(),
                known: known.map(str::to_owned),
                count,
            });
        } else {
            self.other += count;
        }
    }

    /// The most frequent first; known ones or the others.
    #[must_use]
    pub fn most_frequent(&self, known: bool) -> Vec<&Difference> {
        let mut chosen: Vec<&Difference> = self.each.iter().filter(|one| one.known.is_some() == known).collect();
        chosen.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.pointer.cmp(&b.pointer)));
        chosen
    }
}

impl Evidence {
    /// Nothing yet.
    #[must_use]
    pub fn new(since: i64, window: Duration) -> Self {
        Self {
            since,
            window: Window::new(window),
            ..Self::default()
        }
    }

    /// A leg answered, or failed to. `moment` is the time since the process began.
    pub fn answered(&mut self, moment: Duration, answer: Answered) {
        let answers = self.answers.of_mut(answer.leg);
        answers.count += 1;
        answers.errors += u64::from(answer.error);
        answers.to_application += u64::from(answer.to_application);
        // A refusal within a millisecond is not what the leg is measured by.
        if !answer.error {
            answers.latency.add(answer.took);
        }
        // What answers the application accepts our credentials, compared or not.
        if answer.to_application && !answer.error {
            *self.refuses.of_mut(answer.leg) = false;
        }
        if answer.leg == Leg::Standard {
            let recent = self.window.at(moment);
            recent.answers += 1;
            recent.errors += u64::from(answer.error);
            if !answer.error {
                recent.latency.add(answer.took);
            }
        }
    }

    /// A pair was judged, after asking again where that is due.
    pub fn judged(&mut self, moment: Duration, verdict: &Verdict) {
        match verdict {
            Verdict::Refused(leg) => {
                *self.refused.of_mut(*leg) += 1;
                *self.refuses.of_mut(*leg) = true;
                return;
            }
            Verdict::NotComparable(reason) => {
                // It came, and the application could have done nothing with it: an API that changes its replies must
                // not leave the ratio that way.
                if *reason == Reason::NoView(Leg::Standard) {
                    self.answers.standard.errors += 1;
                    self.window.at(moment).errors += 1;
                }
                return add(&mut self.not_comparable, &word(*reason), 1);
            }
            _ => {}
        }
        let differences = verdict.differences();
        let is = |found: bool| u64::from(found);
        let mismatch = is(matches!(verdict, Verdict::Mismatch(_)));
        let missing = is(matches!(verdict, Verdict::MissingOnStandard(_)));
        self.compared += 1;
        self.matched += is(matches!(verdict, Verdict::Match));
        self.known += is(matches!(verdict, Verdict::Known(_)));
        self.mismatched += mismatch;
        self.missing_on_standard += missing;
        self.missing_on_ndh += is(matches!(verdict, Verdict::MissingOnNdh(_)));
        self.refuses = PerLeg::default();
        let recent = self.window.at(moment);
        recent.compared += 1;
        recent.mismatched += mismatch;
        recent.missing += missing;
        for (at, seen) in differences.iter().enumerate() {
            let known = seen.known.as_deref();
            self.differences.add(&seen.pointer, seen.kind.as_str(), known, 1);
            let before = &differences[..at];
            if let Some(rule) = known
                && !before.iter().any(|earlier| earlier.known == seen.known)
            {
                add(&mut self.known_rules, rule, 1);
            }
        }
    }

    /// A differing pair was asked again; `recovered`: it does not differ any more.
    pub fn again(&mut self, recovered: bool) {
        self.asked_again += 1;
        self.recovered += u64::from(recovered);
    }

    /// A comparison did not take place; `reason` is a fixed word.
    pub fn dropped(&mut self, reason: &'static str) {
        add(&mut self.dropped, reason, 1);
    }

    /// The standard leg failed and NDH answered.
    pub fn fell_back(&mut self) {
        self.fallbacks += 1;
    }

    /// Adds what another thread or route has seen.
    pub fn merge(&mut self, other: &Self) {
        self.since = match (self.since, other.since) {
            (0, since) | (since, 0) => since,
            (mine, theirs) => mine.min(theirs),
        };
        self.compared += other.compared;
        self.matched += other.matched;
        self.known += other.known;
        self.mismatched += other.mismatched;
        self.missing_on_standard += other.missing_on_standard;
        self.missing_on_ndh += other.missing_on_ndh;
        for (mine, theirs) in [
            (&mut self.known_rules, &other.known_rules),
            (&mut self.not_comparable, &other.not_comparable),
            (&mut self.dropped, &other.dropped),
        ] {
            theirs.iter().for_each(|(name, count)| add(mine, name, *count));
        }
        self.asked_again += other.asked_again;
        self.recovered += other.recovered;
        self.fallbacks += other.fallbacks;
        for leg in [Leg::Ndh, Leg::Standard] {
            *self.refused.of_mut(leg) += other.refused.of(leg);
            *self.refuses.of_mut(leg) |= other.refuses.of(leg);
            let (mine, theirs) = (self.answers.of_mut(leg), other.answers.of(leg));
            mine.count += theirs.count;
            mine.errors += theirs.errors;
            mine.to_application += theirs.to_application;
            mine.latency.merge(&theirs.latency);
        }
        self.differences.other += other.differences.other;
        for one in &other.differences.each {
            self.differences
                .add(&one.pointer, &one.kind, one.known.as_deref(), one.count);
        }
        self.window.merge(&other.window);
    }
}

/// `standard_status_502`: statuses are few.
fn word(reason: Reason) -> String {
    let (leg, what) = (reason.leg().as_str(), reason.as_str());
    match reason {
        Reason::Status(_, status) => format!("{leg}_{what}_{status}"),
        _ => format!("{leg}_{what}"),
    }
}

/// The names are those of rules and fixed words: few.
fn add(counts: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    match counts.get_mut(name) {
        Some(counted) => *counted += count,
        None => {
            counts.insert(name.to_owned(), count);
        }
    }
}

#[cfg(test)]
mod tests;

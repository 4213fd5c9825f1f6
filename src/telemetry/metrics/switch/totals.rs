//! Running totals of what routes have seen: evidence may begin anew, a counter may not go backwards.
//!
//! Evidence is looked at every second. What has come on top since the last look is added; where it has begun anew
//! (`since` is another, or a count is smaller), all of it is new. Pointers come from replies: their number is bounded
//! here as well, since evidence that begins anew again and again may name others each time.

use std::collections::BTreeMap;

use crate::compare::Leg;
use crate::switch::Evidence;

/// Distinct differences of one route; what comes on top has the pointer [`OTHER`].
const DIFFERENCES: usize = 200;
/// Stands for all differences that found no place of their own.
const OTHER: &str = "_other";

/// What is counted by route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counted {
    Comparisons,
    Differences,
    NotComparable,
    Dropped,
    Refused,
    AskedAgain,
    Recovered,
    Answers,
    Errors,
    Fallbacks,
}

impl Counted {
    pub(super) const ALL: [Self; 10] = [
        Self::Comparisons,
        Self::Differences,
        Self::NotComparable,
        Self::Dropped,
        Self::Refused,
        Self::AskedAgain,
        Self::Recovered,
        Self::Answers,
        Self::Errors,
        Self::Fallbacks,
    ];

    /// The labels that come after `unit` and `route`, in the order of [`Series::values`].
    pub(super) const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Comparisons => &["verdict"],
            Self::Differences => &["pointer", "kind", "known"],
            Self::NotComparable | Self::Dropped => &["reason"],
            Self::Answers => &["leg", "to"],
            Self::Errors | Self::Refused => &["leg"],
            Self::AskedAgain | Self::Recovered | Self::Fallbacks => &[],
        }
    }
}

/// One count of one route.
type Series = (Counted, Vec<String>);

/// What was last seen of a route.
#[derive(Debug, Default)]
struct Seen {
    since: i64,
    counts: BTreeMap<Series, u64>,
}

/// The sums, and what they were made of last.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// By the route's name.
    seen: BTreeMap<String, Seen>,
    /// By unit and template: routes of one template are one series.
    sums: BTreeMap<(String, String), BTreeMap<Series, u64>>,
}

impl Totals {
    /// This is what a route has seen by now.
    pub(super) fn look(&mut self, unit: &str, route: &str, template: &str, evidence: &Evidence) {
        let counts = counts(evidence);
        let before = self.seen.entry(route.to_owned()).or_default();
        let anew = before.since != evidence.since;
        let sums = self.sums.entry((unit.to_owned(), template.to_owned())).or_default();
        for (series, count) in &counts {
            let last = if anew { None } else { before.counts.get(series) };
            let more = count.checked_sub(last.copied().unwrap_or(0)).unwrap_or(*count);
            *sums.entry(place(sums, series)).or_default() += more;
        }
        *before = Seen {
            since: evidence.since,
            counts,
        };
    }

    /// Unit, template, values of the labels, count.
    pub(super) fn of(&self, counted: Counted) -> impl Iterator<Item = (&str, &str, &[String], u64)> {
        self.sums.iter().flat_map(move |((unit, template), sums)| {
            let own = sums.iter().filter(move |((which, _), _)| *which == counted);
            own.map(move |((_, values), count)| (unit.as_str(), template.as_str(), values.as_slice(), *count))
        })
    }
}

/// Where a count is added: its own series, or that of all the others.
fn place(sums: &BTreeMap<Series, u64>, series: &Series) -> Series {
    if series.0 == Counted::Differences && !sums.contains_key(series) {
        let named = sums.keys().filter(|(which, _)| *which == Counted::Differences).count();
        if named >= DIFFERENCES {
            return (Counted::Differences, other());
        }
    }
    series.clone()
}

fn other() -> Vec<String> {
    vec![OTHER.to_owned(), OTHER.to_owned(), String::new()]
}

/// Everything in it that counts. Zeros are there too: a series must exist before it first rises.
fn counts(seen: &Evidence) -> BTreeMap<Series, u64> {
    let mut counts = BTreeMap::new();
    let mut add = |what: Counted, values: &[&str], count: u64| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        *counts.entry((what, values)).or_insert(0) += count;
    };
    for (verdict, count) in [
        ("match", seen.matched),
        ("known", seen.known),
        ("mismatch", seen.mismatched),
        ("missing_on_standard", seen.missing_on_standard),
        ("missing_on_ndh", seen.missing_on_ndh),
    ] {
        add(Counted::Comparisons, &[verdict], count);
    }
    for one in &seen.differences.each {
        let known = one.known.as_deref().unwrap_or_default();
        add(Counted::Differences, &[&one.pointer, &one.kind, known], one.count);
    }
    if seen.differences.other > 0 {
        add(Counted::Differences, &[OTHER, OTHER, ""], seen.differences.other);
    }
    for (reason, count) in &seen.not_comparable {
        add(Counted::NotComparable, &[reason], *count);
    }
    for (reason, count) in &seen.dropped {
        add(Counted::Dropped, &[reason], *count);
    }
    add(Counted::AskedAgain, &[], seen.asked_again);
    add(Counted::Recovered, &[], seen.recovered);
    add(Counted::Fallbacks, &[], seen.fallbacks);
    for leg in [Leg::Ndh, Leg::Standard] {
        let (name, answers) = (leg.as_str(), seen.answers.of(leg));
        let compared = answers.count.saturating_sub(answers.to_application);
        add(Counted::Answers, &[name, "application"], answers.to_application);
        add(Counted::Answers, &[name, "comparison"], compared);
        add(Counted::Errors, &[name], answers.errors);
        add(Counted::Refused, &[name], *seen.refused.of(leg));
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compare::{Difference, Kind, Verdict};

    fn evidence(since: i64) -> Evidence {
        Evidence::new(since, Duration::from_secs(60))
    }

    fn differs(evidence: &mut Evidence, pointer: &str) {
        let difference = Difference {
            pointer: pointer.to_owned(),
            kind: Kind::Value,
            known: None,
        };
        evidence.judged(Duration::ZERO, &Verdict::Mismatch(vec![difference]));
    }

    fn count(totals: &Totals, counted: Counted, value: Option<&str>) -> u64 {
        let own = totals.of(counted);
        own.filter(|(.., values, _)| values.first().map(String::as_str) == value)
            .map(|(.., count)| count)
            .sum()
    }

    #[test]
    fn a_look_adds_what_has_come_on_top() {
        let (mut totals, mut seen) = (Totals::default(), evidence(1));
        for looks in 1..=3 {
            seen.judged(Duration::ZERO, &Verdict::Match);
            totals.look("person", "all", "/all", &seen);
            totals.look("person", "all", "/all", &seen);
            assert_eq!(count(&totals, Counted::Comparisons, Some("match")), looks);
        }
    }

    #[test]
    fn evidence_that_begins_anew_takes_nothing_back() {
        let (mut totals, mut seen) = (Totals::default(), evidence(1));
        (0..5).for_each(|_| differs(&mut seen, "/tier"));
        totals.look("person", "all", "/all", &seen);
        // As many as before, or fewer, or in the same second: each is new.
        let mut again = evidence(2);
        (0..5).for_each(|_| differs(&mut again, "/tier"));
        totals.look("person", "all", "/all", &again);
        let mut fewer = evidence(2);
        differs(&mut fewer, "/tier");
        totals.look("person", "all", "/all", &fewer);
        assert_eq!(count(&totals, Counted::Comparisons, Some("mismatch")), 11);
        assert_eq!(count(&totals, Counted::Differences, Some("/tier")), 11);
    }

    #[test]
    fn one_route_that_begins_anew_does_not_count_another_twice() {
        let mut totals = Totals::default();
        for (route, since) in [("a", 1), ("b", 1), ("a", 1), ("b", 9)] {
            let mut seen = evidence(since);
            seen.fell_back();
            totals.look("person", route, "/same", &seen);
        }
        assert_eq!(count(&totals, Counted::Fallbacks, None), 3);
    }

    #[test]
    fn the_number_of_pointers_is_bounded_however_often_it_begins_anew() {
        let mut totals = Totals::default();
        for round in 0..5_i64 {
            let mut seen = evidence(round);
            (0..120).for_each(|n| differs(&mut seen, &format!("/r{round}/n{n}")));
            totals.look("person", "all", "/all", &seen);
        }
        let all: Vec<u64> = totals.of(Counted::Differences).map(|(.., count)| count).collect();
        assert!(all.len() <= DIFFERENCES + 1, "{}", all.len());
        assert_eq!(all.iter().sum::<u64>(), 600);
        assert!(count(&totals, Counted::Differences, Some(OTHER)) >= 400);
    }
}

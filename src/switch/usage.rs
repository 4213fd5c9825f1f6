//! When NDH was last used, and whether its access can be withdrawn.
//!
//! Use is what NDH answered to the application, by fallback among it. What is asked of NDH to be compared is no need of
//! it, but withdrawing while `compare` is on would only turn it into errors, so that is a reason against as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Mode, Terms};

const DAY: i64 = 86_400;

/// When NDH last answered a route, in unix seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUsed {
    /// By fallback or not.
    pub answered: Option<i64>,
    /// Because standard had failed.
    pub by_fallback: Option<i64>,
}

impl LastUsed {
    /// NDH answered.
    pub fn note(&mut self, now: i64, by_fallback: bool) {
        self.answered = self.answered.max(Some(now));
        if by_fallback {
            self.by_fallback = self.by_fallback.max(Some(now));
        }
    }

    /// Adds what another thread or process has seen.
    pub fn merge(&mut self, other: Self) {
        self.answered = self.answered.max(other.answered);
        self.by_fallback = self.by_fallback.max(other.by_fallback);
    }
}

/// The last use by route.
pub type Routes = BTreeMap<String, LastUsed>;

/// Whether NDH can be withdrawn, from a unit or from all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    pub possible: bool,
    /// Why not, one by one.
    pub reasons: Vec<String>,
    /// The last answer of NDH, in unix seconds; `None`: none since `known_since`.
    pub last_used: Option<i64>,
    /// Whole days without use: since the last one, or since anybody counts.
    pub days: i64,
    /// Since when use is counted, in unix seconds.
    pub known_since: i64,
}

/// Judges one unit, now in `mode`.
///
/// `routes` are its own; `known_since` is when counting began, which is the oldest thing that can be said about "never".
#[must_use]
pub fn withdrawal(
    unit: &str,
    terms: &Terms,
    mode: Mode,
    routes: &[LastUsed],
    known_since: i64,
    quiet_days: i64,
    now: i64,
) -> Withdrawal {
    let last_used = routes.iter().filter_map(|route| route.answered).max();
    let by_fallback = routes.iter().filter_map(|route| route.by_fallback).max();
    let days = now
        .saturating_sub(last_used.unwrap_or(known_since).max(known_since))
        .max(0)
        / DAY;
    let mut reasons = Vec::new();
    if mode != Mode::Standard {
        reasons.push(format!("{unit} is in {mode}: NDH answers"));
    } else if terms.mode != Mode::Standard {
        reasons.push(format!(
            "{unit} is in standard by an override only: the configuration says {}",
            terms.mode
        ));
    }
    if terms.fallback {
        reasons.push(format!(
            "{unit} falls back to NDH when standard fails: set `fallback = false` first"
        ));
    }
    if terms.compare && mode == Mode::Standard {
        reasons.push(format!("{unit} is compared with NDH: set `compare = false` first"));
    }
    if days < quiet_days {
        let used = match last_used {
            Some(used) if by_fallback == Some(used) => "NDH last answered it, by fallback,",
            Some(_) => "NDH last answered it",
            None => "use of NDH is counted since",
        };
        reasons.push(format!(
            "{unit}: {used} {days} days ago, expected at least {quiet_days} without use"
        ));
    }
    Withdrawal {
        possible: reasons.is_empty(),
        reasons,
        last_used,
        days,
        known_since,
    }
}

impl Withdrawal {
    /// Over all units: possible where it is for each.
    #[must_use]
    pub fn of_all<'a>(units: impl IntoIterator<Item = &'a Self>) -> Self {
        let units: Vec<&Self> = units.into_iter().collect();
        Self {
            possible: !units.is_empty() && units.iter().all(|unit| unit.possible),
            reasons: units.iter().flat_map(|unit| unit.reasons.iter().cloned()).collect(),
            last_used: units.iter().filter_map(|unit| unit.last_used).max(),
            days: units.iter().map(|unit| unit.days).min().unwrap_or(0),
            known_since: units.iter().map(|unit| unit.known_since).max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100 * DAY;

    fn used(day: i64) -> LastUsed {
        LastUsed {
            answered: Some(day * DAY),
            by_fallback: None,
        }
    }

    fn terms(mode: Mode) -> Terms {
        Terms {
            mode,
            ..Terms::default()
        }
    }

    fn judged(terms: &Terms, mode: Mode, routes: &[LastUsed], since: i64) -> Withdrawal {
        withdrawal("person", terms, mode, routes, since * DAY, 28, NOW)
    }

    #[test]
    fn a_unit_in_standard_that_has_not_used_ndh_for_long_can_do_without() {
        let quiet = judged(&terms(Mode::Standard), Mode::Standard, &[used(72), used(10)], 0);
        assert_eq!(
            (quiet.possible, quiet.days, quiet.last_used),
            (true, 28, Some(72 * DAY))
        );
        let never = judged(&terms(Mode::Standard), Mode::Standard, &[LastUsed::default()], 50);
        assert_eq!((never.possible, never.days, never.last_used), (true, 50, None));
    }

    #[test]
    fn never_used_means_nothing_before_anybody_counted() {
        let young = judged(&terms(Mode::Standard), Mode::Standard, &[LastUsed::default()], 90);
        assert!(!young.possible && young.days == 10, "{young:?}");
        assert!(
            young.reasons[0].contains("10 days ago, expected at least 28"),
            "{young:?}"
        );
    }

    #[test]
    fn each_reason_against_it_is_said() {
        for (terms, mode, routes, said) in [
            (terms(Mode::Canary), Mode::Canary, used(0), "is in canary"),
            (terms(Mode::Shadow), Mode::Standard, used(0), "by an override only"),
            (terms(Mode::Standard), Mode::Standard, used(73), "27 days ago"),
            (
                Terms {
                    fallback: true,
                    ..terms(Mode::Standard)
                },
                Mode::Standard,
                used(0),
                "`fallback = false`",
            ),
            (
                Terms {
                    compare: true,
                    ..terms(Mode::Standard)
                },
                Mode::Standard,
                used(0),
                "`compare = false`",
            ),
        ] {
            let found = judged(&terms, mode, &[routes], 0);
            assert!(!found.possible);
            assert_eq!(found.reasons.len(), 1, "{found:?}");
            assert!(found.reasons[0].contains(said), "{found:?}");
        }
        let mut fell_back = LastUsed::default();
        fell_back.note(99 * DAY, true);
        let found = judged(&terms(Mode::Standard), Mode::Standard, &[fell_back], 0);
        assert!(found.reasons[0].contains("by fallback"), "{found:?}");
    }

    #[test]
    fn over_all_the_unit_that_used_it_last_decides() {
        let quiet = judged(&terms(Mode::Standard), Mode::Standard, &[used(10)], 0);
        let busy = judged(&terms(Mode::Ndh), Mode::Ndh, &[used(100)], 0);
        let all = Withdrawal::of_all([&quiet, &busy]);
        assert!(!all.possible && all.days == 0 && all.last_used == Some(NOW), "{all:?}");
        assert_eq!(all.reasons, busy.reasons);
        assert!(Withdrawal::of_all([&quiet]).possible);
        assert!(!Withdrawal::of_all([]).possible, "of nothing nothing can be said");
    }

    #[test]
    fn the_last_use_only_moves_forward() {
        let mut route = used(50);
        route.note(40 * DAY, false);
        assert_eq!(route, used(50));
        route.merge(used(60));
        assert_eq!(route, used(60));
    }
}

//! Who must be told that something ends: at 30, 14, 7 and 1 days before, and at the end, once each.
//!
//! What was passed over (a process that starts six days before the end) is said once, for the nearest of the days. A
//! list of revoked certificates lives by days: it is spoken of only when less than half of its time is left.

use std::collections::BTreeMap;

const DAY: i64 = 86_400;
/// The days before an end, and the end itself.
const DAYS: [i64; 5] = [0, 1, 7, 14, 30];

/// What was said, by what it was said of.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(BTreeMap<String, i64>);

/// Something with an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mortal {
    /// Tells it from others: a fingerprint.
    pub key: String,
    /// What it is, in words.
    pub what: String,
    /// Unix seconds.
    pub begins: i64,
    pub ends: i64,
    /// It is renewed by the day.
    pub short_lived: bool,
}

impl Said {
    /// Which of these are to be spoken of now, each with the days of its threshold; remembers that they were.
    pub(super) fn due<'a>(&mut self, mortals: &'a [Mortal], now: i64) -> Vec<(&'a Mortal, i64)> {
        self.0.retain(|key, _| mortals.iter().any(|mortal| mortal.key == *key));
        let mut due = Vec::new();
        for mortal in mortals {
            let left = mortal.ends.saturating_sub(now);
            let Some(days) = DAYS.into_iter().find(|days| left <= days * DAY) else {
                continue;
            };
            let life = mortal.ends.saturating_sub(mortal.begins);
            if mortal.short_lived && left > life / 2 {
                continue;
            }
            if self.0.get(&mortal.key).is_none_or(|said| *said > days) {
                self.0.insert(mortal.key.clone(), days);
                due.push((mortal, days));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 1_900_000_000;

    fn mortal(short_lived: bool, life_days: i64) -> Mortal {
        Mortal {
            key: "a".to_owned(),
            what: "the certificate".to_owned(),
            begins: END - life_days * DAY,
            ends: END,
            short_lived,
        }
    }

    /// Looks every hour of the last 40 days and of two days beyond.
    fn days_said(mortal: &Mortal) -> Vec<i64> {
        let mut said = Said::default();
        let mut days = Vec::new();
        for hour in -40 * 24..48 {
            let due = said.due(std::slice::from_ref(mortal), END + hour * 3600);
            days.extend(due.into_iter().map(|(_, days)| days));
        }
        days
    }

    #[test]
    fn each_threshold_is_said_once() {
        assert_eq!(days_said(&mortal(false, 365)), [30, 14, 7, 1, 0]);
    }

    #[test]
    fn a_late_start_says_the_nearest_one_only() {
        let mut said = Said::default();
        let certificate = [mortal(false, 365)];
        let days = |due: Vec<(&Mortal, i64)>| due.into_iter().map(|(_, days)| days).collect::<Vec<_>>();
        assert_eq!(days(said.due(&certificate, END - 6 * DAY)), [7]);
        assert!(days(said.due(&certificate, END - 5 * DAY)).is_empty());
        assert_eq!(days(said.due(&certificate, END - DAY)), [1]);
    }

    #[test]
    fn a_list_that_is_renewed_in_time_is_not_spoken_of() {
        assert_eq!(
            days_said(&mortal(true, 8)),
            [7, 1, 0],
            "only the second half of its life counts"
        );
        let mut said = Said::default();
        assert_eq!(said.due(&[mortal(true, 8)], END - 5 * DAY), []);
    }

    #[test]
    fn a_new_certificate_is_spoken_of_anew() {
        let mut said = Said::default();
        said.due(&[mortal(false, 365)], END - 6 * DAY);
        let next = Mortal {
            key: "b".to_owned(),
            ..mortal(false, 365)
        };
        assert_eq!(said.due(std::slice::from_ref(&next), END - 6 * DAY).len(), 1);
    }
}

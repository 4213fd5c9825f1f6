//! The switch-over of a unit from one leg to the other: its mode, the canary's split, its gate and the evidence. Pure.
//!
//! A route has two legs, `ndh` and `standard`. What switches together is a *unit*: a named group of routes, or one route
//! alone. A unit has one mode, one canary share and one gate, so that one person never gets two truths about one thing.
//! Nothing here knows a person or a value of a reply: only counts, names of rules and pointers.
//!
//! Wall time comes as unix seconds; moments that only order results (the sliding window) come as time since the process
//! began, so that a clock that is set cannot empty a window.

pub mod evidence;
pub mod gate;
mod pair;
pub mod report;
mod seconds;
mod split;
pub mod standing;
pub mod state;
pub mod usage;
mod words;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use crate::compare::Leg;
pub use evidence::{Answered, Evidence};
pub use gate::{Decision, Gate, Lack, Short, Step, breach, judge};
pub use pair::{Choice, Pair, Person};
pub use split::{ShareError, answering, in_canary, parse_share, share_of};
pub use standing::{Able, Action, Audited, Effective, Event, Order, Override, RolledBack, SetError, Standing, Terms};
pub use usage::{LastUsed, Routes, Withdrawal, withdrawal};
pub use words::percent;

/// Who answers a unit's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// NDH answers.
    #[default]
    Ndh,
    /// NDH answers; the standard leg is asked as well, and the two are compared.
    Shadow,
    /// A share of the persons is answered by the standard leg, the others by NDH.
    Canary,
    /// The standard leg answers.
    Standard,
}

impl Mode {
    /// In the order of the way over.
    pub const ALL: [Self; 4] = [Self::Ndh, Self::Shadow, Self::Canary, Self::Standard];

    /// The word in the configuration, the log and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndh => "ndh",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Standard => "standard",
        }
    }

    /// The standard leg answers somebody.
    #[must_use]
    pub const fn lets_standard_answer(self) -> bool {
        matches!(self, Self::Canary | Self::Standard)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let found = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or_else(|| ModeError(text.chars().take(40).collect()))
    }
}

/// A word that is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mode; expected ndh, shadow, canary or standard")]
pub struct ModeError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_it_is_written_and_nothing_else_is_one() {
        for mode in Mode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
            assert_eq!(
                serde_json::to_value(mode).ok(),
                Some(serde_json::Value::from(mode.as_str()))
            );
        }
        for wrong in ["", "NDH", " shadow", "off"] {
            let said = wrong.parse::<Mode>().expect_err("no mode").to_string();
            assert!(said.contains("ndh, shadow, canary or standard"), "{said}");
        }
    }

    #[test]
    fn the_modes_stand_in_the_order_of_the_way_over() {
        assert!(Mode::ALL.is_sorted());
    }
}

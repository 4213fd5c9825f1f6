//! What differs between two views of one person, by structure, under declared rules. Pure; no value of a view ever leaves.
//!
//! Each leg's `view` program says what the application would really use of that leg's reply; [`judge`] puts the two
//! beside each other. First the statuses decide whether there is anything to compare (`judge`), then the views are walked
//! by structure (`walk`) under the noise that was declared (`rules`). A [`Difference`] says where and of which kind, and
//! nothing else: the views hold names and e-mail addresses, so neither a value nor a key that may be somebody's number
//! (`place`) gets into a [`Verdict`]. What comes out may be logged, counted and shown.

mod judge;
mod pattern;
mod place;
mod rules;
mod walk;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

pub use judge::{is_final, judge};
pub use pattern::{Pattern, PatternError};
pub use rules::{Known, Rules};

/// One of the two sides that can answer a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leg {
    /// The legacy API, through NDH.
    Ndh,
    /// The standard API, with an OAuth token.
    Standard,
}

impl Leg {
    pub const ALL: [Self; 2] = [Self::Ndh, Self::Standard];

    /// The leg as it stands in configuration, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndh => "ndh",
            Self::Standard => "standard",
        }
    }
}

/// What one leg answered.
#[derive(Clone)]
pub struct Side {
    /// As the API sent it; of a leg that is asked in parts, as its `response` program makes it.
    pub status: u16,
    /// What the application uses of it; none, or null: nothing.
    pub view: Option<Value>,
}

impl Side {
    /// The view, if it says anything.
    #[must_use]
    pub fn seen(&self) -> Option<&Value> {
        self.view.as_ref().filter(|view| !view.is_null())
    }
}

/// Never the view: it is a person's data.
impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side")
            .field("status", &self.status)
            .field("has_view", &self.seen().is_some())
            .finish()
    }
}

/// In which way two views differ at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// There on the NDH leg, missing on the standard one.
    OnlyNdh,
    /// There on the standard leg, missing on the NDH one.
    OnlyStandard,
    /// Two values of one type.
    Value,
    /// Two types; null is a type.
    Type,
    /// Two arrays of different lengths whose order counts.
    Length,
    /// The statuses; always at the root.
    Status,
    /// There may be more: a bound of the comparison was reached. Never excused by a rule; always last.
    Truncated,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::OnlyNdh,
        Self::OnlyStandard,
        Self::Value,
        Self::Type,
        Self::Length,
        Self::Status,
        Self::Truncated,
    ];

    /// The kind as it stands in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnlyNdh => "only_ndh",
            Self::OnlyStandard => "only_standard",
            Self::Value => "value",
            Self::Type => "type",
            Self::Length => "length",
            Self::Status => "status",
            Self::Truncated => "truncated",
        }
    }
}

/// One difference: where, of which kind, and the rule that expects it. Alike ones of one comparison are given once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Difference {
    /// JSON pointer into the view, "" for the whole. Positions of arrays, and keys that may be somebody's number, are `*`:
    /// read as a [`Pattern`] it fits the place it came from.
    pub pointer: String,
    pub kind: Kind,
    /// The name of the first rule that excuses it.
    pub known: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() {
            "the whole"
        } else {
            &self.pointer
        };
        write!(f, "{place}: {}", self.kind.as_str())?;
        match &self.known {
            Some(name) => write!(f, " (known: {name})"),
            None => Ok(()),
        }
    }
}

/// Why two replies say nothing about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The leg's status is no final answer: 5xx, or one that asks to come again or go elsewhere.
    Status(Leg, u16),
    /// The leg did not answer at all.
    Unanswered(Leg),
    /// No view could be made of the leg's answer: a program failed, or the body is beyond its bound.
    NoView(Leg),
}

impl Reason {
    /// Whose answer was no use.
    #[must_use]
    pub const fn leg(self) -> Leg {
        match self {
            Self::Status(leg, _) | Self::Unanswered(leg) | Self::NoView(leg) => leg,
        }
    }

    /// The reason as it stands in logs and metrics, without leg and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status(..) => "status",
            Self::Unanswered(_) => "unanswered",
            Self::NoView(_) => "no_view",
        }
    }
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Match,
    /// Every difference is excused by a rule.
    Known(Vec<Difference>),
    /// At least one difference is not.
    Mismatch(Vec<Difference>),
    /// NDH knows the person, the standard side does not (not linked).
    MissingOnStandard(Vec<Difference>),
    /// The standard side knows the person, NDH does not.
    MissingOnNdh(Vec<Difference>),
    /// The leg refuses the credentials (401, 403): a fault of the configuration, not of the data.
    Refused(Leg),
    /// Counted apart, in no ratio.
    NotComparable(Reason),
}

impl Verdict {
    /// The verdict as it stands in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Known(_) => "known",
            Self::Mismatch(_) => "mismatch",
            Self::MissingOnStandard(_) => "missing_on_standard",
            Self::MissingOnNdh(_) => "missing_on_ndh",
            Self::Refused(_) => "refused",
            Self::NotComparable(_) => "not_comparable",
        }
    }

    /// The differences it rests on; a match, a refusal and what is not comparable have none.
    #[must_use]
    pub fn differences(&self) -> &[Difference] {
        match self {
            Self::Known(found) | Self::Mismatch(found) | Self::MissingOnStandard(found) | Self::MissingOnNdh(found) => {
                found
            }
            Self::Match | Self::Refused(_) | Self::NotComparable(_) => &[],
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::Refused(leg) => write!(f, " by {}", leg.as_str())?,
            Self::NotComparable(Reason::Status(leg, status)) => write!(f, ": {} answered {status}", leg.as_str())?,
            Self::NotComparable(reason) => write!(f, ": {} {}", reason.leg().as_str(), reason.as_str())?,
            _ => {}
        }
        for (at, difference) in self.differences().iter().enumerate() {
            write!(f, "{}{difference}", if at == 0 { ": " } else { ", " })?;
        }
        Ok(())
    }
}

//! Where one unit stands: the configured terms, an operator's override, a roll-back. Events in, actions out. Pure.
//!
//! What rules, first to last: an override that has not expired, a roll-back, the configuration. A broken gate rolls back
//! at once and ends the override under which it broke. It stays until an operator resets it, sets at least what the
//! configuration asks for, or the configured mode or share changes: an override below that (`ndh`, a smaller canary) rules
//! while it lasts and leaves the roll-back beneath, so that its expiry never brings the standard leg back by itself.

mod machine;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Mode;
use super::gate::{Gate, Lack};
use super::words::percent;

pub use machine::Standing;

/// The longest override: what should last longer belongs into the configuration, which all pods read.
pub const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// What the configuration says of a unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    pub mode: Mode,
    /// Of the persons, with `canary`: 0 to 1.
    pub share: f64,
    /// What standard fails is asked of NDH, if it may be repeated.
    pub fallback: bool,
    /// In `canary` and `standard`, the leg that does not answer is asked as well and compared.
    pub compare: bool,
    pub gate: Gate,
    pub able: Able,
}

/// What the routes of a unit are fit for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Able {
    /// Every route has a standard leg.
    pub standard: bool,
    /// A route with a safe method has a view on both legs.
    pub compare: bool,
    /// Every route has a parameter that identifies the person.
    pub person: bool,
    /// A route has no NDH leg any more: there is no way back.
    pub only_standard: bool,
}

impl Terms {
    /// Who answers where nothing but the configuration rules.
    #[must_use]
    pub const fn effective(&self) -> Effective {
        Effective::of(self.mode, self.share)
    }
}

impl Able {
    pub const ALL: Self = Self {
        standard: true,
        compare: true,
        person: true,
        only_standard: false,
    };

    /// Why a unit of such routes cannot be in the mode.
    ///
    /// # Errors
    /// The reason, and what it takes.
    pub const fn allows(self, mode: Mode) -> Result<(), &'static str> {
        match mode {
            Mode::Ndh | Mode::Shadow | Mode::Canary if self.only_standard => {
                Err("a route of it has no [route.ndh] any more: only standard can answer")
            }
            Mode::Ndh => Ok(()),
            _ if !self.standard => Err("a route of it has no [route.standard]: only NDH can answer"),
            Mode::Shadow if !self.compare => {
                Err("nothing of it can be compared: it takes a route with a safe method and a view on both legs")
            }
            Mode::Canary if !self.person => {
                Err("a route of it names no `person`, by which a canary is split: use standard, or name it")
            }
            _ => Ok(()),
        }
    }
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub mode: Mode,
    /// With `canary` only; otherwise the configured share.
    pub share: Option<f64>,
    pub reason: String,
    /// Who, as the control socket knows it.
    pub by: String,
    pub hold: Duration,
}

/// A local decision in place of the configured mode, until it expires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Override {
    pub mode: Mode,
    pub share: f64,
    pub reason: String,
    pub by: String,
    /// In unix seconds.
    pub set: i64,
    /// In unix seconds; from then on it does not rule.
    pub expires: i64,
}

/// The standard leg was taken out because the gate broke.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolledBack {
    /// In unix seconds.
    pub at: i64,
    pub from: Mode,
    pub share: f64,
    /// In words and numbers; no person and no value.
    pub reasons: Vec<String>,
    /// Of the override under which it broke.
    pub reason_then: Option<String>,
    /// Mode and share of the configuration at that time: a change lifts the roll-back.
    pub configured: (Mode, f64),
}

/// Who answers now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effective {
    pub mode: Mode,
    /// Of the persons answered by standard: the canary's in `canary`, else 0 or 1.
    pub share: f64,
}

impl Effective {
    /// In `mode`, where a canary would have this share.
    #[must_use]
    pub const fn of(mode: Mode, share: f64) -> Self {
        let share = match mode {
            Mode::Ndh | Mode::Shadow => 0.0,
            Mode::Canary => share,
            Mode::Standard => 1.0,
        };
        Self { mode, share }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode {
            Mode::Canary => write!(f, "canary {}", percent(self.share)),
            mode => mode.fmt(f),
        }
    }
}

/// What happens to a unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The configuration was read anew.
    Configured(Terms),
    Set(Order),
    /// An operator ends override and roll-back.
    Reset {
        reason: String,
        by: String,
    },
    /// Time has passed.
    Tick,
    /// The gate broke; nothing happens if it is empty or standard answers nobody.
    Judged(Vec<Lack>),
}

/// What is to be done. After any action the standing is worth keeping on disk.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// From now on this is who answers.
    Effective(Effective),
    /// The gate's window begins anew.
    NewWindow,
    Audit {
        /// A fixed word.
        event: &'static str,
        sentence: String,
        about: Audited,
    },
    /// Somebody has to look.
    Alarm(String),
}

/// What an audit line says beside its sentence, so that it can be searched for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audited {
    /// Who answers from now on, and the share that was asked for.
    pub mode: Option<Mode>,
    pub share: Option<f64>,
    pub reason: Option<String>,
    pub by: Option<String>,
    /// In unix seconds.
    pub expires: Option<i64>,
    /// Of a roll-back.
    pub from: Option<Mode>,
    pub to: Option<Mode>,
}

impl Audited {
    fn because(reason: String) -> Self {
        Self {
            reason: Some(reason),
            ..Self::default()
        }
    }
}

/// An order that is not followed; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("{unit} cannot be in {mode}: {why}")]
    Unable {
        unit: String,
        mode: Mode,
        why: &'static str,
    },
    #[error("a share goes with canary, not with {0}: leave it out")]
    ShareWithout(Mode),
    #[error("a canary takes a share above 0 and at most 1, for example 0.05; the configuration names none for {0}")]
    NoShare(String),
    #[error("a reason is needed: why is this set?")]
    NoReason,
    #[error(
        "{unit} was rolled back under the reason `{reason}`: look at `route report {unit}`, and set it again with a reason \
         that says what has changed"
    )]
    OldReason { unit: String, reason: String },
    #[error("an override lasts a second at least and 31 days at most: what should last belongs into the configuration")]
    Hold,
}

impl SetError {
    /// Stable, for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unable { .. } => "mode_impossible",
            Self::ShareWithout(_) | Self::NoShare(_) => "share_wrong",
            Self::NoReason => "reason_missing",
            Self::OldReason { .. } => "reason_not_new",
            Self::Hold => "hold_wrong",
        }
    }
}

#[cfg(test)]
mod tests;

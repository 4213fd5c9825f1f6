//! What a lineage has to tell: for the log, the metrics and whoever carries it out. No key is among it.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::cert::facts::Facts;
use crate::cert::verify::Finding;
use crate::identity::rotation::{Place, Why};
use crate::identity::status::Receipt;

/// Where something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Certificate and key at a place.
    Identity(Place),
    /// The trust bundle and the CRL.
    Trust,
}

/// One thing that happened.
pub enum News {
    /// Something new was found and is fit so far.
    Found {
        number: u64,
        source: Source,
        leaf: Option<Box<Facts>>,
        warnings: Vec<Finding>,
        /// What comes next, in words.
        next: String,
    },
    /// Something new was found and is not fit; what is in use stays.
    Refused { source: Source, reason: String },
    /// To be tried against the other side.
    Try {
        number: u64,
        client_config: Arc<ClientConfig>,
    },
    /// A trial did not pass.
    NotPassed {
        number: u64,
        rejected: bool,
        sentence: String,
        next: String,
    },
    /// A trial passed; the operator is waited for.
    Passed { number: u64, sentence: String },
    /// In force from now on: publish it.
    Promoted {
        number: u64,
        from: Option<u64>,
        why: Why,
        leaf: Option<Box<Facts>>,
        warnings: Vec<Finding>,
    },
    /// The last connection of the old generation is closed.
    Retired(Receipt),
    /// The other side refuses what is in use, and there is nothing to fall back to.
    NoWayBack { number: u64, reason: String },
    /// Something that is in use ends in so many days, or has ended.
    Ending { what: String, days: i64, ends: i64 },
    /// The files can never change where they are mounted.
    NeverUpdates(String),
    /// What was on its way is no longer there.
    Withdrawn { number: u64 },
}

impl Source {
    /// The source as a word, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity(Place::Configured) => "configured",
            Self::Identity(Place::Staged) => "staged",
            Self::Trust => "trust",
        }
    }
}

impl Why {
    /// The reason as a word, for logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::TrialPassed(_) => "trial_passed",
            Self::Operator => "operator",
            Self::AboutToExpire(_) => "about_to_expire",
            Self::NothingToLose => "nothing_to_lose",
            Self::FallBack => "fall_back",
            Self::RollBack => "roll_back",
            Self::Revoked(_) => "server_revoked",
        }
    }

    /// How the generation was proven, in words.
    #[must_use]
    pub fn proof(&self) -> String {
        match self {
            Self::Start => "untried: nothing was in use before it".to_owned(),
            Self::TrialPassed(sentence) => format!("trial passed: {sentence}"),
            Self::Operator => "trial passed, or in use before; promoted by the operator".to_owned(),
            Self::AboutToExpire(sentence) => {
                format!(
                    "UNTRIED: the one before was about to expire, and the other side could not be asked ({sentence})"
                )
            }
            Self::NothingToLose => "UNTRIED or refused: nothing valid was in use any more".to_owned(),
            Self::FallBack => "trial passed: the other side refused the generation after it".to_owned(),
            Self::RollBack => "in use before; rolled back to by the operator".to_owned(),
            Self::Revoked(sentence) => format!("the other side's certificate is revoked: {sentence}"),
        }
    }
}

//! The words of a rotation: what is held, what keeps it from being in use, what to do and why.

/// A hash of content: equal content is the same thing.
pub type Digest = [u8; 32];

/// Where a certificate lay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The files that the configuration names.
    Configured,
    /// The directory for the next one.
    Staged,
}

/// An identity that was verified; it may be not yet valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    pub digest: Digest,
    /// Unix seconds: the latest beginning and the earliest end in the chain.
    pub not_before: i64,
    pub not_after: i64,
}

/// One generation: numbers count from 1 and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub number: u64,
    pub place: Place,
    pub paper: Paper,
    pub terms: Digest,
    /// How often it was promoted and had to be taken back because the other side refused it.
    pub(super) falls: u32,
}

/// What keeps a candidate from being in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// For its first second of validity.
    Waiting,
    OnTrial,
    /// The trial did not pass; it is repeated at this time.
    Again {
        at: i64,
        rejected: bool,
        sentence: String,
    },
    /// The trial passed; the operator promotes.
    Passed {
        sentence: String,
    },
    /// It comes into use only when told to: the operator rolled it back, or it is staged and older than what is in use.
    SetAside {
        rolled_back: bool,
    },
}

/// The next generation, on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub held: Held,
    pub phase: Phase,
    /// Trials that did not pass, in a row.
    pub(super) failures: u32,
    /// The operator asked for it: a passed trial promotes it in any mode.
    pub(super) wanted: bool,
}

/// Why a generation came into use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The first one; there was nothing to try it against or to lose.
    Start,
    TrialPassed(String),
    Operator,
    /// The old one is about to end and the other side cannot be asked.
    AboutToExpire(String),
    /// Nothing valid was in use.
    NothingToLose,
    /// The other side refuses the newer one.
    FallBack,
    RollBack,
    /// The other side's certificate has been revoked: the list that says so comes into force untried.
    Revoked(String),
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Try this generation against the other side and report with [`Rotation::tried`].
    Try(u64),
    /// Put it in force at once; the other one drains.
    Promote { number: u64, from: Option<u64>, why: Why },
    /// The other side refuses what is in use, and there is no way back that works.
    NoWayBack(String),
}

/// What the settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The operator promotes new identities; changed terms come into force by themselves.
    pub manual: bool,
    /// When the one in use ends within so many seconds, a new one that cannot be tried is promoted untried.
    pub untried_before: i64,
    /// How far clocks may differ, in seconds.
    pub skew: i64,
}

/// Why an operator's wish is not fulfilled, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    #[error(
        "there is nothing to promote: no other certificate than the one in use was found; put it in place, or look at the last refusal"
    )]
    NothingToPromote,
    #[error("generation {0} is not valid yet; it is promoted by itself when its time has come")]
    NotYetValid(u64),
    #[error("there is no way back: no generation before the one in use is held")]
    NothingToGoBackTo,
    #[error("generation {0} has expired, so there is no way back to it")]
    PreviousExpired(u64),
}

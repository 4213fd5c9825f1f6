//! Who is at the other end of a caller's connection.

use std::fmt;

use super::plan::{Doors, Plan};
use crate::cert::facts::Facts;
use crate::clock;

/// Who is at the other end of a caller's connection.
#[derive(Debug)]
pub enum Caller {
    /// Somebody in the same pod.
    Local,
    /// A peer that showed this certificate; the line tells the API who it is.
    Peer { facts: Box<Facts>, header: Vec<u8> },
}

impl Caller {
    /// The doors that this caller may take.
    pub(super) fn doors(&self, plan: &Plan) -> Doors {
        match self {
            Self::Local => Doors::ALL,
            // A resumed session does not come past the verifier: the dates are looked at again here.
            Self::Peer { facts, .. } if clock::unix_seconds() > facts.not_after => Doors::NONE,
            Self::Peer { facts, .. } => plan.admitted(facts),
        }
    }

    /// What is said of it to the API: a whole header line, or nothing.
    pub(super) fn header(&self) -> &[u8] {
        match self {
            Self::Local => b"",
            Self::Peer { header, .. } => header,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("a local caller"),
            Self::Peer { facts, .. } => write!(
                f,
                "the certificate of {} (SHA-256 {})",
                facts.names(),
                facts.fingerprint()
            ),
        }
    }
}

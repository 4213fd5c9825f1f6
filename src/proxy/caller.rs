//! Who is at the other end of a caller's connection, and whether it still may come in.

use std::cell::Cell;
use std::fmt;

use rustls_pki_types::CertificateDer;

use super::plan::{Doors, Plan};
use crate::cert::facts::Facts;
use crate::clock;
use crate::identity::Admission;

/// Who is at the other end of a caller's connection.
#[derive(Debug)]
pub enum Caller {
    /// Somebody in the same pod.
    Local,
    /// A peer that showed a certificate.
    Peer(Box<Peer>),
}

/// A peer of the gateway.
#[derive(Debug)]
pub struct Peer {
    pub facts: Facts,
    /// The line that tells the API who it is.
    pub header: Vec<u8>,
    /// As it was shown, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The generation of the gateway's front under which the connection was made.
    pub admission: Admission,
    /// By the trust of which generation the chain was judged, and when (Unix seconds).
    pub judged: Cell<(u64, i64)>,
}

/// A judgement holds for so long, in seconds: dates go by without any change of trust.
const JUDGED_FOR: i64 = 30;

fn is_recent((generation, at): (u64, i64), now_in_use: u64, now: i64) -> bool {
    generation == now_in_use && (at..at.saturating_add(JUDGED_FOR)).contains(&now)
}

impl Caller {
    /// The doors that this caller may take; an error says why it may take none.
    pub(super) fn doors(&self, plan: &Plan) -> Result<Doors, String> {
        let Self::Peer(peer) = self else {
            return Ok(Doors::ALL);
        };
        let now = clock::unix_seconds();
        // A resumed session does not come past the verifier: the dates are looked at again here.
        if now > peer.facts.not_after {
            return Err(format!("{self} has expired"));
        }
        // A connection outlives the trust that it was made under: a CA may have been removed or have expired, the
        // certificate revoked, the list of revoked ones become stale.
        if let Some(front) = &plan.front
            && !is_recent(peer.judged.get(), front.number, now)
        {
            front
                .would_admit(&peer.chain, now)
                .map_err(|error| format!("{self} is not accepted any more: {error}"))?;
            peer.judged.set((front.number, now));
        }
        let doors = plan.admitted(&peer.facts);
        if doors.is_none() {
            return Err(format!("no rule admits {self}"));
        }
        Ok(doors)
    }

    /// The connection was made under an older generation of the gateway's front: it ends after its reply.
    pub(super) fn is_outdated(&self, plan: &Plan) -> bool {
        match (self, &plan.front) {
            (Self::Peer(peer), Some(front)) => front.number != peer.admission.number(),
            _ => false,
        }
    }

    /// What is said of it to the API: a whole header line, or nothing.
    pub(super) fn header(&self) -> &[u8] {
        match self {
            Self::Local => b"",
            Self::Peer(peer) => &peer.header,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("a local caller"),
            Self::Peer(peer) => write!(
                f,
                "the certificate of {} (SHA-256 {})",
                peer.facts.names(),
                peer.facts.fingerprint()
            ),
        }
    }
}

//! What is said of managed certificates: the values behind `identity status`, the status page and the receipt.
//!
//! Plain values that travel as JSON through the control socket; times are RFC 3339 text. No key is among them, and
//! nothing of a request.

use serde::{Deserialize, Serialize};

use crate::cert::facts::Facts;

/// Everything that one process manages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub lineages: Vec<Lineage>,
}

/// The certificates that follow each other in one place of use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// The configured name of the identity; the upstream's where none is configured; `gateway` for its own.
    pub identity: String,
    /// Where it is shown; empty for the gateway's own, which is shown to callers.
    pub upstream: String,
    /// `automatic` or `manual`.
    pub promotion: String,
    pub in_use: Option<Generation>,
    /// The way back.
    pub previous: Option<Generation>,
    /// The next one, on its way.
    pub candidate: Option<Candidate>,
    /// What was found last and refused, until something better comes.
    pub refused: Option<Refused>,
    /// Of the last promotion.
    pub receipt: Option<Receipt>,
    /// What somebody should look at: mounts that never change.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The other side's certificate chain, as last seen.
    pub server: Vec<Certificate>,
}

/// One generation that is or was in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    pub number: u64,
    /// `configured` or `staged`: where its files lay.
    pub place: String,
    pub since: String,
    /// How it was proven, in words.
    pub proof: String,
    /// Leaf first; empty towards an upstream that asks for none.
    pub chain: Vec<Certificate>,
    pub trust: Vec<Certificate>,
    pub crls: Vec<Crl>,
    /// Open connections.
    pub connections: u64,
}

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub subject: String,
    pub names: Vec<String>,
    pub issuer: String,
    pub serial: String,
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub fingerprint: String,
    pub not_before: String,
    pub not_after: String,
}

/// A list of revoked certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crl {
    pub issuer: String,
    pub this_update: String,
    pub next_update: Option<String>,
    pub revoked: usize,
}

/// A certificate on its way to be promoted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub number: u64,
    pub place: String,
    /// `waiting_for_its_time`, `on_trial`, `waiting_to_try_again`, `waiting_for_promotion`, `set_aside`.
    pub phase: String,
    /// What happened and what comes next, in words.
    pub sentence: String,
    /// When something happens next by itself.
    pub next: Option<String>,
    pub certificate: Certificate,
}

/// Files that were found and not accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub place: String,
    pub at: String,
    /// Every reason, with what to do.
    pub reason: String,
}

/// The proof of a change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub from: Option<u64>,
    pub to: u64,
    /// `start`, `trial_passed`, `operator`, `about_to_expire`, `nothing_to_lose`, `fall_back`, `roll_back`,
    /// `server_revoked`.
    pub why: String,
    pub promoted: String,
    /// From the promotion to the last connection of the old generation; `None` while some are open.
    pub retired_after_seconds: Option<f64>,
    /// Requests on this upstream that the sidecar had to fail from the promotion to the retirement.
    pub requests_failed: u64,
    /// The whole receipt in one sentence.
    pub sentence: String,
}

impl From<&Facts> for Certificate {
    fn from(facts: &Facts) -> Self {
        let names = facts.dns_names.iter().chain(&facts.uri_names).chain(&facts.ip_names);
        Self {
            subject: facts.subject.clone(),
            names: names.cloned().collect(),
            issuer: facts.issuer.clone(),
            serial: facts.serial.clone(),
            fingerprint: facts.fingerprint(),
            not_before: rfc3339(facts.not_before),
            not_after: rfc3339(facts.not_after),
        }
    }
}

/// Unix seconds as RFC 3339 text; the bare number where no calendar has it.
#[must_use]
pub fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

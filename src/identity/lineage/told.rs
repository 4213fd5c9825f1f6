//! What a lineage says of itself: `identity status`, status page, metrics.

use super::{Lineage, Moment, Side, Traffic};
use crate::cert::crl::CrlFacts;
use crate::cert::facts::Facts;
use crate::identity::rotation::{Held, Phase, Place};
use crate::identity::status::{self, Certificate, rfc3339};

/// What is in use, as certificates say it.
#[derive(Clone, Debug, Default)]
pub struct InUse {
    pub number: u64,
    /// Leaf first; empty where none is shown.
    pub chain: Vec<Facts>,
    pub trust: Vec<Facts>,
    pub crls: Vec<CrlFacts>,
    /// The other side's chain as last seen.
    pub server: Vec<Facts>,
}

impl Lineage {
    /// The name under which it is known to operators.
    #[must_use]
    pub fn name(&self) -> &str {
        self.terms.identity.as_deref().unwrap_or(&self.terms.upstream)
    }

    /// The configured identity; `None` where only trust is managed.
    #[must_use]
    pub fn identity(&self) -> Option<&str> {
        self.terms.identity.as_deref()
    }

    /// What is in use, if anything is.
    #[must_use]
    pub fn in_use(&self) -> Option<InUse> {
        self.current.as_ref()?;
        let held = self.rotation.in_use()?;
        Some(InUse {
            number: held.number,
            chain: self.chain_of(held).to_vec(),
            trust: self
                .parts(held)
                .1
                .map(|trusted| trusted.facts.clone())
                .unwrap_or_default(),
            crls: self
                .parts(held)
                .1
                .map(|believed| believed.crls.clone())
                .unwrap_or_default(),
            server: self.server_seen(),
        })
    }

    /// Why nothing valid is in use, for readiness.
    #[must_use]
    pub fn pending(&self, now: i64) -> Option<String> {
        if self.is_usable(now) {
            return None;
        }
        match self.standing() {
            crate::identity::Standing::Ready(generation) => Some(
                generation
                    .check_dates(now)
                    .err()
                    .map_or_else(String::new, |fault| fault.detail.to_string()),
            ),
            crate::identity::Standing::Absent(fault) => Some(fault.detail.to_string()),
        }
    }

    /// Everything there is to say.
    #[must_use]
    pub fn status(&self, now: Moment, traffic: &Traffic<'_>) -> status::Lineage {
        let (identity, upstream) = match self.terms.side {
            Side::Client { .. } => (self.name().to_owned(), self.terms.upstream.clone()),
            Side::Server { .. } => (self.name().to_owned(), String::new()),
        };
        let newest = self
            .refused
            .iter()
            .max_by_key(|(source, refused)| (refused.at, **source));
        status::Lineage {
            identity,
            upstream,
            promotion: if self.terms.manner.manual {
                "manual"
            } else {
                "automatic"
            }
            .to_owned(),
            in_use: self.rotation.in_use().map(|held| self.generation(held, traffic)),
            previous: self.rotation.previous().map(|held| self.generation(held, traffic)),
            candidate: self.rotation.candidate().map(|candidate| {
                let Held { number, place, .. } = candidate.held;
                let (phase, next) = match &candidate.phase {
                    Phase::Waiting => ("waiting_for_its_time", Some(candidate.held.paper.not_before)),
                    Phase::OnTrial => ("on_trial", None),
                    Phase::Again { at, .. } => ("waiting_to_try_again", Some(*at)),
                    Phase::Passed { .. } => ("waiting_for_promotion", None),
                    Phase::SetAside { .. } => ("set_aside", None),
                };
                status::Candidate {
                    number,
                    place: word(place).to_owned(),
                    phase: phase.to_owned(),
                    sentence: self.next_of(&candidate.phase, &candidate.held, now),
                    next: next.map(rfc3339),
                    certificate: self
                        .chain_of(&candidate.held)
                        .first()
                        .map(Certificate::from)
                        .unwrap_or_default(),
                }
            }),
            refused: newest.map(|(source, refused)| status::Refused {
                place: source.as_str().to_owned(),
                at: rfc3339(refused.at),
                reason: refused.reason.clone(),
            }),
            receipt: self.receipt.clone(),
            warnings: self.fixed.clone(),
            server: self.server_seen().iter().map(Certificate::from).collect(),
        }
    }

    fn generation(&self, held: &Held, traffic: &Traffic<'_>) -> status::Generation {
        let past = self.past.get(&held.number);
        let trusted = self.parts(held).1;
        status::Generation {
            number: held.number,
            place: word(held.place).to_owned(),
            since: past.map(|past| rfc3339(past.since)).unwrap_or_default(),
            proof: past.map(|past| past.proof.clone()).unwrap_or_default(),
            chain: self.chain_of(held).iter().map(Certificate::from).collect(),
            trust: trusted
                .map(|trusted| trusted.facts.iter().map(Certificate::from).collect())
                .unwrap_or_default(),
            crls: trusted
                .map(|believed| believed.crls.iter().map(list).collect())
                .unwrap_or_default(),
            connections: self.open(held.number, traffic),
        }
    }

    fn server_seen(&self) -> Vec<Facts> {
        match &self.current {
            Some(super::Made::Client(generation)) => generation.server_seen(),
            _ => Vec::new(),
        }
    }
}

fn list(facts: &CrlFacts) -> status::Crl {
    status::Crl {
        issuer: facts.issuer.clone(),
        this_update: rfc3339(facts.this_update),
        next_update: facts.next_update.map(rfc3339),
        revoked: facts.revoked,
    }
}

fn word(place: Place) -> &'static str {
    match place {
        Place::Configured => "configured",
        Place::Staged => "staged",
    }
}

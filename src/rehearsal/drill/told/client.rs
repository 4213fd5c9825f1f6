//! What became of OAuth clients and of the key that signs their tokens: figures, and the claims about them.

use std::time::Duration;

use serde::Serialize;

use super::super::super::record::Tally;
use super::{Claim, Outcome, counted, milliseconds};

/// A client that took the place of the one before.
#[derive(Clone, Debug, Serialize)]
pub struct ClientChange {
    pub way: &'static str,
    pub client: String,
    /// Withdrawn at the Auth stand-in as soon as the new one was in use.
    pub before: String,
    /// From the last byte written to the first request with a token of the new client.
    #[serde(rename = "in_use_after_ms", serialize_with = "milliseconds")]
    pub noticed: Duration,
    /// Requests that were sent afterwards, with a token of the new client.
    pub requests_after: u64,
    /// The same, with a token of any other.
    pub requests_on_old: u64,
    #[serde(skip)]
    pub(in crate::rehearsal::drill) mark: u64,
}

/// A signing key that was dropped, and every token with it.
#[derive(Clone, Debug, Serialize)]
pub struct KeyChange {
    /// Tokens that were fetched because of it.
    pub refreshes: u64,
    /// Requests that were sent afterwards.
    pub requests_after: u64,
    #[serde(skip)]
    pub(in crate::rehearsal::drill) mark: u64,
    #[serde(skip)]
    pub(in crate::rehearsal::drill) client: String,
}

/// Requests of this mark whose certificate or client is meant.
pub(super) fn count(tally: &Tally, mark: u64, is_meant: &dyn Fn(&str) -> bool) -> u64 {
    let marked = tally.range((mark, String::new())..(mark + 1, String::new()));
    let meant = marked.filter(|((_, who), _)| is_meant(who));
    meant.map(|(_, count)| count).sum()
}

impl Outcome {
    /// Lets the record of the standard route decide.
    pub(super) fn judge_clients(&mut self, standard: &Tally) {
        for change in &mut self.clients {
            change.requests_after = count(standard, change.mark, &|client| client == change.client);
            change.requests_on_old = count(standard, change.mark, &|client| client != change.client);
        }
        for broken in &mut self.broken_clients {
            broken.requests = count(standard, broken.mark, &|client| client == broken.current);
            broken.requests_on_other = count(standard, broken.mark, &|client| client != broken.current);
        }
        for key in &mut self.keys {
            key.requests_after = count(standard, key.mark, &|client| client == key.client);
        }
    }

    /// Nothing is claimed where nothing was done.
    pub(super) fn claim_clients(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        if !self.clients.is_empty() {
            let old: u64 = self.clients.iter().map(|change| change.requests_on_old).sum();
            let new: u64 = self.clients.iter().map(|change| change.requests_after).sum();
            claims.push(Claim {
                claim: "no request with a token of the client of before, once the next one was proven",
                figure: format!("{old} of {}, in {}", old + new, counted(self.clients.len(), "change")),
                holds: old == 0 && self.clients.iter().all(|change| change.requests_after > 0),
            });
        }
        if !self.broken_clients.is_empty() {
            let other: u64 = self.broken_clients.iter().map(|broken| broken.requests_on_other).sum();
            let good: u64 = self.broken_clients.iter().map(|broken| broken.requests).sum();
            claims.push(Claim {
                claim: "no client that is refused ever replaced the working one",
                figure: format!(
                    "{} kinds refused; {other} of {} requests with a token of another",
                    self.broken_clients.len(),
                    good + other
                ),
                holds: other == 0 && self.broken_clients.iter().all(|broken| broken.requests > 0),
            });
        }
        if !self.keys.is_empty() {
            let refreshes: u64 = self.keys.iter().map(|key| key.refreshes).sum();
            let after: u64 = self.keys.iter().map(|key| key.requests_after).sum();
            claims.push(Claim {
                claim: "one refresh healed a signing key that was dropped, and every token with it",
                figure: format!("{}; {after} requests afterwards", counted_refreshes(refreshes)),
                holds: self.keys.iter().all(|key| key.refreshes == 1 && key.requests_after > 0),
            });
        }
        claims
    }
}

fn counted_refreshes(number: u64) -> String {
    let plural = if number == 1 { "" } else { "es" };
    format!("{number} refresh{plural}")
}

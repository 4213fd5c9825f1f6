//! What a request says about its upstream, told to the breaker.

use tokio::time::Instant;

use super::breaker::{Outcome, Permit, State};
use super::exchange::{Broken, Finished, Progress};
use super::worker::Lender;
use crate::clock;
use crate::fault::Code;

/// What a request says about its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Well,
    /// It answered badly or not at all: perhaps one person's data.
    Failed,
    /// There was no connection to speak of.
    Unreachable,
    Nothing,
}

pub(super) fn verdict(result: &Result<Finished, Broken>, progress: &Progress) -> Said {
    match result {
        Ok(_) if progress.status.is_some_and(|status| status >= 500) => Said::Failed,
        Ok(_) => Said::Well,
        Err(Broken::Upstream(fault)) => match fault.code {
            // Nobody was asked: `circuit_open` would only hide the cause.
            Code::IdentityMissing => Said::Nothing,
            Code::IdentityExpired if !progress.request_begun => Said::Nothing,
            Code::UpstreamUnreachable | Code::UpstreamTls | Code::IdentityRejected | Code::IdentityExpired => {
                Said::Unreachable
            }
            _ if !progress.request_begun => Said::Unreachable,
            _ => Said::Failed,
        },
        // The caller's doing says nothing about the upstream.
        Err(Broken::Request(_) | Broken::CallerGone) => Said::Nothing,
    }
}

/// A half-open breaker waits for the verdict of its probe; a task that is dropped must not leave it waiting.
pub(super) struct Held<'a> {
    pub(super) lender: &'a Lender,
    pub(super) permit: Option<Permit>,
}

impl Held<'_> {
    pub(super) fn settle(mut self, said: Said, person: Option<u64>, at: Instant) {
        let Some(permit) = self.permit.take() else { return };
        let (now, mut breaker) = (clock::monotonic_at(at), self.lender.breaker.borrow_mut());
        let before = breaker.state();
        match said {
            Said::Well => breaker.record(now, permit, Outcome::Success),
            Said::Failed => {
                let person = person.map(|hash| format!("{hash:x}"));
                breaker.record(
                    now,
                    permit,
                    Outcome::Failure {
                        person: person.as_deref(),
                    },
                );
            }
            Said::Unreachable => breaker.record(now, permit, Outcome::ConnectionFault),
            Said::Nothing => breaker.abandon(now, permit),
        }
        let after = breaker.state();
        if before != after && self.lender.shown {
            let target = self.lender.target.borrow();
            target.meter.circuit(after.as_str());
            match after {
                State::Closed => tracing::info!(upstream = target.name, "circuit closed: the upstream answers again"),
                _ => tracing::warn!(
                    upstream = target.name,
                    "circuit open: requests keep failing; the upstream is left alone"
                ),
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.lender.breaker.borrow_mut().abandon(clock::monotonic(), permit);
        }
    }
}

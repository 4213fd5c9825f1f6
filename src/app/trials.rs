//! Trials under way: each a task of the main thread, which hears of its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::identities::Happening;
use super::{Kind, terms};
use crate::identity::lineage::News;
use crate::identity::preflight::{self, Trial};
use crate::proxy::plan::Plan;

/// The longest trial there is; its parts have bounds of their own.
const BOUND: Duration = Duration::from_secs(60);

/// Where trials report.
pub(super) struct Trials {
    report: mpsc::UnboundedSender<Ended>,
    ended: mpsc::UnboundedReceiver<Ended>,
}

/// What came of a trial.
pub(super) struct Ended {
    pub upstream: String,
    /// Of the generation that was tried.
    pub number: u64,
    pub trial: Trial,
}

impl Trials {
    pub(super) fn new() -> Self {
        let (report, ended) = mpsc::unbounded_channel();
        Self { report, ended }
    }

    /// Starts the trials that are asked for.
    pub(super) fn begin(&self, happened: Vec<Happening>, kind: &Kind, plan: &Plan) {
        for (upstream, news) in happened {
            let News::Try { number, client_config } = news else {
                continue;
            };
            let Some(target) = plan.targets.iter().find(|target| target.name == upstream) else {
                continue;
            };
            let request = terms::trial(kind, target);
            let (report, endpoint, peer) = (self.report.clone(), target.endpoint.clone(), Arc::clone(&target.peer));
            tokio::spawn(async move {
                let trial = preflight::trial(&endpoint, &client_config, &request, &peer);
                let trial = tokio::time::timeout(BOUND, trial).await;
                let trial = trial.unwrap_or_else(|_| Trial::late(&peer, BOUND));
                // Nobody listens any more when the process ends.
                let _ = report.send(Ended {
                    upstream,
                    number,
                    trial,
                });
            });
        }
    }

    /// The next trial that ends; waits for it.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        self.ended.recv().await
    }
}

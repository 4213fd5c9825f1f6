//! The other leg, asked beside the request: replies are compared, and nobody waits for it.
//!
//! ```text
//!  proxy ──Job──▶ queue ──▶ place ──▶ ask the other leg ──▶ views ──▶ compare ──▶ ledger
//!         (full: dropped)                                     │
//!                                                             └─ differs: after a pause ask both anew
//! ```
//!
//! It has a thread of its own with its own runtime, connections and breaker, and bounds on work under way, on what waits
//! and on the bytes held. What finds no place is dropped and counted; a request never notices. Only safe methods come here.

mod judge;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::compare::{Leg, Verdict};
use crate::config::settings::Shadow as Bounds;
use crate::proxy::aside::Job;
use crate::proxy::legs::{Asked, ask_aside, is_failure};
use crate::proxy::plan::{self, Lane};
use crate::proxy::worker::Worker;
use crate::switch::evidence::Answered;

use judge::{Said, judged};

/// A leg that refuses our credentials is not asked again for this long: it is a fault of the configuration, and asking
/// does not mend it.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// The work beside the requests.
pub struct Shadow {
    worker: Rc<Worker>,
    bounds: Bounds,
    places: Arc<Semaphore>,
    /// Comparisons that wait to be asked again.
    waiting: Cell<usize>,
    /// Until when a route's leg is left alone.
    refused: RefCell<HashMap<(String, Leg), Instant>>,
}

impl Shadow {
    /// Nothing is under way yet. `worker` serves nobody: it holds plan and connections.
    #[must_use]
    pub fn new(worker: Rc<Worker>, bounds: Bounds) -> Rc<Self> {
        Rc::new(Self {
            places: Arc::new(Semaphore::new(bounds.concurrency)),
            worker,
            bounds,
            waiting: Cell::new(0),
            refused: RefCell::default(),
        })
    }

    /// Takes jobs as places come free, until nobody sends any more. What waits meanwhile stays in the queue, which is
    /// bounded.
    pub async fn work(self: Rc<Self>, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else {
                return;
            };
            let Some(job) = jobs.recv().await else { return };
            let shadow = self.clone();
            tokio::task::spawn_local(async move {
                if let Some((lane, asked)) = shadow.first(job).await {
                    drop(place);
                    shadow.again(&lane, asked).await;
                }
            });
        }
    }

    /// Compares for the first time; a difference comes back, to be asked again.
    async fn first(&self, job: Job) -> Option<(Arc<Lane>, Arc<Asked>)> {
        let Job {
            lane: then,
            asked,
            answered,
            raw,
            other,
            held,
        } = job;
        // The plan may have changed since: what is asked is asked by the one in force.
        let Some(lane) = self.lane(&then.name) else {
            then.ledger.evidence().dropped("configuration");
            return None;
        };
        if self.is_left_alone(&lane, other.which) || self.is_left_alone(&lane, answered.which) {
            lane.ledger.evidence().dropped("refused");
            return None;
        }
        let Some(there) = self.ask(&lane, other.which, &asked).await else {
            lane.ledger.evidence().dropped("configuration");
            return None;
        };
        let here = Said::Raw(raw);
        let verdict = match answered.which {
            Leg::Ndh => judged(&lane, &asked, here, there),
            Leg::Standard => judged(&lane, &asked, there, here),
        };
        drop(held);
        if !differs(&verdict) {
            self.record(&lane, &verdict);
            return None;
        }
        if self.waiting.get() >= self.bounds.again {
            // A difference that was seen once proves nothing.
            lane.ledger.evidence().dropped("again");
            return None;
        }
        Some((lane, asked))
    }

    /// The two legs do not see the same moment: both are asked anew after a pause before a difference counts.
    async fn again(&self, then: &Lane, asked: Arc<Asked>) {
        self.waiting.set(self.waiting.get() + 1);
        let pause = then.comparison.as_ref().map(|comparison| comparison.again_after);
        sleep(pause.unwrap_or_default()).await;
        self.waiting.set(self.waiting.get() - 1);
        let Ok(_place) = self.places.acquire().await else {
            return;
        };
        let Some(lane) = self.lane(&then.name) else {
            then.ledger.evidence().dropped("configuration");
            return;
        };
        let (ndh, standard) = tokio::join!(
            self.ask(&lane, Leg::Ndh, &asked),
            self.ask(&lane, Leg::Standard, &asked)
        );
        let (Some(ndh), Some(standard)) = (ndh, standard) else {
            lane.ledger.evidence().dropped("configuration");
            return;
        };
        let verdict = judged(&lane, &asked, ndh, standard);
        lane.ledger
            .evidence()
            .again(matches!(verdict, Verdict::Match | Verdict::Known(_)));
        self.record(&lane, &verdict);
    }

    /// One leg of the plan in force; `None`: it has no such leg any more.
    async fn ask(&self, lane: &Lane, which: Leg, asked: &Arc<Asked>) -> Option<Said> {
        let world = self.worker.world();
        let leg: &Arc<plan::Leg> = lane.leg(which)?;
        let began = clock::monotonic();
        let said = ask_aside(&self.worker, &world, leg, asked).await;
        let took = clock::monotonic().saturating_sub(began);
        let error = match &said {
            Err(_) => true,
            Ok(raw) => is_failure(which, raw.status()),
        };
        lane.ledger.evidence().answered(
            clock::monotonic(),
            Answered {
                leg: which,
                error,
                to_application: false,
                took,
            },
        );
        Some(match said {
            Ok(raw) => Said::Raw(raw),
            Err(fault) => {
                if self.worker.may_warn() {
                    let (route, leg) = (lane.name.as_str(), which.as_str());
                    tracing::warn!(route, leg, code = %fault.code, detail = %fault.detail, "a leg that is only compared did not answer");
                }
                Said::Fault(fault.code)
            }
        })
    }

    fn lane(&self, name: &str) -> Option<Arc<Lane>> {
        let world = self.worker.world();
        let found = world.plan.lanes.iter().find(|lane| lane.name == name);
        found.filter(|lane| lane.pair().is_compared()).cloned()
    }

    fn record(&self, lane: &Lane, verdict: &Verdict) {
        if let Verdict::Refused(leg) = verdict {
            let until = Instant::now() + REFUSED_PAUSE;
            let key = (lane.name.clone(), *leg);
            if self
                .refused
                .borrow_mut()
                .insert(key, until)
                .is_none_or(|last| last < Instant::now())
            {
                tracing::warn!(
                    route = lane.name,
                    leg = leg.as_str(),
                    "a leg refuses the sidecar's credentials: nothing is compared with it for a minute"
                );
            }
        }
        if differs(verdict) {
            tracing::info!(route = lane.name, verdict = %verdict, "the legs differ, also when asked again");
        }
        let mut evidence = lane.ledger.evidence();
        evidence.judged(clock::monotonic(), verdict);
    }

    fn is_left_alone(&self, lane: &Lane, which: Leg) -> bool {
        let refused = self.refused.borrow();
        refused
            .get(&(lane.name.clone(), which))
            .is_some_and(|until| *until > Instant::now())
    }
}

/// To be asked again before it counts.
fn differs(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Mismatch(_) | Verdict::MissingOnStandard(_) | Verdict::MissingOnNdh(_)
    )
}

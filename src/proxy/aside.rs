//! The way from a request to the comparison beside it: bounded, and never waited for.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::legs::{Asked, Raw};
use super::plan::{Lane, Leg};
use crate::transport::memory::{Budget, Share};

/// One reply that went to the caller, to be compared with what the other leg says.
#[derive(Debug)]
pub struct Job {
    pub lane: Arc<Lane>,
    pub asked: Arc<Asked>,
    /// Which leg answered, and what it said.
    pub answered: Arc<Leg>,
    pub raw: Raw,
    /// The leg to ask.
    pub other: Arc<Leg>,
    pub held: Share,
}

/// Where replies go to be compared.
#[derive(Clone, Debug)]
pub struct Aside {
    jobs: mpsc::Sender<Job>,
    /// Of the replies that are held.
    pub budget: Arc<Budget>,
}

impl Aside {
    /// A way for so many jobs at a time, and so many bytes; and its other end.
    #[must_use]
    pub fn new(queue: usize, limit: usize) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, taken) = mpsc::channel(queue.max(1));
        let budget = Budget::new(limit);
        (Self { jobs, budget }, taken)
    }

    /// Jobs that wait, and the bytes of all replies that are held.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let waiting = self.jobs.max_capacity() - self.jobs.capacity();
        (waiting, self.budget.held())
    }

    /// A place in the queue, so that a reply is only kept where it can go.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.jobs.capacity() > 0
    }

    /// Hands a job over; `false`: it was dropped.
    #[must_use]
    pub fn send(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}

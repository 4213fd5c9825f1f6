//! The way from a request to the comparison beside it: bounded, and never waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::legs::{Asked, Raw};
use super::plan::{Lane, Leg};

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
    pub held: Held,
}

/// Where replies go to be compared.
#[derive(Clone, Debug)]
pub struct Aside {
    jobs: mpsc::Sender<Job>,
    bytes: Arc<AtomicUsize>,
    limit: usize,
}

/// Bytes of replies that are held; given back on drop.
#[derive(Debug)]
pub struct Held {
    bytes: Arc<AtomicUsize>,
    count: usize,
}

impl Aside {
    /// A way for so many jobs at a time, and so many bytes; and its other end.
    #[must_use]
    pub fn new(queue: usize, limit: usize) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, taken) = mpsc::channel(queue.max(1));
        let bytes = Arc::default();
        (Self { jobs, bytes, limit }, taken)
    }

    /// Room for a reply; `None`: too much is held already.
    #[must_use]
    pub fn room(&self, count: usize) -> Option<Held> {
        let held = Held {
            bytes: self.bytes.clone(),
            count,
        };
        // Counted first and looked at afterwards, as requests under way are.
        let before = self.bytes.fetch_add(count, Ordering::Relaxed);
        (before + count <= self.limit).then_some(held)
    }

    /// Jobs that wait, and the bytes of all replies that are held.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let waiting = self.jobs.max_capacity() - self.jobs.capacity();
        (waiting, self.bytes.load(Ordering::Relaxed))
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

impl Drop for Held {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_bytes_are_held_than_the_bound_and_they_come_free() {
        let (aside, _jobs) = Aside::new(1, 100);
        let first = aside.room(60).unwrap();
        assert!(aside.room(60).is_none());
        assert_eq!(aside.load(), (0, 60));
        drop(first);
        assert!(aside.room(60).is_some());
    }
}

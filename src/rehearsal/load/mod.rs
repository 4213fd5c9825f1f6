//! Real load: what the application asks for, at a fixed rate, each reply looked at.
//!
//! Open loop: a request is due at its time whether or not the ones before were answered, and its delay is counted from
//! then; a sidecar that stands still for a second is seen to have done so. A reply that is late, short, of another
//! status or another content than Delius gives has failed; nothing is tried again. Each request carries the mark that is
//! in force when it is sent, so that the far end can tell what was sent before a moment from what was sent after.

mod mix;
mod tally;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::Kept;

pub use mix::{Mix, MixError};
use tally::Tally;
pub use tally::{Failure, Figures};

/// Connections, each with its thread: as many requests can be under way at once.
const CALLERS: u32 = 16;
/// For a reply, from the moment when its request was due. The application itself waits for 30 seconds.
const LATE: Duration = Duration::from_secs(5);

/// Load that is running.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    mix: Mix,
    rate: u32,
    started: Instant,
    ends: AtomicBool,
    mark: AtomicU64,
    tally: Mutex<Tally>,
}

impl Load {
    /// Sends `rate` requests a second, under the mark 1.
    pub fn start(to: SocketAddr, mix: Mix, rate: u32) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            to,
            mix,
            rate: rate.max(1),
            started: Instant::now(),
            ends: AtomicBool::new(false),
            mark: AtomicU64::new(1),
            tally: Mutex::default(),
        });
        let mut load = Self {
            shared: shared.clone(),
            threads: Vec::new(),
        };
        for caller in 0..CALLERS {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("load-{caller}"));
            load.threads.push(thread.spawn(move || shared.call(caller))?);
        }
        Ok(load)
    }

    /// Requests that are sent from now on carry a new mark, which is returned.
    pub fn mark(&self) -> u64 {
        self.shared.mark.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How long it runs.
    #[must_use]
    pub fn runs_for(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Requests of this mark that failed so far.
    #[must_use]
    pub fn failed(&self, mark: u64) -> u64 {
        self.shared.tally().failed(mark)
    }

    /// Requests that were answered as they should be so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.tally().answered()
    }

    /// Ends when every request that was due is answered.
    #[must_use]
    pub fn finish(mut self) -> Figures {
        let ran = self.runs_for();
        self.end();
        self.shared.tally().figures(ran)
    }

    fn end(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic there was printed there
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One caller: every `CALLERS`th request, at its time.
    fn call(&self, caller: u32) {
        let mut connection = Kept::new(self.to, LATE);
        for number in (u64::from(caller)..).step_by(CALLERS as usize) {
            let due = self.started + Duration::from_secs(number) / self.rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
            let mark = self.mark.load(Ordering::SeqCst);
            let outcome = self.mix.ask(number, mark, &mut connection);
            let took = due.elapsed();
            let outcome = match outcome {
                Ok(()) if took > LATE => Err(format!("the reply came {} ms after its time", took.as_millis())),
                outcome => outcome,
            };
            self.tally()
                .count(mark, took, outcome.map_err(|what| self.mix.tell(number, &what)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::child::Stop;
    use super::super::delius::Data;
    use super::super::standin::{DeliusStandIn, Options, Running};
    use super::*;

    fn delius(change: impl FnOnce(&mut Options)) -> Running {
        let mut options = Options::new(Data::embedded().unwrap());
        change(&mut options);
        DeliusStandIn::start(options).unwrap()
    }

    #[track_caller]
    fn until(what: &str, mut done: impl FnMut() -> bool) {
        for _ in 0..2_000 {
            if done() {
                return;
            }
            Stop::default().wait(Duration::from_millis(10));
        }
        panic!("in vain: {what}");
    }

    #[test]
    fn every_request_is_answered_and_arrives_under_its_mark() {
        let delius = delius(|_| {});
        let mix = Mix::learn(delius.address()).unwrap();
        let load = Load::start(delius.address(), mix, 200).unwrap();
        until("a hundred requests", || load.answered() >= 100);
        let mark = load.mark();
        until("a hundred more", || load.answered() >= 200);
        assert_eq!((mark, load.failed(1), load.failed(2)), (2, 0, 0));
        let figures = load.finish();
        assert_eq!((figures.failed, figures.sent), (0, figures.answered));
        let tally = delius.tally();
        let of = |mark| tally[&(mark, String::new())];
        assert_eq!(of(1) + of(2), figures.sent);
        assert!(of(1) >= 100 && of(2) > 0, "{tally:?}");
    }

    #[test]
    fn what_delius_would_not_have_said_has_failed() {
        let (good, bad) = (
            delius(|_| {}),
            delius(|options| options.faults = vec!["500:1".parse().unwrap()]),
        );
        let load = Load::start(bad.address(), Mix::learn(good.address()).unwrap(), 500).unwrap();
        until("failures", || load.failed(1) >= 50);
        let figures = load.finish();
        assert_eq!((figures.answered, figures.failed), (0, figures.sent));
        assert!(
            figures.failures[0].what.contains("expected 200, found 500"),
            "{figures:?}"
        );
    }

    #[test]
    fn with_nobody_there_every_request_fails() {
        let good = delius(|_| {});
        let mix = Mix::learn(good.address()).unwrap();
        let nobody = good.address();
        good.stop();
        let load = Load::start(nobody, mix, 500).unwrap();
        until("failures", || load.failed(1) >= 20);
        assert_eq!(load.finish().answered, 0);
    }
}

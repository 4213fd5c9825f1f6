//! How a request gets to its upstream: on a kept connection, on one that it shares, or on one that it dials.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::worker::{Lender, Worker};
use crate::clock;
use crate::fault::{Code, Fault};
use crate::identity::{Generation, Standing};
use crate::transport::dial::DialError;
use crate::upstream::Target;
use crate::upstream::connection::{Connection, Dialled};
use crate::upstream::multiplex::Lease;

/// How a request gets to its upstream.
#[derive(Debug)]
pub(super) enum Way {
    /// HTTP/1.1, on a connection of its own.
    Own(Connection),
    /// HTTP/2, on a connection that others use as well.
    Shared(Lease),
}

/// A dial under way that others of its generation wait for: how it failed, or nothing when there is something to share.
pub(super) struct Dialling {
    generation: u64,
    outcome: watch::Receiver<Option<DialError>>,
}

/// A connection of the generation now in use: a kept one, or a new one. `asked_at`: when the request began; a kept
/// connection is judged by it.
pub(super) async fn connect(
    worker: &Worker,
    lender: &Lender,
    target: &Arc<Target>,
    fresh: bool,
    asked_at: Instant,
    deadline: Instant,
) -> Result<Way, DialError> {
    let generation = match &target.standing {
        Standing::Ready(generation) => generation,
        Standing::Absent(fault) => return Err(DialError::before_dialling(fault.clone())),
    };
    generation
        .check_dates(clock::unix_seconds())
        .map_err(DialError::before_dialling)?;
    if !fresh && let Some(kept) = lender.kept(target, &worker.spares, asked_at) {
        return Ok(Way::Own(kept));
    }
    // Also for a new attempt: an HTTP/2 connection that ended is known to have.
    if let Some(lease) = lender.shared(target) {
        return Ok(Way::Shared(lease));
    }
    match timeout_at(deadline, lender.dial(target, generation)).await {
        Ok(dialled) => dialled,
        Err(_) => Err(DialError::before_dialling(Fault::new(
            Code::UpstreamTimeout,
            format!(
                "the request's time was over before a connection to {} stood",
                target.peer
            ),
        ))),
    }
}

impl Lender {
    /// A place on an HTTP/2 connection of the generation now in use.
    pub(super) fn shared(&self, target: &Target) -> Option<Lease> {
        self.pool.borrow_mut().share(&target.pool, Instant::now())
    }

    /// Dials. Where HTTP/2 is offered, one request does, and others that need a connection wait: most likely they will
    /// share it. Its failure is theirs as well, so that they do not fail one after the other.
    ///
    /// # Errors
    /// [`DialError`]; nothing of a request has been sent.
    pub(super) async fn dial(&self, target: &Target, generation: &Arc<Generation>) -> Result<Way, DialError> {
        while generation.offers_http2 && !self.pool.borrow().declines_http2 {
            if let Some(lease) = self.shared(target) {
                return Ok(Way::Shared(lease));
            }
            let dialling = match &*self.dialling.borrow() {
                // What another certificate meets says nothing of this one.
                Some(dialling) if dialling.generation == generation.number => Some(dialling.outcome.clone()),
                _ => None,
            };
            let Some(mut outcome) = dialling else {
                return self.dial_for_all(target, generation).await;
            };
            // An error here: there is something to share, or the request that dialled was given up.
            let failed = outcome.changed().await.is_ok();
            if failed && let Some(error) = outcome.borrow().clone() {
                return Err(error);
            }
        }
        Ok(self.way(Connection::dial(target, generation).await?))
    }

    async fn dial_for_all(&self, target: &Target, generation: &Arc<Generation>) -> Result<Way, DialError> {
        let (tell, outcome) = watch::channel(None);
        *self.dialling.borrow_mut() = Some(Dialling {
            generation: generation.number,
            outcome,
        });
        // Also when this future is dropped on the way: nobody may wait for it then.
        let place = Leading(&self.dialling, generation.number);
        let dialled = Connection::dial(target, generation).await;
        drop(place);
        if let Err(error) = &dialled {
            let _ = tell.send(Some(error.clone()));
        }
        // The others wake up when `tell` is dropped, and find it kept.
        Ok(self.way(dialled?))
    }

    /// Remembers which protocol the server chose.
    fn way(&self, dialled: Dialled) -> Way {
        let mut pool = self.pool.borrow_mut();
        match dialled {
            Dialled::Own(connection) => {
                pool.declines_http2 = connection.generation.offers_http2;
                Way::Own(connection)
            }
            Dialled::Shared(connection) => {
                pool.declines_http2 = false;
                let lease = connection.lend();
                pool.keep(connection);
                Way::Shared(lease)
            }
        }
    }
}

/// The place of the request that dials for all.
struct Leading<'a>(&'a RefCell<Option<Dialling>>, u64);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().take_if(|dialling| dialling.generation == self.1);
    }
}

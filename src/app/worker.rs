//! The threads that serve: each with its own runtime and its own listening socket.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::fault::{Code, Fault};
use crate::gateway;
use crate::identity;
use crate::proxy::client::Client;
use crate::proxy::plan::Plan;
use crate::proxy::worker::Worker;
use crate::proxy::{self, Caller};
use crate::telemetry::exchange::Scribe;
use crate::telemetry::metrics::Metrics;
use crate::transport::listen::{Bound, Listener};
use crate::transport::stream::Stream;
use crate::transport::tls;
use crate::wire::head::Version;
use crate::wire::reply::{self, Manner};

/// After `accept` failed for want of file descriptors: time for some to come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Refusals of surplus connections that are written at a time; beyond, they are just closed.
const SURPLUS: usize = 64;

/// What the main thread tells the workers.
#[derive(Clone)]
pub struct Orders {
    pub plan: Arc<Plan>,
    /// Since when, and until when, to drain.
    pub drain: Option<Instant>,
}

/// How a caller's connection begins.
#[derive(Clone)]
pub enum Front {
    /// Plain HTTP from the same pod.
    Local,
    /// Mutual TLS, by the front of the plan that is in force when a connection is accepted.
    Gateway { handshake: Duration },
}

/// What a worker's thread is given.
pub struct Post {
    pub bound: Bound,
    pub front: Front,
    pub orders: watch::Receiver<Orders>,
    pub scribe: Scribe,
    pub metrics: Arc<Metrics>,
    /// Open connections of all workers.
    pub open: Arc<AtomicUsize>,
    pub seed: u64,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Drained,
    /// Requests were still under way at the deadline.
    Late,
}

/// Serves until drained.
///
/// # Errors
/// When the runtime or the listening socket cannot be set up.
pub fn work(post: Post) -> io::Result<Ended> {
    tls::warm_up();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let ended = runtime.block_on(serve(post));
    // Name resolution may still hold a thread; it must not hold the drain.
    runtime.shutdown_background();
    ended
}

async fn serve(post: Post) -> io::Result<Ended> {
    let Post {
        bound,
        front,
        mut orders,
        scribe,
        metrics,
        open,
        seed,
    } = post;
    let listener = bound.register()?;
    let first = orders.borrow_and_update().clone();
    let worker = Worker::new(first.plan, scribe, seed);
    tokio::task::spawn_local(worker.clone().housekeeping());
    // Told to drain before we looked for the first time: no change will say so again.
    let mut told = first.drain;
    let draining = loop {
        if let Some(deadline) = told {
            break deadline;
        }
        tokio::select! {
            accepted = listener.accept() => take(accepted, &worker, &front, &metrics, &open).await,
            changed = orders.changed() => {
                if changed.is_err() {
                    break Instant::now();
                }
                let latest = orders.borrow_and_update().clone();
                worker.adopt(latest.plan);
                told = latest.drain;
            }
        }
    };
    let ended = drain(&worker, &listener, &front, &metrics, &open, draining).await;
    worker.scribe.borrow_mut().flush();
    Ok(ended)
}

/// Goes on accepting until the application has left, or the deadline: the application may still be at work.
async fn drain(
    worker: &Rc<Worker>,
    listener: &Listener,
    front: &Front,
    metrics: &Arc<Metrics>,
    open: &Arc<AtomicUsize>,
    deadline: Instant,
) -> Ended {
    worker.drain();
    let quiet = worker.world().plan.drain_quiet;
    let mut quiet_since = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                quiet_since = Instant::now();
                take(accepted, worker, front, metrics, open).await;
            }
            _ = tick.tick() => {
                let now = Instant::now();
                if worker.open() > 0 {
                    quiet_since = now;
                } else if now.duration_since(quiet_since) >= quiet {
                    return Ended::Drained;
                }
                if now >= deadline {
                    return if worker.busy() == 0 { Ended::Drained } else { Ended::Late };
                }
            }
        }
    }
}

async fn take(
    accepted: io::Result<Stream>,
    worker: &Rc<Worker>,
    front: &Front,
    metrics: &Arc<Metrics>,
    open: &Arc<AtomicUsize>,
) {
    let stream = match accepted {
        Ok(stream) => stream,
        Err(error) if is_passing(&error) => return,
        Err(error) => {
            if worker.may_warn() {
                tracing::warn!(%error, "accepting a connection failed; raise the limit of open files if this goes on");
            }
            tokio::time::sleep(ACCEPT_PAUSE).await;
            return;
        }
    };
    let limit = worker.world().plan.limits.connections;
    let place = Place::new(open, metrics);
    let worker = worker.clone();
    if place.number > limit {
        if place.number <= limit + SURPLUS {
            tokio::task::spawn_local(turn_away(worker, stream, place, limit));
        }
        return;
    }
    match front {
        Front::Local => {
            tokio::task::spawn_local(async move {
                proxy::serve(worker, stream, Caller::Local).await;
                drop(place);
            });
        }
        Front::Gateway { handshake } => {
            let (front, patience) = (worker.world().plan.front.clone(), *handshake);
            tokio::task::spawn_local(async move {
                let Some(front) = front else {
                    place.metrics.front_handshake_refused("no_identity");
                    return;
                };
                if let Some((stream, caller)) = greet(stream, front, patience, &place.metrics).await {
                    proxy::serve(worker, stream, caller).await;
                }
                drop(place);
            });
        }
    }
}

/// The gateway's handshake; a refusal is counted and said to the operator, the peer gets TLS' own alert.
async fn greet(
    stream: Stream,
    front: Arc<identity::Front>,
    patience: Duration,
    metrics: &Metrics,
) -> Option<(Stream, Caller)> {
    let Stream::Tcp(tcp) = stream else { return None };
    let acceptor = TlsAcceptor::from(front.config.clone());
    match timeout(patience, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => {
            let caller = gateway::caller(tls.get_ref().1, &front)?;
            Some((Stream::TlsServer(Box::new(tls)), caller))
        }
        Ok(Err(error)) => {
            let reason = gateway::refusal(&error);
            metrics.front_handshake_refused(reason);
            tracing::info!(reason, %error, "refused a TLS handshake");
            None
        }
        Err(_) => {
            metrics.front_handshake_refused("timeout");
            tracing::info!(reason = "timeout", "a peer did not finish its TLS handshake in time");
            None
        }
    }
}

/// Tells a surplus connection so, whatever it asks.
async fn turn_away(worker: Rc<Worker>, stream: Stream, place: Place, limit: usize) {
    if matches!(stream, Stream::Tcp(_) | Stream::Unix(_)) {
        let sentence = format!("{limit} connections are open, the limit");
        let fault = Fault::new(Code::Overloaded, sentence).retry_after(1);
        place.metrics.refused_connection();
        let mut client = Client::new(stream, Duration::from_secs(1));
        reply::write_fault(
            &mut client.out,
            &fault,
            b"",
            Manner {
                version: Version::Http11,
                keep_alive: false,
                to_head: false,
            },
        );
        if client.send(Duration::from_secs(1)).await {
            client.linger(&worker.spares).await;
        }
    }
    drop(place);
}

/// A connection's place in the count of open ones.
struct Place {
    open: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    number: usize,
}

impl Place {
    fn new(open: &Arc<AtomicUsize>, metrics: &Arc<Metrics>) -> Self {
        let number = open.fetch_add(1, Ordering::Relaxed) + 1;
        metrics.client_connected();
        Self {
            open: open.clone(),
            metrics: metrics.clone(),
            number,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.metrics.client_left();
    }
}

/// The peer gave up before it was accepted: its affair.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

//! A stand-in on the network: HTTP/1.1, plain or with TLS, on its own thread, so that any caller can use it.
//!
//! What it answers is its [`Side`]; faults, the record of what was seen and the levers (paths below `/stand-in/` by which
//! a test or an operator makes a running stand-in misbehave) are the same for all of them. A claim about the way ("the
//! app's token does not arrive") is checked at the far end of it, in the record.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::server::WebPkiClientVerifier;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::faults::{Dice, HEADER, Misbehaviour, Rule};
use super::levers;
use super::message::{Ask, Reply};
use super::record::{Record, Seen, Tally};
use super::sabotage::{GARBAGE, RESET, ReplyBody, Sabotage, Wire, respond};
use crate::cert::load::Bundle;
use crate::clock;
use crate::config::settings::TlsVersion;
use crate::transport::stream::Stream;
use crate::transport::tls;

const BODY_LIMIT: usize = 1 << 20;
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a stand-in answers.
pub trait Side: fmt::Debug + Send + Sync + 'static {
    fn answer(&self, ask: &Ask<'_>) -> Reply;

    /// Whether faults by share befall this path: the API, never the probes.
    fn is_api(&self, path: &str) -> bool;

    /// How this side says 401 to one whose credentials it does not take, and 403 to one who may not.
    fn refusal(&self, status: u16, path: &str) -> Reply;

    /// A lever of this side only; `path` is what follows `/stand-in`.
    fn lever(&self, _ask: &Ask<'_>, _path: &str) -> Option<Reply> {
        None
    }

    /// Whether an answer may wait for another server: then it gets a thread of its own.
    fn waits(&self) -> bool {
        false
    }
}

/// How any stand-in is started.
#[derive(Debug)]
pub(super) struct Terms {
    /// The thread's name.
    pub(super) name: &'static str,
    pub(super) listen: SocketAddr,
    /// HTTPS with this certificate; plain HTTP without.
    pub(super) certificate: Option<Bundle>,
    pub(super) faults: Vec<Rule>,
    pub(super) seed: u64,
}

/// Binds and serves what `side` makes (it is told its own URL) until the answer is stopped or dropped.
pub(super) fn start<S: Side>(terms: Terms, side: impl FnOnce(&str) -> io::Result<S>) -> io::Result<Running<S>> {
    let acceptor = terms.certificate.as_ref().map(acceptor).transpose()?;
    let listener = TcpListener::bind(terms.listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    let side = Arc::new(side(&url)?);
    let world = Arc::new(World {
        side: Arc::<S>::clone(&side),
        rules: Mutex::new(terms.faults),
        dice: Mutex::new(Dice::new(terms.seed)),
        record: Mutex::new(Record::default()),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel();
    let served = Arc::clone(&world);
    let thread = std::thread::Builder::new().name(terms.name.to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = accept(listener, acceptor, served) => {}
                _ = stopped => {}
            }
        });
        runtime.shutdown_background(); // an answer that waits for another server must not hold up the end
    })?;
    Ok(Running {
        address,
        url,
        side,
        world,
        stop: Some(stop),
        thread: Some(thread),
    })
}

fn acceptor(bundle: &Bundle) -> io::Result<TlsAcceptor> {
    let config = tls::server_config(bundle, WebPkiClientVerifier::no_client_auth(), TlsVersion::V1_2);
    Ok(TlsAcceptor::from(Arc::new(config.map_err(io::Error::other)?)))
}

/// A stand-in that serves. Dropping it stops it, connections included.
#[derive(Debug)]
pub struct Running<S> {
    address: SocketAddr,
    url: String,
    pub(super) side: Arc<S>,
    world: Arc<World>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<S> Running<S> {
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Scheme, address and port.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The latest requests, oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.world.record().latest()
    }

    /// How many requests there were in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.world.record().count()
    }

    /// How many marked requests came with which client certificate.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.world.record().tally()
    }

    /// How many requests there were of this method for this path, its query left out and a person in any letter case.
    #[must_use]
    pub fn requests(&self, method: &str, path: &str) -> u64 {
        self.world.record().requests(method, path)
    }

    /// From now on these faults and no others befall their shares of all requests.
    pub fn misbehave(&self, rules: Vec<Rule>) {
        *self.world.rules() = rules;
    }

    /// Stops serving and waits until the port is free.
    pub fn stop(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was printed there
        }
    }
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        self.finish();
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) side: Arc<dyn Side>,
    rules: Mutex<Vec<Rule>>,
    dice: Mutex<Dice>,
    record: Mutex<Record>,
}

impl World {
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this request is to suffer: its own header first.
    fn misbehaviours(&self, request: &Request<Incoming>) -> Result<Vec<Misbehaviour>, Reply> {
        if let Some(asked) = request.headers().get(HEADER) {
            let asked = String::from_utf8_lossy(asked.as_bytes());
            return Misbehaviour::from_header(&asked).map_err(|error| Reply::fault_unreadable(&error));
        }
        if !self.side.is_api(request.uri().path()) {
            return Ok(Vec::new());
        }
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(dice.draw(&self.rules()))
    }

    async fn answer(&self, request: Request<Incoming>, sabotage: &Sabotage) -> Response<ReplyBody> {
        let lever = levers::is_one(request.uri().path());
        let mut misbehaviours = Vec::new();
        if !lever {
            self.record().remember(&request);
            match self.misbehaviours(&request) {
                Ok(drawn) => misbehaviours = drawn,
                Err(reply) => return respond(reply, false),
            }
        }
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
            return respond(Reply::unhandled(413, &path), false);
        };
        let mut truncate = false;
        for misbehaviour in misbehaviours {
            let reply = match misbehaviour {
                Misbehaviour::Slow(by) => {
                    tokio::time::sleep(by).await;
                    continue;
                }
                Misbehaviour::Truncate => {
                    truncate = true;
                    continue;
                }
                Misbehaviour::Hang => std::future::pending().await,
                Misbehaviour::InternalError => Reply::unhandled(500, &path),
                Misbehaviour::BadGateway => Reply::bad_gateway(),
                Misbehaviour::Unavailable => Reply::unavailable(),
                Misbehaviour::Unauthorised => self.side.refusal(401, &path),
                Misbehaviour::Forbidden => self.side.refusal(403, &path),
                Misbehaviour::WrongJson => Reply::wrong_json(),
                Misbehaviour::Html => Reply::page(),
                Misbehaviour::Reset => {
                    sabotage.order(RESET);
                    Reply::bad_gateway() // never leaves: the wire is cut
                }
                Misbehaviour::Garbage => {
                    sabotage.order(GARBAGE);
                    Reply::bad_gateway() // replaced on the wire
                }
            };
            return respond(reply, false);
        }
        let body = body.to_bytes();
        let asked = move |answer: &dyn Fn(&Ask<'_>) -> Reply| {
            answer(&Ask {
                method: &head.method,
                path: &path,
                query: head.uri.query(),
                headers: &head.headers,
                body: &body,
                now: clock::unix_seconds(),
            })
        };
        let reply = if lever {
            asked(&|ask| levers::pull(self, ask))
        } else if self.side.waits() {
            let side = Arc::clone(&self.side);
            let answered = tokio::task::spawn_blocking(move || asked(&|ask| side.answer(ask))).await;
            answered.unwrap_or_else(|_| Reply::empty(500)) // a panic there was printed there
        } else {
            asked(&|ask| self.side.answer(ask))
        };
        respond(reply, truncate)
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, world: Arc<World>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let connections end first.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true); // a stream that died already shows itself at the first read
        tokio::spawn(converse(stream, acceptor.clone(), Arc::clone(&world)));
    }
}

/// One connection, to its end.
async fn converse(stream: tokio::net::TcpStream, acceptor: Option<TlsAcceptor>, world: Arc<World>) {
    let stream = match acceptor {
        None => Stream::Tcp(stream),
        // A caller who does not trust us, or is none of TLS, is the caller's to notice.
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Stream::TlsServer(Box::new(stream)),
            _ => return,
        },
    };
    let sabotage = Sabotage::default();
    let wire = Wire {
        stream,
        sabotage: sabotage.clone(),
    };
    let service = service_fn(|request| {
        let (world, sabotage) = (Arc::clone(&world), sabotage.clone());
        async move { Ok::<_, Infallible>(world.answer(request, &sabotage).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(wire), service);
    let _ = connection.await; // a broken connection is the caller's to notice
}

#[cfg(test)]
mod tests;

//! An HTTP/2 connection to an upstream (RFC 9113), shared by the requests of one worker and of one generation.
//!
//! The pool holds it, and each request under way a [`Lease`]. Letting go of it in the pool is how it ends: no new
//! stream begins, those in flight finish, then it is closed. A task drives it and asks now and then whether the other
//! side still answers. Memory is bounded by the windows below: what a caller does not take is not asked for.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Target;
use super::connection::named;
use crate::config::settings::Pool as Settings;
use crate::fault::{Code, Fault};
use crate::identity::Generation;
use crate::telemetry::metrics::ConnectionCount;
use crate::transport::dial::DialError;
use crate::transport::stream::Stream;
use crate::transport::tls;

/// What may arrive for one request before its caller has taken it.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same for all requests of a connection. Callers that take nothing must not hold up the others, so it is many
/// times the window of one.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// What of one request's content may wait here to be sent.
const SEND_BUFFER: usize = 64 * 1024;
/// Bytes of a reply's head, by the measure of RFC 9113 section 6.5.2.
const HEAD_LIMIT: u32 = 64 * 1024;
/// How often the other side is asked whether it is there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(15);

/// A connection as the pool holds it.
#[derive(Debug)]
pub struct Multiplexed {
    send: SendRequest<Bytes>,
    state: Rc<State>,
}

/// A place on a connection for one request.
#[derive(Debug)]
pub struct Lease {
    send: SendRequest<Bytes>,
    state: Rc<State>,
    /// The connection has carried a request before.
    pub reused: bool,
}

#[derive(Debug)]
struct State {
    generation: Arc<Generation>,
    peer: Arc<str>,
    born: Instant,
    idle_since: Cell<Instant>,
    leases: Cell<usize>,
    used: Cell<bool>,
    /// A reply has come: the other side accepts the handshake.
    answered: Cell<bool>,
    /// Nothing more can come of it.
    closed: Cell<bool>,
    /// What went wrong below HTTP/2, whose errors no longer say it.
    cause: RefCell<Option<Fault>>,
    count: RefCell<ConnectionCount>,
}

impl Multiplexed {
    /// Begins HTTP/2 on a stream whose handshake agreed on it.
    ///
    /// # Errors
    /// When the stream breaks meanwhile; nothing of a request has been sent.
    pub async fn start(stream: Stream, target: &Target, generation: &Arc<Generation>) -> Result<Self, DialError> {
        let now = Instant::now();
        let state = Rc::new(State {
            generation: generation.clone(),
            peer: target.peer.clone(),
            born: now,
            idle_since: Cell::new(now),
            leases: Cell::new(0),
            used: Cell::new(false),
            answered: Cell::new(false),
            closed: Cell::new(false),
            cause: RefCell::new(None),
            count: RefCell::new(target.meter.connection(generation.number)),
        });
        let tap = Tap {
            stream,
            state: state.clone(),
        };
        let begun = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(HEAD_LIMIT)
            .handshake(tap)
            .await;
        match begun {
            Ok((send, connection)) => {
                tokio::task::spawn_local(drive(connection, state.clone()));
                Ok(Self { send, state })
            }
            Err(error) => {
                let sentence = || format!("{} closed the connection before HTTP/2 began ({error})", state.peer);
                let cause = state.cause.borrow_mut().take();
                let fault = cause.unwrap_or_else(|| Fault::new(Code::UpstreamReset, sentence()));
                Err(DialError::before_dialling(fault))
            }
        }
    }

    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.state.generation
    }

    /// No request is under way on it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state.leases.get() == 0
    }

    /// The other side lets another request begin at once.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.state.leases.get() < self.send.current_max_send_streams()
    }

    /// It stands, the other side did not announce its end, and it is neither old nor idle for too long.
    pub fn is_good(&mut self, settings: &Settings, now: Instant) -> bool {
        // Nobody is to be woken: this handle never waits to send.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let ended = self.state.closed.get() || matches!(self.send.poll_ready(&mut cx), Poll::Ready(Err(_)));
        let idle_too_long = self.is_idle() && now >= self.state.idle_since.get() + settings.idle_time;
        let too_old = now >= self.state.born + settings.max_age;
        !(ended || idle_too_long || too_old)
    }

    /// A place for one request.
    #[must_use]
    pub fn lend(&self) -> Lease {
        self.state.leases.set(self.state.leases.get() + 1);
        self.state.count.borrow_mut().active();
        Lease {
            send: self.send.clone(),
            state: self.state.clone(),
            reused: self.state.used.replace(true),
        }
    }
}

impl Lease {
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.state.generation
    }

    /// `host:port`, for sentences.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.state.peer
    }

    /// A reply of the connection has come, to whichever request.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.state.answered.get()
    }

    /// The reply to this request comes.
    pub fn answered(&self) {
        self.state.answered.set(true);
    }

    /// Sends a request's head; `end` says that there is no content.
    ///
    /// # Errors
    /// Those of the connection; then nothing was sent.
    pub fn begin(
        &mut self,
        request: http::Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.send.send_request(request, end)
    }

    /// Why the whole connection ended, if it did and that is known.
    #[must_use]
    pub fn cause(&self) -> Option<Fault> {
        self.state.cause.borrow().clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let left = self.state.leases.get().saturating_sub(1);
        self.state.leases.set(left);
        if left == 0 {
            self.state.idle_since.set(Instant::now());
            self.state.count.borrow_mut().idle();
        }
    }
}

/// Moves the connection's frames until it ends.
async fn drive(mut connection: h2::client::Connection<Tap, Bytes>, state: Rc<State>) {
    let mut pings = connection.ping_pong();
    let mut asked = false;
    let mut tick = interval_at(Instant::now() + PING, PING);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let pong = std::future::poll_fn(|cx| match &mut pings {
            Some(pings) if asked => pings.poll_pong(cx).map(|pong| pong.is_ok()),
            _ => Poll::Pending,
        });
        tokio::select! {
            // In this order: an answer that is here in time counts, however late we look.
            biased;
            _ = &mut connection => break,
            answered = pong => {
                if !answered {
                    break;
                }
                asked = false;
            }
            _ = tick.tick() => {
                if asked {
                    let sentence = format!("{} does not answer a ping within {PING:?}", state.peer);
                    state.blame(Fault::new(Code::UpstreamReset, sentence));
                    break;
                }
                asked = pings.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok());
            }
        }
    }
    state.closed.set(true);
}

impl State {
    /// The first thing that went wrong is the cause of the others.
    fn blame(&self, fault: Fault) {
        self.cause.borrow_mut().get_or_insert(fault);
    }
}

/// The stream below, with an eye on what breaks it: a refusal of our certificate is an error of the TLS stream, and
/// HTTP/2 passes on only its text.
#[derive(Debug)]
struct Tap {
    stream: Stream,
    state: Rc<State>,
}

impl Tap {
    fn failed(&self, error: &io::Error) {
        let when = "while HTTP/2 requests were under way";
        let fault = tls::judge(error, when, &self.state.peer).1;
        self.state.blame(named(fault, &self.state.generation));
    }

    /// A failed write often means that the other side said why before it left; reading tells.
    fn write_failed(&mut self, cx: &mut Context<'_>, error: &io::Error) {
        let mut memory = [0; 1024];
        for _ in 0..64 {
            let mut unread = ReadBuf::new(&mut memory);
            match Pin::new(&mut self.stream).poll_read(cx, &mut unread) {
                Poll::Ready(Ok(())) if !unread.filled().is_empty() => {}
                Poll::Ready(Err(said)) => return self.failed(&said),
                Poll::Ready(Ok(())) | Poll::Pending => break,
            }
        }
        self.failed(error);
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let read = ready!(Pin::new(&mut tap.stream).poll_read(cx, buf));
        if let Err(error) = &read {
            tap.failed(error);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        let written = ready!(Pin::new(&mut tap.stream).poll_write(cx, buf));
        if let Err(error) = &written {
            tap.write_failed(cx, error);
        }
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        let written = ready!(Pin::new(&mut tap.stream).poll_write_vectored(cx, bufs));
        if let Err(error) = &written {
            tap.write_failed(cx, error);
        }
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let flushed = ready!(Pin::new(&mut tap.stream).poll_flush(cx));
        if let Err(error) = &flushed {
            tap.write_failed(cx, error);
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

//! One connection to an upstream: it belongs to a generation, carries one request at a time, and says whether it may
//! carry another.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::Target;
use super::multiplex::Multiplexed;
use crate::fault::{Code, Fault};
use crate::identity::Generation;
use crate::telemetry::metrics::ConnectionCount;
use crate::transport::buffer::{Buffer, Size, Spares};
use crate::transport::dial::{self, DialError};
use crate::transport::stream::Stream;
use crate::transport::tls;

/// A connection on which the handshake is done.
#[derive(Debug)]
pub struct Connection {
    pub stream: Stream,
    /// What was read and not yet understood; empty between requests, else the connection is not used again.
    pub buffer: Buffer,
    pub generation: Arc<Generation>,
    /// `host:port`, for sentences.
    pub peer: Arc<str>,
    /// It has carried a request before: a failure before any reply byte may be the other side's idle timeout.
    pub reused: bool,
    pub born: Instant,
    pub idle_since: Instant,
    count: ConnectionCount,
}

/// What a dial came to: the server chooses the protocol.
#[derive(Debug)]
pub enum Dialled {
    /// HTTP/1.1: the connection is one request's until that is done.
    Own(Connection),
    /// HTTP/2: requests share it.
    Shared(Multiplexed),
}

impl Connection {
    /// Dials the target with the given generation and counts what comes of it.
    ///
    /// # Errors
    /// [`DialError`]; nothing of a request has been sent.
    pub async fn dial(target: &Target, generation: &Arc<Generation>) -> Result<Dialled, DialError> {
        let mut dialled = dial::dial(&target.endpoint, generation.client_config.as_ref()).await;
        if let Err(error) = &mut dialled {
            error.fault = named(error.fault.clone(), generation);
        }
        match &dialled {
            Ok((_, secured)) => {
                target.meter.dialled(Ok(()));
                if let Some(secured) = secured {
                    target.meter.handshake(secured.version, secured.resumed);
                }
            }
            Err(error) => {
                target.meter.dialled(Err(error.fault.code));
                if let Some(failure) = error.handshake {
                    // The other side may have changed its CA, as new trust that waits for its trial knows.
                    if matches!(failure, tls::Failure::UnknownIssuer) {
                        generation.doubt();
                    }
                    target.meter.handshake_failed(failure.as_str());
                }
            }
        }
        let (stream, secured) = dialled?;
        if let Stream::TlsClient(session) = &stream
            && let Some(chain) = session.agreed().peer_certificates()
        {
            generation.saw(chain);
        }
        if secured.is_some_and(|secured| secured.http2) {
            return Ok(Dialled::Shared(Multiplexed::start(stream, target, generation).await?));
        }
        let now = Instant::now();
        Ok(Dialled::Own(Self {
            stream,
            buffer: Buffer::new(Size::Large),
            generation: generation.clone(),
            peer: target.peer.clone(),
            reused: false,
            born: now,
            idle_since: now,
            count: target.meter.connection(generation.number),
        }))
    }

    /// Takes the connection into use.
    pub fn begin(&mut self, spares: &Spares) {
        self.buffer.borrow(spares);
        self.count.active();
    }

    /// Lays the connection aside; `false` when bytes are left in it that nobody asked for.
    #[must_use]
    pub fn rest(&mut self, spares: &Spares, now: Instant) -> bool {
        let clean = self.is_clean();
        self.buffer.give_back(spares);
        self.reused = true;
        self.idle_since = now;
        self.count.idle();
        clean
    }

    /// Nothing was read, here or inside the TLS session, that nobody asked for: what lies there would become the
    /// beginning of the next reply.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let session_clean = match &self.stream {
            Stream::TlsClient(session) => session.is_clean(),
            _ => true,
        };
        self.buffer.is_empty() && session_clean
    }

    /// The fault that an error of this connection's stream means.
    #[must_use]
    pub fn judge(&self, error: &std::io::Error, when: &str) -> Fault {
        named(tls::judge(error, when, &self.peer).1, &self.generation)
    }

    /// Closes the connection.
    pub fn discard(mut self, spares: &Spares) {
        self.buffer.consume(usize::MAX);
        self.buffer.give_back(spares);
    }

    /// Whether an idle connection is still good: not closed, and nothing unasked has arrived. Costs no system call
    /// unless the runtime has seen something to read.
    pub fn is_alive(&mut self, spares: &Spares) -> bool {
        // Nobody is to be woken: the next use registers its own waker.
        let mut cx = Context::from_waker(Waker::noop());
        let tcp = match &self.stream {
            Stream::TlsClient(session) => session.tcp().poll_read_ready(&mut cx),
            other => other.poll_readable(&mut cx),
        };
        if tcp.is_pending() {
            return self.is_clean();
        }
        // Session tickets and key updates are not ours to see; anything else ends the connection.
        self.buffer.borrow(spares);
        let quiet = matches!(self.buffer.poll_fill(&mut cx, &mut self.stream), Poll::Pending);
        self.buffer.give_back(spares);
        quiet && self.is_clean()
    }
}

/// A refusal of our certificate is something else where we showed none; else whoever looks after the identity hears of
/// it.
pub(super) fn named(fault: Fault, generation: &Generation) -> Fault {
    if generation.identity.is_some() && matches!(fault.code, Code::IdentityRejected | Code::IdentityExpired) {
        generation.refused();
    }
    if fault.code == Code::IdentityRejected && generation.identity.is_none() {
        let sentence = format!("{} (no identity is configured for this upstream)", fault.detail);
        return Fault::new(Code::IdentityMissing, sentence);
    }
    fault
}

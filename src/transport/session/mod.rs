//! The client's side of TLS over TCP, by rustls' unbuffered interface.
//!
//! The buffered interface reads 4 KiB of ciphertext at a time, keeps a buffer for each connection and copies twice; a
//! reply of 1 MB costs it 300 reads. Here ciphertext is read into memory that all sessions of a thread share, as much
//! as the reader has room for, and what is encrypted leaves from there as well. A session keeps bytes of its own only
//! while a record is incomplete, its reader has no room, or the socket takes no more: an idle one holds none.
//!
//! Invariants: the shared memory is never held across a wait; ciphertext leaves in the order in which it was made
//! (RFC 8446 section 5.3: records are numbered); the end of the TCP stream without a `close_notify` is an error
//! (section 6.1), so that a reply cut short is not taken for a whole one.

mod records;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use records::Step;

/// Ciphertext read at a time at most, and so the memory for it; also the largest handshake message (a chain of
/// certificates) fits.
const ARRIVING: usize = 128 * 1024;
/// Payload encrypted at a time at most.
const PIECE: usize = 64 * 1024;
/// What a record needs beyond its payload, and some more records around it.
const OVERHEAD: usize = 1024;
/// A record at its largest (RFC 5246 section 6.2.3, the larger of the two versions).
const RECORD: usize = 16 * 1024 + 2048 + 5;

thread_local! {
    static ARRIVAL: RefCell<Vec<u8>> = RefCell::new(vec![0; ARRIVING]);
    static DEPARTURE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE + OVERHEAD]);
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A TLS session as its client, and its socket.
pub struct Session {
    tcp: TcpStream,
    tls: UnbufferedClientConnection,
    /// Ciphertext of which nothing can be made yet.
    arrived: Vec<u8>,
    /// Payload for which the reader had no room.
    opened: Vec<u8>,
    /// Ciphertext that the socket has not taken yet.
    leaving: Vec<u8>,
    /// rustls holds payload for which the reader had no room.
    holds: bool,
    /// The other side has said goodbye.
    closed: bool,
    /// We have.
    said_goodbye: bool,
    /// rustls gave up; it may not be asked again.
    failed: Option<Error>,
}

impl Session {
    /// Shakes hands.
    ///
    /// # Errors
    /// Those of the socket, and rustls' wrapped in [`io::ErrorKind::InvalidData`].
    pub async fn connect(tcp: TcpStream, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let mut session = Self {
            tcp,
            tls: UnbufferedClientConnection::new(config, name).map_err(invalid)?,
            arrived: Vec::new(),
            opened: Vec::new(),
            leaving: Vec::new(),
            holds: false,
            closed: false,
            said_goodbye: false,
            failed: None,
        };
        std::future::poll_fn(|cx| session.poll_handshake(cx)).await?;
        Ok(session)
    }

    /// What was agreed on with whom.
    #[must_use]
    pub fn agreed(&self) -> &CommonState {
        &self.tls
    }

    /// The socket.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Nothing went wrong, and no byte lies here that the reader has not seen, not even a part of a record.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let holds_nothing = self.arrived.is_empty() && self.opened.is_empty() && !self.holds;
        holds_nothing && !self.closed && self.failed.is_none()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut none = ReadBuf::new(&mut []);
            match self.process_kept(&mut none) {
                Err(error) => return Poll::Ready(Err(error)),
                // Our last flight leaves before anybody believes in the session.
                Ok(Step::Open) => return self.poll_leave(cx),
                Ok(_) if self.closed => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => ready!(self.poll_leave(cx))?,
            }
            ready!(self.poll_arrive(cx, &mut none))?;
        }
    }

    /// Reads from the socket once and makes of it what can be made: payload goes `into` the reader's room.
    fn poll_arrive(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ARRIVAL.with_borrow_mut(|arrival| {
            let kept = self.arrived.len();
            let limit = (kept + into.remaining() + RECORD).min(arrival.len());
            if kept >= limit {
                return Poll::Ready(Err(invalid(Error::General(String::from(
                    "a message of the handshake is too large",
                )))));
            }
            let mut room = ReadBuf::new(&mut arrival[kept..limit]);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut room))?;
            let count = room.filled().len();
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            arrival[..kept].copy_from_slice(&self.arrived);
            self.arrived.clear();
            let bytes = &mut arrival[..kept + count];
            let (used, step) = self.process(bytes, into);
            if used < bytes.len() {
                self.arrived.extend_from_slice(&bytes[used..]);
            } else {
                // An idle session holds no memory for it.
                self.arrived = Vec::new();
            }
            Poll::Ready(self.outcome(step).map(drop))
        })
    }

    /// Payload, as much as there is room for and at hand; none at the end.
    fn poll_payload(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.opened.is_empty() {
            let count = self.opened.len().min(room.remaining());
            room.put_slice(&self.opened[..count]);
            self.opened.drain(..count);
            if self.opened.is_empty() {
                self.opened = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        if self.holds || self.failed.is_some() || !self.arrived.is_empty() {
            self.process_kept(room)?;
        }
        while room.filled().is_empty() && !self.closed {
            let arrived = self.poll_arrive(cx, room);
            // What rustls has to say to what it read (that there is no renegotiation, RFC 5746) is sent at once: the other
            // side may wait for it while we wait for its next byte. A new key of ours comes with the next payload.
            if !self.leaving.is_empty()
                && let Poll::Ready(Err(error)) = self.poll_leave(cx)
            {
                return Poll::Ready(Err(error));
            }
            ready!(arrived)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is waiting to leave.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.leaving.is_empty() {
            let count = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.leaving))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.leaving.drain(..count);
        }
        // An idle session holds no memory for it.
        self.leaving = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Brings the session to where payload can be sent; what is read on the way is kept.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut none = ReadBuf::new(&mut []);
        match self.process_kept(&mut none)? {
            Step::Open if self.leaving.is_empty() => Poll::Ready(Ok(())),
            _ => self.poll_leave(cx),
        }
    }
}

impl AsyncRead for Session {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Room of its own: what the reader's holds already has nothing to do with this read.
        let mut room = ReadBuf::new(into.initialize_unfilled());
        if room.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let read = this.poll_payload(cx, &mut room);
        let count = room.filled().len();
        into.advance(count);
        // An error comes again; payload that came before it does not.
        if count > 0 { Poll::Ready(Ok(())) } else { read }
    }
}

impl AsyncWrite for Session {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, payload: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if payload.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_leave(cx))?;
        ready!(this.poll_open(cx))?;
        let payload = &payload[..payload.len().min(PIECE)];
        DEPARTURE.with_borrow_mut(|departure| {
            let UnbufferedStatus { state, .. } = this.tls.process_tls_records(&mut this.arrived);
            let Ok(ConnectionState::WriteTraffic(mut traffic)) = state else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            let count = loop {
                match traffic.encrypt(payload, departure) {
                    Ok(count) => break count,
                    Err(EncryptError::InsufficientSize(wanted)) => departure.resize(wanted.required_size, 0),
                    Err(error @ EncryptError::EncryptExhausted) => return Poll::Ready(Err(io::Error::other(error))),
                }
            };
            let sent = match Pin::new(&mut this.tcp).poll_write(cx, &departure[..count]) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            this.leaving.extend_from_slice(&departure[sent..count]);
            Poll::Ready(Ok(payload.len()))
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Small pieces in one record.
        GATHERED.with_borrow_mut(|gathered| {
            gathered.clear();
            for slice in slices {
                let count = slice.len().min(PIECE - gathered.len());
                gathered.extend_from_slice(&slice[..count]);
            }
            self.poll_write(cx, gathered)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_leave(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said_goodbye {
            ready!(this.poll_open(cx))?;
            this.said_goodbye = true;
            if let Ok(ConnectionState::WriteTraffic(mut traffic)) =
                this.tls.process_tls_records(&mut this.arrived).state
            {
                let mut goodbye = [0; OVERHEAD];
                if let Ok(count) = traffic.queue_close_notify(&mut goodbye) {
                    this.leaving.extend_from_slice(&goodbye[..count]);
                }
            }
        }
        ready!(this.poll_leave(cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;

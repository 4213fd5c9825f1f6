//! One type for every byte stream that the proxy reads and writes.
//!
//! An enum and not a trait object or a type parameter: a predictable branch per call, no allocation, and the request
//! pipeline is compiled once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server;

use super::memory::Memory;
use super::session::Session;

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// We are the TLS client: the mutual-TLS leg.
    TlsClient(Box<Session>),
    /// We are the TLS server: the gateway's front.
    TlsServer(Box<server::TlsStream<TcpStream>>),
    /// The other end is in this process.
    Memory(Memory),
}

impl Stream {
    /// Waits until there is something to read (or the other side closed), without a buffer to read it into. Where that
    /// cannot be told (TLS may hold decrypted bytes), answers at once: the caller's read will then wait.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx),
            Self::Unix(unix) => unix.poll_read_ready(cx),
            Self::TlsClient(_) | Self::TlsServer(_) => Poll::Ready(Ok(())),
            Self::Memory(_) => Poll::Pending,
        }
    }

    /// Makes the coming close a reset, so that a reply that was cut short cannot be taken for a complete one.
    pub fn reset_on_close(&self) {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::TlsClient(session) => session.tcp(),
            Self::TlsServer(tls) => tls.get_ref().0,
            Self::Unix(_) | Self::Memory(_) => return,
        };
        let _ = socket2::SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO));
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Self::TlsClient(s) => Pin::new(s).poll_read(cx, buf),
            Self::TlsServer(s) => match Pin::new(&mut *s).poll_read(cx, buf) {
                Poll::Pending if s.get_ref().1.wants_write() => answer(Pin::new(s), cx),
                ready => ready,
            },
            Self::Memory(_) => Poll::Pending,
        }
    }
}

/// What the session has to say to what it read (that there is no renegotiation, RFC 5746) is sent at once: the other side
/// may wait for it while we wait for its next byte.
fn answer(stream: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    match stream.poll_flush(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        _ => Poll::Pending,
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
            Self::TlsClient(s) => Pin::new(s).poll_write(cx, buf),
            Self::TlsServer(s) => Pin::new(s).poll_write(cx, buf),
            Self::Memory(memory) => Poll::Ready(memory.keep(buf)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Unix(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::TlsClient(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::TlsServer(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Memory(memory) => Poll::Ready(bufs.iter().map(|buf| memory.keep(buf)).sum()),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // A socket has nothing to flush; saying so here spares two calls on each request.
            Self::Tcp(_) | Self::Unix(_) | Self::Memory(_) => Poll::Ready(Ok(())),
            Self::TlsClient(s) => Pin::new(s).poll_flush(cx),
            Self::TlsServer(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Self::TlsClient(s) => Pin::new(s).poll_shutdown(cx),
            Self::TlsServer(s) => Pin::new(s).poll_shutdown(cx),
            Self::Memory(_) => Poll::Ready(Ok(())),
        }
    }
}

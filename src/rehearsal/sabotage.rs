//! What HTTP libraries rightly make impossible: a reset, half a body, no HTTP at all.
//!
//! A connection of the stand-in runs over a [`Wire`], below hyper. The service leaves an order there before it
//! answers, and the answer never gets out as hyper wrote it. Connection, service and wire live in one task.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::{Either, Full};
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::message::Reply;
use crate::transport::stream::Stream;

/// A reply as hyper sends it; `truncate` lets it break off half-way.
pub(super) fn respond(reply: Reply, truncate: bool) -> Response<ReplyBody> {
    let body = if truncate {
        Either::Right(Half::of(&reply.body))
    } else {
        Either::Left(Full::new(reply.body))
    };
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(reply.status).unwrap_or_default();
    if let Some(content_type) = reply.content_type {
        let value = http::HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    for (name, value) in reply.headers {
        if let Ok(value) = http::HeaderValue::from_str(&value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// What hyper sends: a whole body or half of one.
pub(super) type ReplyBody = Either<Full<Bytes>, Half>;

/// A body that promises its whole length and breaks off half-way.
pub(super) struct Half {
    first: Option<Bytes>,
    flushed: bool,
    promised: u64,
}

impl Half {
    fn of(body: &Bytes) -> Self {
        Self {
            first: Some(body.slice(..body.len() / 2)),
            flushed: false,
            promised: (body.len() as u64).max(2),
        }
    }
}

impl Body for Half {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if !self.flushed {
            // A pause, so that hyper sends the first half before it hears of the failure.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}

/// Reset the connection.
pub(super) const RESET: u8 = 1;
/// Send what is not HTTP, then close.
pub(super) const GARBAGE: u8 = 2;

/// An order from the service to its own connection: what to do instead of the next write.
#[derive(Clone, Debug, Default)]
pub(super) struct Sabotage(Arc<AtomicU8>);

impl Sabotage {
    pub(super) fn order(&self, what: u8) {
        self.0.store(what, Ordering::Relaxed); // same task, same thread
    }
}

/// A connection that can be told to break.
pub(super) struct Wire {
    pub(super) stream: Stream,
    pub(super) sabotage: Sabotage,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.sabotage.0.load(Ordering::Relaxed) {
            RESET => {
                // The kernel sends RST instead of FIN when the stream is dropped.
                self.stream.reset_on_close();
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            GARBAGE => {
                let garbage = b"SSH-2.0-not-what-you-asked-for\r\n\r\n\x00\xff";
                ready!(Pin::new(&mut self.stream).poll_write(cx, garbage))?;
                Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
            }
            _ => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

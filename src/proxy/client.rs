//! The caller's connection: waits for heads, holds what was read and what is to be written.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::fault::{Code, Fault, Part};
use crate::transport::buffer::{Buffer, Size, Spares};
use crate::transport::memory::Memory;
use crate::transport::stream::Stream;
use crate::transport::watchdog::Watchdog;
use crate::wire::end::EndFinder;
use crate::wire::head::{Bounds, HeadError};

/// After a reply that left part of the request unread: how long, and how much, is read and thrown away, so that the
/// close does not become a reset that destroys the reply on its way.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// A caller's connection.
#[derive(Debug)]
pub struct Client {
    pub stream: Stream,
    pub buffer: Buffer,
    /// Bytes to be written before anything else.
    pub out: Vec<u8>,
    /// How many of them were written.
    pub out_sent: usize,
    pub watchdog: Watchdog,
    /// Keeps a copy of what is written during an exchange, for a comparison beside it.
    pub tap: Option<Memory>,
    /// The caller will send no more; it may still read.
    half_closed: bool,
}

/// What came of waiting for a request.
#[derive(Debug)]
pub enum Awaited {
    /// A head of that many bytes is at the front of the buffer.
    Head(usize),
    /// The caller left, or was idle for too long: there is nobody to answer.
    Closed,
    /// What arrived cannot be a request.
    Refused(Fault),
}

impl Client {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(stream: Stream, patience: Duration) -> Self {
        Self {
            stream,
            buffer: Buffer::new(Size::Small),
            out: Vec::new(),
            out_sent: 0,
            watchdog: Watchdog::new(Instant::now() + patience),
            tap: None,
            half_closed: false,
        }
    }

    /// Waits for the first byte of a request, holding no memory meanwhile. `false`: there will be none.
    pub async fn wait(&mut self, spares: &Spares, until: impl Fn() -> Instant) -> bool {
        if !self.buffer.is_empty() {
            return true;
        }
        if self.half_closed {
            return false;
        }
        self.buffer.give_back(spares);
        spares.keep_outgoing(std::mem::take(&mut self.out));
        poll_fn(|cx| {
            match self.stream.poll_readable(cx) {
                Poll::Ready(Ok(())) => {
                    self.buffer.borrow(spares);
                    match self.poll_fill(cx) {
                        Poll::Ready(Ok(count)) => return Poll::Ready(count > 0),
                        Poll::Ready(Err(_)) => return Poll::Ready(false),
                        Poll::Pending if matches!(self.stream, Stream::TlsServer(_)) => {}
                        Poll::Pending => self.buffer.give_back(spares),
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => {}
            }
            self.watchdog.poll_expired(cx, until()).map(|()| false)
        })
        .await
    }

    /// Reads on until the head is whole.
    pub async fn head(&mut self, spares: &Spares, bounds: &Bounds, patience: Duration) -> Awaited {
        self.buffer.borrow(spares);
        if self.out.capacity() == 0 {
            self.out = spares.outgoing();
        }
        // The whole head is there at once, nearly always: the time is only asked where something is waited for.
        let mut deadline = None;
        let mut end = EndFinder::default();
        let mut skipped = false;
        loop {
            // RFC 9112 section 2.2: one empty line before a request is an old client's habit.
            if !skipped && self.buffer.filled().starts_with(b"\r\n") {
                self.buffer.consume(2);
                skipped = true;
            }
            let waits_for_lf = !skipped && self.buffer.filled() == b"\r";
            if !waits_for_lf {
                match end.find(self.buffer.filled(), bounds) {
                    Ok(Some(length)) => return Awaited::Head(length),
                    Ok(None) => {}
                    Err(error) => return Awaited::Refused(refusal(error, bounds)),
                }
            }
            if !self.buffer.grow(bounds.bytes + 1) {
                return Awaited::Refused(refusal(HeadError::TooManyBytes, bounds));
            }
            let filled = poll_fn(|cx| match self.poll_fill(cx) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
                    self.watchdog.poll_expired(cx, deadline).map(|()| None)
                }
            })
            .await;
            match filled {
                None if self.buffer.is_empty() => return Awaited::Closed,
                None => {
                    let sentence = format!("the request's head was not complete after {patience:?}");
                    return Awaited::Refused(Fault::new(Code::RequestTimeout, sentence));
                }
                Some(Ok(0)) if !self.buffer.is_empty() => {
                    let sentence = "the caller closed the connection in the middle of a request's head";
                    return Awaited::Refused(Fault::new(Code::RequestMalformed, sentence));
                }
                Some(Ok(0) | Err(_)) => return Awaited::Closed,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Reads once from the caller; 0 when it will send no more.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(self.buffer.poll_fill(cx, &mut self.stream))?;
        self.half_closed |= count == 0;
        Poll::Ready(Ok(count))
    }

    /// Whether the caller's connection is broken, as far as can be told without disturbing it. Requests that it sends
    /// ahead are kept for later.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.half_closed && !self.buffer.is_full() {
            match self.stream.poll_readable(cx) {
                Poll::Pending => return false,
                Poll::Ready(Err(_)) => return true,
                Poll::Ready(Ok(())) => match self.poll_fill(cx) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return true,
                },
            }
        }
        false
    }

    /// Writes all of `out`. `false` when the caller does not take it.
    pub async fn send(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let sent = poll_fn(|cx| {
            while self.out_sent < self.out.len() {
                match Pin::new(&mut self.stream).poll_write(cx, &self.out[self.out_sent..]) {
                    Poll::Ready(Ok(count)) if count > 0 => self.out_sent += count,
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending => return self.watchdog.poll_expired(cx, deadline).map(|()| false),
                }
            }
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(flushed) => Poll::Ready(flushed.is_ok()),
                Poll::Pending => self.watchdog.poll_expired(cx, deadline).map(|()| false),
            }
        })
        .await;
        self.out.clear();
        self.out_sent = 0;
        sent
    }

    /// Ends the connection so that what was written arrives: closes our direction, then reads what the caller still
    /// sends, within bounds.
    pub async fn linger(mut self, spares: &Spares) {
        let deadline = Instant::now() + LINGER_TIME;
        let mut left = LINGER_BYTES;
        self.buffer.borrow(spares);
        poll_fn(|cx| {
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            loop {
                let at_hand = self.buffer.filled().len();
                left = left.saturating_sub(at_hand);
                self.buffer.consume(at_hand);
                if self.half_closed || left == 0 {
                    return Poll::Ready(());
                }
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return self.watchdog.poll_expired(cx, deadline),
                }
            }
        })
        .await;
        self.buffer.give_back(spares);
    }
}

/// Keeps a copy of the first `count` bytes of what was written, where one is wanted.
pub fn keep(tap: &mut Option<Memory>, slices: &[IoSlice<'_>], mut count: usize) {
    let Some(tap) = tap else { return };
    for slice in slices {
        let written = count.min(slice.len());
        if tap.keep(&slice[..written]).is_err() {
            return;
        }
        count -= written;
    }
}

fn refusal(error: HeadError, bounds: &Bounds) -> Fault {
    let (line, head, fields) = (bounds.first_line, bounds.bytes, bounds.fields);
    match error {
        HeadError::FirstLineTooLong => Fault::too_large(
            Part::RequestLine,
            format!("the request line is longer than the limit of {line} bytes"),
        ),
        HeadError::TooManyBytes => Fault::too_large(
            Part::Headers,
            format!("the request's head is larger than the limit of {head} bytes"),
        ),
        HeadError::TooManyFields => Fault::too_large(
            Part::Headers,
            format!("the request has more header fields than the limit of {fields}"),
        ),
        other => Fault::new(Code::RequestMalformed, other.to_string()),
    }
}

/// The fault of a head that was refused.
#[must_use]
pub fn head_fault(error: HeadError, bounds: &Bounds) -> Fault {
    refusal(error, bounds)
}

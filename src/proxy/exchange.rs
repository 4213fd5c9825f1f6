//! One request and its reply between two connections: both directions at once, in one task.
//!
//! ```text
//!  caller ──buffer──▶ uplink:   head, content (decoded, framed anew)  ──▶ upstream
//!  caller ◀─────────  downlink: head (judged, rewritten), content     ◀──buffer── upstream
//! ```
//!
//! Invariants: nothing is read that cannot be put somewhere (back-pressure: one buffer each way); a reply may begin
//! and end while the request is still being sent; a failed write upward does not hide a reply that came before it;
//! nothing is written to the caller until the reply's head has been judged.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::client::Client;
use crate::config::settings::Times;
use crate::fault::{Code, Fault, Part};
use crate::upstream::connection::Connection;
use crate::wire::body::{CHUNK_TAIL, Decoder, LAST_CHUNK, Step, chunk_head};
use crate::wire::framing::{self, Length};
use crate::wire::head::{Bounds, EndFinder, Fields, Version};
use crate::wire::headers::{ReplyRules, write_reply};

/// Bounds on a reply's head: a byte less than the upstream's buffer, so that one beyond them is seen as such.
const REPLY_BOUNDS: Bounds = Bounds {
    first_line: 8 * 1024,
    bytes: 64 * 1024 - 1,
    fields: 200,
};
/// Interim replies (1xx) before the final one; more is a fault of the upstream.
const MAX_INTERIM: u8 = 16;
/// Content of a chunked or long request is framed in pieces of at most this.
const PIECE: usize = 16 * 1024;

/// What the exchange has to know of the request.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The head for the upstream, whole; followed by the content if that was at hand.
    pub head: &'a [u8],
    /// The content as it arrives from the caller.
    pub length: Length,
    /// Bytes of content beyond which the request is refused.
    pub body_limit: u64,
    /// The method was HEAD.
    pub to_head: bool,
    /// What the caller speaks.
    pub version: Version,
    /// The caller wants to go on after this reply, and so do we.
    pub keep_alive: bool,
    pub times: &'a Times,
    /// The moment after which nothing is waited for any more.
    pub deadline: Instant,
}

/// A reply that reached the caller whole.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// The upstream connection may carry another request.
    pub upstream_reusable: bool,
    /// The caller's connection may carry another request.
    pub keep_alive: bool,
    /// All of the request was read: closing now destroys nothing on its way.
    pub request_read: bool,
}

/// How an exchange failed.
#[derive(Debug)]
pub enum Broken {
    /// The caller went away; nobody is left to answer.
    CallerGone,
    /// The request itself turned out to be unacceptable while its content arrived.
    Request(Fault),
    /// The upstream failed.
    Upstream(Fault),
}

/// What has happened so far: for the access line, and for the retry rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes were handed to the upstream connection.
    pub request_begun: bool,
    /// Bytes of a reply arrived.
    pub reply_begun: bool,
    /// A byte of a reply was handed to the caller's connection.
    pub answered: bool,
    /// The final status, once its head is judged.
    pub status: Option<u16>,
    pub first_byte: Option<Instant>,
    /// Content bytes, as payload.
    pub request_bytes: u64,
    pub reply_bytes: u64,
}

/// The state of one exchange.
pub struct Exchange<'a> {
    client: &'a mut Client,
    upstream: &'a mut Connection,
    fields: &'a mut Fields,
    terms: Terms<'a>,
    uplink: Uplink,
    downlink: Downlink,
    pub progress: Progress,
    /// When bytes last moved, either way.
    moved_at: Instant,
    moved: bool,
}

#[derive(Debug)]
struct Uplink {
    phase: Up,
    decoder: Decoder,
    /// Bytes of the head that were handed over.
    sent: usize,
    /// Content framed for the upstream, and how much of it was handed over.
    piece: Vec<u8>,
    piece_sent: usize,
    /// Waiting for the caller (and not for the upstream to take more).
    waits_for_caller: bool,
    /// Writing failed: the reply, or the error on reading, will say why.
    failed: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    Head,
    Content,
    Flush,
    Done,
}

#[derive(Debug)]
struct Downlink {
    phase: Down,
    end: EndFinder,
    interim: u8,
    decoder: Decoder,
    /// Content leaves in chunked coding.
    chunked: bool,
    reusable: bool,
    keep_alive: bool,
    /// Payload at the front of the upstream's buffer that is on its way to the caller.
    payload: usize,
    /// Framing that follows the payload.
    tail: &'static [u8],
    /// Framing in the upstream's buffer behind the payload, already understood.
    behind: usize,
    /// Waiting for the caller to take what is there.
    waits_for_caller: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    Head,
    Content,
    Last,
    Flush,
}

impl<'a> Exchange<'a> {
    /// An exchange that has not begun.
    pub fn new(client: &'a mut Client, upstream: &'a mut Connection, fields: &'a mut Fields, terms: Terms<'a>) -> Self {
        let uplink = Uplink {
            phase: Up::Head,
            decoder: Decoder::new(terms.length),
            sent: 0,
            piece: Vec::new(),
            piece_sent: 0,
            waits_for_caller: false,
            failed: None,
        };
        let downlink = Downlink {
            phase: Down::Head,
            end: EndFinder::default(),
            interim: 0,
            decoder: Decoder::Known(0),
            chunked: false,
            reusable: false,
            keep_alive: false,
            payload: 0,
            tail: b"",
            behind: 0,
            waits_for_caller: false,
        };
        let moved_at = Instant::now();
        Self {
            client,
            upstream,
            fields,
            terms,
            uplink,
            downlink,
            progress: Progress::default(),
            moved_at,
            moved: false,
        }
    }

    /// Drives both directions; ready when the reply is with the caller, or nothing more can come of it.
    ///
    /// # Errors
    /// [`Broken`]; [`Self::progress`] says how far it came.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Broken>> {
        let up = self.poll_up(cx);
        if let Poll::Ready(Err(broken)) = up {
            return Poll::Ready(Err(broken));
        }
        match self.poll_down(cx) {
            Poll::Ready(Ok(finished)) => return Poll::Ready(Ok(finished)),
            Poll::Ready(Err(broken)) => return Poll::Ready(Err(self.explain(broken))),
            Poll::Pending => {}
        }
        // While the upstream thinks, watch whether the caller is still there. A half-close is not a farewell; only a
        // reset is (docs/decisions/0006).
        if self.uplink.phase == Up::Done && self.downlink.phase == Down::Head && self.client.poll_gone(cx) {
            return Poll::Ready(Err(Broken::CallerGone));
        }
        self.poll_time(cx)
    }

    /// Sends the head and the content upward. Ready when all is handed over or writing has failed.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            match self.uplink.phase {
                Up::Head => {
                    let rest = &self.terms.head[self.uplink.sent..];
                    let written = ready!(Pin::new(&mut self.upstream.stream).poll_write(cx, rest));
                    self.progress.request_begun = true;
                    match taken(written) {
                        Ok(count) => {
                            self.uplink.sent += count;
                            self.moved = true;
                        }
                        Err(error) => return self.upward_failed(error),
                    }
                    if self.uplink.sent == self.terms.head.len() {
                        self.uplink.phase = if self.uplink.decoder.is_done() {
                            Up::Flush
                        } else {
                            Up::Content
                        };
                    }
                }
                Up::Content => {
                    if self.uplink.piece_sent < self.uplink.piece.len() {
                        let rest = &self.uplink.piece[self.uplink.piece_sent..];
                        self.uplink.waits_for_caller = false;
                        match taken(ready!(Pin::new(&mut self.upstream.stream).poll_write(cx, rest))) {
                            Ok(count) => {
                                self.uplink.piece_sent += count;
                                self.moved = true;
                            }
                            Err(error) => return self.upward_failed(error),
                        }
                    } else if self.uplink.decoder.is_done() {
                        self.uplink.phase = Up::Flush;
                    } else if let Err(broken) = ready!(self.poll_content(cx)) {
                        return Poll::Ready(Err(broken));
                    }
                }
                Up::Flush => match ready!(Pin::new(&mut self.upstream.stream).poll_flush(cx)) {
                    Ok(()) => {
                        self.uplink.phase = Up::Done;
                        self.moved = true;
                    }
                    Err(error) => return self.upward_failed(error),
                },
                Up::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Takes the next piece of content from the caller and frames it for the upstream.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let uplink = &mut self.uplink;
        uplink.piece.clear();
        uplink.piece_sent = 0;
        loop {
            let at_hand = self.client.buffer.filled();
            let step = uplink.decoder.step(at_hand).map_err(|error| {
                Broken::Request(Fault::new(
                    Code::RequestMalformed,
                    format!("the request's content: {error}"),
                ))
            });
            match step {
                Err(broken) => return Poll::Ready(Err(broken)),
                Ok(Step::Data { skip, data }) => {
                    let data = data.min(PIECE);
                    self.progress.request_bytes += data as u64;
                    if self.progress.request_bytes > self.terms.body_limit {
                        return Poll::Ready(Err(Broken::Request(body_too_large(self.terms.body_limit))));
                    }
                    let payload = &at_hand[skip..skip + data];
                    if self.terms.length == Length::Chunked {
                        chunk_head(&mut uplink.piece, data);
                        uplink.piece.extend_from_slice(payload);
                        uplink.piece.extend_from_slice(CHUNK_TAIL);
                    } else {
                        uplink.piece.extend_from_slice(payload);
                    }
                    uplink.decoder.taken(data);
                    self.client.buffer.consume(skip + data);
                    if uplink.piece.len() >= PIECE {
                        return Poll::Ready(Ok(()));
                    }
                }
                Ok(Step::End { skip }) => {
                    self.client.buffer.consume(skip);
                    if self.terms.length == Length::Chunked {
                        uplink.piece.extend_from_slice(LAST_CHUNK);
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(Step::More { skip }) => {
                    self.client.buffer.consume(skip);
                    if !uplink.piece.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    // What was written may still sit in the TLS session; it must not wait for the caller.
                    let _ = Pin::new(&mut self.upstream.stream).poll_flush(cx);
                    uplink.waits_for_caller = true;
                    match ready!(self.client.poll_fill(cx)) {
                        Ok(0) | Err(_) => return Poll::Ready(Err(Broken::CallerGone)),
                        Ok(_) => self.moved = true,
                    }
                    uplink.waits_for_caller = false;
                }
            }
        }
    }

    /// Writing to the upstream failed. It may have answered before it closed, so the downlink decides.
    fn upward_failed(&mut self, error: io::Error) -> Poll<Result<(), Broken>> {
        self.uplink.failed = Some(error);
        self.uplink.phase = Up::Done;
        Poll::Ready(Ok(()))
    }

    /// Reads the reply and passes it to the caller.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Broken>> {
        loop {
            match self.downlink.phase {
                Down::Head => {
                    ready!(self.poll_out(cx))?;
                    ready!(self.poll_head(cx))?;
                }
                Down::Content => {
                    if self.downlink.payload == 0 && self.downlink.tail.is_empty() {
                        ready!(self.poll_payload(cx))?;
                    }
                    ready!(self.poll_out(cx))?;
                }
                Down::Last => {
                    ready!(self.poll_out(cx))?;
                    self.upstream.buffer.consume(std::mem::take(&mut self.downlink.behind));
                    self.downlink.phase = Down::Flush;
                }
                Down::Flush => {
                    if ready!(Pin::new(&mut self.client.stream).poll_flush(cx)).is_err() {
                        return Poll::Ready(Err(Broken::CallerGone));
                    }
                    return Poll::Ready(Ok(self.finish()));
                }
            }
        }
    }

    fn finish(&self) -> Finished {
        // A reply that ended before the request did leaves both connections in the middle of a message.
        let whole = self.uplink.phase == Up::Done && self.uplink.failed.is_none();
        Finished {
            upstream_reusable: whole && self.downlink.reusable && self.upstream.is_clean(),
            keep_alive: whole && self.downlink.keep_alive,
            request_read: whole && self.client.buffer.is_empty(),
        }
    }

    /// Reads until the reply's head is whole; judges it, and writes the caller's head into the caller's `out`.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            let found = self.downlink.end.find(self.upstream.buffer.filled(), &REPLY_BOUNDS);
            let found = found.map_err(|error| invalid(&self.upstream.peer, &error));
            match found {
                Err(broken) => return Poll::Ready(Err(broken)),
                Ok(Some(length)) => {
                    self.downlink.end = EndFinder::default();
                    return Poll::Ready(self.take_head(length));
                }
                Ok(None) => match ready!(self.upstream.buffer.poll_fill(cx, &mut self.upstream.stream)) {
                    Ok(0) => return Poll::Ready(Err(self.closed("before its reply's head was complete"))),
                    Ok(_) => {
                        self.moved = true;
                        self.progress.reply_begun = true;
                    }
                    Err(error) => return Poll::Ready(Err(self.read_failed(&error))),
                },
            }
        }
    }

    fn take_head(&mut self, length: usize) -> Result<(), Broken> {
        let name = &self.upstream.peer;
        let raw = &self.upstream.buffer.filled()[..length];
        let line = self
            .fields
            .parse_reply(raw, &REPLY_BOUNDS)
            .map_err(|error| invalid(name, &error))?;
        let framing =
            framing::reply(&line, self.fields, raw, self.terms.to_head).map_err(|error| invalid(name, &error))?;
        let out = &mut self.client.out;
        if line.status < 200 {
            self.downlink.interim += 1;
            if self.downlink.interim > MAX_INTERIM {
                return Err(invalid(name, &"it sends interim replies without end"));
            }
            // We asked for no 100 (the expectation does not cross); the others are the caller's, if it can read them.
            if line.status != 100 && self.terms.version == Version::Http11 {
                let rules = ReplyRules {
                    length: Length::Empty,
                    version: self.terms.version,
                    keep_alive: true,
                };
                write_reply(out, raw, &line, self.fields, &rules);
            }
            self.upstream.buffer.consume(length);
            return Ok(());
        }
        let whole = self.uplink.phase == Up::Done && self.uplink.failed.is_none();
        let (as_it_leaves, keep_alive) = match (framing.length, self.terms.version) {
            (Length::Chunked | Length::UntilClose, Version::Http11) => {
                (Length::Chunked, self.terms.keep_alive && whole)
            }
            // An HTTP/1.0 caller knows no chunks: there the end of the connection is the end of the reply.
            (Length::Chunked | Length::UntilClose, Version::Http10) => (Length::UntilClose, false),
            (length, _) => (length, self.terms.keep_alive && whole),
        };
        let rules = ReplyRules {
            length: as_it_leaves,
            version: self.terms.version,
            keep_alive,
        };
        write_reply(out, raw, &line, self.fields, &rules);
        self.upstream.buffer.consume(length);
        self.progress.status = Some(line.status);
        self.progress.first_byte = Some(Instant::now());
        let downlink = &mut self.downlink;
        downlink.decoder = Decoder::new(framing.length);
        downlink.chunked = as_it_leaves == Length::Chunked;
        downlink.reusable = framing.reusable;
        downlink.keep_alive = keep_alive;
        downlink.phase = if framing.length == Length::Empty || framing.length == Length::Known(0) {
            Down::Last
        } else {
            Down::Content
        };
        Ok(())
    }

    /// Finds payload in what has arrived, reading on while more is at hand: fewer and larger writes to the caller.
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            let step = self.downlink.decoder.step(self.upstream.buffer.filled());
            let step = step.map_err(|error| invalid(&self.upstream.peer, &error));
            let (skip, data) = match step {
                Err(broken) => return Poll::Ready(Err(broken)),
                Ok(Step::End { skip }) => {
                    self.upstream.buffer.consume(skip);
                    self.end_content();
                    return Poll::Ready(Ok(()));
                }
                Ok(Step::Data { skip, data }) => (skip, data),
                Ok(Step::More { skip }) => (skip, 0),
            };
            self.upstream.buffer.consume(skip);
            // All that the content still needs is here, or the buffer has no room: pass it on.
            let complete = matches!(self.downlink.decoder, Decoder::Known(left) if left == data as u64);
            let more_follows = self.upstream.buffer.filled().len() > data;
            if data > 0 && (complete || more_follows || self.upstream.buffer.is_full()) {
                self.pass_on(data);
                return Poll::Ready(Ok(()));
            }
            match self.upstream.buffer.poll_fill(cx, &mut self.upstream.stream) {
                Poll::Ready(Ok(0)) if self.downlink.decoder == Decoder::UntilClose => {
                    if data > 0 {
                        self.pass_on(data);
                    }
                    self.end_content();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.closed("before its reply was complete"))),
                Poll::Ready(Ok(_)) => self.moved = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.read_failed(&error))),
                Poll::Pending if data > 0 => {
                    self.pass_on(data);
                    return Poll::Ready(Ok(()));
                }
                // The head, and what of the content was framed before, must not wait for the rest; nor what a TLS
                // session still holds because the caller was slow.
                Poll::Pending => {
                    ready!(self.poll_out(cx))?;
                    let _ = Pin::new(&mut self.client.stream).poll_flush(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Puts `data` bytes at the front of the upstream's buffer on their way to the caller.
    fn pass_on(&mut self, data: usize) {
        let downlink = &mut self.downlink;
        downlink.decoder.taken(data);
        downlink.payload = data;
        self.progress.reply_bytes += data as u64;
        if downlink.chunked {
            chunk_head(&mut self.client.out, data);
            downlink.tail = CHUNK_TAIL;
            // If the content ends here, its end leaves in the same write.
            let mut ahead = downlink.decoder;
            if let Ok(Step::End { skip }) = ahead.step(&self.upstream.buffer.filled()[data..]) {
                downlink.behind = skip;
                self.end_content();
            }
        } else if downlink.decoder.is_done() {
            downlink.phase = Down::Last;
        }
    }

    fn end_content(&mut self) {
        let downlink = &mut self.downlink;
        if downlink.chunked {
            // After a last piece this follows its CRLF in one write; else it stands alone.
            downlink.tail = if downlink.payload > 0 {
                b"\r\n0\r\n\r\n"
            } else {
                LAST_CHUNK
            };
        }
        downlink.phase = Down::Last;
    }

    /// Writes what is on its way to the caller: framing, payload, framing.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let (downlink, client) = (&mut self.downlink, &mut *self.client);
        loop {
            let before = &client.out[client.out_sent..];
            if before.is_empty() && downlink.payload == 0 && downlink.tail.is_empty() {
                client.out.clear();
                client.out_sent = 0;
                downlink.waits_for_caller = false;
                return Poll::Ready(Ok(()));
            }
            let payload = &self.upstream.buffer.filled()[..downlink.payload];
            let slices = [IoSlice::new(before), IoSlice::new(payload), IoSlice::new(downlink.tail)];
            let (first, last) = match (before.is_empty(), downlink.payload == 0, downlink.tail.is_empty()) {
                (false, true, true) => (0, 1),
                (false, false, true) => (0, 2),
                (true, false, true) => (1, 2),
                (true, _, _) => (1, 3),
                (false, _, _) => (0, 3),
            };
            downlink.waits_for_caller = true;
            let written = if last - first == 1 {
                ready!(Pin::new(&mut client.stream).poll_write(cx, &slices[first]))
            } else {
                ready!(Pin::new(&mut client.stream).poll_write_vectored(cx, &slices[first..last]))
            };
            let Ok(mut count) = taken(written) else {
                return Poll::Ready(Err(Broken::CallerGone));
            };
            self.progress.answered = true;
            self.moved = true;
            let of_out = count.min(before.len());
            client.out_sent += of_out;
            count -= of_out;
            let of_payload = count.min(downlink.payload);
            downlink.payload -= of_payload;
            self.upstream.buffer.consume(of_payload);
            downlink.tail = &downlink.tail[count - of_payload..];
        }
    }

    /// Nothing moves: how long may that last, and whose fault is it when it lasts too long.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Broken>> {
        if std::mem::take(&mut self.moved) {
            self.moved_at = Instant::now();
        }
        let thinking = self.uplink.phase == Up::Done && self.downlink.phase == Down::Head;
        let patience = if thinking {
            self.terms.times.first_byte
        } else {
            self.terms.times.idle
        };
        let deadline = (self.moved_at + patience).min(self.terms.deadline);
        ready!(self.client.watchdog.poll_expired(cx, deadline));
        Poll::Ready(Err(self.out_of_time(thinking)))
    }

    fn out_of_time(&self, thinking: bool) -> Broken {
        let name = &self.upstream.peer;
        if self.downlink.waits_for_caller || self.downlink.phase == Down::Flush {
            return Broken::CallerGone;
        }
        if self.uplink.phase != Up::Done && self.uplink.waits_for_caller && self.downlink.phase == Down::Head {
            return Broken::Request(Fault::new(
                Code::RequestTimeout,
                "the caller began a request and did not send its content in time",
            ));
        }
        let what = if thinking {
            "did not begin its reply"
        } else if self.downlink.phase == Down::Head {
            "did not take the request"
        } else {
            "did not finish its reply"
        };
        Broken::Upstream(Fault::new(Code::UpstreamTimeout, format!("{name} {what} in time")))
    }

    /// The upstream's end of stream came too early.
    fn closed(&self, when: &str) -> Broken {
        Broken::Upstream(Fault::new(
            Code::UpstreamReset,
            format!("{} closed the connection {when}", self.upstream.peer),
        ))
    }

    fn read_failed(&self, error: &io::Error) -> Broken {
        let when = if self.progress.reply_begun {
            "in the middle of its reply"
        } else {
            "instead of a reply"
        };
        Broken::Upstream(self.upstream.judge(error, when))
    }

    /// When the request could not be written, that is the cause and the missing reply its consequence; but a TLS alert
    /// says more than either.
    fn explain(&mut self, broken: Broken) -> Broken {
        match (&broken, &self.uplink.failed) {
            (Broken::Upstream(fault), Some(error))
                if fault.code == Code::UpstreamReset && !self.progress.reply_begun =>
            {
                Broken::Upstream(self.upstream.judge(error, "while the request was sent"))
            }
            _ => broken,
        }
    }
}

/// A write of nothing means that the other side will never take more.
fn taken(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        other => other,
    }
}

fn invalid(name: &str, error: &dyn std::fmt::Display) -> Broken {
    Broken::Upstream(Fault::new(
        Code::UpstreamInvalid,
        format!("the reply of {name} is not valid HTTP/1.1: {error}"),
    ))
}

/// The fault of content beyond the limit.
#[must_use]
pub fn body_too_large(limit: u64) -> Fault {
    Fault::too_large(
        Part::Body,
        format!("the request's content is larger than the limit of {limit} bytes"),
    )
}

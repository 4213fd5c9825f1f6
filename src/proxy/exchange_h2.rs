//! One request and its reply between a caller's connection and a stream of an HTTP/2 connection (RFC 9113 section 8).
//!
//! The same as `exchange` in all that the caller can see. The head for the upstream was written as HTTP/1.1 text; here
//! it becomes pseudo-fields and fields. The reply's head becomes text again and is judged and rewritten by the rules
//! that HTTP/1.1 replies are. Invariants: content is taken from the caller only as the stream's window allows, and the
//! stream's window grows only as the caller takes the reply; dropping the exchange resets the stream unless it is done.

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{Response, StatusCode};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::client::Client;
use super::exchange::{Broken, Finished, Late, MAX_INTERIM, PIECE, Progress, REPLY_BOUNDS, Terms, body_too_large};
use crate::fault::{Code, Fault};
use crate::upstream::multiplex::Lease;
use crate::wire::body::{CHUNK_TAIL, Decoder, LAST_CHUNK, Step, chunk_head};
use crate::wire::framing::{self, Length};
use crate::wire::head::{Fields, Version};
use crate::wire::headers::{ReplyRules, write_reply};
use crate::wire::http2;

/// The state of one exchange.
pub struct Exchange<'a> {
    client: &'a mut Client,
    lease: Lease,
    fields: &'a mut Fields,
    terms: Terms<'a>,
    uplink: Uplink<'a>,
    downlink: Downlink,
    pub progress: Progress,
    /// The upstream gave up this stream alone, and may have processed the request: not the end of a stale connection.
    pub singled_out: bool,
    /// When bytes last moved, either way.
    moved_at: Instant,
    moved: bool,
}

struct Uplink<'a> {
    phase: Up,
    stream: Option<SendStream<Bytes>>,
    /// Content that came with the head, as far as it is not sent.
    at_hand: &'a [u8],
    decoder: Decoder,
    /// Content was taken from the caller's connection: it cannot be sent again.
    taken: bool,
    waits_for_caller: bool,
    /// The stream takes no more: the reply, or its absence, will say why.
    failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Up {
    Head,
    Content,
    Done,
}

struct Downlink {
    phase: Down,
    reply: Option<ResponseFuture>,
    content: Option<RecvStream>,
    interim: u8,
    /// Announced content that is still to come.
    left: Option<u64>,
    chunked: bool,
    keep_alive: bool,
    /// The last of an announced length, until the stream's end has come: a reply that is longer than announced must not
    /// look like a whole one.
    held: Bytes,
    /// Content on its way to the caller, and the part of the window it takes up.
    payload: Bytes,
    unreleased: usize,
    tail: &'static [u8],
    waits_for_caller: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Down {
    Head,
    Content,
    Last,
    Flush,
}

impl<'a> Exchange<'a> {
    /// An exchange that has not begun.
    pub fn new(client: &'a mut Client, lease: Lease, fields: &'a mut Fields, terms: Terms<'a>) -> Self {
        let uplink = Uplink {
            phase: Up::Head,
            stream: None,
            at_hand: b"",
            decoder: Decoder::new(terms.length),
            taken: false,
            waits_for_caller: false,
            failed: false,
        };
        let downlink = Downlink {
            phase: Down::Head,
            reply: None,
            content: None,
            interim: 0,
            left: None,
            chunked: false,
            keep_alive: false,
            held: Bytes::new(),
            payload: Bytes::new(),
            unreleased: 0,
            tail: b"",
            waits_for_caller: false,
        };
        Self {
            client,
            lease,
            fields,
            terms,
            uplink,
            downlink,
            progress: Progress::default(),
            singled_out: false,
            moved_at: Instant::now(),
            moved: false,
        }
    }

    /// Drives both directions; ready when the reply is with the caller, or nothing more can come of it.
    ///
    /// # Errors
    /// [`Broken`]; [`Self::progress`] says how far it came.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Broken>> {
        if let Poll::Ready(Err(broken)) = self.poll_up(cx) {
            return Poll::Ready(Err(broken));
        }
        if let Poll::Ready(result) = self.poll_down(cx) {
            return Poll::Ready(result);
        }
        if self.uplink.phase == Up::Done && self.downlink.phase == Down::Head && self.client.poll_gone(cx) {
            return Poll::Ready(Err(Broken::CallerGone));
        }
        self.poll_time(cx)
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            match self.uplink.phase {
                Up::Head => self.begin()?,
                Up::Content => match ready!(self.poll_content(cx))? {
                    Sent::Some => self.moved = true,
                    Sent::All => self.uplink.phase = Up::Done,
                    Sent::Refused => {
                        self.uplink.failed = true;
                        self.uplink.phase = Up::Done;
                    }
                },
                Up::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Opens the stream with the request's head.
    fn begin(&mut self) -> Result<(), Broken> {
        let (request, content) = http2::request(self.terms.head, self.fields)
            .map_err(|error| Broken::Request(Fault::new(Code::RequestMalformed, error.to_string())))?;
        let end = content.is_empty() && self.uplink.decoder.is_done();
        let (reply, stream) = self.lease.begin(request, end).map_err(|error| self.failed(&error))?;
        self.progress.request_begun = true;
        self.moved = true;
        self.uplink.at_hand = content;
        self.uplink.stream = Some(stream);
        self.uplink.phase = if end { Up::Done } else { Up::Content };
        self.downlink.reply = Some(reply);
        Ok(())
    }

    /// Sends the next piece of content, as much as the stream's window allows.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sent, Broken>> {
        let (uplink, client) = (&mut self.uplink, &mut *self.client);
        let Some(stream) = uplink.stream.as_mut() else {
            return Poll::Ready(Ok(Sent::Refused));
        };
        if !uplink.at_hand.is_empty() {
            let Some(room) = ready!(poll_room(stream, uplink.at_hand.len(), cx)) else {
                return Poll::Ready(Ok(Sent::Refused));
            };
            let (piece, rest) = uplink.at_hand.split_at(room);
            uplink.at_hand = rest;
            return Poll::Ready(Ok(send(stream, piece, rest.is_empty() && uplink.decoder.is_done())));
        }
        loop {
            let step = uplink.decoder.step(client.buffer.filled()).map_err(|error| {
                let sentence = format!("the request's content: {error}");
                Broken::Request(Fault::new(Code::RequestMalformed, sentence))
            })?;
            let (Step::Data { skip, .. } | Step::End { skip } | Step::More { skip }) = step;
            uplink.taken |= skip > 0;
            client.buffer.consume(skip);
            match step {
                Step::Data { data, .. } => {
                    if self.progress.request_bytes + data as u64 > self.terms.body_limit {
                        return Poll::Ready(Err(Broken::Request(body_too_large(self.terms.body_limit))));
                    }
                    uplink.waits_for_caller = false;
                    let Some(room) = ready!(poll_room(stream, data.min(PIECE), cx)) else {
                        return Poll::Ready(Ok(Sent::Refused));
                    };
                    uplink.decoder.taken(room);
                    uplink.taken = true;
                    self.progress.request_bytes += room as u64;
                    let sent = send(stream, &client.buffer.filled()[..room], uplink.decoder.is_done());
                    client.buffer.consume(room);
                    return Poll::Ready(Ok(sent));
                }
                Step::End { .. } => return Poll::Ready(Ok(send(stream, b"", true))),
                Step::More { .. } => {
                    uplink.waits_for_caller = true;
                    match ready!(client.poll_fill(cx)) {
                        Ok(0) | Err(_) => return Poll::Ready(Err(Broken::CallerGone)),
                        Ok(_) => self.moved = true,
                    }
                    uplink.waits_for_caller = false;
                }
            }
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Broken>> {
        loop {
            match self.downlink.phase {
                Down::Head => {
                    let reply = ready!(self.poll_head(cx))?;
                    self.take_head(reply)?;
                }
                Down::Content => {
                    if self.downlink.payload.is_empty() && self.downlink.tail.is_empty() {
                        ready!(self.poll_payload(cx))?;
                    }
                    ready!(self.poll_out(cx))?;
                }
                Down::Last => {
                    ready!(self.poll_out(cx))?;
                    self.downlink.phase = Down::Flush;
                }
                Down::Flush => {
                    if ready!(Pin::new(&mut self.client.stream).poll_flush(cx)).is_err() {
                        return Poll::Ready(Err(Broken::CallerGone));
                    }
                    // A reply that ended before the request did leaves the caller in the middle of a message.
                    let whole = self.uplink.phase == Up::Done && !self.uplink.failed;
                    return Poll::Ready(Ok(Finished {
                        upstream_reusable: true,
                        keep_alive: whole && self.downlink.keep_alive,
                    }));
                }
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, Broken>> {
        let Some(reply) = self.downlink.reply.as_mut() else {
            return Poll::Pending;
        };
        // Interim replies are counted and dropped: none was asked for.
        while let Poll::Ready(Some(Ok(interim))) = reply.poll_informational(cx) {
            self.downlink.interim += 1;
            let switched = interim.status() == StatusCode::SWITCHING_PROTOCOLS;
            if switched || self.downlink.interim > MAX_INTERIM {
                let what = "it switches protocols, or sends interim replies without end";
                return Poll::Ready(Err(invalid(self.lease.peer(), &what)));
            }
        }
        match ready!(Pin::new(reply).poll(cx)) {
            Ok(reply) => {
                self.progress.reply_begun = true;
                self.moved = true;
                Poll::Ready(Ok(reply))
            }
            Err(error) => Poll::Ready(Err(self.failed(&error))),
        }
    }

    /// Judges the reply's head and writes the caller's into the caller's `out`.
    fn take_head(&mut self, reply: Response<RecvStream>) -> Result<(), Broken> {
        let name = self.lease.peer();
        let (head, content) = reply.into_parts();
        let raw = http2::reply_text(&head);
        let line = self
            .fields
            .parse_reply(&raw, &REPLY_BOUNDS)
            .map_err(|error| invalid(name, &error))?;
        let framing =
            framing::reply(&line, self.fields, &raw, self.terms.to_head).map_err(|error| invalid(name, &error))?;
        let length = match framing.length {
            Length::Chunked => return Err(invalid(name, &"it has a Transfer-Encoding")),
            Length::UntilClose if content.is_end_stream() => Length::Known(0),
            length => length,
        };
        let whole = self.uplink.phase == Up::Done && !self.uplink.failed;
        let (as_it_leaves, keep_alive) = match (length, self.terms.version) {
            (Length::UntilClose, Version::Http11) => (Length::Chunked, self.terms.keep_alive && whole),
            (Length::UntilClose, Version::Http10) => (Length::UntilClose, false),
            (length, _) => (length, self.terms.keep_alive && whole),
        };
        let rules = ReplyRules {
            length: as_it_leaves,
            version: self.terms.version,
            keep_alive,
        };
        write_reply(&mut self.client.out, &raw, &line, self.fields, &rules);
        self.progress.status = Some(line.status);
        self.progress.first_byte = Some(Instant::now());
        let downlink = &mut self.downlink;
        downlink.chunked = as_it_leaves == Length::Chunked;
        downlink.keep_alive = keep_alive;
        downlink.left = match length {
            Length::Known(bytes) => Some(bytes),
            _ => None,
        };
        downlink.phase = if length == Length::Empty {
            Down::Last
        } else {
            Down::Content
        };
        downlink.content = Some(content);
        Ok(())
    }

    /// Waits for content and puts it on its way.
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            let downlink = &mut self.downlink;
            let Some(content) = downlink.content.as_mut() else {
                return Poll::Ready(Ok(()));
            };
            let ended = content.is_end_stream();
            if !downlink.held.is_empty() && (ended || downlink.left != Some(0)) {
                self.pass_on(ended);
                return Poll::Ready(Ok(()));
            }
            match content.poll_data(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    self.moved = true;
                    let bytes = piece.len() as u64;
                    if downlink.left.is_some_and(|left| bytes > left) {
                        let longer = "its content is longer than its Content-Length";
                        return Poll::Ready(Err(invalid(self.lease.peer(), &longer)));
                    }
                    downlink.left = downlink.left.map(|left| left - bytes);
                    if !piece.is_empty() {
                        downlink.held = piece;
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.failed(&error))),
                // Trailers, if there are any, do not cross.
                Poll::Ready(None) if downlink.left.unwrap_or(0) == 0 => {
                    self.pass_on(true);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(None) => {
                    let shorter = "its content is shorter than its Content-Length";
                    return Poll::Ready(Err(invalid(self.lease.peer(), &shorter)));
                }
                // The head must not wait for the content.
                Poll::Pending => {
                    ready!(self.poll_out(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Puts the content that is held on its way to the caller; `last` says that nothing follows.
    fn pass_on(&mut self, last: bool) {
        let downlink = &mut self.downlink;
        let payload = std::mem::take(&mut downlink.held);
        self.progress.reply_bytes += payload.len() as u64;
        downlink.unreleased = payload.len();
        if downlink.chunked {
            if !payload.is_empty() {
                chunk_head(&mut self.client.out, payload.len());
            }
            downlink.tail = match (payload.is_empty(), last) {
                (true, _) => LAST_CHUNK,
                (false, false) => CHUNK_TAIL,
                (false, true) => b"\r\n0\r\n\r\n",
            };
        }
        downlink.payload = payload;
        if last {
            downlink.phase = Down::Last;
        }
    }

    /// Writes what is on its way to the caller; once it is gone, the upstream may send as much again.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let (downlink, client) = (&mut self.downlink, &mut *self.client);
        loop {
            let before = &client.out[client.out_sent..];
            if before.is_empty() && downlink.payload.is_empty() && downlink.tail.is_empty() {
                client.out.clear();
                client.out_sent = 0;
                downlink.waits_for_caller = false;
                if let Some(content) = &mut downlink.content {
                    let _ = content
                        .flow_control()
                        .release_capacity(std::mem::take(&mut downlink.unreleased));
                }
                return Poll::Ready(Ok(()));
            }
            let slices = [
                IoSlice::new(before),
                IoSlice::new(&downlink.payload),
                IoSlice::new(downlink.tail),
            ];
            downlink.waits_for_caller = true;
            let mut count = match ready!(Pin::new(&mut client.stream).poll_write_vectored(cx, &slices)) {
                Ok(count) if count > 0 => count,
                _ => return Poll::Ready(Err(Broken::CallerGone)),
            };
            self.progress.answered = true;
            self.moved = true;
            let of_out = count.min(before.len());
            client.out_sent += of_out;
            count -= of_out;
            let of_payload = count.min(downlink.payload.len());
            let _ = downlink.payload.split_to(of_payload);
            downlink.tail = &downlink.tail[count - of_payload..];
        }
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Broken>> {
        if std::mem::take(&mut self.moved) {
            self.moved_at = Instant::now();
        }
        let thinking = self.uplink.phase == Up::Done && self.downlink.phase == Down::Head;
        let times = self.terms.times;
        let patience = if thinking { times.first_byte } else { times.idle };
        let deadline = (self.moved_at + patience).min(self.terms.deadline);
        ready!(self.client.watchdog.poll_expired(cx, deadline));
        let late = Late {
            thinking,
            no_reply: self.downlink.phase == Down::Head,
            caller_sends: self.uplink.phase != Up::Done && self.uplink.waits_for_caller,
            caller_takes: self.downlink.waits_for_caller,
        };
        Poll::Ready(Err(late.broken(self.lease.peer())))
    }

    /// What an error of the stream or its connection means for the request.
    fn failed(&mut self, error: &h2::Error) -> Broken {
        let name = self.lease.peer();
        let of_stream = error.is_reset() && error.is_remote();
        // RFC 9113 section 8.7: these two say that nothing of the request was processed.
        let unprocessed =
            error.is_remote() && error.is_go_away() || of_stream && error.reason() == Some(Reason::REFUSED_STREAM);
        if unprocessed {
            self.progress.request_begun &= self.uplink.taken;
        }
        self.singled_out = of_stream && !unprocessed;
        if !of_stream && let Some(cause) = self.lease.cause() {
            return Broken::Upstream(cause);
        }
        if !error.is_remote() && !error.is_io() {
            return invalid(name, error);
        }
        let when = if self.progress.reply_begun {
            "in the middle of its reply"
        } else {
            "instead of a reply"
        };
        let what = if of_stream {
            "reset the stream"
        } else {
            "closed the connection"
        };
        let sentence = format!("{name} {what} {when} ({error})");
        Broken::Upstream(Fault::new(Code::UpstreamReset, sentence))
    }
}

/// What became of a piece of content.
enum Sent {
    Some,
    /// It was the last.
    All,
    /// The stream takes no more.
    Refused,
}

/// How much of `wanted` bytes the stream takes now; `None` when it takes no more at all.
fn poll_room(stream: &mut SendStream<Bytes>, wanted: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
    stream.reserve_capacity(wanted);
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(None),
        }
    }
    Poll::Ready(Some(stream.capacity().min(wanted)))
}

fn send(stream: &mut SendStream<Bytes>, piece: &[u8], last: bool) -> Sent {
    match (stream.send_data(Bytes::copy_from_slice(piece), last), last) {
        (Ok(()), true) => Sent::All,
        (Ok(()), false) => Sent::Some,
        (Err(_), _) => Sent::Refused,
    }
}

fn invalid(name: &str, error: &dyn std::fmt::Display) -> Broken {
    Broken::Upstream(Fault::new(
        Code::UpstreamInvalid,
        format!("the reply of {name} is not valid HTTP/2: {error}"),
    ))
}

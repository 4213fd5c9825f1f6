//! The downlink: the reply's head, judged and rewritten, then its content on its way to the caller.

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::{Response, StatusCode};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::super::exchange::{Broken, Finished, MAX_INTERIM, REPLY_BOUNDS};
use super::{Exchange, invalid};
use crate::proxy::client::keep;
use crate::wire::body::{CHUNK_TAIL, LAST_CHUNK, chunk_head};
use crate::wire::framing::{self, Length};
use crate::wire::head::Version;
use crate::wire::headers::{ReplyRules, write_reply};
use crate::wire::http2;

pub(super) struct Downlink {
    pub(super) phase: Down,
    pub(super) reply: Option<ResponseFuture>,
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
    pub(super) waits_for_caller: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Down {
    Head,
    Content,
    Last,
    Flush,
}

impl Downlink {
    /// Nothing has come yet.
    pub(super) fn new() -> Self {
        Self {
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
        }
    }
}

impl Exchange<'_> {
    /// Reads the reply and passes it to the caller.
    pub(super) fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Broken>> {
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
                    let whole = self.uplink.is_whole();
                    return Poll::Ready(Ok(Finished {
                        at: Instant::now(),
                        upstream_reusable: true,
                        keep_alive: whole && self.downlink.keep_alive,
                        request_read: whole && self.client.buffer.is_empty(),
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
                self.lease.answered();
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
        let whole = self.uplink.is_whole();
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
                // The head must not wait for the content; nor must what a TLS session still holds because the caller
                // was slow.
                Poll::Pending => {
                    ready!(self.poll_out(cx))?;
                    let _ = Pin::new(&mut self.client.stream).poll_flush(cx);
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
            keep(&mut client.tap, &slices, count);
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
}

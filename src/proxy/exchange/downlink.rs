//! The downlink: the reply's head, judged and rewritten, then its content on its way to the caller.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::{Broken, Exchange, Finished, invalid, taken};
use crate::proxy::client::keep;
use crate::wire::body::{CHUNK_TAIL, Decoder, LAST_CHUNK, Step, chunk_head};
use crate::wire::end::EndFinder;
use crate::wire::framing::{self, Length};
use crate::wire::head::{Bounds, Version};
use crate::wire::headers::{ReplyRules, write_reply};

/// Bounds on a reply's head: less than the upstream's buffer holds, so that one beyond them is seen as such.
pub(in crate::proxy) const REPLY_BOUNDS: Bounds = Bounds {
    first_line: 8 * 1024,
    bytes: 64 * 1024 - 1,
    fields: 200,
};
/// Payload up to this is copied behind the head.
const SMALL: usize = 4 * 1024;
/// Interim replies (1xx) before the final one; more is a fault of the upstream.
pub(in crate::proxy) const MAX_INTERIM: u8 = 16;

#[derive(Debug)]
pub(super) struct Downlink {
    pub(super) phase: Down,
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
    pub(super) waits_for_caller: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        }
    }
}

impl Exchange<'_> {
    /// Reads the reply and passes it to the caller.
    pub(super) fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, Broken>> {
        loop {
            match self.downlink.phase {
                Down::Head => {
                    ready!(self.poll_out(cx))?;
                    ready!(self.poll_head(cx))?;
                }
                Down::Content => {
                    // While the caller does not take what is there, nothing more is read for it.
                    let taken = self.downlink.payload == 0 && self.downlink.tail.is_empty();
                    if taken && !self.downlink.waits_for_caller {
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
        let whole = self.uplink.is_whole();
        Finished {
            upstream_reusable: whole && self.downlink.reusable && self.upstream.is_clean(),
            keep_alive: whole && self.downlink.keep_alive,
            request_read: whole && self.client.buffer.is_empty(),
            at: Instant::now(),
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
        let whole = self.uplink.is_whole();
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
            if data > 0 && (complete || more_follows || self.upstream.buffer.is_nearly_full()) {
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
        if data <= SMALL && !self.client.out.is_empty() {
            self.join();
        }
    }

    /// Puts the payload and its tail behind the bytes that go before them: a plain write of few bytes costs less than
    /// one of several pieces.
    fn join(&mut self) {
        let (downlink, out) = (&mut self.downlink, &mut self.client.out);
        let payload = std::mem::take(&mut downlink.payload);
        out.extend_from_slice(&self.upstream.buffer.filled()[..payload]);
        out.extend_from_slice(std::mem::take(&mut downlink.tail));
        self.upstream.buffer.consume(payload);
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
            keep(&mut client.tap, &slices[first..last], count);
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
}

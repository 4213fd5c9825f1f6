//! The uplink: the request's head, then its content as the caller sends it, decoded and framed anew.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::{Broken, Exchange, body_too_large, taken};
use crate::fault::{Code, Fault};
use crate::wire::body::{CHUNK_TAIL, Decoder, LAST_CHUNK, Step, chunk_head};
use crate::wire::framing::Length;

/// Content of a chunked or long request is framed in pieces of at most this.
pub(in crate::proxy) const PIECE: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Uplink {
    pub(super) phase: Up,
    decoder: Decoder,
    /// Bytes of the head that were handed over.
    sent: usize,
    /// Content framed for the upstream, and how much of it was handed over.
    piece: Vec<u8>,
    piece_sent: usize,
    /// Waiting for the caller (and not for the upstream to take more).
    pub(super) waits_for_caller: bool,
    /// Writing failed: the reply, or the error on reading, will say why.
    pub(super) failed: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Up {
    Head,
    Content,
    Flush,
    Done,
}

impl Uplink {
    /// Nothing is sent yet.
    pub(super) fn new(length: Length) -> Self {
        Self {
            phase: Up::Head,
            decoder: Decoder::new(length),
            sent: 0,
            piece: Vec::new(),
            piece_sent: 0,
            waits_for_caller: false,
            failed: None,
        }
    }

    /// All of the request was handed to the upstream.
    pub(super) fn is_whole(&self) -> bool {
        self.phase == Up::Done && self.failed.is_none()
    }
}

impl Exchange<'_> {
    /// Sends the head and the content upward. Ready when all is handed over or writing has failed.
    pub(super) fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
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
}

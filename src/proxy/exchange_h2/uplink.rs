//! The uplink: the request's head opens the stream; its content follows as the stream's window allows.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

use super::super::exchange::{Broken, PIECE, body_too_large};
use super::Exchange;
use crate::fault::{Code, Fault};
use crate::wire::body::{Decoder, Step};
use crate::wire::framing::Length;
use crate::wire::http2;

pub(super) struct Uplink<'a> {
    pub(super) phase: Up,
    stream: Option<SendStream<Bytes>>,
    /// Content that came with the head, as far as it is not sent.
    at_hand: &'a [u8],
    decoder: Decoder,
    /// Content was taken from the caller's connection: it cannot be sent again.
    pub(super) taken: bool,
    pub(super) waits_for_caller: bool,
    /// The stream takes no more: the reply, or its absence, will say why.
    failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Up {
    Head,
    Content,
    Done,
}

impl Uplink<'_> {
    /// Nothing is sent yet.
    pub(super) fn new(length: Length) -> Self {
        Self {
            phase: Up::Head,
            stream: None,
            at_hand: b"",
            decoder: Decoder::new(length),
            taken: false,
            waits_for_caller: false,
            failed: false,
        }
    }

    /// All of the request is on its way.
    pub(super) fn is_whole(&self) -> bool {
        self.phase == Up::Done && !self.failed
    }
}

impl Exchange<'_> {
    /// Sends the head and the content upward. Ready when all is sent or the stream takes no more.
    pub(super) fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
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

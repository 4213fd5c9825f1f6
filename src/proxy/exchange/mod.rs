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

mod downlink;
mod uplink;

use std::io;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::client::Client;
use crate::config::settings::Times;
use crate::fault::{Code, Fault, Part};
use crate::upstream::connection::Connection;
use crate::wire::framing::Length;
use crate::wire::head::{Fields, Version};

use downlink::{Down, Downlink};
pub(super) use downlink::{MAX_INTERIM, REPLY_BOUNDS};
pub(super) use uplink::PIECE;
use uplink::{Up, Uplink};

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
    /// When the last of it was passed on.
    pub at: Instant,
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

impl<'a> Exchange<'a> {
    /// An exchange that has not begun.
    pub fn new(client: &'a mut Client, upstream: &'a mut Connection, fields: &'a mut Fields, terms: Terms<'a>) -> Self {
        let (uplink, downlink) = (Uplink::new(terms.length), Downlink::new());
        Self {
            client,
            upstream,
            fields,
            terms,
            uplink,
            downlink,
            progress: Progress::default(),
            // Begins when first nothing moves.
            moved_at: terms.deadline,
            moved: true,
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
        let late = Late {
            thinking,
            no_reply: self.downlink.phase == Down::Head,
            caller_sends: self.uplink.phase != Up::Done && self.uplink.waits_for_caller,
            caller_takes: self.downlink.waits_for_caller || self.downlink.phase == Down::Flush,
        };
        late.broken(&self.upstream.peer)
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

/// What was being waited for when time ran out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    /// All is sent and no reply has begun.
    pub thinking: bool,
    pub no_reply: bool,
    /// The caller has to send content.
    pub caller_sends: bool,
    /// The caller has to take what is there.
    pub caller_takes: bool,
}

impl Late {
    /// Whose fault it is.
    pub(super) fn broken(self, name: &str) -> Broken {
        if self.caller_takes {
            return Broken::CallerGone;
        }
        if self.caller_sends && self.no_reply {
            return Broken::Request(Fault::new(
                Code::RequestTimeout,
                "the caller began a request and did not send its content in time",
            ));
        }
        let what = if self.thinking {
            "did not begin its reply"
        } else if self.no_reply {
            "did not take the request"
        } else {
            "did not finish its reply"
        };
        Broken::Upstream(Fault::new(Code::UpstreamTimeout, format!("{name} {what} in time")))
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

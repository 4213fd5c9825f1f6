//! One request and its reply between a caller's connection and a stream of an HTTP/2 connection (RFC 9113 section 8).
//!
//! The same as `exchange` in all that the caller can see. The head for the upstream was written as HTTP/1.1 text; here
//! it becomes pseudo-fields and fields. The reply's head becomes text again and is judged and rewritten by the rules
//! that HTTP/1.1 replies are. Invariants: content is taken from the caller only as the stream's window allows, and the
//! stream's window grows only as the caller takes the reply; dropping the exchange resets the stream unless it is done.

mod downlink;
mod uplink;

use std::task::{Context, Poll, ready};

use h2::Reason;
use tokio::time::Instant;

use super::client::Client;
use super::exchange::{Broken, Finished, Late, Progress, Terms};
use crate::fault::{Code, Fault};
use crate::upstream::multiplex::Lease;
use crate::wire::head::Fields;

use downlink::{Down, Downlink};
use uplink::{Up, Uplink};

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
    /// The connection had brought a reply, to this request or another one, when it failed.
    pub answered: bool,
    /// When bytes last moved, either way.
    moved_at: Instant,
    moved: bool,
}

impl<'a> Exchange<'a> {
    /// An exchange that has not begun.
    pub fn new(client: &'a mut Client, lease: Lease, fields: &'a mut Fields, terms: Terms<'a>) -> Self {
        Self {
            client,
            lease,
            fields,
            terms,
            uplink: Uplink::new(terms.length),
            downlink: Downlink::new(),
            progress: Progress::default(),
            singled_out: false,
            answered: false,
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
            caller_takes: self.downlink.waits_for_caller || self.downlink.phase == Down::Flush,
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
        self.answered = self.lease.is_answered();
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

fn invalid(name: &str, error: &dyn std::fmt::Display) -> Broken {
    Broken::Upstream(Fault::new(
        Code::UpstreamInvalid,
        format!("the reply of {name} is not valid HTTP/2: {error}"),
    ))
}

//! What is known of a request for its record: filled in as it goes, written once at its end.

use std::sync::Arc;

use tokio::time::Instant;

use super::exchange::Progress;
use super::plan::Lane;
use super::worker::{Worker, Workspace};
use crate::fault::Fault;
use crate::telemetry::exchange::Record;
use crate::telemetry::metrics::RouteMeter;
use crate::upstream::Target;

/// What is known of a request for its record; filled in as it goes.
pub(super) struct Story {
    pub(super) began: Instant,
    /// Of the leg that answers.
    pub(super) meter: Option<Arc<RouteMeter>>,
    /// `None` while ndh alone answers its unit: then there is nothing to say of it.
    pub(super) lane: Option<Arc<Lane>>,
    /// How the standard leg failed, so that ndh was asked in its place.
    pub(super) fallback: Option<String>,
    pub(super) fault: Option<Fault>,
    /// The gateway's reason to refuse, for the operator only.
    pub(super) refused: Option<String>,
    /// The caller's connection ends after this reply.
    pub(super) last: bool,
    pub(super) status: u16,
    pub(super) upstream: Option<Arc<Target>>,
    pub(super) generation: u64,
    pub(super) attempts: u32,
    pub(super) reused: bool,
    pub(super) progress: Progress,
    pub(super) method: Method,
}

/// A method as metrics know it: a short copy, so that nothing points into the buffer any more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Method {
    bytes: [u8; 8],
    len: usize,
}

impl Story {
    /// A story that begins now.
    pub(super) fn new() -> Self {
        Self::since(Instant::now())
    }

    /// One that began before.
    pub(super) fn since(began: Instant) -> Self {
        Self {
            began,
            meter: None,
            lane: None,
            fallback: None,
            fault: None,
            refused: None,
            last: false,
            status: 0,
            upstream: None,
            generation: 0,
            attempts: 0,
            reused: false,
            progress: Progress::default(),
            method: Method::default(),
        }
    }

    /// A part of this request has ended, whose own story this is.
    pub(super) fn take_in(&mut self, part: Self) {
        self.attempts += part.attempts;
        self.upstream = part.upstream.or(self.upstream.take());
        self.generation = self.generation.max(part.generation);
        self.reused = part.reused;
        // There is no reply before the last of the parts has begun.
        self.progress.first_byte = self.progress.first_byte.max(part.progress.first_byte);
    }
}

impl Method {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut method = Self::default();
        if text.len() <= method.bytes.len() {
            method.bytes[..text.len()].copy_from_slice(text);
            method.len = text.len();
        }
        method
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

/// One access line and one sample. Answers when the request ended.
pub(super) fn record(worker: &Worker, story: &Story, workspace: &Workspace) -> Instant {
    let ended = Instant::now();
    if let (Some(target), Some(_)) = (&story.upstream, &story.fault) {
        target.meter.failed();
    }
    let detail = story
        .fault
        .as_ref()
        .map(|fault| fault.detail.as_ref())
        .or(story.refused.as_deref());
    worker.scribe.borrow_mut().close(Record {
        meter: story.meter.as_deref(),
        method: story.method.as_str(),
        unit: story.lane.as_ref().map(|lane| lane.rule.unit.as_ref()),
        mode: story.lane.as_ref().map(|lane| lane.rule.effective.mode.as_str()),
        fallback: story.fallback.as_deref(),
        status: story.status,
        code: story.fault.as_ref().map(|fault| fault.code),
        detail,
        upstream: story.upstream.as_ref().map(|target| target.name.as_str()),
        generation: story.generation,
        attempts: story.attempts,
        reused: story.reused,
        request_bytes: story.progress.request_bytes,
        reply_bytes: story.progress.reply_bytes,
        duration: ended.duration_since(story.began),
        first_byte: story.progress.first_byte.map(|at| at.duration_since(story.began)),
        request_id: &workspace.request_id,
        trace_id: workspace.trace_parent.get(3..35).unwrap_or_default(),
        aborted: story.progress.answered && story.fault.is_some(),
    });
    ended
}

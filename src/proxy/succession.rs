//! A request that met a refusal of our certificate, and the certificate that comes in its place.
//!
//! Such an alert is the other side's answer to the handshake: under TLS 1.3 it comes after ours is done, but no byte of
//! the request was looked at before it (RFC 8446 sections 4.4.2.4 and 6.2). So any request, of any method, may be sent
//! again if it is all at hand: once, with another certificate, if one comes into use in a moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Story;
use super::exchange::{Broken, Progress};
use super::worker::Lender;
use crate::fault::Code;
use crate::identity::{Generation, Standing};
use crate::upstream::Target;

/// A way back is tried before it is taken: that is a handshake and a request.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// The other side refused the certificate before it took anything of the request.
pub(super) fn refused_unread(broken: &Broken, answered: bool, progress: &Progress, replayable: bool) -> bool {
    let refusal = matches!(broken, Broken::Upstream(fault)
        if matches!(fault.code, Code::IdentityRejected | Code::IdentityExpired));
    refusal && !answered && !progress.reply_begun && (replayable || !progress.request_begun)
}

/// The upstream's reply was passed on whole.
pub(super) fn replied(story: &mut Story, generation: &Generation) {
    story.status = story.progress.status.unwrap_or(0);
    if generation.identity.is_some() && looks_like_a_refusal(story.status) {
        generation.doubt();
    }
}

/// How servers say in HTTP that they do not accept the certificate (nginx: 400) or whom it names (403). The answer may as
/// well be about the request: it is a reason to ask, and no refusal yet.
const fn looks_like_a_refusal(status: u16) -> bool {
    matches!(status, 400 | 401 | 403 | 495 | 496)
}

impl Lender {
    /// The same place with another generation, as soon as one is in use; `None` when none comes.
    pub(super) async fn successor(&self, target: &Target, deadline: Instant) -> Option<Arc<Target>> {
        let refused = generation(target)?;
        if !refused.gives_way() {
            return None;
        }
        let until = deadline.min(Instant::now() + PATIENCE);
        loop {
            let latest = self.target.borrow().clone();
            let same_head = latest.host == target.host && latest.base_path == target.base_path;
            match generation(&latest) {
                Some(other) if other.number != refused.number => return same_head.then_some(latest),
                _ => {}
            }
            if Instant::now() >= until || !refused.gives_way() {
                return None;
            }
            sleep(LOOK).await;
        }
    }
}

fn generation(target: &Target) -> Option<&Arc<Generation>> {
    match &target.standing {
        Standing::Ready(generation) => Some(generation),
        Standing::Absent(_) => None,
    }
}

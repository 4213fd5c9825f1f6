//! The control socket: everything that changes the running process, asked for over HTTP on a unix socket.
//!
//! ```text
//! GET  /identity           what is in use, what comes next       POST /identity/stage      look for new files now
//! GET  /ready              ready, or what is waited for          POST /identity/promote    use the certificate that waits
//! POST /shutdown           drain and end                         POST /identity/rollback   go back to the one before
//! ```
//!
//! Who may connect may command: the socket has mode 0600 from the moment it exists. Nothing is decided here; each command
//! goes to the main thread and its answer comes back. Whatever may change something is an audit line with the uid and pid
//! that the kernel names.

pub mod client;
mod order;
mod serve;
mod socket;

pub use serve::serve;
pub use socket::{BindError, Listener, bind};

use tokio::sync::oneshot;

use crate::identity::status::Report;

/// What is asked of the main thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Status,
    Stage(Which),
    Promote(Which),
    /// With the reason, which is never empty.
    RollBack(Which, String),
    Ready,
    Shutdown,
}

/// Which certificates are meant; with nothing named, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// The configured name of an identity.
    pub identity: Option<String>,
    pub upstream: Option<String>,
}

/// A command, and where its answer is waited for.
#[derive(Debug)]
pub struct Asked {
    pub command: Command,
    /// `uid 1000 pid 17`, as the kernel says.
    pub by: String,
    /// Closed once nobody waits any more.
    pub reply: oneshot::Sender<Result<Reply, Refusal>>,
}

/// A command was carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Report(Report),
    /// What was done, in words.
    Done(String),
    /// `pending`: name of each condition that is not met, and what is waited for.
    Ready {
        ready: bool,
        pending: Vec<(String, String)>,
    },
}

/// A command was not carried out, and nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable, for scripts.
    pub code: &'static str,
    pub status: u16,
    /// What was found and what to do.
    pub sentence: String,
}

impl Refusal {
    /// A refusal with a sentence for the operator.
    pub fn new(status: u16, code: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            code,
            status,
            sentence: sentence.into(),
        }
    }

    /// The process is on its way out and takes no more commands.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::new(
            503,
            "shutting_down",
            "the process is shutting down and takes no more commands",
        )
    }
}

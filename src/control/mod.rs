//! The control socket: everything that changes the running process, asked for over HTTP on a unix socket.
//!
//! ```text
//! GET  /identity           what is in use, what comes next       POST /identity/stage      look for new files now
//! GET  /ready              ready, or what is waited for          POST /identity/promote    use the certificate that waits
//! POST /shutdown           drain and end                         POST /identity/rollback   go back to the one before
//! GET  /route              who answers, with the evidence        POST /route/set           another mode, for a while
//!                                                                POST /route/reset         what is configured, at once
//! ```
//!
//! Who may connect may command: the socket has mode 0600 from the moment it exists. Nothing is decided here; each command
//! goes to the main thread and its answer comes back. Whatever may change something is an audit line with the uid and pid
//! that the kernel names.

pub mod client;
mod order;
mod route;
mod serve;
mod socket;

pub use serve::serve;
pub use socket::{BindError, Listener, bind};

use tokio::sync::oneshot;

use crate::identity::status::Report;
use crate::switch;

/// What is asked of the main thread.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Status,
    Stage(Which),
    Promote(Which),
    /// With the reason, which is never empty.
    RollBack(Which, String),
    Ready,
    Shutdown,
    /// Every unit of the switch-over.
    Routes,
    /// An override of one unit.
    SetRoute {
        unit: String,
        order: switch::Order,
    },
    /// The end of override and roll-back of one unit.
    ResetRoute(Reset),
}

/// What ends with a reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    pub unit: String,
    pub reason: String,
    pub by: String,
    /// The evidence begins anew as well.
    pub evidence: bool,
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
    Routes(switch::report::Report),
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

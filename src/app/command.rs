//! `run -- COMMAND`: the command beside the sidecar, and the signals that the process takes.

use std::ffi::OsString;
use std::process::ExitStatus;

use anyhow::Context as _;
use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Asks a process to end.
pub(super) const TERMINATE: rustix::process::Signal = rustix::process::Signal::TERM;
/// What a terminal sends on Ctrl-C.
pub(super) const INTERRUPT: rustix::process::Signal = rustix::process::Signal::INT;

/// The signals that mean something to us.
pub(super) struct Signals {
    pub(super) hangup: Signal,
    pub(super) usr1: Signal,
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Starts the command; it is killed should we end before it.
pub(super) fn start(command: &[OsString]) -> anyhow::Result<Child> {
    let (program, arguments) = command.split_first().context("`run --` needs a command")?;
    Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", program.to_string_lossy()))
}

/// Passes a signal on to the command; its end will then be ours. `false`: there is none.
pub(super) fn forward(child: Option<&Child>, signal: rustix::process::Signal) -> bool {
    let pid = child
        .and_then(Child::id)
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// The end of the command; never, if there is none.
pub(super) async fn wait(child: Option<&mut Child>) -> std::io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

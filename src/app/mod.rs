//! Settings → bound listeners → run until drained; reload on the way.
//!
//! The main thread decides and the workers serve: it reads settings and identity files, publishes plans, answers
//! probes, takes signals. A bad new configuration changes nothing; the plan in force stays.

mod beside;
pub mod build;
mod command;
mod identities;
mod lanes;
mod report;
mod service;
mod start;
mod switching;
mod terms;
mod trials;
mod units;
mod wishes;
pub mod worker;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;

use crate::config::settings::{Address, GatewaySettings, Settings};

use service::Service;

/// What is to be served.
#[derive(Clone, Debug)]
pub enum Kind {
    Sidecar(Box<Settings>),
    Gateway(Box<GatewaySettings>),
}

/// Where settings come from once the process runs.
pub trait Origin {
    /// A number that changes when the text of the configuration does.
    fn fingerprint(&mut self) -> u64;
    /// Reads the settings anew.
    ///
    /// # Errors
    /// The whole list of problems, for the log.
    fn read(&mut self) -> Result<Kind, String>;
}

/// What to start.
pub struct Start {
    pub kind: Kind,
    pub origin: Box<dyn Origin>,
    /// Written once everything listens: the real addresses, as JSON.
    pub ready_file: Option<PathBuf>,
    /// To be run beside the sidecar; its end is ours.
    pub command: Option<Vec<OsString>>,
}

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    Drained,
    /// Requests were under way at the deadline.
    Late,
    /// The command ended, and the sidecar with it.
    Command(ExitStatus),
}

/// Runs until drained.
///
/// # Errors
/// What kept it from starting, or ended it.
pub fn run(start: Start) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let mut service = runtime.block_on(async { Service::start(start) })?;
    let outcome = runtime.block_on(service.supervise());
    service.close();
    // Name resolution may still hold a thread; it must not hold the exit.
    runtime.shutdown_background();
    outcome
}

impl Kind {
    fn workers(&self) -> usize {
        match self {
            Self::Sidecar(settings) => settings.listen.workers,
            Self::Gateway(settings) => settings.workers,
        }
    }

    /// Of the sidecar; the gateway switches nothing.
    fn settings(&self) -> Option<&Settings> {
        match self {
            Self::Sidecar(settings) => Some(settings),
            Self::Gateway(_) => None,
        }
    }

    fn address(&self) -> Address {
        match self {
            Self::Sidecar(settings) => settings.listen.address.clone(),
            Self::Gateway(settings) => Address::Tcp(settings.address),
        }
    }

    fn observe(&self) -> Option<SocketAddr> {
        match self {
            Self::Sidecar(settings) => settings.observe.as_ref(),
            Self::Gateway(settings) => settings.observe.as_ref(),
        }
        .map(|observe| observe.address)
    }

    fn control(&self) -> Option<&Path> {
        match self {
            Self::Sidecar(settings) => settings.control.as_ref(),
            Self::Gateway(settings) => settings.control.as_ref(),
        }
        .map(|control| control.socket.as_path())
    }

    fn log(&self) -> &crate::config::settings::Log {
        match self {
            Self::Sidecar(settings) => &settings.log,
            Self::Gateway(settings) => &settings.log,
        }
    }

    fn drain_deadline(&self) -> Duration {
        match self {
            Self::Sidecar(settings) => settings.listen.drain_deadline,
            Self::Gateway(settings) => settings.drain_deadline,
        }
    }

    /// What a reload cannot change, in words; for comparison.
    fn fixed(&self) -> String {
        format!(
            "{:?} {:?} {} {:?} {:?} {:?}",
            self.settings()
                .map(|settings| (&settings.switch.state, &settings.switch.shadow)),
            self.address(),
            self.workers(),
            self.observe(),
            self.control(),
            self.log()
        )
    }
}

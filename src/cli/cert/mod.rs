//! `cert …`: what operators ask about certificates, with the judgement of the TLS stack.

pub mod inspect;
pub mod renewal;
pub mod request;
pub mod secret;
pub mod verify;

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use crate::cert::verify::Purpose as Side;

/// Inspect, verify, renew, request and pack certificates.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    NeedsRenewal(renewal::NeedsRenewal),
    Request(request::RequestArgs),
    Secret(secret::SecretArgs),
}

/// Which side of a handshake a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    Client,
    Server,
}

impl From<Purpose> for Side {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Client => Self::Client,
            Purpose::Server => Self::Server,
        }
    }
}

/// Runs a `cert` command.
#[must_use]
pub fn cert(command: CertCommand) -> ExitCode {
    match command {
        CertCommand::Inspect(args) => inspect::inspect(&args),
        CertCommand::Verify(args) => verify::verify(&args),
        CertCommand::NeedsRenewal(args) => renewal::needs_renewal(&args),
        CertCommand::Request(args) => request::request(&args),
        CertCommand::Secret(args) => secret::secret(&args),
    }
}

//! `ca …`: a small CA for development, staging and rehearsals, in a directory.
//!
//! `ca init` makes root and issuing CA, `ca issue` and `ca sign` leafs of any validity window, also expired and not yet
//! valid ones, `ca revoke` and `ca crl` the revocation list. Certificates and keys are written once: nothing here
//! overwrites them. Keys have mode 0600 from their first byte on. Never for production.
//!
//! Exit codes: 0 done, 1 failed (nothing was overwritten), 2 usage (clap).

mod directory;
mod index;
mod init;
mod issue;
mod made;
mod revoke;
mod sign;
mod window;

use std::process::ExitCode;

use clap::Subcommand;

use super::output::{self, Format, Show};
use crate::clock;

pub(in crate::cli) use directory::signer_name;
pub use issue::{KeyType, Side};

/// A small certificate authority, for development and staging only.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make a new CA: root, issuing CA, index and an empty revocation list in a directory.
    #[command(after_help = "Examples:\n  delius-sidecar ca init --dir certs-dev/ca\n  \
                            delius-sidecar ca init --dir certs-dev/ca --root-only --name \"one CA for all\"")]
    Init(init::Init),
    /// Make the next issuing CA under the same root: certificates are signed by it from then on.
    #[command(after_help = "Example: delius-sidecar ca rollover --dir certs-dev/ca")]
    Rollover(init::Rollover),
    /// Issue a certificate with a new key: tls.crt, tls.key and ca.crt in a directory.
    #[command(
        after_help = "Examples:\n  delius-sidecar ca issue --dir certs-dev/ca --dns allocation-manager --out certs-dev/client\n  \
                      delius-sidecar ca issue --dir certs-dev/ca --dns ndh.example --purpose server \\\n    --out certs-dev/gateway\n  \
                      delius-sidecar ca issue --dir certs-dev/ca --dns allocation-manager --valid-for 90s \\\n    --out certs-dev/brief\n  \
                      delius-sidecar ca issue --dir certs-dev/ca --dns allocation-manager --out certs-dev/expired \\\n    \
                      --not-before 2024-01-01T00:00:00Z --not-after 2024-06-30T23:59:59Z"
    )]
    Issue(issue::Issue),
    /// Sign a certificate request: names come from the request, dates and purpose from here.
    #[command(
        after_help = "Example:\n  delius-sidecar ca sign --dir certs-dev/ca --csr allocation-manager.csr --out certs-dev/signed"
    )]
    Sign(sign::Sign),
    /// Take a certificate back: the index says so, and crl.pem is replaced.
    #[command(
        after_help = "Examples:\n  delius-sidecar ca revoke --dir certs-dev/ca --cert certs-dev/client/tls.crt \\\n    --reason key-compromise\n  \
                      delius-sidecar ca revoke --dir certs-dev/ca --serial 4f0c…e1 --crl-valid-for 8h"
    )]
    Revoke(revoke::Revoke),
    /// Renew the revocation list without revoking anything.
    #[command(
        after_help = "Examples:\n  delius-sidecar ca crl --dir certs-dev/ca --valid-for 7d\n  \
                      delius-sidecar ca crl --dir certs-dev/ca --stale"
    )]
    Crl(revoke::Crl),
}

/// Runs a `ca` command.
#[must_use]
pub fn ca(command: CaCommand) -> ExitCode {
    let now = clock::unix_seconds();
    match command {
        CaCommand::Init(args) => finish(args.run(now), args.output),
        CaCommand::Rollover(args) => finish(args.run(now), args.output),
        CaCommand::Issue(args) => finish(args.run(now), args.output),
        CaCommand::Sign(args) => finish(args.run(now), args.output),
        CaCommand::Revoke(args) => finish(args.run(now), args.output),
        CaCommand::Crl(args) => finish(args.run(now), args.output),
    }
}

/// A result with what is worth knowing about it.
trait Noted: Show {
    fn notes(&self) -> &[String];
}

impl Noted for made::Made {
    fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Noted for made::Taken {
    fn notes(&self) -> &[String] {
        &self.notes
    }
}

fn finish(result: anyhow::Result<impl Noted>, format: Format) -> ExitCode {
    output::finish(result.and_then(|result| {
        for note in result.notes() {
            output::note(note);
        }
        Ok(output::print(&result, format)?)
    }))
}

#[cfg(test)]
mod tests;

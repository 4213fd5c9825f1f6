//! `cert inspect`: what a file, a directory, a server or the running sidecar shows.
//!
//! It describes and does not judge whether something is accepted (`cert verify` does): findings are notes. Of a key
//! nothing is told but its kind and which certificate it belongs to. Text from certificates and from servers is made
//! fit for a terminal before it gets here.
//!
//! Exit codes: 0 everything was shown; 1 a target could not be, or did not stand the check that was asked for (`--ca`,
//! `--cert`); the others are shown all the same. 2 usage.

mod material;
mod place;
mod running;
mod server;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::output::{self, Format, Show};
use super::super::span;
use super::Side;
use crate::cert::facts::{date, printable};
use crate::clock;
use show::Report;

/// Where a sidecar's `observe` listener is unless configured otherwise.
const OBSERVE: &str = "http://127.0.0.1:9090";

/// Show certificates: of files, a directory, a Kubernetes secret, a server, the running sidecar; never a key.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  delius-sidecar cert inspect certs-dev/client/tls.crt\n  \
                        delius-sidecar cert inspect /etc/delius-sidecar/identity\n  \
                        delius-sidecar cert inspect ndh.example:8443 --ca ca.crt --cert tls.crt --key tls.key\n  \
                        delius-sidecar cert inspect --running --output json")]
pub struct Inspect {
    /// A file (certificates, request, CRL or key; PEM or DER), a directory, host:port, or http://… of a running sidecar.
    #[arg(value_name = "TARGET", required_unless_present = "running")]
    targets: Vec<String>,
    /// The certificates that a running sidecar or gateway uses, from its observe address.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = OBSERVE)]
    running: Option<String>,
    /// For host:port: whether the server's certificate leads to these CAs and carries the name.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For host:port: the client certificate to show if the server asks.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// For host:port: its key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// For host:port: the name to ask for, where it is not the host.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// For host:port and http://…: how long each step may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span::parse_positive)]
    timeout: i64,
    /// The password of a PKCS#12 file; its certificates are shown then.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// From which side the findings look at files; by itself, from the side that the certificate is for.
    #[arg(long, value_enum)]
    purpose: Option<Purpose>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

pub(super) use super::Purpose;

/// Everything that was looked at.
struct Reports {
    now: i64,
    reports: Vec<Report>,
}

/// Runs `cert inspect`.
#[must_use]
pub fn inspect(args: &Inspect) -> ExitCode {
    let now = clock::unix_seconds();
    let mut reports: Vec<Report> = args.targets.iter().map(|target| args.one(target, now)).collect();
    if let Some(url) = &args.running {
        reports.push(running::look(url, args.timeout));
    }
    let failed = reports.iter().any(Report::failed);
    let printed = output::print(&Reports { now, reports }, args.output);
    match printed {
        Ok(()) if failed => ExitCode::FAILURE,
        done => output::finish(done.map_err(Into::into)),
    }
}

impl Inspect {
    fn one(&self, target: &str, now: i64) -> Report {
        if target.starts_with("http://") {
            return running::look(target, self.timeout);
        }
        let path = Path::new(target);
        if path.symlink_metadata().is_ok() {
            let side = self.purpose.map(Side::from);
            return if path.is_dir() {
                place::directory(path, side, now)
            } else {
                place::file(path, side, self.password_file.as_deref(), now)
            };
        }
        match server::address(target) {
            Some((host, port)) => server::look(self, target, &host, port, now),
            None => Report::of(target, "unknown").wrong(format!(
                "{} is not there as a file or directory, and is not of the form host:port or http://host:port",
                printable(target)
            )),
        }
    }
}

impl Show for Reports {
    fn text(&self) -> String {
        let texts: Vec<String> = self.reports.iter().map(|report| report.text(self.now)).collect();
        texts.join("\n")
    }

    fn json(&self) -> Value {
        json!({ "now": date(self.now), "targets": self.reports })
    }
}

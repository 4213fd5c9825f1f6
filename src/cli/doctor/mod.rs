//! `doctor`: the real path, from the files here to the answer over there, and one verdict in words.
//!
//! It reads the configuration and the files that the sidecar reads, and makes connections of its own: a running sidecar
//! is not asked and does not notice. Checks go in the order in which things can go wrong; what cannot be looked at after
//! a failure is skipped, and says why.
//!
//! Exit codes: 0 the path works (there may be warnings), 1 it does not, 2 the configuration cannot be used.

mod files;
mod refusals;
mod report;
mod request;
mod round;
mod server;
mod strangers;
mod trust;
mod way;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustls_pki_types::ServerName;

use super::check::{self, ConfigArgs};
use super::output::{self, Format};
use crate::cert::load::Bundle;
use crate::clock;
use crate::config::settings::{Scheme, Settings, Upstream};
use crate::config::{self, Style};
use crate::identity::preflight::Request;
use crate::rehearsal::delius::parse_duration;
use crate::transport::dial::Endpoint;
use report::{Line, Lines, Report, Subject};

/// Diagnose the real path end to end: one verdict in words.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  delius-sidecar doctor --config config/production.toml\n  \
                  delius-sidecar doctor --path /health --output json\n  \
                  delius-sidecar doctor --refusals --ca-dir certs-dev/ca\n  \
                  delius-sidecar doctor --refusals --refusal-certs /etc/refusals --every 60s\n\n\
                  --refusals tries to get in where nobody should, and fails if anyone is let in.\n\n\
                  Exit codes: 0 the path works (warnings are possible), or nobody was let in; 1 it does not, or somebody was;\n\
                  2 the configuration cannot be used."
)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    file: ConfigArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    /// The longest wait for each step (connection, handshake, reply) instead of the configured ones.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    patience: Option<Duration>,
    /// The path to GET, behind the upstream's base path; otherwise the configured `trial`, or `GET /`.
    #[arg(long, value_name = "PATH", value_parser = path)]
    path: Option<String>,
    /// Look at this upstream only.
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Try to get in where nobody should: no certificate, self-signed, another CA, expired, …
    #[arg(long)]
    refusals: bool,
    /// The directory of our `ca`, to make the certificates that only the right CA can (expired, wrong name, …).
    #[arg(long, value_name = "DIR", requires = "refusals")]
    ca_dir: Option<PathBuf>,
    /// Directories expired, not-yet-valid, server-only, wrong-name, revoked, each with tls.crt and tls.key.
    #[arg(long, value_name = "DIR", requires = "refusals")]
    refusal_certs: Option<PathBuf>,
    /// Try again and again, one line a round, until SIGTERM.
    #[arg(long, value_name = "DURATION", requires = "refusals", value_parser = duration)]
    every: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("expected a duration such as 5s or 500ms, found {text:?}"))
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| matches!(byte, 0x21..=0x7e)) {
        Ok(text.to_owned())
    } else {
        Err(String::from(
            "expected a path such as /health, percent-encoded where needed",
        ))
    }
}

/// Runs the command.
#[must_use]
pub(super) fn doctor(args: &DoctorArgs) -> ExitCode {
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(said) => {
            let _ = writeln!(io::stderr(), "{}", said.trim_end());
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    if args.refusals {
        return runtime.block_on(refusals::run(args, &settings));
    }
    let lines = runtime.block_on(examine(args, &settings, clock::unix_seconds()));
    let report = Report { lines };
    if let Err(error) = output::print(&report, args.output) {
        output::error(&error.into());
        return ExitCode::FAILURE;
    }
    if report.failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The settings, or everything that is wrong with them.
fn settings(args: &DoctorArgs) -> Result<Settings, String> {
    let style = if io::stderr().is_terminal() {
        Style::Colour
    } else {
        Style::Plain
    };
    let layers = check::read(args.file.config.as_deref()).map_err(|problems| problems.annotated(style))?;
    if layers.is_gateway() {
        return Err(String::from(
            "error: this is the configuration of a gateway, and doctor looks from the sidecar's side; give it the \
             sidecar's configuration, or use `check --gateway` here",
        ));
    }
    let loaded =
        config::load_run(&layers.sources, &check::environment()).map_err(|problems| problems.annotated(style))?;
    if !loaded.warnings.is_empty() {
        let _ = writeln!(io::stderr(), "{}", loaded.warnings.annotated(style));
    }
    match &args.upstream {
        Some(name) if !loaded.settings.upstreams.contains_key(name) => {
            let known: Vec<&str> = loaded.settings.upstreams.keys().map(String::as_str).collect();
            Err(format!(
                "error: there is no upstream {name:?}; there is: {}",
                known.join(", ")
            ))
        }
        _ => Ok(loaded.settings),
    }
}

/// One upstream, as it is to be looked at.
struct Ground<'a> {
    upstream: &'a Upstream,
    endpoint: Endpoint,
    /// `host:port`, for sentences.
    peer: String,
    host: Vec<u8>,
    request: Request,
    /// The identity in its files, fit or not.
    bundle: Option<&'a Bundle>,
}

async fn examine(args: &DoctorArgs, settings: &Settings, now: i64) -> Vec<Line> {
    let wanted = |name: &String| args.upstream.as_ref().is_none_or(|only| only == name);
    let mut all = Lines::about(Subject::Process);
    all.ok("user", format!("this is {}", files::myself()));
    let mut list = all.into_list();
    let mut bundles = BTreeMap::new();
    for (name, identity) in &settings.identities {
        let mut users = settings
            .upstreams
            .iter()
            .filter(|(_, upstream)| upstream.identity.as_ref() == Some(name));
        if args.upstream.is_some() && !users.any(|(name, _)| wanted(name)) {
            continue;
        }
        let mut lines = Lines::about(Subject::Identity(name.clone()));
        if let Some(bundle) = files::identity(identity, now, &mut lines) {
            bundles.insert(name.clone(), bundle);
        }
        list.extend(lines.into_list());
        let mut lines = Lines::about(Subject::Staged(name.clone()));
        files::next_identity(identity, now, &mut lines);
        list.extend(lines.into_list());
    }
    for (name, upstream) in settings.upstreams.iter().filter(|(name, _)| wanted(name)) {
        let mut lines = Lines::about(Subject::Upstream(name.clone()));
        let bundle = upstream.identity.as_ref().and_then(|identity| bundles.get(identity));
        match Ground::new(args, upstream, bundle) {
            Ok(ground) => ground.examine(now, &mut lines).await,
            Err(name) => lines.fail(
                "server name",
                format!("{name:?} is neither a DNS name nor an address"),
                "a name that a certificate can carry",
                "correct `url` or `server_name`",
            ),
        }
        list.extend(lines.into_list());
    }
    list
}

impl<'a> Ground<'a> {
    fn new(args: &DoctorArgs, upstream: &'a Upstream, bundle: Option<&'a Bundle>) -> Result<Self, String> {
        let wanted = upstream.server_name.as_deref().unwrap_or(&upstream.host);
        let times = &upstream.times;
        let endpoint = Endpoint {
            host: upstream.host.clone(),
            port: upstream.port,
            server_name: ServerName::try_from(wanted.to_owned()).map_err(|_| wanted.to_owned())?,
            connect: args.patience.unwrap_or(times.connect),
            handshake: args.patience.unwrap_or(times.handshake),
        };
        let bracketed = if wanted.contains(':') {
            format!("[{wanted}]")
        } else {
            wanted.to_owned()
        };
        let host = match (upstream.scheme, upstream.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => bracketed,
            (_, port) => format!("{bracketed}:{port}"),
        };
        let (method, path, proves) = match (&args.path, &upstream.trial) {
            (Some(path), _) => ("GET", path.as_str(), true),
            (None, Some(trial)) => (trial.method.as_str(), trial.path.as_str(), true),
            (None, None) => ("GET", "/", false),
        };
        Ok(Self {
            upstream,
            peer: endpoint.to_string(),
            request: Request {
                method: method.to_owned(),
                target: format!("{}{path}", upstream.base_path),
                host: host.clone().into_bytes(),
                authorization: None,
                first_byte: args.patience.unwrap_or(times.first_byte),
                proves,
            },
            host: host.into_bytes(),
            endpoint,
            bundle,
        })
    }

    /// A request that is only to be answered, by whatever answers there; it waits no longer than a handshake.
    fn late_look(&self) -> Request {
        Request {
            method: String::from("HEAD"),
            target: String::from("/"),
            host: self.host.clone(),
            authorization: None,
            first_byte: self.endpoint.handshake,
            proves: false,
        }
    }

    async fn examine(&self, now: i64, lines: &mut Lines) {
        if self.upstream.scheme == Scheme::Http {
            lines.warn(
                "tls",
                format!("http://{} is in the clear", self.peer),
                "https, but in development",
                "name an https URL",
            );
            if way::reach(self, lines).await {
                request::ask_in_the_clear(self, now, lines).await;
            } else {
                lines.skip("request", "there is no connection");
            }
            return;
        }
        let trusted = trust::examine(self.upstream, now, lines);
        if let (Some(bundle), Some(trusted)) = (self.bundle, &trusted) {
            trust::revocation(bundle, trusted, lines);
        }
        if !way::reach(self, lines).await {
            lines.skip("tls", "there is no connection");
            lines.skip("request", "there is no connection");
            return;
        }
        let Some(seen) = way::handshake(self, lines).await else {
            lines.skip("server certificate", "none was shown");
            lines.skip("request", "there is no TLS connection");
            return;
        };
        let accepted = match &trusted {
            Some(trusted) => server::certificate(self, &seen, trusted, now, lines),
            None => {
                lines.skip("server certificate", "there is no trust bundle to judge it by");
                false
            }
        };
        request::asked(self, &seen, lines);
        let identity_lacks = self.upstream.identity.is_some() && self.bundle.is_none();
        match &trusted {
            _ if identity_lacks => lines.skip("request", "there is no identity to show"),
            Some(trusted) if accepted => request::ask(self, &seen, trusted, now, lines).await,
            _ => lines.skip(
                "request",
                "the server's certificate is not acceptable: nothing is sent to it",
            ),
        }
    }
}

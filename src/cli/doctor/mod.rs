//! `doctor`: the real path, from the files here to the answer over there, and one verdict in words.
//!
//! It reads the configuration and the files that the sidecar reads, and makes connections of its own: a running sidecar
//! is not asked and does not notice. Checks go in the order in which things can go wrong; what cannot be looked at after
//! a failure is skipped, and says why. Tokens are fetched with the same request, and each leg's upstream gets one real
//! request with its token.
//!
//! Exit codes: 0 the path works (there may be warnings), 1 it does not, 2 the configuration cannot be used.

mod bearer;
mod claims;
mod client;
mod clocks;
mod files;
mod grant;
mod ground;
mod legs;
mod nobody;
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

use super::check::{self, ConfigArgs};
use super::output::{self, Format};
use super::span::duration_positive;
use crate::clock;
use crate::config::settings::{Settings, Source};
use crate::config::{self, Style};
use grant::Held;
use ground::Ground;
use legs::Legs;
use nobody::Path;
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
    #[arg(long = "for", value_name = "DURATION", value_parser = duration_positive)]
    patience: Option<Duration>,
    /// The path to GET, behind the upstream's base path; otherwise the configured `trial`, or `GET /`; with a token, a read
    /// about nobody rather than a probe.
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
    #[arg(long, value_name = "DURATION", requires = "refusals", value_parser = duration_positive)]
    every: Option<Duration>,
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
    let mut legs = Legs::of(settings);
    let mut held: BTreeMap<&String, Held> = BTreeMap::new();
    let of_wanted = |legs: &Legs<'_>, token: &str| {
        let named = settings.upstreams.keys().filter(|name| wanted(name));
        args.upstream.is_none() || named.into_iter().any(|name| legs.tokens(name).contains(&token))
    };
    for (name, token) in &settings.tokens {
        if let Source::ClientCredentials(credentials) = &token.source
            && of_wanted(&legs, name)
        {
            let mut lines = Lines::about(Subject::Token(name.clone()));
            let standard = legs.token_is_for_standard(name);
            held.extend(
                grant::of_server(args, (token, credentials), standard, now, &mut lines)
                    .await
                    .map(|got| (name, got)),
            );
            list.extend(legs.weighed(lines));
        }
    }
    let mut reached = BTreeMap::new();
    for (name, upstream) in settings.upstreams.iter().filter(|(name, _)| wanted(name)) {
        let mut lines = Lines::about(Subject::Upstream(name.clone()));
        let bundle = upstream.identity.as_ref().and_then(|identity| bundles.get(identity));
        let ground = match Ground::new(args, upstream, bundle) {
            Ok(ground) => ground,
            Err(name) => {
                ground::unnameable(&name, &mut lines);
                list.extend(legs.weighed(lines));
                continue;
            }
        };
        let way = ground.look(now, &mut lines).await;
        if legs.tokens(name).is_empty() || legs.asks_without_token(name) {
            request::without_token(&ground, &way, now, &mut lines).await;
        }
        list.extend(legs.weighed(lines));
        for (token_name, token) in &settings.tokens {
            if let Source::DeliusLogon(logon) = &token.source
                && logon.upstream == *name
            {
                let mut lines = Lines::about(Subject::Token(token_name.clone()));
                let got = grant::of_logon(args, (token, logon), (&ground, &way), now, &mut lines).await;
                held.extend(got.map(|got| (token_name, got)));
                list.extend(legs.weighed(lines));
            }
        }
        reached.insert(name, (ground, way));
    }
    for (name, (ground, way)) in &reached {
        for token in legs.tokens(name) {
            let mut lines = Lines::about(Subject::Leg((*name).clone(), token.to_owned()));
            let path = Path::of(&legs, args, name, token);
            match held.get(&token.to_owned()) {
                Some(held) => bearer::with_token((ground, way), held, &path, now, &mut lines).await,
                None => lines.skip("request", format!("there is no token of [token.{token}]: see above")),
            }
            list.extend(legs.weighed(lines));
        }
    }
    let mut lines = Lines::about(Subject::Routes);
    legs.modes(args.upstream.as_deref(), &mut lines);
    list.extend(lines.into_list());
    list
}

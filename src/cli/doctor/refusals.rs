//! `doctor --refusals`: tries to get in where nobody should, and fails if anyone is let in.
//!
//! Every attempt is a connection of its own with one real request. The first shows the real identity: where that does
//! not get in, no refusal proves anything. Made to run continuously: one line a round, until SIGTERM.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::ground::Ground;
use super::report::{Lines, Subject};
use super::round::{Outcome, Round, Rounds, judge};
use super::strangers::{self, Shows};
use super::{DoctorArgs, files, trust};
use crate::cert::facts::date;
use crate::cert::load::Bundle;
use crate::cli::output::{self, Format};
use crate::clock;
use crate::config::settings::{Scheme, Settings, Upstream};
use crate::identity::preflight;
use crate::transport::tls;

pub(super) async fn run(args: &DoctorArgs, settings: &Settings) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        output::error(&anyhow::anyhow!("signals cannot be waited for"));
        return ExitCode::FAILURE;
    };
    // A slip in a path would leave half of the strangers untried for as long as this runs.
    for (option, directory) in [("--ca-dir", &args.ca_dir), ("--refusal-certs", &args.refusal_certs)] {
        if let Some(missing) = directory.as_ref().filter(|directory| !directory.is_dir()) {
            output::error(&anyhow::anyhow!("{option} {} is not a directory", missing.display()));
            return ExitCode::from(2);
        }
    }
    let mut well = true;
    loop {
        let round = async {
            let rounds = rounds(args, settings, clock::unix_seconds()).await;
            if rounds.is_empty() {
                let why = "no upstream is reached by TLS with an identity: there is no refusal to be tried";
                output::error(&anyhow::anyhow!(why));
                return false;
            }
            let good = rounds.iter().all(Round::is_well);
            say(args, rounds).is_ok() && good
        };
        tokio::select! {
            good = round => well &= good,
            // A single round that was not finished has proven nothing.
            _ = terminate.recv() => return code(well && args.every.is_some()),
            _ = interrupt.recv() => return code(well && args.every.is_some()),
        }
        let Some(every) = args.every else {
            return code(well);
        };
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = terminate.recv() => return code(well),
            _ = interrupt.recv() => return code(well),
        }
    }
}

fn code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every upstream that is reached with an identity.
async fn rounds(args: &DoctorArgs, settings: &Settings, now: i64) -> Vec<Round> {
    let mut rounds = Vec::new();
    let wanted = |name: &String| args.upstream.as_ref().is_none_or(|only| only == name);
    for (name, upstream) in settings.upstreams.iter().filter(|(name, _)| wanted(name)) {
        if upstream.scheme == Scheme::Https && upstream.identity.is_some() {
            rounds.push(round(args, settings, name, upstream, now).await);
        }
    }
    rounds
}

async fn round(args: &DoctorArgs, settings: &Settings, name: &str, upstream: &Upstream, now: i64) -> Round {
    let not_at_all = |why: String| Round {
        at: now,
        upstream: name.to_owned(),
        own: Outcome::NotTried(why),
        rows: Vec::new(),
    };
    let mut lines = Lines::about(Subject::Upstream(name.to_owned()));
    let identity = upstream
        .identity
        .as_ref()
        .and_then(|identity| settings.identities.get(identity));
    let own = identity.and_then(|identity| files::identity(identity, now, &mut lines));
    let Some(own) = own else {
        return not_at_all(String::from(
            "its files cannot be used; run `doctor` without --refusals",
        ));
    };
    let trusted = match trust::read_as_is(upstream) {
        Ok(trusted) => trusted,
        Err(refusal) => return not_at_all(refusal.to_string()),
    };
    let Ok(ground) = Ground::new(args, upstream, Some(&own)) else {
        return not_at_all(String::from(
            "the upstream's name cannot be verified; run `doctor` without --refusals",
        ));
    };
    let client_config = |shown: Option<&Bundle>| {
        tls::client_config(shown, &trusted, upstream.tls_min, false)
            .map(Arc::new)
            .map_err(|error| error.to_string())
    };
    let over_tls = async |shown: Option<&Bundle>| match client_config(shown) {
        Ok(client_config) => {
            let trial = preflight::trial(&ground.endpoint, &client_config, &ground.request, &ground.peer).await;
            judge(&trial, true)
        }
        Err(reason) => Outcome::NotTried(reason),
    };
    let mut rows = Vec::new();
    for stranger in strangers::all(&own, args.ca_dir.as_deref(), args.refusal_certs.as_deref(), now) {
        let outcome = match stranger.shows {
            Ok(Shows::Certificate(bundle)) => over_tls(Some(&*bundle)).await,
            Ok(Shows::NoCertificate) => over_tls(None).await,
            Ok(Shows::NoTls) => judge(
                &preflight::in_the_clear(&ground.endpoint, &ground.request, &ground.peer).await,
                false,
            ),
            Err(needed) => Outcome::NotTried(needed),
        };
        rows.push((stranger.who, outcome));
    }
    Round {
        at: now,
        upstream: name.to_owned(),
        own: over_tls(Some(&own)).await,
        rows,
    }
}

fn say(args: &DoctorArgs, rounds: Vec<Round>) -> io::Result<()> {
    if args.every.is_none() {
        return output::print(&Rounds(rounds), args.output);
    }
    for round in rounds {
        let line = match args.output {
            Format::Json => format!("{}\n", round.json()),
            Format::Text => {
                let state = if round.is_well() { "ok" } else { "FAILED" };
                format!("{} {state} {}\n", date(round.at), round.verdict())
            }
        };
        output::print_raw(&line)?;
    }
    Ok(())
}

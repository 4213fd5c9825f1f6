//! `rehearse`: a rotation rehearsal on one machine, with real load.
//!
//! What is done and how it is judged is `rehearsal::drill`'s; this file says it. 0: everything held. 1: something did
//! not, or the drill could not be done.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use clap::Args;

use super::output::Format;
use super::stage::{BOLD, DIM, GREEN, RED, RESET, on_stage, print_stage, print_step, seconds};
use crate::rehearsal::child::Stop;
use crate::rehearsal::drill::{self, Outcome};
use crate::rehearsal::scene::{Purpose, Scene};

/// A rotation rehearsal on this machine, with real load: fails if one request is lost
#[derive(Debug, Args)]
#[command(
    long_about = "A rotation rehearsal on this machine, with real load: fails if one request is lost.\n\n\
    A throw-away CA, stand-ins of both sides, the gateway and the sidecar are started; while requests run, the sidecar's \
    certificate, the CA (with overlap) and the gateway's certificate are changed, in place, by rename and as Kubernetes \
    does; broken material is put in their place; a certificate is staged, promoted, rolled back and revoked. Then the OAuth \
    client of the standard route is rotated, by copies whose identifier and secret arrive apart and together; refused ones \
    are put in its place; and the key that signed every token is dropped. Nothing of it touches a running sidecar.",
    after_help = "Examples:\n  \
    delius-sidecar rehearse\n  \
    delius-sidecar rehearse --rate 200 --output json\n  \
    delius-sidecar rehearse --keep rehearsal       leaves configuration, certificates and logs there\n\n\
    Exit codes: 0 everything held, 1 something did not, 2 usage."
)]
pub struct RehearseArgs {
    /// Keep the load up for at least so many seconds
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    seconds: u64,
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Put all files into a new directory below this one, and leave them there
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Runs the rehearsal.
pub fn rehearse(args: &RehearseArgs) -> ExitCode {
    on_stage("the rehearsal", |program, stop| perform(program, args, stop))
}

fn perform(program: &Path, args: &RehearseArgs, stop: &Stop) -> Result<bool, String> {
    let text = args.output == Format::Text;
    let base = match &args.keep {
        Some(keep) => std::fs::create_dir_all(keep)
            .and_then(|()| keep.canonicalize())
            .map_err(|error| format!("cannot use {} for the rehearsal's files: {error}", keep.display()))?,
        None => std::env::temp_dir(),
    };
    let started = Instant::now();
    let keep = args.keep.is_some();
    if keep {
        eprintln!("all files stay in a new directory below {}", base.display());
    }
    let mut scene = Scene::set(program, &base, Purpose::Rehearsal { keep }, stop).map_err(|error| error.to_string())?;
    if text {
        print_stage("this rehearsal, as the app", &scene, started.elapsed());
        println!(
            "  {} requests a second, over kept connections, until the end",
            args.rate
        );
    }
    let mut number = 0;
    let outcome = drill::rehearse(&scene, stop, args.rate, Duration::from_secs(args.seconds), |step| {
        number += 1;
        if text {
            print_step(number, step);
        }
    });
    // Ctrl-C reaches the children too; only an end that nobody asked for is worth a word.
    let lost = scene.lost().filter(|_| !stop.requested());
    if let Some(lost) = lost {
        return Err(lost);
    }
    let outcome = outcome?;
    if text {
        print_outcome(&outcome, started.elapsed());
    } else {
        let told = serde_json::to_string_pretty(&outcome).map_err(|error| error.to_string())?;
        println!("{told}");
    }
    Ok(outcome.holds())
}

fn print_outcome(outcome: &Outcome, took: Duration) {
    println!("\n{BOLD}What was claimed{RESET}");
    for claim in &outcome.claims {
        let (colour, mark) = if claim.holds { (GREEN, "✓") } else { (RED, "✗") };
        println!("  {colour}{mark}{RESET} {}: {}", claim.claim, claim.figure);
    }
    let requests = &outcome.requests;
    println!(
        "  {DIM}a reply came after {:.1} ms in the middle, {:.1} ms for 99 of 100, {:.1} ms at most{RESET}",
        requests.median_ms, requests.p99_ms, requests.longest_ms
    );
    if !requests.failures.is_empty() {
        println!("\n{BOLD}The first failures{RESET}");
        for failure in &requests.failures {
            println!("  {RED}✗{RESET} {}", failure.what);
        }
    }
    let (colour, word) = if outcome.holds() {
        (GREEN, "everything held")
    } else {
        (RED, "NOT everything held")
    };
    println!("\n{colour}{BOLD}{word}{RESET} in {}", seconds(took));
}

//! `demo`: the whole path on one machine, told step by step.
//!
//! What is shown and how it is checked is `rehearsal`'s; this file says it, in colour only on a terminal. 0: every
//! step was shown. 1: one was not, or the stage could not be set.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anstream::println;
use clap::Args;
use serde::Serialize;

use super::output::Format;
use super::stage::{BOLD, DIM, GREEN, RED, RESET, on_stage, print_stage, print_step, seconds};
use crate::rehearsal::child::Stop;
use crate::rehearsal::demo::{perform, switch_over};
use crate::rehearsal::drill::under_load;
use crate::rehearsal::scene::{Purpose, Scene};
use crate::rehearsal::step::{Step, Verdict};
use crate::rehearsal::trial::{Outcome, Trial, trials};

/// While serving: how often the children are looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The whole path on one machine, with real requests and invented people
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    delius-sidecar demo\n  \
    delius-sidecar demo --serve          then copy the curl and route lines; Ctrl-C ends it\n  \
    delius-sidecar demo --output json    exit code 0 when every step was shown, else 1")]
pub struct DemoArgs {
    /// Leave everything running afterwards and print curl lines to try
    #[arg(long)]
    serve: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Serialize)]
struct Told<'a> {
    steps: &'a [Step],
    shown: usize,
    failed: usize,
    milliseconds: u128,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    curl: Vec<Trial>,
    /// The program's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<Trial>,
}

/// Runs the demo.
pub fn demo(args: DemoArgs) -> ExitCode {
    on_stage("the demo", |program, stop| show(program, &args, stop))
}

/// `false`: not everything was shown.
fn show(program: &Path, args: &DemoArgs, stop: &Stop) -> Result<bool, String> {
    let text = args.output == Format::Text;
    let started = Instant::now();
    let mut scene =
        Scene::set(program, &std::env::temp_dir(), Purpose::Demo, stop).map_err(|error| error.to_string())?;
    if text {
        print_stage("this demo, as the app", &scene, started.elapsed());
    }
    let mut steps = Vec::new();
    let mut tell = |step| {
        if text {
            print_step(steps.len() + 1, &step);
        }
        steps.push(step);
    };
    if !perform(scene.stage(), stop, &mut tell) {
        return Err("interrupted".to_owned());
    }
    let rotation = under_load(&scene, stop);
    if stop.requested() {
        return Err("interrupted".to_owned());
    }
    tell(rotation);
    if !switch_over(&scene, stop, tell) {
        return Err("interrupted".to_owned());
    }
    let shown = steps.iter().filter(|step| step.verdict == Verdict::Shown).count();
    let failed = steps.len() - shown;
    let took = started.elapsed();
    let offered: Vec<_> = if args.serve {
        trials(&scene, program).into_iter().map(Trial::tried).collect()
    } else {
        Vec::new()
    };
    let broken = offered.iter().any(|trial| matches!(trial.outcome, Outcome::Fails(_)));
    if text {
        print_summary(shown, &steps, took);
        print_trials(&offered);
    } else {
        let (curl, commands) = offered.into_iter().partition(Trial::is_curl);
        let told = Told {
            steps: &steps,
            shown,
            failed,
            milliseconds: took.as_millis(),
            curl,
            commands,
        };
        println!(
            "{}",
            serde_json::to_string_pretty(&told).map_err(|error| error.to_string())?
        );
    }
    if args.serve {
        while !stop.wait(LOOK_AGAIN) {
            // Ctrl-C reaches the children too; only an end that nobody asked for is worth a word.
            if let Some(lost) = scene.lost()
                && !stop.wait(LOOK_AGAIN)
            {
                return Err(lost);
            }
        }
    } else if failed > 0
        && let Some(lost) = scene.lost()
    {
        return Err(lost);
    }
    Ok(failed == 0 && !broken)
}

fn print_summary(shown: usize, steps: &[Step], took: Duration) {
    let colour = if shown == steps.len() { GREEN } else { RED };
    println!(
        "\n{colour}{BOLD}{shown} of {} shown{RESET} in {}",
        steps.len(),
        seconds(took)
    );
    for (number, step) in steps.iter().enumerate() {
        if let Verdict::Failed(reason) = &step.verdict {
            println!("  {RED}✗{RESET} {}. {}: {reason}", number + 1, step.title);
        }
    }
}

fn print_trials(trials: &[Trial]) {
    if trials.is_empty() {
        return;
    }
    println!("\n{BOLD}To try{RESET}");
    for trial in trials {
        println!("\n  {DIM}# {}{RESET}", trial.what);
        println!("  {}", trial.command);
        match &trial.outcome {
            Outcome::Works(how) => println!("  {GREEN}✓{RESET} {DIM}{how}{RESET}"),
            Outcome::Fails(why) => println!("  {RED}✗ {why}{RESET}"),
            Outcome::Untried => println!("  {DIM}not tried: curl is not installed{RESET}"),
        }
    }
    println!("\nrunning until Ctrl-C");
}

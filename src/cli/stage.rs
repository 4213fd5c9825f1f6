//! What `demo` and `rehearse` have in common: they run the program's own children, tell what happens step by step, and leave
//! nothing behind when they are interrupted. Colour only on a terminal.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anstream::{eprintln, println};
use tokio::signal::unix::{SignalKind, signal};

use crate::rehearsal::child::Stop;
use crate::rehearsal::scene::Scene;
use crate::rehearsal::step::{Line, Step, Verdict};

pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const DIM: &str = "\x1b[2m";
pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const RED: &str = "\x1b[31m";
pub(super) const RESET: &str = "\x1b[0m";

/// Runs `perform` with the program's own file, until its end or a signal. `false`, or an error that is said: failure.
pub(super) fn on_stage(what: &str, perform: impl FnOnce(&Path, &Stop) -> Result<bool, String>) -> ExitCode {
    let stop = Stop::default();
    let prepared = stop_on_signal(&stop).map_err(|error| format!("cannot wait for signals: {error}"));
    let program = prepared.and_then(|()| {
        std::env::current_exe()
            .map_err(|error| format!("cannot find the program's own file, which {what} starts again: {error}"))
    });
    match program.and_then(|program| perform(&program, &stop)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(said) => {
            eprintln!("error: {said}");
            ExitCode::FAILURE
        }
    }
}

pub(super) fn print_stage(who: &str, scene: &Scene, took: Duration) {
    let stage = scene.stage();
    println!("{BOLD}The path, on this machine{RESET}\n");
    println!("  {who} ──HTTP──▶ sidecar ══mutual TLS══▶ gateway ──HTTP──▶ Delius stand-in");
    println!(
        "  {:1$} ╚══TLS, OAuth══▶ stand-in of the standard route",
        "",
        who.chars().count() + 16
    );
    println!("  sidecar         http://{}", stage.sidecar);
    println!("  gateway         https://{}", stage.gateway);
    println!("  Delius stand-in http://{}", stage.delius.address());
    println!("  Auth stand-in   {}", scene.standard().auth.url());
    println!("  standard route  {}", scene.standard().api.url());
    println!(
        "  {DIM}a throw-away CA, valid for a day; all files in {}{RESET}",
        scene.directory().display()
    );
    println!("  {DIM}up after {}{RESET}", seconds(took));
}

pub(super) fn print_step(number: usize, step: &Step) {
    println!("\n{BOLD}{number}. {}{RESET}", step.title);
    for line in &step.lines {
        let (mark, text) = match line {
            Line::Sent(text) => ("→", text),
            Line::Came(text) => ("←", text),
            Line::Note(text) => (" ", text),
        };
        println!("   {mark} {}", text.replace('\n', "\n       "));
    }
    let took = seconds(step.took);
    match &step.verdict {
        Verdict::Shown => println!("   {GREEN}✓ shown{RESET} {DIM}({took}){RESET}"),
        Verdict::Failed(reason) => println!("   {RED}✗ not shown: {reason}{RESET} {DIM}({took}){RESET}"),
    }
}

pub(super) fn seconds(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        format!("{} ms", took.as_millis())
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}

/// Ctrl-C and SIGTERM become a request to stop, so that children and files go before the program does.
fn stop_on_signal(stop: &Stop) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        stop.request();
    })?;
    Ok(())
}

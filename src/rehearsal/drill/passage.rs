//! The passages of a drill, in order, and the short one of the demo.

use std::time::{Duration, Instant};

use super::super::child::Stop;
use super::super::scene::Scene;
use super::super::step::{Step, Verdict};
use super::{Drill, Outcome, Way};

/// Enough to see a lost request, on any machine.
const DEMO_RATE: u32 = 200;

/// Requests before the first change: every caller has its connection by then.
const WARM: u32 = 100;

type Passage = fn(&mut Drill<'_>) -> Result<(), String>;

const PASSAGES: &[(&str, Passage)] = &[
    ("a new certificate arrives as Kubernetes brings it", |drill| {
        drill.change_leaf("the sidecar's certificate", Way::Swap)
    }),
    ("a new certificate is copied over the old one, the key later", |drill| {
        drill.change_leaf("the sidecar's certificate", Way::InPlace)
    }),
    ("a new certificate is moved over the old one", |drill| {
        drill.change_leaf("the sidecar's certificate", Way::Rename)
    }),
    ("the CA changes, with overlap", |drill| drill.change_the_ca()),
    ("the gateway changes its own certificate", |drill| {
        drill.change_gateway("the gateway's certificate", Way::Swap)?;
        drill.change_gateway("the gateway's certificate", Way::InPlace)
    }),
    ("what is broken never comes into use", |drill| {
        drill.put_broken_material_in_place()
    }),
    ("a certificate is staged, promoted by hand and rolled back", |drill| {
        drill.stage_promote_and_roll_back()
    }),
    ("the gateway takes the promoted certificate off its list", |drill| {
        drill.take_off_the_list()
    }),
    ("the CA revokes the promoted certificate", |drill| drill.revoke()),
    (
        "a new OAuth client is copied over the old one, the secret later",
        |drill| drill.change_client(Way::InPlace),
    ),
    ("a new OAuth client arrives as Kubernetes brings it", |drill| {
        drill.change_client(Way::Swap)
    }),
    ("an OAuth client that is refused never comes into use", |drill| {
        drill.put_broken_clients_in_place()
    }),
    ("Auth drops the key that signed every token", |drill| {
        drill.drop_the_signing_key()
    }),
];

/// A whole drill at this rate, for at least this long; each step is told when it is done.
///
/// # Errors
/// What kept it from beginning.
pub fn rehearse(
    scene: &Scene,
    stop: &Stop,
    rate: u32,
    at_least: Duration,
    tell: impl FnMut(&Step),
) -> Result<Outcome, String> {
    run(scene, stop, (rate, at_least), PASSAGES, tell)
}

/// The demo's step: one rotation under load, with the receipt.
#[must_use]
pub fn under_load(scene: &Scene, stop: &Stop) -> Step {
    let started = Instant::now();
    let title = "the certificate is rotated under load with no failed request";
    let ran = run(scene, stop, (DEMO_RATE, Duration::ZERO), &PASSAGES[..1], |_| {});
    let mut lines = Vec::new();
    let verdict = match ran {
        Ok(outcome) => {
            lines.extend(outcome.steps.iter().flat_map(|step| step.lines.clone()));
            let told = outcome.claims.iter().skip(1);
            lines.extend(told.map(|claim| super::Line::Note(format!("{}: {}", claim.claim, claim.figure))));
            let undone = outcome.steps.into_iter().find_map(|step| match step.verdict {
                Verdict::Failed(reason) => Some(reason),
                Verdict::Shown => None,
            });
            let untrue = outcome.claims.into_iter().find(|claim| !claim.holds);
            match (undone, untrue) {
                (None, None) => Verdict::Shown,
                (Some(reason), _) => Verdict::Failed(reason),
                (None, Some(claim)) => Verdict::Failed(format!("not so: {}: {}", claim.claim, claim.figure)),
            }
        }
        Err(reason) => Verdict::Failed(reason),
    };
    Step {
        title,
        lines,
        verdict,
        took: started.elapsed(),
    }
}

fn run(
    scene: &Scene,
    stop: &Stop,
    (rate, at_least): (u32, Duration),
    passages: &[(&'static str, Passage)],
    mut tell: impl FnMut(&Step),
) -> Result<Outcome, String> {
    let mut drill = Drill::begin(scene, stop, rate)?;
    let warm = u64::from(rate.min(WARM));
    drill.until("the first requests are answered", || {
        Ok((drill.load.answered() >= warm).then_some(()))
    })?;
    let mut steps = Vec::new();
    for (title, passage) in passages {
        let started = Instant::now();
        let verdict = match passage(&mut drill) {
            Ok(()) => Verdict::Shown,
            Err(reason) => Verdict::Failed(reason),
        };
        let step = Step {
            title,
            lines: std::mem::take(&mut drill.lines),
            verdict,
            took: started.elapsed(),
        };
        tell(&step);
        let done = step.verdict == Verdict::Shown;
        steps.push(step);
        // The next one would begin where this one did not end.
        if !done {
            break;
        }
    }
    if stop.wait(at_least.saturating_sub(drill.load.runs_for())) || stop.requested() {
        return Err("interrupted".to_owned());
    }
    let Drill {
        load,
        changes,
        broken,
        withdrawn,
        clients,
        broken_clients,
        keys,
        ..
    } = drill;
    let outcome = Outcome {
        steps,
        requests: load.finish(),
        changes,
        broken,
        withdrawn,
        clients,
        broken_clients,
        keys,
        claims: Vec::new(),
    };
    let standard = scene.standard().api.tally();
    Ok(outcome.judge(&scene.stage().delius.tally(), &standard, rate))
}

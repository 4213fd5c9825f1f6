//! The switch-over, shown step by step: shadow, gate, canary, standard, and back by itself when the standard leg lies.
//!
//! An operator's words go through the control socket, as outside of a demo. Who was asked is what the two far ends counted; what the
//! sidecar reports is held against that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::json;

use super::super::child::Stop;
use super::super::client::Ask;
use super::super::evidence::{direct, expect_status, through_sidecar};
use super::super::scene::Scene;
use super::super::step::{Step, Verdict};
use super::operator::{Operator, READS, Replies, target, tier, tokens};
use super::provider;
use crate::switch::report::Unit;
use crate::switch::{Mode, Short};

/// Both sides know them, or neither does.
const LINKED: [&str; 9] = [
    "Z9001XA", "Z9002XB", "Z9003XC", "Z9004XD", "Z9005XE", "Z9006XF", "Z9009XJ", "Z9010XK", "Z9011XL",
];
/// Only NDH knows the number.
const ONLY_NDH: &str = "Z9007XG";
/// Only the standard side does.
const ONLY_STANDARD: &str = "Z9008XH";
/// Two records have this number, on both sides.
const TWICE: &str = "Z9010XK";
/// Where the two sides rightly differ: the rule by which the sidecar knows it, and what it means.
const RIGHTLY: [(&str, &str); 4] = [
    (
        "resourcing-default",
        "nobody has decided: the old route's 404 or draft was taken for enhanced, the new one says nothing",
    ),
    (
        "resourcing-scope-or-defect",
        "a decision of a finished event: the old route still tells it, the new one does not",
    ),
    (
        "mappa-highest-versus-latest",
        "two MAPPA levels at once: the old way took the highest, the new one the latest",
    ),
    (
        "mappa-rule-too-wide",
        "a register level that is none of MAPPA's: the application's own rule took it for one",
    ),
];
/// Told about on purpose, each with a tier that is not theirs.
const LIED_ABOUT: [&str; 4] = ["Z9001XA", "Z9002XB", "Z9003XC", "Z9005XE"];
const LIE: &str = "D-0";
const SHARES: [f64; 4] = [0.2, 0.4, 0.6, 0.8];

type Show = fn(&mut Operator<'_>) -> Result<(), String>;

const STEPS: [(&str, Show); 5] = [
    (
        "both sides are asked and compared; the app still gets NDH's reply",
        shadow,
    ),
    ("the gate says what is missing, and then GO", gate),
    (
        "canary: a growing share of persons is answered by the standard route",
        canary,
    ),
    (
        "switched: tier and provider arrive by OAuth, and NDH is not asked",
        standard,
    ),
    ("the standard side lies, and the routes roll back by themselves", broken),
];

/// Walks through the switch-over, telling each step when it is done. A step that fails is the last one: the next would begin
/// where it did not end. `false`: a stop was requested.
pub fn switch_over(scene: &Scene, stop: &Stop, mut tell: impl FnMut(Step)) -> bool {
    let mut operator = Operator::new(scene, stop);
    for (title, show) in STEPS {
        let started = Instant::now();
        let shown = show(&mut operator);
        if stop.requested() {
            return false;
        }
        let failed = shown.is_err();
        tell(Step {
            title,
            lines: std::mem::take(&mut operator.lines),
            verdict: shown.map_or_else(Verdict::Failed, |()| Verdict::Shown),
            took: started.elapsed(),
        });
        if failed {
            break;
        }
    }
    true
}

fn shadow(operator: &mut Operator<'_>) -> Result<(), String> {
    operator.set("shadow", None, "look at both sides")?;
    let before = operator.counted(TWICE);
    let replies = operator.ask(&[TWICE])?;
    let unit = operator.until("the first replies are compared", |unit| seen(unit) >= 4)?;
    let after = operator.counted(TWICE);
    if unit.evidence.matched != 4 || after.standard - before.standard < 4 {
        return Err(format!("two records under one number: no match in {:?}", unit.evidence));
    }
    let statuses: Vec<_> = replies[TWICE].iter().map(|answer| answer.status.to_string()).collect();
    operator.note(format!(
        "{TWICE}, two people under one number: NDH says {}, the standard route 409: a match",
        statuses.join(", ")
    ));
    operator.are_of_ndh(&replies)?;

    let mut people: Vec<&str> = LINKED.into_iter().filter(|person| *person != TWICE).collect();
    people.extend([ONLY_NDH, ONLY_STANDARD]);
    let before = operator.counted_all(&people);
    let replies = operator.ask(&people)?;
    let asked = (people.len() * READS.len()) as u64;
    let unit = operator.until("all replies are compared", |unit| seen(unit) >= asked + 4)?;
    let after = operator.counted_all(&people);
    operator.are_of_ndh(&replies)?;
    operator.note(format!(
        "{asked} more reads of {} people: NDH's reply each time, byte for byte; meanwhile the standard route was asked {} times",
        people.len(),
        after.standard - before.standard
    ));
    if after.standard - before.standard < asked {
        return Err(format!("the standard stand-in counted fewer than {asked} requests"));
    }
    told_apart(operator, &unit)
}

/// What became of the pairs: each fixture exactly as it was made.
fn told_apart(operator: &mut Operator<'_>, unit: &Unit) -> Result<(), String> {
    let seen = &unit.evidence;
    operator.note(format!(
        "{} pairs: {} match, {} differ rightly, {} mismatch, {} missing on a side",
        seen.compared,
        seen.matched,
        seen.known,
        seen.mismatched,
        seen.missing_on_standard + seen.missing_on_ndh
    ));
    for rule in unit.known.iter().filter(|rule| rule.count > 0) {
        let meaning = RIGHTLY.iter().find(|(name, _)| *name == rule.name);
        let meaning = meaning.map_or(rule.reason.as_str(), |(_, meaning)| meaning);
        operator.note(format!("known as {}, {}×: {meaning}", rule.name, rule.count));
    }
    let unseen = |name: &str| !unit.known.iter().any(|rule| rule.name == name && rule.count > 0);
    if let Some((name, _)) = RIGHTLY.iter().find(|(name, _)| unseen(name)) {
        return Err(format!("the difference {name} was not seen"));
    }
    operator.note(format!(
        "{ONLY_NDH} is not linked to the number on the standard side yet: missing there, {}×; {ONLY_STANDARD} only there, {}×",
        seen.missing_on_standard, seen.missing_on_ndh
    ));
    let reads = READS.len() as u64;
    if (seen.mismatched, seen.missing_on_standard) != (0, reads) || seen.missing_on_ndh == 0 {
        let unknown = unit.unknown_differences();
        return Err(format!("these people are made to differ otherwise: {unknown:?}"));
    }
    Ok(())
}

fn gate(operator: &mut Operator<'_>) -> Result<(), String> {
    let unit = operator.verdict()?;
    let lacks: Vec<Short> = unit.decision.lacks.iter().map(|lack| lack.kind).collect();
    if lacks != [Short::Missing] {
        return Err(format!(
            "the two people who are missing on a side should be what is lacking, not {lacks:?}"
        ));
    }
    operator.note("those two people have to be linked first; without them:");
    operator.begin_anew("without the two who are not linked")?;
    operator.set("shadow", None, "look at everybody else")?;
    operator.ask(&LINKED)?;
    let asked = (LINKED.len() * READS.len()) as u64;
    operator.until("all replies are compared", |unit| seen(unit) >= asked)?;
    let unit = operator.verdict()?;
    if unit.decision.go {
        Ok(())
    } else {
        Err("that is no GO".to_owned())
    }
}

fn canary(operator: &mut Operator<'_>) -> Result<(), String> {
    let mut inside: BTreeSet<&str> = BTreeSet::new();
    let mut of_ndh = BTreeMap::new();
    for person in LINKED.into_iter().filter(|person| *person != TWICE) {
        let all = direct(operator.scene.stage(), &target(person, "all"))?;
        of_ndh.insert(person, tier(&[all])?);
    }
    for share in SHARES {
        operator.set("canary", Some(share), &format!("{:.0} in a hundred", share * 100.0))?;
        let mut now = BTreeSet::new();
        for person in LINKED {
            if answered_by_standard(operator, person, &of_ndh)? {
                now.insert(person);
            }
        }
        if !now.is_superset(&inside) {
            let back: Vec<_> = inside.difference(&now).copied().collect();
            return Err(format!(
                "NDH answers again for {}, although the share grew",
                back.join(", ")
            ));
        }
        inside = now;
        let names: Vec<_> = inside.iter().copied().collect();
        operator.note(format!(
            "standard answers for {} of {} people, NDH for {}: {}",
            names.len(),
            LINKED.len(),
            LINKED.len() - names.len(),
            names.join(", ")
        ));
    }
    if inside.is_empty() || inside.len() == LINKED.len() {
        return Err("that is no share of the people".to_owned());
    }
    operator.note("each of a person's reads came from one side, and nobody went back while the share grew");
    operator.verdict().map(drop)
}

/// One person asked for everything, twice: all of it comes from one side, by what the far ends counted.
fn answered_by_standard(
    operator: &Operator<'_>,
    person: &'static str,
    of_ndh: &BTreeMap<&str, Option<String>>,
) -> Result<bool, String> {
    let before = operator.counted(person);
    operator.ask(&[person])?;
    let replies = operator.ask(&[person])?;
    let after = operator.counted(person);
    if let Some(known) = of_ndh.get(person)
        && tier(&replies[person])? != *known
    {
        return Err(format!("{person} has another tier than NDH says"));
    }
    let asked = 2 * READS.len() as u64;
    match (after.delius - before.delius, after.standard - before.standard) {
        (0, standard) if standard == asked => Ok(true),
        (delius, 0) if delius == asked => Ok(false),
        (delius, standard) => Err(format!(
            "{person} has two truths: of {asked} reads NDH saw {delius}, the standard route {standard}"
        )),
    }
}

fn standard(operator: &mut Operator<'_>) -> Result<(), String> {
    operator.set("standard", None, "everybody")?;
    let delius = operator.scene.stage().delius.count();
    let before = operator.counted_all(&LINKED);
    let target = target("Z9001XA", "all");
    let headers = [("authorization", "Bearer a-token-of-the-prison-side")];
    let ask = Ask {
        headers: &headers,
        ..Ask::get(&target)
    };
    let answer = through_sidecar(operator.scene.stage(), &mut operator.lines, ask)?;
    expect_status(&answer, 200)?;
    let told = provider(&answer)?;
    operator.note(told);
    operator.note("the standard route knows the area by its code only and gives no description, so that the code stands in brackets");
    operator.ask(&LINKED)?;
    let asked = 1 + (LINKED.len() * READS.len()) as u64;
    let after = operator.counted_all(&LINKED);
    let (ndh, other) = (
        operator.scene.stage().delius.count() - delius,
        after.standard - before.standard,
    );
    operator.note(format!("of {asked} reads the standard route saw {other}, NDH {ndh}"));
    if (ndh, other) != (0, asked) {
        return Err("that is not the standard route alone".to_owned());
    }
    let more = tokens(operator.scene) - operator.tokens;
    operator.note("the token of the start still holds: Auth was not asked again in all these steps");
    if more != 0 {
        return Err(format!("Auth was asked for {more} more tokens"));
    }
    operator.verdict().map(drop)
}

fn broken(operator: &mut Operator<'_>) -> Result<(), String> {
    let written = operator.scene.set_compare();
    written.map_err(|error| format!("the sidecar's configuration cannot be written: {error}"))?;
    operator.until(
        "the sidecar has noticed `compare = true` in its configuration",
        |unit| unit.configured.compare && unit.effective.mode == Mode::Standard,
    )?;
    operator.settle()?;
    operator.note("written into [group.person]: compare = true; NDH is asked beside the standard route");
    let side = operator.scene.standard();
    for person in LIED_ABOUT {
        let told = side
            .api
            .lie(&format!("/case-records/{person}"), json!({ "currentTier": LIE }));
        told.map_err(|error| error.to_string())?;
    }
    operator.note(format!(
        "from now on the standard stand-in tells tier {LIE} for {} people",
        LIED_ABOUT.len()
    ));
    let began = Instant::now();
    let replies = operator.ask(&LINKED)?;
    let wrong = wrong_tiers(&replies)?;
    let unit = operator.until("the routes have rolled back", |unit| unit.rolled_back.is_some())?;
    let took = began.elapsed();
    let rolled_back = unit.rolled_back.as_ref().ok_or("no roll-back")?;
    operator.note(format!(
        "rolled back from {} to {} after {} ms: {}; until then {wrong} replies were wrong",
        rolled_back.from,
        unit.effective.mode,
        took.as_millis(),
        rolled_back.reasons.join("; ")
    ));
    if wrong == 0 {
        return Err("the lie did not reach the app, so that nothing was broken".to_owned());
    }
    let log = operator
        .scene
        .sidecar_log()
        .map_err(|error| format!("the sidecar's log cannot be read: {error}"))?;
    let alarm = log
        .lines()
        .find(|line| line.contains("\"level\":\"error\"") && line.contains("rolled back from"));
    alarm.ok_or("the log holds no alarm")?;
    operator.note("the alarm is in the log, as an error");
    operator.settle()?;
    let replies = operator.ask(&LINKED)?;
    operator.are_of_ndh(&replies)?;
    operator.note(format!(
        "{} reads later: NDH's replies again, byte for byte",
        LINKED.len() * READS.len()
    ));
    kept(operator)?;
    side.api.tell_the_truth();
    let unit = operator.verdict()?;
    if unit.decision.go {
        return Err("GO, in spite of that".to_owned());
    }
    Ok(())
}

/// The evidence of what went wrong is still there, and names the place without a value.
fn kept(operator: &mut Operator<'_>) -> Result<(), String> {
    let unit = operator.unit()?;
    let differences = unit.unknown_differences();
    let found = differences.iter().find(|difference| difference.pointer == "/tier");
    let found = found.ok_or_else(|| format!("no difference at /tier in {differences:?}"))?;
    operator.note(format!(
        "the evidence is kept: {} mismatches; {} {}, {}×",
        unit.evidence.mismatched,
        found.pointer,
        found.kind.replace('_', " "),
        found.count
    ));
    Ok(())
}

fn wrong_tiers(replies: &Replies) -> Result<usize, String> {
    let mut wrong = 0;
    for person in LIED_ABOUT {
        let answers = replies.get(person).ok_or("not asked")?;
        wrong += usize::from(tier(answers)?.as_deref() == Some(LIE));
    }
    Ok(wrong)
}

/// Pairs that were dealt with, whatever came of it.
fn seen(unit: &Unit) -> u64 {
    let evidence = &unit.evidence;
    let sum = |of: &BTreeMap<String, u64>| of.values().sum::<u64>();
    evidence.compared + sum(&evidence.not_comparable) + sum(&evidence.dropped)
}

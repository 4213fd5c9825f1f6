//! The demo: what the path promises, shown step by step with real requests.
//!
//! A step is a value: what was sent, what came back, and a verdict that was checked, not assumed. Wherever a claim is
//! about the far end ("does not arrive", "never leaves"), the stand-in's own record decides. A step that cannot be
//! shown says why and does not hide the next.

mod operator;
mod switch_over;

use std::time::Instant;

use serde_json::Value;

use super::child::Stop;
use super::client::{Answer, Ask};
use super::evidence::{direct, expect_status, knock, last_seen, one_line, outcome, same, through_sidecar};
use super::papers::{APP, Knock};
use super::scene::Stage;
use super::standin::Seen;
use super::step::{Line, Step, Verdict};

pub use switch_over::switch_over;

const PERSON: &str = "/secure/offenders/nomsNumber/Z9001XA";
const UNKNOWN: &str = "/secure/offenders/nomsNumber/Z9009XJ/all";

/// Walks through all steps, telling each when it is done. Ends early, with `false`, when a stop is requested.
pub fn perform(stage: Stage<'_>, stop: &Stop, mut tell: impl FnMut(Step)) -> bool {
    for (title, show) in STEPS {
        if stop.requested() {
            return false;
        }
        let started = Instant::now();
        let mut lines = Vec::new();
        let verdict = match show(stage, &mut lines) {
            Ok(()) => Verdict::Shown,
            Err(reason) => Verdict::Failed(reason),
        };
        tell(Step {
            title,
            lines,
            verdict,
            took: started.elapsed(),
        });
    }
    true
}

type Show = fn(Stage<'_>, &mut Vec<Line>) -> Result<(), String>;

const STEPS: [(&str, Show); 6] = [
    ("tier and provider arrive through mutual TLS", tier_and_provider),
    ("\"no such person\" is passed on untouched", unknown_person),
    (
        "the app's token and forged identity headers stay behind",
        token_stays_behind,
    ),
    ("a stranger's certificate is refused", strangers),
    ("what no route names never leaves the sidecar", unknown_route),
    ("a write arrives, once", write),
];

fn tier_and_provider(stage: Stage<'_>, lines: &mut Vec<Line>) -> Result<(), String> {
    let target = format!("{PERSON}/all?demo=tier");
    let answer = through_sidecar(stage, lines, Ask::get(&target))?;
    expect_status(&answer, 200)?;
    lines.push(Line::Note(provider(&answer)?));
    same(&answer, &direct(stage, &target)?)?;
    let seen = last_seen(stage, &target)?;
    let certificate = seen
        .client_certificate
        .ok_or("the gateway told Delius of no client certificate")?;
    lines.push(Line::Note(format!(
        "the gateway saw the client certificate {certificate}"
    )));
    if certificate.contains(APP) {
        Ok(())
    } else {
        Err(format!("that certificate does not name {APP}"))
    }
}

/// Tier and provider of a person, as the application reads them.
fn provider(answer: &Answer) -> Result<String, String> {
    let told: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("not JSON: {error}"))?;
    let tier = told["currentTier"].as_str().ok_or("the reply names no tier")?;
    let managers = told["offenderManagers"]
        .as_array()
        .ok_or("the reply names no managers")?;
    let manager = managers.iter().find(|manager| manager["active"] == true);
    let area = &manager.ok_or("no manager is active")?["probationArea"];
    let provider = match area["nps"].as_bool() {
        Some(true) => "NPS",
        Some(false) => "CRC",
        None => return Err("the reply does not say NPS or CRC".to_owned()),
    };
    let name = area["description"].as_str().or(area["code"].as_str());
    Ok(format!(
        "tier {tier}, provider {provider} ({})",
        name.unwrap_or_default()
    ))
}

fn unknown_person(stage: Stage<'_>, lines: &mut Vec<Line>) -> Result<(), String> {
    let answer = through_sidecar(stage, lines, Ask::get(UNKNOWN))?;
    expect_status(&answer, 404)?;
    lines.push(Line::Note(one_line(&answer.body)));
    same(&answer, &direct(stage, UNKNOWN)?)?;
    lines.push(Line::Note(
        "byte for byte what Delius says when it is asked directly".to_owned(),
    ));
    Ok(())
}

fn token_stays_behind(stage: Stage<'_>, lines: &mut Vec<Line>) -> Result<(), String> {
    let target = format!("{PERSON}/registrations?demo=token");
    let headers = [
        ("authorization", "Bearer a-token-of-the-prison-side"),
        ("x-forwarded-client-cert", "Subject=\"CN=forged\""),
        ("x-ssl-client-verify", "SUCCESS"),
    ];
    let ask = Ask {
        headers: &headers,
        ..Ask::get(&target)
    };
    let answer = through_sidecar(stage, lines, ask)?;
    expect_status(&answer, 200)?;
    let seen = last_seen(stage, &target)?;
    lines.push(Line::Note(format!("Delius received only: {}", seen.headers.join(", "))));
    lines.push(Line::Note(
        "x-forwarded-client-cert among them is set by the gateway, from the certificate it saw".to_owned(),
    ));
    if seen.authorization {
        return Err("the app's Authorization arrived at Delius".to_owned());
    }
    if seen.headers.iter().any(|name| name == "x-ssl-client-verify") {
        return Err("a forged x-ssl-client-verify arrived at Delius".to_owned());
    }
    match seen.client_certificate {
        Some(certificate) if certificate.contains("forged") => {
            Err("a forged x-forwarded-client-cert arrived at Delius".to_owned())
        }
        _ => Ok(()),
    }
}

fn strangers(stage: Stage<'_>, lines: &mut Vec<Line>) -> Result<(), String> {
    let papers = stage.papers;
    let target = format!("{PERSON}/all?demo=control");
    lines.push(Line::Sent(
        "to the gateway, with the allocation manager's own certificate (control)".to_owned(),
    ));
    match knock(stage, Some(&papers.app), &target)? {
        Knock::Answered(answer) if answer.status == 200 => lines.push(Line::Came("200".to_owned())),
        other => return Err(format!("the control is not let in: {}", outcome(&other))),
    }
    let callers = [
        (
            "with the right name, but of another CA",
            Some(&papers.stranger),
            "other-ca",
        ),
        ("with no certificate", None, "no-certificate"),
        (
            "of the right CA, but with another name",
            Some(&papers.wrong_name),
            "wrong-name",
        ),
    ];
    let mut let_in = Vec::new();
    for (who, certificate, mark) in callers {
        let target = format!("{PERSON}/all?demo={mark}");
        lines.push(Line::Sent(format!("to the gateway, {who}")));
        let knock = knock(stage, certificate, &target)?;
        lines.push(Line::Came(outcome(&knock)));
        // The CA's own are told apart by HTTP: a bare 403. Everyone else gets no HTTP at all.
        let refused = match &knock {
            Knock::Refused(_) => mark != "wrong-name",
            Knock::Answered(answer) => mark == "wrong-name" && answer.status == 403,
        };
        let arrived = stage.delius.seen().iter().any(|seen| seen.target == target);
        if !refused || arrived {
            let_in.push(who);
        }
    }
    if let_in.is_empty() {
        lines.push(Line::Note("nothing of these three requests reached Delius".to_owned()));
        Ok(())
    } else {
        Err(format!(
            "not refused as it should be: the caller {}",
            let_in.join(" and the one ")
        ))
    }
}

fn unknown_route(stage: Stage<'_>, lines: &mut Vec<Line>) -> Result<(), String> {
    let before = stage.delius.count();
    let target = format!("{PERSON}/documents");
    let answer = through_sidecar(stage, lines, Ask::get(&target))?;
    expect_status(&answer, 421)?;
    let code = answer.header("x-delius-sidecar-error").unwrap_or_default();
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if code != "route_unknown" || body["code"] != "route_unknown" {
        return Err(format!(
            "expected the code route_unknown in header and body, found {code:?} and {}",
            body["code"]
        ));
    }
    lines.push(Line::Note(one_line(&answer.body)));
    let arrived = stage.delius.seen().iter().any(|seen| seen.target.starts_with(&target));
    if arrived || stage.delius.count() != before {
        return Err("Delius saw a request".to_owned());
    }
    lines.push(Line::Note(format!(
        "Delius saw no further request: {before} before and after"
    )));
    Ok(())
}

fn write(stage: Stage<'_>, lines: &mut Vec<Line>) -> Result<(), String> {
    let target = format!("{PERSON}/custody/keyDates/POM1");
    let held = || stage.delius.key_date("Z9001XA", "POM1");
    let puts = || {
        let is_put = |seen: &&Seen| seen.method == "PUT" && seen.target == target;
        stage.delius.seen().iter().filter(is_put).count()
    };
    let (before, sent_before) = (held(), puts());
    let date = "2026-06-01";
    let body = format!("{{\"date\": \"{date}\"}}");
    let ask = Ask {
        method: "PUT",
        body: Some(&body),
        ..Ask::get(&target)
    };
    let answer = through_sidecar(stage, lines, ask)?;
    expect_status(&answer, 200)?;
    lines.push(Line::Note(one_line(&answer.body)));
    let after = held();
    let shown = |date: &Option<String>| date.clone().unwrap_or_else(|| "none".to_owned());
    lines.push(Line::Note(format!(
        "start of handover in Delius: {} before, {} after",
        shown(&before),
        shown(&after)
    )));
    if after.as_deref() != Some(date) {
        return Err("the date is not in Delius".to_owned());
    }
    match puts() - sent_before {
        1 => Ok(()),
        times => Err(format!("Delius saw the request {times} times")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::super::delius::Data;
    use super::super::papers::Papers;
    use super::super::standin::{DeliusStandIn, Options, Running};
    use super::*;
    use crate::clock;

    fn stand_in() -> Running {
        DeliusStandIn::start(Options::new(Data::embedded().unwrap())).unwrap()
    }

    fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn walk(sidecar: SocketAddr, gateway: SocketAddr, delius: &Running) -> Vec<Step> {
        let papers = Papers::issue(clock::unix_seconds()).unwrap();
        let stage = Stage {
            sidecar,
            gateway,
            delius,
            papers: &papers,
        };
        let mut steps = Vec::new();
        assert!(perform(stage, &Stop::default(), |step| steps.push(step)));
        steps
    }

    #[track_caller]
    fn assert_failed(step: &Step, because: &str) {
        match &step.verdict {
            Verdict::Failed(reason) if reason.contains(because) => {}
            other => panic!("{}: {other:?}", step.title),
        }
    }

    /// A path with neither mutual TLS nor a sidecar shows what every step would miss.
    #[test]
    fn without_a_sidecar_each_promise_is_seen_to_be_broken() {
        let delius = stand_in();
        let steps = walk(delius.address(), nobody(), &delius);
        assert_failed(&steps[0], "no client certificate");
        assert_eq!(steps[1].verdict, Verdict::Shown, "nothing between changes nothing");
        assert_failed(&steps[2], "Authorization arrived");
        assert_failed(&steps[3], "could not be asked");
        assert_failed(&steps[4], "expected 421, found 404");
        assert_eq!(steps[5].verdict, Verdict::Shown);
        assert_eq!(steps.len(), STEPS.len());
    }

    #[test]
    fn answers_of_another_delius_are_told_from_the_true_ones() {
        let (delius, other) = (stand_in(), stand_in());
        let steps = walk(other.address(), nobody(), &delius);
        assert_failed(&steps[0], "saw no such request");
        assert_failed(&steps[5], "not in Delius");
    }

    #[test]
    fn with_nobody_listening_no_step_is_shown() {
        let delius = stand_in();
        let steps = walk(nobody(), nobody(), &delius);
        assert!(steps.iter().all(|step| step.verdict != Verdict::Shown), "{steps:?}");
    }

    #[test]
    fn a_stop_ends_the_walk_between_two_steps() {
        let delius = stand_in();
        let papers = Papers::issue(clock::unix_seconds()).unwrap();
        let stage = Stage {
            sidecar: delius.address(),
            gateway: nobody(),
            delius: &delius,
            papers: &papers,
        };
        let (stop, mut told) = (Stop::default(), 0);
        let whole = perform(stage, &stop, |_| {
            told += 1;
            stop.request();
        });
        assert_eq!((whole, told), (false, 1));
    }
}

//! The caller's reply to a request whose reply had to be understood: by the chosen leg, else by the fallback; then aside.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::compare;
use crate::fault::Fault;
use crate::proxy::aside::Job;
use crate::proxy::client::Client;
use crate::proxy::exchange::Progress;
use crate::proxy::forward::fail;
use crate::proxy::intake::Forwarded;
use crate::proxy::plan::{Lane, Leg};
use crate::proxy::story::Story;
use crate::proxy::worker::{Worker, Workspace, World};
use crate::proxy::{After, REPLY_PATIENCE};
use crate::switch;
use crate::switch::evidence::Answered;
use crate::wire::reply::Manner;

use super::ask::{Raw, ask};
use super::asked::Asked;
use super::understand::{Reply, understand};

/// The legs of one request.
pub(in crate::proxy) struct Legs {
    pub(in crate::proxy) lane: Arc<Lane>,
    pub(in crate::proxy) leg: Arc<Leg>,
    pub(in crate::proxy) fallback: Option<Arc<Leg>>,
    pub(in crate::proxy) compare: Option<Arc<Leg>>,
}

/// Asks, understands, answers.
#[allow(clippy::too_many_arguments)] // the pipeline's state, passed down one step
pub(in crate::proxy) async fn answer(
    worker: &Rc<Worker>,
    world: &Rc<World>,
    client: &mut Client,
    workspace: &Workspace,
    story: &mut Story,
    legs: Legs,
    asked: Arc<Asked>,
    terms: &Forwarded,
) -> After {
    let lane = &legs.lane;
    let mut leg = &legs.leg;
    let mut result = put(worker, world, lane, leg, &asked, story).await;
    let mut fell_back = false;
    if let (Some(fallback), true) = (&legs.fallback, failed(leg.which, &result)) {
        let why = match &result {
            Err(fault) => fault.code.as_str().to_owned(),
            Ok((raw, _)) => format!("status_{}", raw.status()),
        };
        if worker.may_warn() {
            let detail = result.as_ref().err().map(|fault| fault.detail.as_ref());
            tracing::warn!(
                route = lane.name,
                why,
                detail,
                "the standard leg failed; ndh answers in its place"
            );
        }
        lane.ledger.evidence().fell_back();
        if let Some(person) = asked.person {
            lane.rule.holds.hold(person, clock::monotonic());
        }
        leg = fallback;
        fell_back = true;
        // It has its own time: what standard took is not to be missing at the end.
        let began = std::mem::replace(&mut story.began, Instant::now());
        story.fallback = Some(why);
        result = put(worker, world, lane, leg, &asked, story).await;
        story.began = began;
    }
    story.meter = Some(leg.meter.clone());
    // What went into memory was not yet the caller's: a failure from here on is still answered.
    story.progress = Progress {
        request_bytes: asked.content.len() as u64,
        first_byte: story.progress.first_byte,
        ..Progress::default()
    };
    if leg.which == switch::Leg::Ndh {
        lane.ledger.used_ndh(fell_back);
    }
    let (raw, reply) = match result {
        Ok(said) => said,
        Err(fault) => return fail(client, workspace, story, terms, fault).await,
    };
    let manner = Manner {
        version: terms.version,
        keep_alive: terms.keep_alive,
        to_head: terms.to_head,
    };
    client.out.clear();
    client.out_sent = 0;
    let bytes = match &reply {
        Some(Reply { status, body }) => {
            let text = body.as_ref().map(serde_json::Value::to_string).unwrap_or_default();
            story.status = *status;
            let made = Some((*status, text.as_bytes()));
            raw.first().write(&mut client.out, made, manner);
            text.len()
        }
        None => {
            story.status = raw.first().status;
            // Content that GET would bring made anew is not what the head speaks of.
            let anew = terms.to_head && (leg.response.is_some() || lane.fields.is_some());
            let made = anew.then_some((story.status, &b""[..]));
            raw.first().write(&mut client.out, made, manner);
            raw.first().body.len()
        }
    } as u64;
    story.progress.reply_bytes = if terms.to_head { 0 } else { bytes };
    let sent = client.send(REPLY_PATIENCE).await;
    if let Some(other) = legs.compare {
        // After a fallback the standard leg has just failed: there is nothing to compare with.
        if Arc::ptr_eq(leg, &legs.leg) {
            set_aside(world, lane, leg, other, asked, raw);
        }
    }
    match (sent, terms.keep_alive) {
        (false, _) => {
            story.refused = Some("the caller went away before its reply was complete".to_owned());
            After::Reset
        }
        (true, true) => After::Next,
        (true, false) => After::Close,
    }
}

type Said = (Raw, Option<Reply>);

/// The leg failed, as far as anybody could do better.
fn failed(which: switch::Leg, result: &Result<Said, Fault>) -> bool {
    match result {
        Err(_) => true,
        Ok((raw, _)) => is_failure(which, raw.status()),
    }
}

/// Whether this status says nothing about the person. Of the standard leg more than a 5xx: "too many requests" to everybody
/// is no answer, and a method that is not allowed is a wrong address.
#[must_use]
pub fn is_failure(which: switch::Leg, status: u16) -> bool {
    match which {
        switch::Leg::Ndh => status >= 500,
        switch::Leg::Standard => !compare::is_final(status) || status == 405,
    }
}

/// One leg, asked and understood; what it did goes into the evidence.
async fn put(
    worker: &Rc<Worker>,
    world: &Rc<World>,
    lane: &Lane,
    leg: &Arc<Leg>,
    asked: &Arc<Asked>,
    story: &mut Story,
) -> Result<Said, Fault> {
    let began = clock::monotonic();
    let said = ask(worker, world, leg, asked, story).await;
    let result = said.and_then(|raw| {
        let reply = understand(leg, lane.fields.as_deref(), asked, &raw)?;
        Ok((raw, reply))
    });
    note(lane, leg.which, &result, clock::monotonic().saturating_sub(began));
    result
}

fn note(lane: &Lane, which: switch::Leg, result: &Result<Said, Fault>, took: Duration) {
    let answered = Answered {
        leg: which,
        error: failed(which, result),
        to_application: true,
        took,
    };
    lane.ledger.evidence().answered(clock::monotonic(), answered);
}

/// Hands the reply over to be compared, if there is room; else it is counted.
pub(in crate::proxy) fn set_aside(
    world: &World,
    lane: &Arc<Lane>,
    leg: &Arc<Leg>,
    other: Arc<Leg>,
    asked: Arc<Asked>,
    raw: Raw,
) {
    let Some(aside) = &world.plan.aside else { return };
    let dropped = match aside.budget.share(raw.size() + asked.size()) {
        None => "memory",
        Some(held) => {
            let job = Job {
                lane: lane.clone(),
                asked,
                answered: leg.clone(),
                raw,
                other,
                held,
            };
            if aside.send(job) {
                return;
            }
            "queue"
        }
    };
    lane.ledger.evidence().dropped(dropped);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_of_the_person_is_a_failure_of_the_standard_leg() {
        for failure in [301, 405, 408, 429, 500, 503] {
            assert!(is_failure(switch::Leg::Standard, failure), "{failure}");
        }
        for answer in [200, 204, 400, 404, 409] {
            assert!(!is_failure(switch::Leg::Standard, answer), "{answer}");
        }
        assert!(
            !is_failure(switch::Leg::Ndh, 429),
            "the application has always seen what NDH says"
        );
    }
}

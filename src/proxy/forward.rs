//! Carries one request to its upstream: breaker, connection, exchange; again where that is safe (`attempt`).

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{self, Attempt, Verdict};
use super::breaker::Admission;
use super::client::Client;
use super::exchange::{Broken, Exchange, Finished, Progress, Terms};
use super::own::invite;
use super::plan::Leg;
use super::succession::{refused_unread, replied};
use super::verdict::{Held, verdict};
use super::way::{Way, connect};
use super::worker::{Lender, Worker, Workspace, World};
use super::{After, Forwarded, REPLY_PATIENCE, Story, exchange_h2};
use crate::clock;
use crate::config::settings::Times;
use crate::fault::{Code, Fault};
use crate::upstream::Target;
use crate::upstream::multiplex::Lease;
use crate::wire::framing::Length;
use crate::wire::reply::{self, Manner};

/// Before a refused connection is tried again; longer before the second time.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// How one attempt ended without a whole reply.
struct Failed {
    broken: Broken,
    /// The TCP connection was refused: nobody listens there.
    connection_refused: bool,
    reused: bool,
    /// The connection had brought a reply before: the other side accepted its handshake.
    answered: bool,
    progress: Progress,
}

impl Failed {
    fn before_sending(broken: Broken, connection_refused: bool) -> Self {
        Self {
            broken,
            connection_refused,
            reused: false,
            answered: false,
            progress: Progress::default(),
        }
    }
}

/// Forwards the request in `workspace.head` and answers the caller, whatever happens.
#[allow(clippy::too_many_arguments)] // the pipeline's state, passed down one step
pub(super) async fn forward(
    worker: &Rc<Worker>,
    world: &World,
    client: &mut Client,
    workspace: &mut Workspace,
    story: &mut Story,
    leg: &Leg,
    person: Option<u64>,
    terms: &mut Forwarded,
) -> After {
    match carry(worker, world, client, workspace, story, leg, person, terms).await {
        Ok(Finished { keep_alive: true, .. }) => After::Next,
        Ok(Finished { request_read: true, .. }) => After::Close,
        Ok(Finished { .. }) => After::Linger,
        Err(Broken::CallerGone) => {
            story.status = story.progress.status.unwrap_or(0);
            story.refused = Some("the caller went away before its reply was complete".to_owned());
            After::Reset
        }
        Err(Broken::Request(fault) | Broken::Upstream(fault)) => fail(client, workspace, story, terms, fault).await,
    }
}

/// Carries the request in `workspace.head` to the leg's upstream and its reply to `client`: breaker, connection,
/// exchange, again where that is safe.
#[allow(clippy::too_many_arguments)]
pub(super) async fn carry(
    worker: &Rc<Worker>,
    world: &World,
    client: &mut Client,
    workspace: &mut Workspace,
    story: &mut Story,
    leg: &Leg,
    person: Option<u64>,
    terms: &mut Forwarded,
) -> Result<Finished, Broken> {
    let lender = &world.lenders[leg.target];
    let target = lender.target.borrow().clone();
    story.upstream = Some(target.clone());
    // Bound first: a borrow in the scrutinee would last through the arms, and one of them awaits.
    let admission = lender.breaker.borrow_mut().admit(clock::monotonic);
    let permit = match admission {
        Admission::Pass(permit) => permit,
        Admission::Refuse { retry_after } => {
            let seconds = u32::try_from(retry_after.as_millis().div_ceil(1000))
                .unwrap_or(u32::MAX)
                .max(1);
            let sentence = format!(
                "requests to {} keep failing; it is left alone for {seconds} s",
                target.peer
            );
            let fault = Fault::new(Code::CircuitOpen, sentence).retry_after(seconds);
            return Err(Broken::Upstream(fault));
        }
    };
    let permit = Held {
        lender,
        permit: Some(permit),
    };
    let pace = Pace {
        times: Times {
            first_byte: leg.first_byte.unwrap_or(target.times.first_byte),
            ..target.times.clone()
        },
        deadline: story.began + leg.total.unwrap_or(target.times.total),
    };
    let result = attempts(worker, lender, &target, client, workspace, story, terms, &pace).await;
    let at = result.as_ref().map_or_else(|_| Instant::now(), |finished| finished.at);
    permit.settle(verdict(&result, &story.progress), person, at);
    result
}

/// How long each phase may take, and all of it.
struct Pace {
    times: Times,
    deadline: Instant,
}

/// Attempts until one succeeds or another would not be safe.
#[allow(clippy::too_many_arguments)]
async fn attempts(
    worker: &Rc<Worker>,
    lender: &Lender,
    target: &Arc<Target>,
    client: &mut Client,
    workspace: &mut Workspace,
    story: &mut Story,
    terms: &mut Forwarded,
    pace: &Pace,
) -> Result<Finished, Broken> {
    let deadline = pace.deadline;
    // Of another leg, or with another token: they do not count against this one.
    let before = story.attempts;
    lender.budget.borrow_mut().deposit();
    let mut target = target.clone();
    let (mut fresh, mut succeeded) = (false, false);
    loop {
        story.attempts += 1;
        let failed = match attempt(worker, lender, &target, fresh, client, workspace, story, terms, pace).await {
            Ok(finished) => return Ok(finished),
            Err(failed) => failed,
        };
        let curable = matches!(&failed.broken, Broken::Upstream(fault)
            // A refusal or a timeout is an answer; only a connection that was dead or missing can be better next time.
            if fault.code == Code::UpstreamReset || failed.connection_refused);
        if !succeeded && refused_unread(&failed.broken, failed.answered, &failed.progress, terms.replayable) {
            succeeded = true;
            if let Some(successor) = lender.successor(&target, deadline).await {
                worker.scribe.borrow_mut().retried(&target.name, "certificate_refused");
                (target, fresh) = (successor, true);
                continue;
            }
        }
        if !curable {
            return Err(failed.broken);
        }
        let facts = Attempt {
            reused: failed.reused,
            request_sent: failed.progress.request_begun,
            reply_started: failed.progress.reply_begun,
            body_replayable: terms.replayable,
            idempotent: terms.idempotent,
            connection_refused: failed.connection_refused,
            attempts: u8::try_from(story.attempts - before).unwrap_or(u8::MAX),
        };
        let verdict = attempt::decide(&facts, &mut lender.budget.borrow_mut());
        match verdict {
            Verdict::Retry(why) if Instant::now() < deadline => {
                worker.scribe.borrow_mut().retried(&target.name, why.as_str());
                if failed.connection_refused {
                    // A process that restarts listens again in a moment; asking at once would only ask twice.
                    tokio::time::sleep(REFUSED_PAUSE * (story.attempts - before)).await;
                }
                // Where one kept connection was dead, the others are likely dead too.
                fresh = true;
            }
            _ => return Err(failed.broken),
        }
    }
}

/// One attempt: a connection, kept or new, and one exchange on it.
#[allow(clippy::too_many_arguments)]
async fn attempt(
    worker: &Rc<Worker>,
    lender: &Lender,
    target: &Arc<Target>,
    fresh: bool,
    client: &mut Client,
    workspace: &mut Workspace,
    story: &mut Story,
    terms: &mut Forwarded,
    pace: &Pace,
) -> Result<Finished, Failed> {
    let mut connection = match connect(worker, lender, target, fresh, story.began, pace.deadline).await {
        Ok(Way::Own(connection)) => connection,
        Ok(Way::Shared(lease)) => return share(lease, client, workspace, story, terms, pace).await,
        Err(error) => {
            return Err(Failed::before_sending(Broken::Upstream(error.fault), error.refused));
        }
    };
    story.generation = connection.generation.number;
    story.reused = connection.reused;
    if !invite(client, terms).await {
        lender.put(connection, &worker.spares, Instant::now());
        return Err(Failed::before_sending(Broken::CallerGone, false));
    }
    connection.begin(&worker.spares);
    let exchange_terms = exchange_terms(&workspace.head, terms, pace);
    let before = story.progress.request_bytes;
    let mut exchange = Exchange::new(client, &mut connection, &mut workspace.fields, exchange_terms);
    let result = poll_fn(|cx| exchange.poll(cx)).await;
    let progress = exchange.progress;
    story.progress = Progress {
        request_bytes: before + progress.request_bytes,
        ..progress
    };
    match result {
        Ok(finished) => {
            replied(story, &connection.generation);
            if finished.upstream_reusable {
                lender.put(connection, &worker.spares, finished.at);
            } else {
                connection.discard(&worker.spares);
            }
            Ok(finished)
        }
        Err(broken) => {
            let reused = connection.reused;
            connection.discard(&worker.spares);
            Err(Failed {
                broken,
                connection_refused: false,
                reused,
                answered: reused,
                progress,
            })
        }
    }
}

fn exchange_terms<'a>(head: &'a [u8], terms: &Forwarded, pace: &'a Pace) -> Terms<'a> {
    Terms {
        head,
        length: terms.length,
        body_limit: terms.body_limit,
        to_head: terms.to_head,
        version: terms.version,
        keep_alive: terms.keep_alive,
        times: &pace.times,
        deadline: pace.deadline,
    }
}

/// The same over HTTP/2: the connection is not ours alone, and goes on without us.
async fn share(
    lease: Lease,
    client: &mut Client,
    workspace: &mut Workspace,
    story: &mut Story,
    terms: &mut Forwarded,
    pace: &Pace,
) -> Result<Finished, Failed> {
    story.generation = lease.generation().number;
    story.reused = lease.reused;
    if !invite(client, terms).await {
        return Err(Failed::before_sending(Broken::CallerGone, false));
    }
    let (reused, generation) = (lease.reused, lease.generation().clone());
    let exchange_terms = exchange_terms(&workspace.head, terms, pace);
    let before = story.progress.request_bytes;
    // On the heap: requests over HTTP/1.1 have the same task and need not carry room for it.
    let mut exchange = Box::new(exchange_h2::Exchange::new(
        client,
        lease,
        &mut workspace.fields,
        exchange_terms,
    ));
    let result = poll_fn(|cx| exchange.poll(cx)).await;
    let (progress, singled_out, answered) = (exchange.progress, exchange.singled_out, exchange.answered);
    story.progress = Progress {
        request_bytes: before + progress.request_bytes,
        ..progress
    };
    match result {
        Ok(finished) => {
            replied(story, &generation);
            Ok(finished)
        }
        Err(broken) => Err(Failed {
            broken,
            connection_refused: false,
            // The excuse of a stale connection is for the connection's end.
            reused: reused && !singled_out,
            answered,
            progress,
        }),
    }
}

/// Tells the caller of a failure: in a reply while none has begun, else by cutting the connection.
pub(super) async fn fail(
    client: &mut Client,
    workspace: &Workspace,
    story: &mut Story,
    terms: &Forwarded,
    fault: Fault,
) -> After {
    if story.progress.answered && story.progress.status.is_some() {
        // The status that the caller saw stands in the record; the code says that the reply was cut.
        story.status = story.progress.status.unwrap_or(0);
        story.fault = Some(fault);
        return After::Reset;
    }
    client.out.clear();
    client.out_sent = 0;
    // Content that did not come with the head may be half read by now, and where it ends in the buffer is not known.
    let unread = terms.length != Length::Empty;
    let keep_alive = terms.keep_alive && !unread && fault.code != Code::RequestMalformed;
    let manner = Manner {
        version: terms.version,
        keep_alive,
        to_head: terms.to_head,
    };
    reply::write_fault(&mut client.out, &fault, &workspace.request_id, manner);
    story.status = reply::status(&fault);
    story.fault = Some(fault);
    match (client.send(REPLY_PATIENCE).await, keep_alive) {
        (false, _) => After::Close,
        (true, true) => After::Next,
        (true, false) => After::Linger,
    }
}

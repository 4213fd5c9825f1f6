//! The request pipeline, top to bottom. The sidecar and the gateway are both this, with different plans.
//!
//! ```text
//!  serve ── one task per connection
//!    └─ one_request
//!         ├─ read     the head, judged (wire::head, wire::framing)          ─┐
//!         ├─ admit    path → lane, limits                                    ├─ Fault ▶ wire::reply
//!         ├─ write    the head for the upstream (wire::headers)              │
//!         ├─ forward  breaker → connection → exchange, again if safe        ─┘
//!         └─ record   one access line and one sample, whatever happened
//! ```
//!
//! Invariant: a request that was read is recorded exactly once, and gets at most one reply.

pub mod aside;
pub mod attempt;
pub mod breaker;
mod caller;
pub mod client;
pub mod exchange;
pub mod exchange_h2;
mod forward;
mod intake;
pub mod ledger;
pub mod legs;
mod own;
pub mod plan;
mod story;
mod succession;
mod verdict;
mod way;
mod window;
pub mod worker;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::fault::Code;
use crate::switch::Answered;
use crate::transport::memory::Memory;
use crate::transport::stream::Stream;
use crate::wire::reply;
use crate::wire::whole::Whole;

pub use caller::{Caller, Peer};
use client::{Awaited, Client};
use intake::{Beside, Forwarded, Incoming, Order, name_request, order, read};
use legs::Raw;
use own::{finish, refuse_unread};
use plan::Leg;
use story::{Story, record};
use worker::{Worker, Workspace, World};

/// How long the caller may take to accept a short reply of ours.
const REPLY_PATIENCE: Duration = Duration::from_secs(5);

/// Serves one connection until it ends.
pub async fn serve(worker: Rc<Worker>, stream: Stream, caller: Caller) {
    let plan = worker.world().plan.clone();
    let mut client = Client::new(stream, plan.limits.head_time);
    let mut patience = plan.limits.head_time;
    drop(plan);
    let waker = std::future::poll_fn(|cx| std::task::Poll::Ready(cx.waker().clone())).await;
    let entered = worker.enter(waker);
    let mut since = Instant::now();
    loop {
        // Looked at on every wake-up: a drain that begins while we wait shortens the wait.
        let until = || match leaving(&worker, &caller) {
            None => since + patience,
            Some(told) => (since.max(told) + worker.world().plan.drain_quiet).min(since + patience),
        };
        if !client.wait(&worker.spares, until).await {
            break;
        }
        let busy = worker.begin();
        let (after, ended) = one_request(&worker, &mut client, &caller).await;
        since = ended;
        drop(busy);
        match after {
            After::Next => patience = worker.world().plan.limits.keep_alive,
            After::Linger => {
                client.linger(&worker.spares).await;
                break;
            }
            After::Close => break,
            After::Reset => {
                client.stream.reset_on_close();
                break;
            }
        }
    }
    drop(entered);
}

/// Since when the connection is to end: the worker drains, or the gateway's front has changed under it.
fn leaving(worker: &Worker, caller: &Caller) -> Option<Instant> {
    let renewed = worker.renewed().filter(|_| caller.is_outdated(&worker.world().plan));
    worker.draining().or(renewed)
}

/// What becomes of the caller's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// It waits for another request.
    Next,
    /// Everything was read and answered.
    Close,
    /// A reply was written, and bytes of the request are unread.
    Linger,
    /// A reply was cut short: nobody may take it for whole.
    Reset,
}

/// Answers also when it was over.
async fn one_request(worker: &Rc<Worker>, client: &mut Client, caller: &Caller) -> (After, Instant) {
    let world = worker.world();
    let plan = &world.plan;
    let mut workspace = worker.workspace();
    let mut story = Story::new();
    workspace.request_id.clear();
    workspace.trace_parent.clear();
    let after = match client.head(&worker.spares, &plan.bounds, plan.limits.head_time).await {
        Awaited::Closed => {
            worker.give_back(workspace);
            return (After::Close, story.began);
        }
        Awaited::Refused(fault) => refuse_unread(client, &mut story, &workspace, fault).await,
        Awaited::Head(length) => match read(client, &mut workspace, &mut story, plan, length) {
            Err(fault) => refuse_unread(client, &mut story, &workspace, fault).await,
            Ok(incoming) => answer(worker, &world, client, caller, &mut workspace, &mut story, &incoming).await,
        },
    };
    let ended = record(worker, &story, &workspace);
    worker.give_back(workspace);
    (after, ended)
}

/// Hands a reply that went to the caller over to be compared.
fn compare_beside(
    world: &World,
    client: &mut Client,
    story: &Story,
    leg: Arc<Leg>,
    beside: Option<Beside>,
    terms: &Forwarded,
) {
    let Some(Beside { lane, asked, other }) = beside else {
        return;
    };
    let answered = Answered {
        leg: leg.which,
        error: story.fault.is_some() || story.status >= 500,
        to_application: true,
        took: story.began.elapsed(),
    };
    lane.ledger.evidence().answered(clock::monotonic(), answered);
    let Some(tap) = client.tap.take() else {
        lane.ledger.evidence().dropped("queue");
        return;
    };
    let whole = tap.into_bytes().and_then(|bytes| Whole::read(&bytes, terms.to_head));
    match whole {
        Some(whole) if story.fault.is_none() => {
            legs::set_aside(world, &lane, &leg, other, Arc::from(asked), Raw::One(whole));
        }
        _ if story.fault.is_some() => lane.ledger.evidence().dropped("no_reply"),
        _ => lane.ledger.evidence().dropped("size"),
    }
}

/// Finds out what to do with a request, and does it.
async fn answer(
    worker: &Rc<Worker>,
    world: &Rc<World>,
    client: &mut Client,
    caller: &Caller,
    workspace: &mut Workspace,
    story: &mut Story,
    incoming: &Incoming,
) -> After {
    let plan = &world.plan;
    story.last = leaving(worker, caller).is_some();
    name_request(worker, client, workspace, incoming.head);
    let ordered = order(worker, plan, client, caller, workspace, story, incoming);
    match ordered {
        Ok(Order::Forward {
            leg,
            admitted,
            person,
            mut terms,
            beside,
        }) => {
            // Without a place to go to, no copy is made.
            let aside = plan.aside.as_ref().filter(|_| beside.is_some());
            client.tap = aside
                .filter(|aside| aside.has_place())
                .map(|aside| Memory::within(plan.reply_limit, &aside.budget));
            if let Some(ledger) = &leg.ledger {
                ledger.used_ndh(false);
            }
            let after = forward::forward(worker, world, client, workspace, story, &leg, person, &mut terms).await;
            drop(admitted);
            compare_beside(world, client, story, leg, beside, &terms);
            after
        }
        Ok(Order::Understand {
            admitted,
            legs,
            mut asked,
            mut terms,
        }) => {
            let gathered = legs::gather(client, &mut terms, plan.limits.head_time).await;
            let after = match gathered {
                Ok(content) => {
                    story.progress.request_bytes += content.len() as u64;
                    asked.content.extend_from_slice(&content);
                    legs::answer(worker, world, client, workspace, story, legs, Arc::from(asked), &terms).await
                }
                Err(fault) => forward::fail(client, workspace, story, &terms, fault).await,
            };
            drop(admitted);
            after
        }
        Ok(Order::Health) => {
            let mut vital = world.lenders.iter().zip(&plan.vital).filter(|(_, vital)| **vital);
            let up = vital.all(|(lender, _)| lender.is_up());
            story.status = if up { 200 } else { 503 };
            if !up {
                story.refused = Some("an upstream has no usable identity, or its circuit is open".to_owned());
            }
            finish(client, incoming, story, |out, manner| {
                reply::write_health(out, up, manner)
            })
            .await
        }
        Ok(Order::Forbid(what, reason)) => {
            worker.scribe.borrow().forbidden(what);
            story.status = 403;
            story.refused = Some(reason);
            finish(client, incoming, story, reply::write_forbidden).await
        }
        Err(fault) if fault.code == Code::RequestMalformed => {
            client.buffer.consume(incoming.head);
            refuse_unread(client, story, workspace, fault).await
        }
        Err(fault) => {
            story.status = reply::status(&fault);
            let after = finish(client, incoming, story, |out, manner| {
                reply::write_fault(out, &fault, &workspace.request_id, manner);
            })
            .await;
            story.fault = Some(fault);
            after
        }
    }
}

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

pub mod attempt;
pub mod breaker;
pub mod client;
pub mod exchange;
mod forward;
pub mod plan;
mod window;
pub mod worker;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cert::facts::Facts;
use crate::config::settings::Authorization;
use crate::fault::{Code, Fault};
use crate::route::path;
use crate::telemetry::exchange::Record;
use crate::transport::stream::Stream;
use crate::wire::body::{Decoder, Step};
use crate::wire::framing::{self, Length, RequestFraming};
use crate::wire::head::{Name, RequestLine, Version};
use crate::wire::headers::{self, RequestRules, write_request};
use crate::wire::reply::{self, Manner};

use client::{Awaited, Client, head_fault};
use exchange::Progress;
use plan::{Admitted, Doors, Lane, Plan, Unmatched};
use worker::{Worker, Workspace, World};

/// How long the caller may take to accept a short reply of ours.
const REPLY_PATIENCE: Duration = Duration::from_secs(5);

/// Who is at the other end of a caller's connection.
#[derive(Debug)]
pub enum Caller {
    /// Somebody in the same pod.
    Local,
    /// A peer that showed this certificate; the line tells the API who it is.
    Peer { facts: Box<Facts>, header: Vec<u8> },
}

impl Caller {
    fn doors(&self, plan: &Plan) -> Doors {
        match self {
            Self::Local => Doors::ALL,
            // A resumed session does not come past the verifier: the dates are looked at again here.
            Self::Peer { facts, .. } if crate::clock::unix_seconds() > facts.not_after => Doors::NONE,
            Self::Peer { facts, .. } => plan.admitted(facts),
        }
    }

    fn header(&self) -> &[u8] {
        match self {
            Self::Local => b"",
            Self::Peer { header, .. } => header,
        }
    }
}

/// Serves one connection until it ends.
pub async fn serve(worker: Rc<Worker>, stream: Stream, caller: Caller) {
    let plan = worker.world().plan.clone();
    let mut client = Client::new(stream, plan.limits.head_time);
    let mut patience = plan.limits.head_time;
    drop(plan);
    let waker = std::future::poll_fn(|cx| std::task::Poll::Ready(cx.waker().clone())).await;
    let entered = worker.enter(waker);
    loop {
        let since = Instant::now();
        // Looked at on every wake-up: a drain that begins while we wait shortens the wait.
        let until = || match worker.draining() {
            None => since + patience,
            Some(drain) => (since.max(drain) + worker.world().plan.drain_quiet).min(since + patience),
        };
        if !client.wait(&worker.spares, until).await {
            break;
        }
        let busy = worker.begin();
        let after = one_request(&worker, &mut client, &caller).await;
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

/// A request that was read, before anything is decided about it.
struct Incoming {
    head: usize,
    line: RequestLine,
    framing: RequestFraming,
}

/// What is known of a request for its record; filled in as it goes.
struct Story {
    began: Instant,
    lane: Option<Arc<Lane>>,
    fault: Option<Fault>,
    /// The gateway's reason to refuse, for the operator only.
    refused: Option<String>,
    status: u16,
    upstream: Option<Arc<crate::upstream::Target>>,
    generation: u64,
    attempts: u32,
    reused: bool,
    progress: Progress,
    method: Method,
}

/// A method as metrics know it: a short copy, so that nothing points into the buffer any more.
#[derive(Clone, Copy, Debug, Default)]
struct Method {
    bytes: [u8; 8],
    len: usize,
}

impl Method {
    fn of(text: &[u8]) -> Self {
        let mut method = Self::default();
        if text.len() <= method.bytes.len() {
            method.bytes[..text.len()].copy_from_slice(text);
            method.len = text.len();
        }
        method
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

async fn one_request(worker: &Rc<Worker>, client: &mut Client, caller: &Caller) -> After {
    let world = worker.world();
    let plan = &world.plan;
    let mut workspace = worker.workspace();
    let mut story = Story {
        began: Instant::now(),
        lane: None,
        fault: None,
        refused: None,
        status: 0,
        upstream: None,
        generation: 0,
        attempts: 0,
        reused: false,
        progress: Progress::default(),
        method: Method::default(),
    };
    workspace.request_id.clear();
    workspace.trace_parent.clear();
    let after = match client.head(&worker.spares, &plan.bounds, plan.limits.head_time).await {
        Awaited::Closed => {
            worker.give_back(workspace);
            return After::Close;
        }
        Awaited::Refused(fault) => refuse_unread(client, &mut story, &workspace, fault).await,
        Awaited::Head(length) => match read(client, &mut workspace, &mut story, plan, length) {
            Err(fault) => refuse_unread(client, &mut story, &workspace, fault).await,
            Ok(incoming) => answer(worker, &world, client, caller, &mut workspace, &mut story, &incoming).await,
        },
    };
    record(worker, &story, &workspace);
    worker.give_back(workspace);
    after
}

/// Judges the head. Nothing is decided yet about where it goes.
fn read(
    client: &Client,
    workspace: &mut Workspace,
    story: &mut Story,
    plan: &Plan,
    head: usize,
) -> Result<Incoming, Fault> {
    let raw = &client.buffer.filled()[..head];
    let line = workspace
        .fields
        .parse_request(raw, &plan.bounds)
        .map_err(|error| head_fault(error, &plan.bounds))?;
    story.method = Method::of(line.method.of(raw));
    let malformed = |error: framing::FramingError| Fault::new(Code::RequestMalformed, error.to_string());
    let framing = framing::request(&line, &workspace.fields, raw).map_err(malformed)?;
    Ok(Incoming { head, line, framing })
}

/// Finds out what to do with a request, and does it.
async fn answer(
    worker: &Rc<Worker>,
    world: &World,
    client: &mut Client,
    caller: &Caller,
    workspace: &mut Workspace,
    story: &mut Story,
    incoming: &Incoming,
) -> After {
    let plan = &world.plan;
    name_request(worker, client, workspace, incoming.head);
    let ordered = order(worker, plan, client, caller, workspace, story, incoming);
    match ordered {
        Ok(Order::Forward {
            lane,
            admitted,
            person,
            mut terms,
        }) => {
            let after = forward::forward(worker, world, client, workspace, story, &lane, person, &mut terms).await;
            drop(admitted);
            after
        }
        Ok(Order::Health) => {
            let up = world.lenders.iter().all(|lender| lender.is_up());
            story.status = if up { 200 } else { 503 };
            finish(worker, client, incoming, story, |out, manner| {
                reply::write_health(out, up, manner)
            })
            .await
        }
        Ok(Order::Forbid(reason)) => {
            story.status = 403;
            story.refused = Some(reason);
            finish(worker, client, incoming, story, reply::write_forbidden).await
        }
        Err(fault) if fault.code == Code::RequestMalformed => {
            client.buffer.consume(incoming.head);
            refuse_unread(client, story, workspace, fault).await
        }
        Err(fault) => {
            story.status = reply::status(&fault);
            let after = finish(worker, client, incoming, story, |out, manner| {
                reply::write_fault(out, &fault, &workspace.request_id, manner);
            })
            .await;
            story.fault = Some(fault);
            after
        }
    }
}

/// What is to be done with a request.
enum Order {
    Forward {
        lane: Arc<Lane>,
        admitted: Admitted,
        person: Option<u64>,
        terms: Forwarded,
    },
    Health,
    /// The gateway lets nobody know why.
    Forbid(String),
}

/// What the forwarding needs of the request once its head has left the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarded {
    /// Content still to come from the caller.
    pub length: Length,
    pub body_limit: u64,
    pub to_head: bool,
    pub version: Version,
    pub keep_alive: bool,
    pub expects_continue: bool,
    pub idempotent: bool,
    /// All of the request is in the workspace: it can be sent again.
    pub replayable: bool,
}

/// Finds the lane and writes the head for its upstream; the request's head has then left the buffer.
fn order(
    worker: &Worker,
    plan: &Plan,
    client: &mut Client,
    caller: &Caller,
    workspace: &mut Workspace,
    story: &mut Story,
    incoming: &Incoming,
) -> Result<Order, Fault> {
    let Workspace {
        fields,
        head: out,
        path: scratch,
        request_id,
        trace_parent,
    } = workspace;
    let raw = &client.buffer.filled()[..incoming.head];
    let method = std::str::from_utf8(incoming.line.method.of(raw)).unwrap_or_default();
    let (path, query) = headers::path_and_query(&incoming.line, raw);
    let doors = caller.doors(plan);
    if doors.is_none() && plan.unmatched == Unmatched::Forbidden {
        return Ok(Order::Forbid("no rule admits this certificate".to_owned()));
    }
    // `*` and an authority are well-formed targets that no route can match.
    let path = if path.first() == Some(&b'/') {
        let doubtful = |error: path::PathError| Fault::new(Code::RequestMalformed, error.to_string());
        path::normalise(path, scratch).map_err(doubtful)?
    } else {
        ""
    };
    let Some((lane, captures)) = plan.find(doors, method, path) else {
        return match plan.unmatched {
            Unmatched::Forbidden => Ok(Order::Forbid(
                "no rule that admits this certificate allows the request".to_owned(),
            )),
            Unmatched::Misdirected if path == "/health/ping" && matches!(method, "GET" | "HEAD") => Ok(Order::Health),
            Unmatched::Misdirected => Err(Fault::new(
                Code::RouteUnknown,
                "no configured route matches the method and path; see [[route]]",
            )),
        };
    };
    story.lane = Some(lane.clone());
    if let Length::Known(bytes) = incoming.framing.length
        && bytes > lane.body_limit
    {
        return Err(exchange::body_too_large(lane.body_limit));
    }
    let Some(admitted) = lane.in_flight.admit(lane.in_flight_limit) else {
        let sentence = format!(
            "{} requests of route {} are under way, its limit",
            lane.in_flight_limit, lane.name
        );
        return Err(Fault::new(Code::Overloaded, sentence).retry_after(1));
    };
    let person = plan::person(lane, &captures, worker.seed);
    let target = &plan.targets[lane.target];

    out.clear();
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.base_path.as_bytes());
    match &lane.path {
        // Plans are only made of legs whose parameters the route captures.
        Some(template) => {
            template
                .expand(out, &captures)
                .map_err(|error| Fault::new(Code::RouteUnknown, error.to_string()))?;
        }
        None => out.extend_from_slice(path.as_bytes()),
    }
    out.extend_from_slice(query);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let at_hand = &client.buffer.filled()[incoming.head..];
    let whole = content_at_hand(incoming.framing.length, at_hand);
    let rules = RequestRules {
        host: &target.host,
        pass_authorization: lane.authorization == Authorization::Pass,
        length: incoming.framing.length,
        set: caller.header(),
        trace_parent,
        request_id,
    };
    write_request(out, raw, fields, &rules);
    if let Some(bytes) = whole {
        out.extend_from_slice(&at_hand[..bytes]);
        story.progress.request_bytes = bytes as u64;
    }
    let idempotent = lane.idempotent.unwrap_or_else(|| attempt::idempotent(method));
    let terms = Forwarded {
        length: if whole.is_some() {
            Length::Empty
        } else {
            incoming.framing.length
        },
        body_limit: lane.body_limit,
        to_head: method == "HEAD",
        version: incoming.line.version,
        keep_alive: incoming.framing.keep_alive && worker.draining().is_none(),
        expects_continue: incoming.framing.expects_continue,
        idempotent,
        replayable: whole.is_some(),
    };
    let lane = lane.clone();
    client.buffer.consume(incoming.head + whole.unwrap_or(0));
    Ok(Order::Forward {
        lane,
        admitted,
        person,
        terms,
    })
}

/// The bytes of content if all of it came with the head: then head and content leave together, and can leave again.
fn content_at_hand(length: Length, at_hand: &[u8]) -> Option<usize> {
    match length {
        Length::Empty => Some(0),
        Length::Known(bytes) => usize::try_from(bytes).ok().filter(|bytes| *bytes <= at_hand.len()),
        Length::Chunked | Length::UntilClose => None,
    }
}

/// Settles under which ids the request goes: its own where they are usable, else new ones.
fn name_request(worker: &Worker, client: &Client, workspace: &mut Workspace, head: usize) {
    let raw = &client.buffer.filled()[..head];
    let Workspace {
        fields,
        request_id,
        trace_parent,
        ..
    } = workspace;
    for field in fields.iter() {
        let value = field.value.of(raw);
        match field.name {
            Name::XRequestId if request_id.is_empty() && headers::is_request_id(value) => {
                request_id.extend_from_slice(value)
            }
            Name::TraceParent if trace_parent.is_empty() && headers::is_trace_parent(value) => {
                trace_parent.extend_from_slice(value);
            }
            _ => {}
        }
    }
    if request_id.is_empty() {
        push_hex(request_id, worker.random());
        push_hex(request_id, worker.random());
    }
    if trace_parent.is_empty() {
        trace_parent.extend_from_slice(b"00-");
        push_hex(trace_parent, worker.random());
        push_hex(trace_parent, worker.random());
        trace_parent.push(b'-');
        push_hex(trace_parent, worker.random());
        trace_parent.extend_from_slice(b"-00");
    }
}

fn push_hex(out: &mut Vec<u8>, number: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for shift in (0..16).rev() {
        out.push(HEX[(number >> (shift * 4) & 0xf) as usize]);
    }
}

/// Writes a reply of our own to a request whose head was understood. The connection goes on if nothing of the content
/// is left to read.
async fn finish(
    worker: &Worker,
    client: &mut Client,
    incoming: &Incoming,
    story: &Story,
    write: impl FnOnce(&mut Vec<u8>, Manner),
) -> After {
    client.buffer.consume(incoming.head);
    let unread = skip_content(client, incoming.framing.length);
    let keep_alive = !unread && incoming.framing.keep_alive && worker.draining().is_none();
    let to_head = story.method.as_str() == "HEAD";
    write(
        &mut client.out,
        Manner {
            version: incoming.line.version,
            keep_alive,
            to_head,
        },
    );
    match (client.send(REPLY_PATIENCE).await, keep_alive) {
        (false, _) => After::Close,
        (true, true) => After::Next,
        (true, false) if !unread && client.buffer.is_empty() => After::Close,
        (true, false) => After::Linger,
    }
}

/// Drops the content as far as it is at hand; `true` if more of it is to come.
fn skip_content(client: &mut Client, length: Length) -> bool {
    let mut decoder = Decoder::new(length);
    loop {
        match decoder.step(client.buffer.filled()) {
            Ok(Step::Data { skip, data }) => {
                decoder.taken(data);
                client.buffer.consume(skip + data);
            }
            Ok(Step::End { skip }) => {
                client.buffer.consume(skip);
                return false;
            }
            Ok(Step::More { .. }) | Err(_) => return true,
        }
    }
}

/// Refuses what could not be understood: where the next request begins is then unknown, so the connection ends.
async fn refuse_unread(client: &mut Client, story: &mut Story, workspace: &Workspace, fault: Fault) -> After {
    let to_head = story.method.as_str() == "HEAD";
    let manner = Manner {
        version: Version::Http11,
        keep_alive: false,
        to_head,
    };
    reply::write_fault(&mut client.out, &fault, &workspace.request_id, manner);
    story.status = reply::status(&fault);
    story.fault = Some(fault);
    if client.send(REPLY_PATIENCE).await {
        After::Linger
    } else {
        After::Close
    }
}

/// One access line and one sample.
fn record(worker: &Worker, story: &Story, workspace: &Workspace) {
    let detail = story
        .fault
        .as_ref()
        .map(|fault| fault.detail.as_ref())
        .or(story.refused.as_deref());
    worker.scribe.borrow_mut().close(Record {
        meter: story.lane.as_ref().map(|lane| lane.meter.as_ref()),
        method: story.method.as_str(),
        status: story.status,
        code: story.fault.as_ref().map(|fault| fault.code),
        detail,
        upstream: story.upstream.as_ref().map(|target| target.name.as_str()),
        generation: story.generation,
        attempts: story.attempts,
        reused: story.reused,
        request_bytes: story.progress.request_bytes,
        reply_bytes: story.progress.reply_bytes,
        duration: story.began.elapsed(),
        first_byte: story.progress.first_byte.map(|at| at.duration_since(story.began)),
        request_id: &workspace.request_id,
        trace_id: workspace.trace_parent.get(3..35).unwrap_or_default(),
        aborted: story.progress.answered && story.fault.is_some(),
    });
}

//! From a head in the buffer to a head for the upstream: judged, matched, admitted, rewritten.

use std::sync::Arc;

use super::attempt;
use super::caller::Caller;
use super::client::{Client, head_fault};
use super::exchange::body_too_large;
use super::legs::{self, Asked, Choice, Legs, Line, choose, write_line};
use super::plan::{self, Admitted, Lane, Leg, Plan, Unmatched};
use super::story::{Method, Story};
use super::worker::{Worker, Workspace};
use crate::clock;
use crate::config::settings::Authorization;
use crate::fault::{Code, Fault};
use crate::route::path;
use crate::switch::{Mode, Person};
use crate::telemetry::metrics::Forbidden;
use crate::wire::framing::{self, Length, RequestFraming};
use crate::wire::head::{RequestLine, Version};
use crate::wire::headers::{self, RequestRules, write_request};
use crate::wire::name::Name;

/// A request that was read, before anything is decided about it.
pub(super) struct Incoming {
    pub(super) head: usize,
    pub(super) line: RequestLine,
    pub(super) framing: RequestFraming,
}

/// Judges the head. Nothing is decided yet about where it goes.
pub(super) fn read(
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

/// What is to be done with a request.
pub(super) enum Order {
    /// Its reply streams to the caller.
    Forward {
        leg: Arc<Leg>,
        admitted: Admitted,
        person: Option<u64>,
        terms: Forwarded,
        beside: Option<Beside>,
    },
    /// Its reply has to be understood before the caller gets it.
    Understand {
        admitted: Admitted,
        legs: Legs,
        asked: Box<Asked>,
        terms: Forwarded,
    },
    Health,
    /// The gateway lets nobody know why.
    Forbid(Forbidden, String),
}

/// What is compared beside a reply that streams.
pub(super) struct Beside {
    pub(super) lane: Arc<Lane>,
    pub(super) asked: Box<Asked>,
    pub(super) other: Arc<Leg>,
}

/// What the forwarding needs of the request once its head has left the buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forwarded {
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

/// Finds the lane and its leg, and writes the head for its upstream; the request's head has then left the buffer.
pub(super) fn order(
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
    let doors = match caller.doors(plan) {
        Ok(doors) => doors,
        Err(reason) => {
            // Whoever is not let in does not stay either.
            story.last = true;
            return Ok(Order::Forbid(Forbidden::Peer, reason));
        }
    };
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
                Forbidden::Request,
                "no rule that admits this certificate allows the request".to_owned(),
            )),
            Unmatched::Misdirected if path == "/health/ping" && matches!(method, "GET" | "HEAD") => Ok(Order::Health),
            Unmatched::Misdirected => Err(unknown()),
        };
    };
    let person = plan::person(lane, &captures, plan.persons);
    let who = Person {
        name: lane.person.as_deref().and_then(|name| captures.get(name)),
        held: person.is_some_and(|person| lane.rule.fallback && lane.rule.holds.holds(person, clock::monotonic())),
    };
    let Choice { leg, fallback, compare } = choose(lane, method, who).ok_or_else(unknown)?;
    story.meter = Some(leg.meter.clone());
    story.lane = (lane.rule.effective.mode != Mode::Ndh).then(|| lane.clone());
    if let Length::Known(bytes) = incoming.framing.length
        && bytes > lane.body_limit
    {
        return Err(body_too_large(lane.body_limit));
    }
    let Some(admitted) = lane.in_flight.admit(lane.in_flight_limit) else {
        let sentence = format!(
            "{} requests of route {} are under way, its limit",
            lane.in_flight_limit, lane.name
        );
        return Err(Fault::new(Code::Overloaded, sentence).retry_after(1));
    };
    let idempotent = lane.idempotent.unwrap_or_else(|| attempt::idempotent(method));
    let at_hand = &client.buffer.filled()[incoming.head..];
    let whole = content_at_hand(incoming.framing.length, at_hand);
    let terms = Forwarded {
        length: if whole.is_some() {
            Length::Empty
        } else {
            incoming.framing.length
        },
        body_limit: lane.body_limit,
        to_head: method == "HEAD",
        version: incoming.line.version,
        keep_alive: incoming.framing.keep_alive && !story.last,
        expects_continue: incoming.framing.expects_continue,
        idempotent,
        replayable: whole.is_some(),
    };
    story.progress.request_bytes = whole.unwrap_or(0) as u64;
    let compare = compare.filter(|_| is_sampled(worker, lane));
    let streams = leg.streams && lane.fields.is_none() && fallback.is_none();
    let asked = (!streams || compare.is_some()).then(|| {
        Box::new(Asked {
            method: method.to_owned(),
            path: path.to_owned(),
            params: legs::params(&captures),
            query: query.to_vec(),
            head: raw.to_vec(),
            set: caller.header().to_vec(),
            content: at_hand[..whole.unwrap_or(0)].to_vec(),
            request_id: request_id.clone(),
            trace_parent: trace_parent.clone(),
            idempotent,
            person,
        })
    });
    let (leg, compare) = (leg.clone(), compare.cloned());
    let order = match asked {
        Some(asked) if !streams => Order::Understand {
            admitted,
            legs: Legs {
                fallback: fallback.cloned(),
                lane: lane.clone(),
                leg,
                compare,
            },
            asked,
            terms,
        },
        asked => {
            let target = &plan.targets[leg.target];
            out.clear();
            let line = Line {
                method,
                path,
                query,
                wanted: None,
            };
            write_line(out, &leg, target, &line, |name| captures.get(name))?;
            let rules = RequestRules {
                host: &target.host,
                pass_authorization: leg.authorization == Authorization::Pass,
                length: incoming.framing.length,
                // The gateway has the one, the sidecar the other.
                set: if leg.set.is_empty() { caller.header() } else { &leg.set },
                without: &leg.without,
                trace_parent,
                request_id,
            };
            write_request(out, raw, fields, &rules);
            out.extend_from_slice(&at_hand[..whole.unwrap_or(0)]);
            let beside = asked.zip(compare).map(|(asked, other)| Beside {
                lane: lane.clone(),
                asked,
                other,
            });
            Order::Forward {
                leg,
                admitted,
                person,
                terms,
                beside,
            }
        }
    };
    client.buffer.consume(incoming.head + whole.unwrap_or(0));
    Ok(order)
}

fn unknown() -> Fault {
    Fault::new(
        Code::RouteUnknown,
        "no configured route matches the method and path; see [[route]]",
    )
}

/// Only a share of requests is compared, where the route says so.
fn is_sampled(worker: &Worker, lane: &Lane) -> bool {
    let sample = lane.comparison.as_ref().map_or(0.0, |comparison| comparison.sample);
    // 53 bits: as many as a double can tell apart.
    #[allow(clippy::cast_precision_loss)]
    let drawn = (worker.random() >> 11) as f64 / (1u64 << 53) as f64;
    sample >= 1.0 || drawn < sample
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
pub(super) fn name_request(worker: &Worker, client: &Client, workspace: &mut Workspace, head: usize) {
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
    let digit = |at: usize| HEX[(number >> ((15 - at) * 4) & 0xf) as usize];
    out.extend_from_slice(&std::array::from_fn::<u8, 16, _>(digit));
}

//! The file of `run`: the listener, the identities and the routes, and how they go together.

use std::collections::{BTreeMap, BTreeSet};

use super::credentials;
use super::problem::{Place, Problem};
use super::read::Reader;
use super::settings::{Address, Authorization, Leg, Listen, Route, Settings};
use super::token;
use super::validate::{self, Side};
use super::value;
use crate::route::table::ConflictKind;
use crate::route::{Methods, Table, Template};

/// Answered by the sidecar itself on the local listener.
const PING: &str = "/health/ping";

/// Everything, or `None` where something was reported.
pub(super) fn settings(top: &Reader<'_>) -> Option<Settings> {
    let listen = listen(&top.table("listen"), &top.table("drain"));
    let served = match listen.address {
        Address::Tcp(address) => Some((address, "listen.address")),
        Address::Unix(_) => None,
    };
    let named = top.named("identity");
    let identity_names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    let mut identities = BTreeMap::new();
    for (name, at) in &named {
        let identity = credentials::identity(at);
        identities.insert((*name).to_owned(), identity);
    }
    let named = top.named("upstream");
    let upstream_names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    let tokens_named = top.named("token");
    let token_names: Vec<&str> = tokens_named.iter().map(|(name, _)| *name).collect();
    let mut tokens = BTreeMap::new();
    for (name, at) in &tokens_named {
        let token = token::token(at, &upstream_names, listen.caller_timeout);
        tokens.insert((*name).to_owned(), token);
    }
    let side = Side::Run {
        identities: &identity_names,
        tokens: &token_names,
    };
    let mut upstreams = BTreeMap::new();
    for (name, at) in &named {
        let upstream = validate::upstream(at, &side, (&top.table("listen"), listen.caller_timeout));
        upstreams.insert((*name).to_owned(), upstream);
    }
    let rows = top.rows("route");
    if rows.is_empty() && !top.has("route") {
        let problem = Problem::error(top.place("route"), "there is no [[route]], so no request would pass");
        top.report()
            .add(problem.right("write for example [[route]], name = \"offender\", match = \"GET /…\""));
    }
    let routes: Vec<_> = rows.iter().map(|(name, at)| route(name, at, &upstream_names)).collect();
    conflicts(top, &rows);
    unused(
        top,
        "identity",
        &identity_names,
        named.iter().filter_map(|(_, at)| at.text("identity")),
    );
    unused(
        top,
        "token",
        &token_names,
        named.iter().filter_map(|(_, at)| at.text("token")),
    );
    let legs: Vec<_> = rows.iter().map(|(_, at)| at.table("ndh")).collect();
    unused(
        top,
        "upstream",
        &upstream_names,
        legs.iter().filter_map(|leg| leg.text("upstream")),
    );
    let control = credentials::control(&top.table("control"), Some(&listen.address));
    Some(Settings {
        listen,
        observe: validate::observe(&top.table("observe"), served),
        control,
        log: validate::log(&top.table("log")),
        identities: all(identities)?,
        upstreams: all(upstreams)?,
        tokens: all(tokens)?,
        routes: routes.into_iter().collect::<Option<_>>()?,
    })
}

fn all<T>(found: BTreeMap<String, Option<T>>) -> Option<BTreeMap<String, T>> {
    found.into_iter().map(|(name, value)| Some((name, value?))).collect()
}

fn listen(at: &Reader<'_>, drain: &Reader<'_>) -> Listen {
    let default = Address::Tcp(([127, 0, 0, 1], 8080).into());
    let address = at.read("address", value::address).unwrap_or(default);
    if let Address::Tcp(address) = &address
        && !address.ip().to_canonical().is_loopback()
        && !at.switch("unsafe_listen", false)
    {
        let wrong = "is reachable from other machines, which would reach NDH under the application's identity";
        let right = format!(
            "write \"127.0.0.1:{}\" or \"unix:/…\", or unsafe_listen = true where that is meant",
            address.port()
        );
        at.error("address", wrong, right);
    }
    let (drain_deadline, drain_quiet) = validate::drain(drain);
    Listen {
        address,
        workers: at.count("workers").unwrap_or(1),
        limits: validate::limits(&at.table("limits")),
        caller_timeout: at.duration("caller_timeout", validate::CALLER_TIMEOUT),
        drain_deadline,
        drain_quiet,
    }
}

fn route(name: &str, at: &Reader<'_>, upstreams: &[&str]) -> Option<Route> {
    let matched = at.require(
        "match",
        "GET /secure/offenders/nomsNumber/{nomsNumber}/all",
        value::matcher,
    );
    let person = at.text("person");
    let leg = at.table("ndh");
    let upstream = if leg.exists() {
        leg.require("upstream", "ndh", |text| Ok(text.to_owned()))
    } else {
        let problem = Problem::error(
            at.place("ndh"),
            format!("`{}` has no leg: [route.ndh] is missing", at.path()),
        );
        at.report()
            .add(problem.right("write [route.ndh] and in it for example upstream = \"ndh\""));
        None
    };
    if let Some(upstream) = &upstream {
        validate::resolve(&leg, "upstream", upstream, "[upstream.NAME]", upstreams);
    }
    let path = leg.read("path", value::template);
    if let Some((methods, template)) = &matched {
        if template.as_str() == PING && matches!(methods, Methods::Any) | methods.accepts("GET") {
            let wrong = format!("matches {PING}, which the sidecar answers itself");
            at.error("match", wrong, "remove the route");
        }
        let known: Vec<&str> = template.parameters().collect();
        if let Some(person) = person
            && !known.contains(&person)
        {
            let wrong = format!("names \"{}\", which is no parameter of `match`", person.escape_debug());
            at.error("person", wrong, parameters(&known));
        }
        for unknown in path
            .iter()
            .flat_map(Template::parameters)
            .filter(|name| !known.contains(name))
        {
            let wrong = format!("needs the parameter {{{unknown}}}, which `match` does not have");
            leg.error("path", wrong, parameters(&known));
        }
    }
    let (methods, template) = matched?;
    Some(Route {
        name: name.to_owned(),
        methods,
        template,
        person: person.map(str::to_owned),
        in_flight: at.count("in_flight"),
        body_bytes: at.size("body"),
        idempotent: at.has("idempotent").then(|| at.switch("idempotent", false)),
        ndh: Leg {
            upstream: upstream?,
            path,
            authorization: match leg.text("authorization") {
                Some("pass") => Authorization::Pass,
                _ => Authorization::Strip,
            },
        },
    })
}

fn parameters(known: &[&str]) -> String {
    match known {
        [] => "`match` has no parameter: write it there as {name}".to_owned(),
        known => format!("`match` has: {}", known.join(", ")),
    }
}

/// Two routes that match the same request are refused: nothing would say which one answers.
fn conflicts(top: &Reader<'_>, rows: &[(&str, Reader<'_>)]) {
    let readable: Vec<_> = rows
        .iter()
        .filter_map(|(name, at)| Some((*name, at, at.read("match", value::matcher)?)))
        .collect();
    let matches: Vec<_> = readable.iter().map(|(_, _, matched)| matched.clone()).collect();
    let Err(conflicts) = Table::build(&matches) else { return };
    for conflict in conflicts {
        let ((first, first_at, _), (second, at, _)) = (&readable[conflict.first], &readable[conflict.second]);
        let (how, right) = match conflict.kind {
            ConflictKind::Same => (
                "match the same requests",
                "remove one, or give them different methods or paths",
            ),
            ConflictKind::Crossing => (
                "can both match one request, and neither is the more specific",
                "write the path that both match as a route of its own shape, or make one of them narrower",
            ),
        };
        let problem = Problem::error(at.place("match"), format!("the routes `{first}` and `{second}` {how}"));
        let problem = problem
            .right(right)
            .related(first_at.place("match"), format!("`{first}`"));
        top.report().add(problem);
    }
}

fn unused<'a>(top: &Reader<'_>, key: &str, known: &[&str], used: impl Iterator<Item = &'a str>) {
    let used: BTreeSet<&str> = used.collect();
    let tables = top.table(key);
    for name in known.iter().filter(|name| !used.contains(*name)) {
        let place: Place = tables.place(name);
        let wrong = format!("`{}` is not used by anything", tables.path_of(name));
        top.report()
            .add(Problem::warning(place, wrong).right("remove it, or name it where it is meant"));
    }
}

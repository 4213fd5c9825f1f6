//! The file of `run`: the listener, the identities and the routes, and how they go together.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::credentials;
use super::problem::{Place, Problem};
use super::read::Reader;
use super::routes::{self, Names};
use super::settings::{Address, Listen, Settings, Upstream};
use super::token;
use super::units;
use super::validate::{self, Side};
use super::value;
use crate::route::Table;
use crate::route::table::ConflictKind;

/// Everything, or `None` where something was reported.
pub(super) fn settings(top: &Reader<'_>, sources: &[Source]) -> Option<Settings> {
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
    let groups: Vec<&str> = top.named("group").into_iter().map(|(name, _)| name).collect();
    let names = Names {
        upstreams: &upstream_names,
        tokens: &token_names,
        groups: &groups,
        sources,
    };
    let routes: Vec<_> = rows.iter().map(|(name, at)| routes::route(name, at, &names)).collect();
    conflicts(top, &rows);
    unused(
        top,
        "identity",
        &identity_names,
        named.iter().filter_map(|(_, at)| at.text("identity")),
    );
    let legs: Vec<_> = rows
        .iter()
        .flat_map(|(_, at)| [at.table("ndh"), at.table("standard")])
        .collect();
    unused(
        top,
        "token",
        &token_names,
        named
            .iter()
            .map(|(_, at)| at)
            .chain(&legs)
            .filter_map(|at| at.text("token")),
    );
    unused(
        top,
        "upstream",
        &upstream_names,
        legs.iter().filter_map(|leg| leg.text("upstream")),
    );
    let control = credentials::control(&top.table("control"), Some(&listen.address));
    // With what could be read: problems of the rest do not hide those of the modes.
    let read: BTreeMap<String, Upstream> = upstreams
        .iter()
        .filter_map(|(name, upstream)| Some((name.clone(), upstream.clone()?)))
        .collect();
    let placed: Vec<_> = rows
        .iter()
        .zip(routes)
        .filter_map(|((_, at), route)| Some((at, route?)))
        .collect();
    let units = units::units(top, &placed, &read, listen.caller_timeout);
    if placed.len() < rows.len() {
        return None;
    }
    let upstreams = all(upstreams)?;
    Some(Settings {
        listen,
        observe: validate::observe(&top.table("observe"), served),
        control,
        log: validate::log(&top.table("log")),
        identities: all(identities)?,
        upstreams,
        tokens: all(tokens)?,
        units,
        routes: placed.into_iter().map(|(_, route)| route).collect(),
        switch: units::switch(&top.table("switch")),
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

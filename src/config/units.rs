//! What switches together: the groups, and each route in none.
//!
//! Whatever a mode needs (a second leg, views, a person, time for a fallback) is asked for here, so that no plan can be made
//! that lacks it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::read::Reader;
use super::settings::{Leg, Route, Shadow, Switch, Unit, Upstream};
use super::validate::shown;
use super::value;
use crate::route::Methods;
use crate::switch::{Able, Gate, Mode, Terms};

/// The units: each group, and each route in none. Reports where the mode of one is not possible.
pub(super) fn units(
    top: &Reader<'_>,
    routes: &[(&Reader<'_>, Route)],
    upstreams: &BTreeMap<String, Upstream>,
    patience: Duration,
) -> BTreeMap<String, Unit> {
    let mut units = BTreeMap::new();
    for (name, at) in top.named("group") {
        let members: Vec<_> = routes.iter().filter(|(_, route)| route.unit == name).collect();
        if members.is_empty() {
            at.error(
                "mode",
                "is for no route",
                format!("write group = \"{name}\" in a [[route]], or remove it"),
            );
            // Whatever else is wrong with it follows from that.
            continue;
        }
        unseen(name, &members);
        let persons: Vec<_> = members.iter().map(|(_, route)| route.person.as_deref()).collect();
        if persons.windows(2).any(|pair| pair[0] != pair[1]) {
            let wrong = "has routes with different `person` parameters: one person may be split two ways";
            at.warning("mode", wrong, "name the parameter alike where it holds the same number");
        }
        units.insert(name.to_owned(), unit(name, &at, &members, upstreams, patience));
    }
    for member in routes.iter().filter(|(_, route)| route.unit == route.name) {
        let (at, route) = member;
        units.insert(
            route.name.clone(),
            unit(&route.name, at, &[member], upstreams, patience),
        );
    }
    units
}

/// A read that is switched with the others, and of which nothing is compared before.
fn unseen(group: &str, members: &[&(&Reader<'_>, Route)]) {
    if !members.iter().any(|(_, route)| route.comparison.is_some()) {
        return;
    }
    for (at, route) in members {
        if route.comparison.is_none() && route.standard.is_some() && reads(&route.methods) {
            let wrong = format!(
                "is switched with the others of `group.{group}`, and unseen: they are compared, and here not both legs have a \
                 `view`"
            );
            let right = "write view = \"mapping/….jq\" in [route.ndh] and in [route.standard]";
            at.warning("group", wrong, right);
        }
    }
}

fn unit(
    name: &str,
    at: &Reader<'_>,
    members: &[&(&Reader<'_>, Route)],
    upstreams: &BTreeMap<String, Upstream>,
    patience: Duration,
) -> Unit {
    let routes = || members.iter().map(|(_, route)| route);
    let only_standard = routes().all(|route| route.ndh.is_none());
    let mode = match at.text("mode") {
        Some("shadow") => Mode::Shadow,
        Some("canary") => Mode::Canary,
        Some("standard") => Mode::Standard,
        None if only_standard && !members.is_empty() => Mode::Standard,
        _ => Mode::Ndh,
    };
    let able = Able {
        standard: routes().all(|route| route.standard.is_some()),
        compare: routes().any(|route| route.comparison.is_some() && reads(&route.methods)),
        person: routes().all(|route| route.person.is_some()),
        only_standard: routes().any(|route| route.ndh.is_none()),
    };
    if let Err(why) = able.allows(mode) {
        at.error(
            "mode",
            format!("cannot be \"{}\": {why}", mode.as_str()),
            "write mode = \"ndh\" until then",
        );
    }
    if mode != Mode::Standard
        && let Some(route) = routes().find(|route| route.ndh.is_none())
    {
        let wrong = format!("asks ndh, and `route.{}` has no [route.ndh]", route.name);
        at.error("mode", wrong, "write mode = \"standard\", or the leg");
    }
    if mode == Mode::Canary && !at.has("canary") {
        at.error(
            "canary",
            "is missing",
            "say the share of persons, for example canary = 0.05",
        );
    }
    if mode == Mode::Canary && !at.switch("compare", false) {
        let wrong = "is not on in mode \"canary\": nothing is compared, so that there is no evidence for the next step, and no \
                     mismatch rolls back by itself";
        at.warning("compare", wrong, "write compare = true");
    }
    let fallback = at.switch("fallback", false);
    if fallback {
        for route in routes().filter(|route| reads(&route.methods)) {
            fits_twice(at, route, upstreams, patience);
        }
    }
    let gate = at.table("gate");
    let default = Gate::default();
    let count = |key: &str, default: u64| gate.count(key).map_or(default, |count| count as u64);
    Unit {
        name: name.to_owned(),
        terms: Terms {
            mode,
            share: at.ratio("canary", 0.0),
            fallback,
            compare: at.switch("compare", false),
            gate: Gate {
                min_samples: count("min_samples", default.min_samples),
                max_mismatch: gate.ratio("max_mismatch", default.max_mismatch),
                max_missing: gate.ratio("max_missing", default.max_missing),
                max_errors: gate.ratio("max_errors", default.max_errors),
                max_p95: gate
                    .has("max_p95")
                    .then(|| gate.duration("max_p95", Duration::ZERO))
                    .or(default.max_p95),
                window: gate.duration("window", default.window),
                window_samples: count("window_samples", default.window_samples),
            },
            able,
        },
    }
}

/// A fallback comes after the standard leg has used its time: both must fit into the caller's patience.
fn fits_twice(at: &Reader<'_>, route: &Route, upstreams: &BTreeMap<String, Upstream>, patience: Duration) {
    let total = |leg: &Option<Leg>| {
        let leg = leg.as_ref()?;
        leg.total.or_else(|| Some(upstreams.get(&leg.upstream)?.times.total))
    };
    let (Some(ndh), Some(standard)) = (total(&route.ndh), total(&route.standard)) else {
        return;
    };
    if ndh + standard >= patience {
        let wrong = format!(
            "cannot be kept for `route.{}`: standard may take {} and ndh {} after it, and the caller gives up after {}",
            route.name,
            shown(standard),
            shown(ndh),
            shown(patience)
        );
        at.error(
            "fallback",
            wrong,
            "shorten `timeouts.total` in [route.standard] or [route.ndh]",
        );
    }
}

fn reads(methods: &Methods) -> bool {
    methods.accepts("GET") || methods.accepts("HEAD")
}

pub(super) fn switch(at: &Reader<'_>) -> Switch {
    let shadow = at.table("shadow");
    let state = at.read("state", value::path);
    if state.as_ref().is_some_and(|state| !state.is_absolute()) {
        let wrong = "is not an absolute path: after a restart from elsewhere the state would not be found";
        at.error(
            "state",
            wrong,
            "write for example state = \"/run/delius-sidecar/switch.json\"",
        );
    }
    let bytes =
        |found: Option<u64>, default: usize| found.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(default);
    Switch {
        state,
        reply: bytes(at.size("reply"), 1 << 20),
        shadow: Shadow {
            concurrency: shadow.count("concurrency").unwrap_or(4),
            queue: shadow.count("queue").unwrap_or(64),
            again: shadow.count("again").unwrap_or(256),
            memory: bytes(shadow.size("memory"), 8 << 20),
        },
    }
}

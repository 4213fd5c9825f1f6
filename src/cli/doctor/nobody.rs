//! One request that changes nothing and is about nobody, and needs the token: what is asked of an upstream to prove it.
//!
//! A probe answers anybody, so that it proves nothing of a token: it is asked only where there is nothing better.

use serde_json::{Map, Value, json};

use super::DoctorArgs;
use super::legs::Legs;
use crate::config::settings::{Leg, Route};
use crate::mapping::Bounds;
use crate::route::path;

/// Stands for every parameter of a path: nobody has this number, and no number looks like it.
const NOBODY: &str = "nobody";

/// Paths that are open to anybody, and all below them.
const PROBES: [&str; 8] = [
    "/health",
    "/ping",
    "/info",
    "/healthz",
    "/livez",
    "/readyz",
    "/actuator/health",
    "/actuator/info",
];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) method: String,
    /// Behind the upstream's base path.
    pub(super) path: String,
    pub(super) choice: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// By somebody, in `trial` or with `--path`.
    Named,
    /// A route's path with nobody in the person's place.
    Nobody,
    /// A probe, which needs no token.
    Probe,
}

impl Path {
    /// What is asked of this upstream with this token.
    pub(super) fn of(legs: &Legs<'_>, args: &DoctorArgs, upstream: &str, token: &str) -> Self {
        if let Some(path) = &args.path {
            return Self::named("GET", path);
        }
        let upstreams = &legs.settings.upstreams;
        let trial = upstreams.get(upstream).and_then(|upstream| upstream.trial.as_ref());
        let named = trial.map(|trial| Self::named(&trial.method, &trial.path));
        match named {
            Some(named) if named.choice == Choice::Named => named,
            probe => about_nobody(legs, upstream, token)
                .or(probe)
                .unwrap_or_else(|| Self::named("GET", "/health/ping")),
        }
    }

    fn named(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            choice: if is_probe(path) { Choice::Probe } else { Choice::Named },
        }
    }
}

fn is_probe(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    let below = |probe: &str| {
        path.strip_prefix(probe)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    PROBES.into_iter().any(below)
}

/// The first read of a route that makes a path: as the sidecar makes it, with nobody in every parameter's place.
fn about_nobody(legs: &Legs<'_>, upstream: &str, token: &str) -> Option<Path> {
    let reads = legs.settings.routes.iter().filter(|route| route.methods.accepts("GET"));
    let mut paths = reads.flat_map(|route| {
        let both = [&route.standard, &route.ndh].into_iter().flatten();
        both.filter(|leg| legs.is_asked(leg, upstream, token))
            .filter_map(|leg| expanded(route, leg))
    });
    let path = paths.next()?;
    Some(Path {
        method: String::from("GET"),
        path,
        choice: Choice::Nobody,
    })
}

fn expanded(route: &Route, leg: &Leg) -> Option<String> {
    let template = leg.path.as_ref().unwrap_or(&route.template);
    let mut plain = Vec::new();
    template.expand_with(&mut plain, |_| Some(NOBODY)).ok()?;
    let plain = String::from_utf8(plain).ok()?;
    let Some(program) = &leg.request else {
        return Some(plain);
    };
    let params: Map<String, Value> = route
        .template
        .parameters()
        .map(|name| (name.to_owned(), Value::from(NOBODY)))
        .collect();
    let input = json!({ "method": "GET", "params": params, "query": null, "headers": {} });
    let made = program.run(&input, &Bounds::default()).ok()??;
    let made = match leg.parts.first() {
        Some(part) => made.get("parts")?.get(part)?,
        None => &made,
    };
    let mut target = match made.get("path") {
        None | Some(Value::Null) => plain,
        Some(path) => path.as_str()?.to_owned(),
    };
    let mut scratch = Vec::new();
    // What the sidecar would not send, the doctor does not send either.
    if path::normalise(target.as_bytes(), &mut scratch).ok()? != target {
        return None;
    }
    if let Some(query) = made.get("query").and_then(Value::as_str)
        && !query.is_empty()
    {
        if !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return None;
        }
        target.push('?');
        target.push_str(query);
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_is_named_is_still_a_probe() {
        for path in [
            "/health/ping",
            "/health",
            "/health/",
            "/info",
            "/actuator/health/liveness",
            "/ping?x=1",
        ] {
            assert_eq!(Path::named("GET", path).choice, Choice::Probe, "{path}");
        }
        for path in [
            "/",
            "/healthy",
            "/case-records/nobody",
            "/information",
            "/case-records/health",
        ] {
            assert_eq!(Path::named("GET", path).choice, Choice::Named, "{path}");
        }
    }
}

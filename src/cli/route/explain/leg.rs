//! What is done on one leg of a request: where to, with which path, token and programs.

use serde_json::{Map, Value, json};

use super::Asked;
use crate::config::settings::{Authorization, Leg, Query, Route, Scheme, Settings, Source};
use crate::mapping::{Bounds, Program};
use crate::proxy::attempt;
use crate::route::{Captures, path};
use crate::telemetry::mask::masked;

pub(super) fn rows(settings: &Settings, route: &Route, leg: &Leg, asked: &Asked<'_>) -> Vec<(&'static str, String)> {
    let upstream = settings.upstreams.get(&leg.upstream);
    let base = upstream.map(|upstream| upstream.base_path.as_str()).unwrap_or_default();
    let mut rows = vec![("upstream", leg.upstream.clone())];
    if let Some(upstream) = upstream {
        let scheme = match upstream.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        rows[0].1 = format!("{}, {scheme}://{}:{}", leg.upstream, upstream.host, upstream.port);
        if let Some(identity) = &upstream.identity {
            rows.push(("certificate", identity.clone()));
        }
    }
    let template = leg.path.as_ref().unwrap_or(&route.template).as_str();
    let made = leg.request.as_deref().map(|program| made(program, leg, asked, base));
    let plain = format!("{} {base}{template}", asked.method);
    rows.push(("request", made.unwrap_or(plain)));
    if leg.request.is_none() {
        let query = match (leg.query, asked.query) {
            (Query::Drop, _) => "dropped",
            (Query::Pass, Some(_)) => "passed on as it came",
            (Query::Pass, None) => "none came",
        };
        rows.push(("query", query.to_owned()));
    }
    let idempotent = route.idempotent.unwrap_or_else(|| attempt::idempotent(asked.method));
    rows.push(("authorization", authorization(settings, leg, idempotent)));
    let set: Vec<String> = leg
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    if !set.is_empty() {
        rows.push(("headers set", set.join("\n")));
    }
    for (label, program) in [("response", &leg.response), ("view", &leg.view)] {
        if let Some(program) = program {
            rows.push((label, program.name().to_owned()));
        }
    }
    let times = upstream.map(|upstream| &upstream.times);
    let total = leg.total.or_else(|| times.map(|times| times.total));
    let first_byte = leg.first_byte.or_else(|| times.map(|times| times.first_byte));
    if let (Some(total), Some(first_byte)) = (total, first_byte) {
        rows.push((
            "times",
            format!("first byte within {first_byte:?}, all within {total:?}"),
        ));
    }
    rows
}

fn authorization(settings: &Settings, leg: &Leg, idempotent: bool) -> String {
    if leg.authorization == Authorization::Pass {
        return "the application's own, passed on".to_owned();
    }
    let upstream = settings.upstreams.get(&leg.upstream);
    let name = leg
        .token
        .as_ref()
        .or_else(|| upstream.and_then(|upstream| upstream.token.as_ref()));
    let Some(name) = name else {
        return "none; the application's own is removed".to_owned();
    };
    // As `proxy::legs::ask` does it: a 401 does not say that nothing was done.
    let again = if idempotent {
        "refused once, it is fetched anew"
    } else {
        "refused, it is fetched anew for the next request, and this one is not sent again"
    };
    match settings.tokens.get(name).map(|token| &token.source) {
        Some(Source::ClientCredentials(credentials)) => {
            let user = credentials.username_header.as_ref();
            let user = user
                .map(|header| format!(", for the user in {header}"))
                .unwrap_or_default();
            format!("token {name} (client credentials{user}); {again}")
        }
        Some(Source::DeliusLogon(_)) => format!("token {name} (logon of the Delius API); {again}"),
        None => format!("token {name}"),
    }
}

/// What the request program makes of it, with the parameters' names in place of their values.
fn made(program: &Program, leg: &Leg, asked: &Asked<'_>, base: &str) -> String {
    let params: Map<String, Value> = asked
        .captures
        .iter()
        .map(|(name, value)| (name.to_owned(), Value::from(path::decoded(value))))
        .collect();
    let input = json!({ "method": asked.method, "params": params, "query": asked.query, "headers": {} });
    let by = format!("made by {}, for a request without header fields", program.name());
    let request = |part: &str, made: Option<&Value>| {
        let path = made
            .and_then(|made| made["path"].as_str())
            .unwrap_or("(the path as it came)");
        let query = match made.map(|made| &made["query"]) {
            Some(Value::String(query)) if !query.is_empty() => "?…",
            _ => "",
        };
        let part = if part.is_empty() {
            String::new()
        } else {
            format!("{part}: ")
        };
        hidden(&format!("{part}{} {base}{path}{query}", asked.method), &asked.captures)
    };
    match program.run(&input, &Bounds::default()) {
        Err(error) => format!("{} fails: {error}", program.name()),
        Ok(None) => format!("{} puts out nothing: the request fails", program.name()),
        Ok(Some(output)) => {
            let mut lines: Vec<String> = match leg.parts.as_slice() {
                [] => vec![request("", Some(&output))],
                parts => parts
                    .iter()
                    .map(|part| request(part, output["parts"].get(part)))
                    .collect(),
            };
            lines.push(by);
            lines.join("\n")
        }
    }
}

/// The values of parameters are persons, and programs may have changed their case.
fn hidden(text: &str, captures: &Captures<'_>) -> String {
    let segments = text.split('/').map(|segment| {
        let is = |value: &str| value.eq_ignore_ascii_case(segment);
        let known = captures
            .iter()
            .find(|(_, value)| is(value) || is(&path::decoded(value)));
        known.map_or_else(|| segment.to_owned(), |(name, _)| format!("{{{name}}}"))
    });
    masked(segments.collect::<Vec<_>>().join("/"))
}

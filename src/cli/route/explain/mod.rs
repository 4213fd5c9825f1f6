//! `route explain METHOD PATH`: what would happen to a request, leg by leg, and why.
//!
//! The legs come from the configuration, the standing of the unit from the running process where one answers. The person in
//! the path decides the side of the canary and is never printed: paths are shown with the names of their parameters.

mod leg;

use serde_json::{Map, Value};

use crate::compare::Leg as Which;
use crate::config::settings::{Comparison, Route, Settings};
use crate::proxy::legs::is_safe;
use crate::route::{Captures, Table, path};
use crate::switch::report::Report;
use crate::switch::{Effective, Mode, Pair, Person, Terms, percent};

/// Answered without a route.
const PING: &str = "/health/ping";

/// Where the standing was learnt.
pub(super) enum Standing<'a> {
    /// Of the running process.
    Running(&'a Report),
    /// None answers, and why.
    Configured(String),
}

/// What would happen, in the order in which it is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Explanation {
    rows: Vec<(&'static str, String)>,
    legs: Vec<LegRows>,
}

/// One leg: what it is for, and what is done on it.
#[derive(Clone, Debug, PartialEq)]
struct LegRows {
    leg: Which,
    role: &'static str,
    rows: Vec<(&'static str, String)>,
}

/// What of a request is explained.
struct Asked<'a> {
    method: &'a str,
    captures: Captures<'a>,
    query: Option<&'a str>,
}

/// Explains a request under these settings.
///
/// # Errors
/// A sentence: the path cannot be read, or no route matches. It names no path.
pub(super) fn explain(
    settings: &Settings,
    standing: &Standing<'_>,
    method: &str,
    target: &str,
) -> Result<Explanation, String> {
    let (raw, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let mut scratch = Vec::new();
    let path = path::normalise(raw.as_bytes(), &mut scratch)
        .map_err(|error| format!("the request would be refused with 400 request_malformed: {error}"))?;
    let matches: Vec<_> = settings
        .routes
        .iter()
        .map(|route| (route.methods.clone(), route.template.clone()))
        .collect();
    let table = Table::build(&matches).map_err(|_| "two routes match the same request: run `check`".to_owned())?;
    let Some(found) = table.find(method, path) else {
        return unrouted(method, path);
    };
    let route = &settings.routes[found.route];
    let asked = Asked {
        method,
        captures: found.captures,
        query,
    };
    Ok(one(settings, standing, route, &asked))
}

/// What no route takes.
fn unrouted(method: &str, path: &str) -> Result<Explanation, String> {
    if path == PING && is_safe(method) {
        let itself = "the sidecar itself, and no upstream is asked: 200, or 503 while one that counts for readiness has no usable \
                      identity or an open circuit";
        return Ok(Explanation {
            rows: vec![("request", format!("{method} {PING}")), ("answers", itself.to_owned())],
            legs: Vec::new(),
        });
    }
    Err(format!(
        "no route takes {method} of this path: the request would be refused with 421 route_unknown"
    ))
}

fn one(settings: &Settings, standing: &Standing<'_>, route: &Route, asked: &Asked<'_>) -> Explanation {
    let terms = settings
        .units
        .get(&route.unit)
        .map(|unit| unit.terms.clone())
        .unwrap_or_default();
    let (effective, whence) = effective(standing, &route.unit, &terms);
    let person = route.person.as_deref().and_then(|name| asked.captures.get(name));
    let pair = Pair {
        unit: &route.unit,
        effective,
        fallback: terms.fallback,
        compare: terms.compare,
        ndh: route.ndh.is_some(),
        standard: route.standard.is_some(),
        comparable: route.comparison.is_some(),
    };
    let anybody = Person {
        name: person,
        held: false,
    };
    let chosen = pair.choose(anybody, is_safe(asked.method));
    let answers = chosen.leg;
    let (fallback, compares) = (chosen.fallback.is_some(), chosen.compare.is_some());
    let mut rows = vec![
        ("request", format!("{} {}", asked.method, route.template)),
        ("route", route.name.clone()),
        (
            "unit",
            if route.unit == route.name {
                "this route alone".to_owned()
            } else {
                route.unit.clone()
            },
        ),
        ("mode", format!("{effective}, {whence}")),
        ("person", side(route, effective, person.is_some(), answers)),
        ("answers", answers.as_str().to_owned()),
    ];
    if fallback {
        rows.push((
            "fallback",
            "ndh, when standard fails; the person stays with ndh for a while then".to_owned(),
        ));
    }
    rows.push(("compared", compared(route, asked.method, compares, effective.mode)));
    if route.fields.is_some() {
        rows.push((
            "fields",
            "only the fields that the route names reach the application".to_owned(),
        ));
    }
    rows.push(("gate", gate(&terms)));
    let legs = [(Which::Ndh, &route.ndh), (Which::Standard, &route.standard)];
    let legs = legs.into_iter().filter_map(|(which, leg)| {
        let role = match which {
            _ if which == answers => "answers the application",
            Which::Ndh if fallback && compares => "asked when standard fails, and beside it to be compared",
            Which::Ndh if fallback => "asked when standard fails",
            _ if compares => "asked beside it to be compared; the application never waits for it",
            _ => "not asked",
        };
        Some(LegRows {
            leg: which,
            role,
            rows: leg::rows(settings, route, leg.as_ref()?, asked),
        })
    });
    Explanation {
        rows,
        legs: legs.collect(),
    }
}

fn effective(standing: &Standing<'_>, unit: &str, terms: &Terms) -> (Effective, String) {
    match standing {
        Standing::Configured(why) => (terms.effective(), format!("as the configuration says ({why})")),
        Standing::Running(report) => match report.units.iter().find(|known| known.unit == unit) {
            None => {
                let why = "the running sidecar does not know this unit: is this its configuration?";
                (terms.effective(), format!("as the configuration says ({why})"))
            }
            Some(known) => {
                let why = match (&known.rolled_back, &known.set) {
                    (_, Some(set)) => format!("set by {}: {}", set.by, set.reason),
                    (Some(back), None) => format!("rolled back: {}", back.reasons.join("; ")),
                    (None, None) => "as configured".to_owned(),
                };
                (known.effective, format!("of the running sidecar ({why})"))
            }
        },
    }
}

fn side(route: &Route, effective: Effective, found: bool, answers: Which) -> String {
    let Some(name) = route.person.as_deref().filter(|_| found) else {
        return "the route names none".to_owned();
    };
    match (effective.mode, answers) {
        (Mode::Canary, Which::Standard) => {
            let share = percent(effective.share);
            format!("{{{name}}}, among the {share} of persons in the canary")
        }
        (Mode::Canary, Which::Ndh) => {
            let share = percent(effective.share);
            format!("{{{name}}}, not among the {share} of persons in the canary")
        }
        _ => format!("{{{name}}}; all persons go the same way in {}", effective.mode),
    }
}

fn compared(route: &Route, method: &str, compares: bool, mode: Mode) -> String {
    match &route.comparison {
        None => "no: it takes a `view` on both legs".to_owned(),
        Some(_) if !is_safe(method) => format!("no: {method} may change something and is never sent twice"),
        Some(_) if !compares && mode == Mode::Ndh => "no: nothing is compared in ndh".to_owned(),
        Some(_) if !compares => "no: `compare` is off".to_owned(),
        Some(comparison) => how(comparison),
    }
}

fn how(comparison: &Comparison) -> String {
    let rules = &comparison.rules;
    let mut lines = vec![format!(
        "{} of requests; a difference counts if it is still there after {:?}",
        percent(comparison.sample),
        comparison.again_after
    )];
    let list = |patterns: &[crate::compare::Pattern]| {
        let all: Vec<&str> = patterns.iter().map(crate::compare::Pattern::as_str).collect();
        all.join(", ")
    };
    if !rules.ignore.is_empty() {
        lines.push(format!("not looked at: {}", list(&rules.ignore)));
    }
    if !rules.unordered.is_empty() {
        lines.push(format!("in any order: {}", list(&rules.unordered)));
    }
    for (at, tolerance) in &rules.tolerance {
        lines.push(format!("{at} may be {tolerance} apart"));
    }
    for (ndh, standard) in &rules.equal_status {
        lines.push(format!("status {ndh} of ndh is the same as {standard} of standard"));
    }
    for known in &rules.known {
        lines.push(format!("known: {}: {}", known.name, known.reason));
    }
    lines.join("\n")
}

fn gate(terms: &Terms) -> String {
    let gate = &terms.gate;
    let mut words = format!(
        "{} samples, mismatches at most {}, missing at most {}, errors at most {}",
        gate.min_samples,
        percent(gate.max_mismatch),
        percent(gate.max_missing),
        percent(gate.max_errors)
    );
    if let Some(bound) = gate.max_p95 {
        words.push_str(&format!(", 95 % within {bound:?}"));
    }
    format!(
        "{words};\nrolls back on the last {:?}, from {} results",
        gate.window, gate.window_samples
    )
}

/// Width of the first column.
const LABEL: usize = 15;

impl Explanation {
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        lines(&mut out, 0, &self.rows);
        for leg in &self.legs {
            out.push_str(&format!("\n{}: {}\n", leg.leg.as_str(), leg.role));
            lines(&mut out, 2, &leg.rows);
        }
        out
    }

    pub(super) fn json(&self) -> Value {
        let object = |rows: &[(&'static str, String)]| -> Map<String, Value> {
            let key = |label: &str| label.replace(' ', "_");
            rows.iter()
                .map(|(label, text)| (key(label), Value::from(text.as_str())))
                .collect()
        };
        let legs: Map<String, Value> = self
            .legs
            .iter()
            .map(|leg| {
                let mut rows = object(&leg.rows);
                rows.insert("role".to_owned(), Value::from(leg.role));
                (leg.leg.as_str().to_owned(), Value::Object(rows))
            })
            .collect();
        let mut all = object(&self.rows);
        all.insert("legs".to_owned(), Value::Object(legs));
        Value::Object(all)
    }
}

fn lines(out: &mut String, indent: usize, rows: &[(&'static str, String)]) {
    for (label, text) in rows {
        let mut label = *label;
        for line in text.lines() {
            out.push_str(&format!("{:indent$}{label:LABEL$}{line}\n", ""));
            label = "";
        }
    }
}

#[cfg(test)]
mod tests;

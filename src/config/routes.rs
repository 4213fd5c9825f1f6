//! Routes, their legs with the programs that they name, and how the legs are compared.
//!
//! A route says mode, canary share and gate itself, or belongs to a group that says them for all of its routes (`units`).

use std::sync::Arc;
use std::time::Duration;

use super::Source;
use super::problem::{Place, Problem};
use super::read::Reader;
use super::route_schema::{pointer, statuses, tolerance};
use super::settings::{Authorization, Comparison, Leg, Query, Route};
use super::validate::{self, seconds};
use super::value;
use crate::compare::{Known, Rules};
use crate::mapping::{Fields, Program};
use crate::route::{Methods, Template};

/// Answered by the sidecar itself on the local listener.
const PING: &str = "/health/ping";
/// Until it is asked again, a request is held in memory with its header fields.
const LONGEST_AGAIN: Duration = Duration::from_secs(600);

/// What routes may refer to.
pub(super) struct Names<'a> {
    pub(super) upstreams: &'a [&'a str],
    pub(super) tokens: &'a [&'a str],
    pub(super) groups: &'a [&'a str],
    pub(super) sources: &'a [Source],
}

/// One route, and its terms where it is in no group.
pub(super) fn route(name: &str, at: &Reader<'_>, names: &Names<'_>) -> Option<Route> {
    let matched = at.require(
        "match",
        "GET /secure/offenders/nomsNumber/{nomsNumber}/all",
        value::matcher,
    );
    let person = at.text("person");
    if !at.table("ndh").exists() && !at.table("standard").exists() {
        let problem = Problem::error(
            at.place("ndh"),
            format!("`{}` has no leg: [route.ndh] is missing", at.path()),
        );
        at.report()
            .add(problem.right("write [route.ndh] and in it for example upstream = \"ndh\""));
    }
    let known: Vec<&str> = matched.iter().flat_map(|(_, template)| template.parameters()).collect();
    let ndh = leg(&at.table("ndh"), "ndh", &known, names);
    let standard = leg(&at.table("standard"), "standard", &known, names);
    if let Some((methods, template)) = &matched {
        if template.as_str() == PING && matches!(methods, Methods::Any) | methods.accepts("GET") {
            let wrong = format!("matches {PING}, which the sidecar answers itself");
            at.error("match", wrong, "remove the route");
        }
        if let Some(person) = person
            && !known.contains(&person)
        {
            let wrong = format!("names \"{}\", which is no parameter of `match`", person.escape_debug());
            at.error("person", wrong, parameters(&known));
        }
    }
    let group = at.text("group");
    if let Some(group) = group {
        validate::resolve(at, "group", group, "[group.NAME]", names.groups);
        for key in ["mode", "canary", "fallback", "compare", "gate"] {
            if at.has(key) {
                let wrong = format!("is said by the group `{}` for all of its routes", group.escape_debug());
                at.error(key, wrong, "remove it here");
            }
        }
    } else if names.groups.contains(&name) {
        let wrong = "is also the name of a group, and both would be units of the switch-over";
        at.error("name", wrong, "give one of them another name");
    }
    let comparison = comparison(&at.table("comparison"), names);
    let fields = at.has("fields").then(|| fields(at)).flatten();
    let compares = |leg: &Option<Leg>| leg.as_ref().is_some_and(|leg| leg.view.is_some());
    let compared = compares(&ndh) && compares(&standard);
    if at.has("comparison") && !compared {
        let wrong = "has no effect: only views are compared, and not both legs have one";
        let right = "write view = \"mapping/….jq\" in [route.ndh] and in [route.standard], or remove it";
        at.warning("comparison", wrong, right);
    }
    let comparison = compared.then(|| Arc::new(comparison));
    let (methods, template) = matched?;
    Some(Route {
        name: name.to_owned(),
        methods,
        template,
        person: person.map(str::to_owned),
        in_flight: at.count("in_flight"),
        body_bytes: at.size("body"),
        idempotent: at.has("idempotent").then(|| at.switch("idempotent", false)),
        unit: group.unwrap_or(name).to_owned(),
        fields,
        ndh,
        standard,
        comparison,
    })
}

/// Which parts of a reply reach the application.
fn fields(at: &Reader<'_>) -> Option<Arc<Fields>> {
    let named: Vec<String> = at
        .texts("fields")
        .into_iter()
        .map(|(text, _)| text.to_owned())
        .collect();
    match Fields::parse(&named) {
        Ok(fields) => Some(Arc::new(fields)),
        Err(error) => {
            at.error(
                "fields",
                error.to_string(),
                "write for example fields = [\"/otherIds/crn\"]",
            );
            None
        }
    }
}

/// One leg; `None` where the route has none.
fn leg(at: &Reader<'_>, which: &str, known: &[&str], names: &Names<'_>) -> Option<Leg> {
    if !at.exists() {
        return None;
    }
    let upstream = at.require("upstream", which, |text| Ok(text.to_owned()));
    if let Some(upstream) = &upstream {
        validate::resolve(at, "upstream", upstream, "[upstream.NAME]", names.upstreams);
    }
    if let Some(token) = at.text("token") {
        validate::resolve(at, "token", token, "[token.NAME]", names.tokens);
        if at.text("authorization") == Some("pass") {
            let wrong = "is sent in place of the application's own authorization, which is to be passed on";
            at.error("token", wrong, "remove `token`, or `authorization`");
        }
    }
    let path = at.read("path", value::template);
    for unknown in path
        .iter()
        .flat_map(Template::parameters)
        .filter(|name| !known.contains(name))
    {
        let wrong = format!("needs the parameter {{{unknown}}}, which `match` does not have");
        at.error("path", wrong, parameters(known));
    }
    let mut headers = Vec::new();
    for (name, value) in at.pairs("headers") {
        if crate::wire::headers::may_be_set(name) {
            headers.push((name.to_owned(), value.to_owned()));
        } else {
            let wrong = format!("sets \"{}\", which is not a leg's to set", name.escape_debug());
            at.error(
                "headers",
                wrong,
                "framing, connection and credentials are the sidecar's own",
            );
        }
    }
    let parts: Vec<String> = at.texts("parts").into_iter().map(|(text, _)| text.to_owned()).collect();
    if at.has("parts") && parts.is_empty() {
        at.error("parts", "is empty", "name the parts, or remove it for a single request");
    }
    if !parts.is_empty() {
        for needed in ["request", "response"] {
            if !at.has(needed) {
                let wrong = format!("needs `{needed}`: a program makes the paths, and another one reply of all");
                at.error("parts", wrong, format!("write {needed} = \"mapping/….jq\""));
            }
        }
        let mut seen: Vec<&String> = Vec::new();
        for part in &parts {
            if super::route_schema::part(part).is_err() || seen.contains(&part) {
                at.error(
                    "parts",
                    "holds a name twice, or one that is none",
                    "give each part its own name",
                );
            }
            seen.push(part);
        }
    }
    let times = at.table("timeouts");
    let time = |key: &str| times.has(key).then(|| times.duration(key, Duration::ZERO));
    Some(Leg {
        upstream: upstream?,
        path,
        query: match at.text("query") {
            Some("drop") => Query::Drop,
            _ => Query::Pass,
        },
        headers,
        authorization: match at.text("authorization") {
            Some("pass") => Authorization::Pass,
            _ => Authorization::Strip,
        },
        token: at.text("token").map(str::to_owned),
        request: program(at, "request", names.sources).map(Arc::new),
        response: program(at, "response", names.sources).map(Arc::new),
        view: program(at, "view", names.sources).map(Arc::new),
        parts,
        first_byte: time("first_byte"),
        total: time("total"),
    })
}

/// A program, compiled once for all requests.
fn program(at: &Reader<'_>, key: &str, sources: &[Source]) -> Option<Program> {
    let name = at.text(key)?;
    let text = match at.place(key) {
        Place::File { source, .. } => sources.get(source).and_then(|source| source.programs.get(name)),
        Place::Variable(_) => None,
    };
    match text {
        Some(Ok(text)) => match Program::compile(name, text) {
            Ok(program) => return Some(program),
            Err(error) => at.error(key, error.to_string(), "correct the program"),
        },
        Some(Err(why)) => {
            let wrong = format!("{}: {why}", name.escape_debug());
            at.error(key, wrong, "name a file relative to the one that says it");
        }
        None => at.error(
            key,
            "is not read from there",
            "name the program in a file, not by environment",
        ),
    }
    None
}

fn comparison(at: &Reader<'_>, names: &Names<'_>) -> Comparison {
    let patterns = |at: &Reader<'_>, key: &str| {
        let mut found = Vec::new();
        for (text, _) in at.texts(key) {
            match pointer(text) {
                Ok(pattern) => found.push(pattern),
                Err(complaint) => at.error(key, complaint.wrong, complaint.right),
            }
        }
        found
    };
    let mut equal_status = Vec::new();
    for (text, _) in at.texts("equal_status") {
        match statuses(text) {
            Ok(pair) => equal_status.push(pair),
            Err(complaint) => at.error("equal_status", complaint.wrong, complaint.right),
        }
    }
    let mut tolerances = Vec::new();
    for (text, number) in at.pairs("tolerance") {
        match (pointer(text), tolerance(number)) {
            (Ok(pattern), Ok(number)) => tolerances.push((pattern, number)),
            (Err(complaint), _) => at.error("tolerance", complaint.wrong, complaint.right),
            _ => {}
        }
    }
    let known = at.rows("known").into_iter().map(|(name, row)| {
        let reason = row.require("reason", "decided before the switch", |text| Ok(text.to_owned()));
        if reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            let right = "say why the difference is known, and who decided: the report shows it";
            row.error("reason", "is empty", right);
        }
        explains(&row);
        Known {
            name: name.to_owned(),
            reason: reason.unwrap_or_default(),
            at: patterns(&row, "at"),
            when: program(&row, "when", names.sources),
        }
    });
    let known = known.collect();
    let again_after = at.duration("again_after", seconds(30));
    if again_after > LONGEST_AGAIN {
        let wrong = format!(
            "is longer than {}: until then each request is held in memory with its header fields",
            validate::shown(LONGEST_AGAIN)
        );
        at.error("again_after", wrong, "write for example again_after = \"30s\"");
    }
    Comparison {
        rules: Rules {
            ignore: patterns(at, "ignore"),
            unordered: patterns(at, "unordered"),
            tolerance: tolerances,
            equal_status,
            known,
        },
        again_after,
        sample: at.ratio("sample", 1.0),
    }
}

/// What a known difference is said to explain.
fn explains(row: &Reader<'_>) {
    let places = row.texts("at");
    if places.is_empty() {
        let wrong = if row.has("at") {
            "is empty: it explains nothing"
        } else {
            "is missing"
        };
        let right = "say which differences it explains, for example at = [\"/mappaLevel\"]";
        row.error("at", wrong, right);
    }
    if !row.has("when") && places.iter().any(|(place, _)| place.is_empty()) {
        let wrong =
            "holds \"\", the whole view, and there is no `when`: it excuses every person who is missing on one side";
        row.warning(
            "at",
            wrong,
            "write when = \"mapping/….jq\" for those who are meant, or remove it",
        );
    }
}

fn parameters(known: &[&str]) -> String {
    match known {
        [] => "`match` has no parameter: write it there as {name}".to_owned(),
        known => format!("`match` has: {}", known.join(", ")),
    }
}

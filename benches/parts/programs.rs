//! What happens to a reply that is turned or compared: each shipped program over its fixture, and the comparison.
//!
//! The person has most to say of all fixtures. Inputs are those that the pipeline makes; a program for which there is none
//! here, or no row, fails the run: whoever ships one says what it may cost.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use delius_sidecar::compare::{Rules, Side, Verdict, judge};
use delius_sidecar::config::settings::{Leg, Route};
use delius_sidecar::mapping::{Bounds, Program};
use serde_json::{Value, json};

use super::{Part, Row, body, read, root, row, shipped};

const NOMS: &str = "Z9005XE";
const CRN: &str = "Z900005";

/// Programs by their names below `config/mapping/`.
const PROGRAMS: [Row; 32] = [
    row("bridge/case-record.ndh.jq", 340.0, 6638),
    row("bridge/case-record.request.jq", 20.0, 419),
    row("bridge/generation-a/case-record.ndh.jq", 240.0, 4456),
    row("bridge/generation-a/case-record.request.jq", 16.0, 330),
    row("bridge/mappa.ndh.jq", 42.0, 921),
    row("bridge/mappa.request.jq", 4.3, 123),
    row("known/email-cosmetic.jq", 19.0, 474),
    row("known/mappa-category-4.jq", 3.7, 103),
    row("known/mappa-created-versus-started.jq", 5.3, 135),
    row("known/mappa-highest-versus-latest.jq", 12.0, 292),
    row("known/mappa-rule-too-wide.jq", 7.0, 188),
    row("known/name-cosmetic.jq", 73.0, 1463),
    row("known/resourcing-default.jq", 5.4, 164),
    row("known/resourcing-same-outcome.jq", 6.8, 186),
    row("known/resourcing-scope-or-defect.jq", 7.5, 201),
    row("known/standard-filters-more.jq", 4.9, 153),
    row("managers.standard.jq", 110.0, 1971),
    row("mappa.standard.jq", 34.0, 735),
    row("offender.standard.jq", 130.0, 2485),
    row("registrations.standard.jq", 26.0, 621),
    row("request/by-crn.jq", 6.5, 165),
    row("request/by-noms.jq", 6.5, 165),
    row("request/mappa-by-crn.jq", 6.8, 173),
    row("resourcing.standard.jq", 23.0, 574),
    row("view/all-offender-managers.jq", 45.0, 1216),
    row("view/case-record.ndh.jq", 370.0, 7440),
    row("view/case-record.standard.jq", 130.0, 2582),
    row("view/mappa.jq", 46.0, 1097),
    row("view/offender.jq", 110.0, 2527),
    row("view/registrations.jq", 190.0, 3645),
    row("view/resourcing.ndh.jq", 17.0, 382),
    row("view/resourcing.standard.jq", 17.0, 424),
];

pub(super) fn parts() -> Vec<Part> {
    let mut parts: Vec<Part> = names().iter().map(|name| program(name)).collect();
    assert!(parts.len() >= PROGRAMS.len(), "a program is gone and its row is not");
    parts.extend(comparisons());
    parts
}

/// Every program below `config/mapping/`, in order.
fn names() -> Vec<String> {
    fn collect(directory: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(directory).expect("config/mapping can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "jq") {
                let below = path.strip_prefix(root().join("config/mapping")).expect("it is below");
                into.push(below.display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join("config/mapping"), &mut found);
    found.sort();
    found
}

fn program(name: &str) -> Part {
    let row = *PROGRAMS
        .iter()
        .find(|row| row.name == name)
        .unwrap_or_else(|| panic!("benches/parts/programs.rs has no row for {name}"));
    let program = compiled(name);
    let input = input(name);
    Part::new(row, move || {
        let output = program.run(black_box(&input), &Bounds::default());
        black_box(output).unwrap_or_else(|error| panic!("{error}"));
    })
}

fn compiled(name: &str) -> Program {
    let text = read(&root().join("config/mapping").join(name));
    Program::compile(name, &text).unwrap_or_else(|error| panic!("{error}"))
}

/// What the pipeline would hand to a program of this name.
fn input(name: &str) -> Value {
    let params = json!({"nomsNumber": NOMS, "crn": CRN, "identifier": NOMS});
    let (group, file) = name.rsplit_once('/').unwrap_or(("", name));
    if group == "request" || file.ends_with(".request.jq") {
        return json!({"method": "GET", "params": params, "query": null, "headers": {
            "accept": "application/json", "accept-encoding": "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
            "content-type": "application/json", "host": "127.0.0.1:8080", "user-agent": "Faraday v2.12.2",
        }});
    }
    if group == "known" {
        let ndh = input("view/case-record.ndh.jq");
        let standard = input("view/case-record.standard.jq");
        let view = |name: &str, input: &Value| compiled(name).run(input, &Bounds::default()).expect("a view is made");
        let (ndh, standard) = match file.starts_with("mappa-c") {
            true => (input_of_mappa("legacy"), input_of_mappa("standard")),
            false => (ndh, standard),
        };
        let (of_ndh, of_standard) = match file.starts_with("mappa-c") {
            true => ("view/mappa.jq", "view/mappa.jq"),
            false => ("view/case-record.ndh.jq", "view/case-record.standard.jq"),
        };
        return json!({
            "ndh": {"status": 200, "view": view(of_ndh, &ndh)},
            "standard": {"status": 200, "view": view(of_standard, &standard)},
        });
    }
    let mut input = match (group, file) {
        (_, "mappa.jq" | "mappa.ndh.jq") => input_of_mappa("legacy"),
        (_, "mappa.standard.jq") => input_of_mappa("standard"),
        ("", _) | (_, "case-record.standard.jq" | "resourcing.standard.jq") => {
            one(200, &format!("standard/case-records/{NOMS}"))
        }
        (_, "offender.jq") => one(200, &format!("legacy/offender-all/{NOMS}")),
        (_, "registrations.jq") => one(200, &format!("legacy/registrations/{NOMS}")),
        (_, "resourcing.ndh.jq") => one(200, &format!("legacy/resourcing-latest/{NOMS}")),
        (_, "all-offender-managers.jq") => one(200, &format!("legacy/all-offender-managers/{NOMS}")),
        ("bridge/generation-a", _) => parted("legacy-2018", &["all", "registrations"]),
        (_, "case-record.ndh.jq") => parted("legacy", &["all", "registrations", "resourcing", "managers"]),
        _ => panic!("benches/parts/programs.rs has no input for {name}"),
    };
    let raw = json!({"status": input["status"], "body": input["body"]});
    input["raw"] = raw;
    input["params"] = params;
    input
}

fn one(status: u16, name: &str) -> Value {
    let body = body(name).unwrap_or_else(|| panic!("there is no fixture {name}"));
    json!({"status": status, "body": body})
}

fn input_of_mappa(side: &str) -> Value {
    one(200, &format!("{side}/mappa/{CRN}"))
}

/// The reply of a leg that is asked in parts; status and body are those of the first.
fn parted(side: &str, names: &[&str]) -> Value {
    let directory = |part: &str| match part {
        "all" => "offender-all",
        "resourcing" => "resourcing-latest",
        "managers" => "all-offender-managers",
        _ => "registrations",
    };
    let part = |name: &&str| one(200, &format!("{side}/{}/{NOMS}", directory(name)));
    let mut input = part(&names[0]);
    for name in names {
        input["parts"][*name] = part(name);
    }
    input
}

/// The largest pair of views that two fixtures of one person give under the shipped rules, and the largest of which a
/// difference has to be looked up among the known ones.
fn comparisons() -> Vec<Part> {
    let (mut largest, mut known) = (None::<(usize, Pair)>, None::<(usize, Pair)>);
    for route in &shipped().routes {
        for person in people() {
            let Some(pair) = Pair::of(route, &person) else { continue };
            let size = pair.size();
            let verdict = judge(&pair.ndh, &pair.standard, &pair.rules);
            let place = match verdict {
                Verdict::Match => &mut largest,
                Verdict::Known(_) => &mut known,
                _ => continue,
            };
            if place.as_ref().is_none_or(|(other, _)| *other < size) {
                *place = Some((size, pair));
            }
        }
    }
    let part = |row: Row, pair: Option<(usize, Pair)>| {
        let (_, pair) = pair.unwrap_or_else(|| panic!("no fixtures come to the verdict of {}", row.name));
        Part::new(row, move || {
            black_box(judge(black_box(&pair.ndh), &pair.standard, &pair.rules));
        })
    };
    vec![
        part(row("compare/match", 0.39, 2), largest),
        part(row("compare/known difference", 14.0, 286), known),
    ]
}

/// The people of the fixtures by their NOMS numbers.
fn people() -> Vec<String> {
    let directory = root().join("src/rehearsal/people/standard/case-records");
    let mut found: Vec<String> = fs::read_dir(directory)
        .expect("the fixtures can be read")
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    found.sort();
    found
}

/// Two answers to one request, and the rules of its route.
struct Pair {
    ndh: Side,
    standard: Side,
    rules: Rules,
}

impl Pair {
    fn of(route: &Route, person: &str) -> Option<Self> {
        let legacy = match route.name.as_str() {
            "offender" => "offender-all",
            "registrations" => "registrations",
            "resourcing" => "resourcing-latest",
            "all-offender-managers" => "all-offender-managers",
            _ => return None,
        };
        let side = |leg: &Leg, body: Value| {
            let raw = json!({"status": 200, "body": body});
            let mut input = json!({"status": 200, "body": body, "raw": raw, "params": {"nomsNumber": person}});
            if let Some(response) = &leg.response {
                let made = response.run(&input, &Bounds::default()).ok()??;
                input["status"] = made["status"].clone();
                input["body"] = made["body"].clone();
            }
            let view = leg.view.as_ref()?.run(&input, &Bounds::default()).ok()?;
            Some(Side { status: 200, view })
        };
        let ndh = side(route.ndh.as_ref()?, body(&format!("legacy/{legacy}/{person}"))?)?;
        let standard = side(
            route.standard.as_ref()?,
            body(&format!("standard/case-records/{person}"))?,
        )?;
        // Rules are no plain value (they hold programs); each pair has a configuration of its own to take them from.
        let rules = shipped()
            .routes
            .into_iter()
            .find(|other| other.name == route.name)?
            .comparison?;
        Some(Self {
            ndh,
            standard,
            rules: std::sync::Arc::into_inner(rules)?.rules,
        })
    }

    fn size(&self) -> usize {
        [&self.ndh, &self.standard]
            .iter()
            .filter_map(|side| side.view.as_ref())
            .map(|view| view.to_string().len())
            .sum()
    }
}

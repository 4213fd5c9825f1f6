//! The people of the fixtures: views, differences, classes and verdicts are exactly those of
//! `tests/fixtures/comparison/expected-comparison.json`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::bench::{FOUR, Outcome, Person, ROUTES, Reply, read};

const CLASSES: [&str; 4] = [
    "expected-default",
    "expected-semantic",
    "cosmetic",
    "legacy-consumer-defect",
];

fn json_of(path: &str) -> Value {
    serde_json::from_str(&read(path)).expect("a fixture is JSON")
}

fn expected() -> Value {
    json_of("tests/fixtures/comparison/expected-comparison.json")
}

/// The replies that the fixtures' tables give for this person.
fn person(expected: &Value) -> Person {
    let noms = expected["noms"].as_str().expect("a NOMS number");
    let legacy = |folder: &str, error: &str| {
        let file = format!("src/rehearsal/people/legacy/{folder}/{noms}.json");
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).exists();
        match (there, expected["legacyStatus"].as_u64()) {
            (true, _) => Reply::new(200, json_of(&file)),
            (false, Some(409)) if folder == "all-offender-managers" => legacy_error("500-unhandled"),
            (false, Some(409)) => legacy_error("409-duplicate-offender"),
            (false, Some(200)) if folder == "resourcing-latest" => legacy_error("404-resourcing-no-decision"),
            (false, Some(404)) => legacy_error(error),
            _ => panic!("{noms} has no fixture for {folder}"),
        }
    };
    let standard = match expected["standardStatus"].as_u64() {
        Some(200) => Reply::new(
            200,
            json_of(&format!("src/rehearsal/people/standard/case-records/{noms}.json")),
        ),
        Some(404) => Reply::new(
            404,
            json!({"status": 404, "message": format!("Person with nomsId of {noms} not found")}),
        ),
        Some(409) => Reply::new(
            409,
            json!({"status": 409, "message": "Query did not return a unique result"}),
        ),
        _ => panic!("{noms} has no standard status"),
    };
    Person {
        all: legacy("offender-all", "404-offender-not-found"),
        registrations: legacy("registrations", "404-registrations"),
        resourcing: legacy("resourcing-latest", "404-resourcing-no-offender"),
        managers: legacy("all-offender-managers", "404-all-offender-managers"),
        standard,
    }
}

fn legacy_error(name: &str) -> Reply {
    let body = json_of(&format!("src/rehearsal/people/legacy/errors/{name}.json"));
    let status = name[..3].parse().expect("the name begins with the status");
    Reply::new(status, body)
}

/// An outcome in the words of the fixture.
fn told(expected: &Value, fields: &[&str], outcome: &Outcome) -> Value {
    let view = |all: &Map<String, Value>| -> Value {
        Value::Object(
            all.clone()
                .into_iter()
                .filter(|(field, _)| field != "evidence")
                .collect(),
        )
    };
    let mut result = json!({
        "noms": expected["noms"],
        "legacyStatus": expected["legacyStatus"],
        "standardStatus": expected["standardStatus"],
        "verdict": match outcome.verdict() {
            "known" => "known-difference",
            "missing_on_standard" => "missing-on-standard",
            "missing_on_ndh" => "missing-on-legacy",
            other => other,
        },
    });
    for (name, all) in [
        ("legacyView", &outcome.ndh_view),
        ("standardView", &outcome.standard_view),
    ] {
        if !all.is_empty() {
            result[name] = view(all);
        }
    }
    // a person who is missing on a side differs as a whole, which the fixture says by the verdict alone
    let differing = outcome.differences.iter().filter(|(pointer, ..)| !pointer.is_empty());
    let mut differing: Vec<_> = differing
        .map(|(pointer, _, class)| (&pointer[1..], class.as_deref().unwrap_or("unexpected")))
        .collect();
    differing.sort_by_key(|(field, _)| fields.iter().position(|known| known == field));
    result["differences"] = differing
        .into_iter()
        .map(|(field, class)| {
            json!({
                "field": field,
                "legacy": outcome.ndh_view[field],
                "standard": outcome.standard_view[field],
                "class": class,
            })
        })
        .collect();
    result
}

fn compares_as_expected(compare: impl Fn(&Person) -> Outcome) {
    let oracle = expected();
    let fields: Vec<&str> = oracle["comparedFields"]
        .as_array()
        .expect("the compared fields")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let results = oracle["results"].as_array().expect("results");
    assert_eq!((fields.len(), results.len()), (12, 11));
    for expected in results {
        let outcome = compare(&person(expected));
        let told = told(expected, &fields, &outcome);
        assert_eq!(&told, expected, "{}", expected["noms"]);
        let classes = told["differences"].as_array().expect("differences");
        let class_known = |difference: &Value| CLASSES.iter().any(|class| difference["class"] == *class);
        assert!(classes.iter().all(class_known), "{classes:?}");
    }
}

#[test]
fn the_four_routes_together_are_the_oracle() {
    compares_as_expected(Person::by_routes);
}

#[test]
fn the_composite_route_is_the_oracle() {
    compares_as_expected(Person::by_composite);
}

#[test]
fn every_rule_has_a_class_of_the_oracle_and_one_meaning_on_every_route() {
    let mut rules = std::collections::BTreeMap::new();
    for route in ROUTES.values() {
        for rule in &route.rules.known {
            assert!(CLASSES.contains(&route.class(&rule.name)), "{}", rule.reason);
            let meaning = (rule.reason.clone(), rule.at.clone());
            let other = rules.insert(rule.name.clone(), meaning.clone());
            assert!(
                other.is_none_or(|other| other == meaning),
                "{} has two meanings",
                rule.name
            );
        }
    }
    let readme = read("config/mapping/view/README.md");
    for (name, (reason, _)) in &rules {
        let class = reason.split(':').next().unwrap_or_default();
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{class}` |")));
        assert!(
            row.is_some_and(|row| row.contains(&format!("`{name}`"))),
            "the table does not list {name} as {class}"
        );
    }
    assert_eq!(rules.len(), 10);
    let composite = &ROUTES["case-record"].rules.known;
    let of_four = FOUR.iter().flat_map(|name| &ROUTES[*name].rules.known);
    for rule in of_four {
        assert!(
            composite.iter().any(|known| known.name == rule.name),
            "{} is not composite",
            rule.name
        );
    }
}

#[test]
fn every_program_is_used_by_the_configuration() {
    let readme = read("config/mapping/view/README.md");
    let mut seen = 0;
    for room in ["view", "known"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mapping").join(room);
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            if name.ends_with(".jq") {
                seen += 1;
                assert!(
                    readme.contains(&format!("\"mapping/{room}/{name}\"")),
                    "{name} is not used"
                );
            }
        }
    }
    assert_eq!(seen, 18);
}

//! The programs in `config/mapping/` on the fixtures of both sides, and on invented people the fixtures do not have.

mod bridge;
mod hostile;
mod invented;
mod legacy;
mod random;

use std::fs;
use std::path::{Path, PathBuf};

use delius_sidecar::mapping::{Bounds, Program, RunError};
use serde_json::{Value as Json, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program(name: &str) -> Program {
    let path = root().join("config/mapping").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Program::compile(name, &text).unwrap_or_else(|e| panic!("{e}"))
}

fn run(name: &str, input: &Json) -> Result<Option<Json>, RunError> {
    program(name).run(input, &Bounds::default())
}

fn out(name: &str, input: &Json) -> Json {
    run(name, input)
        .unwrap_or_else(|e| panic!("{e}"))
        .unwrap_or_else(|| panic!("{name}: no output"))
}

/// The body in a fixture, if there is that file.
fn body(below: &str, name: &str) -> Option<Json> {
    let text = fs::read_to_string(root().join(below).join(format!("{name}.json"))).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{below}/{name}: {e}")))
}

fn legacy(kind: &str, name: &str) -> Option<Json> {
    body(&format!("src/rehearsal/people/legacy/{kind}"), name)
}

fn standard(kind: &str, name: &str) -> Option<Json> {
    body(&format!("src/rehearsal/people/standard/{kind}"), name)
}

/// What the standard API answers for a NOMS number.
fn case_record(noms: &str) -> (u16, Json) {
    let refusal = |status, name| (status, standard("errors", name).expect("the refusal is there"));
    match noms {
        "Z9007XG" => refusal(404, "404-noms-not-linked"),
        "Z9009XJ" => refusal(404, "404-noms"),
        "Z9010XK" => refusal(409, "409-duplicate"),
        noms => (200, standard("case-records", noms).expect("the record is there")),
    }
}

/// What a program makes of a standard reply, for a legacy request by NOMS number.
fn answer(name: &str, noms: &str, status: u16, body: &Json) -> (u64, Json) {
    let input = json!({"status": status, "body": body, "params": {"nomsNumber": noms}});
    let reply = out(name, &input);
    (reply["status"].as_u64().expect("a status"), reply["body"].clone())
}

fn every_program() -> Vec<PathBuf> {
    fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("the directory is readable") {
            let path = entry.expect("the entry is readable").path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|e| e == "jq") {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join("config/mapping"), &mut found);
    found
}

#[test]
fn every_program_compiles_and_stands_in_the_readme() {
    let read = |name: &str| fs::read_to_string(root().join("config/mapping").join(name)).expect("the README is there");
    let (readme, of_views) = (read("README.md"), read("view/README.md"));
    let programs = every_program();
    assert!(programs.len() >= 13, "only {} programs found", programs.len());
    for path in programs {
        let name = path
            .strip_prefix(root().join("config/mapping"))
            .expect("below")
            .display()
            .to_string();
        program(&name);
        // What is compared, and under which rules, has a document of its own.
        let named = if name.starts_with("view/") || name.starts_with("known/") {
            of_views.contains(&format!("\"mapping/{name}\""))
        } else {
            readme.contains(&format!("`{name}`"))
        };
        assert!(named, "no README of config/mapping names {name}");
    }
}

//! What the documents say in tables is what the code does.

use std::collections::BTreeSet;

use delius_sidecar::config::settings::Settings;
use delius_sidecar::config::{self, Source};
use delius_sidecar::fault::{Code, Side};

/// `| `code` | status | side | …`: the first three cells of each row of the error table.
fn rows() -> Vec<(String, String, String)> {
    let text = include_str!("../../docs/operations.md");
    let table = text.split("## Error codes").nth(1).expect("the section is there");
    let table = table.split("\n## ").next().expect("the section ends");
    let cell = |row: &str, n: usize| row.split('|').nth(n).unwrap_or("").trim().to_owned();
    table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|row| (cell(row, 1).trim_matches('`').to_owned(), cell(row, 2), cell(row, 3)))
        .collect()
}

#[test]
fn operations_md_explains_every_error_code_and_no_other() {
    let documented: BTreeSet<String> = rows().into_iter().map(|row| row.0).collect();
    let existing: BTreeSet<String> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(documented, existing);
    assert_eq!(rows().len(), existing.len(), "a code stands there twice");
}

#[test]
fn operations_md_says_whose_side_each_code_is_on() {
    for code in Code::ALL {
        let (_, _, side) = rows()
            .into_iter()
            .find(|row| row.0 == code.as_str())
            .expect("every code is there");
        let expected = match code.side() {
            Side::Caller => "caller",
            Side::Sidecar => "sidecar",
            Side::Upstream => "upstream",
        };
        assert_eq!(side, expected, "{code}");
    }
}

/// The settings of the example in README.md.
fn example() -> Settings {
    let readme = include_str!("../../README.md");
    let block = readme
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let source = Source {
        name: "README.md".to_owned(),
        text: block.expect("there is a TOML block").to_owned(),
    };
    match config::load_run(&[source], &[]) {
        Ok(loaded) => loaded.settings,
        Err(problems) => panic!("the example in README.md is refused: {problems:?}"),
    }
}

#[test]
fn the_configuration_in_the_readme_is_accepted() {
    assert_eq!(example().routes.len(), 1);
}

#[test]
fn the_defaults_in_operations_md_are_the_defaults() {
    let settings = example();
    let (limits, ndh) = (&settings.listen.limits, &settings.upstreams["ndh"]);
    let said = include_str!("../../docs/operations.md");
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    for row in [
        format!("| `request_line` | {} |", kib(limits.request_line)),
        format!(
            "| `headers`, `head` | {} fields, {} |",
            limits.headers,
            kib(limits.head_bytes)
        ),
        format!("| `body` | {} MiB,", limits.body_bytes >> 20),
        format!("| `connections` | {} |", limits.connections),
        format!("| `in_flight` | {} for", limits.in_flight),
        format!("| `head_time` | {} for", seconds(limits.head_time)),
        format!("| `keep_alive` | {} idle", seconds(limits.keep_alive)),
        format!("`drain.quiet` ({})", seconds(settings.listen.drain_quiet)),
        format!("`drain.deadline` ({})", seconds(settings.listen.drain_deadline)),
        format!("`listen.caller_timeout`, {})", seconds(settings.listen.caller_timeout)),
        format!("| `connect` | {} for", seconds(ndh.times.connect)),
        format!("| `handshake` | {} |", seconds(ndh.times.handshake)),
        format!("| `first_byte` | {} |", seconds(ndh.times.first_byte)),
        format!("| `idle` | {} between", seconds(ndh.times.idle)),
        format!("| `total` | {} |", seconds(ndh.times.total)),
        format!("| `connection_faults` | {} in", ndh.breaker.connection_faults),
        format!(
            "| {}, {} results,",
            seconds(ndh.breaker.window),
            ndh.breaker.min_results
        ),
        format!("over {} persons", ndh.breaker.min_persons),
        format!("| `open_for` | {},", seconds(ndh.breaker.open_for)),
    ] {
        assert!(said.contains(&row), "docs/operations.md does not say: {row}");
    }
}

//! What the documents say in tables is what the code does.

use std::collections::BTreeSet;

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

//! A tree against the schema: unknown keys, wrong types, values that no one could read.
//!
//! Each layer is checked on its own, so that a mistake is reported in the file where it stands even where a later
//! layer overrides it. What several keys mean together is `validate`'s business.

use std::collections::BTreeMap;

use super::file::{Entry, Kind, Table, Value};
use super::problem::{Place, Problem, Report};
use super::schema::{self, Fields, Shape};
use super::value::Complaint;

/// Reports whatever the schema does not know. `path` is where the table is, for people.
pub(super) fn conform(fields: Fields, table: &Table, path: &str, report: &Report) {
    for (key, entry) in &table.0 {
        let Some((_, shape)) = fields.iter().find(|(known, _)| known == key) else {
            report.add(unknown(fields, key, entry, path));
            continue;
        };
        let here = join(path, key);
        match (*shape, &entry.value.kind) {
            (Shape::Refused(why), _) => {
                let problem = Problem::error(entry.key.clone(), format!("`{here}` {why}")).right("remove it");
                report.add(problem.conceal(secrets(key, &entry.value)));
            }
            (Shape::Table(inner), Kind::Table(table)) => conform(inner, table, &here, report),
            (Shape::Named(inner), Kind::Table(tables)) => named(inner, tables, &here, report),
            (Shape::Rows(inner), Kind::List(items)) => rows(inner, items, &here, report),
            (shape, _) => {
                if let Err(complaint) = schema::fits(shape, &entry.value) {
                    report.add(complain(entry.value.place.clone(), &here, complaint));
                }
            }
        }
    }
}

/// A complaint about the value of a key, as a problem.
pub(super) fn complain(place: Place, path: &str, complaint: Complaint) -> Problem {
    let conceal = complaint.conceal.then(|| place.clone());
    Problem::error(place, format!("`{path}`: {}", complaint.wrong))
        .right(complaint.right)
        .conceal(conceal)
}

/// `a.b`, or `b` at the top. Names are shown as they could be printed.
pub(super) fn join(path: &str, key: &str) -> String {
    let key = key.escape_debug();
    if path.is_empty() {
        key.to_string()
    } else {
        format!("{path}.{key}")
    }
}

fn named(fields: Fields, tables: &Table, path: &str, report: &Report) {
    for (name, entry) in &tables.0 {
        let here = join(path, name);
        if let Err(complaint) = schema::name(name) {
            report.add(complain(entry.key.clone(), path, complaint));
        }
        match &entry.value.kind {
            Kind::Table(table) => conform(fields, table, &here, report),
            other => {
                let problem = Problem::error(entry.key.clone(), not_a_table(&here, other));
                report.add(problem.right(format!("write a table [{path}.NAME] for each")));
            }
        }
    }
}

fn rows(fields: Fields, items: &[Value], path: &str, report: &Report) {
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    for item in items {
        let Kind::Table(table) = &item.kind else {
            report.add(Problem::error(item.place.clone(), not_a_table(path, &item.kind)));
            continue;
        };
        let name = table.text("name");
        match name {
            Some(name) => {
                if let Some(first) = seen.insert(name, &item.place) {
                    let wrong = format!("a second `{}` in the same file", join(path, name));
                    let problem = Problem::error(item.place.clone(), wrong).right("give each its own name");
                    report.add(problem.related(first.clone(), "the first is here"));
                }
            }
            None if table.value("name").is_none() => {
                let problem = Problem::error(item.place.clone(), format!("this `{path}` has no name"));
                report.add(problem.right("layers, metrics and logs tell entries apart by name: add name = \"…\""));
            }
            None => {}
        }
        conform(
            fields,
            table,
            &name.map_or(path.to_owned(), |name| join(path, name)),
            report,
        );
    }
}

fn not_a_table(path: &str, kind: &Kind) -> String {
    format!("`{path}` is {}, expected a table", kind.noun())
}

fn unknown(fields: Fields, key: &str, entry: &Entry, path: &str) -> Problem {
    let wrong = format!("unknown key `{}`", join(path, key));
    let known = || {
        fields
            .iter()
            .filter(|(_, shape)| !matches!(shape, Shape::Refused(_)))
            .map(|(known, _)| *known)
    };
    let right = if let Some(near) = nearest(key, known()) {
        format!("did you mean `{near}`?")
    } else if let Some(elsewhere) = found_elsewhere(key) {
        format!("`{key}` belongs to {elsewhere}")
    } else {
        let place = if path.is_empty() {
            "at the top".to_owned()
        } else {
            format!("in `{path}`")
        };
        format!("known {place}: {}", known().collect::<Vec<_>>().join(", "))
    };
    Problem::error(entry.key.clone(), wrong)
        .right(right)
        .conceal(secrets(key, &entry.value))
}

/// Texts under a key that is not known or not supported, where its name says that they could be secrets.
fn secrets(key: &str, value: &Value) -> Vec<Place> {
    const WORDS: [&str; 6] = ["secret", "password", "passphrase", "token", "key", "credential"];
    let lower = key.to_ascii_lowercase();
    let all = WORDS.iter().any(|word| lower.contains(word));
    match &value.kind {
        Kind::Table(table) => {
            let inside = |(name, entry): (&String, &Entry)| secrets(if all { key } else { name }, &entry.value);
            table.0.iter().flat_map(inside).collect()
        }
        Kind::List(items) => items.iter().flat_map(|item| secrets(key, item)).collect(),
        _ if all => vec![value.place.clone()],
        _ => Vec::new(),
    }
}

/// The one table that has a key of this name, if there is one.
fn found_elsewhere(key: &str) -> Option<String> {
    fn search(fields: Fields, path: &str, key: &str, found: &mut Vec<String>) {
        for (name, shape) in fields {
            let here = join(path, name);
            match *shape {
                Shape::Refused(_) => {}
                _ if *name == key && !path.is_empty() => found.push(format!("[{path}]")),
                Shape::Table(inner) => search(inner, &here, key, found),
                Shape::Named(inner) => search(inner, &format!("{here}.NAME"), key, found),
                Shape::Rows(inner) => search(inner, &here, key, found),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    search(schema::RUN, "", key, &mut found);
    search(schema::GATEWAY, "", key, &mut found);
    found.dedup();
    (1..=2).contains(&found.len()).then(|| found.join(" or "))
}

/// The candidate that is a spelling mistake away from `word`.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distances = candidates.map(|candidate| (distance(word, candidate), candidate));
    let (distance, candidate) = distances.min()?;
    (distance <= (word.chars().count().max(3)) / 3).then_some(candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment); case costs nothing.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| -> Vec<char> { text.chars().map(|one| one.to_ascii_lowercase()).collect() };
    // what is this long is no spelling mistake, and the table would be large
    let (a, b) = (fold(a), fold(b));
    if a.len() > 200 || b.len() > 200 {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substituted.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::config::file;

    fn problems(text: &str) -> String {
        let report = Report::default();
        let table = file::parse(0, text, &report).expect("valid TOML");
        conform(schema::RUN, &table, "", &report);
        let source = Source::new("f", text);
        report
            .into_problems(&[source])
            .annotated(crate::config::problem::Style::Plain)
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let found = problems("[listen]\nadress = \"127.0.0.1:1\"\n[upstraem.ndh]\n");
        assert!(
            found.contains("unknown key `listen.adress`") && found.contains("did you mean `address`?"),
            "{found}"
        );
        assert!(found.contains("did you mean `upstream`?"), "{found}");
    }

    #[test]
    fn a_key_in_the_wrong_table_is_answered_with_its_table() {
        let found = problems("[upstream.ndh]\nidle_time = \"3s\"\n");
        assert!(found.contains("`idle_time` belongs to [upstream.NAME.pool]"), "{found}");
    }

    #[test]
    fn a_key_like_no_other_is_answered_with_all_of_its_table() {
        let found = problems("[observe]\nzebra = 1\n");
        assert!(found.contains("known in `observe`: address"), "{found}");
    }

    #[test]
    fn what_this_version_lacks_is_refused_by_name() {
        let found = problems("[trace]\nurl = \"x\"\n");
        assert!(found.contains("`trace` is not supported by this version"), "{found}");
    }

    #[test]
    fn a_secret_under_an_unknown_key_is_not_shown() {
        let found = problems("[log]\nclient_secret = \"hunter2\"\ntoken = { a = [\"hunter2\"] }\n");
        assert!(found.contains("client_secret"), "{found}");
        assert!(!found.contains("hunter2"), "{found}");
    }

    #[test]
    fn entries_are_told_apart_by_name() {
        let found = problems("[[route]]\n[[route]]\nname = \"a\"\n[[route]]\nname = \"a\"\n");
        assert!(found.contains("this `route` has no name"), "{found}");
        assert!(found.contains("a second `route.a` in the same file"), "{found}");
    }

    #[test]
    fn the_nearest_is_near() {
        let known = || ["address", "workers", "limits"].into_iter();
        assert_eq!(nearest("adress", known()), Some("address"));
        assert_eq!(nearest("wrokers", known()), Some("workers"));
        assert_eq!(nearest("Limits", known()), Some("limits"));
        assert_eq!(nearest("zebra", known()), None);
        assert_eq!(nearest("", known()), None);
    }
}

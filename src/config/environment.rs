//! Environment names over the files: `DELIUS_SIDECAR__UPSTREAM__NDH__URL=…` is `upstream.ndh.url`.
//!
//! Two underscores part the path, letters are upper case, whatever is no letter or digit is one underscore; entries
//! of `[[route]]` go by name. Every single value can be set, a list of texts to one text. Entries cannot be added:
//! an environment name does not tell which characters the entry's name has. What matches nothing is a problem,
//! because an override that silently does nothing is worse than none.

use super::conform::{complain, nearest};
use super::file::{Entry, Kind, Table, Value};
use super::layers::row_name;
use super::problem::{Place, Problem, Report};
use super::schema::{self, Fields, Shape};
use super::value::Complaint;

/// What every override begins with. `DELIUS_SIDECAR_CONFIG`, and what Kubernetes makes of a service, do not.
pub const PREFIX: &str = "DELIUS_SIDECAR__";

/// One value that the environment can set.
#[derive(Clone, Debug)]
struct Override {
    variable: String,
    /// Keys from the top; an entry of an array by its name.
    path: Vec<String>,
    shape: Shape,
}

/// Applies every variable that begins with [`PREFIX`].
pub(super) fn apply(fields: Fields, tree: &mut Table, variables: &[(String, String)], report: &Report) {
    let mut known = Vec::new();
    list(fields, Some(tree), PREFIX.trim_end_matches("__"), &[], &mut known);
    for (variable, text) in variables.iter().filter(|(variable, _)| variable.starts_with(PREFIX)) {
        let matching: Vec<&Override> = known.iter().filter(|known| known.variable == *variable).collect();
        match matching.as_slice() {
            [] => report.add(unknown(variable, &known)),
            [only] => set(only, tree, variable, text, report),
            [first, second, ..] => {
                let (first, second) = (first.path.join("."), second.path.join("."));
                let wrong = format!("means both `{first}` and `{second}`");
                report.add(Problem::error(Place::Variable(variable.clone()), wrong).right("rename one of them"));
            }
        }
    }
}

/// Every override that exists for the entries that the tree has.
fn list(fields: Fields, table: Option<&Table>, variable: &str, path: &[String], known: &mut Vec<Override>) {
    for (key, shape) in fields {
        let variable = format!("{variable}__{}", part(key));
        let path = [path, &[(*key).to_owned()]].concat();
        let value = table.and_then(|table| table.value(key));
        match (*shape, value.map(|value| &value.kind)) {
            (Shape::Table(inner), found) => {
                let table = match found {
                    Some(Kind::Table(table)) => Some(table),
                    _ => None,
                };
                list(inner, table, &variable, &path, known);
            }
            (Shape::Named(inner), Some(Kind::Table(tables))) => {
                for (name, entry) in &tables.0 {
                    if let Kind::Table(table) = &entry.value.kind {
                        let path = [path.as_slice(), std::slice::from_ref(name)].concat();
                        list(inner, Some(table), &format!("{variable}__{}", part(name)), &path, known);
                    }
                }
            }
            (Shape::Rows(inner), Some(Kind::List(rows))) => {
                for row in rows {
                    if let (Some(name), Kind::Table(table)) = (row_name(row), &row.kind) {
                        let path = [path.as_slice(), &[name.to_owned()]].concat();
                        let from = known.len();
                        list(inner, Some(table), &format!("{variable}__{}", part(name)), &path, known);
                        // the name is what the variable goes by: it cannot be changed by it
                        let name = [path.as_slice(), &["name".to_owned()]].concat();
                        let renames = known[from..].iter().position(|known| known.path == name);
                        renames.map(|at| known.remove(from + at));
                    }
                }
            }
            (Shape::Pairs(check), Some(Kind::Table(pairs))) => {
                for name in pairs.0.keys() {
                    known.push(Override {
                        variable: format!("{variable}__{}", part(name)),
                        path: [path.as_slice(), std::slice::from_ref(name)].concat(),
                        shape: Shape::Text(check),
                    });
                }
            }
            (Shape::Named(_) | Shape::Rows(_) | Shape::Pairs(_), _) => {}
            (shape, _) => known.push(Override { variable, path, shape }),
        }
    }
}

/// One part of a variable's name.
fn part(key: &str) -> String {
    let one = |one: char| {
        if one.is_ascii_alphanumeric() {
            one.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    key.chars().map(one).collect()
}

fn unknown(variable: &str, known: &[Override]) -> Problem {
    let place = Place::Variable(variable.escape_debug().to_string());
    let refused = known.iter().find_map(|known| match known.shape {
        Shape::Refused(why) if variable.starts_with(&format!("{}__", known.variable)) => Some((known, why)),
        _ => None,
    });
    if let Some((known, why)) = refused {
        return Problem::error(place, format!("`{}` {why}", known.path.join("."))).right("remove the variable");
    }
    let problem = Problem::error(place, "this variable overrides nothing");
    let settable = known.iter().filter(|known| !matches!(known.shape, Shape::Refused(_)));
    let near = nearest(variable, settable.map(|known| known.variable.as_str()));
    match near.and_then(|near| known.iter().find(|known| known.variable == near)) {
        Some(near) => problem.right(format!("did you mean {} (`{}`)?", near.variable, near.path.join("."))),
        None => problem.right(format!(
            "write {PREFIX} and the path of a key, upper case, two underscores between its parts; entries that no \
             file has cannot be added"
        )),
    }
}

fn set(target: &Override, tree: &mut Table, variable: &str, text: &str, report: &Report) {
    let place = Place::Variable(variable.to_owned());
    let path = target.path.join(".");
    if let Shape::Refused(why) = target.shape {
        report.add(Problem::error(place, format!("`{path}` {why}")).right("remove the variable"));
        return;
    }
    let fitting = coerce(target.shape, text).and_then(|kind| {
        let place = place.clone();
        let value = Value { kind, place };
        schema::fits(target.shape, &value).map(|()| value)
    });
    match fitting {
        Ok(value) => put(tree, &target.path, value),
        Err(complaint) => {
            report.add(complain(place.clone(), &path, complaint));
            // unreadable, but there: nobody needs to be told that it is missing
            let kind = Kind::Date;
            put(tree, &target.path, Value { kind, place });
        }
    }
}

/// The text of a variable as the type that its key has.
fn coerce(shape: Shape, text: &str) -> Result<Kind, Complaint> {
    let shown = text.escape_debug();
    match shape {
        Shape::Switch => match text {
            "true" => Ok(Kind::Boolean(true)),
            "false" => Ok(Kind::Boolean(false)),
            _ => Err(Complaint::new(
                format!("\"{shown}\" is neither true nor false"),
                "write true or false",
            )),
        },
        Shape::Count(least, most) => text.parse().map(Kind::Integer).map_err(|_| {
            let right = format!("write a number from {least} to {most}");
            Complaint::new(format!("\"{shown}\" is not a whole number"), right)
        }),
        Shape::Ratio | Shape::Share => text
            .parse()
            .map(Kind::Float)
            .map_err(|_| Complaint::new(format!("\"{shown}\" is not a number"), "write for example 0.5")),
        _ => Ok(Kind::Text(text.to_owned())),
    }
}

/// Sets the value at a path that `list` gave out.
fn put(table: &mut Table, path: &[String], value: Value) {
    let Some((key, rest)) = path.split_first() else { return };
    let place = value.place.clone();
    if rest.is_empty() {
        let key_place = table.0.get(key).map_or(place, |entry| entry.key.clone());
        let key_place = Entry { key: key_place, value };
        table.0.insert(key.clone(), key_place);
        return;
    }
    let missing = || Entry {
        key: place.clone(),
        value: Value {
            kind: Kind::Table(Table::default()),
            place: place.clone(),
        },
    };
    let entry = table.0.entry(key.clone()).or_insert_with(missing);
    match &mut entry.value.kind {
        Kind::Table(inner) => put(inner, rest, value),
        Kind::List(rows) => {
            let Some((name, rest)) = rest.split_first() else { return };
            let row = rows.iter_mut().find(|row| row_name(row) == Some(name));
            if let Some(Kind::Table(inner)) = row.map(|row| &mut row.kind) {
                put(inner, rest, value);
            }
        }
        // a single value where a table belongs: reported already
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Source, file};

    const FILE: &str = "[listen]\naddress = \"127.0.0.1:1\"\n[upstream.ndh-api]\nurl = \"https://a\"\n\
                        [[route]]\nname = \"offender\"\nmatch = \"GET /a\"\n";

    fn applied(file: &str, variables: &[(&str, &str)]) -> (Table, String) {
        let report = Report::default();
        let mut tree = file::parse(0, file, &report).expect("valid TOML");
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, text)| ((*name).into(), (*text).into()))
            .collect();
        apply(schema::RUN, &mut tree, &variables, &report);
        let source = Source::new("f", file);
        (tree, report.into_problems(&[source]).lines())
    }

    fn at<'a>(table: &'a Table, path: &[&str]) -> &'a Kind {
        let (first, rest) = path.split_first().expect("a path");
        match (&table.value(first).expect("the key").kind, rest) {
            (found, []) => found,
            (Kind::Table(inner), rest) => at(inner, rest),
            (Kind::List(rows), [name, rest @ ..]) => {
                match &rows
                    .iter()
                    .find(|row| row_name(row) == Some(name))
                    .expect("the row")
                    .kind
                {
                    Kind::Table(inner) => at(inner, rest),
                    other => panic!("{other:?}"),
                }
            }
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_variable_sets_the_key_that_it_spells() {
        let (tree, problems) = applied(
            FILE,
            &[
                ("DELIUS_SIDECAR__LISTEN__WORKERS", "3"),
                ("DELIUS_SIDECAR__UPSTREAM__NDH_API__URL", "https://b"),
                ("DELIUS_SIDECAR__UPSTREAM__NDH_API__TIMEOUTS__FIRST_BYTE", "5s"),
                ("DELIUS_SIDECAR__ROUTE__OFFENDER__MODE", "ndh"),
                ("DELIUS_SIDECAR__ROUTE__OFFENDER__IDEMPOTENT", "false"),
                ("DELIUS_SIDECAR__OBSERVE__ADDRESS", "0.0.0.0:9090"),
            ],
        );
        assert_eq!(problems, "");
        assert!(matches!(at(&tree, &["listen", "workers"]), Kind::Integer(3)));
        assert!(matches!(at(&tree, &["upstream", "ndh-api", "url"]), Kind::Text(url) if url == "https://b"));
        assert!(matches!(
            at(&tree, &["upstream", "ndh-api", "timeouts", "first_byte"]),
            Kind::Text(_)
        ));
        assert!(matches!(at(&tree, &["route", "offender", "mode"]), Kind::Text(mode) if mode == "ndh"));
        assert!(matches!(
            at(&tree, &["route", "offender", "idempotent"]),
            Kind::Boolean(false)
        ));
        assert!(matches!(at(&tree, &["observe", "address"]), Kind::Text(_)));
    }

    #[test]
    fn a_variable_that_matches_nothing_is_named_with_the_nearest() {
        let (_, problems) = applied(FILE, &[("DELIUS_SIDECAR__LISTEN__ADRESS", "x")]);
        assert_eq!(
            problems,
            "DELIUS_SIDECAR__LISTEN__ADRESS: error: this variable overrides nothing; \
             did you mean DELIUS_SIDECAR__LISTEN__ADDRESS (`listen.address`)?\n"
        );
    }

    #[test]
    fn what_only_looks_like_an_override_is_left_alone() {
        let (_, problems) = applied(
            FILE,
            &[
                ("DELIUS_SIDECAR_CONFIG", "/x"),
                ("DELIUS_SIDECAR_SERVICE_HOST", "10.0.0.1"),
                ("PATH", "/bin"),
            ],
        );
        assert_eq!(problems, "");
    }

    #[test]
    fn a_wrong_value_names_the_variable_and_the_key() {
        let (_, problems) = applied(
            FILE,
            &[
                ("DELIUS_SIDECAR__LISTEN__WORKERS", "many"),
                ("DELIUS_SIDECAR__LOG__ACCESS", "yes"),
                ("DELIUS_SIDECAR__DRAIN__QUIET", "30"),
                ("DELIUS_SIDECAR__TRACE__ENDPOINT", "t"),
                ("DELIUS_SIDECAR__TOKEN__X__URL", "t"),
                ("DELIUS_SIDECAR__ROUTE__OFFENDER__NAME", "t"),
            ],
        );
        for expected in [
            "DELIUS_SIDECAR__LISTEN__WORKERS: error: `listen.workers`: \"many\" is not a whole number",
            "DELIUS_SIDECAR__LOG__ACCESS: error: `log.access`: \"yes\" is neither true nor false",
            "DELIUS_SIDECAR__DRAIN__QUIET: error: `drain.quiet`: the duration \"30\" has no unit",
            "DELIUS_SIDECAR__TRACE__ENDPOINT: error: `trace` is not supported",
            "DELIUS_SIDECAR__TOKEN__X__URL: error: this variable overrides nothing",
            "DELIUS_SIDECAR__ROUTE__OFFENDER__NAME: error: this variable overrides nothing",
        ] {
            assert!(problems.contains(expected), "{expected} is not in\n{problems}");
        }
    }

    #[test]
    fn a_variable_that_means_two_entries_is_refused() {
        let file = "[upstream.a-b]\n[upstream.a_b]\n";
        let (_, problems) = applied(file, &[("DELIUS_SIDECAR__UPSTREAM__A_B__URL", "x")]);
        assert!(
            problems.contains("means both `upstream.a-b.url` and `upstream.a_b.url`"),
            "{problems}"
        );
    }

    proptest! {
        #[test]
        fn every_key_of_every_entry_has_one_variable_that_sets_it(
            names in prop::collection::btree_set("[a-z][a-z0-9-]{0,6}[a-z0-9]", 1..4)
        ) {
            let file: String = names
                .iter()
                .map(|name| format!("[upstream.{name}]\n[identity.{name}]\n[[route]]\nname = \"{name}\"\n"))
                .collect();
            let report = Report::default();
            // [[route]] cannot be interleaved with itself wrongly: each entry repeats all three
            let tree = file::parse(0, &file, &report).expect("valid TOML");
            let mut known = Vec::new();
            list(schema::RUN, Some(&tree), "DELIUS_SIDECAR", &[], &mut known);
            let variables: BTreeSet<_> = known.iter().map(|known| known.variable.clone()).collect();
            prop_assert_eq!(variables.len(), known.len());
            for target in &known {
                prop_assert!(target.variable.starts_with(PREFIX));
                let mut tree = tree.clone();
                let kind = Kind::Text("set".into());
                let place = Place::Variable(target.variable.clone());
                put(&mut tree, &target.path, Value { kind, place });
                let path: Vec<&str> = target.path.iter().map(String::as_str).collect();
                prop_assert!(matches!(at(&tree, &path), Kind::Text(text) if text == "set"));
            }
        }
    }
}

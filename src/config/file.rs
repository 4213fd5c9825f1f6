//! The TOML as written: a tree of values, each with the place where it stands.
//!
//! A text is read with every syntax error at once. The tree knows nothing of which keys mean something (`schema`
//! does) nor of how layers come together (`layers`). `extends` is taken out here: it belongs to the file, not to the
//! configuration.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Report};

/// The key that names the file underneath.
const EXTENDS: &str = "extends";

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text(String),
    /// As TOML has it; an integer beyond 64 bits is a syntax error here.
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// No key takes dates or times: only kept to be refused in words.
    Date,
    List(Vec<Value>),
    Table(Table),
}

impl Kind {
    /// What it is, for people.
    pub(super) const fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a decimal number",
            Self::Boolean(_) => "true or false",
            Self::Date => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A table as written; the key has a place of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(pub(super) BTreeMap<String, Entry>);

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Place,
    pub(super) value: Value,
}

impl Table {
    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).map(|entry| &entry.value)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match &self.value(key)?.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Table {
    /// Where the value at a path is, an entry of an array by its name; the nearest table above where it is not there.
    pub(super) fn place(&self, path: &[&str]) -> Option<Place> {
        let (key, rest) = path.split_first()?;
        let value = self.value(key)?;
        let (inner, rest, here) = match (&value.kind, rest) {
            (Kind::Table(inner), rest) => (inner, rest, &value.place),
            (Kind::List(rows), [name, rest @ ..]) => {
                let named = |row: &&Value| matches!(&row.kind, Kind::Table(row) if row.text("name") == Some(name));
                match rows.iter().find(named) {
                    Some(Value {
                        kind: Kind::Table(inner),
                        place,
                    }) => (inner, rest, place),
                    _ => return Some(value.place.clone()),
                }
            }
            _ => return Some(value.place.clone()),
        };
        Some(inner.place(rest).unwrap_or_else(|| here.clone()))
    }
}

/// The file that `text` lies over, if it says so. Relative to the file that says it.
#[must_use]
pub fn extends(text: &str) -> Option<String> {
    let (document, _) = DeTable::parse_recoverable(text);
    let value = document.get_ref().get(EXTENDS)?;
    value.get_ref().as_str().map(str::to_owned)
}

/// Where a file says what it lies over; the beginning where it does not say.
#[must_use]
pub fn extends_span(text: &str) -> Range<usize> {
    let (document, _) = DeTable::parse_recoverable(text);
    document.get_ref().get(EXTENDS).map_or(0..0, Spanned::span)
}

/// The files of programs that a text names, as it names them. Relative to the file that says it.
#[must_use]
pub fn programs(text: &str) -> Vec<String> {
    const KEYS: [&str; 4] = ["request", "response", "view", "when"];
    fn of(table: &DeTable<'_>, found: &mut Vec<String>) {
        for (key, value) in table {
            within(KEYS.contains(&key.get_ref().as_ref()), value.get_ref(), found);
        }
    }
    fn within(named: bool, value: &DeValue<'_>, found: &mut Vec<String>) {
        match value {
            DeValue::String(text) if named => found.push(text.to_string()),
            DeValue::Table(table) => of(table, found),
            DeValue::Array(items) => items.iter().for_each(|item| within(false, item.get_ref(), found)),
            _ => {}
        }
    }
    let (document, _) = DeTable::parse_recoverable(text);
    let mut found = Vec::new();
    of(document.get_ref(), &mut found);
    found.sort();
    found.dedup();
    found
}

/// Whether this is the configuration of a gateway.
#[must_use]
pub fn has_gateway(text: &str) -> bool {
    let (document, _) = DeTable::parse_recoverable(text);
    document.get_ref().get("gateway").is_some()
}

/// Reads one source. `None` where its syntax is wrong: what was understood would be wrong in turn.
pub(super) fn parse(source: usize, text: &str, report: &Report) -> Option<Table> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = Place::File {
            source,
            span: error.span().unwrap_or(0..0),
        };
        report.add(Problem::error(
            place,
            format!("not TOML: {}", one_line(error.message())),
        ));
    }
    let mut table = table(source, document.get_ref(), report);
    if let Some(extends) = table.0.remove(EXTENDS)
        && !matches!(extends.value.kind, Kind::Text(_))
    {
        let found = extends.value.kind.noun();
        report.add(
            Problem::error(extends.value.place, format!("`extends` is {found}, expected a path"))
                .right("write for example extends = \"base.toml\""),
        );
    }
    errors.is_empty().then_some(table)
}

fn table(source: usize, from: &DeTable<'_>, report: &Report) -> Table {
    let entry = |(key, value): (&Spanned<_>, &Spanned<_>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let entry = Entry {
            key: Place::File {
                source,
                span: key.span(),
            },
            value: self::value(source, value, report),
        };
        (name.to_string(), entry)
    };
    Table(from.iter().map(entry).collect())
}

fn value(source: usize, from: &Spanned<DeValue<'_>>, report: &Report) -> Value {
    let place = Place::File {
        source,
        span: from.span(),
    };
    let kind = match from.get_ref() {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            if parsed.is_err() {
                report.add(Problem::error(place.clone(), "the number is too large"));
            }
            Kind::Integer(parsed.unwrap_or_default())
        }
        DeValue::Float(number) => Kind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Kind::Boolean(*boolean),
        DeValue::Datetime(_) => Kind::Date,
        DeValue::Array(items) => Kind::List(items.iter().map(|item| value(source, item, report)).collect()),
        DeValue::Table(entries) => Kind::Table(table(source, entries, report)),
    };
    Value { kind, place }
}

/// The parser's messages may span lines.
fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn read(text: &str) -> (Option<Table>, String) {
        let report = Report::default();
        let table = parse(0, text, &report);
        let source = Source::new("f", text);
        (table, report.into_problems(&[source]).lines())
    }

    fn shown<'a>(text: &'a str, value: &Value) -> &'a str {
        match &value.place {
            Place::File { span, .. } => &text[span.clone()],
            Place::Variable(_) => panic!("no variable here"),
        }
    }

    #[test]
    fn every_value_knows_where_it_stands() {
        let text = "[listen]\naddress = \"a\"\n[[route]]\nname = \"n\"\n[route.ndh]\nupstream = \"u\"\n";
        let (table, problems) = read(text);
        assert_eq!(problems, "");
        let table = table.unwrap();
        let listen = table.value("listen").unwrap();
        assert_eq!(shown(text, listen), "[listen]");
        let Kind::Table(inside) = &listen.kind else { panic!() };
        assert_eq!(shown(text, inside.value("address").unwrap()), "\"a\"");
        let Kind::List(routes) = &table.value("route").unwrap().kind else {
            panic!()
        };
        assert_eq!(shown(text, &routes[0]), "[[route]]");
    }

    #[test]
    fn every_syntax_error_is_reported_at_once() {
        let (table, problems) = read("a = \nb = 1\nb = 2\nc = [1\n");
        assert!(table.is_none());
        assert!(problems.lines().count() >= 3, "{problems}");
        assert!(problems.contains("f:1:"), "{problems}");
        assert!(problems.contains("f:3:1: error: not TOML: duplicate key"), "{problems}");
    }

    #[test]
    fn extends_names_the_file_underneath_and_is_no_setting() {
        let text = "extends = \"base.toml\"\n[listen]\n";
        assert_eq!(extends(text).as_deref(), Some("base.toml"));
        assert!(read(text).0.unwrap().value("extends").is_none());
        assert_eq!(extends("[listen]\n"), None);
        assert!(read("extends = 3").1.contains("`extends` is an integer"));
    }

    #[test]
    fn a_number_beyond_64_bits_is_refused() {
        assert!(read("a = 99999999999999999999").1.contains("too large"));
    }
}

//! Reads values out of the merged tree, for the validation.
//!
//! `conform` has reported every value that cannot be read; so a value that is there and unreadable is `None` here
//! and not reported again, and what is missing is reported only where nothing stands at all.

use std::time::Duration;

use super::conform::join;
use super::file::{Kind, Table, Value};
use super::layers::row_name;
use super::problem::{Place, Problem, Report};
use super::value::{self, Complaint};

/// One table, which may not be there, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    table: Option<&'a Table>,
    place: Place,
    path: String,
    report: &'a Report,
}

impl<'a> Reader<'a> {
    /// The whole tree; what is missing in it is shown at the beginning of the `last` source.
    pub(super) fn top(table: &'a Table, last: usize, report: &'a Report) -> Self {
        Self {
            table: Some(table),
            place: Place::start_of(last),
            path: String::new(),
            report,
        }
    }

    pub(super) fn report(&self) -> &'a Report {
        self.report
    }

    /// The path of this table, for people.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of a key, for people.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Whether this table is there at all.
    pub(super) const fn exists(&self) -> bool {
        self.table.is_some()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Where the value is, or else the table that lacks it.
    pub(super) fn place(&self, key: &str) -> Place {
        self.value(key)
            .map_or_else(|| self.place.clone(), |value| value.place.clone())
    }

    pub(super) fn table(&self, key: &str) -> Self {
        let value = self.value(key);
        Self {
            table: value.and_then(|value| match &value.kind {
                Kind::Table(table) => Some(table),
                _ => None,
            }),
            place: self.place(key),
            path: self.path_of(key),
            report: self.report,
        }
    }

    /// The tables of `[key.NAME]`.
    pub(super) fn named(&self, key: &str) -> Vec<(&'a str, Self)> {
        let all = self.table(key);
        let names = all.table.into_iter().flat_map(|table| table.0.keys());
        names.map(|name| (name.as_str(), all.table(name))).collect()
    }

    /// The tables of `[[key]]` that have a name.
    pub(super) fn rows(&self, key: &str) -> Vec<(&'a str, Self)> {
        let Some(Kind::List(rows)) = self.value(key).map(|value| &value.kind) else {
            return Vec::new();
        };
        let row = |row: &'a Value| {
            let (name, Kind::Table(table)) = (row_name(row)?, &row.kind) else {
                return None;
            };
            let reader = Self {
                table: Some(table),
                place: row.place.clone(),
                path: join(&self.path_of(key), name),
                report: self.report,
            };
            Some((name, reader))
        };
        rows.iter().filter_map(row).collect()
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.table.and_then(|table| table.text(key))
    }

    pub(super) fn read<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, Complaint>) -> Option<T> {
        parse(self.text(key)?).ok()
    }

    /// As `read`; reports that the key is missing, with what to write.
    pub(super) fn require<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Complaint>,
    ) -> Option<T> {
        if !self.has(key) {
            let problem = Problem::error(self.place.clone(), format!("`{}` is missing", self.path_of(key)));
            self.report
                .add(problem.right(format!("write for example {key} = \"{example}\"")));
        }
        self.read(key, parse)
    }

    pub(super) fn switch(&self, key: &str, default: bool) -> bool {
        match self.value(key).map(|value| &value.kind) {
            Some(Kind::Boolean(found)) => *found,
            _ => default,
        }
    }

    pub(super) fn duration(&self, key: &str, default: Duration) -> Duration {
        self.read(key, value::duration).unwrap_or(default)
    }

    pub(super) fn count(&self, key: &str) -> Option<usize> {
        match self.value(key)?.kind {
            Kind::Integer(found) => usize::try_from(found).ok(),
            _ => None,
        }
    }

    pub(super) fn size(&self, key: &str) -> Option<u64> {
        self.read(key, value::size)
    }

    #[allow(clippy::cast_precision_loss)] // the only integer that passes is 1
    pub(super) fn ratio(&self, key: &str, default: f64) -> f64 {
        match self.value(key).map(|value| &value.kind) {
            Some(Kind::Float(found)) => *found,
            Some(Kind::Integer(found)) => *found as f64,
            _ => default,
        }
    }

    /// One text or a list of them, each with its place.
    pub(super) fn texts(&self, key: &str) -> Vec<(&'a str, Place)> {
        let one = |value: &'a Value| match &value.kind {
            Kind::Text(text) => Some((text.as_str(), value.place.clone())),
            _ => None,
        };
        match self.value(key) {
            Some(Value {
                kind: Kind::List(items),
                ..
            }) => items.iter().filter_map(one).collect(),
            Some(value) => one(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// A table of texts with free keys.
    pub(super) fn pairs(&self, key: &str) -> Vec<(&'a str, &'a str)> {
        let Some(Kind::Table(table)) = self.value(key).map(|value| &value.kind) else {
            return Vec::new();
        };
        let pair = |name: &'a String| Some((name.as_str(), table.text(name)?));
        table.0.keys().filter_map(pair).collect()
    }

    /// Reports a problem at a key, or at the table where the key is missing.
    pub(super) fn error(&self, key: &str, wrong: impl AsRef<str>, right: impl Into<String>) {
        let wrong = format!("`{}` {}", self.path_of(key), wrong.as_ref());
        self.report.add(Problem::error(self.place(key), wrong).right(right));
    }

    pub(super) fn warning(&self, key: &str, wrong: impl AsRef<str>, right: impl Into<String>) {
        let wrong = format!("`{}` {}", self.path_of(key), wrong.as_ref());
        self.report.add(Problem::warning(self.place(key), wrong).right(right));
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.table.and_then(|table| table.value(key))
    }
}

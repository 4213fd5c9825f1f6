//! What is wrong with a configuration, where, and what would be right.
//!
//! A [`Problem`] is for the person who must edit a file or a variable, so it always has a place. Spans belong to one
//! source text and are never shown against another. All problems of one reading are kept and shown together: as
//! annotated source, as one line each (`file:line:column: text`), or as JSON.
//!
//! A value that looks like a secret that was written into the file is concealed before any line of it is shown.

use std::cell::RefCell;
use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value as Json, json};

use super::Source;

/// Whether the configuration can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Bytes of one of the sources, by index.
    File { source: usize, span: Range<usize> },
    /// An environment variable, by name.
    Variable(String),
}

impl Place {
    /// The beginning of a source: for what is missing altogether.
    #[must_use]
    pub const fn start_of(source: usize) -> Self {
        Self::File { source, span: 0..0 }
    }

    fn order(&self) -> (bool, usize, usize, &str) {
        match self {
            Self::File { source, span } => (false, *source, span.start, ""),
            Self::Variable(name) => (true, 0, 0, name),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub place: Place,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: Option<String>,
    /// A second place that has to do with it, and what is there.
    pub related: Option<(Place, String)>,
    /// Values that may be secrets: never shown.
    pub conceal: Vec<Place>,
}

impl Problem {
    #[must_use]
    pub fn error(place: Place, wrong: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place,
            wrong: wrong.into(),
            right: None,
            related: None,
            conceal: Vec::new(),
        }
    }

    #[must_use]
    pub fn warning(place: Place, wrong: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, wrong)
        }
    }

    #[must_use]
    pub fn right(mut self, right: impl Into<String>) -> Self {
        self.right = Some(right.into());
        self
    }

    #[must_use]
    pub fn related(mut self, place: Place, what: impl Into<String>) -> Self {
        self.related = Some((place, what.into()));
        self
    }

    #[must_use]
    pub fn conceal(mut self, values: impl IntoIterator<Item = Place>) -> Self {
        self.conceal.extend(values);
        self
    }
}

/// Collects problems while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Report(RefCell<Vec<Problem>>);

impl Report {
    pub(super) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    pub(super) fn has_errors(&self) -> bool {
        self.0
            .borrow()
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    pub(super) fn into_problems(self, sources: &[Source]) -> Problems {
        Problems::new(sources.to_vec(), self.0.into_inner())
    }
}

/// How annotated source is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// For a terminal.
    Colour,
}

/// All problems of one reading with the texts that they point into: files in their order, then variables.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    sources: Vec<Source>,
    list: Vec<Problem>,
}

impl Problems {
    #[must_use]
    pub fn new(sources: Vec<Source>, mut list: Vec<Problem>) -> Self {
        list.sort_by(|a, b| a.place.order().cmp(&b.place.order()));
        list.dedup();
        Self { sources, list }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|problem| problem.severity == severity).count()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Adds what was found later, for instance in the files that the configuration names.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Problem>) {
        let mut list = std::mem::take(&mut self.list);
        list.extend(more);
        *self = Self::new(std::mem::take(&mut self.sources), list);
    }

    /// What keeps the configuration from being used; the warnings would only stand in front of it.
    #[must_use]
    pub fn without_warnings(mut self) -> Self {
        self.list.retain(|problem| problem.severity == Severity::Error);
        self
    }

    /// Annotated source, a blank line between problems.
    #[must_use]
    pub fn annotated(&self, style: Style) -> String {
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Colour => Renderer::styled(),
        };
        let texts = self.concealed_texts();
        let shown = self.list.iter().map(|problem| {
            let group = self.group(problem, &texts);
            renderer.render(&[group])
        });
        let mut out = shown.collect::<Vec<_>>().join("\n\n");
        if !out.is_empty() {
            out.push('\n');
        }
        out
    }

    /// One line for each problem: `file:line:column: severity: text; hint`.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut out = String::new();
        for problem in &self.list {
            let _ = match self.position(&problem.place) {
                Some((name, line, column)) => write!(out, "{name}:{line}:{column}: "),
                None => write!(out, "{}: ", variable(&problem.place)),
            };
            let _ = write!(out, "{}: {}", problem.severity.as_str(), problem.wrong);
            if let Some(right) = &problem.right {
                let _ = write!(out, "; {right}");
            }
            out.push('\n');
        }
        out
    }

    /// For `--output json`.
    #[must_use]
    pub fn json(&self) -> Json {
        let place = |place: &Place| match self.position(place) {
            Some((file, line, column)) => json!({ "file": file, "line": line, "column": column }),
            None => json!({ "variable": variable(place) }),
        };
        let problem = |problem: &Problem| {
            let mut object = place(&problem.place);
            object["severity"] = json!(problem.severity.as_str());
            object["problem"] = json!(problem.wrong);
            object["hint"] = json!(problem.right);
            if let Some((at, what)) = &problem.related {
                object["related"] = place(at);
                object["related"]["note"] = json!(what);
            }
            object
        };
        Json::Array(self.list.iter().map(problem).collect())
    }

    /// Name of the file, line and column (in characters), both from 1.
    fn position(&self, place: &Place) -> Option<(&str, usize, usize)> {
        let Place::File { source, span } = place else {
            return None;
        };
        let source = self.sources.get(*source)?;
        let before = &source.text[..source.text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        Some((&source.name, line, before[line_start..].chars().count() + 1))
    }

    fn group<'a>(&'a self, problem: &'a Problem, texts: &'a [String]) -> Group<'a> {
        let level = || match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = match &problem.place {
            Place::Variable(name) => Group::with_title(level().primary_title(format!("{name}: {}", problem.wrong))),
            Place::File { .. } => Group::with_title(level().primary_title(problem.wrong.as_str())),
        };
        let related = problem.related.as_ref();
        if let Place::File { source, span } = &problem.place
            && let Some(snippet) = self.snippet(*source, texts)
        {
            let mut snippet = snippet.annotation(AnnotationKind::Primary.span(within(span, &texts[*source])));
            if let Some((Place::File { source: other, span }, what)) = related
                && other == source
            {
                let span = within(span, &texts[*source]);
                snippet = snippet.annotation(AnnotationKind::Context.span(span).label(what.as_str()));
            }
            group = group.element(snippet);
        }
        match related {
            Some((Place::File { source, span }, what)) if !same_source(&problem.place, *source) => {
                if let Some(snippet) = self.snippet(*source, texts) {
                    let note = AnnotationKind::Context
                        .span(within(span, &texts[*source]))
                        .label(what.as_str());
                    group = group.element(snippet.annotation(note));
                }
            }
            Some((Place::Variable(name), what)) => {
                group = group.element(Level::NOTE.message(format!("{what}: {name}")))
            }
            _ => {}
        }
        match &problem.right {
            Some(right) => group.element(Level::HELP.message(right.as_str())),
            None => group,
        }
    }

    fn snippet<'a>(
        &'a self,
        source: usize,
        texts: &'a [String],
    ) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let name = &self.sources.get(source)?.name;
        Some(Snippet::source(texts.get(source)?.as_str()).path(name.as_str()))
    }

    /// The sources with every concealed value overwritten, byte for byte so that spans stay true.
    fn concealed_texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.sources.iter().map(|source| source.text.clone()).collect();
        for value in self.list.iter().flat_map(|problem| &problem.conceal) {
            if let Place::File { source, span } = value
                && let Some(text) = texts.get_mut(*source)
                && let Some(value) = text.get(span.clone())
            {
                let stars: String = value
                    .bytes()
                    .map(|byte| if byte == b'\n' { '\n' } else { '*' })
                    .collect();
                text.replace_range(span.clone(), &stars);
            }
        }
        texts
    }
}

/// As an error: the plain lines.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lines().trim_end())
    }
}

impl std::error::Error for Problems {}

const fn same_source(place: &Place, other: usize) -> bool {
    matches!(place, Place::File { source, .. } if *source == other)
}

/// The renderer panics on a span outside the text or inside a character.
fn within(span: &Range<usize>, text: &str) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    start..text.ceil_char_boundary(span.end).max(start)
}

fn variable(place: &Place) -> &str {
    match place {
        Place::Variable(name) => name,
        Place::File { .. } => "configuration",
    }
}

#[cfg(test)]
mod tests;

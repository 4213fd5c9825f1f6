//! Paths with named places, and what a request's path has in those places.
//!
//! A [`Template`] that exists can match: its literal parts are in their normal spelling, so comparing them with a
//! normalised path is comparing bytes. It is written by the operator, so its errors quote it; [`Captures`] hold person
//! identifiers, so nothing prints them.

use std::fmt;

use super::path::{PathError, normalise};

/// A template has at most this many parameters, so that captures fit into a fixed array.
pub const MAX_PARAMETERS: usize = 8;

/// A path with named places: `/secure/offenders/nomsNumber/{nomsNumber}/all`, `/{*rest}`.
///
/// `{name}` stands for exactly one segment, `{*name}` for one or more at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    text: Box<str>,
    segments: Box<[Segment]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    Literal(Box<str>),
    Parameter(Box<str>),
    /// One or more segments; always the last.
    Rest(Box<str>),
}

impl Template {
    /// Reads a template as the operator wrote it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let refuse = |problem| TemplateError {
            template: text.to_owned(),
            problem,
        };
        let Some(inside) = text.strip_prefix('/') else {
            return Err(refuse(Problem::NotAbsolute));
        };
        let mut segments = Vec::new();
        if !inside.is_empty() {
            for written in inside.split('/') {
                if let Some(Segment::Rest(name)) = segments.last() {
                    return Err(refuse(Problem::RestNotLast(name.to_string())));
                }
                segments.push(Segment::parse(written).map_err(refuse)?);
            }
        }
        let template = Self {
            text: text.into(),
            segments: segments.into(),
        };
        for (at, name) in template.parameters().enumerate() {
            if at == MAX_PARAMETERS {
                return Err(refuse(Problem::TooMany));
            }
            if template.parameters().take(at).any(|earlier| earlier == name) {
                return Err(refuse(Problem::Duplicate(name.to_owned())));
            }
        }
        Ok(template)
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) | Segment::Rest(name) => Some(&**name),
        })
    }

    /// Appends the path that this template makes of `captures`. They come from a normalised path, so the result is one.
    ///
    /// A name that was not captured leaves `out` as it was: a path with a hole would ask for something else.
    ///
    /// # Errors
    /// [`NotCaptured`].
    pub fn expand(&self, out: &mut Vec<u8>, captures: &Captures<'_>) -> Result<(), NotCaptured> {
        self.expand_with(out, |name| captures.get(name))
    }

    /// The same with values from elsewhere, each a piece of a normalised path.
    ///
    /// # Errors
    /// [`NotCaptured`].
    pub fn expand_with<'a>(
        &self,
        out: &mut Vec<u8>,
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), NotCaptured> {
        let start = out.len();
        if self.segments.is_empty() {
            out.push(b'/');
        }
        for segment in &self.segments {
            out.push(b'/');
            match segment {
                Segment::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
                Segment::Parameter(name) | Segment::Rest(name) => match value(name) {
                    Some(value) => out.extend_from_slice(value.as_bytes()),
                    None => {
                        out.truncate(start);
                        return Err(NotCaptured(name.to_string()));
                    }
                },
            }
        }
        Ok(())
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn parse(written: &str) -> Result<Self, Problem> {
        if written.is_empty() {
            return Err(Problem::Empty);
        }
        if let Some(inside) = written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let (name, rest) = match inside.strip_prefix('*') {
                Some(name) => (name, true),
                None => (inside, false),
            };
            let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(word) {
                return Err(Problem::Name(written.to_owned()));
            }
            return Ok(if rest {
                Self::Rest(name.into())
            } else {
                Self::Parameter(name.into())
            });
        }
        if written.contains(['{', '}']) {
            return Err(Problem::PartOfSegment(written.to_owned()));
        }
        let path = format!("/{written}");
        let mut scratch = Vec::new();
        match normalise(path.as_bytes(), &mut scratch) {
            Err(why) => Err(Problem::Literal(written.to_owned(), why)),
            Ok(normal) if normal != path => Err(Problem::Spelling(written.to_owned(), normal[1..].to_owned())),
            Ok(_) => Ok(Self::Literal(written.into())),
        }
    }
}

/// A template that is refused, with what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path template {template:?}: {problem}")]
pub struct TemplateError {
    pub template: String,
    pub problem: Problem,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("does not start with a slash")]
    NotAbsolute,
    #[error("has an empty segment: remove the doubled or trailing slash")]
    Empty,
    #[error("segment {0:?} mixes text and a parameter: a parameter fills its whole segment, as in /{{name}}/")]
    PartOfSegment(String),
    #[error("{0:?} is not a parameter: expected {{name}} or {{*name}}, the name of letters, digits and underscores")]
    Name(String),
    #[error("parameter {0:?} occurs twice: give each its own name")]
    Duplicate(String),
    #[error("{{*{0}}} takes the rest of the path, so nothing may follow it")]
    RestNotLast(String),
    #[error("has more than {MAX_PARAMETERS} parameters")]
    TooMany,
    #[error("segment {0:?} can never match: {1}")]
    Literal(String, PathError),
    #[error("segment {0:?} can never match: paths are compared in their normal spelling, write {1:?}")]
    Spelling(String, String),
}

/// A template was expanded with captures that lack one of its names: the configuration was not checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the route captures no parameter {0:?}")]
pub struct NotCaptured(pub String);

/// What a template's parameters stand for in one path. Borrowed from both, nothing allocated.
///
/// The values are person identifiers: they print nowhere, which is why `Debug` shows the names only.
#[derive(Clone, Copy)]
pub struct Captures<'a> {
    template: &'a Template,
    values: [&'a str; MAX_PARAMETERS],
}

impl<'a> Captures<'a> {
    /// `values` in the order of the template's parameters.
    pub(super) const fn new(template: &'a Template, values: [&'a str; MAX_PARAMETERS]) -> Self {
        Self { template, values }
    }

    /// The value of a parameter, in the path's normal spelling.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.template.parameters().zip(self.values)
    }
}

impl fmt::Debug for Captures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.template.parameters()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Problem {
        Template::parse(text).unwrap_err().problem
    }

    #[test]
    fn a_template_shows_itself_as_written_and_names_its_parameters_in_order() {
        let text = "/secure/{kind}/nomsNumber/{noms_Number2}/{*rest}";
        let template = Template::parse(text).unwrap();
        assert_eq!(template.as_str(), text);
        assert_eq!(template.to_string(), text);
        assert_eq!(
            template.parameters().collect::<Vec<_>>(),
            ["kind", "noms_Number2", "rest"]
        );
        assert_eq!(Template::parse("/").unwrap().parameters().count(), 0);
    }

    #[test]
    fn a_template_that_could_never_match_is_refused_with_the_reason() {
        let owned = str::to_owned;
        let cases = [
            ("", Problem::NotAbsolute),
            ("secure/{id}", Problem::NotAbsolute),
            ("//", Problem::Empty),
            ("/a//b", Problem::Empty),
            ("/a/", Problem::Empty),
            ("/{id}.json", Problem::PartOfSegment(owned("{id}.json"))),
            ("/a{id}", Problem::PartOfSegment(owned("a{id}"))),
            ("/{id", Problem::PartOfSegment(owned("{id"))),
            ("/id}", Problem::PartOfSegment(owned("id}"))),
            ("/{}", Problem::Name(owned("{}"))),
            ("/{*}", Problem::Name(owned("{*}"))),
            ("/{a}{b}", Problem::Name(owned("{a}{b}"))),
            ("/{a-b}", Problem::Name(owned("{a-b}"))),
            ("/{a}/x/{a}", Problem::Duplicate(owned("a"))),
            ("/{a}/{*a}", Problem::Duplicate(owned("a"))),
            ("/{*rest}/x", Problem::RestNotLast(owned("rest"))),
            ("/{*rest}/", Problem::RestNotLast(owned("rest"))),
            ("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", Problem::TooMany),
            ("/a/../b", Problem::Literal(owned(".."), PathError::DotSegment)),
            ("/a?x=1", Problem::Literal(owned("a?x=1"), PathError::ForbiddenByte)),
            ("/a b", Problem::Literal(owned("a b"), PathError::ForbiddenByte)),
            ("/a%2Fb", Problem::Literal(owned("a%2Fb"), PathError::EncodedSlash)),
            ("/%61b", Problem::Spelling(owned("%61b"), owned("ab"))),
            ("/a%c3%a9", Problem::Spelling(owned("a%c3%a9"), owned("a%C3%A9"))),
        ];
        for (text, expected) in cases {
            assert_eq!(problem(text), expected, "{text}");
        }
    }

    #[test]
    fn eight_parameters_are_allowed() {
        let template = Template::parse("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}").unwrap();
        assert_eq!(template.parameters().count(), MAX_PARAMETERS);
    }

    #[test]
    fn a_refusal_quotes_the_template_and_says_what_to_write() {
        assert_eq!(
            Template::parse("/people/{id}.json").unwrap_err().to_string(),
            "path template \"/people/{id}.json\": segment \"{id}.json\" mixes text and a parameter: \
             a parameter fills its whole segment, as in /{name}/",
        );
        assert!(
            Template::parse("/%7Ex")
                .unwrap_err()
                .to_string()
                .ends_with("write \"~x\"")
        );
    }

    #[test]
    fn expanding_puts_the_captured_values_in_their_places_after_what_is_there() {
        let asked = Template::parse("/offenders/{id}/{*rest}").unwrap();
        let captures = Captures::new(&asked, ["A1", "b/c", "", "", "", "", "", ""]);
        let mut out = b"/api".to_vec();
        let leg = Template::parse("/{*rest}").unwrap();
        leg.expand(&mut out, &captures).unwrap();
        Template::parse("/x/{id}").unwrap().expand(&mut out, &captures).unwrap();
        Template::parse("/").unwrap().expand(&mut out, &captures).unwrap();
        assert_eq!(out, b"/api/b/c/x/A1/");
    }

    #[test]
    fn expanding_a_name_that_was_not_captured_writes_nothing() {
        let asked = Template::parse("/{id}").unwrap();
        let captures = Captures::new(&asked, ["A1", "", "", "", "", "", "", ""]);
        let mut out = b"/api".to_vec();
        let leg = Template::parse("/{id}/{other}").unwrap();
        assert_eq!(leg.expand(&mut out, &captures), Err(NotCaptured("other".to_owned())));
        assert_eq!(out, b"/api");
    }

    #[test]
    fn captured_values_never_print() {
        let asked = Template::parse("/{id}").unwrap();
        let captures = Captures::new(&asked, ["A1234BC", "", "", "", "", "", "", ""]);
        assert_eq!(captures.get("id"), Some("A1234BC"));
        assert_eq!(captures.get("other"), None);
        assert_eq!(format!("{captures:?}"), "{\"id\"}");
    }
}

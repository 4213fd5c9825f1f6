//! Places in a view as the operator names them: RFC 6901 JSON pointers in which `*` stands for one whole segment.
//!
//! "" is the view as a whole. A segment that is a number also fits that position of an array. A pattern fits one place,
//! not what lies below it; what a rule makes of the subtree is the rule's business.

use std::fmt;

use super::place::Step;

/// Where in a view: `/team/code`, `/managers/*/email`, "".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    /// Unescaped.
    Literal(Box<str>),
    Any,
}

impl Pattern {
    /// Reads a pattern as the operator wrote it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let refuse = |problem| PatternError {
            pattern: text.to_owned(),
            problem,
        };
        let segments = match text.strip_prefix('/') {
            None if text.is_empty() => Vec::new(),
            None => return Err(refuse(Problem::NoSlash)),
            Some(inside) => inside
                .split('/')
                .map(Segment::parse)
                .collect::<Result<_, _>>()
                .map_err(refuse)?,
        };
        Ok(Self {
            text: text.into(),
            segments: segments.into(),
        })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn fits(&self, place: &[Step<'_>]) -> bool {
        self.segments.len() == place.len() && self.segments.iter().zip(place).all(|(s, step)| s.fits(step))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn parse(written: &str) -> Result<Self, Problem> {
        match written {
            "" => return Err(Problem::Empty),
            "*" => return Ok(Self::Any),
            part if part.contains('*') => return Err(Problem::Star),
            _ => {}
        }
        let mut literal = String::with_capacity(written.len());
        let mut rest = written;
        while let Some((before, after)) = rest.split_once('~') {
            literal.push_str(before);
            rest = if let Some(rest) = after.strip_prefix('0') {
                literal.push('~');
                rest
            } else if let Some(rest) = after.strip_prefix('1') {
                literal.push('/');
                rest
            } else {
                return Err(Problem::Tilde);
            };
        }
        literal.push_str(rest);
        Ok(Self::Literal(literal.into()))
    }

    fn fits(&self, step: &Step<'_>) -> bool {
        match (self, step) {
            (Self::Any, _) => true,
            (Self::Literal(literal), Step::Key(key)) => **literal == **key,
            (Self::Literal(literal), Step::Position(at)) => literal.parse() == Ok(*at),
            (Self::Literal(_), Step::Somewhere) => false,
        }
    }
}

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} names no place in a view: {problem}")]
pub struct PatternError {
    pattern: String,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("it must begin with `/`, for instance \"/team/code\"; \"\" alone is the whole view")]
    NoSlash,
    #[error("a segment is empty: remove the extra `/`")]
    Empty,
    #[error("`*` stands for one whole segment: write \"/managers/*/email\"")]
    Star,
    #[error("`~` must be written `~0`, and a `/` inside a key `~1` (RFC 6901)")]
    Tilde,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, place: &[Step<'_>]) -> bool {
        Pattern::parse(pattern).unwrap().fits(place)
    }

    #[test]
    fn a_pattern_fits_the_place_it_names_and_nothing_below_or_above() {
        let place = [Step::Key("team"), Step::Key("code")];
        assert!(fits("/team/code", &place));
        for other in ["", "/team", "/team/code/x", "/team/name", "/code/team"] {
            assert!(!fits(other, &place), "{other}");
        }
        assert!(fits("", &[]));
    }

    #[test]
    fn a_star_stands_for_one_segment_of_any_kind() {
        for step in [Step::Key("x"), Step::Position(3), Step::Somewhere] {
            assert!(fits("/a/*/b", &[Step::Key("a"), step, Step::Key("b")]));
        }
        assert!(!fits("/a/*", &[Step::Key("a"), Step::Position(0), Step::Key("b")]));
    }

    #[test]
    fn a_number_fits_a_key_and_a_position_but_not_an_element_without_one() {
        assert!(fits("/a/1", &[Step::Key("a"), Step::Position(1)]));
        assert!(fits("/a/1", &[Step::Key("a"), Step::Key("1")]));
        assert!(!fits("/a/1", &[Step::Key("a"), Step::Position(2)]));
        assert!(!fits("/a/1", &[Step::Key("a"), Step::Somewhere]));
    }

    #[test]
    fn escapes_are_undone_once() {
        assert!(fits("/a~1b", &[Step::Key("a/b")]));
        assert!(fits("/m~0n", &[Step::Key("m~n")]));
        assert!(fits("/~01", &[Step::Key("~1")]));
    }

    #[test]
    fn what_names_no_place_is_refused_and_said_why() {
        for (text, word) in [
            ("tier", "begin with"),
            ("*", "begin with"),
            ("/", "empty"),
            ("/a//b", "empty"),
            ("/a/", "empty"),
            ("/manager*", "whole segment"),
            ("/a~", "~0"),
            ("/a~2", "~0"),
        ] {
            let said = Pattern::parse(text).unwrap_err().to_string();
            assert!(said.contains(word) && said.contains(&format!("{text:?}")), "{said}");
        }
    }
}

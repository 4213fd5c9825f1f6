//! Method and path to route, in one walk down a tree of segments.
//!
//! In each place a literal goes before a parameter and a parameter before the rest of the path. [`Table::build`]
//! refuses two routes that can match one request unless every path of the one is also a path of the other: then, and
//! only then, it is plain which of them is the exception and which the rule, and the order in the file does not matter.
//! [`Table::find`] runs on each request and allocates nothing; it looks at each node of the tree at most once.

use super::Methods;
use super::template::{Captures, MAX_PARAMETERS, Segment, Template};

/// The routes, ready to be asked.
#[derive(Clone, Debug)]
pub struct Table {
    routes: Vec<(Methods, Template)>,
    /// The first is the root.
    nodes: Vec<Node>,
}

/// One place in a path, after the segments that lead to it.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: Vec<(Box<str>, usize)>,
    parameter: Option<usize>,
    /// Routes that end here; they share no method.
    ends: Vec<usize>,
    /// Routes that take everything from here on; they share no method.
    rests: Vec<usize>,
}

/// The route that a request takes.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    /// Its index among those the table was built from.
    pub route: usize,
    pub captures: Captures<'a>,
}

/// Two routes, by index, that can match one request with nothing to say which goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub first: usize,
    pub second: usize,
    pub kind: ConflictKind,
}

/// How two routes are in each other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// They match the same paths.
    Same,
    /// Each matches paths that the other does not, and some path is matched by both, as with `/a/{x}` and `/{y}/b`.
    Crossing,
}

impl Table {
    /// Makes the tree, or names every pair of routes that conflict.
    pub fn build(routes: &[(Methods, Template)]) -> Result<Self, Vec<Conflict>> {
        let conflicts: Vec<_> = (0..routes.len())
            .flat_map(|second| (0..second).map(move |first| (first, second)))
            .filter_map(|(first, second)| {
                let kind = conflict(&routes[first], &routes[second])?;
                Some(Conflict { first, second, kind })
            })
            .collect();
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut table = Self {
            routes: routes.to_vec(),
            nodes: vec![Node::default()],
        };
        for (route, (_, template)) in routes.iter().enumerate() {
            table.insert(route, template);
        }
        Ok(table)
    }

    fn insert(&mut self, route: usize, template: &Template) {
        let mut at = 0;
        for segment in template.segments() {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match segment {
                Segment::Literal(literal) => match node.literals.iter().find(|(known, _)| known == literal) {
                    Some((_, child)) => *child,
                    None => {
                        node.literals.push((literal.clone(), next));
                        next
                    }
                },
                Segment::Parameter(_) => *node.parameter.get_or_insert(next),
                Segment::Rest(_) => {
                    node.rests.push(route);
                    return;
                }
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[at].ends.push(route);
    }

    /// The route for a method and a path as [`normalise`](super::path::normalise) returned it.
    #[must_use]
    pub fn find<'a>(&'a self, method: &str, path: &'a str) -> Option<Match<'a>> {
        let inside = path.strip_prefix('/')?;
        let mut values = [""; MAX_PARAMETERS];
        let remaining = (!inside.is_empty()).then_some(inside);
        let route = self.walk(0, remaining, method, &mut values, 0)?;
        let captures = Captures::new(&self.routes[route].1, values);
        Some(Match { route, captures })
    }

    /// Goes on from a node; `None` for `remaining` is the end of the path. Backtracks, since a literal that leads
    /// nowhere leaves the path to a parameter: no deeper than the longest template.
    fn walk<'a>(
        &self,
        at: usize,
        remaining: Option<&'a str>,
        method: &str,
        values: &mut [&'a str; MAX_PARAMETERS],
        captured: usize,
    ) -> Option<usize> {
        let node = &self.nodes[at];
        let Some(remaining) = remaining else {
            return self.accepting(&node.ends, method);
        };
        let (segment, after) = match remaining.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (remaining, None),
        };
        if segment.is_empty() {
            return None; // not a normalised path: a parameter never stands for nothing
        }
        if let Some((_, child)) = node.literals.iter().find(|(literal, _)| **literal == *segment)
            && let Some(route) = self.walk(*child, after, method, values, captured)
        {
            return Some(route);
        }
        if let Some(child) = node.parameter {
            values[captured] = segment;
            if let Some(route) = self.walk(child, after, method, values, captured + 1) {
                return Some(route);
            }
        }
        let route = self.accepting(&node.rests, method)?;
        values[captured] = remaining;
        Some(route)
    }

    fn accepting(&self, routes: &[usize], method: &str) -> Option<usize> {
        routes
            .iter()
            .copied()
            .find(|&route| self.routes[route].0.accepts(method))
    }
}

fn conflict(one: &(Methods, Template), other: &(Methods, Template)) -> Option<ConflictKind> {
    if !one.0.overlap(&other.0) {
        return None;
    }
    match relation(one.1.segments(), other.1.segments()) {
        Relation::Same => Some(ConflictKind::Same),
        Relation::Crossing => Some(ConflictKind::Crossing),
        Relation::Disjoint | Relation::Within => None,
    }
}

/// How the paths of two templates lie to each other, as sets.
enum Relation {
    Disjoint,
    Same,
    /// One holds the other.
    Within,
    Crossing,
}

fn relation(one: &[Segment], other: &[Segment]) -> Relation {
    // which of the two is narrower in some place
    let (mut first, mut second) = (false, false);
    let (mut one, mut other) = (one.iter(), other.iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some(Segment::Rest(_)), Some(Segment::Rest(_))) => break,
            // the rest is at least one segment
            (None, Some(_)) | (Some(_), None) => return Relation::Disjoint,
            (Some(Segment::Rest(_)), Some(_)) => {
                second = true;
                break;
            }
            (Some(_), Some(Segment::Rest(_))) => {
                first = true;
                break;
            }
            (Some(Segment::Literal(literal)), Some(Segment::Literal(same))) => {
                if literal != same {
                    return Relation::Disjoint;
                }
            }
            (Some(Segment::Literal(_)), Some(Segment::Parameter(_))) => first = true,
            (Some(Segment::Parameter(_)), Some(Segment::Literal(_))) => second = true,
            (Some(Segment::Parameter(_)), Some(Segment::Parameter(_))) => {}
        }
    }
    match (first, second) {
        (false, false) => Relation::Same,
        (true, true) => Relation::Crossing,
        _ => Relation::Within,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::parse_match;

    fn routes(matches: &[&str]) -> Vec<(Methods, Template)> {
        matches.iter().map(|text| parse_match(text).unwrap()).collect()
    }

    fn table(matches: &[&str]) -> Table {
        Table::build(&routes(matches)).unwrap()
    }

    fn found<'a>(table: &'a Table, method: &str, path: &'a str) -> Option<(usize, Vec<(&'a str, &'a str)>)> {
        table
            .find(method, path)
            .map(|found| (found.route, found.captures.iter().collect()))
    }

    #[test]
    fn a_path_takes_its_route_and_the_parameters_are_captured() {
        let table = table(&[
            "GET /secure/offenders/nomsNumber/{nomsNumber}/all",
            "GET /secure/offenders/crn/{crn}/{what}",
            "* /",
            "GET /files/{*path}",
        ]);
        for (path, expected) in [
            (
                "/secure/offenders/nomsNumber/A1/all",
                Some((0, vec![("nomsNumber", "A1")])),
            ),
            (
                "/secure/offenders/crn/X1/registrations",
                Some((1, vec![("crn", "X1"), ("what", "registrations")])),
            ),
            ("/", Some((2, vec![]))),
            ("/files/a", Some((3, vec![("path", "a")]))),
            ("/files/a/b/c", Some((3, vec![("path", "a/b/c")]))),
            ("/files", None),
            ("/secure/offenders/nomsNumber/A1", None),
            ("/secure/offenders/nomsNumber/A1/all/more", None),
            ("/secure/offenders/nomsnumber/A1/all", None),
            ("/secure", None),
            ("", None),
            ("secure", None),
            ("/files/", None),
            ("/secure/offenders/nomsNumber//all", None),
        ] {
            assert_eq!(found(&table, "GET", path), expected, "{path}");
        }
    }

    #[test]
    fn methods_are_told_apart_by_case_and_share_a_path() {
        let table = table(&["GET,HEAD /a/{id}", "PUT /a/{name}", "DELETE /a/b"]);
        for (method, path, expected) in [
            ("GET", "/a/b", Some((0, vec![("id", "b")]))),
            ("PUT", "/a/b", Some((1, vec![("name", "b")]))),
            ("DELETE", "/a/b", Some((2, vec![]))),
            ("DELETE", "/a/c", None),
            ("get", "/a/b", None),
            ("POST", "/a/b", None),
        ] {
            assert_eq!(found(&table, method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_literal_goes_before_a_parameter_and_a_parameter_before_the_rest() {
        let table = table(&["GET /{*rest}", "GET /a/{x}", "GET /a/b", "GET /a/{x}/c"]);
        for (path, route) in [
            ("/a/b", 2),
            ("/a/z", 1),
            ("/a/z/c", 3),
            ("/a/b/c", 3),
            ("/a/b/d", 0),
            ("/a", 0),
            ("/z/b", 0),
        ] {
            assert_eq!(
                found(&table, "GET", path).map(|(route, _)| route),
                Some(route),
                "{path}"
            );
        }
    }

    #[test]
    fn a_literal_that_leads_nowhere_leaves_no_capture_behind() {
        let table = table(&["GET /{a}/b/{c}/d", "GET /x/{other}/c"]);
        assert_eq!(
            found(&table, "GET", "/x/b/y/d"),
            Some((0, vec![("a", "x"), ("c", "y")]))
        );
    }

    #[test]
    fn routes_without_a_clear_order_are_all_named() {
        let crossing = |first, second| Conflict {
            first,
            second,
            kind: ConflictKind::Crossing,
        };
        let same = |first, second| Conflict {
            first,
            second,
            kind: ConflictKind::Same,
        };
        for (matches, expected) in [
            (&["GET /a/{x}", "GET /a/{y}"][..], vec![same(0, 1)]),
            (&["* /a", "GET /b", "HEAD,GET /a"], vec![same(0, 2)]),
            (&["GET /{*a}", "GET /{*b}"], vec![same(0, 1)]),
            (&["GET /a/{x}", "GET /{y}/b"], vec![crossing(0, 1)]),
            (&["GET /a/{*x}", "GET /{y}/b"], vec![crossing(0, 1)]),
            (
                &["GET /a", "GET /a", "GET /a"],
                vec![same(0, 1), same(0, 2), same(1, 2)],
            ),
            (&["GET /a/{x}", "PUT /{y}/b"], vec![]),
            (&["GET /{x}/c", "GET /a/b", "GET /{*r}", "GET /{x}/{y}"], vec![]),
            (&["GET /a/{*x}", "GET /a"], vec![]),
        ] {
            assert_eq!(
                Table::build(&routes(matches)).err().unwrap_or_default(),
                expected,
                "{matches:?}"
            );
        }
    }

    #[test]
    fn a_table_without_routes_finds_nothing() {
        assert!(Table::build(&[]).unwrap().find("GET", "/").is_none());
    }
}

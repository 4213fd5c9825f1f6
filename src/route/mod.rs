//! Which route a request takes: pure.
//!
//! `path` gives the request's path its one safe spelling, `table` finds the route whose method and `template` fit.
//! What matches no route never reaches an upstream.

pub mod methods;
pub mod path;
pub mod table;
pub mod template;

pub use methods::Methods;
pub use table::{Match, Table};
pub use template::{Captures, Template};

/// Reads what a route or an allow rule matches: `GET /path/{id}`, `GET,HEAD /path`, `* /{*rest}`.
pub fn parse_match(text: &str) -> Result<(Methods, Template), MatchError> {
    // a template holds no space, so the last one ends the methods
    let Some((methods, template)) = text.trim().rsplit_once([' ', '\t']) else {
        return Err(MatchError::OneWord(text.to_owned()));
    };
    Ok((Methods::parse(methods)?, Template::parse(template)?))
}

/// A method and path template that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    #[error("{0:?} is not a method and a path template: expected, for instance, \"GET /offenders/{{id}}\"")]
    OneWord(String),
    #[error(transparent)]
    Methods(#[from] methods::MethodsError),
    #[error(transparent)]
    Template(#[from] template::TemplateError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::path::normalise;
    use crate::route::table::ConflictKind;

    #[test]
    fn a_match_is_methods_and_a_template() {
        let (methods, template) = parse_match("GET /secure/{id}").unwrap();
        assert!(methods.accepts("GET") && !methods.accepts("HEAD"));
        assert_eq!(template.as_str(), "/secure/{id}");
        let (methods, template) = parse_match("  GET, HEAD\t /  ").unwrap();
        assert!(methods.accepts("GET") && methods.accepts("HEAD"));
        assert_eq!(template.as_str(), "/");
        assert_eq!(parse_match("* /{*rest}").unwrap().0, Methods::Any);
    }

    #[test]
    fn what_is_not_a_match_is_refused_with_the_part_that_is_wrong() {
        assert!(matches!(parse_match("/secure/{id}"), Err(MatchError::OneWord(_))));
        assert!(matches!(parse_match(""), Err(MatchError::OneWord(_))));
        assert!(matches!(parse_match("get /secure"), Err(MatchError::Methods(_))));
        assert!(matches!(parse_match("GET secure"), Err(MatchError::Template(_))));
        assert!(matches!(
            parse_match("GET /a b"),
            Err(MatchError::Methods(_) | MatchError::Template(_))
        ));
    }

    /// What the table must say, written as plainly as can be: the captures of one template, or none.
    fn matches_alone<'a>(template: &'a str, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut captures = Vec::new();
        let (mut template, mut path) = (template.strip_prefix('/')?, path.strip_prefix('/')?);
        loop {
            if let Some(name) = template.strip_prefix("{*") {
                captures.push((name.strip_suffix('}')?, path));
                return (!path.is_empty()).then_some(captures);
            }
            let (pattern, more_template) = template.split_once('/').map_or((template, None), |(a, b)| (a, Some(b)));
            let (segment, more_path) = path.split_once('/').map_or((path, None), |(a, b)| (a, Some(b)));
            match pattern.strip_prefix('{') {
                Some(name) if !segment.is_empty() => captures.push((name.strip_suffix('}')?, segment)),
                None if pattern == segment => {}
                _ => return None,
            }
            match (more_template, more_path) {
                (None, None) => return Some(captures),
                (Some(a), Some(b)) => (template, path) = (a, b),
                _ => return None,
            }
        }
    }

    /// Literal, parameter, rest, segment by segment: the smallest goes first.
    fn rank(template: &str) -> Vec<u8> {
        let kind = |segment: &str| u8::from(segment.starts_with('{')) + u8::from(segment.starts_with("{*"));
        template.split('/').map(kind).collect()
    }

    fn matches() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "b", "c", "{}"]);
        let methods = prop::sample::select(vec!["GET", "PUT", "GET,PUT", "*"]);
        (methods, prop::collection::vec(segment, 0..4), prop::bool::weighted(0.2)).prop_map(
            |(methods, segments, rest)| {
                let named = segments.iter().enumerate().map(|(at, segment)| match *segment {
                    "{}" => format!("{{p{at}}}"),
                    literal => literal.to_owned(),
                });
                let all: Vec<_> = named.chain(rest.then(|| "{*rest}".to_owned())).collect();
                format!("{methods} /{}", all.join("/"))
            },
        )
    }

    fn paths() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "b", "c", "z", "%20", "A1"]);
        prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    /// As many of the routes as go together, in order.
    fn without_conflicts(matches: &[String]) -> Vec<(Methods, Template)> {
        let mut kept = Vec::new();
        for text in matches {
            kept.push(parse_match(text).unwrap());
            if Table::build(&kept).is_err() {
                kept.pop();
            }
        }
        kept
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_matching_each_template_alone(
            matches in prop::collection::vec(matches(), 1..12),
            paths in prop::collection::vec(paths(), 1..8),
            method in prop::sample::select(vec!["GET", "PUT", "PATCH"]),
        ) {
            let routes = without_conflicts(&matches);
            let table = Table::build(&routes).unwrap();
            for path in &paths {
                let expected = routes
                    .iter()
                    .enumerate()
                    .filter(|(_, (methods, _))| methods.accepts(method))
                    .filter_map(|(route, (_, template))| Some((route, matches_alone(template.as_str(), path)?)))
                    .min_by_key(|(route, _)| rank(routes[*route].1.as_str()));
                let found = table.find(method, path).map(|found| (found.route, found.captures.iter().collect()));
                prop_assert_eq!(found, expected, "{} {}", method, path);
            }
        }

        #[test]
        fn a_conflict_is_a_pair_that_one_path_can_show(one in matches(), other in matches()) {
            // every path of up to four segments of this alphabet, so that the sets can be compared by counting
            let alphabet = ["a", "b", "c", "z"];
            let mut all = vec![String::new()];
            let mut last = all.clone();
            for _ in 0..4 {
                last = last.iter().flat_map(|path| alphabet.map(|segment| format!("{path}/{segment}"))).collect();
                all.extend_from_slice(&last);
            }
            all[0].push('/');
            let pair = [parse_match(&one).unwrap(), parse_match(&other).unwrap()];
            let counts = all.iter().fold([0; 3], |[both, first, second], path| {
                let hits = [0, 1].map(|at| matches_alone(pair[at].1.as_str(), path).is_some());
                match hits {
                    [true, true] => [both + 1, first, second],
                    [true, false] => [both, first + 1, second],
                    [false, true] => [both, first, second + 1],
                    [false, false] => [both, first, second],
                }
            });
            let shared_method = ["GET", "PUT", "PATCH"].iter().any(|method| pair.iter().all(|(methods, _)| methods.accepts(method)));
            let expected = match counts {
                _ if !shared_method => None,
                [0, ..] => None,
                [_, 0, 0] => Some(ConflictKind::Same),
                [_, 0, _] | [_, _, 0] => None,
                _ => Some(ConflictKind::Crossing),
            };
            let conflict = Table::build(&pair).err().map(|conflicts| conflicts[0].kind);
            prop_assert_eq!(conflict, expected);
        }

        #[test]
        fn expanding_what_was_found_gives_the_path_back(
            matches in prop::collection::vec(matches(), 1..12),
            path in paths(),
        ) {
            let routes = without_conflicts(&matches);
            let table = Table::build(&routes).unwrap();
            let mut scratch = Vec::new();
            let path = normalise(path.as_bytes(), &mut scratch).unwrap();
            if let Some(found) = table.find("GET", path) {
                let mut out = Vec::new();
                prop_assert_eq!(routes[found.route].1.expand(&mut out, &found.captures), Ok(()));
                prop_assert_eq!(out, path.as_bytes());
            }
        }
    }
}

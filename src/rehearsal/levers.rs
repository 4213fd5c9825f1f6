//! The stand-in's own paths, below `/stand-in/`: what a running one is told, and what it is asked about its record.
//!
//! ```text
//! GET    /stand-in/faults      the faults and their shares
//! PUT    /stand-in/faults      500:0.05 slow:300ms:0.1     these from now on, and no others
//! DELETE /stand-in/faults      none from now on
//! GET    /stand-in/requests    how many requests by method, route and person (a hash), JSON
//! ```
//!
//! They are neither counted nor befallen by faults. A side may have more of its own.

use http::Method;

use super::faults::{FaultError, Rule};
use super::message::{Ask, Reply};
use super::serve::World;

const BELOW: &str = "/stand-in";

pub(super) fn is_one(path: &str) -> bool {
    path.strip_prefix(BELOW).is_some_and(|rest| rest.starts_with('/'))
}

pub(super) fn pull(world: &World, ask: &Ask<'_>) -> Reply {
    let path = ask.path.strip_prefix(BELOW).unwrap_or_default();
    match (path, ask.method) {
        ("/faults", &Method::GET) => Reply::text(200, written(&world.rules())),
        ("/faults", &Method::PUT | &Method::POST) => match rules(ask.body) {
            Ok(rules) => {
                let text = written(&rules);
                *world.rules() = rules;
                Reply::text(200, text)
            }
            Err(error) => Reply::fault_unreadable(&error),
        },
        ("/faults", &Method::DELETE) => {
            world.rules().clear();
            Reply::empty(204)
        }
        ("/requests", &Method::GET) => Reply::json(200, &world.record().counted()),
        ("/faults" | "/requests", _) => Reply::unhandled(405, ask.path),
        _ => world
            .side
            .lever(ask, path)
            .unwrap_or_else(|| Reply::unhandled(404, ask.path)),
    }
}

/// Rules with spaces, line ends or commas between.
fn rules(body: &[u8]) -> Result<Vec<Rule>, FaultError> {
    let text = String::from_utf8_lossy(body);
    text.split([' ', '\t', '\r', '\n', ','])
        .filter(|rule| !rule.is_empty())
        .map(str::parse)
        .collect()
}

fn written(rules: &[Rule]) -> String {
    rules.iter().map(|rule| format!("{rule}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        let read = rules(b"500:0.05, slow:300ms:0.1\nhang:1\n").unwrap();
        assert_eq!(written(&read), "500:0.05\nslow:300ms:0.1\nhang:1\n");
        assert_eq!(rules(written(&read).as_bytes()), Ok(read));
        assert_eq!(rules(b" \n"), Ok(Vec::new()));
        assert!(rules(b"rain:1").is_err());
    }

    #[test]
    fn only_paths_below_the_stand_in_s_own_are_levers() {
        assert!(is_one("/stand-in/faults") && is_one("/stand-in/"));
        assert!(!is_one("/stand-in") && !is_one("/stand-info/a") && !is_one("/case-records/stand-in/a"));
    }
}

//! What is asked for, and what Delius says to it: learnt from the stand-in itself before anything stands between.
//!
//! Reads of several people, one who is unknown, and key dates written and removed: requests whose reply does not depend
//! on the ones before, so that each reply can be compared byte for byte.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::client::{Answer, Ask, Kept};
use super::super::record::MARK;

const PEOPLE: [&str; 4] = ["Z9001XA", "Z9002XB", "Z9003XC", "Z9005XE"];
const READS: [&str; 4] = ["all", "registrations", "risk/resourcing/latest", "allOffenderManagers"];
const KEY_DATES: &str = "Z9001XA/custody/keyDates/POM1";
const DATE: &str = "{\"date\": \"2026-06-01\"}";
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests with the replies that are expected.
#[derive(Clone, Debug)]
pub struct Mix(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    method: &'static str,
    path: String,
    body: Option<&'static str>,
    expected: Answer,
}

/// Why the replies could not be learnt.
#[derive(Debug, thiserror::Error)]
#[error("the stand-in does not answer {method} {path}: {error}")]
pub struct MixError {
    method: &'static str,
    path: String,
    error: io::Error,
}

impl Mix {
    /// Asks the stand-in everything once, directly.
    pub fn learn(delius: SocketAddr) -> Result<Self, MixError> {
        let person = |rest: &str| format!("/secure/offenders/nomsNumber/{rest}");
        let mut wanted: Vec<(&'static str, String, Option<&'static str>)> = Vec::new();
        for who in PEOPLE {
            wanted.extend(READS.map(|what| ("GET", person(&format!("{who}/{what}")), None)));
            wanted.push(("PUT", person(KEY_DATES), Some(DATE)));
            wanted.push(("DELETE", person(KEY_DATES), None));
        }
        wanted.push(("GET", person("Z9009XJ/all"), None));
        let learnt = wanted.into_iter().map(|(method, path, body)| {
            let ask = Ask {
                method,
                body,
                ..Ask::get(&path)
            };
            match ask.send(delius, PATIENCE) {
                Ok(expected) => Ok(Entry {
                    method,
                    path,
                    body,
                    expected,
                }),
                Err(error) => Err(MixError { method, path, error }),
            }
        });
        learnt.collect::<Result<_, _>>().map(Self)
    }

    /// With what is asked in the shape of the standard route. `ask` asks its read API, without anything between.
    pub fn and_standard(mut self, ask: impl Fn(&str) -> io::Result<Answer>) -> Result<Self, MixError> {
        for who in PEOPLE {
            let path = format!("/case-records/{who}");
            let expected = ask(&path).map_err(|error| MixError {
                method: "GET",
                path: path.clone(),
                error,
            })?;
            self.0.push(Entry {
                method: "GET",
                path,
                body: None,
                expected,
            });
        }
        Ok(self)
    }

    fn entry(&self, number: u64) -> &Entry {
        let index = usize::try_from(number).unwrap_or_default();
        &self.0[index % self.0.len()] // never empty, see `learn`
    }

    /// Sends the request of this number and compares the reply; an error says what was wrong with it.
    pub(super) fn ask(&self, number: u64, mark: u64, connection: &mut Kept) -> Result<(), String> {
        let entry = self.entry(number);
        let target = format!("{}?{MARK}{mark}", entry.path);
        let ask = Ask {
            method: entry.method,
            body: entry.body,
            ..Ask::get(&target)
        };
        let answer = connection.send(&ask).map_err(|error| error.to_string())?;
        entry.compare(&answer)
    }

    /// What was wrong, with the request that it was about. People who do not exist may be named.
    pub(super) fn tell(&self, number: u64, what: &str) -> String {
        let Entry { method, path, .. } = self.entry(number);
        format!("{method} {path}: {what}")
    }
}

impl Entry {
    fn compare(&self, answer: &Answer) -> Result<(), String> {
        let Answer { status, body, .. } = &self.expected;
        if answer.status != *status {
            let code = answer.header("x-delius-sidecar-error").unwrap_or("from the other side");
            Err(format!("expected {status}, found {} ({code})", answer.status))
        } else if answer.body.len() != body.len() {
            Err(format!("expected {} bytes, found {}", body.len(), answer.body.len()))
        } else if answer.body != *body {
            Err("another content than the other side gives".to_owned())
        } else if answer.header("content-type") != self.expected.header("content-type") {
            Err("another content type than the other side gives".to_owned())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.into(),
        }
    }

    #[test]
    fn a_reply_that_differs_in_anything_is_noticed() {
        let entry = Entry {
            method: "GET",
            path: "/".to_owned(),
            body: None,
            expected: answer(200, "abc"),
        };
        assert_eq!(entry.compare(&answer(200, "abc")), Ok(()));
        for (other, what) in [
            (answer(502, "abc"), "expected 200, found 502"),
            (answer(200, "ab"), "expected 3 bytes, found 2"),
            (answer(200, "abd"), "another content"),
        ] {
            assert!(entry.compare(&other).unwrap_err().contains(what), "{what}");
        }
        let mut text = answer(200, "abc");
        text.headers.clear();
        assert!(entry.compare(&text).is_err());
    }
}

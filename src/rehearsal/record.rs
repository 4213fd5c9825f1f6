//! What a stand-in saw: enough to check a claim about the path at the far end of it.
//!
//! Values of headers are not kept, with one exception: the client certificate that the gateway says it saw. The
//! record is bounded; older requests are counted only, so that a long load run stays small. Requests that carry a mark
//! in their query are counted by mark and certificate, or OAuth client: the proof, at the far end, of what was in use when.
//! All requests are counted by method, route and person, so that one that came twice shows.

use std::collections::{BTreeMap, VecDeque};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request};
use serde::Serialize;

use crate::cert::facts::hex;

const REMEMBERED: usize = 10_000;
/// Marks and certificates that are told apart; more than any rehearsal has.
const TOLD_APART: usize = 10_000;
/// How a request carries its mark.
pub(super) const MARK: &str = "drill=";

/// Mark, and who asked → requests. Who asked is the SHA-256 of the client certificate as the gateway says it, else the OAuth
/// client whose token it is; empty where neither was said.
pub type Tally = BTreeMap<(u64, String), u64>;

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header names in lower case, in the order of arrival.
    pub headers: Vec<String>,
    pub authorization: bool,
    /// `x-forwarded-client-cert`, as the gateway set it.
    pub client_certificate: Option<String>,
}

/// The latest requests and the number of all.
#[derive(Debug, Default)]
pub(super) struct Record {
    count: u64,
    latest: VecDeque<Seen>,
    tally: Tally,
    requests: BTreeMap<Which, u64>,
}

/// Requests that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Which {
    method: String,
    /// The path with `{person}` where a person's number stood.
    route: String,
    /// SHA-256 of that number in capitals; the last one's, should there be several.
    person: Option<String>,
}

/// A row of the count.
#[derive(Debug, Serialize)]
pub(super) struct Counted {
    #[serde(flatten)]
    which: Which,
    requests: u64,
}

impl Which {
    fn of(method: &str, path: &str) -> Self {
        let mut person = None;
        let segments = path.split('/').map(|segment| {
            if !is_person(segment) {
                return segment;
            }
            person = Some(hex(digest(&SHA256, segment.to_ascii_uppercase().as_bytes()).as_ref()));
            "{person}"
        });
        let route = segments.collect::<Vec<_>>().join("/");
        Self {
            method: method.to_owned(),
            route,
            person,
        }
    }
}

/// The form of a NOMS number or a CRN, in any letter case.
fn is_person(segment: &str) -> bool {
    let form = segment.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' => b'A',
        b'0'..=b'9' => b'9',
        _ => b'-',
    });
    let form: Vec<_> = form.collect();
    form == b"A9999AA" || form == b"A999999"
}

impl Record {
    pub(super) fn remember<B>(&mut self, request: &Request<B>) {
        let headers = request.headers();
        let certificate = headers.get("x-forwarded-client-cert").map(|value| value.as_bytes());
        if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.count += 1;
        if let Some(mark) = request
            .uri()
            .query()
            .and_then(|query| query.strip_prefix(MARK)?.parse().ok())
        {
            let said = certificate.map(String::from_utf8_lossy).unwrap_or_default();
            let who = match hash(&said) {
                "" => client(headers).unwrap_or_default(),
                hash => hash.to_owned(),
            };
            let key = (mark, who);
            if self.tally.len() < TOLD_APART || self.tally.contains_key(&key) {
                *self.tally.entry(key).or_default() += 1;
            }
        }
        let which = Which::of(request.method().as_str(), request.uri().path());
        if self.requests.len() < TOLD_APART || self.requests.contains_key(&which) {
            *self.requests.entry(which).or_default() += 1;
        }
        self.latest.push_back(Seen {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            headers: headers.keys().map(ToString::to_string).collect(),
            authorization: headers.contains_key(AUTHORIZATION),
            client_certificate: certificate.map(|value| String::from_utf8_lossy(value).into_owned()),
        });
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// How many there were of this method for this path.
    pub(super) fn requests(&self, method: &str, path: &str) -> u64 {
        self.requests.get(&Which::of(method, path)).copied().unwrap_or_default()
    }

    pub(super) fn counted(&self) -> Vec<Counted> {
        let counted = self.requests.iter().map(|(which, requests)| Counted {
            which: which.clone(),
            requests: *requests,
        });
        counted.collect()
    }

    pub(super) fn latest(&self) -> Vec<Seen> {
        self.latest.iter().cloned().collect()
    }
}

/// The first element of `x-forwarded-client-cert`.
fn hash(said: &str) -> &str {
    let first = said.split(';').next().unwrap_or_default();
    first.strip_prefix("Hash=").unwrap_or_default()
}

/// Who the token of a request was given to, by its own word: whether it is good is for others to say.
fn client(headers: &HeaderMap) -> Option<String> {
    let token = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims["client_id"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_requests_are_counted_by_mark_and_certificate() {
        let mut record = Record::default();
        for (target, certificate) in [
            ("/a?drill=1", "Hash=aa;Subject=\"x\""),
            ("/b?drill=1", "Hash=aa"),
            ("/a?drill=1", "Hash=bb"),
            ("/a?drill=2", "Hash=aa"),
            ("/a?drill=x", "Hash=aa"),
            ("/a", "Hash=aa"),
            ("/a?drill=2", "Subject=aa"),
        ] {
            let request = Request::get(target).header("x-forwarded-client-cert", certificate);
            record.remember(&request.body(()).unwrap());
        }
        let expected = [((1, "aa"), 2), ((1, "bb"), 1), ((2, ""), 1), ((2, "aa"), 1)];
        let expected = expected.map(|((mark, hash), count)| ((mark, hash.to_owned()), count));
        assert_eq!(record.tally(), BTreeMap::from(expected));
    }

    #[test]
    fn without_a_certificate_the_client_of_the_token_is_who_asked() {
        let mut record = Record::default();
        let token = format!("x.{}.y", URL_SAFE_NO_PAD.encode(r#"{"client_id": "c-1"}"#));
        for said in [&*format!("Bearer {token}"), "Bearer x.y.z", "Basic YTpi"] {
            let request = Request::get("/a?drill=1").header(AUTHORIZATION, said);
            record.remember(&request.body(()).unwrap());
        }
        let expected = [((1, String::new()), 2), ((1, "c-1".to_owned()), 1)];
        assert_eq!(record.tally(), BTreeMap::from(expected));
    }

    #[test]
    fn requests_are_counted_by_method_route_and_person() {
        let mut record = Record::default();
        for target in [
            "/a/Z9001XA?b=c",
            "/a/z9001xa",
            "/a/Z900001",
            "/a/Z9001X",
            "/a/Z900001/b",
        ] {
            record.remember(&Request::get(target).body(()).unwrap());
        }
        record.remember(&Request::put("/a/Z9001XA").body(()).unwrap());
        assert_eq!(record.requests("GET", "/a/Z9001xa"), 2);
        assert_eq!(record.requests("PUT", "/a/Z9001XA"), 1);
        assert_eq!(record.requests("GET", "/a/Z900001/b"), 1);
        assert_eq!(record.requests("GET", "/a/Z9002XB"), 0);
        let said = serde_json::to_string(&record.counted()).unwrap();
        assert!(
            said.contains(r#""route":"/a/{person}""#) && said.contains("/a/Z9001X\""),
            "{said}"
        );
        assert!(
            !said.to_uppercase().contains("Z9001XA") && !said.contains("Z900001"),
            "{said}"
        );
    }

    #[test]
    fn the_record_stays_bounded_and_the_count_does_not() {
        let mut record = Record::default();
        for number in 0..=REMEMBERED {
            record.remember(&Request::get(format!("/{number}")).body(()).unwrap());
        }
        let latest = record.latest();
        assert_eq!((latest.len(), record.count()), (REMEMBERED, REMEMBERED as u64 + 1));
        assert_eq!(latest[0].target, "/1");
    }
}

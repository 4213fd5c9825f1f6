//! What a stand-in saw: enough to check a claim about the path at the far end of it.
//!
//! Values of headers are not kept, with one exception: the client certificate that the gateway says it saw. The
//! record is bounded; older requests are counted only, so that a long load run stays small.

use std::collections::VecDeque;

use http::Request;
use http::header::AUTHORIZATION;

const REMEMBERED: usize = 10_000;

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
}

impl Record {
    pub(super) fn remember<B>(&mut self, request: &Request<B>) {
        let headers = request.headers();
        let certificate = headers.get("x-forwarded-client-cert").map(|value| value.as_bytes());
        if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.count += 1;
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

    pub(super) fn latest(&self) -> Vec<Seen> {
        self.latest.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

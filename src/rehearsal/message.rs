//! One request and one answer of a stand-in, as its logic sees them: no sockets, and "now" comes with the request.
//!
//! The framework's own bodies (what nothing handled, what the load balancer says) are here, since every side of the
//! real path is built on the same framework behind the same kind of ingress.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use serde::Serialize;

use super::faults::{FaultError, HEADER};

/// One request, as far as an answer can depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Seconds since the Unix epoch.
    pub(super) now: i64,
}

impl Ask<'_> {
    pub(super) fn authorization(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()
    }

    /// A method that only reads.
    pub(super) fn reads(&self) -> bool {
        *self.method == Method::GET || *self.method == Method::HEAD
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) content_type: Option<&'static str>,
    /// Beside `Content-Type`.
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Bytes,
}

/// The framework's body for what nothing handled. The time is that of the recorded reply: replies stay repeatable.
#[derive(Serialize)]
struct Unhandled<'a> {
    timestamp: &'static str,
    status: u16,
    error: &'static str,
    path: &'a str,
}

impl Reply {
    pub(super) const fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A recorded body, byte for byte.
    pub(super) const fn file(body: Bytes) -> Self {
        Self::recorded(200, body)
    }

    pub(super) const fn recorded(status: u16, body: Bytes) -> Self {
        Self {
            status,
            content_type: Some("application/json"),
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn json(status: u16, value: &impl Serialize) -> Self {
        let text = serde_json::to_string_pretty(value).unwrap_or_default() + "\n"; // plain values: cannot fail
        Self::recorded(status, text.into())
    }

    pub(super) fn text(status: u16, text: impl Into<Bytes>) -> Self {
        Self {
            content_type: Some("text/plain;charset=UTF-8"),
            body: text.into(),
            ..Self::empty(status)
        }
    }

    fn html(status: u16, body: &'static [u8]) -> Self {
        Self {
            content_type: Some("text/html"),
            body: Bytes::from_static(body),
            ..Self::empty(status)
        }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn unhandled(status: u16, path: &str) -> Self {
        let reason = http::StatusCode::from_u16(status).ok();
        let error = reason.and_then(|status| status.canonical_reason()).unwrap_or("Error");
        let body = Unhandled {
            timestamp: "2026-01-12T10:15:30.123+00:00",
            status,
            error,
            path,
        };
        Self::json(status, &body)
    }

    /// The stand-in's own 400: a fault cannot be read.
    pub(super) fn fault_unreadable(error: &FaultError) -> Self {
        Self::text(400, format!("{HEADER}: {error}\n"))
    }

    /// What the load balancer in front of Delius says.
    pub(super) fn bad_gateway() -> Self {
        Self::html(502, include_bytes!("people/legacy/errors/502-bad-gateway.html"))
    }

    /// What the ingress says while nothing is ready behind it.
    pub(super) fn unavailable() -> Self {
        Self::html(503, include_bytes!("people/standard/errors/503.html"))
    }

    /// 200 and a page: a proxy on the way that answers for everybody.
    pub(super) fn page() -> Self {
        Self::html(200, b"<html><body><h1>Sign in</h1></body></html>\n")
    }

    /// 200 and JSON that is nothing which this API ever says.
    pub(super) fn wrong_json() -> Self {
        Self::recorded(200, Bytes::from_static(b"[\"unexpected\"]\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_framework_s_bodies_are_the_recorded_ones() {
        let recorded = include_bytes!("people/standard/errors/500.json");
        assert_eq!(Reply::unhandled(500, "/case-records/Z9001XA").body, &recorded[..]);
        let auth = include_bytes!("people/auth/errors/503.html");
        assert_eq!(
            Reply::unavailable().body,
            &auth[..],
            "the same ingress stands before both"
        );
    }
}

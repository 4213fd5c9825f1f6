//! Which paths there are, and replies as they are sent: never stored, never guessed at by a browser.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

pub(super) type Reply = Response<Full<Bytes>>;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Live,
    Ready,
    Started,
    Health,
    Info,
    Report(Report),
}

/// What takes a moment to put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Metrics,
    Certificates,
    People,
}

/// The paths, with the aliases that charts and people expect.
pub(super) fn find(path: &str) -> Option<Page> {
    Some(match path {
        "/livez" | "/healthz" | "/live" | "/liveness" | "/health/liveness" | "/health/ping" | "/ping" => Page::Live,
        "/readyz" | "/ready" | "/readiness" | "/health/readiness" => Page::Ready,
        "/startupz" | "/startup" => Page::Started,
        "/health" => Page::Health,
        "/info" => Page::Info,
        "/metrics" => Page::Report(Report::Metrics),
        "/certs" => Page::Report(Report::Certificates),
        "/" => Page::Report(Report::People),
        _ => return None,
    })
}

pub(super) fn json(status: StatusCode, value: &Value) -> Reply {
    content(status, "application/json", value.to_string())
}

pub(super) fn text(status: StatusCode, sentence: &'static str) -> Reply {
    content(status, "text/plain; charset=utf-8", sentence)
}

pub(super) fn content(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let reply = with(reply, CONTENT_TYPE, HeaderValue::from_static(kind));
    let reply = with(reply, CACHE_CONTROL, HeaderValue::from_static("no-store"));
    with(reply, X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
}

pub(super) fn with(mut reply: Reply, name: HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}

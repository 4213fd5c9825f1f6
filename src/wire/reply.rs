//! What the sidecar itself answers: the only table of status codes.
//!
//! The application retries 500, 502 and connection failures, fetches a new token on 401 and shows a 404 as "no such
//! person". So the sidecar never says 401 or 404, says 502 only where an immediate retry can help, and 503 or 504
//! otherwise. The body is `application/problem+json` (RFC 9457) with the stable code; the sentence for the operator
//! stays in the log.

use super::head::Version;
use super::headers::{decimal, write_connection};
use crate::fault::{Code, Fault, Part};

/// The status that the caller sees.
#[must_use]
pub fn status(fault: &Fault) -> u16 {
    match fault.code {
        Code::RequestMalformed => 400,
        Code::RequestTooLarge => match fault.part {
            Some(Part::RequestLine) => 414,
            Some(Part::Headers) => 431,
            Some(Part::Body) | None => 413,
        },
        Code::RequestTimeout => 408,
        Code::RouteUnknown => 421,
        Code::Overloaded
        | Code::CircuitOpen
        | Code::UpstreamUnreachable
        | Code::UpstreamTls
        | Code::IdentityRejected
        | Code::IdentityExpired
        | Code::IdentityMissing
        | Code::TokenUnavailable
        | Code::TokenRefused => 503,
        Code::UpstreamTimeout => 504,
        Code::UpstreamReset | Code::UpstreamInvalid | Code::MappingFailed => 502,
    }
}

/// What a person reads in the reply. Nothing about TLS, addresses or files.
fn title(fault: &Fault) -> &'static str {
    match fault.code {
        Code::RequestMalformed => "the request could be read in more than one way",
        Code::RequestTooLarge => "the request is beyond a limit",
        Code::RequestTimeout => "the request did not arrive in time",
        Code::RouteUnknown => "no route is configured for this method and path",
        Code::Overloaded => "too many requests are under way",
        Code::CircuitOpen => "the upstream is failing and is left alone for a moment",
        Code::UpstreamUnreachable => "the upstream cannot be reached",
        Code::UpstreamTls => "the upstream's TLS is not acceptable",
        Code::IdentityRejected => "the upstream does not accept the sidecar's identity",
        Code::IdentityExpired => "the sidecar's identity has expired",
        Code::IdentityMissing => "the sidecar has no identity to show",
        Code::TokenUnavailable => "the sidecar has no valid token to send",
        Code::TokenRefused => "the upstream does not accept the sidecar's token",
        Code::UpstreamTimeout => "the upstream did not answer in time",
        Code::UpstreamReset => "the upstream's connection ended before its reply did",
        Code::UpstreamInvalid => "the upstream's reply is not valid HTTP",
        Code::MappingFailed => "the upstream's reply could not be turned into the shape that is read here",
    }
}

/// The reason phrase of a status the sidecar uses.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

/// How the connection goes on after a reply of our own.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub version: Version,
    pub keep_alive: bool,
    /// The request was HEAD: the head as for GET, without the body.
    pub to_head: bool,
}

/// Writes the whole reply to a request that failed.
pub fn write_fault(out: &mut Vec<u8>, fault: &Fault, request_id: &[u8], manner: Manner) {
    let status = status(fault);
    let mut body = Vec::with_capacity(200);
    body.extend_from_slice(br#"{"type":"about:blank","title":""#);
    body.extend_from_slice(title(fault).as_bytes());
    body.extend_from_slice(br#"","status":"#);
    decimal(&mut body, u64::from(status));
    body.extend_from_slice(br#","code":""#);
    body.extend_from_slice(fault.code.as_str().as_bytes());
    if !request_id.is_empty() {
        // `is_request_id` admits no character that JSON would have to escape.
        body.extend_from_slice(br#"","request_id":""#);
        body.extend_from_slice(request_id);
    }
    body.extend_from_slice(b"\"}");
    let mut extra = Vec::with_capacity(64);
    extra.extend_from_slice(b"x-delius-sidecar-error: ");
    extra.extend_from_slice(fault.code.as_str().as_bytes());
    extra.extend_from_slice(b"\r\n");
    if let Some(seconds) = fault.retry_after {
        extra.extend_from_slice(b"retry-after: ");
        decimal(&mut extra, u64::from(seconds));
        extra.extend_from_slice(b"\r\n");
    }
    write(out, status, "application/problem+json", &extra, &body, manner);
}

/// Writes the gateway's refusal: it tells an outsider nothing.
pub fn write_forbidden(out: &mut Vec<u8>, manner: Manner) {
    write(out, 403, "", b"", b"", manner);
}

/// Writes the answer to `GET /health/ping`.
pub fn write_health(out: &mut Vec<u8>, up: bool, manner: Manner) {
    let (status, body) = if up {
        (200, &br#"{"status":"UP"}"#[..])
    } else {
        (503, &br#"{"status":"DOWN"}"#[..])
    };
    write(out, status, "application/json", b"", body, manner);
}

fn write(out: &mut Vec<u8>, status: u16, content_type: &str, extra: &[u8], body: &[u8], manner: Manner) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    if !content_type.is_empty() {
        out.extend_from_slice(b"content-type: ");
        out.extend_from_slice(content_type.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(extra);
    out.extend_from_slice(b"cache-control: no-store\r\ncontent-length: ");
    decimal(out, body.len() as u64);
    out.extend_from_slice(b"\r\n");
    write_connection(out, manner.version, manner.keep_alive);
    out.extend_from_slice(b"\r\n");
    if !manner.to_head {
        out.extend_from_slice(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statuses_are_those_of_the_contract() {
        let table: Vec<(&str, u16)> = Code::ALL
            .iter()
            .map(|code| (code.as_str(), status(&Fault::new(*code, ""))))
            .collect();
        assert_eq!(
            table,
            [
                ("request_malformed", 400),
                ("request_too_large", 413),
                ("request_timeout", 408),
                ("route_unknown", 421),
                ("overloaded", 503),
                ("circuit_open", 503),
                ("upstream_unreachable", 503),
                ("upstream_tls", 503),
                ("identity_rejected", 503),
                ("identity_expired", 503),
                ("identity_missing", 503),
                ("token_unavailable", 503),
                ("token_refused", 503),
                ("upstream_timeout", 504),
                ("upstream_reset", 502),
                ("upstream_invalid", 502),
                ("mapping_failed", 502),
            ]
        );
        assert_eq!(status(&Fault::too_large(Part::RequestLine, "")), 414);
        assert_eq!(status(&Fault::too_large(Part::Headers, "")), 431);
    }

    #[test]
    fn a_fault_reply_is_problem_json_and_keeps_the_detail_to_itself() {
        let fault = Fault::new(Code::CircuitOpen, "ndh.internal:8443 said bad_certificate").retry_after(7);
        let mut out = Vec::new();
        write_fault(
            &mut out,
            &fault,
            b"id-1",
            Manner {
                version: Version::Http11,
                keep_alive: false,
                to_head: false,
            },
        );
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(
            head.contains("x-delius-sidecar-error: circuit_open\r\nretry-after: 7\r\n"),
            "{head}"
        );
        assert!(head.contains("Connection: close"), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&json["status"], &json["code"], &json["request_id"]),
            (&503.into(), &"circuit_open".into(), &"id-1".into())
        );
        assert!(!text.contains("ndh.internal"), "{text}");
    }

    #[test]
    fn a_reply_to_head_has_no_body() {
        let mut out = Vec::new();
        write_health(
            &mut out,
            true,
            Manner {
                version: Version::Http11,
                keep_alive: true,
                to_head: true,
            },
        );
        assert!(out.ends_with(b"\r\n\r\n"));
        assert!(String::from_utf8(out).unwrap().contains("content-length: 15\r\n"));
    }
}

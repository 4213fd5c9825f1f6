//! What happens to every request: heads, framing, bodies, header rules, paths, routes, the access line.
//!
//! The messages are those of the application and of the legacy API: a system token of a usual length, a client library's
//! header fields, a person in the path.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use delius_sidecar::config::settings::{Log, LogFormat};
use delius_sidecar::route::{Methods, Table, Template, parse_match, path};
use delius_sidecar::telemetry::access::AccessLog;
use delius_sidecar::telemetry::exchange::{Record, Scribe};
use delius_sidecar::telemetry::mask::mask;
use delius_sidecar::telemetry::metrics::Metrics;
use delius_sidecar::wire::body::{self, Decoder, Step};
use delius_sidecar::wire::end::EndFinder;
use delius_sidecar::wire::framing::{self, Length};
use delius_sidecar::wire::head::{Bounds, Fields, Version};
use delius_sidecar::wire::headers::{ReplyRules, RequestRules, write_reply, write_request};

use super::{Part, Row, row, shipped};

/// The defaults of `[listen.limits]`.
const BOUNDS: Bounds = Bounds {
    first_line: 8 * 1024,
    bytes: 32 * 1024,
    fields: 100,
};

const REQUEST_ID: &[u8] = b"7b4e4d0c-2f57-4b8e-9d4f-0b9a3c1d2e3f";
const TRACE_PARENT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// As the application asks: Faraday's fields, and always its own token.
fn request() -> Vec<u8> {
    let token = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.".repeat(24);
    format!(
        "GET /secure/offenders/nomsNumber/Z9005XE/all HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\
         User-Agent: Faraday v2.12.2\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\nConnection: keep-alive\r\n\
         X-Request-Id: 7b4e4d0c-2f57-4b8e-9d4f-0b9a3c1d2e3f\r\nHost: 127.0.0.1:8080\r\n\r\n"
    )
    .into_bytes()
}

/// As a Spring application behind a gateway answers.
fn reply() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 12:34:56 GMT\r\nContent-Type: application/json\r\n\
      Content-Length: 2547\r\nConnection: keep-alive\r\nVary: Origin\r\nVary: Access-Control-Request-Method\r\n\
      X-Content-Type-Options: nosniff\r\nX-XSS-Protection: 0\r\nCache-Control: no-cache, no-store, max-age=0, must-revalidate\r\n\
      Pragma: no-cache\r\nExpires: 0\r\nX-Frame-Options: DENY\r\nStrict-Transport-Security: max-age=31536000\r\n\r\n"
        .to_vec()
}

pub(super) fn parts() -> Vec<Part> {
    let mut parts = vec![end_of_head(), request_head(), reply_head()];
    parts.extend([request_framing(), reply_framing(), known_body(), chunked_body()]);
    parts.extend([request_rules(), reply_rules(), plain_path(), encoded_path(), lookup()]);
    parts.extend([access_line(), masked()]);
    parts
}

fn end_of_head() -> Part {
    let raw = request();
    Part::new(row("head/end", 0.12, 0), move || {
        let found = EndFinder::default().find(black_box(&raw), &BOUNDS);
        assert_eq!(found, Ok(Some(raw.len())));
    })
}

fn request_head() -> Part {
    let (raw, mut fields) = (request(), Fields::default());
    Part::new(row("head/request", 0.53, 0), move || {
        black_box(fields.parse_request(black_box(&raw), &BOUNDS)).expect("the request is well-formed");
    })
}

fn reply_head() -> Part {
    let (raw, mut fields) = (reply(), Fields::default());
    Part::new(row("head/reply", 0.69, 0), move || {
        black_box(fields.parse_reply(black_box(&raw), &BOUNDS)).expect("the reply is well-formed");
    })
}

fn request_framing() -> Part {
    let (raw, mut fields) = (request(), Fields::default());
    let line = fields.parse_request(&raw, &BOUNDS).expect("the request is well-formed");
    Part::new(row("framing/request", 0.078, 0), move || {
        let judged = framing::request(black_box(&line), &fields, &raw).expect("the framing is plain");
        assert_eq!(judged.length, Length::Empty);
    })
}

fn reply_framing() -> Part {
    let (raw, mut fields) = (reply(), Fields::default());
    let line = fields.parse_reply(&raw, &BOUNDS).expect("the reply is well-formed");
    Part::new(row("framing/reply", 0.066, 0), move || {
        let judged = framing::reply(black_box(&line), &fields, &raw, false).expect("the framing is plain");
        assert_eq!(judged.length, Length::Known(2547));
    })
}

/// 64 KiB as they leave a TLS connection: four records.
fn known_body() -> Part {
    let record = vec![b'x'; 16 * 1024];
    Part::new(row("body/known 64 KiB", 0.028, 0), move || {
        let mut decoder = Decoder::new(black_box(Length::Known(64 * 1024)));
        while let Ok(Step::Data { data, .. }) = decoder.step(black_box(&record)) {
            decoder.taken(data);
        }
        assert!(decoder.is_done());
    })
}

/// 64 KiB in chunks of 8 KiB, as Tomcat writes them.
fn chunked_body() -> Part {
    let mut framed = Vec::new();
    for _ in 0..8 {
        body::chunk_head(&mut framed, 8 * 1024);
        framed.extend_from_slice(&[b'x'; 8 * 1024]);
        framed.extend_from_slice(body::CHUNK_TAIL);
    }
    framed.extend_from_slice(body::LAST_CHUNK);
    Part::new(row("body/chunked 64 KiB", 0.23, 0), move || {
        let (mut decoder, mut rest) = (Decoder::new(Length::Chunked), black_box(framed.as_slice()));
        while let Ok(Step::Data { skip, data }) = decoder.step(rest) {
            decoder.taken(data);
            rest = &rest[skip + data..];
        }
        assert!(decoder.is_done());
    })
}

fn request_rules() -> Part {
    let (raw, mut fields, mut out) = (request(), Fields::default(), Vec::new());
    fields.parse_request(&raw, &BOUNDS).expect("the request is well-formed");
    Part::new(row("headers/request", 0.14, 0), move || {
        let rules = RequestRules {
            host: b"ndh.example:8443",
            pass_authorization: false,
            length: Length::Empty,
            set: b"",
            without: &[],
            trace_parent: TRACE_PARENT,
            request_id: REQUEST_ID,
        };
        out.clear();
        write_request(&mut out, black_box(&raw), &fields, &rules);
        assert!(out.starts_with(b"Host: ndh") && out.ends_with(b"\r\n\r\n"));
    })
}

fn reply_rules() -> Part {
    let (raw, mut fields, mut out) = (reply(), Fields::default(), Vec::new());
    let line = fields.parse_reply(&raw, &BOUNDS).expect("the reply is well-formed");
    Part::new(row("headers/reply", 0.16, 0), move || {
        let rules = ReplyRules {
            length: Length::Known(2547),
            version: Version::Http11,
            keep_alive: true,
        };
        out.clear();
        write_reply(&mut out, black_box(&raw), &line, &fields, &rules);
        assert!(out.starts_with(b"HTTP/1.1 200 OK") && out.ends_with(b"\r\n\r\n"));
    })
}

fn plain_path() -> Part {
    normalised(
        row("path/plain", 0.088, 0),
        "/secure/offenders/nomsNumber/Z9005XE/risk/resourcing/latest",
        "/secure/offenders/nomsNumber/Z9005XE/risk/resourcing/latest",
    )
}

/// The rare one: what is written otherwise than it must be is copied.
fn encoded_path() -> Part {
    normalised(
        row("path/encoded", 0.17, 0),
        "/secure/offenders/nomsNumber/%5a9005%58E/risk/resourcing%2dlatest",
        "/secure/offenders/nomsNumber/Z9005XE/risk/resourcing-latest",
    )
}

fn normalised(row: Row, written: &'static str, normal: &'static str) -> Part {
    let mut scratch = Vec::new();
    Part::new(row, move || {
        assert_eq!(path::normalise(black_box(written.as_bytes()), &mut scratch), Ok(normal));
    })
}

/// Thirty routes: those of `config/base.toml`, below four roots. One lookup each run, of each read in turn.
fn lookup() -> Part {
    let settings = shipped();
    let mut routes: Vec<(Methods, Template)> = Vec::new();
    for root in ["/secure", "/api", "/v2", "/staging"] {
        for route in &settings.routes {
            let template = route.template.as_str().replacen("/secure", root, 1);
            let (_, template) = parse_match(&format!("GET {template}")).expect("the template is one");
            routes.push((route.methods.clone(), template));
        }
    }
    routes.truncate(30);
    assert_eq!(routes.len(), 30);
    let table = Table::build(&routes).expect("no two routes are in each other's way");
    let asked = [
        "/secure/offenders/nomsNumber/Z9005XE/all",
        "/api/offenders/nomsNumber/Z9005XE/registrations",
        "/v2/offenders/nomsNumber/Z9005XE/risk/resourcing/latest",
        "/v2/offenders/nomsNumber/Z9005XE/allOffenderManagers",
        "/staging/offenders/nomsNumber/Z9005XE/all",
    ];
    let mut turn = 0;
    Part::new(row("route/30 routes", 0.15, 0), move || {
        turn = (turn + 1) % asked.len();
        let found = table
            .find(black_box("GET"), black_box(asked[turn]))
            .expect("the route is there");
        assert_eq!(found.captures.get("nomsNumber"), Some("Z9005XE"));
    })
}

/// What a request leaves behind: its counters, and its line in the worker's buffer. The writer's thread is not in it.
fn access_line() -> Part {
    let log = Log {
        format: LogFormat::Json,
        level: "info".to_owned(),
        access: true,
    };
    let writer = AccessLog::start(&log, io::sink()).expect("a thread can be started");
    let metrics = Arc::new(Metrics::new(1));
    let meter = metrics.route("offender", "/secure/offenders/nomsNumber/{nomsNumber}/all", "ndh");
    let mut scribe = Scribe::new(0, writer.buffer(), metrics);
    Part::new(row("access line", 1.0, 0), move || {
        scribe.close(Record {
            meter: Some(&meter),
            method: black_box("GET"),
            unit: Some("person"),
            mode: Some("ndh"),
            fallback: None,
            status: 200,
            code: None,
            detail: None,
            upstream: Some("ndh"),
            generation: 3,
            attempts: 1,
            reused: true,
            request_bytes: 0,
            reply_bytes: 2547,
            duration: Duration::from_micros(12_345),
            first_byte: Some(Duration::from_micros(12_100)),
            request_id: REQUEST_ID,
            trace_id: &TRACE_PARENT[3..35],
            aborted: false,
        });
        // Holds the thread that writes for as long as lines come.
        black_box(&writer);
    })
}

/// An event of a usual length with two persons in it.
fn masked() -> Part {
    let line = b"{\"timestamp\":\"2026-11-21T12:34:56.007Z\",\"level\":\"warn\",\"message\":\"a reply could not be understood\",\
        \"path\":\"/secure/offenders/nomsNumber/Z9005XE/all\",\"why\":\"another person, X900005, in 2547 bytes\"}";
    let mut text = Vec::new();
    Part::new(row("mask", 0.22, 0), move || {
        text.clear();
        text.extend_from_slice(black_box(line));
        mask(&mut text);
        assert!(!text.is_empty());
    })
}

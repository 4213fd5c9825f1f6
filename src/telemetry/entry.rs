//! The line of one request, as JSON or text. Pure.
//!
//! It names the route's template and never the path; of what a caller chose, only the method, the request id and the
//! trace id stand in it, escaped and masked like everything else. Field names are those of OpenTelemetry where it has
//! one.

use std::io::Write as _;
use std::time::Duration;

use super::exchange::Record;
use super::line::{Stamp, escape, escape_or_quote};
use super::mask::mask;
use crate::config::settings::LogFormat;
use crate::wire::headers::decimal;

/// Appends the line, with its end. Allocates nothing beyond what `out` needs to grow.
pub(super) fn write(format: LogFormat, record: &Record<'_>, now: Duration, stamp: &mut Stamp, out: &mut Vec<u8>) {
    match format {
        LogFormat::Json => json(record, now, stamp, out),
        LogFormat::Text => text(record, now, stamp, out),
    }
    out.push(b'\n');
}

/// Appends text by way of `escape`, and masks it: no text is exempt. What stands around it is ours, and no letter or
/// digit, so that an identifier at its edge stands alone there as well.
fn masked(text: &[u8], escape: fn(&[u8], &mut Vec<u8>), line: &mut Vec<u8>) {
    let start = line.len();
    escape(text, line);
    mask(&mut line[start..]);
}

fn level(record: &Record<'_>) -> &'static str {
    if record.code.is_some() || record.status >= 500 {
        "warn"
    } else {
        "info"
    }
}

fn json(record: &Record<'_>, now: Duration, stamp: &mut Stamp, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    stamp.write(now, line);
    line.extend_from_slice(b"\",\"level\":\"");
    line.extend_from_slice(level(record).as_bytes());
    line.extend_from_slice(b"\",\"message\":\"request\"");
    fields(record, |name, value| {
        line.extend_from_slice(b",\"");
        line.extend_from_slice(name.as_bytes());
        line.extend_from_slice(b"\":");
        match value {
            Value::Text(text) => {
                line.push(b'"');
                masked(text, escape, line);
                line.push(b'"');
            }
            plain => plain.write(line),
        }
    });
    line.push(b'}');
}

/// What a person looks for first stands first and without a name.
fn text(record: &Record<'_>, now: Duration, stamp: &mut Stamp, line: &mut Vec<u8>) {
    stamp.write(now, line);
    let _ = write!(line, " {} request ", level(record));
    masked(record.method.as_bytes(), escape_or_quote, line);
    line.push(b' ');
    masked(template(record), escape_or_quote, line);
    let _ = write!(line, " {} ", record.status);
    Value::Millis(record.duration).write(line);
    line.extend_from_slice(b"ms");
    fields(record, |name, value| {
        if matches!(
            name,
            "http.request.method" | "http.route" | "http.response.status_code" | "duration_ms"
        ) {
            return;
        }
        let _ = write!(line, " {name}=");
        match value {
            Value::Text(text) => masked(text, escape_or_quote, line),
            plain => plain.write(line),
        }
    });
}

fn template<'a>(record: &Record<'a>) -> &'a [u8] {
    record.meter.map_or(b"_", |meter| meter.template().as_bytes())
}

enum Value<'a> {
    Text(&'a [u8]),
    Number(u64),
    Flag(bool),
    /// Milliseconds with three decimals.
    Millis(Duration),
}

impl Value<'_> {
    /// Writes what needs no quotes.
    fn write(&self, line: &mut Vec<u8>) {
        match self {
            Self::Text(text) => line.extend_from_slice(text),
            Self::Number(number) => decimal(line, *number),
            Self::Flag(flag) => line.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Self::Millis(time) => {
                decimal(line, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                let micros = time.subsec_micros() % 1000;
                line.push(b'.');
                for digit in [micros / 100, micros / 10 % 10, micros % 10] {
                    line.push(b'0' + u8::try_from(digit).unwrap_or_default());
                }
            }
        }
    }
}

/// The fields in the order of the line; what there is nothing to say about is left out.
fn fields<'a>(record: &Record<'a>, mut put: impl FnMut(&str, Value<'a>)) {
    let mut some = |name: &str, text: Option<&'a [u8]>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            put(name, Value::Text(text));
        }
    };
    some("request_id", Some(record.request_id));
    some("trace_id", Some(record.trace_id));
    some("http.request.method", Some(record.method.as_bytes()));
    some("http.route", Some(template(record)));
    some("route", record.meter.map(|meter| meter.name().as_bytes()));
    some("leg", record.meter.map(|meter| meter.leg().as_bytes()));
    some("unit", record.unit.map(str::as_bytes));
    some("mode", record.mode.map(str::as_bytes));
    some("fallback", record.fallback.map(str::as_bytes));
    some("upstream", record.upstream.map(str::as_bytes));
    put("http.response.status_code", Value::Number(record.status.into()));
    put("duration_ms", Value::Millis(record.duration));
    if let Some(time) = record.first_byte {
        put("first_byte_ms", Value::Millis(time));
    }
    put("attempts", Value::Number(record.attempts.into()));
    put("reused", Value::Flag(record.reused));
    put("generation", Value::Number(record.generation));
    put("request_bytes", Value::Number(record.request_bytes));
    put("reply_bytes", Value::Number(record.reply_bytes));
    if let Some(code) = record.code {
        put("error.type", Value::Text(code.as_str().as_bytes()));
    }
    if let Some(detail) = record.detail {
        put("detail", Value::Text(detail.as_bytes()));
    }
    if record.aborted {
        put("aborted", Value::Flag(true));
    }
}

/// A record that says nothing, to be filled by tests.
#[cfg(test)]
pub(super) fn nothing() -> Record<'static> {
    Record {
        meter: None,
        method: "GET",
        unit: None,
        mode: None,
        fallback: None,
        status: 0,
        code: None,
        detail: None,
        upstream: None,
        generation: 0,
        attempts: 0,
        reused: false,
        request_bytes: 0,
        reply_bytes: 0,
        duration: Duration::ZERO,
        first_byte: None,
        request_id: b"",
        trace_id: b"",
        aborted: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Metrics;
    use super::*;
    use crate::fault::Code;

    const NOW: Duration = Duration::from_millis(1_709_210_096_007);

    fn written(format: LogFormat, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        write(format, record, NOW, &mut Stamp::default(), &mut out);
        String::from_utf8(out).expect("lines are UTF-8")
    }

    fn parsed(record: &Record<'_>) -> serde_json::Value {
        serde_json::from_str(&written(LogFormat::Json, record)).expect("JSON")
    }

    #[test]
    fn a_served_request_has_all_its_fields_under_their_names() {
        let metrics = Metrics::new(1);
        let meter = metrics.route("case-record", "/case-records/{crn}", "legacy");
        let record = Record {
            meter: Some(&meter),
            status: 200,
            upstream: Some("ndh"),
            generation: 3,
            attempts: 1,
            reused: true,
            request_bytes: 10,
            reply_bytes: 20,
            duration: Duration::from_micros(1_012_345),
            first_byte: Some(Duration::from_micros(7)),
            request_id: b"req-1",
            trace_id: b"4bf92f3577b34da6a3ce929d0e0e4736",
            ..nothing()
        };
        let expected = serde_json::json!({
            "timestamp": "2024-02-29T12:34:56.007Z", "level": "info", "message": "request", "request_id": "req-1",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "http.request.method": "GET",
            "http.route": "/case-records/{crn}", "route": "case-record", "leg": "legacy", "upstream": "ndh",
            "http.response.status_code": 200, "duration_ms": 1012.345, "first_byte_ms": 0.007, "attempts": 1,
            "reused": true, "generation": 3, "request_bytes": 10, "reply_bytes": 20,
        });
        assert_eq!(parsed(&record), expected);
        assert_eq!(
            written(LogFormat::Text, &record),
            "2024-02-29T12:34:56.007Z info request GET /case-records/{crn} 200 1012.345ms request_id=req-1 \
             trace_id=4bf92f3577b34da6a3ce929d0e0e4736 route=case-record leg=legacy upstream=ndh first_byte_ms=0.007 \
             attempts=1 reused=true generation=3 request_bytes=10 reply_bytes=20\n"
        );
    }

    #[test]
    fn a_request_of_a_unit_on_its_way_says_who_answers_and_why_it_was_not_standard() {
        let metrics = Metrics::new(1);
        let meter = metrics.route("all", "/all/{noms}", "ndh");
        let record = Record {
            meter: Some(&meter),
            unit: Some("person"),
            mode: Some("canary"),
            fallback: Some("upstream_timeout"),
            status: 200,
            ..nothing()
        };
        let line = parsed(&record);
        assert_eq!(
            (&line["leg"], &line["unit"], &line["mode"], &line["fallback"]),
            (
                &"ndh".into(),
                &"person".into(),
                &"canary".into(),
                &"upstream_timeout".into()
            )
        );
        let text = written(LogFormat::Text, &record);
        assert!(
            text.contains(" leg=ndh unit=person mode=canary fallback=upstream_timeout "),
            "{text}"
        );
    }

    #[test]
    fn a_failed_request_warns_and_says_why() {
        let record = Record {
            code: Some(Code::UpstreamReset),
            detail: Some("ndh said \"no\"\nand hung up"),
            aborted: true,
            ..nothing()
        };
        let line = parsed(&record);
        assert_eq!(line["level"], "warn");
        assert_eq!(line["http.route"], "_");
        assert_eq!(line["http.response.status_code"], 0);
        assert_eq!(line["error.type"], "upstream_reset");
        assert_eq!(line["detail"], "ndh said \"no\"\nand hung up");
        assert_eq!(line["aborted"], true);
        for absent in [
            "route",
            "leg",
            "unit",
            "mode",
            "fallback",
            "upstream",
            "first_byte_ms",
            "request_id",
            "trace_id",
        ] {
            assert!(line.get(absent).is_none(), "{absent}");
        }
        let text = written(LogFormat::Text, &record);
        assert!(
            text.contains(" warn request GET _ 0 0.000ms ")
                && text.ends_with(
                    " error.type=upstream_reset detail=\"ndh said \\\"no\\\"\\nand hung up\" aborted=true\n"
                ),
            "{text}"
        );
    }

    #[test]
    fn a_failure_of_the_upstream_itself_warns_too_and_a_refusal_of_its_does_not() {
        let level = |status| parsed(&Record { status, ..nothing() })["level"].clone();
        assert_eq!(
            (level(500), level(499), level(404)),
            ("warn".into(), "info".into(), "info".into())
        );
    }

    #[test]
    fn identifiers_of_people_pass_through_no_field() {
        let record = Record {
            method: "X123456",
            detail: Some("asked for\nA1234BC and %2Fx654321"),
            upstream: Some("g4321qx"),
            request_id: b"case-X111111",
            trace_id: b"B2222CC",
            ..nothing()
        };
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = written(format, &record);
            for person in ["123456", "1234BC", "654321", "4321qx", "111111", "2222CC"] {
                assert!(!line.contains(person), "{person} in {line}");
            }
            assert_eq!(line.matches("*******").count(), 6, "{line}");
        }
        assert_eq!(parsed(&record)["detail"], "asked for\n******* and %2F*******");
    }

    #[test]
    fn what_a_caller_sends_makes_no_second_line_and_no_field() {
        let record = Record {
            request_id: b"a\r\n{\"level\":\"info\"}\x1b[2J\xff",
            ..nothing()
        };
        assert_eq!(
            parsed(&record)["request_id"],
            "a\r\n{\"level\":\"info\"}\u{1b}[2J\u{fffd}"
        );
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = written(format, &record);
            assert!(!line.trim_end_matches('\n').chars().any(char::is_control), "{line}");
            assert_eq!(line.lines().count(), 1);
        }
    }

    #[test]
    fn a_second_line_needs_no_new_memory() {
        let (mut stamp, mut out) = (Stamp::default(), Vec::new());
        write(LogFormat::Json, &nothing(), NOW, &mut stamp, &mut out);
        let (length, capacity, place) = (out.len(), out.capacity(), out.as_ptr());
        out.clear();
        write(LogFormat::Json, &nothing(), NOW, &mut stamp, &mut out);
        assert_eq!((out.len(), out.capacity(), out.as_ptr()), (length, capacity, place));
    }
}

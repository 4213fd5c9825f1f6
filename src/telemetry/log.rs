//! Events of the program on stdout: one line each, JSON or text, written whole, masked on the way.
//!
//! Code that is not ours is heard from `warn` upwards only, whatever the filter says: below that, HTTP and TLS crates
//! write request lines and header values. Values are escaped, so that nothing a peer sent can begin a line of its own
//! or talk to a terminal.

use std::fmt;
use std::io::{self, IsTerminal, Write as _};

use thiserror::Error;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, ParseError, Targets, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use super::events::Events;
use super::line::{Stamp, escape, escape_or_quote, escape_unquoted};
use super::mask::Masking;
use crate::clock;
use crate::config::settings::{Log, LogFormat};

/// Targets of our own begin with this.
const OURS: &str = "delius_sidecar";

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// The configuration's own check is narrower than the filter's grammar, so this is rare.
    #[error("the log level \"{}\" is not a filter such as `info` or `delius_sidecar=debug`", .text.escape_debug())]
    Level {
        text: String,
        #[source]
        source: ParseError,
    },
    #[error("starting the thread that writes events: {0}")]
    Thread(#[from] io::Error),
}

/// Sends the program's events to stdout from now on, by a thread of their own; close what is answered before the
/// process ends. The first call decides; later ones change nothing.
///
/// # Errors
/// When the level cannot be read, or the thread cannot be started.
pub fn init(log: &Log) -> Result<Events, LogError> {
    let colour = io::stdout().is_terminal();
    let events = Events::start(io::stdout())?;
    let lines = events.clone();
    let subscriber = subscriber(log, colour, move || Masking::new(lines.clone()))?;
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(events)
}

fn subscriber<W>(log: &Log, colour: bool, writer: W) -> Result<impl Subscriber + Send + Sync + 'static, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wanted: Targets = log.level.parse().map_err(|source| LogError::Level {
        text: log.level.clone(),
        source,
    })?;
    let cap = filter_fn(is_heard).with_max_level_hint(LevelFilter::TRACE);
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines {
            format: log.format,
            colour,
        })
        .with_writer(writer)
        .with_filter(wanted.and(cap));
    Ok(tracing_subscriber::registry().with(lines))
}

fn is_heard(metadata: &Metadata<'_>) -> bool {
    is_ours(metadata.target()) || *metadata.level() <= Level::WARN
}

fn is_ours(target: &str) -> bool {
    target
        .strip_prefix(OURS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

struct Lines {
    format: LogFormat,
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Vec::with_capacity(256);
        match self.format {
            LogFormat::Json => json(event, &mut line),
            LogFormat::Text => text(event, self.colour, &mut line),
        }
        line.push(b'\n');
        writer.write_str(&String::from_utf8_lossy(&line))
    }
}

fn json(event: &Event<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    Stamp::default().write(clock::wall(), line);
    let _ = write!(line, "\",\"level\":\"{}\"", word(*event.metadata().level()));
    event.record(&mut JsonFields { line });
    line.extend_from_slice(b",\"target\":\"");
    escape(event.metadata().target().as_bytes(), line);
    line.extend_from_slice(b"\"}");
}

fn text(event: &Event<'_>, colour: bool, line: &mut Vec<u8>) {
    Stamp::default().write(clock::wall(), line);
    let level = *event.metadata().level();
    let paint = match level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        _ => "2",
    };
    let _ = match colour {
        true => write!(line, " \u{1b}[{paint}m{}\u{1b}[0m", word(level)),
        false => write!(line, " {}", word(level)),
    };
    event.record(&mut TextFields { line });
    if !is_ours(event.metadata().target()) {
        line.extend_from_slice(b" target=");
        escape_or_quote(event.metadata().target().as_bytes(), line);
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Members of the line's object.
struct JsonFields<'a> {
    line: &'a mut Vec<u8>,
}

impl JsonFields<'_> {
    fn name(&mut self, field: &Field) {
        self.line.extend_from_slice(b",\"");
        escape(field.name().as_bytes(), self.line);
        self.line.extend_from_slice(b"\":");
    }

    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        let _ = write!(self.line, "{value}");
    }
}

impl Visit for JsonFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.line.push(b'"');
        escape(value.as_bytes(), self.line);
        self.line.push(b'"');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.plain(field, value);
        } else {
            self.plain(field, "null");
        }
    }
}

/// The message as it is, then `key=value`.
struct TextFields<'a> {
    line: &'a mut Vec<u8>,
}

impl Visit for TextFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.line.push(b' ');
        if field.name() == "message" {
            escape_unquoted(value.as_bytes(), self.line);
        } else {
            escape_unquoted(field.name().as_bytes(), self.line);
            self.line.push(b'=');
            escape_or_quote(value.as_bytes(), self.line);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Remembers each write by itself.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).expect("lines are UTF-8");
            self.0.lock().expect("no test panics here").push(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(format: LogFormat, level: &str, colour: bool, act: impl FnOnce()) -> Vec<String> {
        let log = Log {
            format,
            level: level.to_owned(),
            access: true,
        };
        let written = Written::default();
        let sink = written.clone();
        let subscriber = subscriber(&log, colour, move || Masking::new(sink.clone())).expect("the level can be read");
        tracing::subscriber::with_default(subscriber, act);
        written.0.lock().expect("no test panics here").clone()
    }

    #[test]
    fn a_json_event_is_one_object_in_one_write() {
        let written = lines(LogFormat::Json, "info", false, || {
            tracing::warn!(days = 9, ok = true, ratio = 0.5, odd = f64::NAN, name = "ndh \"a\"", at = ?Some(1), "expires soon");
        });
        assert_eq!(written.len(), 1, "{written:?}");
        assert!(written[0].ends_with("}\n"));
        let line: serde_json::Value = serde_json::from_str(&written[0]).expect("JSON");
        let time = line["timestamp"].as_str().expect("a time");
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 24, "{time}");
        let expected = serde_json::json!({
            "timestamp": time, "level": "warn", "message": "expires soon", "days": 9, "ok": true, "ratio": 0.5,
            "odd": null, "name": "ndh \"a\"", "at": "Some(1)", "target": "delius_sidecar::telemetry::log::tests",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_text_event_is_one_line_whatever_its_values_hold() {
        let written = lines(LogFormat::Text, "info", false, || {
            let error = io::Error::other("refused\n2026 info all is well\u{1b}[2J");
            tracing::info!(%error, upstream = "ndh", "a \"b\"\nc");
        });
        assert_eq!(written.len(), 1, "{written:?}");
        let rest = written[0].split_once(' ').expect("a time first").1;
        assert_eq!(
            rest,
            "info a \"b\"\\nc error=\"refused\\n2026 info all is well\\u001b[2J\" upstream=ndh\n"
        );
    }

    #[test]
    fn only_the_level_is_coloured_and_only_when_asked() {
        let written = lines(LogFormat::Text, "info", true, || tracing::error!(a = "\u{1b}[0m", "x"));
        assert!(
            written[0].ends_with(" \u{1b}[31merror\u{1b}[0m x a=\\u001b[0m\n"),
            "{written:?}"
        );
    }

    #[test]
    fn identifiers_of_people_pass_through_no_field_of_either_format() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let written = lines(format, "info", false, || {
                let path = "/case-records/\nX123456";
                tracing::info!(path, debug = ?path, display = %path, error = &io::Error::other("no a1234bc") as &dyn std::error::Error, "about G4321QX");
                tracing::info!("target \u{1f}x654321 %2FA1234BC");
            })
            .concat();
            for person in ["123456", "1234bc", "4321QX", "654321", "1234BC"] {
                assert!(!written.contains(person), "{person} in {written}");
            }
            assert_eq!(written.matches("*******").count(), 7, "{written}");
        }
    }

    #[test]
    fn the_filter_is_obeyed_and_other_crates_are_heard_from_warn_only() {
        let act = || {
            tracing::debug!("own debug");
            tracing::info!(target: "hyper_util::client", "foreign info");
            tracing::warn!(target: "hyper_util::client", "foreign warn");
            tracing::info!(target: "delius_sidecar_other", "lookalike");
        };
        let trace = lines(LogFormat::Text, "trace", false, act).concat();
        assert!(trace.contains("own debug") && trace.contains("foreign warn target=hyper_util::client"));
        assert!(
            !trace.contains("foreign info") && !trace.contains("lookalike"),
            "{trace}"
        );
        let info = lines(LogFormat::Text, "info,hyper_util=trace", false, act).concat();
        assert!(!info.contains("own debug") && !info.contains("foreign info") && info.contains("foreign warn"));
        assert!(lines(LogFormat::Text, "error", false, act).is_empty());
    }

    #[test]
    fn setting_up_twice_is_fine_and_a_bad_level_is_named() {
        let mut log = Log {
            format: LogFormat::Json,
            level: "error".to_owned(),
            access: true,
        };
        assert!(init(&log).is_ok() && init(&log).is_ok());
        log.level = "delius_sidecar=loud".to_owned();
        let error = init(&log).expect_err("not a level").to_string();
        assert!(error.contains("\"delius_sidecar=loud\""), "{error}");
    }
}

//! The one record of a request, closed once whatever happened: a sample for the metrics and an access line.
//!
//! The pipeline fills a [`Record`] when it is done with a request and knows neither metrics nor log; each worker has
//! one [`Scribe`]. Neither side ever waits: metrics are counters, and lines are dropped rather than waited for.

use std::sync::Arc;
use std::time::Duration;

use super::access::AccessBuffer;
use super::metrics::{Forbidden, Metrics, RouteMeter};
use crate::fault::Code;

/// What there is to say about one request.
#[derive(Debug)]
pub struct Record<'a> {
    /// `None`: no route matched, or it was not known yet.
    pub meter: Option<&'a RouteMeter>,
    pub method: &'a str,
    /// What switches together, and who answers it, once that is not ndh alone.
    pub unit: Option<&'a str>,
    pub mode: Option<&'static str>,
    /// The standard leg failed, and this is how; ndh answered in its place. A code or `status_` with a status.
    pub fallback: Option<&'a str>,
    /// 0: no reply was written.
    pub status: u16,
    pub code: Option<Code>,
    /// For the operator; the caller does not see it.
    pub detail: Option<&'a str>,
    pub upstream: Option<&'a str>,
    /// Of the identity in use; 0 without one.
    pub generation: u64,
    pub attempts: u32,
    /// The upstream connection had carried a request before.
    pub reused: bool,
    /// Of the bodies, as far as they went.
    pub request_bytes: u64,
    pub reply_bytes: u64,
    pub duration: Duration,
    pub first_byte: Option<Duration>,
    pub request_id: &'a [u8],
    pub trace_id: &'a [u8],
    /// The reply had begun and could not be ended.
    pub aborted: bool,
}

/// One worker's pen.
#[derive(Debug)]
pub struct Scribe {
    worker: usize,
    access: AccessBuffer,
    metrics: Arc<Metrics>,
}

impl Scribe {
    /// The scribe of the worker with this index.
    #[must_use]
    pub fn new(worker: usize, access: AccessBuffer, metrics: Arc<Metrics>) -> Self {
        Self {
            worker,
            access,
            metrics,
        }
    }

    /// A request is over.
    pub fn close(&mut self, record: Record<'_>) {
        match record.meter {
            Some(meter) => meter.record(self.worker, record.method, record.status, record.duration),
            None => self.metrics.unrouted(record.method, record.status, record.duration),
        }
        if let Some(code) = record.code {
            self.metrics.error(code);
        }
        self.access.line(&record);
    }

    /// A request goes to the upstream once more.
    pub fn retried(&mut self, upstream: &str, why: &str) {
        self.metrics.retried(upstream, why);
    }

    /// Counts a 403 of the gateway.
    pub fn forbidden(&self, what: Forbidden) {
        self.metrics.forbidden(what);
    }

    /// Passes the access lines on.
    pub fn flush(&mut self) {
        self.access.flush();
        self.count_dropped();
    }

    /// Passes the access lines on if they have waited long enough; to be called every 200 ms.
    pub fn flush_if_due(&mut self) {
        self.access.flush_if_due();
        self.count_dropped();
    }

    fn count_dropped(&self) {
        let dropped = self.access.take_dropped();
        if dropped > 0 {
            self.metrics.access_lines_dropped(dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;

    use super::super::access::AccessLog;
    use super::super::entry;
    use super::*;
    use crate::config::settings::{Log, LogFormat};

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics here").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_request_gets_one_line_with_or_without_a_route() {
        let log = Log {
            format: LogFormat::Text,
            level: "info".to_owned(),
            access: true,
        };
        let output = Output::default();
        let access = AccessLog::start(&log, output.clone()).expect("a thread");
        let metrics = Arc::new(Metrics::new(1));
        let meter = metrics.route("case", "/case-records/{crn}", "legacy");
        let mut scribe = Scribe::new(0, access.buffer(), metrics.clone());
        scribe.close(Record {
            meter: Some(&meter),
            status: 200,
            ..entry::nothing()
        });
        scribe.retried("ndh", "stale");
        scribe.close(Record {
            status: 404,
            code: Some(Code::RouteUnknown),
            ..entry::nothing()
        });
        scribe.flush();
        drop(scribe);
        access.close();
        let text = String::from_utf8(output.0.lock().expect("no test panics here").clone()).expect("UTF-8");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].contains(" info request GET /case-records/{crn} 200 "),
            "{text}"
        );
        assert!(lines[1].contains(" warn request GET _ 404 ") && lines[1].contains("error.type=route_unknown"));
    }
}

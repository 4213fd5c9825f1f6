//! The read-only listener: probes, metrics, certificates, a status page. Nothing here changes anything.
//!
//! Probes are answered at once on the runtime of the main thread; what reads more (`/metrics` reads `/proc`) goes to
//! a thread of its own, a few at a time, so that no scrape delays a signal and no crowd of them a probe. A connection
//! carries one request and lives ten seconds at most. Readiness never depends on an upstream.

mod page;
mod reply;
mod rotation;
pub mod status;
mod units;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

use crate::clock;
use crate::lifecycle::Readiness;
use crate::telemetry::metrics::{self, Metrics};

use reply::{Page, Reply, Report, content, find, json, text, with};
use status::Status;

const CONNECTIONS: usize = 64;
/// Reports that are made at a time; what comes on top is told to come again.
const REPORTS: usize = 4;
const HEADER_READ: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(10);
/// After `accept` failed for want of file descriptors: time for some to come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is shown.
#[derive(Clone)]
pub struct Sources {
    metrics: Arc<Metrics>,
    readiness: Readiness,
    status: Arc<dyn Fn() -> Status + Send + Sync>,
}

impl Sources {
    /// `status` is called for each look at it, on a thread where it may take a lock.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, readiness: Readiness, status: Arc<dyn Fn() -> Status + Send + Sync>) -> Self {
        Self {
            metrics,
            readiness,
            status,
        }
    }
}

/// Answers until dropped; open connections are closed with it.
pub async fn serve(listener: TcpListener, sources: Sources) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let reports = reports(sources.clone());
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (sources, reports) = (sources.clone(), reports.clone());
                open.spawn(async move {
                    connection(stream, sources, reports).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accepting a connection on the observe listener failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

type Reports = BoxCloneService<Report, Reply, BoxError>;

/// A few at a time; with more the service is not ready, and sheds.
fn reports(sources: Sources) -> Reports {
    let make = tower::service_fn(move |report: Report| {
        let sources = sources.clone();
        async move {
            let reply = tokio::task::spawn_blocking(move || sources.report(report)).await?;
            Ok::<_, BoxError>(reply)
        }
    });
    let limited = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(REPORTS)
        .service(make);
    BoxCloneService::new(limited)
}

async fn connection(stream: TcpStream, sources: Sources, reports: Reports) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (sources, reports) = (sources.clone(), reports.clone());
        async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &sources, reports).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ)
        // A probe must find a place: no connection is kept for a next request.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever breaks off or dawdles is not worth a line.
    let _ = timeout(CONNECTION, served).await;
}

async fn answer(method: &Method, path: &str, sources: &Sources, reports: Reports) -> Reply {
    let Some(page) = find(path) else {
        return text(
            StatusCode::NOT_FOUND,
            "no such page; try /, /readyz, /metrics or /certs\n",
        );
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        let reply = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "this listener is read-only: GET or HEAD\n",
        );
        return with(reply, ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let readiness = &sources.readiness;
    match page {
        Page::Live => json(StatusCode::OK, &json!({ "status": "UP" })),
        Page::Ready => state(readiness.ready(), readiness),
        Page::Started => state(readiness.started(), readiness),
        Page::Health => health(readiness),
        Page::Info => json(
            StatusCode::OK,
            &json!({ "build": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") } }),
        ),
        Page::Report(report) => match reports.oneshot(report).await {
            Ok(reply) => reply,
            Err(error) if error.is::<tower::load_shed::error::Overloaded>() => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many at the same time; come again\n",
            ),
            Err(error) => {
                tracing::error!(%error, path, "making a report failed");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "this report could not be made; see the log\n",
                )
            }
        },
    }
}

fn state(up: bool, readiness: &Readiness) -> Reply {
    if up {
        json(StatusCode::OK, &json!({ "status": "UP" }))
    } else {
        let body = json!({ "status": "DOWN", "pending": pending(readiness) });
        json(StatusCode::SERVICE_UNAVAILABLE, &body)
    }
}

/// In the shape that the HMPPS dashboards read.
fn health(readiness: &Readiness) -> Reply {
    let ready = readiness.ready();
    let word = if ready { "UP" } else { "DOWN" };
    let mut readiness_state = json!({ "status": word });
    if !ready {
        readiness_state["details"] = json!({ "pending": pending(readiness) });
    }
    let components = json!({ "livenessState": { "status": "UP" }, "readinessState": readiness_state });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(status, &json!({ "status": word, "components": components }))
}

fn pending(readiness: &Readiness) -> Value {
    let one = |(name, reason): (String, String)| json!({ "name": name, "reason": reason });
    readiness.pending().into_iter().map(one).collect()
}

impl Sources {
    fn report(&self, report: Report) -> Reply {
        match report {
            Report::Metrics => match self.metrics.exposition() {
                Ok(body) => content(StatusCode::OK, metrics::CONTENT_TYPE, body),
                Err(error) => {
                    tracing::error!(%error, "writing the metrics failed");
                    text(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "the metrics could not be written; see the log\n",
                    )
                }
            },
            Report::Certificates => {
                let identities = (self.status)().identities;
                json(StatusCode::OK, &json!({ "certificates": identities }))
            }
            Report::People => {
                let body = page::render(&(self.status)(), &self.readiness, clock::unix_seconds());
                let reply = content(StatusCode::OK, "text/html; charset=utf-8", body);
                match HeaderValue::try_from(page::policy()) {
                    Ok(policy) => with(reply, CONTENT_SECURITY_POLICY, policy),
                    Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the page's policy cannot be sent\n"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Condvar, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::status::Identity;
    use super::*;

    struct Observed {
        address: std::net::SocketAddr,
        readiness: Readiness,
        task: tokio::task::JoinHandle<()>,
    }

    impl Drop for Observed {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    async fn observe(status: Arc<dyn Fn() -> Status + Send + Sync>) -> Observed {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let readiness = Readiness::new();
        let metrics = Arc::new(Metrics::new(1));
        metrics
            .route("a", "/a/{id}", "ndh")
            .record(0, "GET", 200, Duration::ZERO);
        let task = tokio::spawn(serve(listener, Sources::new(metrics, readiness.clone(), status)));
        Observed {
            address,
            readiness,
            task,
        }
    }

    fn one_certificate() -> Arc<dyn Fn() -> Status + Send + Sync> {
        Arc::new(|| Status {
            lineages: Vec::new(),
            identities: vec![Identity {
                role: "client",
                name: "allocation-manager".to_owned(),
                subject: "CN=<b>".to_owned(),
                not_after: 1_900_000_000,
                ..Identity::default()
            }],
            ..Status::default()
        })
    }

    /// Head and body, until the server closes.
    async fn ask(observed: &Observed, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(observed.address).await.expect("a connection");
        let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("a reply");
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
        (head.to_ascii_lowercase(), body.to_owned())
    }

    fn is(head: &str, status: u16) {
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
    }

    #[tokio::test]
    async fn probes_answer_under_every_name_that_charts_use() {
        let observed = observe(one_certificate()).await;
        observed.readiness.met("listening");
        observed.readiness.met("configuration");
        let paths = "/livez /healthz /live /liveness /health/liveness /readyz /ready /readiness /health/readiness \
                     /startupz /startup /health /health/ping /ping";
        for path in paths.split_ascii_whitespace() {
            let (head, body) = ask(&observed, "GET", path).await;
            is(&head, 200);
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(body["status"], "UP", "{path}");
        }
        let (_, body) = ask(&observed, "GET", "/info").await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["build"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[tokio::test]
    async fn metrics_certificates_and_the_page_are_served_as_what_they_are() {
        let observed = observe(one_certificate()).await;
        let (head, body) = ask(&observed, "GET", "/metrics").await;
        is(&head, 200);
        assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
        assert!(body.contains("{route=\"/a/{id}\",leg=\"ndh\",method=\"GET\",status_code=\"200\"} 1\n"));
        assert!(body.ends_with("# EOF\n"));

        let (head, body) = ask(&observed, "GET", "/certs").await;
        is(&head, 200);
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["certificates"][0]["not_after"], "2030-03-17T17:46:40Z");

        let (head, body) = ask(&observed, "GET", "/").await;
        is(&head, 200);
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
        assert!(
            head.contains("cache-control: no-store") && head.contains("connection: close"),
            "{head}"
        );
        assert!(body.contains("CN=&lt;b&gt;") && body.contains("<svg") && !body.contains("<script"));
    }

    #[tokio::test]
    async fn only_reading_is_possible_and_only_what_exists() {
        let observed = observe(one_certificate()).await;
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let (head, _) = ask(&observed, method, "/metrics").await;
            is(&head, 405);
            assert!(head.contains("allow: get, head"), "{head}");
        }
        for path in ["/metrics/", "/shutdown", "/%2e%2e/etc/passwd"] {
            is(&ask(&observed, "GET", path).await.0, 404);
        }
        let (head, body) = ask(&observed, "HEAD", "/livez").await;
        is(&head, 200);
        assert!(head.contains("content-length: 15") && body.is_empty(), "{head} {body}");
    }

    #[tokio::test]
    async fn what_is_pending_is_named_in_a_503() {
        let observed = observe(one_certificate()).await;
        observed.readiness.met("listening");
        observed.readiness.met("configuration");
        observed.readiness.waiting("identity:am", "cannot read tls.crt");
        for path in ["/readyz", "/health"] {
            let (head, body) = ask(&observed, "GET", path).await;
            is(&head, 503);
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(body["status"], "DOWN");
            assert!(body.to_string().contains("cannot read tls.crt"), "{body}");
        }
        is(&ask(&observed, "GET", "/livez").await.0, 200);
    }

    #[tokio::test]
    async fn a_crowd_of_reports_is_turned_away_and_probes_are_not() {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (entered, waiting) = mpsc::channel();
        let entered = Mutex::new(entered);
        let held = gate.clone();
        let status = move || {
            let _ = entered.lock().expect("not poisoned").send(());
            let open = held.0.lock().expect("not poisoned");
            drop(held.1.wait_while(open, |open| !*open).expect("not poisoned"));
            Status::default()
        };
        let observed = Arc::new(observe(Arc::new(status)).await);
        let mut busy = JoinSet::new();
        for _ in 0..REPORTS {
            let observed = observed.clone();
            busy.spawn(async move { ask(&observed, "GET", "/certs").await });
        }
        tokio::task::spawn_blocking(move || (0..REPORTS).for_each(|_| waiting.recv().expect("a report begins")))
            .await
            .expect("all are under way");
        is(&ask(&observed, "GET", "/certs").await.0, 503);
        is(&ask(&observed, "GET", "/livez").await.0, 200);
        *gate.0.lock().expect("not poisoned") = true;
        gate.1.notify_all();
        while let Some(reply) = busy.join_next().await {
            is(&reply.expect("a reply").0, 200);
        }
    }
}

//! HTTP on the control socket: bounded in size, in number and in time, because whoever may connect may also dawdle.
//!
//! A connection carries one request. A command goes on to its end and to its audit line also when the one who asked has
//! left: a promotion does not depend on a terminal that stays open.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::order::{Action, Asks, malformed};
use super::socket::Listener;
use super::{Asked, Command, Refusal, Reply};

const CONNECTIONS: usize = 16;
/// Of a head, and of a body.
const SIZE: usize = 16 * 1024;
const HEADERS: usize = 32;
const HEADER_READ: Duration = Duration::from_secs(5);
const BODY_READ: Duration = Duration::from_secs(5);
/// A promotion may wait for a trial that is under way.
const REPLY: Duration = Duration::from_secs(60);
/// All of it, and time to take the answer.
const CONNECTION: Duration = Duration::from_secs(80);
/// After `accept` failed for want of file descriptors: time for some to come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers until dropped; open connections are closed with it, and the socket's file goes.
pub async fn serve(listener: Listener, commands: mpsc::Sender<Asked>) {
    let Listener { socket, place } = listener;
    let socket = match UnixListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "the control socket cannot be served");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok(permit) = places.clone().acquire_owned().await else {
            break;
        };
        match socket.accept().await {
            Ok((stream, _)) => {
                let commands = commands.clone();
                open.spawn(async move {
                    connection(stream, commands).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accepting a connection on the control socket failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(place);
}

async fn connection(stream: UnixStream, commands: mpsc::Sender<Asked>) {
    let by = by(&stream);
    let service = service_fn(move |request: Request<Incoming>| {
        let (commands, by) = (commands.clone(), by.clone());
        async move { Ok::<_, Infallible>(answer(request, commands, by).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ)
        .max_headers(HEADERS)
        .max_header_size(SIZE)
        .max_buf_size(2 * SIZE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever breaks off or dawdles is not worth a line; what was asked has one.
    let _ = timeout(CONNECTION, served).await;
}

/// Who asks, as the kernel says; of another pid namespace it does not say which process.
fn by(stream: &UnixStream) -> String {
    match stream.peer_cred() {
        Ok(peer) => match peer.pid().filter(|pid| *pid > 0) {
            Some(pid) => format!("uid {} pid {pid}", peer.uid()),
            None => format!("uid {}", peer.uid()),
        },
        Err(_) => "unknown".to_owned(),
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, commands: mpsc::Sender<Asked>, by: String) -> Answer {
    let Some(action) = Action::find(request.uri().path()) else {
        let paths = "/identity, /identity/stage, /identity/promote, /identity/rollback, /route, /route/set, /route/reset, \
                     /ready, /shutdown";
        return problem(&Refusal::new(
            404,
            "no_such_path",
            format!("there is no such path; there are {paths}"),
        ));
    };
    let method = action.method();
    if *request.method() != method {
        let wrong = Refusal::new(405, "method_not_allowed", format!("this path takes {method} only"));
        let mut reply = problem(&wrong);
        let allow = HeaderValue::from_static(if method == Method::GET { "GET" } else { "POST" });
        reply.headers_mut().insert(ALLOW, allow);
        return reply;
    }
    match body(request.into_body()).await.and_then(|body| action.read(&body, &by)) {
        Err(refusal) => problem(&refusal),
        Ok((command, asks)) => {
            // Not tied to this connection.
            let asking = tokio::spawn(async move {
                let outcome = ask(commands, command, by.clone()).await;
                record(action, &asks, &by, &outcome);
                outcome
            });
            match asking.await {
                Ok(Ok(reply)) => success(reply),
                Ok(Err(refusal)) => problem(&refusal),
                Err(_) => problem(&Refusal::shutting_down()),
            }
        }
    }
}

async fn body(body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::new(413, "body_too_large", format!("the body is larger than {SIZE} bytes"));
    if body.size_hint().lower() > SIZE as u64 {
        return Err(too_large());
    }
    match timeout(BODY_READ, Limited::new(body, SIZE).collect()).await {
        Err(_) => Err(Refusal::new(
            408,
            "body_late",
            format!("the body did not arrive within {} seconds", BODY_READ.as_secs()),
        )),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(malformed("the body broke off")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

async fn ask(commands: mpsc::Sender<Asked>, command: Command, by: String) -> Result<Reply, Refusal> {
    let (reply, answer) = oneshot::channel();
    let asked = Asked { command, by, reply };
    let asking = async {
        let sent = commands.send(asked).await;
        sent.map_err(|_| Refusal::shutting_down())?;
        answer.await.map_err(|_| Refusal::shutting_down())?
    };
    timeout(REPLY, asking).await.unwrap_or_else(|_| {
        Err(Refusal::new(
            504,
            "no_answer",
            format!(
                "no answer within {} seconds; what was asked may still happen: look at the status",
                REPLY.as_secs()
            ),
        ))
    })
}

/// Whatever may change something leaves a line, also when it was refused.
fn record(action: Action, asks: &Asks, by: &str, outcome: &Result<Reply, Refusal>) {
    if action.method() == Method::GET {
        return;
    }
    let all = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    let (result, detail) = match outcome {
        Ok(Reply::Done(sentence)) => ("done", sentence.as_str()),
        Ok(_) => ("done", ""),
        Err(refusal) => (refusal.code, refusal.sentence.as_str()),
    };
    let command = action.name();
    match asks {
        Asks::Certificate(order) => tracing::info!(
            audit = true,
            command,
            by,
            identity = %all(&order.identity),
            upstream = %all(&order.upstream),
            reason = %all(&order.reason),
            result,
            detail,
            "asked through the control socket"
        ),
        Asks::Route(order) => tracing::info!(
            audit = true,
            command,
            by,
            unit = %all(&order.unit),
            mode = %all(&order.mode),
            share = order.share,
            r#for = %all(&order.hold),
            evidence = order.evidence.unwrap_or(false),
            reason = %all(&order.reason),
            result,
            detail,
            "asked through the control socket"
        ),
    }
}

fn success(reply: Reply) -> Answer {
    match reply {
        Reply::Done(sentence) => json(StatusCode::OK, "application/json", &json!({ "done": sentence })),
        Reply::Ready { ready, pending } => {
            let status = if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let one = |(name, reason): (String, String)| json!({ "name": name, "reason": reason });
            let pending: Value = pending.into_iter().map(one).collect();
            json(
                status,
                "application/json",
                &json!({ "ready": ready, "pending": pending }),
            )
        }
        Reply::Report(report) => written(serde_json::to_value(&report)),
        Reply::Routes(report) => written(serde_json::to_value(&report)),
    }
}

fn written(report: Result<Value, serde_json::Error>) -> Answer {
    match report {
        Ok(report) => json(StatusCode::OK, "application/json", &report),
        Err(error) => problem(&Refusal::new(
            500,
            "report_failed",
            format!("the report cannot be written: {error}"),
        )),
    }
}

fn problem(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({ "status": status.as_u16(), "code": refusal.code, "detail": refusal.sentence });
    json(status, "application/problem+json", &body)
}

fn json(status: StatusCode, kind: &'static str, body: &Value) -> Answer {
    let mut reply = Response::new(Full::new(Bytes::from(body.to_string())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

//! The Delius stand-in on the network: plain HTTP/1.1 on its own thread, so that any caller can use it.
//!
//! It keeps a record of what it saw, which is what the demo and the tests look at: a claim about the path ("the
//! app's token does not arrive") is checked at the far end of it.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;

use super::delius::{Ask, CustodialEvents, Data, Delius, Dice, FAULT_HEADER, Misbehaviour, Reply, Rule};
use super::record::Record;
pub use super::record::{Seen, Tally};
use super::sabotage::{GARBAGE, RESET, ReplyBody, Sabotage, Wire, respond};
use crate::clock;

const BODY_LIMIT: usize = 1 << 20;

/// How a stand-in is started.
#[derive(Debug)]
pub struct Options {
    /// Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    pub data: Data,
    /// Generation B asks for a token (generation A always does).
    pub require_token: bool,
    /// Life of a generation A logon token.
    pub token_life: Duration,
    pub faults: Vec<Rule>,
    /// Start of the draws for `faults`.
    pub seed: u64,
    /// Overrides what the data says of each person.
    pub custodial_events: Option<CustodialEvents>,
}

impl Options {
    /// A well-behaved stand-in on a loopback port of the kernel's choice.
    #[must_use]
    pub fn new(data: Data) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data,
            require_token: false,
            token_life: Duration::from_secs(60_000), // as Delius' shipped configuration has it
            faults: Vec::new(),
            seed: 1,
            custodial_events: None,
        }
    }
}

/// Starts Delius stand-ins.
#[derive(Clone, Copy, Debug)]
pub struct DeliusStandIn;

impl DeliusStandIn {
    /// Binds and serves until the answer is stopped or dropped.
    pub fn start(options: Options) -> io::Result<Running> {
        let listener = TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let delius = Delius::new(
            options.data,
            options.require_token,
            options.token_life,
            options.custodial_events,
        )?;
        let world = Arc::new(World {
            delius,
            rules: options.faults,
            dice: Mutex::new(Dice::new(options.seed)),
            record: Mutex::new(Record::default()),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&world);
        let thread = std::thread::Builder::new()
            .name("stand-in-delius".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener, served) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Running {
            address,
            world,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// A stand-in that serves. Dropping it stops it, connections included.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    world: Arc<World>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The latest requests, oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.world.record().latest()
    }

    /// How many requests there were in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.world.record().count()
    }

    /// How many marked requests came with which client certificate.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.world.record().tally()
    }

    /// The key date (`POM1`, `POM2`) that was written last for a person.
    #[must_use]
    pub fn key_date(&self, noms: &str, type_code: &str) -> Option<String> {
        self.world.delius.key_date(noms, type_code)
    }

    /// Stops serving and waits until the port is free.
    pub fn stop(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was printed there
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish();
    }
}

#[derive(Debug)]
struct World {
    delius: Delius,
    rules: Vec<Rule>,
    dice: Mutex<Dice>,
    record: Mutex<Record>,
}

impl World {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this request is to suffer: its own header first; shares befall the API only, never the probes.
    fn misbehaviours(&self, request: &Request<Incoming>) -> Result<Vec<Misbehaviour>, Reply> {
        if let Some(asked) = request.headers().get(FAULT_HEADER) {
            let asked = String::from_utf8_lossy(asked.as_bytes());
            return Misbehaviour::from_header(&asked).map_err(|error| Reply::fault_unreadable(&error));
        }
        let path = request.uri().path();
        if self.rules.is_empty() || !(path.starts_with("/secure/") || path.starts_with("/api/")) {
            return Ok(Vec::new());
        }
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(dice.draw(&self.rules))
    }

    async fn answer(&self, request: Request<Incoming>, sabotage: &Sabotage) -> Response<ReplyBody> {
        self.record().remember(&request);
        let misbehaviours = match self.misbehaviours(&request) {
            Ok(misbehaviours) => misbehaviours,
            Err(reply) => return respond(reply, false),
        };
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
            return respond(Reply::unhandled(413, head.uri.path()), false);
        };
        let mut truncate = false;
        for misbehaviour in misbehaviours {
            match misbehaviour {
                Misbehaviour::Slow(by) => tokio::time::sleep(by).await,
                Misbehaviour::InternalError => return respond(Reply::unhandled(500, head.uri.path()), false),
                Misbehaviour::BadGateway => return respond(Reply::bad_gateway(), false),
                Misbehaviour::Reset => {
                    sabotage.order(RESET);
                    return respond(Reply::bad_gateway(), false); // never leaves: the wire is cut
                }
                Misbehaviour::Garbage => {
                    sabotage.order(GARBAGE);
                    return respond(Reply::bad_gateway(), false); // replaced on the wire
                }
                Misbehaviour::Truncate => truncate = true,
            }
        }
        let authorization = head.headers.get(AUTHORIZATION);
        let reply = self.delius.answer(&Ask {
            method: &head.method,
            path: head.uri.path(),
            authorization: authorization.and_then(|value| value.to_str().ok()),
            body: &body.to_bytes(),
            now: clock::unix_seconds(),
        });
        respond(reply, truncate)
    }
}

async fn accept(listener: TcpListener, world: Arc<World>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let connections end first.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true); // a stream that died already shows itself at the first read
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let sabotage = Sabotage::default();
            let wire = Wire {
                stream,
                sabotage: sabotage.clone(),
            };
            let service = service_fn(|request| {
                let (world, sabotage) = (Arc::clone(&world), sabotage.clone());
                async move { Ok::<_, Infallible>(world.answer(request, &sabotage).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(wire), service);
            let _ = connection.await; // a broken connection is the caller's to notice
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::client::{self, Answer};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    const ALL: &str = "/secure/offenders/nomsNumber/Z9001XA/all";

    fn start(change: impl FnOnce(&mut Options)) -> Running {
        let mut options = Options::new(Data::embedded().unwrap());
        change(&mut options);
        DeliusStandIn::start(options).unwrap()
    }

    fn ask(running: &Running, headers: &[(&str, &str)]) -> io::Result<Answer> {
        let ask = client::Ask {
            headers,
            ..client::Ask::get(ALL)
        };
        ask.send(running.address(), PATIENCE)
    }

    fn recorded() -> &'static [u8] {
        include_bytes!("people/legacy/offender-all/Z9001XA.json")
    }

    #[test]
    fn a_read_arrives_over_the_network_and_is_remembered_without_its_secrets() {
        let running = start(|_| {});
        let headers = [("Authorization", "Bearer secret-of-the-app"), ("X-Request-Id", "r1")];
        let answer = ask(&running, &headers).unwrap();
        assert_eq!((answer.status, &*answer.body), (200, recorded()));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        ask(&running, &[("x-forwarded-client-cert", "Subject=app")]).unwrap();
        let seen = running.seen();
        assert_eq!((seen.len(), running.count()), (2, 2));
        assert_eq!((&*seen[0].method, &*seen[0].target), ("GET", ALL));
        assert!(seen[0].authorization && !seen[1].authorization);
        assert!(seen[0].headers.contains(&"x-request-id".to_owned()));
        assert_eq!(seen[1].client_certificate.as_deref(), Some("Subject=app"));
        assert!(!format!("{seen:?}").contains("secret-of-the-app"));
    }

    #[test]
    fn one_request_can_ask_for_each_fault() {
        let running = start(|_| {});
        let fault = |asked| ask(&running, &[(FAULT_HEADER, asked)]);
        let server_error = fault("500").unwrap();
        let unhandled = include_str!("people/legacy/errors/500-unhandled.json");
        let expected = unhandled.replace("/secure/offenders/nomsNumber/Z9010XK/allOffenderManagers", ALL);
        assert_eq!((server_error.status, &*server_error.body), (500, expected.as_bytes()));
        let bad_gateway = fault("502").unwrap();
        let html = include_bytes!("people/legacy/errors/502-bad-gateway.html");
        assert_eq!((bad_gateway.status, &*bad_gateway.body), (502, &html[..]));
        assert_eq!(bad_gateway.header("content-type"), Some("text/html"));
        assert_eq!(fault("reset").unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let truncated = fault("truncate").unwrap_err();
        assert_eq!(truncated.kind(), io::ErrorKind::UnexpectedEof);
        assert!(truncated.to_string().contains("broke off"), "{truncated}");
        assert_eq!(fault("garbage").unwrap_err().kind(), io::ErrorKind::InvalidData);
        let before = Instant::now();
        assert_eq!(fault("slow=40ms").unwrap().status, 200);
        assert!(before.elapsed() >= Duration::from_millis(40));
        let unreadable = fault("503").unwrap();
        assert_eq!(unreadable.status, 400);
        assert!(String::from_utf8_lossy(&unreadable.body).contains("expected one of 500, 502"));
    }

    #[test]
    fn shares_of_faults_befall_the_api_and_never_the_probes() {
        let running = start(|options| options.faults = vec!["502:1".parse().unwrap()]);
        assert_eq!(ask(&running, &[]).unwrap().status, 502);
        let ping = client::Ask::get("/health/ping");
        let ping = ping.send(running.address(), PATIENCE).unwrap();
        assert_eq!((ping.status, &*ping.body), (200, &b"{\n  \"status\": \"UP\"\n}\n"[..]));
    }

    #[test]
    fn a_write_that_is_refused_by_a_fault_leaves_nothing_behind() {
        let running = start(|_| {});
        let put = |headers: &[(&str, &str)]| {
            let ask = client::Ask {
                method: "PUT",
                target: "/secure/offenders/nomsNumber/Z9001XA/custody/keyDates/POM1",
                headers,
                body: Some(r#"{"date": "2026-06-01"}"#),
            };
            ask.send(running.address(), PATIENCE)
        };
        assert_eq!(put(&[(FAULT_HEADER, "500")]).unwrap().status, 500);
        assert_eq!(running.key_date("Z9001XA", "POM1"), None);
        assert_eq!(put(&[]).unwrap().status, 200);
        assert_eq!(running.key_date("z9001xa", "POM1").as_deref(), Some("2026-06-01"));
    }

    #[test]
    fn one_connection_carries_several_requests_and_a_stop_frees_the_port() {
        use std::io::{Read, Write};
        let running = start(|_| {});
        let address = running.address();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..3 {
            let ping = b"GET /health/ping HTTP/1.1\r\nhost: a\r\n\r\n";
            stream.write_all(ping).unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"}\n") {
                let mut piece = [0; 512];
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "closed early");
                answer.extend_from_slice(&piece[..read]);
            }
        }
        assert_eq!(running.count(), 3);
        running.stop();
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_stand_in_can_be_used_from_async_code() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let running = start(|_| {});
            assert_eq!(ask(&running, &[]).unwrap().status, 200);
            running.stop();
        });
    }

    #[test]
    fn a_taken_port_is_an_error_at_start() {
        let running = start(|_| {});
        let mut options = Options::new(Data::embedded().unwrap());
        options.listen = running.address();
        let error = DeliusStandIn::start(options).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}

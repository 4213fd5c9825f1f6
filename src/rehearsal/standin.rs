//! The Delius stand-in on the network.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::delius::{self, CustodialEvents, Data, Delius};
use super::faults::Rule;
use super::message::{Ask, Reply};
pub use super::record::{Seen, Tally};
use super::serve::{self, Side, Terms};

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
        let terms = Terms {
            name: "stand-in-delius",
            listen: options.listen,
            certificate: None,
            faults: options.faults,
            seed: options.seed,
        };
        serve::start(terms, |_| {
            Delius::new(
                options.data,
                options.require_token,
                options.token_life,
                options.custodial_events,
            )
        })
    }
}

/// A Delius stand-in that serves.
pub type Running = serve::Running<Delius>;

impl Running {
    /// The key date (`POM1`, `POM2`) that was written last for a person.
    #[must_use]
    pub fn key_date(&self, noms: &str, type_code: &str) -> Option<String> {
        self.side.key_date(noms, type_code)
    }
}

impl Side for Delius {
    fn answer(&self, ask: &Ask<'_>) -> Reply {
        Self::answer(
            self,
            &delius::Ask {
                method: ask.method,
                path: ask.path,
                authorization: ask.authorization(),
                body: ask.body,
                now: ask.now,
            },
        )
    }

    fn is_api(&self, path: &str) -> bool {
        path.starts_with("/secure/") || path.starts_with("/api/")
    }

    fn refusal(&self, status: u16, _path: &str) -> Reply {
        match status {
            403 => Reply::access_denied(),
            other => Reply::empty(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::client::{self, Answer};
    use super::super::faults::HEADER as FAULT_HEADER;
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
        let unreadable = fault("504").unwrap();
        assert_eq!(unreadable.status, 400);
        assert!(String::from_utf8_lossy(&unreadable.body).contains("expected one of 500, 502, 503"));
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

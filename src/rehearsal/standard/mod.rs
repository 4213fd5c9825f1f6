//! The stand-in for the read API of the standard route: case records, MAPPA and RoSH over invented people.
//!
//! It answers from the files of the standard side only: nothing is derived from the legacy side, since a difference
//! between the two is what the switch-over looks for. Tokens are checked as the real API checks them. A lie can be told
//! about one person, so that a switched route is broken on purpose.

mod bearer;
mod data;
mod embedded;
mod keys;
mod lies;

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, header};
use serde::Serialize;
use serde_json::Value;

use self::bearer::{Checker, Refusal};
pub use self::data::Data;
use self::data::Endpoint;
pub use self::keys::{Keys, KeysError, Remote};
use self::lies::Lies;
use super::faults::Rule;
use super::message::{Ask, Reply};
use super::serve::{self, Side, Terms};
use crate::cert::load::Bundle;

/// How a stand-in is started.
#[derive(Debug)]
pub struct Options {
    /// Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// HTTPS with this certificate; plain HTTP without.
    pub certificate: Option<Bundle>,
    pub data: Data,
    /// Where the keys are that tokens are checked with.
    pub keys: Keys,
    /// What a token must say of its issuer.
    pub issuer: String,
    /// Case records in the shape of 2026, where there is one.
    pub with_rosh: bool,
    /// What [`Running::lie`] would be told.
    pub lies: Vec<(String, Value)>,
    pub faults: Vec<Rule>,
    /// Start of the draws for `faults`.
    pub seed: u64,
}

impl Options {
    /// A well-behaved stand-in on a loopback port of the kernel's choice, for the tokens of an Auth stand-in in this
    /// process.
    #[must_use]
    pub fn new(data: Data, auth: &super::auth::Running) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            certificate: None,
            data,
            keys: Keys::Here(auth.keyring()),
            issuer: auth.issuer().to_owned(),
            with_rosh: false,
            lies: Vec::new(),
            faults: Vec::new(),
            seed: 1,
        }
    }
}

/// Binds and serves until the answer is stopped or dropped.
pub fn start(options: Options) -> io::Result<Running> {
    let terms = Terms {
        name: "stand-in-standard",
        listen: options.listen,
        certificate: options.certificate,
        faults: options.faults,
        seed: options.seed,
    };
    serve::start(terms, |_| {
        let standard = Standard {
            data: options.data,
            with_rosh: options.with_rosh,
            checker: Checker::new(options.keys, options.issuer),
            lies: Lies::default(),
        };
        for (path, patch) in options.lies {
            standard.lie(&path, patch).map_err(io::Error::other)?;
        }
        Ok(standard)
    })
}

/// A stand-in of the read API that serves.
pub type Running = serve::Running<Standard>;

/// Why a lie cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LieError {
    #[error("expected the path of a read such as /case-records/A1234BC")]
    Path,
    #[error("nobody answers to the number in this path, so that nothing can be changed about them")]
    Nobody,
}

impl Running {
    /// From now on the reply to this path is changed by a merge patch (RFC 7396), by whichever of the person's numbers
    /// it is asked for; `null` for a patch: the person is not found.
    pub fn lie(&self, path: &str, patch: Value) -> Result<(), LieError> {
        self.side.lie(path, patch)
    }

    /// The truth again, about everybody.
    pub fn tell_the_truth(&self) {
        self.side.lies.forget();
    }
}

/// What the stand-in answers.
#[derive(Debug)]
pub struct Standard {
    data: Data,
    with_rosh: bool,
    checker: Checker,
    lies: Lies,
}

/// The error body of this API.
#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    message: &'a str,
}

impl Standard {
    fn read(&self, ask: &Ask<'_>) -> Reply {
        if let Err(refusal) = self.checker.admit(ask.authorization(), ask.now) {
            return refused(&refusal, ask.path);
        }
        let Some((identifier, endpoint)) = target(ask.path) else {
            return Reply::unhandled(404, ask.path);
        };
        if !ask.reads() {
            return Reply::unhandled(405, ask.path);
        }
        match endpoint {
            Endpoint::CaseRecord => self.case_record(identifier),
            Endpoint::Mappa | Endpoint::Rosh => self.risk(identifier, endpoint, ask.path),
        }
    }

    fn case_record(&self, identifier: &str) -> Reply {
        let Some(kind) = data::Identifier::of(identifier) else {
            return problem(400, "UnrecognisedIdentifierType");
        };
        if self.data.is_duplicate(identifier) {
            return problem(409, "Query did not return a unique result: 2 results were returned");
        }
        let not_found = || problem(404, &format!("Person with {} of {identifier} not found", kind.name()));
        let Some(person) = self.data.person(kind, identifier) else {
            return not_found();
        };
        let body = person.case_record(self.with_rosh);
        self.lies
            .told(&person.crn, Endpoint::CaseRecord, body)
            .map_or_else(not_found, Reply::file)
    }

    /// A risk is asked for by CRN; whatever stands there is taken for one.
    fn risk(&self, crn: &str, endpoint: Endpoint, path: &str) -> Reply {
        let Some(person) = self.data.person(data::Identifier::Crn, crn) else {
            return problem(404, &format!("Person with crn of {crn} not found"));
        };
        let body = person.reply(endpoint);
        match body.and_then(|body| self.lies.told(crn, endpoint, body)) {
            Some(body) => Reply::file(body),
            None if endpoint == Endpoint::Mappa => problem(404, &format!("MappaDetail with crn of {crn} not found")),
            None => Reply::unhandled(500, path), // as the one version that was seen does
        }
    }

    fn lie(&self, path: &str, patch: Value) -> Result<(), LieError> {
        let (crn, endpoint) = self.data.whose(path)?;
        self.lies.tell(crn, endpoint, patch);
        Ok(())
    }
}

impl Data {
    /// Whether [`Running::lie`] could be told about this path.
    pub fn check_lie(&self, path: &str) -> Result<(), LieError> {
        self.whose(path).map(|_| ())
    }

    fn whose(&self, path: &str) -> Result<(&str, Endpoint), LieError> {
        let (identifier, endpoint) = target(path).ok_or(LieError::Path)?;
        let kind = data::Identifier::of(identifier).ok_or(LieError::Path)?;
        let person = self.person(kind, identifier).ok_or(LieError::Nobody)?;
        Ok((&person.crn, endpoint))
    }
}

impl Side for Standard {
    fn answer(&self, ask: &Ask<'_>) -> Reply {
        let open: &'static [u8] = match ask.path {
            "/health" => include_bytes!("../people/standard/health.json"),
            "/health/ping" | "/health/liveness" | "/health/readiness" => {
                include_bytes!("../people/standard/health-ping.json")
            }
            "/info" => include_bytes!("../people/standard/info.json"),
            _ => return self.read(ask),
        };
        if ask.reads() {
            Reply::file(Bytes::from_static(open))
        } else {
            Reply::unhandled(405, ask.path)
        }
    }

    fn is_api(&self, path: &str) -> bool {
        path.starts_with("/case-records/")
    }

    fn refusal(&self, status: u16, path: &str) -> Reply {
        match status {
            401 => refused(&Refusal::Invalid("the token is not active"), path),
            403 => refused(&Refusal::Forbidden, path),
            other => Reply::unhandled(other, path),
        }
    }

    /// `PUT /stand-in/lie/case-records/…` with a merge patch, `DELETE /stand-in/lie`.
    fn lever(&self, ask: &Ask<'_>, path: &str) -> Option<Reply> {
        let about = path.strip_prefix("/lie")?;
        Some(match (ask.method, about) {
            (&Method::DELETE, "") => {
                self.lies.forget();
                Reply::empty(204)
            }
            (&Method::PUT, _) => match serde_json::from_slice(ask.body) {
                Ok(patch) => match self.lie(about, patch) {
                    Ok(()) => Reply::empty(204),
                    Err(error) => Reply::text(400, format!("{error}\n")),
                },
                Err(error) => Reply::text(400, format!("the patch is not JSON: {error}\n")),
            },
            _ => return None,
        })
    }

    fn waits(&self) -> bool {
        self.checker.asks_elsewhere()
    }
}

/// Identifier and endpoint of a path of this API.
fn target(path: &str) -> Option<(&str, Endpoint)> {
    let rest = path.strip_prefix("/case-records/")?;
    match rest.split_once('/') {
        None if !rest.is_empty() => Some((rest, Endpoint::CaseRecord)),
        Some((crn, "risks/mappa")) => Some((crn, Endpoint::Mappa)),
        Some((crn, "risks/rosh")) => Some((crn, Endpoint::Rosh)),
        _ => None,
    }
}

fn refused(refusal: &Refusal, path: &str) -> Reply {
    match refusal {
        Refusal::None => Reply::empty(401).with(header::WWW_AUTHENTICATE, "Bearer"),
        Refusal::Invalid(why) => Reply::empty(401).with(
            header::WWW_AUTHENTICATE,
            format!(r#"Bearer error="invalid_token", error_description="{why}""#),
        ),
        Refusal::Forbidden => problem(403, "Access Denied"),
        Refusal::NoKeys => Reply::unhandled(500, path),
    }
}

fn problem(status: u16, message: &str) -> Reply {
    Reply::json(status, &Problem { status, message })
}

#[cfg(test)]
mod tests;

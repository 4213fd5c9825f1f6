//! The Delius stand-in's answers: the legacy API in both generations, over invented people.
//!
//! A request in, a reply out; no sockets here (`rehearsal::standin` has them) and no clock: "now" comes with the
//! request. Error sentences are the API's own, so a caller that shows or compares them meets what production says.

mod data;
mod embedded;
mod generation_a;
mod generation_b;
mod managers;
#[cfg(test)]
mod rows;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use serde::Serialize;

pub use super::fixtures::DataError;
pub use data::Data;
use managers::{Establishments, Manager};
use token::Signer;
pub(super) use token::bearer;

use super::message::Reply;

/// How many active custodial events everyone has, where the data is not to decide: key dates need exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustodialEvents {
    None,
    One,
    Several,
}

impl FromStr for CustodialEvents {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "one" => Ok(Self::One),
            "several" => Ok(Self::Several),
            _ => Err(format!("expected none, one or several, found {text:?}")),
        }
    }
}

/// One request, as far as the answer depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) authorization: Option<&'a str>,
    pub(super) body: &'a [u8],
    /// Seconds since the Unix epoch.
    pub(super) now: i64,
}

/// The legacy API and what was written to it.
pub struct Delius {
    data: Data,
    require_token: bool,
    token_life: Duration,
    custodial_events: Option<CustodialEvents>,
    signer: Signer,
    written: Mutex<Written>,
}

/// What the writes left behind, in memory only.
#[derive(Default)]
struct Written {
    establishments: Establishments,
    managers: BTreeMap<String, Vec<Manager>>,
    key_dates: BTreeMap<(String, String), String>,
    case_notes: BTreeSet<(String, u64)>,
}

impl Delius {
    pub(super) fn new(
        data: Data,
        require_token: bool,
        token_life: Duration,
        custodial_events: Option<CustodialEvents>,
    ) -> io::Result<Self> {
        let written = Written {
            establishments: data.establishments(),
            ..Written::default()
        };
        Ok(Self {
            data,
            require_token,
            token_life,
            custodial_events,
            signer: Signer::fresh()?,
            written: Mutex::new(written),
        })
    }

    pub(super) fn answer(&self, ask: &Ask<'_>) -> Reply {
        let segments: Vec<_> = ask.path.split('/').skip(1).collect();
        match segments.as_slice() {
            ["health", "ping"] | ["health"] => reading(ask, || Reply::json(200, &Health { status: "UP" })),
            ["info"] => reading(ask, || {
                let name = "delius-stand-in";
                Reply::json(200, &serde_json::json!({ "build": { "name": name } }))
            }),
            ["secure", rest @ ..] => self.generation_b(ask, rest),
            ["api", rest @ ..] => self.generation_a(ask, rest),
            _ => Reply::unhandled(404, ask.path),
        }
    }

    /// The key date that was written last for a person.
    pub(super) fn key_date(&self, noms: &str, type_code: &str) -> Option<String> {
        let key = (noms.to_ascii_uppercase(), type_code.to_owned());
        self.written().key_dates.get(&key).cloned()
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Delius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delius").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The error body of generation B.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    status: u16,
    developer_message: &'a str,
}

impl Reply {
    pub(super) fn access_denied() -> Self {
        Self::problem(403, "Access is denied")
    }

    fn problem(status: u16, developer_message: &str) -> Self {
        Self::json(
            status,
            &Problem {
                status,
                developer_message,
            },
        )
    }
}

/// A path that only answers reads.
fn reading(ask: &Ask<'_>, answer: impl FnOnce() -> Reply) -> Reply {
    if *ask.method == Method::GET || *ask.method == Method::HEAD {
        answer()
    } else {
        Reply::unhandled(405, ask.path)
    }
}

/// The calendar day of "now", as Delius writes dates.
fn day(now: i64) -> String {
    let at = jiff::Timestamp::from_second(now).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}

//! A request as the caller made it, kept so that it can be put to either leg, also later.

use std::fmt;

use serde_json::Value;
use zeroize::Zeroize as _;

use crate::route::{Captures, path};

/// A request, independent of the caller's connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// Normalised.
    pub path: String,
    /// Of the route's template; pieces of `path`, so as encoded as it is.
    pub params: Vec<(String, String)>,
    /// With its `?`; empty when there is none.
    pub query: Vec<u8>,
    /// The head as it came.
    pub head: Vec<u8>,
    /// Of the gateway: what is said of the caller to the API.
    pub set: Vec<u8>,
    pub content: Vec<u8>,
    pub request_id: Vec<u8>,
    pub trace_parent: Vec<u8>,
    pub idempotent: bool,
    /// A number for the person, for the breaker.
    pub person: Option<u64>,
}

impl Asked {
    /// The value of a parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What programs are told of the parameters: decoded, because what they make of a value they encode.
    pub(super) fn values(&self) -> Value {
        let value = |(name, value): &(String, String)| (name.clone(), Value::String(path::decoded(value)));
        Value::Object(self.params.iter().map(value).collect())
    }

    /// It asks for a head only.
    #[must_use]
    pub fn to_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// It changes nothing (RFC 9110 section 9.2.1): only such a request is ever put to two legs.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        is_safe(&self.method)
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let params = self.params.iter().map(|(name, value)| name.len() + value.len());
        self.path.len() + self.query.len() + self.head.len() + self.content.len() + params.sum::<usize>()
    }
}

/// Only what changes nothing is ever sent to two legs.
#[must_use]
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// The parameters as values of their own.
#[must_use]
pub fn params(captures: &Captures<'_>) -> Vec<(String, String)> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    captures.iter().map(owned).collect()
}

impl Drop for Asked {
    /// The application's own token stands in the head.
    fn drop(&mut self) {
        self.head.zeroize();
    }
}

impl fmt::Debug for Asked {
    /// Paths, queries and heads are about a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} request", self.method)
    }
}

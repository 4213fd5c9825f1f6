//! Routes, their legs, and what of them switches together: plain values of the settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::compare::Rules;
use crate::mapping::{Fields, Program};
use crate::route::{Methods, Template};
use crate::switch::Terms;

/// One route: what the application asks for and which legs can answer.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: String,
    pub methods: Methods,
    pub template: Template,
    /// The path parameter that identifies the person.
    pub person: Option<String>,
    /// Overrides `Limits::in_flight`.
    pub in_flight: Option<usize>,
    /// Overrides `Limits::body_bytes`.
    pub body_bytes: Option<u64>,
    /// May be sent again when nothing of it can have been processed. Default: what HTTP says of the method; `false`
    /// for a PUT that is not repeatable in Delius.
    pub idempotent: Option<bool>,
    /// Key into `Settings::units`.
    pub unit: String,
    /// The only parts of a reply that reach the application; `None`: all of it.
    pub fields: Option<Arc<Fields>>,
    /// At least one leg is there.
    pub ndh: Option<Leg>,
    pub standard: Option<Leg>,
    /// `None`: replies are not compared.
    pub comparison: Option<Arc<Comparison>>,
}

/// One way to answer a route.
#[derive(Clone, Debug)]
pub struct Leg {
    /// Key into `Settings::upstreams`.
    pub upstream: String,
    /// The path asked of the upstream, with the route's parameters; `None`: the path as it came.
    pub path: Option<Template>,
    pub query: Query,
    /// Fields that are set, in place of what the application sent under these names.
    pub headers: Vec<(String, String)>,
    pub authorization: Authorization,
    /// Key into `Settings::tokens`.
    pub token: Option<String>,
    /// Makes path, query and headers.
    pub request: Option<Arc<Program>>,
    /// Turns a reply into the shape that the application reads.
    pub response: Option<Arc<Program>>,
    /// What of the reply the application really uses: what is compared.
    pub view: Option<Arc<Program>>,
    /// The requests that are made in place of one; their paths come from `request`. Usually empty.
    pub parts: Vec<String>,
    /// From the request sent to the first byte of the reply; `None`: as the upstream has it.
    pub first_byte: Option<Duration>,
    /// The whole request on this leg; `None`: as the upstream has it.
    pub total: Option<Duration>,
}

/// What becomes of the application's query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Query {
    #[default]
    Pass,
    Drop,
}

/// What happens to the application's `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// Removed: the prison-side token is nobody else's business.
    Strip,
    /// Passed on as it came.
    Pass,
}

/// What switches together: a group of routes, or one route.
#[derive(Clone, Debug)]
pub struct Unit {
    pub name: String,
    pub terms: Terms,
}

/// How the replies of a route's two legs are compared.
#[derive(Debug)]
pub struct Comparison {
    pub rules: Rules,
    /// Both sides are asked anew after this before a difference counts. Default 30 s.
    pub again_after: Duration,
    /// The share of requests that is compared. Default 1.
    pub sample: f64,
}

/// What is the same for all switching.
#[derive(Clone, Debug)]
pub struct Switch {
    /// Where overrides, roll-backs and the last use of NDH outlive a restart; `None`: nowhere.
    pub state: Option<PathBuf>,
    pub shadow: Shadow,
    /// Bytes of a reply that is mapped or compared; beyond, mapping fails and comparison is left out. Default 1 MiB.
    pub reply: usize,
}

/// Bounds on the work beside the requests.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// Comparisons under way at a time. Default 4.
    pub concurrency: usize,
    /// Comparisons that wait, those to be asked again not counted. Default 64.
    pub queue: usize,
    /// Comparisons that wait to be asked again. Default 256.
    pub again: usize,
    /// Bytes of replies held. Default 8 MiB.
    pub memory: usize,
}

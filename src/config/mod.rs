//! From TOML text and environment names to validated settings; every problem at once.
//!
//! No I/O: the caller reads the files and the environment and hands over text.
//!
//! ```text
//! texts ──▶ file (tree with places) ──▶ conform (unknown keys, types) ──▶ layers (one tree)
//!                                                                          │
//!          settings ◀── run, gateway (what keys mean together) ◀── environment (overrides)
//! ```

pub mod problem;
pub mod settings;

mod conform;
mod credentials;
mod environment;
mod file;
mod gateway;
mod layers;
mod legs;
mod material;
mod read;
mod route_schema;
mod routes;
mod run;
mod schema;
mod token;
mod units;
mod url;
mod validate;
mod value;

pub use environment::PREFIX;
pub use file::{extends, extends_span, has_gateway, programs};
use std::collections::BTreeMap;

use problem::Report;
pub use problem::{Place, Problem, Problems, Severity, Style};
use settings::{GatewaySettings, Settings};

/// One text of a configuration and the name that people know it by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub text: String,
    /// The programs that it names ([`programs`]), as it names them; an error says why one could not be read.
    pub programs: BTreeMap<String, Result<String, String>>,
}

impl Source {
    /// A text that names no programs.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            programs: BTreeMap::new(),
        }
    }
}

/// Settings, what to warn about, and where everything was written.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    pub settings: T,
    /// Never an error among them.
    pub warnings: Problems,
    tree: file::Table,
    last: usize,
}

impl<T> Loaded<T> {
    /// Where a value was written, for problems that are noticed later; the nearest table above it where it was not.
    #[must_use]
    pub fn place(&self, path: &[&str]) -> Place {
        self.tree.place(path).unwrap_or_else(|| Place::start_of(self.last))
    }
}

/// Reads the settings of `run`. The layers lie on top of each other in their order; the environment on top of all.
pub fn load_run(layers: &[Source], environment: &[(String, String)]) -> Result<Loaded<Settings>, Problems> {
    load(schema::RUN, layers, environment, run::settings)
}

/// Reads the settings of `gateway`.
pub fn load_gateway(layers: &[Source], environment: &[(String, String)]) -> Result<Loaded<GatewaySettings>, Problems> {
    load(schema::GATEWAY, layers, environment, gateway::settings)
}

fn load<T>(
    fields: schema::Fields,
    layers: &[Source],
    environment: &[(String, String)],
    settings: fn(&read::Reader<'_>, &[Source]) -> Option<T>,
) -> Result<Loaded<T>, Problems> {
    let report = Report::default();
    let mut tree = file::Table::default();
    let mut readable = true;
    for (index, source) in layers.iter().enumerate() {
        match file::parse(index, &source.text, &report) {
            Some(table) => {
                conform::conform(fields, &table, "", &report);
                layers::merge(fields, &mut tree, table);
            }
            None => readable = false,
        }
    }
    // with a layer missing, everything else would be called missing too
    if !readable {
        return Err(report.into_problems(layers));
    }
    environment::apply(fields, &mut tree, environment, &report);
    let last = layers.len().saturating_sub(1);
    let found = settings(&read::Reader::top(&tree, last, &report), layers);
    match found {
        Some(settings) if !report.has_errors() => Ok(Loaded {
            settings,
            warnings: report.into_problems(layers),
            tree,
            last,
        }),
        _ => Err(report.into_problems(layers)),
    }
}

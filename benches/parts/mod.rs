//! The pure parts of the way of a request, each ready to be run again and again: shipped code on shipped configuration.
//!
//! `hot.rs` takes their time and `tests/alloc.rs` counts their allocations, so both speak of the same work under the same
//! names. A row is the name, how many of the yardstick's times are worth a look, and the allocations of one run once all
//! buffers have their size. The rows stand in docs/performance.md as well; a test holds the two together.

mod programs;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use delius_sidecar::config::settings::Settings;
use delius_sidecar::config::{self, Source};
use serde_json::Value;

/// One part of the work.
pub(crate) struct Part {
    pub(crate) row: Row,
    pub(crate) run: Box<dyn FnMut()>,
}

/// What is expected of a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// In times of the yardstick of `hot.rs`: a median beyond is worth a look.
    pub(crate) worry: f64,
    /// Of one run, at most.
    pub(crate) allocations: usize,
}

const fn row(name: &'static str, worry: f64, allocations: usize) -> Row {
    Row {
        name,
        worry,
        allocations,
    }
}

impl Part {
    fn new(row: Row, run: impl FnMut() + 'static) -> Self {
        Self {
            row,
            run: Box::new(run),
        }
    }
}

/// All parts, in the order in which a request meets them.
pub(crate) fn all() -> Vec<Part> {
    let mut parts = wire::parts();
    parts.extend(programs::parts());
    parts
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `config/base.toml` with its programs, as `run` loads it.
fn shipped() -> Settings {
    let directory = root().join("config");
    let mut source = Source::new("base.toml", read(&directory.join("base.toml")));
    for name in config::programs(&source.text) {
        let text = read(&directory.join(&name));
        source.programs.insert(name, Ok(text));
    }
    match config::load_run(&[source], &[]) {
        Ok(loaded) => loaded.settings,
        Err(problems) => panic!("config/base.toml is refused: {problems:?}"),
    }
}

/// A body of the invented people that the demo and the tests know.
fn body(name: &str) -> Option<Value> {
    let path: PathBuf = root().join("src/rehearsal/people").join(format!("{name}.json"));
    let text = fs::read_to_string(&path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

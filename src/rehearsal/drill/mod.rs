//! The rotation drill: certificates are changed under load in every way that is known, broken ones are put in their
//! place, and the far end's record decides what became of the requests.
//!
//! Three witnesses that know nothing of each other: the load compares each reply; the stand-in counts which client
//! certificate each request came with, told apart by the mark that was in force when it was sent; the kernel says which
//! connections are still open. The sidecar's own word, its receipt, is printed beside them. OAuth clients are changed in the
//! same way, and there the read API of the standard route counts whose token each request came with.

mod authorities;
mod broken;
mod clients;
mod operator;
mod passage;
mod sockets;
mod told;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::child::Stop;
use super::load::{Load, Mix};
use super::papers::Ca;
use super::place;
use super::scene::Scene;
use super::step::Line;
use crate::cert::facts::Facts;
use crate::cert::issue::Issued;
use crate::clock;
use crate::control::client;
use crate::identity::status::{Lineage, Report};

pub use passage::{rehearse, under_load};
pub use told::{Broken, Change, Claim, ClientChange, KeyChange, Outcome, Withdrawn};

/// For anything that is waited for; generous, for busy machines.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Every connection of an old generation is closed within this time of the promotion.
const DRAIN_BOUND: Duration = Duration::from_secs(5);
/// A promotion is taken up by every thread within this time of being told.
const TAKEN_UP: Duration = Duration::from_millis(100);
/// Load on what is now in use, before the next change.
const STEADY: Duration = Duration::from_millis(400);
/// Between certificate and key that are copied by hand; longer than what does not fit is waited for before it is
/// called refused.
const APART: Duration = Duration::from_millis(2_500);

/// How files are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    InPlace,
    Rename,
    Swap,
    /// No file: a word through the control socket.
    Asked,
}

/// Whose certificates change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Sidecar,
    Gateway,
}

/// A drill under way.
struct Drill<'a> {
    scene: &'a Scene,
    stop: &'a Stop,
    load: Load,
    /// The CA that took the place of the first.
    next_ca: Option<Ca>,
    /// What the sidecar shows, and everything that it has shown before.
    leaf: Issued,
    /// What the sidecar can fall back to.
    before: Issued,
    shown: BTreeSet<String>,
    changes: Vec<Change>,
    broken: Vec<Broken>,
    withdrawn: Vec<Withdrawn>,
    /// Of the standard route.
    client_in_use: clients::Pair,
    /// Copies of the first client so far.
    copies: u32,
    clients: Vec<ClientChange>,
    broken_clients: Vec<Broken>,
    keys: Vec<KeyChange>,
    /// Of the step under way.
    lines: Vec<Line>,
}

impl Way {
    const fn as_str(self) -> &'static str {
        match self {
            Self::InPlace => "written in place, certificate and key 2.5 s apart",
            Self::Rename => "atomic rename",
            Self::Swap => "Kubernetes ..data swap",
            Self::Asked => "control socket",
        }
    }
}

impl<'a> Drill<'a> {
    fn begin(scene: &'a Scene, stop: &'a Stop, rate: u32) -> Result<Self, String> {
        let stage = scene.stage();
        let mix = Mix::learn(stage.delius.address()).map_err(|error| error.to_string())?;
        let mix = mix
            .and_standard(|path| scene.standard().ask(path))
            .map_err(|error| error.to_string())?;
        let load = Load::start(stage.sidecar, mix, rate);
        let leaf = stage.papers.app.clone();
        Ok(Self {
            scene,
            stop,
            load: load.map_err(|error| format!("the load cannot be started: {error}"))?,
            next_ca: None,
            shown: BTreeSet::from([hash(&leaf)?]),
            before: leaf.clone(),
            leaf,
            changes: Vec::new(),
            broken: Vec::new(),
            withdrawn: Vec::new(),
            client_in_use: clients::Pair::first(scene.standard().first_secret()),
            copies: 0,
            clients: Vec::new(),
            broken_clients: Vec::new(),
            keys: Vec::new(),
            lines: Vec::new(),
        })
    }

    fn ca(&self) -> &Ca {
        self.next_ca.as_ref().unwrap_or(&self.scene.stage().papers.ca)
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.scene.directory().join(name)
    }

    fn note(&mut self, line: impl Into<String>) {
        self.lines.push(Line::Note(line.into()));
    }

    /// Puts a pair into a directory.
    fn put(&self, directory: &str, issued: &Issued, way: Way) -> Result<(), String> {
        let directory = self.directory(directory);
        let files = place::pair(issued);
        let put = match way {
            Way::Swap => place::swap(&directory, &files),
            Way::Rename => place::rename(&directory, &files),
            Way::InPlace | Way::Asked => {
                let [certificate, key] = files;
                let first = place::in_place(&directory, certificate);
                self.pause(APART)?;
                first.and_then(|()| place::in_place(&directory, key))
            }
        };
        put.map_err(|error| unwritten(&directory, &error))
    }

    /// What an end says of its certificates.
    fn status(&self, of: End) -> Result<Lineage, String> {
        let socket = match of {
            End::Sidecar => self.scene.sidecar_control(),
            End::Gateway => self.scene.gateway_control(),
        };
        let answer = client::ask(&socket, "GET", "/identity", None, PATIENCE).map_err(|error| error.to_string())?;
        let report: Report = serde_json::from_value(answer.body)
            .map_err(|error| format!("the answer on {} is no status: {error}", socket.display()))?;
        let mut lineages = report.lineages.into_iter();
        lineages
            .next()
            .ok_or_else(|| format!("nothing is managed behind {}", socket.display()))
    }

    /// Tells the sidecar something, as an operator would.
    fn ask(&mut self, word: &str) -> Result<(), String> {
        let socket = self.scene.sidecar_control();
        let target = format!("/identity/{word}");
        let body = json!({ "upstream": "ndh", "reason": "the rehearsal" });
        let answer = client::ask(&socket, "POST", &target, Some(&body), PATIENCE).map_err(|error| error.to_string())?;
        self.lines.push(Line::Sent(format!("identity {word}")));
        match answer.body["done"].as_str() {
            Some(done) => {
                self.lines.push(Line::Came(done.to_owned()));
                Ok(())
            }
            None => Err(format!(
                "identity {word} was answered {} {}",
                answer.status, answer.body
            )),
        }
    }

    fn pause(&self, time: Duration) -> Result<(), String> {
        if self.stop.wait(time) {
            return Err("interrupted".to_owned());
        }
        Ok(())
    }

    /// Waits until something is there.
    fn until<T>(&self, what: &str, look: impl Fn() -> Result<Option<T>, String>) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(format!("waited {} s in vain until {what}", PATIENCE.as_secs()));
            }
            self.pause(LOOK_AGAIN)?;
        }
    }

    /// The connections between the two ends, by the kernel's word.
    fn connections(&self) -> Result<BTreeSet<u16>, String> {
        let port = self.scene.stage().gateway.port();
        sockets::open_to(port).map_err(|error| format!("the kernel does not tell its connections: {error}"))
    }

    /// Changes something and sees it through: until it is in use, until the last connection of the one before is
    /// closed, and a while of load on the new one.
    fn change(
        &mut self,
        what: &str,
        (end, way): (End, Way),
        act: impl FnOnce(&mut Self) -> Result<(), String>,
        is_new: impl Fn(&Lineage) -> bool,
    ) -> Result<(), String> {
        let number_of = |lineage: &Lineage| lineage.in_use.as_ref().map_or(0, |in_use| in_use.number);
        let from = number_of(&self.status(end)?);
        let old = self.connections()?;
        act(self)?;
        let written = Instant::now();
        let to = self.until(&format!("{what} is in use"), || {
            let now = self.status(end)?;
            Ok((number_of(&now) != from && is_new(&now)).then(|| number_of(&now)))
        })?;
        let (noticed, promoted) = (written.elapsed(), Instant::now());
        self.pause(TAKEN_UP)?;
        let mark = self.load.mark();
        let (left, receipt) = loop {
            let receipt = self.status(end)?.receipt.filter(|receipt| receipt.to == to);
            let retired = receipt
                .as_ref()
                .is_some_and(|receipt| receipt.retired_after_seconds.is_some());
            let left = self.connections()?.intersection(&old).count();
            if (retired && left == 0) || promoted.elapsed() > DRAIN_BOUND {
                break (left.max(usize::from(!retired)), receipt.unwrap_or_default());
            }
            self.pause(LOOK_AGAIN)?;
        };
        let closed = promoted.elapsed();
        self.pause(STEADY)?;
        self.load.mark();
        let current = hash(&self.leaf)?;
        self.shown.insert(current.clone());
        self.note(format!(
            "{what}, {}: in use {} ms after it was there; {} connections of before, {left} left after {} ms",
            way.as_str(),
            noticed.as_millis(),
            old.len(),
            closed.as_millis(),
        ));
        self.note(format!("receipt: {}", receipt.sentence));
        self.changes.push(Change {
            what: what.to_owned(),
            way: way.as_str(),
            from,
            to,
            noticed,
            closed,
            connections_before: old.len(),
            connections_left: left,
            receipt,
            requests_after: 0,
            requests_on_old: 0,
            mark,
            current,
            before: self.shown.clone(),
        });
        Ok(())
    }

    /// A new leaf for the sidecar, by the CA of the day.
    fn change_leaf(&mut self, what: &str, way: Way) -> Result<(), String> {
        let next = self.client()?;
        let wanted = hash(&next)?;
        self.change(
            what,
            (End::Sidecar, way),
            |drill| {
                drill.put("identity", &next, way)?;
                drill.leaf = next;
                Ok(())
            },
            |now| shows(now, &wanted),
        )
    }

    fn client(&self) -> Result<Issued, String> {
        let name = super::papers::APP;
        let issued = self.ca().client(name, clock::unix_seconds());
        issued.map_err(|error| error.to_string())
    }
}

/// The leaf in use is this one.
fn shows(lineage: &Lineage, wanted: &str) -> bool {
    let leaf = lineage.in_use.as_ref().and_then(|in_use| in_use.chain.first());
    leaf.is_some_and(|leaf| leaf.fingerprint == wanted)
}

/// As status and `x-forwarded-client-cert` have it.
fn hash(issued: &Issued) -> Result<String, String> {
    let facts = Facts::read(&issued.leaf).map_err(|error| error.to_string())?;
    Ok(facts.fingerprint())
}

fn unwritten(directory: &std::path::Path, error: &io::Error) -> String {
    format!("cannot write below {}: {error}", directory.display())
}

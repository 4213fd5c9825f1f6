//! What an operator of the switch-over does and sees: through the sidecar's control socket, as `route set` and `route report`
//! do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::child::Stop;
use super::super::client::{Answer, Ask, Kept};
use super::super::evidence::{direct, expect_status, same};
use super::super::scene::{Scene, UNIT};
use super::super::step::Line;
use crate::control::client;
use crate::switch::report::{Report, Unit};

/// For anything that is waited for; generous, for busy machines.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long an override of the demo holds.
const HOLD: &str = "1h";

/// What is read of a person on the legacy side.
pub(super) const READS: [&str; 4] = ["all", "registrations", "risk/resourcing/latest", "allOffenderManagers"];

/// The switch-over under way.
pub(super) struct Operator<'a> {
    pub(super) scene: &'a Scene,
    stop: &'a Stop,
    /// Of the step under way.
    pub(super) lines: Vec<Line>,
}

/// How often each side was asked so far, by its own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) delius: u64,
    pub(super) standard: u64,
}

impl<'a> Operator<'a> {
    pub(super) const fn new(scene: &'a Scene, stop: &'a Stop) -> Self {
        Self {
            scene,
            stop,
            lines: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, line: impl Into<String>) {
        self.lines.push(Line::Note(line.into()));
    }

    /// `route set`.
    pub(super) fn set(&mut self, mode: &str, share: Option<f64>, reason: &str) -> Result<(), String> {
        let mut body = json!({ "unit": UNIT, "mode": mode, "reason": reason, "for": HOLD });
        let mut words = format!("route set {UNIT} --mode {mode}");
        if let Some(share) = share {
            body["share"] = share.into();
            words = format!("{words} --share {:.0}%", share * 100.0);
        }
        self.change(
            "/route/set",
            &body,
            &format!("{words} --reason \"{reason}\" --for {HOLD}"),
        )
    }

    /// `route reset --evidence`.
    pub(super) fn begin_anew(&mut self, reason: &str) -> Result<(), String> {
        let body = json!({ "unit": UNIT, "reason": reason, "evidence": true });
        self.change(
            "/route/reset",
            &body,
            &format!("route reset {UNIT} --evidence --reason \"{reason}\""),
        )
    }

    fn change(&mut self, target: &str, body: &Value, words: &str) -> Result<(), String> {
        self.lines.push(Line::Sent(words.to_owned()));
        let socket = self.scene.sidecar_control();
        let answer = client::ask(&socket, "POST", target, Some(body), PATIENCE).map_err(|error| error.to_string())?;
        let done = answer.body["done"].as_str();
        let done = done.ok_or_else(|| format!("refused: {} {}", answer.status, answer.body))?;
        self.lines.push(Line::Came(done.to_owned()));
        Ok(())
    }

    /// What `route report` reads.
    pub(super) fn unit(&self) -> Result<Unit, String> {
        let socket = self.scene.sidecar_control();
        let answer = client::ask(&socket, "GET", "/route", None, PATIENCE).map_err(|error| error.to_string())?;
        let report: Report =
            serde_json::from_value(answer.body).map_err(|error| format!("that is no report: {error}"))?;
        let found = report.units.into_iter().find(|unit| unit.unit == UNIT);
        found.ok_or_else(|| format!("the sidecar knows no unit {UNIT}"))
    }

    /// GO or NO-GO, in a line.
    pub(super) fn verdict(&mut self) -> Result<Unit, String> {
        let unit = self.unit()?;
        let decision = &unit.decision;
        self.lines.push(Line::Sent(format!("route report {UNIT}")));
        let word = if decision.go { "GO" } else { "NO-GO" };
        let lacks: Vec<_> = decision.lacks.iter().map(|lack| lack.sentence.as_str()).collect();
        let because = if lacks.is_empty() { "" } else { ": " };
        self.lines.push(Line::Came(format!(
            "{word} for {}{because}{}",
            decision.next.as_str(),
            lacks.join("; ")
        )));
        Ok(unit)
    }

    /// Waits until the unit is as it is wanted.
    pub(super) fn until(&self, what: &str, mut is_so: impl FnMut(&Unit) -> bool) -> Result<Unit, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let unit = self.unit()?;
            if is_so(&unit) {
                return Ok(unit);
            }
            if Instant::now() > deadline {
                let seen = unit.evidence;
                return Err(format!(
                    "waited {} s in vain until {what}; {} compared, {} mismatched, not comparable {:?}, dropped {:?}",
                    PATIENCE.as_secs(),
                    seen.compared,
                    seen.mismatched,
                    seen.not_comparable,
                    seen.dropped
                ));
            }
            if self.stop.wait(LOOK_AGAIN) {
                return Err("interrupted".to_owned());
            }
        }
    }

    /// Everything about these people, as the application asks for it: replies by person, in the order of [`READS`].
    pub(super) fn ask(&self, people: &[&'static str]) -> Result<Replies, String> {
        let mut app = Kept::new(self.scene.stage().sidecar, PATIENCE);
        let mut replies = Replies::new();
        for person in people {
            for read in READS {
                let answer = app
                    .send(&Ask::get(&target(person, read)))
                    .map_err(|error| format!("no reply from the sidecar: {error}"))?;
                replies.entry(person).or_default().push(answer);
            }
        }
        Ok(replies)
    }

    /// These replies are NDH's, byte for byte.
    pub(super) fn are_of_ndh(&self, replies: &Replies) -> Result<(), String> {
        for (person, answers) in replies {
            for (read, answer) in READS.iter().zip(answers) {
                let target = target(person, read);
                let ndh = direct(self.scene.stage(), &target)?;
                same(answer, &ndh).map_err(|how| format!("GET {target}: {how}"))?;
            }
        }
        Ok(())
    }

    /// How often each side was asked about this person.
    pub(super) fn counted(&self, person: &str) -> Counted {
        let delius = self.scene.stage().delius;
        Counted {
            delius: READS
                .iter()
                .map(|read| delius.requests("GET", &target(person, read)))
                .sum(),
            standard: self
                .scene
                .standard()
                .api
                .requests("GET", &format!("/case-records/{person}")),
        }
    }

    /// How often each side was asked about all of them.
    pub(super) fn counted_all(&self, people: &[&str]) -> Counted {
        let none = Counted { delius: 0, standard: 0 };
        let each = people.iter().map(|person| self.counted(person));
        each.fold(none, |sum, one| Counted {
            delius: sum.delius + one.delius,
            standard: sum.standard + one.standard,
        })
    }
}

/// Replies by person.
pub(super) type Replies = BTreeMap<&'static str, Vec<Answer>>;

pub(super) fn target(person: &str, read: &str) -> String {
    format!("/secure/offenders/nomsNumber/{person}/{read}")
}

/// The tier in a reply about a person; `None`: there is none, or no such person.
pub(super) fn tier(answers: &[Answer]) -> Result<Option<String>, String> {
    let all = answers.first().ok_or("nothing was asked")?;
    if all.status == 404 {
        return Ok(None);
    }
    expect_status(all, 200)?;
    let told: Value = serde_json::from_slice(&all.body).map_err(|error| format!("not JSON: {error}"))?;
    Ok(told["currentTier"].as_str().map(str::to_owned))
}

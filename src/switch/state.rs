//! What outlives the process, in the file that `[switch] state` names: overrides, roll-backs, when NDH was last used.
//!
//! A file of another version is refused, because forgetting a roll-back would bring the standard leg back by itself. A file
//! that cannot be read at all says nothing: the process starts empty and says so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::standing::{Override, RolledBack};
use super::usage::Routes;

/// Of the file's shape.
const VERSION: u64 = 1;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u64,
    /// Since when the use of NDH is counted, in unix seconds.
    pub since: i64,
    #[serde(default)]
    pub units: BTreeMap<String, Remembered>,
    /// When NDH last answered, by route.
    #[serde(default)]
    pub routes: Routes,
}

/// What is kept of a unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    #[serde(rename = "override")]
    pub set: Option<Override>,
    pub rolled_back: Option<RolledBack>,
    /// Since when standard has answered everybody, in unix seconds.
    pub standard_since: Option<i64>,
}

/// The file is of another version of this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state of the switch is of version {0}, this program reads version {VERSION}: run the program that wrote it, or remove \
     the file; then overrides and roll-backs are forgotten and the configured modes rule"
)]
pub struct UnknownVersion(u64);

impl State {
    /// Of a process that has no past.
    #[must_use]
    pub const fn new(now: i64) -> Self {
        Self {
            version: VERSION,
            since: now,
            units: BTreeMap::new(),
            routes: BTreeMap::new(),
        }
    }

    /// Reads the file's content; with a warning where there is none to be had from it.
    ///
    /// # Errors
    /// [`UnknownVersion`].
    pub fn read(text: &str, now: i64) -> Result<(Self, Option<String>), UnknownVersion> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        match serde_json::from_str::<Versioned>(text) {
            Ok(Versioned { version }) if version != VERSION => return Err(UnknownVersion(version)),
            _ => {}
        }
        Ok(match serde_json::from_str::<Self>(text) {
            Ok(state) => (state, None),
            // Neither the text nor what serde quotes of it: nobody knows what stands there.
            Err(error) => (
                Self::new(now),
                Some(format!(
                    "the state of the switch cannot be read (line {}, column {}): overrides, roll-backs and the last use of \
                     NDH are forgotten, and the configured modes rule",
                    error.line(),
                    error.column()
                )),
            ),
        })
    }

    /// The file's content.
    ///
    /// # Errors
    /// What serde says; plain values can be written.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::{LastUsed, Mode};

    #[test]
    fn what_was_written_is_read() {
        let mut state = State::new(5);
        let remembered = Remembered {
            set: Some(Override {
                mode: Mode::Canary,
                share: 0.05,
                reason: "try".to_owned(),
                by: "uid 1".to_owned(),
                set: 5,
                expires: 9,
            }),
            rolled_back: Some(RolledBack {
                at: 4,
                from: Mode::Standard,
                share: 1.0,
                reasons: vec!["errors".to_owned()],
                reason_then: None,
                configured: (Mode::Standard, 0.1),
            }),
            standard_since: Some(3),
        };
        state.units.insert("person".to_owned(), remembered);
        let mut used = LastUsed::default();
        used.note(8, true);
        state.routes.insert("all".to_owned(), used);
        let text = state.text().expect("written");
        assert_eq!(State::read(&text, 99), Ok((state, None)));
    }

    #[test]
    fn another_version_is_refused() {
        for text in [
            r#"{"version": 2, "since": 1}"#,
            r#"{"version": 0}"#,
            r#"{"version": 7, "anything": [1]}"#,
        ] {
            let refused = State::read(text, 1).expect_err(text).to_string();
            assert!(
                refused.contains("reads version 1") && refused.contains("remove the file"),
                "{refused}"
            );
        }
    }

    #[test]
    fn garbage_is_an_empty_start_with_a_warning_that_quotes_nothing() {
        for text in [
            "",
            "{",
            "[]",
            "A1234BC",
            r#"{"version": 1}"#,
            r#"{"version": 1, "since": 1, "A1234BC": 1}"#,
            "{\"version\": 1, \"since\": \"A1234BC\"}",
        ] {
            let (state, warning) = State::read(text, 7).expect("no version");
            assert_eq!(state, State::new(7), "{text}");
            let warning = warning.expect("a warning");
            assert!(
                warning.contains("forgotten") && !warning.contains("A1234BC"),
                "{warning}"
            );
        }
    }
}

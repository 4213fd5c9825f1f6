//! A compiled program, and one run of it.

use std::fmt;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars};
use serde_json::Value as Json;

use super::language::{self, Metered, Table};
use super::meter::{self, Bounds, DEEPEST, Left, Spent};
use super::{grammar, json};

/// A program that can be run at any time on any thread, by many at once.
pub struct Program {
    name: String,
    fingerprint: u64,
    filter: Filter<Metered>,
}

/// What is wrong with the text of a program, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {what}; {hint}")]
pub struct ProgramError {
    pub name: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// Why a run gave no value. Never quotes one: the input is about a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error(
        "{program}: the mapping did not end within its {steps} steps: it loops, or its input is far larger than it was made for"
    )]
    Steps { program: String, steps: u64 },
    #[error(
        "{program}: the mapping built more than its {bytes} bytes: it multiplies, or its input is far larger than it was made for"
    )]
    Bytes { program: String, bytes: usize },
    #[error("{program}: the mapping built a value nested deeper than {DEEPEST} levels")]
    Nesting { program: String },
    #[error("{program}: the mapping calls itself, or nests its calls, too deep")]
    Stack { program: String },
    #[error("{program}: the input is nested deeper than {DEEPEST} levels")]
    Input { program: String },
    #[error("{program}: the mapping put out more than one value: write [ … ] around what makes several, or first( … )")]
    Several { program: String },
    #[error("{program}: the mapping put out {what}")]
    Output { program: String, what: &'static str },
    #[error("{program}: the mapping failed: {what}")]
    Failed { program: String, what: String },
    #[error("{program}: the interpreter of mappings broke down on this program: report it")]
    Broken { program: String },
}

impl Program {
    /// Compiles a text; `name` is the file's name for sentences.
    pub fn compile(name: &str, text: &str) -> Result<Self, ProgramError> {
        let wrong = |place: &str, what: String, hint: String| {
            let (line, column) = grammar::position(text, place);
            ProgramError {
                name: name.to_owned(),
                line,
                column,
                what,
                hint,
            }
        };
        grammar::check(text).map_err(|fault| wrong(fault.place, fault.what, fault.hint))?;
        let arena = Arena::default();
        let end = &text[text.len()..];
        let modules = Loader::new(language::definitions())
            .load(&arena, File { code: text, path: () })
            .map_err(|_| wrong(end, "this is no jq program".into(), "see the manual of jq".into()))?;
        let filter = Compiler::default()
            .with_funs(language::natives())
            .compile(modules)
            .map_err(|errors| {
                let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
                let Some((place, undefined)) = first else {
                    return wrong(end, "this does not compile".into(), "see the manual of jq".into());
                };
                let (what, hint) = grammar::undefined(place, &undefined);
                wrong(place, what, hint)
            })?;
        Ok(Self {
            name: name.to_owned(),
            fingerprint: fingerprint(text),
            filter,
        })
    }

    /// Runs the program on one value. `None`: it put out nothing (`empty`).
    pub fn run(&self, input: &Json, bounds: &Bounds) -> Result<Option<Json>, RunError> {
        let program = || self.name.clone();
        meter::within(bounds, || self.output(input)).unwrap_or_else(|left| {
            Err(match left {
                Left::Spent(Spent::Steps) => RunError::Steps {
                    program: program(),
                    steps: bounds.steps,
                },
                Left::Spent(Spent::Bytes) => RunError::Bytes {
                    program: program(),
                    bytes: bounds.bytes,
                },
                Left::Spent(Spent::Nesting) => RunError::Nesting { program: program() },
                Left::Spent(Spent::Stack) => RunError::Stack { program: program() },
                Left::Panicked => RunError::Broken { program: program() },
            })
        })
    }

    fn output(&self, input: &Json) -> Result<Option<Json>, RunError> {
        let program = || self.name.clone();
        let input = json::read(input).ok_or_else(|| RunError::Input { program: program() })?;
        let context = Ctx::<Metered>::new(Table(&self.filter.lut), Vars::new([]));
        let mut outputs = self.filter.id.run((context, input));
        let Some(first) = outputs.next() else { return Ok(None) };
        let failed = |exception: jaq_core::Exn<'_, _>| RunError::Failed {
            program: program(),
            what: exception.get_err().map_or_else(
                |_| "it was left from within".to_owned(),
                |error| said(&error.to_string()),
            ),
        };
        let first = first.map_err(failed)?;
        match outputs.next() {
            None => {}
            Some(Ok(_)) => return Err(RunError::Several { program: program() }),
            Some(Err(exception)) => return Err(failed(exception)),
        }
        let output = json::write(&first).map_err(|what| RunError::Output {
            program: program(),
            what,
        })?;
        Ok(Some(output))
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of the text: the same on every machine and in every version.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.name).finish()
    }
}

/// The words of the interpreter hold no values, only the names of types. An error that is a value (`error(…)`, and some
/// of the library's) is not shown: it may hold a person's data.
fn said(words: &str) -> String {
    if words.starts_with("cannot ") || words.starts_with("invalid path expression") {
        words.to_owned()
    } else {
        "it raised an error of its own, which is not shown since it may hold a person's data".to_owned()
    }
}

/// FNV-1a, 64 bits.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

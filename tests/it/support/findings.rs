//! A list of what was found wrong, for tests that go through a table: all rows are tried, then one failure names
//! every row that broke. A table that was never walked fails too: a test that checks nothing must not pass.

use std::fmt::Display;

#[derive(Default)]
pub(crate) struct Findings {
    checked: usize,
    wrong: Vec<String>,
}

impl Findings {
    pub(crate) fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.wrong.push(otherwise());
        }
    }

    pub(crate) fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: impl Display, found: T, expected: T) {
        self.check(found == expected, || {
            format!("{what}: found {found:?}, expected {expected:?}")
        });
    }

    /// Takes the value out of a result, or writes the error down.
    pub(crate) fn take<T, E: Display>(&mut self, what: impl Display, result: Result<T, E>) -> Option<T> {
        self.checked += 1;
        result.map_err(|error| self.wrong.push(format!("{what}: {error}"))).ok()
    }

    #[track_caller]
    pub(crate) fn finish(self) {
        assert!(self.checked > 0, "nothing was checked");
        assert!(
            self.wrong.is_empty(),
            "{} of {} checks failed:\n  - {}",
            self.wrong.len(),
            self.checked,
            self.wrong.join("\n  - ")
        );
    }
}

//! What is logged in this process, kept to be searched.

use std::io;
use std::sync::{Arc, Mutex};

use super::eventually;

/// A writer for log lines; its clones write to the same place.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lines").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("lines")).into_owned()
    }

    /// Waits for a line in which all of this stands.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) {
        let says = |line: &str| parts.iter().all(|part| line.contains(part));
        let found = eventually(|| self.text().lines().any(says).then_some(()));
        assert!(found.is_some(), "no line with {parts:?} in\n{}", self.text());
    }
}

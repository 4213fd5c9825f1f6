//! Reads the files of a client's identifier and secret, whole or not at all.
//!
//! The content decides, never the file's time: Kubernetes swaps a link, editors write a newline at the end. What a sentence says of a file
//! is its path and what is wrong with it, never a part of its content.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::pairs::{Marks, Pair};
use crate::config::settings::ClientCredentials;
use crate::secret::Secret;

/// Bytes of a file that are read: it holds one line.
const LARGEST: u64 = 8 << 10;

/// A look at both files.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) marks: Marks,
    pub(super) pair: Result<Pair, String>,
    /// Worth saying although it does no harm.
    pub(super) note: Option<String>,
}

/// Looks at the files of a client.
pub(super) fn look(settings: &ClientCredentials) -> Seen {
    let id = line(&settings.client_id_file);
    let secret = line(&settings.client_secret_file);
    let marks = [mark(&id), mark(&secret)];
    let ends = |line: &Result<Line, String>| line.as_ref().is_ok_and(|line| line.newline);
    let note = [(&id, &settings.client_id_file), (&secret, &settings.client_secret_file)]
        .into_iter()
        .filter(|(line, _)| ends(line))
        .map(|(_, path)| path.display().to_string())
        .collect::<Vec<_>>();
    let note = (!note.is_empty()).then(|| {
        let files = note.join(" and ");
        format!("{files}: the newline at the end is not taken for a part of the value")
    });
    let pair = match (id, secret) {
        (Ok(id), Ok(secret)) => Ok(Pair {
            id: id.text.to_string(),
            secret: Secret::new(secret.text.to_string()),
            since: secret.written,
        }),
        (Err(one), Err(other)) => Err(format!("{one}; {other}")),
        (Err(one), _) | (_, Err(one)) => Err(one),
    };
    Seen { marks, pair, note }
}

/// The name of the Delius user in a file.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn user(path: &Path) -> Result<String, String> {
    line(path).map(|line| line.text.to_string())
}

struct Line {
    text: Zeroizing<String>,
    newline: bool,
    written: Option<i64>,
}

/// The one line that a file holds.
fn line(path: &Path) -> Result<Line, String> {
    let shown = path.display();
    let (bytes, written) = read(path).map_err(|error| {
        let right = match error.kind() {
            io::ErrorKind::NotFound => "is the secret mounted?",
            io::ErrorKind::PermissionDenied => "let the group of this process read it",
            _ => "expected a small file with one line",
        };
        format!("{shown} cannot be read ({error}); {right}")
    })?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| format!("{shown} is not text; expected one line with nothing else"))?
        .trim_start_matches('\u{feff}');
    let value = text.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        return Err(format!("{shown} is empty; expected one line"));
    }
    if value.chars().any(char::is_control) {
        return Err(format!(
            "{shown} holds several lines or a control character; expected one line with nothing else"
        ));
    }
    Ok(Line {
        newline: value.len() < text.len(),
        text: Zeroizing::new(value.to_owned()),
        written,
    })
}

fn read(path: &Path) -> io::Result<(Zeroizing<Vec<u8>>, Option<i64>)> {
    // Asked before it is opened: to open a pipe is to wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let file = fs::File::open(path)?;
    let facts = file.metadata()?;
    if facts.len() > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {LARGEST} bytes"),
        ));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LARGEST).unwrap_or_default()));
    file.take(LARGEST).read_to_end(&mut bytes)?;
    let written = facts.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Ok((bytes, written.and_then(|at| i64::try_from(at.as_secs()).ok())))
}

/// Of the value, not of the file: a newline more is no other secret. What cannot be read has the mark of its reason.
fn mark(line: &Result<Line, String>) -> [u8; 32] {
    let found = match line {
        Ok(line) => digest(&SHA256, line.text.as_bytes()),
        Err(sentence) => digest(&SHA256, format!("\n{sentence}").as_bytes()),
    };
    found.as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(content: &[u8]) -> (Result<Line, String>, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("client-secret");
        fs::write(&path, content).expect("written");
        (line(&path), directory)
    }

    #[test]
    fn a_newline_at_the_end_is_not_a_part_of_the_value_and_makes_no_other_mark() {
        let (plain, _first) = looked(b"p/w+d %");
        let (ended, _second) = looked(b"p/w+d %\r\n");
        assert_eq!(mark(&plain), mark(&ended));
        let (plain, ended) = (plain.expect("read"), ended.expect("read"));
        assert_eq!((plain.text.as_str(), plain.newline), ("p/w+d %", false));
        assert_eq!((ended.text.as_str(), ended.newline), ("p/w+d %", true));
        assert!(plain.written.is_some());
    }

    #[test]
    fn what_is_no_single_line_is_refused_without_being_quoted() {
        for content in [
            &b""[..],
            b"\n",
            b"one\nhunter2",
            b"hunter2\x00",
            b"\xff\xfehunter2",
            &[b'x'; 9000],
        ] {
            let (found, directory) = looked(content);
            let sentence = found.err().expect("refused");
            assert!(sentence.contains("client-secret"), "{sentence}");
            assert!(!sentence.contains("hunter2"), "{sentence}");
            drop(directory);
        }
    }

    #[test]
    fn a_directory_or_a_missing_file_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(
            line(directory.path())
                .err()
                .expect("refused")
                .contains("no regular file")
        );
        let missing = directory.path().join("missing");
        assert!(
            line(&missing)
                .err()
                .expect("refused")
                .contains("is the secret mounted?")
        );
    }
}

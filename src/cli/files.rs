//! Certificates and keys on disk: never overwritten, keys private from their first byte on, no half of a pair left.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::secret::{Secret, SecretBytes};

/// Nothing that is read here is larger.
const LARGEST: u64 = 16 << 20;

/// Reads a file; what is missing is said with what to do.
///
/// # Errors
/// The path, what is wrong with it, and `advice`.
pub(super) fn read(path: &Path, advice: &str) -> anyhow::Result<Vec<u8>> {
    bounded(path).map_err(|error| explain(path, &error, advice))
}

/// Not more than any certificate or key can be, whatever the path leads to.
///
/// # Errors
/// What the system says; a directory and what is too large are errors.
pub(super) fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than any certificate or key"));
    }
    Ok(bytes)
}

/// The same for a file of the configuration, which is there whole or not at all: a pipe that nobody fills would be
/// waited for.
///
/// # Errors
/// As [`bounded`].
pub(super) fn regular(path: &Path) -> io::Result<Vec<u8>> {
    let found = path.metadata()?;
    if found.is_file() || found.is_dir() {
        bounded(path)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// The same for a key.
///
/// # Errors
/// As [`read`].
pub(super) fn read_secret(path: &Path, advice: &str) -> anyhow::Result<SecretBytes> {
    read(path, advice).map(Secret::new)
}

fn explain(path: &Path, error: &io::Error, advice: &str) -> anyhow::Error {
    let why = match error.kind() {
        ErrorKind::NotFound => String::from("there is no such file"),
        ErrorKind::PermissionDenied => String::from("this user may not read it"),
        ErrorKind::IsADirectory => String::from("it is a directory"),
        _ => error.to_string(),
    };
    anyhow::anyhow!("{} cannot be read: {why}; {advice}", path.display())
}

/// Files that are written together or not at all, in the order given; none of them may exist.
pub(super) struct NewFiles<'a> {
    files: Vec<(PathBuf, &'a str, u32)>,
}

impl<'a> NewFiles<'a> {
    #[must_use]
    pub(super) const fn new() -> Self {
        Self { files: Vec::new() }
    }

    /// Readable by everybody: a certificate.
    #[must_use]
    pub(super) fn open(mut self, path: PathBuf, text: &'a str) -> Self {
        self.files.push((path, text, 0o644));
        self
    }

    /// Readable by its owner only: a key.
    #[must_use]
    pub(super) fn private(mut self, path: PathBuf, text: &'a str) -> Self {
        self.files.push((path, text, 0o600));
        self
    }

    /// Looks before anything is written.
    ///
    /// # Errors
    /// The first file that exists already.
    pub(super) fn refuse_existing(&self) -> anyhow::Result<()> {
        self.files.iter().try_for_each(|(path, ..)| refuse_existing(path))
    }

    /// Writes all of them; what was written goes again when one fails.
    ///
    /// # Errors
    /// Which file, and why.
    pub(super) fn write(self) -> anyhow::Result<Vec<PathBuf>> {
        self.refuse_existing()?;
        let mut written = Vec::with_capacity(self.files.len());
        for (path, text, mode) in self.files {
            let done = path
                .parent()
                .map_or(Ok(()), make_directory)
                .and_then(|()| create(&path, text, mode, &mut written));
            if let Err(error) = done {
                for path in written {
                    let _ = fs::remove_file(path);
                }
                return Err(error);
            }
        }
        Ok(written)
    }
}

fn create(path: &Path, text: &str, mode: u32, written: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.with_context(|| format!("writing {}", path.display()))?;
    written.push(path.to_owned());
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("writing {}", path.display()))
}

/// A file that exists, also as a dangling link, is not touched.
///
/// # Errors
/// When there is one.
pub(super) fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() {
        bail!(
            "{} exists, and certificates and keys are never overwritten; choose another directory or remove it first",
            path.display()
        );
    }
    Ok(())
}

/// Makes a directory and those above it.
///
/// # Errors
/// Which, and why.
pub(super) fn make_directory(path: &Path) -> anyhow::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    fs::create_dir_all(path).with_context(|| format!("making the directory {}", path.display()))
}

/// Replaces a file whole: a reader sees the old content or the new one. Only for what is not a certificate or key.
///
/// # Errors
/// Which file, and why.
pub(super) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("part");
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write()
        .inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        })
        .with_context(|| format!("replacing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_not_read_as_a_file_of_the_configuration() {
        let refused = regular(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(refused.to_string(), "it is not a regular file");
        let place = tempfile::tempdir().unwrap();
        assert_eq!(regular(place.path()).unwrap_err().kind(), ErrorKind::IsADirectory);
        fs::write(place.path().join("a"), "a").unwrap();
        assert_eq!(regular(&place.path().join("a")).unwrap(), b"a");
    }

    #[test]
    fn what_cannot_replace_a_file_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("index.json");
        fs::create_dir_all(directory.join("full")).unwrap();
        replace(&directory, "new").unwrap_err();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}

//! The files behind the invented people: embedded, or of a directory of the same layout.
//!
//! All are read before a stand-in listens, so that a bad file is an error at start, with its name, and never a strange
//! reply later. What they say is for `delius::data` and `standard::data`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// Why a data directory is refused.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("cannot read {file}: {error}")]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("{file}: {found}")]
    Invalid { file: PathBuf, found: String },
}

/// Files by their names below the directory.
#[derive(Debug)]
pub(super) struct Fixtures {
    directory: PathBuf,
    files: BTreeMap<String, Bytes>,
}

impl Fixtures {
    /// Those that come with the program.
    pub(super) fn embedded(files: &[(&str, &'static [u8])]) -> Self {
        let file = |(name, bytes): &(&str, &'static [u8])| ((*name).to_owned(), Bytes::from_static(bytes));
        Self {
            directory: PathBuf::from("(embedded)"),
            files: files.iter().map(file).collect(),
        }
    }

    /// Every file in the folders of a directory that are there.
    pub(super) fn load<'a>(directory: &Path, folders: impl IntoIterator<Item = &'a str>) -> Result<Self, DataError> {
        let mut fixtures = Self {
            directory: directory.to_owned(),
            files: BTreeMap::new(),
        };
        for folder in folders {
            for name in file_names(&directory.join(folder))? {
                fixtures.read(format!("{folder}/{name}"))?;
            }
        }
        Ok(fixtures)
    }

    /// One more, which has to be there.
    pub(super) fn read(&mut self, name: String) -> Result<(), DataError> {
        let file = self.directory.join(&name);
        let bytes = std::fs::read(&file).map_err(|error| DataError::Unreadable { file, error })?;
        self.files.insert(name, Bytes::from(bytes));
        Ok(())
    }

    /// One more, where it is there.
    pub(super) fn read_if_there(&mut self, name: &str) -> Result<(), DataError> {
        if self.directory.join(name).exists() {
            self.read(name.to_owned())?;
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Bytes> {
        self.files.get(name)
    }

    /// The files of one folder, by their whole names.
    pub(super) fn of<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a Bytes)> {
        let in_folder = move |name: &str| name.rsplit_once('/').is_some_and(|(at, _)| at == folder);
        let files = self.files.iter().map(|(name, bytes)| (name.as_str(), bytes));
        files.filter(move |(name, _)| in_folder(name))
    }

    /// A file says what cannot be.
    pub(super) fn invalid(&self, name: &str, found: String) -> DataError {
        DataError::Invalid {
            file: self.directory.join(name),
            found,
        }
    }
}

/// The files of one folder, hidden ones left out; an absent folder has none.
pub(super) fn file_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let unreadable = |error| DataError::Unreadable {
        file: folder.to_owned(),
        error,
    };
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

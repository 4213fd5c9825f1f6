//! The invented people behind the standard side: embedded, or from the `standard` folder of a directory.
//!
//! A person is known when there is a case record. `people.json` beside the folder says only what no file can: who is on
//! two records. Where it contradicts the files, the directory is refused at start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::super::fixtures::{DataError, Fixtures};
use super::embedded::EMBEDDED;

const PEOPLE: &str = "people.json";
const CASE_RECORDS: &str = "standard/case-records";
const WITH_ROSH: &str = "standard/case-records-with-rosh";
const MAPPA: &str = "standard/mappa";
const ROSH: &str = "standard/rosh";
const FOLDERS: [&str; 4] = [CASE_RECORDS, WITH_ROSH, MAPPA, ROSH];

/// Everyone the standard side knows.
#[derive(Debug, Default)]
pub struct Data {
    /// By CRN.
    people: BTreeMap<String, Person>,
    /// NOMS number to CRN.
    linked: BTreeMap<String, String>,
    /// NOMS numbers on two records.
    duplicates: BTreeSet<String>,
}

/// The replies about one person.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) crn: String,
    case_record: Bytes,
    with_rosh: Option<Bytes>,
    mappa: Option<Bytes>,
    rosh: Option<Bytes>,
}

/// A reply that is a file for each person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Endpoint {
    CaseRecord,
    Mappa,
    Rosh,
}

/// The two numbers a person may be asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identifier {
    Noms,
    Crn,
}

#[derive(Deserialize)]
struct PeopleFile {
    people: Vec<PersonEntry>,
}

/// Other keys are for other readers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PersonEntry {
    noms: String,
    standard_status: Option<u16>,
}

impl Identifier {
    /// By its form, in capitals, as a whole.
    pub(super) fn of(text: &str) -> Option<Self> {
        let form = text.bytes().map(|byte| match byte {
            b'A'..=b'Z' => 'A',
            b'0'..=b'9' => '9',
            _ => '-',
        });
        match &*form.collect::<String>() {
            "A9999AA" => Some(Self::Noms),
            "A999999" => Some(Self::Crn),
            _ => None,
        }
    }

    /// As error texts have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Noms => "nomsId",
            Self::Crn => "crn",
        }
    }
}

impl Person {
    pub(super) fn case_record(&self, with_rosh: bool) -> Bytes {
        let longer = self.with_rosh.as_ref().filter(|_| with_rosh);
        longer.unwrap_or(&self.case_record).clone()
    }

    pub(super) fn reply(&self, endpoint: Endpoint) -> Option<Bytes> {
        match endpoint {
            Endpoint::CaseRecord => Some(self.case_record.clone()),
            Endpoint::Mappa => self.mappa.clone(),
            Endpoint::Rosh => self.rosh.clone(),
        }
    }
}

impl Data {
    /// The people that come with the program.
    pub fn embedded() -> Result<Self, DataError> {
        Self::build(&Fixtures::embedded(EMBEDDED))
    }

    /// The people of a directory: its `standard` folder, and `people.json` where there is one.
    pub fn load(directory: &Path) -> Result<Self, DataError> {
        let mut files = Fixtures::load(directory, FOLDERS)?;
        files.read_if_there(PEOPLE)?;
        if !directory.join(CASE_RECORDS).is_dir() {
            let found = "there is no such directory; expected a file for each person, named as A1234BC.json";
            return Err(files.invalid(CASE_RECORDS, found.to_owned()));
        }
        Self::build(&files)
    }

    fn build(files: &Fixtures) -> Result<Self, DataError> {
        let invalid = |name: &str, found: String| files.invalid(name, found);
        let mut data = Self::default();
        for folder in FOLDERS {
            for (name, bytes) in files.of(folder) {
                data.add(folder, name, bytes).map_err(|found| invalid(name, found))?;
            }
        }
        if let Some(bytes) = files.get(PEOPLE) {
            let listed: PeopleFile =
                serde_json::from_slice(bytes).map_err(|error| invalid(PEOPLE, error.to_string()))?;
            for entry in &listed.people {
                data.list(entry).map_err(|found| invalid(PEOPLE, found))?;
            }
        }
        Ok(data)
    }

    /// Checks one reply and gives it to its person.
    fn add(&mut self, folder: &str, name: &str, bytes: &Bytes) -> Result<(), String> {
        let stem = name.rsplit('/').next().and_then(|file| file.strip_suffix(".json"));
        let kind = stem.and_then(Identifier::of);
        let (Some(stem), Some(kind)) = (stem, kind) else {
            return Err("expected a name such as A1234BC.json or X123456.json".to_owned());
        };
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if !value.is_object() {
            return Err("expected an object at the top".to_owned());
        }
        if folder == CASE_RECORDS {
            return self.add_person(stem, kind, &value, bytes);
        }
        let missing = || format!("{CASE_RECORDS} has no record of {stem}");
        let crn = match kind {
            Identifier::Crn => Some(stem),
            Identifier::Noms => self.linked.get(stem).map(String::as_str),
        };
        let person = self.people.get_mut(crn.ok_or_else(missing)?).ok_or_else(missing)?;
        let reply = match folder {
            WITH_ROSH => &mut person.with_rosh,
            MAPPA => &mut person.mappa,
            _ => &mut person.rosh,
        };
        *reply = Some(bytes.clone());
        Ok(())
    }

    fn add_person(&mut self, stem: &str, kind: Identifier, value: &Value, bytes: &Bytes) -> Result<(), String> {
        let crn = value["crn"].as_str().unwrap_or_default();
        if Identifier::of(crn) != Some(Identifier::Crn) {
            return Err(format!("crn is {crn:?}, expected a letter and six digits"));
        }
        let noms = value["nomsId"].as_str();
        let says = match kind {
            Identifier::Noms => noms.unwrap_or_default(),
            Identifier::Crn => crn,
        };
        if says != stem {
            return Err(format!("{} is {says:?}, but the file is named {stem}", kind.name()));
        }
        let person = Person {
            crn: crn.to_owned(),
            case_record: bytes.clone(),
            with_rosh: None,
            mappa: None,
            rosh: None,
        };
        if self.people.insert(crn.to_owned(), person).is_some() {
            return Err(format!("another file has the crn {crn} as well"));
        }
        if let Some(noms) = noms
            && self.linked.insert(noms.to_owned(), crn.to_owned()).is_some()
        {
            return Err(format!("another file has the nomsId {noms} as well"));
        }
        Ok(())
    }

    /// What `people.json` says of one person must fit the files.
    fn list(&mut self, entry: &PersonEntry) -> Result<(), String> {
        let (noms, there) = (&entry.noms, self.linked.contains_key(&entry.noms));
        match entry.standard_status {
            Some(200) if !there => Err(format!(
                "{CASE_RECORDS}/{noms}.json is missing, though standardStatus of {noms} is 200"
            )),
            Some(status @ (404 | 409)) if there => Err(format!(
                "standardStatus of {noms} is {status}, though there is {CASE_RECORDS}/{noms}.json"
            )),
            Some(409) => {
                self.duplicates.insert(noms.clone());
                Ok(())
            }
            Some(200 | 404) | None => Ok(()),
            Some(other) => Err(format!("standardStatus of {noms} is {other}, expected 200, 404 or 409")),
        }
    }

    pub(super) fn is_duplicate(&self, noms: &str) -> bool {
        self.duplicates.contains(noms)
    }

    pub(super) fn person(&self, kind: Identifier, identifier: &str) -> Option<&Person> {
        match kind {
            Identifier::Crn => self.people.get(identifier),
            Identifier::Noms => self.people.get(self.linked.get(identifier)?),
        }
    }
}

//! The invented people behind the Delius stand-in: embedded, or from a directory of the same layout.
//!
//! `people.json` says who exists; one file a person and endpoint holds the exact bytes of the reply. Everything is
//! checked before the stand-in listens.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::super::fixtures::{DataError, Fixtures};
use super::embedded::EMBEDDED;
use super::managers::{Establishments, Manager};

/// Everyone the stand-in knows.
#[derive(Debug)]
pub struct Data {
    /// By NOMS number, in capitals.
    people: BTreeMap<String, Person>,
    users: Vec<User>,
}

/// One person and the replies about that person.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) standing: Standing,
    pub(super) crn: Option<String>,
    /// The key in Delius; error texts name it.
    pub(super) offender_id: u64,
    pub(super) custodial_events: usize,
    pub(super) managers: Vec<Manager>,
    replies: BTreeMap<Endpoint, Bytes>,
}

/// How Delius stands to a NOMS number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Known,
    /// Nobody, or nobody yet.
    Unknown,
    /// On two active records.
    Duplicate,
}

/// A reply that is a file for each person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Endpoint {
    All,
    Registrations,
    Resourcing,
    Managers,
    Mappa,
    All2018,
    Registrations2018,
}

/// Who may log on to generation A, apart from the national user.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct User {
    /// The LDAP distinguished name.
    pub(super) name: String,
    pub(super) uid: String,
    #[serde(default)]
    pub(super) probation_area_codes: Vec<String>,
}

const ENDPOINTS: [(Endpoint, &str); 7] = [
    (Endpoint::All, "legacy/offender-all"),
    (Endpoint::Registrations, "legacy/registrations"),
    (Endpoint::Resourcing, "legacy/resourcing-latest"),
    (Endpoint::Managers, "legacy/all-offender-managers"),
    (Endpoint::Mappa, "legacy/mappa"),
    (Endpoint::All2018, "legacy-2018/offender-all"),
    (Endpoint::Registrations2018, "legacy-2018/registrations"),
];
const PEOPLE: &str = "people.json";
const USERS: &str = "legacy-2018/users.json";

#[derive(Deserialize)]
struct PeopleFile {
    people: Vec<PersonEntry>,
}

/// Other keys (notes, what the standard side answers) are for other readers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PersonEntry {
    noms: String,
    crn: Option<String>,
    legacy_status: u16,
    custodial_events: Option<usize>,
}

impl Data {
    /// The people that come with the program.
    pub fn embedded() -> Result<Self, DataError> {
        Self::build(&Fixtures::embedded(EMBEDDED))
    }

    /// The people of a directory.
    pub fn load(directory: &Path) -> Result<Self, DataError> {
        let mut files = Fixtures::load(directory, ENDPOINTS.map(|(_, folder)| folder))?;
        files.read(PEOPLE.to_owned())?;
        files.read_if_there(USERS)?;
        Self::build(&files)
    }

    fn build(files: &Fixtures) -> Result<Self, DataError> {
        let invalid = |name: &str, found: String| files.invalid(name, found);
        let missing = Bytes::new();
        let listed: PeopleFile = serde_json::from_slice(files.get(PEOPLE).unwrap_or(&missing))
            .map_err(|error| invalid(PEOPLE, error.to_string()))?;
        let mut people = BTreeMap::new();
        for entry in listed.people {
            let noms = entry.noms.to_ascii_uppercase();
            let person = Person::of(&entry).map_err(|found| invalid(PEOPLE, found))?;
            if people.insert(noms.clone(), person).is_some() {
                return Err(invalid(PEOPLE, format!("{noms} is listed twice")));
            }
        }
        let users = match files.get(USERS) {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|error| invalid(USERS, error.to_string()))?,
            None => Vec::new(),
        };
        let mut data = Self { people, users };
        for (endpoint, folder) in ENDPOINTS {
            for (name, bytes) in files.of(folder) {
                data.add(endpoint, name, bytes).map_err(|found| invalid(name, found))?;
            }
        }
        for (noms, person) in &data.people {
            if person.standing == Standing::Known && person.reply(Endpoint::All).is_none() {
                let name = format!("legacy/offender-all/{noms}.json");
                let found = format!("the file is missing, though {PEOPLE} gives {noms} legacyStatus 200");
                return Err(invalid(&name, found));
            }
        }
        Ok(data)
    }

    /// Checks one reply and gives it to its person.
    fn add(&mut self, endpoint: Endpoint, name: &str, bytes: &Bytes) -> Result<(), String> {
        let stem = name.rsplit('/').next().and_then(|file| file.strip_suffix(".json"));
        let Some(stem) = stem.map(str::to_ascii_uppercase) else {
            return Err("expected a name such as A1234BC.json".to_owned());
        };
        let person = if endpoint == Endpoint::Mappa {
            let owner = |person: &&mut Person| person.crn.as_deref() == Some(&*stem);
            self.people.values_mut().find(owner)
        } else {
            self.people.get_mut(&stem)
        };
        let person = person.ok_or_else(|| format!("{stem} is not listed in {PEOPLE}"))?;
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let array = matches!(endpoint, Endpoint::Managers | Endpoint::Registrations2018);
        if !(if array { value.is_array() } else { value.is_object() }) {
            let expected = if array { "an array" } else { "an object" };
            return Err(format!("expected {expected} at the top"));
        }
        if matches!(endpoint, Endpoint::All | Endpoint::All2018) {
            let says = value["otherIds"]["nomsNumber"].as_str().unwrap_or_default();
            if !says.eq_ignore_ascii_case(&stem) {
                return Err(format!("otherIds.nomsNumber is {says:?}, but the file is named {stem}"));
            }
            person.offender_id = value["offenderId"]
                .as_u64()
                .ok_or("offenderId is missing or not a whole number")?;
        }
        if endpoint == Endpoint::Managers {
            person.managers = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        }
        person.replies.insert(endpoint, bytes.clone());
        Ok(())
    }

    /// Letter case is ignored, as Delius does. A number that nobody listed is unknown.
    pub(super) fn person(&self, noms: &str) -> Option<&Person> {
        self.people.get(&noms.to_ascii_uppercase())
    }

    pub(super) fn person_by_crn(&self, crn: &str) -> Option<&Person> {
        let owner = |person: &&Person| person.crn.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(crn));
        self.people.values().find(owner)
    }

    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn establishments(&self) -> Establishments {
        let mut establishments = Establishments::default();
        for manager in self.people.values().flat_map(|person| &person.managers) {
            establishments.learn(manager);
        }
        establishments
    }
}

impl Person {
    fn of(entry: &PersonEntry) -> Result<Self, String> {
        let standing = match entry.legacy_status {
            200 => Standing::Known,
            404 => Standing::Unknown,
            409 => Standing::Duplicate,
            other => {
                let noms = &entry.noms;
                return Err(format!("legacyStatus of {noms} is {other}, expected 200, 404 or 409"));
            }
        };
        Ok(Self {
            standing,
            crn: entry.crn.as_deref().map(str::to_ascii_uppercase),
            offender_id: 0,
            custodial_events: entry.custodial_events.unwrap_or(1),
            managers: Vec::new(),
            replies: BTreeMap::new(),
        })
    }

    pub(super) fn reply(&self, endpoint: Endpoint) -> Option<Bytes> {
        self.replies.get(&endpoint).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::super::fixtures::file_names;
    use super::*;

    fn people() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rehearsal/people")
    }

    #[test]
    fn the_embedded_table_holds_every_file_of_the_directory() {
        let mut expected = vec![PEOPLE.to_owned(), USERS.to_owned()];
        for (_, folder) in ENDPOINTS {
            let names = file_names(&people().join(folder)).unwrap();
            expected.extend(names.into_iter().map(|name| format!("{folder}/{name}")));
        }
        expected.sort();
        let mut embedded: Vec<_> = EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect();
        embedded.sort();
        assert_eq!(embedded, expected);
        assert!(embedded.len() > 40, "the directory was not found");
    }

    #[test]
    fn the_directory_and_the_embedded_people_are_the_same() {
        let (loaded, embedded) = (Data::load(&people()).unwrap(), Data::embedded().unwrap());
        assert_eq!(format!("{loaded:?}"), format!("{embedded:?}"));
        assert_eq!(embedded.people.len(), 11);
    }

    #[test]
    fn managers_keep_their_bytes_when_they_are_read_and_written() {
        let data = Data::embedded().unwrap();
        let mut checked = 0;
        for person in data.people.values() {
            if let Some(bytes) = person.reply(Endpoint::Managers) {
                let written = serde_json::to_string_pretty(&person.managers).unwrap() + "\n";
                assert_eq!(written.as_bytes(), bytes);
                checked += 1;
            }
        }
        assert_eq!(checked, 8);
    }

    #[test]
    fn a_bad_file_is_named_with_what_is_wrong() {
        let one = r#"{"people": [{"noms": "Z9001XA", "crn": "Z900001", "legacyStatus": 200}]}"#;
        let all = "legacy/offender-all/Z9001XA.json";
        let good = r#"{"offenderId": 1, "otherIds": {"nomsNumber": "Z9001XA"}}"#;
        let cases = [
            (&[][..], "people.json", "No such file"),
            (&[(PEOPLE, "{")], "people.json", "EOF"),
            (&[(PEOPLE, one)], all, "missing"),
            (&[(PEOPLE, one), (all, "{\"a\":")], all, "EOF"),
            (&[(PEOPLE, one), (all, "[]")], all, "expected an object"),
            (
                &[(PEOPLE, one), (all, r#"{"otherIds": {"nomsNumber": "Z9002XB"}}"#)],
                all,
                "\"Z9002XB\"",
            ),
            (
                &[(PEOPLE, one), (all, good), ("legacy/registrations/Z9002XB.json", "{}")],
                "legacy/registrations/Z9002XB.json",
                "not listed",
            ),
            (
                &[(PEOPLE, one), (all, good), ("legacy/mappa/notes.txt", "")],
                "legacy/mappa/notes.txt",
                "expected a name",
            ),
        ];
        for (files, named, found) in cases {
            let directory = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let file = directory.path().join(name);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, text).unwrap();
            }
            let error = Data::load(directory.path()).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(found), "{error}");
        }
    }
}

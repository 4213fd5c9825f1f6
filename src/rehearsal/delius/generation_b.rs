//! Generation B (from October 2019): context path `/secure`, JSON errors, the writes.
//!
//! Order of refusals, as in the API: token, role, request body, person, then what the person allows. Error texts
//! repeat the NOMS number as it was asked for.

use http::Method;
use serde::{Deserialize, Serialize};

use super::data::{Endpoint, Person, Standing};
use super::managers::{Coded, Manager, allocate, deallocate};
use super::token::Bearer;
use super::{Ask, CustodialEvents, Delius, Reply, Written, day, reading};

const READ: &str = "ROLE_COMMUNITY";
const CUSTODY_UPDATE: &str = "ROLE_COMMUNITY_CUSTODY_UPDATE";
const CASE_NOTES: &str = "ROLE_DELIUS_CASE_NOTES";

/// The body of a POM allocation. Fields that the caller never sends are accepted, as the API does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Allocation {
    noms_prison_institution_code: Option<String>,
    officer: Option<Officer>,
    staff_id: Option<u64>,
}

#[derive(Deserialize)]
struct Officer {
    #[serde(default)]
    forenames: String,
    #[serde(default)]
    surname: String,
}

#[derive(Deserialize)]
struct KeyDateBody {
    date: String,
}

#[derive(Serialize)]
struct KeyDate {
    #[serde(rename = "type")]
    kind: Coded,
    date: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseNote {
    note_type: String,
    staff_name: String,
    establishment_code: String,
    #[serde(rename = "content")]
    _content: String,
    #[serde(rename = "contactTimeStamp")]
    _contact: String,
    #[serde(rename = "systemTimeStamp")]
    _system: String,
}

impl Delius {
    pub(super) fn generation_b(&self, ask: &Ask<'_>, rest: &[&str]) -> Reply {
        if let Err(refused) = self.authorise(ask, rest) {
            return refused;
        }
        match rest {
            ["offenders", "nomsNumber", noms, of @ ..] => self.by_noms(ask, noms, of),
            ["offenders", "crn", crn, "risk", "mappa"] => reading(ask, || {
                let known = |person: &&Person| person.standing == Standing::Known;
                mappa(self.data.person_by_crn(crn).filter(known))
            }),
            ["nomisCaseNotes", noms, id] if *ask.method == Method::PUT => self.put_case_note(ask, noms, id),
            ["nomisCaseNotes", _, _] => Reply::unhandled(405, ask.path),
            _ => Reply::unhandled(404, ask.path),
        }
    }

    fn by_noms(&self, ask: &Ask<'_>, noms: &str, of: &[&str]) -> Reply {
        let put = *ask.method == Method::PUT;
        let delete = *ask.method == Method::DELETE;
        match of {
            ["all"] => reading(ask, || self.all(noms)),
            ["registrations"] => reading(ask, || self.registrations(noms)),
            ["risk", "resourcing", "latest"] => reading(ask, || self.resourcing(noms)),
            ["risk", "mappa"] => reading(ask, || match self.find(noms, "Offender not found") {
                Ok(person) => mappa(Some(person)),
                Err(refused) => refused,
            }),
            ["allOffenderManagers"] => reading(ask, || self.managers(ask, noms)),
            ["prisonOffenderManager"] if put => self.put_manager(ask, noms).unwrap_or_else(|refused| refused),
            ["prisonOffenderManager"] if delete => self.delete_manager(ask, noms).unwrap_or_else(|refused| refused),
            ["custody", "keyDates", code] if put => {
                self.put_key_date(ask, noms, code).unwrap_or_else(|refused| refused)
            }
            ["custody", "keyDates", code] if delete => {
                self.delete_key_date(noms, code).unwrap_or_else(|refused| refused)
            }
            ["prisonOffenderManager"] | ["custody", "keyDates", _] => Reply::unhandled(405, ask.path),
            _ => Reply::unhandled(404, ask.path),
        }
    }

    /// Only with `require_token`: 401 with nothing, then 403 with the error body.
    fn authorise(&self, ask: &Ask<'_>, rest: &[&str]) -> Result<(), Reply> {
        if !self.require_token {
            return Ok(());
        }
        let bearer = Bearer::read(ask.authorization, ask.now).ok_or_else(|| Reply::empty(401))?;
        let needed: &[_] = match rest {
            ["nomisCaseNotes", ..] => &[CASE_NOTES],
            _ if *ask.method == Method::GET || *ask.method == Method::HEAD => &[READ],
            _ => &[READ, CUSTODY_UPDATE],
        };
        if needed.iter().all(|role| bearer.has(role)) {
            Ok(())
        } else {
            Err(Reply::access_denied())
        }
    }

    /// The person behind a NOMS number, or the refusal: 409 for a duplicate, 404 with the endpoint's own words.
    fn find(&self, noms: &str, not_found: &str) -> Result<&Person, Reply> {
        match self.data.person(noms).map(|person| (person.standing, person)) {
            Some((Standing::Known, person)) => Ok(person),
            Some((Standing::Duplicate, _)) => Err(duplicate(noms)),
            Some((Standing::Unknown, _)) | None => Err(Reply::problem(404, not_found)),
        }
    }

    // Reads.

    fn all(&self, noms: &str) -> Reply {
        match self.find(noms, &format!("Offender with nomsNumber {noms} not found")) {
            Ok(person) => Reply::file(person.reply(Endpoint::All).unwrap_or_default()),
            Err(refused) => refused,
        }
    }

    fn registrations(&self, noms: &str) -> Reply {
        match self.find(noms, "No offender found") {
            Ok(person) => Reply::file(person.reply(Endpoint::Registrations).unwrap_or(b"{}\n"[..].into())),
            Err(refused) => refused,
        }
    }

    fn resourcing(&self, noms: &str) -> Reply {
        match self
            .find(noms, "Offender not found")
            .map(|person| person.reply(Endpoint::Resourcing))
        {
            Ok(Some(bytes)) => Reply::file(bytes),
            Ok(None) => Reply::problem(404, "Resourcing details for offender not found"),
            Err(refused) => refused,
        }
    }

    /// The one read that meets a duplicate unprepared.
    fn managers(&self, ask: &Ask<'_>, noms: &str) -> Reply {
        let not_found = format!("Offender with NOMS number {noms} not found");
        match self.find(noms, &not_found) {
            Ok(person) => match self.written().managers.get(&noms.to_ascii_uppercase()) {
                Some(written) => Reply::json(200, written),
                None => Reply::file(person.reply(Endpoint::Managers).unwrap_or(b"[]\n"[..].into())),
            },
            Err(refused) if refused.status == 409 => Reply::unhandled(500, ask.path),
            Err(refused) => refused,
        }
    }

    // Writes.

    fn put_manager(&self, ask: &Ask<'_>, noms: &str) -> Result<Reply, Reply> {
        let body: Allocation = parse(ask)?;
        let invalid = |what| {
            let message = format!("Expected createPrisonOffenderManager to contain {what}");
            Err(Reply::problem(400, &message))
        };
        let code = body.noms_prison_institution_code.unwrap_or_default();
        if code.trim().is_empty() {
            return invalid("a NOMS prison institution code");
        }
        match (&body.officer, body.staff_id) {
            (None, None) => return invalid("an officer or a staff id"),
            (Some(_), Some(_)) => return invalid("either an officer or a staff id, not both"),
            (Some(officer), None) if officer.surname.trim().is_empty() => {
                return invalid("an officer with a surname");
            }
            (Some(officer), None) if officer.forenames.trim().is_empty() => {
                return invalid("an officer with forenames");
            }
            _ => {}
        }
        let person = self.find(noms, &format!("Offender with noms number {noms} not found"))?;
        let mut written = self.written();
        let Some(area) = written.establishments.prison(&code).cloned() else {
            return Err(Reply::problem(400, &format!("Prison NOMS code {code} not found")));
        };
        let officer = match (body.officer, body.staff_id) {
            (Some(officer), _) => {
                let officers = &mut written.establishments;
                Some(officers.officer(&code, &officer.forenames, &officer.surname))
            }
            (None, staff_id) => staff_id.and_then(|id| written.establishments.officer_by_id(&code, id)),
        };
        let Some(officer) = officer else {
            let message = format!(
                "Staff with id {} is not in the area of prison {code}",
                body.staff_id.unwrap_or_default()
            );
            return Err(Reply::problem(400, &message));
        };
        let managers = managers_of(&mut written, noms, person);
        Ok(Reply::json(200, &allocate(managers, officer, &area, day(ask.now))))
    }

    fn delete_manager(&self, ask: &Ask<'_>, noms: &str) -> Result<Reply, Reply> {
        let person = self.find(noms, &format!("Offender {noms} not found"))?;
        if deallocate(managers_of(&mut self.written(), noms, person), day(ask.now)) {
            Ok(Reply::empty(200))
        } else {
            let message = format!("Offender {noms} does not have a prisoner offender manager");
            Err(Reply::problem(409, &message))
        }
    }

    fn put_key_date(&self, ask: &Ask<'_>, noms: &str, code: &str) -> Result<Reply, Reply> {
        let KeyDateBody { date } = parse(ask)?;
        if date.parse::<jiff::civil::Date>().is_err() || date.len() != 10 {
            return Err(Reply::problem(400, "Expected date as yyyy-mm-dd"));
        }
        let kind = self.key_date_type(noms, code)?;
        let key = (noms.to_ascii_uppercase(), code.to_owned());
        self.written().key_dates.insert(key, date.clone());
        Ok(Reply::json(200, &KeyDate { kind, date }))
    }

    fn delete_key_date(&self, noms: &str, code: &str) -> Result<Reply, Reply> {
        self.key_date_type(noms, code)?;
        let key = (noms.to_ascii_uppercase(), code.to_owned());
        self.written().key_dates.remove(&key);
        Ok(Reply::empty(200))
    }

    /// Person, then exactly one active custodial event, then the type.
    fn key_date_type(&self, noms: &str, code: &str) -> Result<Coded, Reply> {
        let person = self.find(noms, "Offender not found")?;
        let events = match self.custodial_events {
            None => person.custodial_events,
            Some(CustodialEvents::None) => 0,
            Some(CustodialEvents::One) => 1,
            Some(CustodialEvents::Several) => 2,
        };
        if events != 1 {
            let message = format!(
                "Expected offender {} to have a single custody related event but found {events} events",
                person.offender_id
            );
            return Err(Reply::problem(400, &message));
        }
        let description = match code {
            "POM1" => "POM Handover expected start date",
            "POM2" => "RO responsibility handover from POM to COM expected date",
            _ => return Err(Reply::problem(400, &format!("{code} is not a valid custody key date"))),
        };
        Ok(Coded {
            code: code.to_owned(),
            description: description.to_owned(),
        })
    }

    /// Status only, as the contract knows no bodies here.
    fn put_case_note(&self, ask: &Ask<'_>, noms: &str, id: &str) -> Reply {
        let note = serde_json::from_slice::<CaseNote>(ask.body);
        let (Ok(note), Ok(id)) = (note, id.parse::<u64>()) else {
            return Reply::empty(400);
        };
        // Oddities of Delius' own interface: agencies it does not know, and a type that it fails on.
        let agency = matches!(note.establishment_code.as_str(), "FYI" | "TRN" | "ZZGHI");
        if !note.staff_name.contains(',') || agency {
            return Reply::empty(400);
        }
        if let Err(refused) = self.find(noms, "") {
            return Reply::empty(refused.status);
        }
        if note.note_type.starts_with("OMIC_OPD") {
            return Reply::empty(409);
        }
        let new = self.written().case_notes.insert((noms.to_ascii_uppercase(), id));
        Reply::empty(if new { 201 } else { 204 })
    }
}

/// The managers as they stand after all writes so far.
fn managers_of<'a>(written: &'a mut Written, noms: &str, person: &Person) -> &'a mut Vec<Manager> {
    let managers = written.managers.entry(noms.to_ascii_uppercase());
    managers.or_insert_with(|| person.managers.clone())
}

fn mappa(person: Option<&Person>) -> Reply {
    match person.map(|person| person.reply(Endpoint::Mappa)) {
        Some(Some(bytes)) => Reply::file(bytes),
        Some(None) => Reply::problem(404, "MAPPA details for offender not found"),
        None => Reply::problem(404, "Offender not found"),
    }
}

fn duplicate(noms: &str) -> Reply {
    let message = format!("Expecting only a single active offender but found 2 offenders with noms number {noms}");
    Reply::problem(409, &message)
}

fn parse<T: serde::de::DeserializeOwned>(ask: &Ask<'_>) -> Result<T, Reply> {
    serde_json::from_slice(ask.body).map_err(|_| Reply::problem(400, "Required request body is missing or malformed"))
}

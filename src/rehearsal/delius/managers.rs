//! A person's managers as the legacy API tells them, and what its writes do to them.
//!
//! The field order here is the order on the wire, so a manager that was read and written again has the same bytes.
//! Only the effects that a reader can see are kept: who is prison offender manager, and whether that person is the
//! Responsible Officer. Delius' own contacts and transfers are nobody's to read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One entry of `allOffenderManagers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manager {
    pub(super) staff_code: String,
    pub(super) staff_id: u64,
    pub(super) is_responsible_officer: bool,
    pub(super) is_prison_offender_manager: bool,
    pub(super) is_unallocated: bool,
    pub(super) staff: Staff,
    pub(super) team: Team,
    pub(super) probation_area: ProbationArea,
    pub(super) from_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grade: Option<Coded>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Staff {
    pub(super) forenames: String,
    pub(super) surname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phone_number: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Coded {
    pub(super) code: String,
    pub(super) description: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Team {
    code: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    telephone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_delivery_unit: Option<Coded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team_type: Option<Coded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    district: Option<Coded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    borough: Option<Coded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProbationArea {
    #[serde(skip_serializing_if = "Option::is_none")]
    probation_area_id: Option<u64>,
    code: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nps: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<Coded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) institution: Option<Institution>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Institution {
    institution_id: u64,
    is_establishment: bool,
    code: String,
    description: String,
    institution_name: String,
    establishment_type: Coded,
    pub(super) noms_prison_institution_code: String,
}

/// The prisons and their staff, learnt from the managers that the data set shows.
#[derive(Debug, Default)]
pub(super) struct Establishments {
    prisons: BTreeMap<String, ProbationArea>,
    staff: Vec<(String, String, u64, Staff)>,
}

impl Establishments {
    pub(super) fn learn(&mut self, manager: &Manager) {
        if !manager.is_prison_offender_manager {
            return;
        }
        let Some(institution) = &manager.probation_area.institution else {
            return;
        };
        let prison = institution.noms_prison_institution_code.clone();
        if !manager.is_unallocated {
            let known = (
                prison.clone(),
                manager.staff_code.clone(),
                manager.staff_id,
                manager.staff.clone(),
            );
            self.staff.push(known);
        }
        self.prisons
            .entry(prison)
            .or_insert_with(|| manager.probation_area.clone());
    }

    pub(super) fn prison(&self, code: &str) -> Option<&ProbationArea> {
        self.prisons.get(code)
    }

    /// Delius looks a prison officer up by surname and first forename, in any case, and makes one when there is none.
    pub(super) fn officer(&mut self, prison: &str, forenames: &str, surname: &str) -> (String, u64, Staff) {
        let first = |names: &str| names.split_whitespace().next().unwrap_or_default().to_lowercase();
        let found = self.staff.iter().find(|(at, _, _, staff)| {
            at == prison
                && staff.surname.to_lowercase() == surname.trim().to_lowercase()
                && first(&staff.forenames) == first(forenames)
        });
        if let Some((_, code, id, staff)) = found {
            return (code.clone(), *id, staff.clone());
        }
        let area = self.prisons.get(prison).map_or(prison, |area| area.code.as_str());
        let number = 900 + self.staff.len();
        let code = format!("{area}A{number}");
        let id = 2_990_900_000 + number as u64;
        let staff = Staff {
            forenames: title_case(forenames),
            surname: title_case(surname),
            email: None,
            phone_number: None,
        };
        self.staff.push((prison.to_owned(), code.clone(), id, staff.clone()));
        (code, id, staff)
    }

    /// The officer with this staff id, if that officer works at the prison.
    pub(super) fn officer_by_id(&self, prison: &str, staff_id: u64) -> Option<(String, u64, Staff)> {
        let (_, code, id, staff) = self
            .staff
            .iter()
            .find(|(at, _, id, _)| at == prison && *id == staff_id)?;
        Some((code.clone(), *id, staff.clone()))
    }
}

/// Makes `officer` the prison offender manager. Responsible Officer goes over from the one before. The date stays when
/// it is the same officer at the same prison: readers cannot see that Delius ended and re-created the allocation.
pub(super) fn allocate(
    managers: &mut Vec<Manager>,
    (staff_code, staff_id, staff): (String, u64, Staff),
    area: &ProbationArea,
    today: String,
) -> Manager {
    let before = position(managers).map(|at| managers.remove(at));
    let same = before.as_ref().filter(|before| before.staff_code == staff_code);
    let manager = Manager {
        is_responsible_officer: before.as_ref().is_some_and(|before| before.is_responsible_officer),
        is_prison_offender_manager: true,
        is_unallocated: staff_code.ends_with('U'),
        staff,
        team: prison_team(format!("{}POM", area.code), "Prison Offender Managers"),
        probation_area: area.clone(),
        from_date: same.map_or(today, |same| same.from_date.clone()),
        grade: None,
        staff_code,
        staff_id,
    };
    managers.push(manager.clone());
    manager
}

/// Re-allocates to the prison's placeholder. `false`: there is no prison offender manager.
pub(super) fn deallocate(managers: &mut [Manager], today: String) -> bool {
    let Some(at) = position(managers) else {
        return false;
    };
    let manager = &mut managers[at];
    if manager.is_unallocated {
        return true;
    }
    let area = &manager.probation_area.code;
    let staff_code = format!("{area}ALLU");
    let staff_id = 2_990_030_000 + staff_code.bytes().map(u64::from).sum::<u64>();
    *manager = Manager {
        is_responsible_officer: manager.is_responsible_officer,
        is_prison_offender_manager: true,
        is_unallocated: true,
        staff: Staff {
            forenames: "Unallocated".to_owned(),
            surname: "Staff".to_owned(),
            email: None,
            phone_number: None,
        },
        team: prison_team(format!("{area}ALL"), "Unallocated Team"),
        probation_area: manager.probation_area.clone(),
        from_date: today,
        grade: None,
        staff_code,
        staff_id,
    };
    true
}

fn position(managers: &[Manager]) -> Option<usize> {
    managers.iter().position(|manager| manager.is_prison_offender_manager)
}

/// Prison teams stand for themselves on every level of the hierarchy.
fn prison_team(code: String, description: &str) -> Team {
    let coded = Coded {
        code: code.clone(),
        description: description.to_owned(),
    };
    Team {
        code,
        description: description.to_owned(),
        telephone: None,
        email_address: None,
        local_delivery_unit: Some(coded.clone()),
        team_type: Some(coded.clone()),
        district: Some(coded.clone()),
        borough: Some(coded),
        start_date: Some("2019-12-05".to_owned()),
        end_date: None,
    }
}

/// As Delius title-cases a name: every word, at spaces only.
fn title_case(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_uppercase().to_string());
        first.unwrap_or_default() + &letters.as_str().to_lowercase()
    };
    name.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_title_cased_word_by_word() {
        assert_eq!(title_case("  AVA  mae "), "Ava Mae");
        assert_eq!(title_case("O'HARA-LEE"), "O'hara-lee");
        assert_eq!(title_case(""), "");
    }
}

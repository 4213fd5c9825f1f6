//! People whom the fixtures do not have.

use serde_json::{Value as Json, json};

use super::{answer, run};
use delius_sidecar::mapping::{Bounds, Program};

const NOMS: &str = "A1234BC";

fn person(change: impl FnOnce(&mut Json)) -> Json {
    let mut record = json!({
        "crn": "X123456",
        "nomsId": NOMS,
        "currentTier": "B-1",
        "resourcing": "NORMAL",
        "manager": {
            "team": {
                "code": "N07T09", "description": "Team \"Nine\"",
                "localDeliveryUnit": {"code": "N07LDU", "description": "Lower\\Upper"},
            },
            "code": "N07A017",
            "name": {"forename": "Zoë  Mary-Jane", "surname": "d'Óir \u{1F600} \"the\" $x \\(.crn)"},
            "email": "z@example.org",
        },
        "mappaLevel": 0,
        "vloAssigned": false,
    });
    change(&mut record);
    record
}

fn offender(record: &Json) -> Json {
    let (status, body) = answer("offender.standard.jq", NOMS, 200, record);
    assert_eq!(status, 200);
    body
}

fn remove(value: &mut Json, pointer: &str) {
    let (above, key) = pointer.rsplit_once('/').expect("a pointer");
    let above = value.pointer_mut(above).expect("it is there");
    above
        .as_object_mut()
        .expect("an object")
        .remove(key)
        .expect("it was there");
}

#[test]
fn names_pass_as_they_are() {
    let record = person(|_| {});
    let staff = &offender(&record)["offenderManagers"][0]["staff"];
    assert_eq!(staff["forenames"], json!("Zoë  Mary-Jane"));
    assert_eq!(staff["surname"], record["manager"]["name"]["surname"]);
    let managers = answer("managers.standard.jq", NOMS, 200, &record).1;
    assert_eq!(managers[0]["staff"]["surname"], record["manager"]["name"]["surname"]);
    assert_eq!(managers[0]["team"]["district"]["description"], json!("Lower\\Upper"));
}

#[test]
fn a_middle_name_of_the_first_version_joins_the_forename() {
    let record = person(|r| r["manager"]["name"] = json!({"forename": "Ann", "middleName": "Bea", "surname": "C"}));
    assert_eq!(
        offender(&record)["offenderManagers"][0]["staff"]["forenames"],
        json!("Ann Bea")
    );
    let record = person(|r| r["manager"]["name"] = json!({"forename": "Ann", "middleName": "", "surname": "C"}));
    assert_eq!(
        offender(&record)["offenderManagers"][0]["staff"]["forenames"],
        json!("Ann")
    );
}

#[test]
fn a_manager_without_a_name_is_a_placeholder() {
    let record = person(|r| {
        for key in ["code", "name", "email"] {
            remove(r, &format!("/manager/{key}"));
        }
    });
    assert_eq!(
        offender(&record)["offenderManagers"][0]["staff"],
        json!({"code": "N07T09U", "forenames": "Unallocated", "surname": "Staff", "unallocated": true})
    );
    let managers = answer("managers.standard.jq", NOMS, 200, &record).1;
    assert_eq!(
        managers[0]["staff"],
        json!({"forenames": "Unallocated", "surname": "Staff"})
    );
    assert_eq!(managers[0]["isUnallocated"], json!(true));
    let coded = person(|r| r["manager"]["code"] = json!("N07UATU"));
    let staff = offender(&coded)["offenderManagers"][0]["staff"].clone();
    assert_eq!(
        (&staff["code"], &staff["unallocated"]),
        (&json!("N07UATU"), &json!(true))
    );
}

#[test]
fn what_is_absent_stays_absent() {
    let record = person(|r| {
        remove(r, "/currentTier");
        remove(r, "/nomsId");
        remove(r, "/manager/team/localDeliveryUnit");
        remove(r, "/manager/email");
    });
    let body = offender(&record);
    assert_eq!(body.get("currentTier"), None);
    assert_eq!(
        body["otherIds"],
        json!({"crn": "X123456", "nomsNumber": NOMS}),
        "the requested number"
    );
    let team = &body["offenderManagers"][0]["team"];
    assert_eq!(team, &json!({"code": "N07T09", "description": "Team \"Nine\""}));
    let managers = answer("managers.standard.jq", NOMS, 200, &record).1;
    assert_eq!(managers[0]["staff"].get("email"), None);
    let (_, body) = answer("offender.standard.jq", "a1234bc", 200, &record);
    assert_eq!(body["otherIds"]["nomsNumber"], json!(NOMS), "in upper case");
}

#[test]
fn a_record_without_a_manager_has_no_managers() {
    for manager in [None, Some(Json::Null)] {
        let record = person(|r| match manager {
            None => remove(r, "/manager"),
            Some(null) => r["manager"] = null,
        });
        assert_eq!(offender(&record).get("offenderManagers"), None);
        assert_eq!(answer("managers.standard.jq", NOMS, 200, &record), (200, json!([])));
    }
}

#[test]
fn unknown_fields_go_no_further() {
    let plain = person(|_| {});
    let extra = person(|r| {
        r["rosh"] = json!({"level": "HIGH"});
        r["address"] = json!("1 Some Street");
        r["manager"]["phone"] = json!("1");
        r["manager"]["name"]["title"] = json!("Dr");
    });
    for name in ["offender", "registrations", "resourcing", "managers"] {
        let name = format!("{name}.standard.jq");
        assert_eq!(
            answer(&name, NOMS, 200, &extra),
            answer(&name, NOMS, 200, &plain),
            "{name}"
        );
    }
}

#[test]
fn a_field_that_says_something_by_its_absence_must_be_there() {
    for (pointer, value) in [
        ("/mappaLevel", json!(null)),
        ("/mappaLevel", json!(7)),
        ("/mappaLevel", json!("1")),
        ("/vloAssigned", json!(null)),
        ("/vloAssigned", json!("no")),
    ] {
        let record = person(|r| *r.pointer_mut(pointer).expect("it is there") = value);
        let input = json!({"status": 200, "body": record, "params": {"nomsNumber": NOMS}});
        let said = run("registrations.standard.jq", &input)
            .expect_err("it is no answer")
            .to_string();
        assert!(!said.contains("A1234BC") && !said.contains("X123456"), "{said}");
    }
    let record = person(|r| r["resourcing"] = json!("SOMETHING"));
    let input = json!({"status": 200, "body": record, "params": {"nomsNumber": NOMS}});
    assert!(run("resourcing.standard.jq", &input).is_err());
}

#[test]
fn the_missing_tier_can_be_sent_as_null_by_one_changed_line() {
    let path = super::root().join("config/mapping/offender.standard.jq");
    let text = std::fs::read_to_string(path).expect("it is readable");
    let changed = text.replacen("def no_tier: {};", "def no_tier: {currentTier: null};", 1);
    assert_ne!(changed, text);
    let program = Program::compile("changed.jq", &changed).expect("it compiles");
    let run = |record: Json| {
        let input = json!({"status": 200, "body": record, "params": {"nomsNumber": NOMS}});
        program
            .run(&input, &Bounds::default())
            .expect("it runs")
            .expect("an answer")["body"]
            .clone()
    };
    assert_eq!(
        run(person(|r| remove(r, "/currentTier"))).get("currentTier"),
        Some(&Json::Null)
    );
    assert_eq!(run(person(|_| {}))["currentTier"], json!("B-1"));
}

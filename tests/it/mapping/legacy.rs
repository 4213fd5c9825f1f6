//! Legacy requests answered from the standard route.

use serde_json::{Value as Json, json};

use super::{answer, case_record, legacy, out, run, standard};

const PEOPLE: [&str; 11] = [
    "Z9001XA", "Z9002XB", "Z9003XC", "Z9004XD", "Z9005XE", "Z9006XF", "Z9007XG", "Z9008XH", "Z9009XJ", "Z9010XK",
    "Z9011XL",
];

/// People that both sides have.
const BOTH: [&str; 7] = [
    "Z9001XA", "Z9002XB", "Z9003XC", "Z9004XD", "Z9005XE", "Z9006XF", "Z9011XL",
];

/// The reply of a program for one of the people.
fn of(name: &str, noms: &str) -> (u64, Json) {
    let (status, body) = case_record(noms);
    answer(name, noms, status, &body)
}

#[test]
fn the_offender_is_the_legacy_one_as_far_as_it_is_known() {
    for noms in BOTH {
        let whole = legacy("offender-all", noms).expect("the legacy side has it");
        let (status, body) = of("offender.standard.jq", noms);
        assert_eq!(status, 200);
        assert_eq!(body["otherIds"]["crn"], whole["otherIds"]["crn"], "{noms}");
        assert_eq!(body["otherIds"]["nomsNumber"], json!(noms));
        assert_eq!(body.get("currentTier"), whole.get("currentTier"), "{noms}");
        let (ours, theirs) = (&body["offenderManagers"], &whole["offenderManagers"][0]);
        assert_eq!(ours.as_array().map(Vec::len), Some(1));
        for pointer in [
            "/active",
            "/staff",
            "/team/code",
            "/team/description",
            "/team/localDeliveryUnit",
            "/team/district",
            "/probationArea/code",
        ] {
            assert_eq!(ours[0].pointer(pointer), theirs.pointer(pointer), "{noms} {pointer}");
        }
    }
    let area = |noms| of("offender.standard.jq", noms).1["offenderManagers"][0]["probationArea"].clone();
    assert_eq!(area("Z9002XB"), json!({"code": "C99", "nps": false}));
    assert_eq!(area("Z9004XD"), json!({"code": "N99", "nps": true}));
}

#[test]
fn registrations_say_mappa_and_victim_liaison_only() {
    let entry = |code| json!({"active": true, "type": {"code": code}});
    let mappa = |level| json!({"active": true, "type": {"code": "MAPP"}, "registerLevel": {"code": level}});
    for (noms, expected) in [
        ("Z9001XA", json!({"registrations": [mappa("M2"), entry("INVI")]})),
        ("Z9002XB", json!({})),
        ("Z9005XE", json!({"registrations": [mappa("M1")]})),
        ("Z9011XL", json!({"registrations": [entry("INVI")]})),
    ] {
        assert_eq!(of("registrations.standard.jq", noms), (200, expected), "{noms}");
    }
    assert_eq!(
        legacy("registrations", "Z9004XD"),
        Some(json!({})),
        "as the legacy side says none"
    );
}

#[test]
fn resourcing_is_a_decision_or_the_legacy_404() {
    let none = legacy("errors", "404-resourcing-no-decision").expect("the refusal is there");
    for noms in BOTH {
        let (status, body) = of("resourcing.standard.jq", noms);
        match case_record(noms).1.get("resourcing") {
            None => assert_eq!((status, &body), (404, &none), "{noms}"),
            Some(_) => {
                let whole = legacy("resourcing-latest", noms).expect("a decision");
                assert_eq!(status, 200);
                assert_eq!(body["enhancedResourcing"], whole["enhancedResourcing"], "{noms}");
                assert_eq!(body["decision"]["code"], whole["decision"]["code"], "{noms}");
                assert_eq!(body.as_object().map(serde_json::Map::len), Some(2));
            }
        }
    }
}

#[test]
fn managers_are_the_community_manager_with_nothing_said_of_responsibility() {
    for noms in BOTH {
        let whole = legacy("all-offender-managers", noms).expect("the legacy side has it");
        let (status, body) = of("managers.standard.jq", noms);
        assert_eq!((status, body.as_array().map(Vec::len)), (200, Some(1)));
        let (ours, theirs) = (&body[0], &whole[0]);
        assert_eq!(
            ours.get("isResponsibleOfficer"),
            Some(&Json::Null),
            "null is sent, not left out"
        );
        for pointer in [
            "/staffCode",
            "/isPrisonOffenderManager",
            "/isUnallocated",
            "/staff/forenames",
            "/staff/surname",
            "/team/code",
            "/team/description",
            "/team/localDeliveryUnit",
            "/team/district",
        ] {
            assert_eq!(ours.pointer(pointer), theirs.pointer(pointer), "{noms} {pointer}");
        }
        let trimmed = theirs.pointer("/staff/email").and_then(Json::as_str).map(str::trim);
        assert_eq!(ours.pointer("/staff/email").and_then(Json::as_str), trimmed, "{noms}");
    }
}

#[test]
fn the_mappa_detail_is_the_legacy_one_without_what_is_reduced() {
    let detail = |status: u16, body: Json| {
        out(
            "mappa.standard.jq",
            &json!({"status": status, "body": body, "params": {"crn": "Z900001"}}),
        )
    };
    let mut whole = legacy("mappa", "Z900001").expect("the legacy side has it");
    for reduced in ["team", "officer", "probationArea", "notes"] {
        whole
            .as_object_mut()
            .expect("an object")
            .remove(reduced)
            .expect("it was there");
    }
    let standard_one = standard("mappa", "Z900001").expect("the standard side has it");
    assert_eq!(detail(200, standard_one), json!({"status": 200, "body": whole}));
    assert_eq!(
        detail(200, json!({"startDate": "2025-01-02"})),
        json!({"status": 200, "body": {
            "level": 0, "levelDescription": "Missing level", "category": 0, "categoryDescription": "Missing category",
            "startDate": "2025-01-02",
        }})
    );
    assert_eq!(
        detail(200, json!({"level": 0, "category": 4}))["body"],
        json!({"level": 0, "category": 4})
    );
    let none = legacy("errors", "404-mappa-none").expect("the refusal is there");
    let refusal = standard("errors", "404-mappa").expect("the refusal is there");
    assert_eq!(detail(404, refusal), json!({"status": 404, "body": none}));
    let nobody = standard("errors", "404-crn").expect("the refusal is there");
    assert_eq!(
        detail(404, nobody)["body"],
        legacy("errors", "404-resourcing-no-offender").expect("it is there")
    );
}

const BY_NOMS: [(&str, &str); 4] = [
    ("offender.standard.jq", "404-offender-not-found"),
    ("registrations.standard.jq", "404-registrations"),
    ("resourcing.standard.jq", "404-resourcing-no-offender"),
    ("managers.standard.jq", "404-all-offender-managers"),
];

#[test]
fn refusals_are_the_legacy_ones_of_each_route() {
    for (name, missing) in BY_NOMS {
        let missing = legacy("errors", missing).expect("the refusal is there");
        assert_eq!(of(name, "Z9009XJ"), (404, missing.clone()), "{name}");
        let unrecognised = standard("errors", "400-unrecognised-identifier").expect("it is there");
        assert_eq!(
            answer(name, "Z9009XJ", 400, &unrecognised),
            (404, missing.clone()),
            "{name}"
        );
        // A page of an ingress: nobody is unknown because an address is wrong.
        let page = json!({"status": 404, "body": null, "params": {"nomsNumber": "Z9009XJ"}});
        run(name, &page).expect_err("the API did not say it");
        let duplicate = legacy("errors", "409-duplicate-offender").expect("it is there");
        assert_eq!(of(name, "Z9010XK"), (409, duplicate), "{name}");
        assert_eq!(
            answer(name, "Z9010XK", 409, &Json::Null).1["developerMessage"],
            json!("Expecting only a single active offender but found several offenders with noms number Z9010XK")
        );
    }
}

#[test]
fn a_duplicate_is_named_by_what_it_was_asked_by() {
    let duplicate = standard("errors", "409-duplicate").expect("it is there");
    let said = |params: Json| {
        let input = json!({"status": 409, "body": duplicate, "params": params});
        out("mappa.standard.jq", &input)["body"]["developerMessage"].clone()
    };
    assert_eq!(
        said(json!({"crn": "Z900001"})),
        json!("Expecting only a single active offender but found 2 offenders with crn Z900001")
    );
    assert_eq!(
        said(json!({"nomsNumber": "Z9010XK"})),
        json!("Expecting only a single active offender but found 2 offenders with noms number Z9010XK")
    );
}

#[test]
fn a_failure_keeps_its_status_and_needs_no_body() {
    let framework = standard("errors", "500").expect("it is there");
    for name in BY_NOMS.map(|(name, _)| name).into_iter().chain(["mappa.standard.jq"]) {
        assert_eq!(
            answer(name, "Z9001XA", 500, &framework),
            (500, json!({"status": 500, "developerMessage": "Internal Server Error"})),
            "{name}"
        );
        for status in [400u16, 429, 500, 502, 503, 504] {
            for body in [
                json!(null),
                json!("page"),
                json!([1]),
                json!({}),
                json!({"message": 5, "error": null}),
            ] {
                assert_eq!(
                    answer(name, "Z9001XA", status, &body),
                    (
                        u64::from(status),
                        json!({"status": status, "developerMessage": format!("The standard API answered {status}")})
                    ),
                    "{name} {body}"
                );
            }
        }
        let validation = json!({"status": 400, "message": "Validation failure", "fields": []});
        assert_eq!(
            answer(name, "Z9001XA", 400, &validation).1["developerMessage"],
            json!("Validation failure")
        );
    }
}

#[test]
fn a_success_without_a_record_is_no_answer() {
    for name in BY_NOMS.map(|(name, _)| name).into_iter().chain(["mappa.standard.jq"]) {
        for (status, body) in [
            (200, json!(null)),
            (200, json!("<html>")),
            (200, json!([])),
            (204, json!(null)),
            (302, json!({})),
        ] {
            let input = json!({"status": status, "body": body, "params": {"nomsNumber": "Z9001XA"}});
            let said = run(name, &input).expect_err("it is no answer").to_string();
            assert!(!said.contains("Z9001XA"), "{said}");
        }
    }
}

#[test]
fn a_request_asks_in_upper_case_and_drops_the_query() {
    let ask = |name: &str, params: Json| {
        out(
            name,
            &json!({"method": "GET", "params": params, "query": "failOnDuplicate=true", "headers": {}}),
        )
    };
    let path = |path: &str| json!({"path": path, "query": null});
    for (noms, expected) in [
        ("Z9001XA", "/case-records/Z9001XA"),
        ("z9001xa", "/case-records/Z9001XA"),
        ("a/b c", "/case-records/A%2FB%20C"),
    ] {
        assert_eq!(ask("request/by-noms.jq", json!({"nomsNumber": noms})), path(expected));
    }
    assert_eq!(
        ask("request/by-crn.jq", json!({"crn": "z900001"})),
        path("/case-records/Z900001")
    );
    assert_eq!(
        ask("request/mappa-by-crn.jq", json!({"crn": "z900001"})),
        path("/case-records/Z900001/risks/mappa")
    );
}

#[test]
fn every_person_of_the_fixtures_gets_an_answer_on_every_route() {
    for noms in PEOPLE {
        for (name, _) in BY_NOMS {
            let (status, body) = of(name, noms);
            assert!(matches!(status, 200 | 404 | 409), "{name} {noms}");
            assert!(body.is_object() || body.is_array());
        }
    }
}

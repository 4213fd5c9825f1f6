//! Every row of the contract's fixture tables, asked of the stand-in and compared byte for byte.
//!
//! The recorded replies lie in `src/rehearsal/people`. Error fixtures name one person; where another person is asked
//! about, the expected text carries that person's number, as the API's sentences do.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;

use super::{Ask, CustodialEvents, Data, Delius, Reply};

pub(super) const NOW: i64 = 1_768_212_000;
const LIFE: Duration = Duration::from_secs(300);
pub(super) const KNOWN: [&str; 8] = [
    "Z9001XA", "Z9002XB", "Z9003XC", "Z9004XD", "Z9005XE", "Z9006XF", "Z9007XG", "Z9011XL",
];

pub(super) fn delius() -> Delius {
    Delius::new(Data::embedded().unwrap(), false, LIFE, None).unwrap()
}

pub(super) fn file(name: &str) -> String {
    let people = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rehearsal/people");
    std::fs::read_to_string(people.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(super) struct Request<'a> {
    pub(super) authorization: Option<&'a str>,
    pub(super) body: &'a str,
    pub(super) now: i64,
}

pub(super) const PLAIN: Request<'_> = Request {
    authorization: None,
    body: "",
    now: NOW,
};

pub(super) fn ask(delius: &Delius, method: &str, path: &str, request: &Request<'_>) -> Reply {
    delius.answer(&Ask {
        method: &Method::from_bytes(method.as_bytes()).unwrap(),
        path,
        authorization: request.authorization,
        body: request.body.as_bytes(),
        now: request.now,
    })
}

pub(super) fn body(text: &str) -> Request<'_> {
    Request { body: text, ..PLAIN }
}

fn of(noms: &str, rest: &str) -> String {
    format!("/secure/offenders/nomsNumber/{noms}/{rest}")
}

#[track_caller]
pub(super) fn assert_json(reply: &Reply, status: u16, expected: &str) {
    assert_eq!(
        (reply.status, reply.content_type, std::str::from_utf8(&reply.body)),
        (status, Some("application/json"), Ok(expected))
    );
}

#[track_caller]
pub(super) fn assert_status(reply: &Reply, status: u16) {
    assert_eq!(*reply, Reply::empty(status));
}

#[test]
fn every_recorded_read_is_answered_byte_for_byte() {
    let delius = delius();
    let mut asked = 0;
    for noms in KNOWN {
        for (endpoint, folder) in [
            ("all", "offender-all"),
            ("registrations", "registrations"),
            ("risk/resourcing/latest", "resourcing-latest"),
            ("allOffenderManagers", "all-offender-managers"),
        ] {
            let reply = ask(&delius, "GET", &of(noms, endpoint), &PLAIN);
            if noms == "Z9004XD" && folder == "resourcing-latest" {
                assert_json(&reply, 404, &file("legacy/errors/404-resourcing-no-decision.json"));
            } else {
                assert_json(&reply, 200, &file(&format!("legacy/{folder}/{noms}.json")));
            }
            asked += 1;
        }
    }
    for (crn, noms) in [("Z900001", "Z9001XA"), ("Z900005", "Z9005XE")] {
        let expected = file(&format!("legacy/mappa/{crn}.json"));
        let path = format!("/secure/offenders/crn/{crn}/risk/mappa");
        assert_json(&ask(&delius, "GET", &path, &PLAIN), 200, &expected);
        assert_json(&ask(&delius, "GET", &of(noms, "risk/mappa"), &PLAIN), 200, &expected);
        asked += 2;
    }
    let none = ask(&delius, "GET", "/secure/offenders/crn/Z900002/risk/mappa", &PLAIN);
    assert_json(&none, 404, &file("legacy/errors/404-mappa-none.json"));
    assert_eq!(asked, 36);
}

#[test]
fn letter_case_of_a_noms_number_does_not_matter() {
    let delius = delius();
    let reply = ask(&delius, "GET", &of("z9001xa", "all"), &PLAIN);
    assert_json(&reply, 200, &file("legacy/offender-all/Z9001XA.json"));
}

#[test]
fn unknown_people_and_duplicates_are_refused_in_the_words_of_each_endpoint() {
    let delius = delius();
    let rows = [
        ("GET", "all", "404-offender-not-found.json"),
        ("GET", "registrations", "404-registrations.json"),
        ("GET", "risk/resourcing/latest", "404-resourcing-no-offender.json"),
        ("GET", "allOffenderManagers", "404-all-offender-managers.json"),
        ("PUT", "prisonOffenderManager", "404-pom-offender.json"),
        ("DELETE", "prisonOffenderManager", "404-pom-delete-offender.json"),
        ("PUT", "custody/keyDates/POM1", "404-key-date-offender.json"),
        ("DELETE", "custody/keyDates/POM1", "404-key-date-offender.json"),
    ];
    for (method, endpoint, error) in rows {
        let request = match endpoint {
            "prisonOffenderManager" => file("requests/put-prison-offender-manager.json"),
            _ => file("requests/put-key-date-POM1.json"),
        };
        let of_person = |noms: &str| ask(&delius, method, &of(noms, endpoint), &body(&request));
        let expected = file(&format!("legacy/errors/{error}"));
        assert_json(&of_person("Z9009XJ"), 404, &expected);
        assert_json(&of_person("Z9008XH"), 404, &expected.replace("Z9009XJ", "Z9008XH"));
        assert_json(&of_person("Q1234QQ"), 404, &expected.replace("Z9009XJ", "Q1234QQ"));
        let duplicate = of_person("Z9010XK");
        if endpoint == "allOffenderManagers" {
            assert_json(&duplicate, 500, &file("legacy/errors/500-unhandled.json"));
        } else {
            assert_json(&duplicate, 409, &file("legacy/errors/409-duplicate-offender.json"));
        }
    }
}

#[test]
fn a_prison_offender_manager_is_put_and_then_read() {
    let delius = delius();
    let put = of("Z9001XA", "prisonOffenderManager");
    let managers = |noms| ask(&delius, "GET", &of(noms, "allOffenderManagers"), &PLAIN).body;
    let request = file("requests/put-prison-offender-manager.json");
    let expected = file("legacy/writes/put-prison-offender-manager-200.json");
    assert_json(&ask(&delius, "PUT", &put, &body(&request)), 200, &expected);
    assert_json(&ask(&delius, "PUT", &put, &body(&request)), 200, &expected);

    let other = r#"{"nomsPrisonInstitutionCode": "TSB", "officer": {"forenames": "NEW", "surname": "officer"}}"#;
    let path = of("z9002xb", "prisonOffenderManager");
    let reply = ask(&delius, "PUT", &path, &body(other));
    let told: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(told["staff"]["forenames"], "New");
    assert_eq!(told["staff"]["surname"], "Officer");
    assert_eq!(told["team"]["code"], "TSBPOM");
    assert_eq!(told["fromDate"], "2026-01-12");
    assert_eq!(told["isResponsibleOfficer"], true, "it goes over from the one before");
    let read: serde_json::Value = serde_json::from_slice(&managers("Z9002XB")).unwrap();
    assert_eq!(read.as_array().map(Vec::len), Some(2));
    assert_eq!(read[1], told);
    assert_eq!(
        managers("Z9005XE"),
        file("legacy/all-offender-managers/Z9005XE.json"),
        "nobody else changed"
    );
}

#[test]
fn a_prison_offender_manager_is_removed_and_the_placeholder_stays() {
    let delius = delius();
    let pom = |noms, method| ask(&delius, method, &of(noms, "prisonOffenderManager"), &PLAIN);
    assert_status(&pom("Z9001XA", "DELETE"), 200);
    let read = ask(&delius, "GET", &of("Z9001XA", "allOffenderManagers"), &PLAIN);
    let read: serde_json::Value = serde_json::from_slice(&read.body).unwrap();
    assert_eq!(read[1]["staffCode"], "TSAALLU");
    assert_eq!(read[1]["isUnallocated"], true);
    assert_status(&pom("Z9001XA", "DELETE"), 200);
    let none = pom("Z9004XD", "DELETE");
    assert_json(&none, 409, &file("legacy/errors/409-no-pom-to-remove.json"));
    let wrong = ask(&delius, "GET", &of("Z9001XA", "prisonOffenderManager"), &PLAIN);
    assert_eq!(wrong.status, 405);
}

#[test]
fn a_manager_request_that_lacks_something_is_told_what() {
    let delius = delius();
    let put = |text: &str| ask(&delius, "PUT", &of("Z9001XA", "prisonOffenderManager"), &body(text));
    let officer = r#""officer": {"forenames": "Silas", "surname": "Merriden"}"#;
    let no_prison = put(&format!("{{{officer}}}"));
    assert_json(&no_prison, 400, &file("legacy/errors/400-pom-body-no-prison.json"));
    let no_surname = put(r#"{"nomsPrisonInstitutionCode": "TSA", "officer": {"forenames": "Silas"}}"#);
    assert_json(&no_surname, 400, &file("legacy/errors/400-pom-body-no-surname.json"));
    let no_such = put(&format!(r#"{{"nomsPrisonInstitutionCode": "QQQ", {officer}}}"#));
    assert_json(&no_such, 400, &file("legacy/errors/400-pom-prison-not-found.json"));
    let both = put(&format!(
        r#"{{"nomsPrisonInstitutionCode": "TSA", "staffId": 1, {officer}}}"#
    ));
    assert_eq!(both.status, 400);
    assert_eq!(put(r#"{"nomsPrisonInstitutionCode": "TSA"}"#).status, 400);
    assert_eq!(put("{").status, 400);
    let elsewhere = put(r#"{"nomsPrisonInstitutionCode": "TSB", "staffId": 2990018533}"#);
    assert_eq!(elsewhere.status, 400);
    let here = put(r#"{"nomsPrisonInstitutionCode": "TSA", "staffId": 2990018533}"#);
    assert_json(&here, 200, &file("legacy/writes/put-prison-offender-manager-200.json"));
}

#[test]
fn key_dates_are_put_deleted_and_refused_without_exactly_one_custodial_event() {
    let delius = delius();
    for code in ["POM1", "POM2"] {
        let path = of("Z9001XA", &format!("custody/keyDates/{code}"));
        let request = file(&format!("requests/put-key-date-{code}.json"));
        let expected = file(&format!("legacy/writes/put-key-date-{code}-200.json"));
        assert_json(&ask(&delius, "PUT", &path, &body(&request)), 200, &expected);
        assert!(delius.key_date("z9001xa", code).is_some());
        assert_status(&ask(&delius, "DELETE", &path, &PLAIN), 200);
        assert_eq!(delius.key_date("Z9001XA", code), None);
        assert_status(&ask(&delius, "DELETE", &path, &PLAIN), 200);
    }
    let request = file("requests/put-key-date-POM1.json");
    for method in ["PUT", "DELETE"] {
        let key_date = |noms, code| {
            let path = of(noms, &format!("custody/keyDates/{code}"));
            ask(&delius, method, &path, &body(&request))
        };
        let none = file("legacy/errors/400-single-custody-event-none.json");
        let of_person = none.replace("2990900001", "2990900004");
        assert_json(&key_date("Z9004XD", "POM1"), 400, &of_person);
        let several = file("legacy/errors/400-single-custody-event-multiple.json");
        let of_person = several.replace("2990900001", "2990900006");
        assert_json(&key_date("Z9006XF", "POM1"), 400, &of_person);
        let unknown_type = key_date("Z9001XA", "POM9");
        assert_json(&unknown_type, 400, &file("legacy/errors/400-key-date-type.json"));
    }
    for date in ["2026-6-1", "2026-02-30", "20260601", ""] {
        let text = format!(r#"{{"date": "{date}"}}"#);
        let reply = ask(&delius, "PUT", &of("Z9001XA", "custody/keyDates/POM1"), &body(&text));
        assert_eq!(reply.status, 400, "{date:?}");
    }
}

#[test]
fn the_number_of_custodial_events_can_be_set_for_everyone() {
    let request = file("requests/put-key-date-POM1.json");
    let put = |events, noms| {
        let delius = Delius::new(Data::embedded().unwrap(), false, LIFE, Some(events)).unwrap();
        let path = of(noms, "custody/keyDates/POM1");
        ask(&delius, "PUT", &path, &body(&request))
    };
    let none = file("legacy/errors/400-single-custody-event-none.json");
    assert_json(&put(CustodialEvents::None, "Z9001XA"), 400, &none);
    let several = file("legacy/errors/400-single-custody-event-multiple.json");
    assert_json(&put(CustodialEvents::Several, "Z9001XA"), 400, &several);
    assert_eq!(put(CustodialEvents::One, "Z9006XF").status, 200);
}

#[test]
fn case_notes_are_created_then_updated_and_refused_by_status_only() {
    let delius = delius();
    let note = file("requests/put-nomis-case-note.json");
    let put = |noms: &str, id: &str, text: &str| {
        let path = format!("/secure/nomisCaseNotes/{noms}/{id}");
        ask(&delius, "PUT", &path, &body(text))
    };
    assert_status(&put("Z9001XA", "7", &note), 201);
    assert_status(&put("z9001xa", "7", &note), 204);
    assert_status(&put("Z9001XA", "8", &note), 201);
    assert_status(&put("Z9002XB", "7", &note), 201);
    assert_status(&put("Z9009XJ", "7", &note), 404);
    assert_status(&put("Z9010XK", "7", &note), 409);
    assert_status(&put("Z9001XA", "seven", &note), 400);
    assert_status(&put("Z9001XA", "9", "{}"), 400);
    let with = |from: &str, to: &str| put("Z9001XA", "9", &note.replace(from, to));
    assert_status(&with("Merriden, Silas", "Silas Merriden"), 400);
    assert_status(&with("\"TSA\"", "\"TRN\""), 400);
    assert_status(&with("OMIC GEN", "OMIC_OPD GEN"), 409);
    assert_status(&put("Z9001XA", "9", &note), 201);
}

#[test]
fn with_a_token_required_roles_decide_what_may_be_done() {
    let delius = Delius::new(Data::embedded().unwrap(), true, LIFE, None).unwrap();
    let token = |claims: &str| format!("bearer e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
    let read = |authorization: Option<&str>| {
        let request = Request { authorization, ..PLAIN };
        ask(&delius, "GET", &of("Z9001XA", "all"), &request)
    };
    assert_status(&read(None), 401);
    assert_status(&read(Some("Bearer opaque")), 401);
    assert_status(
        &read(Some(&token(&format!(
            r#"{{"authorities": ["ROLE_COMMUNITY"], "exp": {NOW}}}"#
        )))),
        401,
    );
    let community = token(r#"{"authorities": ["ROLE_COMMUNITY"]}"#);
    assert_eq!(read(Some(&community)).status, 200);
    let forbidden = file("legacy/errors/403-missing-role.json");
    assert_json(&read(Some(&token("{}"))), 403, &forbidden);
    let remove = |authorization: &str| {
        let request = Request {
            authorization: Some(authorization),
            ..PLAIN
        };
        ask(&delius, "DELETE", &of("Z9001XA", "prisonOffenderManager"), &request)
    };
    assert_json(&remove(&community), 403, &forbidden);
    let writer = token(r#"{"authorities": ["ROLE_COMMUNITY", "ROLE_COMMUNITY_CUSTODY_UPDATE"]}"#);
    assert_status(&remove(&writer), 200);
    for open in ["/health", "/health/ping", "/info"] {
        assert_eq!(ask(&delius, "GET", open, &PLAIN).status, 200, "{open}");
    }
}

#[test]
fn paths_that_the_api_does_not_have_are_not_found() {
    let delius = delius();
    let unknown = [
        "/",
        "/secure",
        "/secure/offenders",
        "/secure/offenders/nomsNumber/Z9001XA",
        "/elsewhere",
    ];
    for path in unknown {
        assert_eq!(ask(&delius, "GET", path, &PLAIN).status, 404, "{path}");
    }
    let unauthorised = ask(&delius, "GET", "/api/elsewhere", &PLAIN);
    assert_eq!(unauthorised.status, 401);
    assert_eq!(ask(&delius, "POST", &of("Z9001XA", "all"), &PLAIN).status, 405);
}

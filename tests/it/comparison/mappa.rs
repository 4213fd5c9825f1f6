//! The MAPPA details, which are asked by CRN and switched alone.

use delius_sidecar::compare::Leg;
use serde_json::{Value, json};

use super::bench::{ROUTES, Reply, Route, read};

fn compared(ndh: &Reply, standard: &Reply) -> String {
    let compared = ["mappa", "case-record-mappa"].map(|name| compared_on(&ROUTES[name], ndh, standard));
    let [legacy, composite] = compared;
    assert_eq!(legacy, composite, "the two routes do not agree");
    legacy
}

fn compared_on(route: &Route, ndh: &Reply, standard: &Reply) -> String {
    let (ndh, standard) = (route.side(Leg::Ndh, ndh), route.side(Leg::Standard, standard));
    let verdict = route.judge(ndh.as_ref(), standard.as_ref());
    verdict.to_string()
}

fn none() -> (Reply, Reply) {
    (
        Reply::legacy(404, "MAPPA details for offender not found"),
        Reply::new(
            404,
            json!({"status": 404, "message": "MappaDetail with crn of Z977001 not found"}),
        ),
    )
}

fn details() -> Value {
    json!({
        "level": 2, "levelDescription": "MAPPA Level 2", "category": 1, "categoryDescription": "MAPPA Cat 1",
        "startDate": "2024-02-10", "reviewDate": "2026-08-10",
    })
}

fn with(changes: &[(&str, Value)]) -> Reply {
    let mut body = details();
    for (key, value) in changes {
        body[key] = value.clone();
    }
    Reply::new(200, body)
}

fn without(keys: &[&str]) -> Reply {
    let mut body = details();
    keys.iter()
        .for_each(|key| drop(body.as_object_mut().expect("an object").remove(*key)));
    Reply::new(200, body)
}

#[test]
fn the_people_of_the_fixtures_agree() {
    for crn in ["Z900001", "Z900005"] {
        let reply = |path: String| Reply::new(200, serde_json::from_str(&read(&path)).expect("a fixture is JSON"));
        let ndh = reply(format!("src/rehearsal/people/legacy/mappa/{crn}.json"));
        let standard = reply(format!("src/rehearsal/people/standard/mappa/{crn}.json"));
        assert_ne!(ndh, standard);
        assert_eq!(compared(&ndh, &standard), "match", "{crn}");
    }
    assert_eq!(compared(&none().0, &none().1), "match");
}

#[test]
fn what_is_none_on_both_sides_is_the_same() {
    let legacy = with(&[
        ("level", json!(0)),
        ("levelDescription", json!("Missing level")),
        ("category", json!(0)),
        ("categoryDescription", json!("Missing category")),
    ]);
    let standard = without(&["level", "levelDescription", "category", "categoryDescription"]);
    assert_eq!(compared(&legacy, &standard), "match");
    assert_eq!(compared(&without(&["level"]), &with(&[("level", json!(0))])), "match");
    assert_eq!(compared(&without(&["reviewDate"]), &without(&["reviewDate"])), "match");
}

#[test]
fn another_registration_is_known_only_when_the_standard_side_has_a_later_one() {
    let later = with(&[("level", json!(1)), ("startDate", json!("2024-06-01"))]);
    let same_day = with(&[("level", json!(1))]);
    let now = with(&[]);
    assert_eq!(
        compared(&now, &later),
        "known: /level: value (known: mappa-created-versus-started), /startDate: value (known: mappa-created-versus-started)"
    );
    assert_eq!(compared(&later, &now), "mismatch: /level: value, /startDate: value");
    assert_eq!(compared(&now, &same_day), "mismatch: /level: value");
}

#[test]
fn the_fourth_category_is_known() {
    let none = with(&[("category", json!(0))]);
    let fourth = with(&[("category", json!(4))]);
    let third = with(&[("category", json!(3))]);
    assert_eq!(
        compared(&none, &fourth),
        "known: /category: value (known: mappa-category-4)"
    );
    assert_eq!(compared(&none, &third), "mismatch: /category: value");
    assert_eq!(compared(&third, &fourth), "mismatch: /category: value");
}

#[test]
fn a_registration_on_one_side_only_is_missing_on_the_other() {
    assert_eq!(
        compared(&with(&[]), &none().1),
        "missing_on_standard: the whole: only_ndh"
    );
    assert_eq!(
        compared(&none().0, &with(&[])),
        "missing_on_ndh: the whole: only_standard"
    );
    assert_eq!(
        compared(&with(&[]), &Reply::new(503, Value::Null)),
        "not_comparable: standard answered 503"
    );
}

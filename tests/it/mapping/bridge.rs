//! A client of `/case-records` answered from NDH, of both generations.

use serde_json::{Value as Json, json};

use super::{body, case_record, legacy, out, standard};

fn part(status: u16, body: Option<Json>) -> Json {
    json!({"status": status, "body": body})
}

/// The four legacy replies for one of the people.
fn parts(noms: &str) -> Json {
    let of = |kind: &str, missing: (u16, &str)| match (noms, legacy(kind, noms)) {
        ("Z9010XK", _) if kind == "all-offender-managers" => part(500, legacy("errors", "500-unhandled")),
        ("Z9010XK", _) => part(409, legacy("errors", "409-duplicate-offender")),
        (_, None) => part(missing.0, legacy("errors", missing.1)),
        (_, found) => part(200, found),
    };
    json!({
        "all": of("offender-all", (404, "404-offender-not-found")),
        "registrations": of("registrations", (404, "404-registrations")),
        "resourcing": of("resourcing-latest", (404, "404-resourcing-no-decision")),
        "managers": of("all-offender-managers", (404, "404-all-offender-managers")),
    })
}

fn reply(identifier: &str, parts: &Json) -> Json {
    out(
        "bridge/case-record.ndh.jq",
        &json!({"parts": parts, "params": {"identifier": identifier}}),
    )
}

#[test]
fn the_record_is_the_standard_one_but_for_known_differences() {
    for noms in [
        "Z9001XA", "Z9002XB", "Z9003XC", "Z9004XD", "Z9005XE", "Z9006XF", "Z9011XL",
    ] {
        let (_, mut expected) = case_record(noms);
        if noms == "Z9006XF" {
            // the decision of a finished event, which the legacy side still finds
            expected["resourcing"] = json!("NORMAL");
        }
        assert_eq!(
            reply(noms, &parts(noms)),
            json!({"status": 200, "body": expected}),
            "{noms}"
        );
        let crn = expected["crn"].as_str().expect("a CRN").to_owned();
        assert_eq!(reply(&crn, &parts(noms))["body"], expected, "{crn}");
    }
}

#[test]
fn refusals_are_the_standard_ones() {
    for (identifier, noms, status, error) in [
        ("Z9009XJ", "Z9009XJ", 404, "404-noms"),
        ("Z999999", "Z9009XJ", 404, "404-crn"),
        ("z9001xa", "Z9001XA", 400, "400-unrecognised-identifier"),
        ("12345", "Z9009XJ", 400, "400-unrecognised-identifier"),
    ] {
        let expected = standard("errors", error).expect("the refusal is there");
        assert_eq!(
            reply(identifier, &parts(noms)),
            json!({"status": status, "body": expected}),
            "{identifier}"
        );
    }
    let duplicate = reply("Z9010XK", &parts("Z9010XK"));
    assert_eq!(
        (&duplicate["status"], &duplicate["body"]["status"]),
        (&json!(409), &json!(409))
    );
    assert!(duplicate["body"]["message"].is_string());
}

#[test]
fn there_is_the_whole_answer_or_none() {
    for name in ["all", "registrations", "resourcing", "managers"] {
        for broken in [
            part(500, legacy("errors", "500-unhandled")),
            part(502, None),
            part(503, None),
            part(401, None),
            part(403, None),
            part(302, None),
        ] {
            let mut parts = parts("Z9001XA");
            parts[name] = broken;
            let reply = reply("Z9001XA", &parts);
            assert_eq!(
                (&reply["status"], reply["body"].get("crn")),
                (&json!(502), None),
                "{name}"
            );
        }
    }
    for (name, body) in [
        ("all", json!(null)),
        ("all", json!([])),
        ("all", json!({})),
        ("registrations", json!(null)),
        ("registrations", json!([])),
        ("managers", json!({})),
        ("managers", json!(null)),
    ] {
        let mut parts = parts("Z9001XA");
        parts[name]["body"] = body;
        assert_eq!(reply("Z9001XA", &parts)["status"], json!(502), "{name}");
    }
    let mut parts = parts("Z9001XA");
    parts["resourcing"] = part(404, None);
    assert_eq!(reply("Z9001XA", &parts)["body"].get("resourcing"), None);
    parts["registrations"]["status"] = json!(404);
    assert_eq!(reply("Z9001XA", &parts)["status"], json!(404));
}

/// The first person, changed at some pointers of its parts.
fn changed(changes: &[(&str, Json)]) -> Json {
    let mut parts = parts("Z9001XA");
    for (pointer, value) in changes {
        *parts.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
    }
    reply("Z9001XA", &parts)
}

#[test]
fn the_first_of_several_active_managers_is_taken() {
    let reply = changed(&[("/all/body/offenderManagers/1/active", json!(true))]);
    assert_eq!(reply["body"]["manager"]["code"], json!("N99A001"));
    let none = changed(&[("/all/body/offenderManagers/0/active", json!(false))]);
    assert_eq!(
        none["status"],
        json!(500),
        "as the standard side answers for a record without one"
    );
    let empty = changed(&[("/all/body/offenderManagers", json!([]))]);
    assert_eq!(empty["status"], json!(500));
    let second = changed(&[
        ("/all/body/offenderManagers/0/active", json!(false)),
        ("/all/body/offenderManagers/1/active", json!(true)),
        ("/managers/body/0/staffCode", json!("N99A099")),
    ]);
    assert_eq!(second["body"]["manager"]["code"], json!("N99A099"));
    let disagree = changed(&[("/managers/body/0/staffCode", json!("N99A055"))]);
    assert_eq!(disagree["status"], json!(502), "two managers are never mixed into one");
}

#[test]
fn a_placeholder_shows_its_team_only() {
    let team = json!({
        "code": "N99T01", "description": "Testshire OMU 1",
        "localDeliveryUnit": {"code": "N99TLDU", "description": "Testshire North LDU"},
    });
    for (pointer, value) in [
        ("/all/body/offenderManagers/0/staff/code", json!("N99UATU")),
        ("/all/body/offenderManagers/0/staff/unallocated", json!(true)),
    ] {
        assert_eq!(changed(&[(pointer, value)])["body"]["manager"], json!({"team": team}));
    }
    let bare = changed(&[("/all/body/offenderManagers/0/team", json!({}))]);
    assert_eq!(bare["body"]["manager"].get("team"), None);
    let names = changed(&[(
        "/all/body/offenderManagers/0/staff",
        json!({"code": "N99A001", "forenames": "Zoë \"Q\"", "surname": "O'\\(x)", "extra": 1}),
    )]);
    assert_eq!(
        names["body"]["manager"]["name"],
        json!({"forename": "Zoë \"Q\"", "surname": "O'\\(x)"})
    );
}

#[test]
fn the_level_is_of_the_active_mappa_that_began_last() {
    let mappa = |level: &str, date: &str, active: bool| json!({"type": {"code": "MAPP"}, "registerLevel": {"code": level}, "startDate": date, "active": active});
    let level = |list: Json| {
        let reply = changed(&[("/registrations/body", json!({"registrations": list}))]);
        (
            reply["body"]["mappaLevel"].clone(),
            reply["body"]["vloAssigned"].clone(),
        )
    };
    for (list, expected) in [
        (
            json!([mappa("M1", "2025-01-01", true), mappa("M3", "2024-01-01", true)]),
            1,
        ),
        (
            json!([mappa("M3", "2024-01-01", true), mappa("M1", "2025-01-01", true)]),
            1,
        ),
        (
            json!([mappa("M1", "2025-01-01", false), mappa("M3", "2024-01-01", true)]),
            3,
        ),
        (
            json!([mappa("M0", "2025-01-01", true), mappa("M3", "2024-01-01", true)]),
            0,
        ),
        (json!([mappa("X9", "2025-01-01", true)]), 0),
        (json!([mappa("M4", "2025-01-01", true)]), 0),
        (json!([{"type": {"code": "MAPP"}, "active": true}]), 0),
        (
            json!([{"type": {"code": "LIFE"}, "registerLevel": {"code": "M2"}, "active": true}]),
            0,
        ),
        (json!([{}, {"type": null, "active": true}]), 0),
        (json!([]), 0),
    ] {
        assert_eq!(level(list.clone()), (json!(expected), json!(false)), "{list}");
    }
    let victim = |code: &str, active: bool| json!([{"type": {"code": code}, "active": active}]);
    assert_eq!(level(victim("INVI", true)).1, json!(true));
    assert_eq!(level(victim("DASO", true)).1, json!(true));
    assert_eq!(level(victim("DASO", false)).1, json!(false));
    assert_eq!(level(victim("INVX", true)).1, json!(false));
    let none = changed(&[("/registrations/body", json!({}))]);
    assert_eq!(
        (&none["body"]["mappaLevel"], &none["body"]["vloAssigned"]),
        (&json!(0), &json!(false))
    );
}

#[test]
fn an_absent_tier_draft_or_email_is_absent() {
    let mut parts = parts("Z9001XA");
    parts["all"]["body"]
        .as_object_mut()
        .expect("an object")
        .remove("currentTier");
    parts["resourcing"]["body"] = json!({"relatedConvictionId": 1});
    parts["managers"]["body"] =
        json!([{"isPrisonOffenderManager": true, "staffCode": "N99A001", "staff": {"email": "p@example.org"}}]);
    let body = reply("Z9001XA", &parts)["body"].clone();
    assert_eq!(
        (
            body.get("currentTier"),
            body.get("resourcing"),
            body["manager"].get("email")
        ),
        (None, None, None)
    );
    parts["managers"]["body"] =
        json!([{"isPrisonOffenderManager": false, "staffCode": "N99A001", "staff": {"email": " c@example.org "}}]);
    assert_eq!(
        reply("Z9001XA", &parts)["body"]["manager"]["email"],
        json!("c@example.org")
    );
    parts["managers"]["body"] = json!([]);
    assert_eq!(reply("Z9001XA", &parts)["body"]["manager"].get("email"), None);
}

#[test]
fn the_request_asks_four_times_by_either_identifier() {
    let ask = |name: &str, params: Json| {
        out(
            name,
            &json!({"method": "GET", "params": params, "query": null, "headers": {}}),
        )
    };
    let paths = |base: &str| {
        let of = |rest: &str| json!({"path": format!("{base}{rest}")});
        json!({"parts": {
            "all": of("/all"), "registrations": of("/registrations"),
            "resourcing": of("/risk/resourcing/latest"), "managers": of("/allOffenderManagers"),
        }})
    };
    for (identifier, base) in [
        ("Z9001XA", "/secure/offenders/nomsNumber/Z9001XA"),
        ("Z900001", "/secure/offenders/crn/Z900001"),
        ("../x", "/secure/offenders/nomsNumber/..%2Fx"),
    ] {
        assert_eq!(
            ask("bridge/case-record.request.jq", json!({"identifier": identifier})),
            paths(base)
        );
    }
    assert_eq!(
        ask(
            "bridge/generation-a/case-record.request.jq",
            json!({"identifier": "Z9001XA"})
        ),
        json!({"parts": {
            "all": {"path": "/api/offenders/nomsNumber/Z9001XA/all"},
            "registrations": {"path": "/api/offenders/nomsNumber/Z9001XA/registrations"},
        }})
    );
    assert_eq!(
        ask("bridge/mappa.request.jq", json!({"crn": "Z900001"})),
        json!({"path": "/secure/offenders/crn/Z900001/risk/mappa"})
    );
}

#[test]
fn the_mappa_detail_loses_what_the_standard_one_does_not_say() {
    let detail = |status: u16, body: Option<Json>| {
        out(
            "bridge/mappa.ndh.jq",
            &json!({"status": status, "body": body, "params": {"crn": "Z900004"}}),
        )
    };
    let expected = standard("mappa", "Z900001");
    assert_eq!(
        detail(200, legacy("mappa", "Z900001")),
        json!({"status": 200, "body": expected})
    );
    let missing = json!({
        "level": 0, "levelDescription": "Missing level", "category": 0, "categoryDescription": "Missing category",
        "startDate": "2025-01-02", "notes": "free text",
    });
    assert_eq!(detail(200, Some(missing))["body"], json!({"startDate": "2025-01-02"}));
    assert_eq!(
        detail(404, legacy("errors", "404-mappa-none"))["body"],
        standard("errors", "404-mappa").expect("it is there")
    );
    assert_eq!(
        detail(404, legacy("errors", "404-resourcing-no-offender"))["body"],
        json!({"status": 404, "message": "Person with crn of Z900004 not found"})
    );
    assert_eq!(
        detail(503, None),
        json!({"status": 503, "body": {"status": 503, "message": "NDH answered 503"}})
    );
    assert_eq!(detail(401, None)["status"], json!(502));
}

#[test]
fn the_2018_generation_fills_what_it_has() {
    let read = |kind: &str, noms: &str| body(&format!("src/rehearsal/people/legacy-2018/{kind}"), noms);
    let reply = |noms: &str| {
        let part = |kind| match read(kind, noms) {
            Some(found) => part(200, Some(found)),
            None => part(404, None),
        };
        let parts = json!({"all": part("offender-all"), "registrations": part("registrations")});
        out(
            "bridge/generation-a/case-record.ndh.jq",
            &json!({"parts": parts, "params": {"identifier": noms}}),
        )
    };
    let mut filled = 0;
    for noms in [
        "Z9001XA", "Z9002XB", "Z9003XC", "Z9004XD", "Z9005XE", "Z9006XF", "Z9011XL",
    ] {
        let (_, whole) = case_record(noms);
        let mut expected = json!({"manager": {"team": {"description": whole["manager"]["team"]["description"]}}});
        for key in ["crn", "nomsId", "mappaLevel", "vloAssigned"] {
            expected[key] = whole[key].clone();
        }
        if let Some(name) = whole["manager"].get("name") {
            expected["manager"]["name"] = name.clone();
        }
        assert_eq!(reply(noms), json!({"status": 200, "body": expected}), "{noms}");
        filled += 1;
    }
    assert_eq!(filled, 7);
    assert_eq!(
        reply("Z9009XJ"),
        json!({"status": 404, "body": standard("errors", "404-noms")})
    );
    assert_eq!(reply("nobody")["status"], json!(400));
    let broken = json!({"parts": {"all": part(502, None), "registrations": part(200, Some(json!([])))}, "params": {"identifier": "Z9001XA"}});
    assert_eq!(
        out("bridge/generation-a/case-record.ndh.jq", &broken)["status"],
        json!(502)
    );
}

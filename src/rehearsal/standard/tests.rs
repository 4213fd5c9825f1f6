//! The rows of the contract's tables for the read API, asked of the stand-in's logic and compared byte for byte.

use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use serde_json::json;

use super::super::auth::{Keyring, ROLE};
use super::super::fixtures::file_names;
use super::*;

const NOW: i64 = 1_768_212_000;
const ISSUER: &str = "http://auth.example/auth/issuer";

fn standard() -> (Standard, Arc<Keyring>) {
    let keyring = Arc::new(Keyring::fresh().unwrap());
    let standard = Standard {
        data: Data::embedded().unwrap(),
        with_rosh: false,
        checker: Checker::new(Keys::Here(keyring.clone()), ISSUER.to_owned()),
        lies: Lies::default(),
    };
    (standard, keyring)
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "nbf": NOW, "exp": NOW + 60, "authorities": [ROLE] })
}

fn ask(standard: &Standard, method: &Method, path: &str, authorization: Option<&str>) -> Reply {
    let mut headers = HeaderMap::new();
    if let Some(value) = authorization {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    standard.answer(&Ask {
        method,
        path,
        query: None,
        headers: &headers,
        body: b"",
        now: NOW,
    })
}

/// Reads as one who may.
fn read(standard: &Standard, keyring: &Keyring, path: &str) -> Reply {
    let token = format!("Bearer {}", keyring.sign(&claims()).unwrap());
    ask(standard, &Method::GET, path, Some(&token))
}

fn people() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rehearsal/people")
}

fn file(name: &str) -> Bytes {
    let path = people().join(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
        .into()
}

#[test]
fn every_recorded_reply_comes_byte_for_byte() {
    let (standard, keyring) = standard();
    let mut compared = 0;
    for (folder, below) in [("case-records", ""), ("mappa", "/risks/mappa"), ("rosh", "/risks/rosh")] {
        for name in file_names(&people().join("standard").join(folder)).unwrap() {
            let identifier = name.strip_suffix(".json").unwrap();
            let reply = read(&standard, &keyring, &format!("/case-records/{identifier}{below}"));
            assert_eq!(
                reply,
                Reply::file(file(&format!("standard/{folder}/{name}"))),
                "{folder} {name}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 11);
    let by_crn = read(&standard, &keyring, "/case-records/Z900001");
    assert_eq!(by_crn.body, file("standard/case-records/Z9001XA.json"));
    for (path, name) in [
        ("/health", "health"),
        ("/health/ping", "health-ping"),
        ("/health/readiness", "health-ping"),
        ("/health/liveness", "health-ping"),
        ("/info", "info"),
    ] {
        let reply = ask(&standard, &Method::GET, path, None);
        assert_eq!(reply, Reply::file(file(&format!("standard/{name}.json"))), "{path}");
    }
}

#[test]
fn the_shape_of_2026_is_given_where_it_is_asked_for_and_there() {
    let (standard, keyring) = standard();
    let standard = Standard {
        with_rosh: true,
        ..standard
    };
    let record = |noms: &str| read(&standard, &keyring, &format!("/case-records/{noms}")).body;
    assert_eq!(record("Z9001XA"), file("standard/case-records-with-rosh/Z9001XA.json"));
    assert_eq!(record("Z9002XB"), file("standard/case-records/Z9002XB.json"));
}

#[test]
fn every_error_comes_as_recorded() {
    let (standard, keyring) = standard();
    for (path, status, name) in [
        ("/case-records/Z9007XG", 404, "404-noms-not-linked"),
        ("/case-records/Z9009XJ", 404, "404-noms"),
        ("/case-records/Z999999", 404, "404-crn"),
        ("/case-records/Z9010XK", 409, "409-duplicate"),
        ("/case-records/z9001xa", 400, "400-unrecognised-identifier"),
        ("/case-records/12345", 400, "400-unrecognised-identifier"),
        ("/case-records/Z9001XAA", 400, "400-unrecognised-identifier"),
        ("/case-records/Z900004/risks/mappa", 404, "404-mappa"),
        ("/case-records/Z999999/risks/mappa", 404, "404-crn"),
        ("/case-records/Z999999/risks/rosh", 404, "404-crn"),
    ] {
        let expected = Reply::recorded(status, file(&format!("standard/errors/{name}.json")));
        assert_eq!(read(&standard, &keyring, path), expected, "{path}");
    }
    let by_noms = read(&standard, &keyring, "/case-records/Z9001XA/risks/mappa");
    assert_eq!(by_noms, problem(404, "Person with crn of Z9001XA not found"));
    let no_rosh = "/case-records/Z900002/risks/rosh";
    assert_eq!(read(&standard, &keyring, no_rosh), Reply::unhandled(500, no_rosh));
    for nowhere in ["/", "/case-records", "/case-records/", "/case-records/Z900001/risks"] {
        assert_eq!(read(&standard, &keyring, nowhere), Reply::unhandled(404, nowhere));
    }
}

#[test]
fn only_a_good_token_with_the_role_is_let_in() {
    let (standard, keyring) = standard();
    let path = "/case-records/Z9001XA";
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        keyring.sign(&claims).unwrap()
    };
    let good = keyring.sign(&claims()).unwrap();
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let header = rest.split('.').next().unwrap();
    let foreign = Keyring::fresh().unwrap().sign(&claims()).unwrap();
    for (token, why) in [
        (with("exp", json!(NOW)), "expired"),
        (with("exp", Value::Null), "expired"),
        (with("nbf", json!(NOW + 61)), "not valid yet"),
        (with("iss", json!("http://elsewhere/auth/issuer")), "issuer"),
        (foreign, "unknown key"),
        (format!("{header}.e30.{signature}"), "does not fit"),
        (format!("{rest}."), "does not fit"),
        ("opaque".to_owned(), "malformed"),
        (String::new(), "malformed"),
    ] {
        let reply = ask(&standard, &Method::GET, path, Some(&format!("Bearer {token}")));
        assert_eq!((reply.status, &*reply.body), (401, &b""[..]), "{why}");
        let (name, said) = &reply.headers[0];
        assert_eq!(*name, header::WWW_AUTHENTICATE);
        assert!(
            said.starts_with(r#"Bearer error="invalid_token""#) && said.contains(why),
            "{why}: {said}"
        );
    }
    for none in [None, Some("Basic YTpi"), Some("Bearer")] {
        let expected = Reply::empty(401).with(header::WWW_AUTHENTICATE, "Bearer");
        assert_eq!(ask(&standard, &Method::GET, path, none), expected, "{none:?}");
    }
    let forbidden = Reply::recorded(403, file("standard/errors/403-missing-role.json"));
    for roles in [json!([]), json!(["ROLE_SOMETHING_ELSE"])] {
        let token = format!("Bearer {}", with("authorities", roles));
        assert_eq!(ask(&standard, &Method::GET, path, Some(&token)), forbidden);
    }
    let admin = format!(
        "bearer {}",
        with("authorities", json!(["ROLE_PROBATION_INTEGRATION_ADMIN"]))
    );
    assert_eq!(ask(&standard, &Method::GET, path, Some(&admin)).status, 200);
    assert_eq!(ask(&standard, &Method::PUT, path, Some(&admin)).status, 405);
}

#[test]
fn a_token_without_a_signature_is_no_token() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (standard, keyring) = standard();
    let id = keyring.jwks()["keys"][0]["kid"].clone();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = |alg: &str| {
        format!(
            "Bearer {}.{}.",
            encode(&json!({ "alg": alg, "kid": id })),
            encode(&claims())
        )
    };
    for alg in ["none", "HS256", "RS256"] {
        let reply = ask(&standard, &Method::GET, "/case-records/Z9001XA", Some(&token(alg)));
        assert_eq!(reply.status, 401, "{alg}");
    }
}

#[test]
fn a_lie_is_told_by_either_number_and_only_about_one_person() {
    let (standard, keyring) = standard();
    standard
        .lie("/case-records/Z900001", json!({ "currentTier": "D-0" }))
        .unwrap();
    standard.lie("/case-records/Z9002XB", Value::Null).unwrap();
    let record = |noms: &str| read(&standard, &keyring, &format!("/case-records/{noms}"));
    let told: Value = serde_json::from_slice(&record("Z9001XA").body).unwrap();
    assert_eq!(
        (&told["currentTier"], &told["resourcing"]),
        (&json!("D-0"), &json!("ENHANCED"))
    );
    assert_eq!(
        record("Z9002XB"),
        problem(404, "Person with nomsId of Z9002XB not found")
    );
    assert_eq!(record("Z9003XC").body, file("standard/case-records/Z9003XC.json"));
    standard.lies.forget();
    assert_eq!(record("Z9001XA").body, file("standard/case-records/Z9001XA.json"));
    assert_eq!(standard.lie("/elsewhere", Value::Null), Err(LieError::Path));
    assert_eq!(standard.lie("/case-records/z9001xa", Value::Null), Err(LieError::Path));
    assert_eq!(
        standard.lie("/case-records/Z9007XG", Value::Null),
        Err(LieError::Nobody)
    );
}

#[test]
fn the_embedded_people_are_those_of_the_directory() {
    let (loaded, embedded) = (Data::load(&people()).unwrap(), Data::embedded().unwrap());
    assert_eq!(format!("{loaded:?}"), format!("{embedded:?}"));
}

/// Names below a directory, and what is in them.
type Files<'a> = &'a [(&'a str, &'a str)];

#[test]
fn a_directory_that_contradicts_itself_is_refused_with_the_file() {
    let record = "standard/case-records/Z9001XA.json";
    let good = r#"{"crn": "Z900001", "nomsId": "Z9001XA"}"#;
    let listed = |status: u16| format!(r#"{{"people": [{{"noms": "Z9001XA", "standardStatus": {status}}}]}}"#);
    let other = r#"{"people": [{"noms": "Z9002XB", "standardStatus": 200}]}"#;
    let cases: [(Files<'_>, &str, &str); 10] = [
        (&[], "standard/case-records", "no such directory"),
        (&[(record, "{")], record, "EOF"),
        (&[(record, "[]")], record, "expected an object"),
        (&[(record, r#"{"nomsId": "Z9001XA"}"#)], record, "six digits"),
        (
            &[(record, r#"{"crn": "Z900001", "nomsId": "Z9002XB"}"#)],
            record,
            "\"Z9002XB\"",
        ),
        (
            &[("standard/case-records/notes.json", "{}")],
            "notes.json",
            "expected a name",
        ),
        (
            &[
                (record, good),
                ("standard/case-records/Z900001.json", r#"{"crn": "Z900001"}"#),
            ],
            record,
            "as well",
        ),
        (
            &[(record, good), ("standard/mappa/Z900002.json", "{}")],
            "Z900002.json",
            "no record of",
        ),
        (
            &[(record, good), ("people.json", &listed(404))],
            "people.json",
            "though there is",
        ),
        (&[(record, good), ("people.json", other)], "people.json", "is missing"),
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

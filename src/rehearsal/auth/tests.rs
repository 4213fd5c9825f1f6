//! The rows of the contract's tables for HMPPS Auth, asked of the stand-in's logic.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::*;

const NOW: i64 = 1_768_212_000;
const TOKEN: &str = "/auth/oauth/token";

fn auth() -> Auth {
    let without_role = Client {
        roles: Vec::new(),
        ..Client::new("poor", "p")
    };
    let clients = vec![
        Client::new("delius-sidecar-test", "s:e+c/r %t"),
        Client::new("delius-sidecar-test-1", "other"),
        without_role,
    ];
    Auth {
        clients: Clients::new(clients, None),
        keyring: Arc::new(Keyring::fresh().unwrap()),
        issuer: "https://sign-in-dev.hmpps.service.justice.gov.uk/auth/issuer".to_owned(),
        expires_in: Duration::from_secs(1200),
    }
}

fn ask(auth: &Auth, method: Method, target: &str, authorization: Option<&str>, form: Option<&str>) -> Reply {
    let mut headers = HeaderMap::new();
    if let Some(value) = authorization {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    if form.is_some() {
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded;charset=UTF-8");
        headers.insert(header::CONTENT_TYPE, kind);
    }
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    auth.answer(&Ask {
        method: &method,
        path,
        query,
        headers: &headers,
        body: form.unwrap_or_default().as_bytes(),
        now: NOW,
    })
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn good() -> String {
    basic("delius-sidecar-test:s%3Ae%2Bc%2Fr+%25t")
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn claims(reply: &Reply) -> Value {
    let answer = body(reply);
    let payload = answer["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// The recorded answer with what differs each time put in.
fn same_but_for_the_jti(found: &Value, recorded: &str) {
    let mut recorded: Value = serde_json::from_str(recorded).unwrap();
    for changing in ["jti", "access_token"] {
        if recorded.get(changing).is_some() {
            recorded[changing] = found[changing].clone();
        }
    }
    assert_eq!(*found, recorded);
}

#[test]
fn a_token_is_granted_as_recorded_by_query_and_by_form() {
    let auth = auth();
    let by_query = ask(
        &auth,
        Method::POST,
        "/auth/oauth/token?grant_type=client_credentials",
        Some(&good()),
        None,
    );
    let by_form = ask(
        &auth,
        Method::POST,
        TOKEN,
        Some(&good()),
        Some("grant_type=client_credentials"),
    );
    for reply in [&by_query, &by_form] {
        assert_eq!(reply.status, 200);
        same_but_for_the_jti(&body(reply), include_str!("../people/auth/token-response.json"));
        same_but_for_the_jti(&claims(reply), include_str!("../people/auth/token-claims.json"));
    }
    assert_ne!(claims(&by_query)["jti"], claims(&by_form)["jti"]);
}

#[test]
fn a_user_is_named_in_capitals_by_the_older_server_and_as_is_by_the_newer() {
    let auth = auth();
    let query = "grant_type=client_credentials&username=test_user_gen&auth_source=elsewhere";
    let older = ask(&auth, Method::POST, &format!("{TOKEN}?{query}"), Some(&good()), None);
    same_but_for_the_jti(
        &body(&older),
        include_str!("../people/auth/token-response-with-username.json"),
    );
    same_but_for_the_jti(
        &claims(&older),
        include_str!("../people/auth/token-claims-with-username.json"),
    );
    let form = "grant_type=client_credentials&username=test_user_gen&auth_source=delius";
    let newer = body(&ask(&auth, Method::POST, "/oauth2/token", Some(&good()), Some(form)));
    assert_eq!(
        (&newer["user_name"], &newer["auth_source"]),
        (&json!("test_user_gen"), &json!("delius"))
    );
    assert_eq!(
        (&newer["token_type"], &newer["scope"]),
        (&json!("Bearer"), &json!("[\"read\"]"))
    );
}

#[test]
fn copies_of_a_client_stand_side_by_side_and_one_without_roles_says_none() {
    let auth = auth();
    let query = "/auth/oauth/token?grant_type=client_credentials";
    let copy = ask(
        &auth,
        Method::POST,
        query,
        Some(&basic("delius-sidecar-test-1:other")),
        None,
    );
    assert_eq!(claims(&copy)["client_id"], "delius-sidecar-test-1");
    let poor = ask(&auth, Method::POST, query, Some(&basic("poor:p")), None);
    assert_eq!(claims(&poor).get("authorities"), None);
}

#[test]
fn every_refusal_is_worded_as_recorded() {
    let auth = auth();
    let good = good();
    let recorded = |name: &str| -> Value {
        let text = match name {
            "invalid_client" => include_str!("../people/auth/errors/401-invalid-client.json"),
            "unauthorized" => include_str!("../people/auth/errors/401-unauthorised.json"),
            "invalid_grant" => include_str!("../people/auth/errors/400-invalid-grant.json"),
            "unsupported_grant_type" => include_str!("../people/auth/errors/400-unsupported-grant-type.json"),
            other => return json!({ "error": other }),
        };
        serde_json::from_str(text).unwrap()
    };
    let granted = "grant_type=client_credentials";
    let (unknown, wrong, raw, broken) = (
        basic("nobody:s"),
        basic("delius-sidecar-test:other"),
        basic("delius-sidecar-test:s:e+c/r %t"),
        basic("no-colon"),
    );
    for (authorization, query, status, error) in [
        (Some(&*unknown), granted, 401, "invalid_client"),
        (Some(&*wrong), granted, 401, "invalid_client"),
        (Some(&*raw), granted, 401, "invalid_client"),
        (Some(&*broken), granted, 401, "invalid_client"),
        (Some("Basic !"), granted, 401, "invalid_client"),
        (Some("Bearer x"), granted, 401, "unauthorized"),
        (None, granted, 401, "unauthorized"),
        (Some(&*wrong), "grant_type=whim", 401, "invalid_client"),
        (Some(&*good), "grant_type=whim", 400, "unsupported_grant_type"),
        (
            Some(&*good),
            "grant_type=password&username=a&password=b",
            400,
            "invalid_grant",
        ),
        (Some(&*good), "", 400, "invalid_request"),
        (Some(&*good), "grant_type=%", 400, "invalid_request"),
    ] {
        let reply = ask(&auth, Method::POST, &format!("{TOKEN}?{query}"), authorization, None);
        assert_eq!(
            (reply.status, body(&reply)),
            (status, recorded(error)),
            "{authorization:?} {query}"
        );
        let challenged = reply.headers.iter().any(|(name, _)| *name == header::WWW_AUTHENTICATE);
        assert_eq!(challenged, status == 401, "{query}");
    }
    assert_eq!(ask(&auth, Method::GET, TOKEN, Some(&good), None).status, 405);
    assert_eq!(ask(&auth, Method::POST, TOKEN, Some(&good), None).status, 400);
}

#[test]
fn keys_configuration_and_health_need_nothing() {
    let auth = auth();
    let read = |path: &str| ask(&auth, Method::GET, path, None, None);
    let keys = read("/auth/.well-known/jwks.json");
    assert!(
        keys.headers
            .contains(&(header::CACHE_CONTROL, "max-age=43200, public".to_owned()))
    );
    let names = |text: &[u8]| {
        let set: Value = serde_json::from_slice(text).unwrap();
        let key = set["keys"][0].as_object().unwrap().clone();
        (
            key.keys().cloned().collect::<Vec<_>>(),
            key["n"].as_str().unwrap().len(),
        )
    };
    assert_eq!(names(&keys.body), names(include_bytes!("../people/auth/jwks.json")));
    let configuration = read("/auth/issuer/.well-known/openid-configuration");
    let recorded = include_str!("../people/auth/openid-configuration.json");
    same_but_for_the_jti(&body(&configuration), recorded);
    assert_eq!(read("/auth/ping").body, "pong");
    assert_eq!(body(&read("/auth/health/ping")), json!({ "status": "UP" }));
    assert_eq!(read("/auth/elsewhere").status, 404);
    assert_eq!(ask(&auth, Method::PUT, "/auth/ping", None, None).status, 405);
}

#[test]
fn a_changed_key_signs_and_the_old_one_stays_or_goes() {
    let auth = auth();
    let ids = || {
        let keys = auth.keyring.jwks()["keys"].as_array().unwrap().clone();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = ids();
    auth.keyring.change(true).unwrap();
    let both = ids();
    assert_eq!((both.len(), &both[1]), (2, &first[0]));
    auth.keyring.change(false).unwrap();
    assert!(ids().len() == 1 && !both.contains(&ids()[0]));
}

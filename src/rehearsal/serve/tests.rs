//! Both sides of the standard route in this process, over TLS and by their handles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::auth::{self, Client};
use super::super::client;
use super::super::papers::{Knock, Papers, knock};
use super::super::standard::{self, Data};
use super::*;
use crate::cert::load;

const RECORD: &str = "/case-records/Z9001XA";

/// One request over TLS, by one who trusts the papers' root.
fn ask<S>(papers: &Papers, to: &Running<S>, method: &str, target: &str, authorization: &str) -> client::Answer {
    assert!(to.url().starts_with("https://"));
    let ask = client::Ask {
        method,
        headers: &[("authorization", authorization)],
        ..client::Ask::get(target)
    };
    match knock(&papers.root_pem, to.address(), None, &ask).unwrap() {
        Knock::Answered(answer) => answer,
        Knock::Refused(why) => panic!("{why}"),
    }
}

#[test]
fn both_sides_of_the_standard_route_serve_tls_in_this_process() {
    let papers = Papers::issue(clock::unix_seconds()).unwrap();
    let issued = &papers.gateway;
    let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap();
    let auth = auth::start(auth::Options {
        certificate: Some(bundle.clone()),
        ..auth::Options::new(vec![Client::new("app", "s")])
    });
    let auth = auth.unwrap();
    let standard = standard::start(standard::Options {
        certificate: Some(bundle),
        ..standard::Options::new(Data::embedded().unwrap(), &auth)
    });
    let standard = standard.unwrap();
    let grant = |pair: &str| {
        let basic = format!("Basic {}", STANDARD.encode(pair));
        let path = "/auth/oauth/token?grant_type=client_credentials";
        let answer = ask(&papers, &auth, "POST", path, &basic);
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let token = body["access_token"].as_str().unwrap_or_default();
        (answer.status, format!("Bearer {token}"))
    };
    let read = |bearer: &str| ask(&papers, &standard, "GET", RECORD, bearer);
    let (_, bearer) = grant("app:s");
    assert_eq!(read(&bearer).status, 200);

    auth.admit(Client::new("app-1", "t"));
    auth.withdraw("app");
    assert_eq!((grant("app:s").0, grant("app-1:t").0), (401, 200));
    assert_eq!(read(&bearer).status, 200, "a withdrawn client's token stays good");
    auth.change_key(true).unwrap();
    assert_eq!(read(&bearer).status, 200);
    auth.change_key(false).unwrap();
    assert_eq!(read(&bearer).status, 401);

    let (_, bearer) = grant("app-1:t");
    standard.lie(RECORD, json!({ "mappaLevel": 3 })).unwrap();
    let told: Value = serde_json::from_slice(&read(&bearer).body).unwrap();
    assert_eq!(told["mappaLevel"], 3);
    standard.tell_the_truth();
    standard.misbehave(vec!["503:1".parse().unwrap()]);
    assert_eq!(read(&bearer).status, 503);
    standard.misbehave(Vec::new());
    assert_eq!(
        read(&bearer).body,
        include_bytes!("../people/standard/case-records/Z9001XA.json")
    );
    assert_eq!(
        (standard.requests("GET", "/case-records/z9001xa"), standard.count()),
        (7, 7)
    );
    assert!(standard.seen().iter().all(|seen| seen.authorization));
}

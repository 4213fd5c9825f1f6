//! What an answer to a token request says: replies as servers give them, and as they should not.

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000;
/// Stands in every body that must not be repeated.
const LEAK: &str = "hunter2";

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        retry_after: None,
        location: None,
        date: None,
        body: Zeroizing::new(body.as_bytes().to_vec()),
    }
}

fn read(body: &str) -> Result<Granted, Trouble> {
    of_server(&reply(200, body), "sign-in.example:443", false, NOW)
}

#[track_caller]
fn granted(body: &str) -> (String, u64) {
    let granted = read(body).unwrap_or_else(|trouble| panic!("{trouble:?}"));
    (granted.token.to_string(), granted.life.as_secs())
}

#[track_caller]
fn refused(status: u16, body: &str) -> Trouble {
    let trouble = of_server(&reply(status, body), "sign-in.example:443", false, NOW)
        .err()
        .expect("refused");
    assert!(!trouble.sentence.contains(LEAK), "{}", trouble.sentence);
    assert!(
        trouble.sentence.starts_with("sign-in.example:443 answers"),
        "{}",
        trouble.sentence
    );
    trouble
}

fn jwt(claims: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn replies_of_the_servers_there_are_are_read() {
    for (body, life) in [
        (
            r#"{"access_token":"t","token_type":"bearer","expires_in":1200,"scope":"read write"}"#,
            1200,
        ),
        (
            r#"{"access_token":"t","token_type":"Bearer","expires_in":"3600","scope":"[\"read\"]"}"#,
            3600,
        ),
        (
            r#"{"access_token":"t","token_type":"BEARER","expires_in":59.5,"scope":["read","write"]}"#,
            59,
        ),
        (
            r#"{"access_token":"t","expires_in":null,"jti":"x","user_name":"U"}"#,
            300,
        ),
        (r#"{"access_token":"t","token_type":"bearer"}"#, 300),
    ] {
        assert_eq!(granted(body), ("t".to_owned(), life), "{body}");
    }
}

#[test]
fn the_shortest_life_that_is_spoken_of_counts() {
    let life = |claims: &str, said: &str| {
        granted(&format!(
            r#"{{"access_token":"{}","token_type":"bearer"{said}}}"#,
            jwt(claims)
        ))
        .1
    };
    assert_eq!(life(&format!(r#"{{"exp":{}}}"#, NOW + 90), ""), 90);
    assert_eq!(life(&format!(r#"{{"exp":{}}}"#, NOW + 90), r#","expires_in":1200"#), 90);
    assert_eq!(life(&format!(r#"{{"exp":{}}}"#, NOW + 1200), r#","expires_in":60"#), 60);
    // This machine's clock is an hour ahead: what the other side says of the token's life is not made useless by that.
    let behind = format!(r#"{{"iat":{},"exp":{}}}"#, NOW - 3600, NOW - 2400);
    assert_eq!(life(&behind, r#","expires_in":1200"#), 1200);
    assert_eq!(life(&behind, ""), 1200);
    assert_eq!(life(r#"{"sub":"nobody"}"#, ""), 300, "a JWT without dates");
}

#[test]
fn a_token_that_is_over_as_it_comes_is_none() {
    let over = jwt(&format!(r#"{{"exp":{}}}"#, NOW - 1));
    for body in [
        r#"{"access_token":"t","expires_in":0}"#.to_owned(),
        r#"{"access_token":"t","expires_in":-5}"#.to_owned(),
        format!(r#"{{"access_token":"{over}"}}"#),
    ] {
        assert!(refused(200, &body).sentence.contains("over already"), "{body}");
    }
}

#[test]
fn what_is_no_token_reply_is_said_in_words_and_never_quoted() {
    for (body, says) in [
        ("", "an empty body"),
        ("<html><title>hunter2</title></html>", "HTML or XML"),
        ("  <?xml hunter2", "HTML or XML"),
        ("{\"access_token\":\"hunter2", "broken JSON"),
        ("hunter2", "something else than JSON"),
        ("[\"hunter2\"]", "JSON that is no object"),
        ("{\"token\":\"hunter2\"}", "without an access_token"),
        (
            "{\"access_token\":{\"a\":\"hunter2\"}}",
            "an access_token that is no text",
        ),
        ("{\"access_token\":\"\"}", "an empty token"),
        (
            "{\"access_token\":\"hunter2\\r\\nx: y\"}",
            "a token that no header can carry",
        ),
        ("{\"access_token\":\"hunter2 x\"}", "a token that no header can carry"),
        (
            "{\"access_token\":\"hunter2\",\"token_type\":\"mac\"}",
            "another type than bearer",
        ),
        (
            "{\"access_token\":\"hunter2\",\"token_type\":5}",
            "another type than bearer",
        ),
        (
            "{\"access_token\":\"hunter2\",\"expires_in\":\"soon\"}",
            "no number of seconds",
        ),
    ] {
        let trouble = refused(200, body);
        assert_eq!(trouble.kind, Kind::Invalid, "{body}");
        assert!(trouble.sentence.contains(says), "{body}: {}", trouble.sentence);
    }
    let large = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(LONGEST + 1));
    assert!(refused(200, &large).sentence.contains("more than 16 KiB"));
}

#[test]
fn a_status_says_whether_it_passes_by_itself() {
    let body = r#"{"error":"invalid_client","error_description":"hunter2"}"#;
    for (status, body, kind, says) in [
        (401, "hunter2", Kind::Refused, "does not accept our client"),
        (401, body, Kind::Refused, "401 (invalid_client)"),
        (400, body, Kind::Refused, "identifier and the secret of one client"),
        (400, r#"{"error":"hunter2"}"#, Kind::Refused, "check `scopes`"),
        (
            400,
            r#"{"error":"temporarily_unavailable"}"#,
            Kind::ServerError,
            "asked again",
        ),
        (403, "<html>hunter2</html>", Kind::Refused, "address is allowed"),
        (302, "", Kind::Refused, "redirects"),
        (404, "", Kind::Refused, "check the url"),
        (429, "", Kind::ServerError, "overloaded"),
        (500, "{}", Kind::ServerError, "overloaded"),
        (503, "<html>hunter2</html>", Kind::ServerError, "switched off"),
    ] {
        let trouble = refused(status, body);
        assert_eq!(trouble.kind, kind, "{status} {body}");
        assert!(trouble.sentence.contains(says), "{status}: {}", trouble.sentence);
    }
}

#[test]
fn a_refused_user_is_told_from_a_refused_client() {
    let of = |named, body| {
        let found = of_server(&reply(400, body), "a", named, NOW);
        found.err().expect("refused").of_the_user
    };
    assert!(of(true, r#"{"error":"invalid_grant"}"#));
    assert!(of(true, "hunter2"));
    assert!(!of(true, r#"{"error":"invalid_client"}"#));
    assert!(!of(false, r#"{"error":"invalid_grant"}"#));
}

#[test]
fn a_named_pause_is_passed_on() {
    let reply = Reply {
        retry_after: Some(7),
        ..reply(503, "")
    };
    let trouble = of_server(&reply, "a", false, NOW).err().expect("refused");
    assert_eq!(trouble.pause, Some(Duration::from_secs(7)));
}

#[test]
fn a_logon_answers_with_the_token_alone() {
    let logon = |status, body: &str| of_logon(&reply(status, body), "ndh.example:8443", NOW);
    let token = jwt(&format!(r#"{{"sub":"NationalUser","exp":{}}}"#, NOW + 300));
    let found = logon(200, &format!("{token}\n")).unwrap_or_else(|trouble| panic!("{trouble:?}"));
    assert_eq!((found.token.as_str(), found.life.as_secs()), (token.as_str(), 300));
    assert_eq!(logon(200, "opaque").map(|found| found.life.as_secs()).ok(), Some(300));
    for (status, body, kind, says) in [
        (404, "", Kind::Refused, "does not know the Delius user"),
        (400, "hunter2", Kind::Refused, "not named as it should be"),
        (500, "<html>hunter2", Kind::ServerError, "asked again"),
        (200, "<html>hunter2</html>", Kind::Invalid, "HTML"),
        (200, "", Kind::Invalid, "an empty token"),
        (200, "hunter2 two words", Kind::Invalid, "no header can carry"),
    ] {
        let trouble = logon(status, body).err().expect("refused");
        assert_eq!(trouble.kind, kind, "{status} {body}");
        assert!(trouble.sentence.contains(says), "{}", trouble.sentence);
        assert!(!trouble.sentence.contains(LEAK), "{}", trouble.sentence);
    }
}

proptest! {
    #[test]
    fn no_reply_makes_it_fall_over_and_what_is_granted_can_be_sent(
        status in 100u16..600, body in prop_oneof!["\\PC{0,60}", r#"\{"access_token":"[!-~]{0,9}","expires_in":-?[0-9.e]{1,8}\}"#],
    ) {
        let read = [of_server(&reply(status, &body), "a", true, NOW), of_logon(&reply(status, &body), "a", NOW)];
        for granted in read.into_iter().flatten() {
            prop_assert!((200..300).contains(&status));
            prop_assert!(!granted.token.is_empty() && !granted.life.is_zero());
            prop_assert!(granted.token.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn whatever_stands_where_a_jwt_has_its_claims_is_read_or_left(claims in "\\PC{0,40}", raw in "[A-Za-z0-9_.=-]{0,40}") {
        let _ = dates(&jwt(&claims));
        let _ = dates(&raw);
    }
}

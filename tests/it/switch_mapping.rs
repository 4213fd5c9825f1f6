//! What reaches the application of a reply that was understood: programs, fields, parts, and what happens where they fail.
//!
//! Whatever cannot be understood is an error of the sidecar, and nothing of the reply may stand in it.

use serde_json::{Value, json};

use crate::support::raw::Reply;
use crate::support::scripted::{Say, Scripted, tokens};
use crate::support::switch::{Scene, Switch, all, legacy, legs, manager, noms, standard, wait_for};

const STANDARD_MODE: &str = "mode = \"standard\"";
/// Stands in replies and must not come out of a failure.
const LEAK: &str = "of-a-person";

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("no JSON: {}", reply.text()))
}

fn send(scene: &Scene, method: &str, target: &str, fields: &str) -> Reply {
    let mut client = scene.client();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    let reply = client.reply(method).expect("a reply");
    // The connection goes on after it.
    assert_eq!(client.get(&all("Q0001AA")).expect("another").version, "HTTP/1.1");
    reply
}

/// It failed, with this code, and nothing of the reply stands in the answer or in the log.
#[track_caller]
fn failed(scene: &Scene, reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.fault()), (status, Some(code)), "{}", reply.text());
    assert!(!reply.text().contains(LEAK), "{}", reply.text());
    assert!(!scene.sidecar.printed().contains(LEAK), "{}", scene.sidecar.printed());
}

#[test]
fn error_bodies_are_mapped_with_their_status() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .only("group.person.gate", "window_samples = 100000")
        .start();
    for status in [400, 404, 409, 422, 500, 503] {
        other.act(move |_| Say::Json(status, json!({"status": status, "message": "why"})));
        let reply = scene.get(&all("Q0001AA"));
        assert_eq!(reply.status, status);
        assert_eq!(body(&reply), json!({"developerMessage": "why", "leg": "standard"}));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    // Without content, or with a page: the program is told null.
    for (kind, content) in [("", ""), ("Content-Type: text/html\r\n", "<html>of-a-person</html>")] {
        other.act(move |_| Say::Raw(404, kind.to_owned(), content.as_bytes().to_vec()));
        let reply = scene.get(&all("Q0001AA"));
        assert_eq!(
            (reply.status, body(&reply)),
            (404, json!({"developerMessage": null, "leg": "standard"}))
        );
    }
}

#[test]
fn a_program_can_turn_a_status() {
    let (ndh, other) = legs();
    let program = "if .status == 409 then {status: 404, body: {developerMessage: \"not one person\"}} \
                   elif .status == 404 then {status: 204} else {status: 200, body: .body} end";
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .program("response.jq", program)
        .start();
    other.act(|_| Say::Json(409, Value::Null));
    assert_eq!(scene.get(&all("Q0001AA")).status, 404);
    other.act(|_| Say::Json(404, json!({"message": LEAK})));
    let reply = scene.get(&all("Q0001AA"));
    assert_eq!((reply.status, reply.body.len()), (204, 0));
}

#[test]
fn what_a_program_cannot_turn_is_mapping_failed_and_nothing_of_it_leaks() {
    for program in [
        ".body.nomsId | tonumber",
        "error(.body)",
        "error(\"\\(.body)\")",
        "empty",
        ".body",
        "{status: 200}, {status: 201}",
        "{status: \"200\", body: .body}",
        "{status: 99, body: .body}",
        "{status: 401, body: .body}",
        "{status: 403}",
        "{body: .body}",
        "{status: 200, body: [range(100000000)]}",
        "def f: f; f",
        "[limit(3; repeat(.body))] | add | .a.b.c",
    ] {
        let (ndh, other) = legs();
        let file = tempfile::tempdir().expect("a directory");
        std::fs::write(file.path().join("p.jq"), program).expect("write");
        let scene = Switch::new(&ndh.url(), &other.url())
            .unit(STANDARD_MODE)
            .only("group.person.gate", "window_samples = 100000");
        // Some are refused at the start: not by a request.
        let refused = delius_sidecar::mapping::Program::compile("p.jq", program).is_err();
        if refused {
            continue;
        }
        let scene = scene.program("response.jq", program).start();
        let reply = scene.get(&all("Q0001AA"));
        failed(&scene, &reply, 502, "mapping_failed");
        assert!(reply.text().len() < 1000, "{}", reply.text());
    }
}

#[test]
fn a_success_that_is_not_json_is_not_passed_on() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .only("group.person.gate", "window_samples = 100000")
        .of("registrations", "fields = [\"/tier\"]")
        .start();
    for content in [
        "<html>of-a-person</html>",
        "{\"a\": \"of-a-person\"",
        "\u{1f}\u{8b}of-a-person",
    ] {
        other.act(move |_| {
            Say::Raw(
                200,
                "Content-Type: application/json\r\n".to_owned(),
                content.as_bytes().to_vec(),
            )
        });
        let reply = scene.get(&all("Q0001AA"));
        failed(&scene, &reply, 502, "mapping_failed");
    }
    // Fields alone, without a program, over ndh.
    scene.set("ndh", None);
    ndh.act(|_| Say::Raw(200, String::new(), b"<html>of-a-person</html>".to_vec()));
    let reply = scene.get(&crate::support::switch::registrations("Q0001AA"));
    failed(&scene, &reply, 502, "mapping_failed");
}

#[test]
fn fields_leave_out_everything_else_on_both_legs() {
    let (ndh, other) = legs();
    ndh.act(|_| {
        Say::Json(
            200,
            json!({"tier": "A1", "leg": "ndh", "address": LEAK,
                   "managers": [{"team": {"code": "T1", "phone": LEAK}, "name": LEAK}, {"team": {"code": "T2"}}]}),
        )
    });
    other.act(|_| {
        Say::Json(
            200,
            json!({"tier": "A1", "leg": "standard", "address": LEAK, "managers": []}),
        )
    });
    let scene = Switch::new(&ndh.url(), &other.url())
        .program("response.jq", "{status: .status, body: .body}")
        .of("offender", "fields = [\"/tier\", \"/leg\", \"/managers/*/team/code\"]")
        .start();
    let kept = json!({"tier": "A1", "leg": "ndh", "managers": [{"team": {"code": "T1"}}, {"team": {"code": "T2"}}]});
    assert_eq!(body(&scene.get(&all("Q0001AA"))), kept);
    scene.set("shadow", None);
    assert_eq!(body(&scene.get(&all("Q0001AA"))), kept);
    // The comparison sees what the application sees. It is over before the mode changes, which would end it.
    scene.wait_unit("compared", |unit| unit["evidence"]["compared"] == 1);
    assert_eq!(scene.evidence()["matched"], 1);
    scene.set("standard", None);
    let reply = scene.get(&all("Q0001AA"));
    assert_eq!(body(&reply), json!({"tier": "A1", "leg": "standard", "managers": []}));
    // Errors come as they are: there is nothing of a record in them.
    other.act(|_| Say::Json(404, json!({"message": "nobody"})));
    assert_eq!(body(&scene.get(&all("Q0001AA"))), json!({"message": "nobody"}));
    let length = reply.header("content-length").and_then(|text| text.parse().ok());
    assert_eq!(length, Some(reply.body.len()));
}

#[test]
fn one_request_is_made_of_parts_over_ndh() {
    let (ndh, other) = legs();
    ndh.act(|asked| match asked.segment(0) {
        "all" => legacy(asked),
        "registrations" => Say::Json(200, json!({"registrations": [1, 2]})),
        _ => Say::Json(404, json!({"developerMessage": "none"})),
    });
    let route = "[[route]]\nname = \"record\"\nmatch = \"GET,HEAD /case-records/{nomsNumber}\"\nperson = \"nomsNumber\"\n\
                 [route.ndh]\nupstream = \"ndh\"\nparts = [\"all\", \"registrations\", \"resourcing\"]\n\
                 request = \"parts.jq\"\nresponse = \"together.jq\"\n";
    let parts = "\"/secure/offenders/nomsNumber/\\(.params.nomsNumber)\" as $at | {parts: {all: {path: \"\\($at)/all\"}, \
                 registrations: {path: \"\\($at)/registrations\", query: \"activeOnly=true\"}, \
                 resourcing: {path: \"\\($at)/risk/resourcing/latest\"}}}";
    let together = "if .parts.all.status != 200 then {status: .parts.all.status, body: {message: \"nobody\"}} else \
                    {status: 200, body: {tier: .parts.all.body.tier, count: (.parts.registrations.body.registrations | length), \
                    resourcing: .parts.resourcing.status}} end";
    let scene = Switch::new(&ndh.url(), &other.url())
        .routes(route)
        .program("parts.jq", parts)
        .program("together.jq", together)
        .start();
    let reply = scene.get("/case-records/Q0001AA");
    assert_eq!(
        (reply.status, body(&reply)),
        (200, json!({"tier": "A1", "count": 2, "resourcing": 404}))
    );
    let mut paths: Vec<String> = ndh
        .asked()
        .into_iter()
        .map(|asked| format!("{}?{}", asked.path, asked.query))
        .collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/secure/offenders/nomsNumber/Q0001AA/all?",
            "/secure/offenders/nomsNumber/Q0001AA/registrations?activeOnly=true",
            "/secure/offenders/nomsNumber/Q0001AA/risk/resourcing/latest?"
        ]
    );
    // A part that breaks off is a failure of the whole, never half a record.
    ndh.act(|asked| match asked.segment(0) {
        "registrations" => Say::Reset,
        _ => legacy(asked),
    });
    let reply = scene.get("/case-records/Q0001AA");
    assert_eq!(
        (reply.status, reply.fault()),
        (502, Some("upstream_reset")),
        "{}",
        reply.text()
    );
    ndh.act(|asked| match asked.segment(0) {
        "registrations" => Say::Raw(200, String::new(), b"of-a-person".to_vec()),
        _ => legacy(asked),
    });
    let reply = scene.get("/case-records/Q0001AA");
    assert_eq!(
        (reply.status, reply.fault()),
        (502, Some("mapping_failed")),
        "{}",
        reply.text()
    );
    assert!(!reply.text().contains(LEAK));
    ndh.act(|_| Say::Json(404, Value::Null));
    assert_eq!(scene.get("/case-records/Q0001AA").status, 404);
}

#[test]
fn a_reply_above_the_limit_is_not_mapped_and_streams_where_nothing_is_mapped() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .only("group.person.gate", "window_samples = 100000")
        .table("switch", "reply = \"64KiB\"")
        .start();
    let of = |size: usize| {
        Say::Json(
            200,
            json!({"nomsId": "Q0001AA", "currentTier": "A1", "text": "x".repeat(size)}),
        )
    };
    other.act(move |_| of(60 * 1024));
    assert_eq!(scene.leg(&all("Q0001AA")), "standard");
    other.act(move |_| of(70 * 1024));
    let reply = scene.get(&all("Q0001AA"));
    failed(&scene, &reply, 502, "upstream_invalid");
    // In chunks and without a length, too.
    other.act(|_| Say::Flood(100 << 20));
    let reply = scene.get(&all("Q0001AA"));
    failed(&scene, &reply, 502, "upstream_invalid");
    scene.set("ndh", None);
    ndh.act(move |_| of(1 << 20));
    let reply = scene.get(&all("Q0001AA"));
    assert!(reply.status == 200 && reply.body.len() > 1 << 20);
}

#[test]
fn a_head_request_gets_a_head_and_the_connection_goes_on() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url()).start();
    for mode in ["ndh", "shadow", "standard"] {
        scene.set(mode, None);
        let reply = send(&scene, "HEAD", &all("Q0001AA"), "");
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{mode}");
        other.act(|_| Say::Json(404, json!({"message": "nobody"})));
        ndh.act(|_| Say::Json(404, json!({"message": "nobody"})));
        assert_eq!(send(&scene, "HEAD", &all("Q0001AA"), "").status, 404, "{mode}");
        other.act(standard);
        ndh.act(legacy);
    }
    let heads = |leg: &Scripted| leg.count(|asked| asked.method == "HEAD");
    wait_for("both were asked", || heads(&ndh) >= 4 && heads(&other) >= 2);
    let evidence = scene.evidence();
    assert_eq!(evidence["mismatched"], 0, "{evidence}");
}

#[test]
fn a_caller_that_takes_gzip_or_a_part_gets_the_whole_reply_in_the_clear() {
    let (ndh, other) = legs();
    let compressing = |asked: &crate::support::scripted::Asked, plain: Say| match asked.header("accept-encoding") {
        Some(coding) if coding.contains("gzip") => {
            let fields = "Content-Encoding: gzip\r\n".to_owned();
            Say::Raw(200, fields, b"\x1f\x8b of-a-person".to_vec())
        }
        _ if asked.header("range").is_some() || asked.header("if-none-match").is_some() => {
            Say::Raw(304, String::new(), Vec::new())
        }
        _ => plain,
    };
    ndh.act(move |asked| compressing(asked, legacy(asked)));
    other.act(move |asked| compressing(asked, standard(asked)));
    let scene = Switch::new(&ndh.url(), &other.url()).unit("mode = \"shadow\"").start();
    let fields = "Accept-Encoding: gzip, deflate, br\r\nRange: bytes=0-3\r\nIf-None-Match: \"x\"\r\n";
    for (mode, leg) in [("shadow", "ndh"), ("standard", "standard")] {
        scene.set(mode, None);
        let reply = send(&scene, "GET", &all("Q0002AA"), fields);
        assert_eq!(
            (reply.status, &body(&reply)["leg"]),
            (200, &leg.into()),
            "{mode}: {}",
            reply.text()
        );
        assert_eq!(reply.header("content-encoding"), None);
    }
    scene.wait_unit("compared", |unit| unit["evidence"]["matched"] == 2);
    // An API that compresses although nobody asked it to cannot be understood, and is not passed on as if it were.
    other.act(|_| {
        Say::Raw(
            200,
            "Content-Encoding: gzip\r\n".to_owned(),
            b"\x1f\x8b of-a-person".to_vec(),
        )
    });
    let reply = scene.get(&all("Q0003AA"));
    failed(&scene, &reply, 502, "mapping_failed");
}

#[test]
fn a_request_program_makes_path_query_and_headers_and_cannot_leave_the_api() {
    let (ndh, other) = legs();
    let request = "{path: \"/case-records/\\(.params.nomsNumber | ascii_upcase)\", query: \"a=\\(.query | length)\", \
                   headers: {\"x-made\": \"yes\"}}";
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .program("request.jq", request)
        .of("offender.standard", "request = \"request.jq\"")
        .start();
    assert_eq!(scene.get(&format!("{}?b=c", all("q0001aa"))).status, 200);
    let asked = other.asked().remove(0);
    assert_eq!(
        (asked.path.as_str(), asked.query.as_str()),
        ("/case-records/Q0001AA", "a=3")
    );
    assert_eq!(asked.header("x-made"), Some("yes"));
    // A parameter that would be another path is none of this route.
    for person in ["..", "Q0001AA%2F..%2Fx", "Q%00"] {
        let before = other.total();
        let reply = scene.get(&all(person));
        assert!(matches!(reply.status, 400 | 421), "{person}: {}", reply.status);
        assert_eq!(other.total(), before);
    }
    let person = noms(3);
    for said in ["../admin", "a b", "?x=1", "%2e%2e"] {
        let program = format!("{{path: \"/case-records/{said}\"}}");
        let scene = Switch::new(&ndh.url(), &other.url())
            .unit(STANDARD_MODE)
            .program("request.jq", &program)
            .of("offender.standard", "request = \"request.jq\"")
            .start();
        let before = other.total();
        let reply = scene.get(&all(&person));
        assert_eq!((reply.status, reply.fault()), (502, Some("mapping_failed")), "{said}");
        assert_eq!(other.total(), before, "{said}");
    }
}

#[test]
fn programs_get_parameters_decoded_and_the_path_that_is_forwarded_stays_as_it_is() {
    let (ndh, other) = legs();
    let scene = |mode: &str, request: &str| {
        Switch::new(&ndh.url(), &other.url())
            .unit(mode)
            .program("request.jq", request)
            .of("offender.standard", "request = \"request.jq\"")
            .start()
    };
    let last = |leg: &Scripted| leg.asked().pop().expect("it was asked").path;
    let encodes = scene(STANDARD_MODE, "{path: \"/case-records/\\(.params.nomsNumber | @uri)\"}");
    for person in ["Q0001%20A", "Q%C3%A9", "Q%2520", "Q%3Fx"] {
        assert_eq!(encodes.get(&all(person)).status, 200, "{person}");
        assert_eq!(last(&other), format!("/case-records/{person}"));
    }
    let forwards = scene("mode = \"ndh\"", "{}");
    assert_eq!(forwards.get(&all("Q0001%20A")).status, 200);
    assert_eq!(last(&ndh), all("Q0001%20A"));
    // A program that forgets to encode leaves neither the path nor the API.
    let forgets = scene(STANDARD_MODE, "{path: \"/case-records/\\(.params.nomsNumber)\"}");
    for person in ["Q%20A", "Q%3Fx=1", "Q%252F..%252Fx", "%252E%252E"] {
        let before = other.total();
        let reply = forgets.get(&all(person));
        assert_eq!(reply.fault(), Some("mapping_failed"), "{person}");
        assert_eq!(other.total(), before, "{person}");
    }
}

#[test]
fn content_in_every_framing_reaches_a_leg_that_is_collected_and_too_much_of_it_does_not() {
    let (ndh, other) = legs();
    let auth = tokens("tok", 600);
    let scene = Switch::new(&ndh.url(), &other.url())
        .unit(STANDARD_MODE)
        .token(&auth.url())
        .table("listen.limits", "body = \"64KiB\"")
        .start();
    let put = format!("PUT {} HTTP/1.1\r\nHost: localhost\r\n", manager("Q0001AA"));
    let mut client = scene.client();
    let chunked = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-T: 1\r\n\r\n";
    client.send(format!("{put}{chunked}"));
    assert_eq!(client.reply("PUT").expect("a reply").status, 200);
    client.send(format!("{put}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    assert!(client.first_byte(), "it is invited to send the content");
    client.send("hello");
    let reply = client.reply("PUT").expect("a reply");
    assert_eq!((reply.status, reply.interim), (200, vec![100]));
    // Two at once are answered one after the other.
    let get = |person: &str| format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", all(person));
    client.send(get("Q0001AA") + &get("Q0002AA"));
    for person in ["Q0001AA", "Q0002AA"] {
        assert_eq!(body(&client.reply("GET").expect("a reply"))["noms"], person);
    }
    let asked = other.asked();
    assert_eq!(
        (asked[0].body.as_slice(), asked[1].body.as_slice()),
        (&b"hello world"[..], &b"hello"[..])
    );
    assert!(asked.iter().all(|asked| asked.header("transfer-encoding").is_none()));
    let before = other.total();
    let large = "x".repeat(65 * 1024);
    for content in [
        format!("Content-Length: {}\r\n\r\n{large}", large.len()),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
            large.len()
        ),
    ] {
        let mut client = scene.client();
        client.send(format!("{put}{content}"));
        let reply = client.reply("PUT").expect("a reply");
        assert_eq!((reply.status, reply.fault()), (413, Some("request_too_large")));
    }
    let mut client = scene.client();
    client.send(format!("{put}Transfer-Encoding: chunked\r\n\r\nzz\r\n"));
    assert_eq!(client.reply("PUT").expect("a reply").status, 400);
    assert_eq!(other.total(), before, "nothing of these was sent");
}

#[test]
fn a_head_reply_says_nothing_of_content_that_would_be_made_anew() {
    let (ndh, other) = legs();
    let scene = Switch::new(&ndh.url(), &other.url()).unit(STANDARD_MODE).start();
    let reply = send(&scene, "HEAD", &all("Q0001AA"), "");
    let length = scene.get(&all("Q0001AA")).body.len().to_string();
    let said = reply.header("content-length");
    assert!(
        said.is_none() || said == Some(&length),
        "{said:?}, and GET brings {length}"
    );
    scene.set("ndh", None);
    let reply = send(&scene, "HEAD", &all("Q0001AA"), "");
    let length = scene.get(&all("Q0001AA")).body.len().to_string();
    assert_eq!(reply.header("content-length"), Some(length.as_str()), "as it comes");
}

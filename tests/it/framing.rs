//! What could be read in two ways is refused, the connection is closed, and the upstream never hears of it.
//!
//! Every row is followed on the same connection by a second request, the one a smuggler would want to get through.

use crate::support::findings::Findings;
use crate::support::hostile;
use crate::support::raw::{Broken, Client, shown};
use crate::support::world::World;

const SMUGGLED: &str = "GET /t/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The heads that are refused: a name for the row, and the bytes.
fn refused_heads() -> Vec<(&'static str, Vec<u8>)> {
    let post = |name, lines: &str, body: &str| {
        (
            name,
            format!("POST /t/x HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}").into_bytes(),
        )
    };
    let raw = |name, bytes: &[u8]| (name, bytes.to_vec());
    vec![
        // two lengths
        post(
            "CL then TE",
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post(
            "TE then CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            "0\r\n\r\n",
        ),
        post(
            "CL 0 then TE",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post("two equal CL", "Content-Length: 2\r\nContent-Length: 2\r\n", "ab"),
        post("two different CL", "Content-Length: 2\r\nContent-Length: 0\r\n", "ab"),
        post("CL list equal", "Content-Length: 2, 2\r\n", "ab"),
        post("CL list different", "Content-Length: 2, 0\r\n", "ab"),
        // lengths that are not numbers, or not for everybody
        post("CL +2", "Content-Length: +2\r\n", "ab"),
        post("CL -2", "Content-Length: -2\r\n", "ab"),
        post("CL 0x2", "Content-Length: 0x2\r\n", "ab"),
        post("CL 2.0", "Content-Length: 2.0\r\n", "ab"),
        post("CL 1e1", "Content-Length: 1e1\r\n", "ab"),
        post("CL empty", "Content-Length:\r\n", "ab"),
        post("CL blanks", "Content-Length:  \t \r\n", "ab"),
        post("CL inner space", "Content-Length: 1 2\r\n", "ab"),
        post("CL trailing letter", "Content-Length: 2x\r\n", "ab"),
        post("CL comma end", "Content-Length: 2,\r\n", "ab"),
        post("CL quoted", "Content-Length: \"2\"\r\n", "ab"),
        post("CL vertical tab", "Content-Length: \x0b2\r\n", "ab"),
        post("CL 2^64", "Content-Length: 18446744073709551616\r\n", "ab"),
        post("CL 2^64+2", "Content-Length: 18446744073709551618\r\n", "ab"),
        post(
            "CL 40 digits",
            "Content-Length: 9999999999999999999999999999999999999999\r\n",
            "ab",
        ),
        post("CL arabic digit", "Content-Length: \u{662}\r\n", "ab"),
        // codings
        post("TE gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        post("TE chunked, gzip", "Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        post("TE identity", "Transfer-Encoding: identity\r\n", ""),
        post(
            "TE chunked, identity",
            "Transfer-Encoding: chunked, identity\r\n",
            "0\r\n\r\n",
        ),
        post(
            "TE chunked twice in one",
            "Transfer-Encoding: chunked, chunked\r\n",
            "0\r\n\r\n",
        ),
        post(
            "TE chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post(
            "TE chunked then identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "0\r\n\r\n",
        ),
        post("TE empty", "Transfer-Encoding:\r\n", "0\r\n\r\n"),
        post("TE xchunked", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        post("TE chunked;q=1", "Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
        post("TE quoted", "Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        post("TE comma first", "Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"),
        post("TE vertical tab", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
        post("TE bare CR inside", "Transfer-Encoding: chun\rked\r\n", "0\r\n\r\n"),
        raw(
            "TE on HTTP/1.0",
            b"POST /t/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        raw(
            "TE and CL on HTTP/1.0",
            b"POST /t/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ),
        // header lines
        post("obs-fold", "X-A: one\r\n two\r\n", ""),
        post("obs-fold with tab", "X-A: one\r\n\ttwo\r\n", ""),
        post("obs-fold of TE", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
        raw(
            "fold before the first header",
            b"GET /t/x HTTP/1.1\r\n Host: localhost\r\n\r\n",
        ),
        post("space before colon", "Content-Length : 2\r\n", "ab"),
        post("tab before colon", "Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"),
        post("space in name", "Content Length: 2\r\n", "ab"),
        post("empty name", ": x\r\n", ""),
        post("no colon", "Content-Length\r\n", ""),
        post("NUL in name", "X-\0A: x\r\n", ""),
        post("NUL in value", "X-A: a\0b\r\n", ""),
        post("DEL in value", "X-A: a\x7fb\r\n", ""),
        post("control in value", "X-A: a\x01b\r\n", ""),
        post("bare CR in value", "X-A: a\rb\r\n", ""),
        post("bare CR hides a header", "X-A: a\rTransfer-Encoding: chunked\r\n", ""),
        post("bare CR before CRLF", "X-A: a\r\r\n", ""),
        post("high byte in name", "X-\u{e9}: a\r\n", ""),
        post("quote in name", "\"X\": a\r\n", ""),
        // line ends
        raw("bare LF everywhere", b"GET /t/x HTTP/1.1\nHost: localhost\n\n"),
        raw(
            "bare LF after the request line",
            b"GET /t/x HTTP/1.1\nHost: localhost\r\n\r\n",
        ),
        raw(
            "bare LF after a header",
            b"GET /t/x HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
        ),
        raw(
            "bare LF at the end of the head",
            b"GET /t/x HTTP/1.1\r\nHost: localhost\r\n\n",
        ),
        raw("CR CR LF", b"GET /t/x HTTP/1.1\r\r\nHost: localhost\r\n\r\n"),
        // Host
        raw("no Host", b"GET /t/x HTTP/1.1\r\n\r\n"),
        raw("two Hosts", b"GET /t/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        raw("two equal Hosts", b"GET /t/x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        raw("empty Host", b"GET /t/x HTTP/1.1\r\nHost:\r\n\r\n"),
        raw("Host with a path", b"GET /t/x HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        raw("Host with userinfo", b"GET /t/x HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        raw("Host with a space", b"GET /t/x HTTP/1.1\r\nHost: a b\r\n\r\n"),
        raw("Host list", b"GET /t/x HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        raw(
            "other authority",
            b"GET http://other/t/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
        raw(
            "other authority by userinfo",
            b"GET http://localhost@other/t/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
        // request line
        raw("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        raw("HTTP/0.9", b"GET /t/x\r\n\r\n"),
        raw("HTTP/1.2", b"GET /t/x HTTP/1.2\r\nHost: localhost\r\n\r\n"),
        raw("HTTP/2.0", b"GET /t/x HTTP/2.0\r\nHost: localhost\r\n\r\n"),
        raw("HTTP/1.10", b"GET /t/x HTTP/1.10\r\nHost: localhost\r\n\r\n"),
        raw("HTTP/01.1", b"GET /t/x HTTP/01.1\r\nHost: localhost\r\n\r\n"),
        raw("http/1.1", b"GET /t/x http/1.1\r\nHost: localhost\r\n\r\n"),
        raw("no version", b"GET /t/x \r\nHost: localhost\r\n\r\n"),
        raw("two spaces", b"GET  /t/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("tab for space", b"GET\t/t/x\tHTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("space in the target", b"GET /t/x y HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("space at the end", b"GET /t/x HTTP/1.1 \r\nHost: localhost\r\n\r\n"),
        raw("space first", b" GET /t/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("method is no token", b"G(T /t/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("no method", b"/t/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("NUL in the target", b"GET /t/\0 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw(
            "control in the target",
            b"GET /t/\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
        raw(
            "UTF-8 in the target",
            "GET /t/\u{e9} HTTP/1.1\r\nHost: localhost\r\n\r\n".as_bytes(),
        ),
        raw(
            "TLS on the plain port",
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n",
        ),
        // paths that two readers resolve differently
        raw("dot dot", b"GET /t/../t/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("dot dot at the end", b"GET /t/.. HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw(
            "encoded dot dot",
            b"GET /t/%2e%2e/t/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
        raw(
            "half encoded dot dot",
            b"GET /t/.%2E/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
        raw(
            "dot dot with a parameter",
            b"GET /t/..;/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
        raw("encoded slash", b"GET /t/a%2Fb HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw(
            "encoded slash, small",
            b"GET /t/a%2fb HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
        raw("encoded backslash", b"GET /t/a%5Cb HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("backslash", b"GET /t/a\\b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("encoded NUL", b"GET /t/a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("encoded CR LF", b"GET /t/a%0d%0ab HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("bad escape", b"GET /t/a%zz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("cut escape", b"GET /t/a%2 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("fragment", b"GET /t/x#y HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        // expectations
        post("unknown expectation", "Expect: a-miracle\r\nContent-Length: 0\r\n", ""),
    ]
}

#[test]
fn an_ambiguous_head_is_refused_closed_and_never_forwarded() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut findings = Findings::default();
    for (name, bytes) in refused_heads() {
        let mut client = Client::connect(sidecar.listen);
        client.send([bytes.as_slice(), SMUGGLED.as_bytes()].concat());
        match client.reply("GET") {
            Ok(reply) => {
                findings.same(format!("{name}: status"), reply.status, 400);
                findings.same(format!("{name}: code"), reply.fault(), Some("request_malformed"));
                let rest = client.rest();
                findings.check(rest.as_deref() == Some(b""), || {
                    format!(
                        "{name}: the connection went on with {:?}",
                        rest.map(|rest| shown(&rest))
                    )
                });
            }
            Err(broken) => findings.check(false, || format!("{name}: {broken}")),
        }
        let reached = upstream.bytes();
        findings.check(reached.is_empty(), || {
            format!("{name} or a row before: upstream got {}", shown(&reached))
        });
    }
    findings.finish();
}

#[test]
fn each_byte_of_an_ambiguous_head_may_come_alone() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut findings = Findings::default();
    for (name, bytes) in refused_heads().into_iter().filter(|(name, _)| {
        [
            "CL then TE",
            "two equal CL",
            "obs-fold",
            "bare LF after a header",
            "bare CR in value",
        ]
        .contains(name)
    }) {
        let mut client = Client::connect(sidecar.listen);
        for byte in &bytes {
            client.send([*byte]);
        }
        client.send(SMUGGLED);
        if let Some(reply) = findings.take(name, client.reply("GET")) {
            findings.same(name, (reply.status, reply.fault()), (400, Some("request_malformed")));
        }
    }
    findings.check(upstream.bytes().is_empty(), || shown(&upstream.bytes()));
    findings.finish();
}

#[test]
fn unusual_heads_that_mean_only_one_thing_pass() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut findings = Findings::default();
    for (name, request, arrives) in [
        (
            "lower-case method",
            "get /t/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "get /t/x HTTP/1.1",
        ),
        (
            "invented method",
            "M-SEARCH /t/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "M-SEARCH /t/x HTTP/1.1",
        ),
        (
            "absolute form",
            "GET http://localhost/t/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET /t/x HTTP/1.1",
        ),
        (
            "Host with a port",
            "GET /t/x HTTP/1.1\r\nHost: localhost:8080\r\n\r\n",
            "GET /t/x HTTP/1.1",
        ),
        (
            "Host IPv6",
            "GET /t/x HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
            "GET /t/x HTTP/1.1",
        ),
        (
            "no space after colon",
            "GET /t/x HTTP/1.1\r\nHost:a\r\n\r\n",
            "GET /t/x HTTP/1.1",
        ),
        (
            "CL with leading zeros",
            "POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: 002\r\n\r\nab",
            "POST /t/x HTTP/1.1",
        ),
        (
            "blanks around CL",
            "POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: \t2 \r\n\r\nab",
            "POST /t/x HTTP/1.1",
        ),
        (
            "capital Chunked",
            "POST /t/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "POST /t/x",
        ),
        (
            "chunk extension",
            "POST /t/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\n\r\n",
            "POST /t/x",
        ),
        (
            "leading zeros in chunk",
            "POST /t/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0002\r\nab\r\n000\r\n\r\n",
            "POST /t/x",
        ),
        (
            "trailer",
            "POST /t/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-T: 1\r\n\r\n",
            "POST /t/x",
        ),
        (
            "high bytes in a value",
            "GET /t/x HTTP/1.1\r\nHost: a\r\nX-A: caf\u{e9}\r\n\r\n",
            "GET /t/x HTTP/1.1",
        ),
    ] {
        let mut client = Client::connect(sidecar.listen);
        client.send(request);
        if let Some(reply) = findings.take(name, client.reply("GET")) {
            findings.same(format!("{name}: {}", reply.text()), reply.status, 200);
            findings.check(reply.text().starts_with(arrives), || {
                format!("{name}: arrived as {}", reply.text())
            });
            if request.contains("ab") {
                findings.check(reply.text().ends_with("\r\n\r\nab"), || {
                    format!("{name}: body {}", reply.text())
                });
            }
        }
        findings.same(
            format!("{name}: the connection goes on"),
            client.get("/t/y").map(|reply| reply.status),
            Ok(200),
        );
    }
    findings.finish();
}

#[test]
fn paths_with_doubtful_meaning_are_refused_or_arrive_unchanged() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut findings = Findings::default();
    for target in [
        "//t/x",
        "/t//x",
        "/t/./x",
        "/t/%2e",
        "/t/x;y=1",
        "/t/x/",
        "/t/%25%32%66",
        "*",
        "t/x",
        "/t/x%3f",
    ] {
        let mut client = Client::connect(sidecar.listen);
        match client.get(target) {
            Ok(reply) if reply.status == 200 => {
                let found = reply.text().split(' ').nth(1).unwrap_or_default().to_owned();
                // escapes may be normalised (RFC 3986 section 6.2.2); decoding twice would be another path
                findings.same(format!("{target} arrives"), decoded(&found), decoded(target));
            }
            Ok(reply) => findings.check(
                matches!(
                    (reply.status, reply.fault()),
                    (400, Some("request_malformed")) | (421, Some("route_unknown"))
                ),
                || format!("{target}: {} {:?}", reply.status, reply.fault()),
            ),
            Err(broken) => findings.check(false, || format!("{target}: {broken}")),
        }
    }
    findings.finish();
}

/// A path with its escapes resolved, once.
fn decoded(path: &str) -> Vec<u8> {
    let mut bytes = path.bytes();
    let mut found = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        match byte {
            b'%' => found.extend(
                digit()
                    .zip(digit())
                    .and_then(|(high, low)| u8::try_from(high * 16 + low).ok()),
            ),
            _ => found.push(byte),
        }
    }
    found
}

const LONG_EXTENSION: &str = concat!(
    "2;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\r\nab\r\n0\r\n\r\n"
);

/// Chunk framing that is not to the letter: a name, and what follows the head.
const BAD_CHUNKS: &[(&str, &str)] = &[
    ("size is no number", "x\r\nab\r\n0\r\n\r\n"),
    ("size 0x2", "0x2\r\nab\r\n0\r\n\r\n"),
    ("size +2", "+2\r\nab\r\n0\r\n\r\n"),
    ("size -2", "-2\r\nab\r\n0\r\n\r\n"),
    ("size empty", "\r\nab\r\n0\r\n\r\n"),
    ("size with space before", " 2\r\nab\r\n0\r\n\r\n"),
    ("size with space after", "2 \r\nab\r\n0\r\n\r\n"),
    ("size with tab", "2\t\r\nab\r\n0\r\n\r\n"),
    ("size with underscore", "1_0\r\nab\r\n0\r\n\r\n"),
    ("size 2^64", "10000000000000000\r\nab\r\n0\r\n\r\n"),
    ("size 2^64+2", "10000000000000002\r\nab\r\n0\r\n\r\n"),
    (
        "size of 40 digits",
        "ffffffffffffffffffffffffffffffffffffffff\r\nab\r\n0\r\n\r\n",
    ),
    ("bare LF after size", "2\nab\r\n0\r\n\r\n"),
    ("bare CR after size", "2\rab\r\n0\r\n\r\n"),
    ("bare LF after payload", "2\r\nab\n0\r\n\r\n"),
    ("no CRLF after payload", "2\r\nab0\r\n\r\n"),
    ("payload longer than size", "2\r\nabc\r\n0\r\n\r\n"),
    ("bare LF in extension", "2;a\nb\r\nab\r\n0\r\n\r\n"),
    ("bare CR in extension", "2;a\rb\r\nab\r\n0\r\n\r\n"),
    ("NUL in extension", "2;a\0b\r\nab\r\n0\r\n\r\n"),
    ("endless extension", LONG_EXTENSION),
    ("bare LF after last chunk", "2\r\nab\r\n0\n\r\n"),
    ("bare LF ends the trailers", "2\r\nab\r\n0\r\n\n"),
    ("bare LF in a trailer", "2\r\nab\r\n0\r\nX-T: 1\n\r\n"),
    ("folded trailer", "2\r\nab\r\n0\r\nX-T: 1\r\n 2\r\n\r\n"),
    ("trailer without colon", "2\r\nab\r\n0\r\nnonsense\r\n\r\n"),
    ("space before a trailer's colon", "2\r\nab\r\n0\r\nX-T : 1\r\n\r\n"),
];

#[test]
fn bad_chunk_framing_ends_the_request_and_completes_nothing_upstream() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).no_breaker().start();
    let mut findings = Findings::default();
    for (name, body) in BAD_CHUNKS {
        let mut client = Client::connect(sidecar.listen);
        client.send(format!(
            "POST /t/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}"
        ));
        match client.reply("POST") {
            Ok(reply) => {
                findings.same(
                    format!("{name}: reply"),
                    (reply.status, reply.fault()),
                    (400, Some("request_malformed")),
                );
                let rest = client.rest();
                findings.check(rest.as_deref() == Some(b""), || {
                    format!(
                        "{name}: the connection went on with {:?}",
                        rest.map(|rest| shown(&rest))
                    )
                });
            }
            Err(broken) => findings.check(false, || format!("{name}: {broken}")),
        }
        findings.check(upstream.count("smuggled") == 0, || format!("{name}: smuggled"));
        findings.check(upstream.count("\r\n0\r\n\r\n") == 0, || {
            format!("{name} or before: a whole request upstream")
        });
    }
    findings.finish();
}

#[test]
fn a_body_is_never_read_as_the_next_request() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    let mut client = Client::connect(sidecar.listen);
    let inner = "GET /t/inner HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(format!(
        "POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    ));
    client.send(format!(
        "GET /t/y HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    ));
    assert!(client.reply("POST").expect("a reply").text().starts_with("POST /t/x"));
    assert!(client.reply("GET").expect("a reply").text().starts_with("GET /t/y"));
    assert_eq!(
        client.get("/t/z").map(|reply| reply.text().starts_with("GET /t/z")),
        Ok(true)
    );
}

#[test]
fn a_head_that_ends_too_early_is_never_forwarded() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).start();
    for part in [
        "",
        "GET",
        "GET /t/x HTTP/1.1\r\n",
        "GET /t/x HTTP/1.1\r\nHost: a\r\n",
        "GET /t/x HTTP/1.1\r\nHost: a\r\n\r",
    ] {
        let mut client = Client::connect(sidecar.listen);
        client.send(part).half_close();
        match client.reply("GET") {
            Err(Broken::Closed) => {}
            Ok(reply) => assert_eq!(
                (reply.status, reply.fault()),
                (400, Some("request_malformed")),
                "{part:?}"
            ),
            Err(broken) => panic!("{part:?}: {broken}"),
        }
    }
    assert!(upstream.seen().is_empty());
}

//! An upstream that breaks every rule: what the caller sees, and that nothing of it touches the next request.
//!
//! One sidecar meets the whole catalogue. After each row other callers ask proper questions, whose answers must be
//! their own: a connection that was poisoned must not be used again.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::apache;
use crate::support::bin::{CODE, Sidecar};
use crate::support::findings::Findings;

use crate::support::hostile::{Conn, Hostile, Seen, answer_with_echo, field, ok};
use crate::support::patience;
use crate::support::peer::Tls;
use crate::support::pki::{Ask, Key, pki};
use crate::support::raw::{Broken, Client};
use crate::support::world::World;

/// What the caller must see.
enum Sees {
    /// The sidecar's own reply.
    Fault(u16, &'static str),
    /// Either of these codes: the two differ only in when the failure is noticed.
    Either(&'static str, &'static str),
    /// This status and body, whole.
    Whole(u16, &'static str),
    /// A reply that began and does not come to a proper end.
    CutShort,
    /// Either its own fault, or a reply that is cut short: never a whole reply.
    NeverWhole,
    /// A 204 that announced content: it passes as an empty 204 or is refused, but no byte of the body goes anywhere.
    Empty204,
}

use Sees::{CutShort, Either, Empty204, Fault, NeverWhole, Whole};

struct Row {
    name: &'static str,
    method: &'static str,
    /// Called when the request (head and body) has been read; unless it ends the connection, what comes next on it is
    /// served as every other request.
    does: fn(&mut Conn),
    sees: Sees,
    /// The fault comes after the reply: the next request waits until it is there.
    settles: bool,
}

fn row(name: &'static str, does: fn(&mut Conn), sees: Sees) -> Row {
    Row {
        name,
        method: "GET",
        does,
        sees,
        settles: false,
    }
}

fn settling(name: &'static str, does: fn(&mut Conn), sees: Sees) -> Row {
    Row {
        settles: true,
        ..row(name, does, sees)
    }
}

/// Writes this; the bytes alone are the fault, and the connection goes on.
macro_rules! says {
    ($text:expr) => {
        |conn| {
            conn.write($text);
        }
    };
}

/// Writes this, ends TLS and TCP properly.
macro_rules! says_and_closes {
    ($text:expr) => {
        |conn| {
            conn.write($text).close();
        }
    };
}

/// Writes this and cuts the line: no close_notify.
macro_rules! says_and_cuts {
    ($text:expr) => {
        |conn| {
            conn.write($text).cut();
        }
    };
}

const INVALID: Sees = Fault(502, "upstream_invalid");
const RESET: Sees = Fault(502, "upstream_reset");
/// The reply that a poisoner wants the next caller to get.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

#[rustfmt::skip] // one row, one line
fn catalogue() -> Vec<Row> {
    vec![
        // no reply, or part of a head
        row("closes without a reply", Conn::close, RESET),
        row("cuts without a reply", Conn::cut, RESET),
        row("resets without a reply", Conn::reset, RESET),
        row("half a status line", says_and_closes!("HTTP/1.1 2"), Either("upstream_reset", "upstream_invalid")),
        row("half a head", says_and_closes!("HTTP/1.1 200 OK\r\nContent-Le"), Either("upstream_reset", "upstream_invalid")),
        row("head without its empty line", says_and_cuts!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"), Either("upstream_reset", "upstream_invalid")),
        row("garbage below TLS", |conn| { conn.write_below_tls(b"this is no TLS record at all").hold(); }, Either("upstream_reset", "upstream_tls")),
        // heads that are not HTTP
        row("garbage", says!("220 smtp.example ESMTP\r\n\r\n"), INVALID),
        row("HTTP/0.9", says_and_closes!("<html>old</html>"), INVALID),
        row("HTTP/2.0", says!("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("lower-case http", says!("http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("status of two digits", says!("HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("status of four digits", says!("HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("status 000", says!("HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("status with a letter", says!("HTTP/1.1 2OO OK\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("bare LF line ends", says!("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), INVALID),
        row("bare LF once", says!("HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("bare CR in a value", says!("HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("NUL in a value", says!("HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("space before the colon", says!("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"), INVALID),
        row("no colon", says!("HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("empty name", says!("HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("folded line", says!("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("a head without end", |conn| { conn.write("HTTP/1.1 200 OK\r\nX: ").write("y".repeat(4 << 20)).hold(); }, INVALID),
        row("ten thousand headers", |conn| { conn.write("HTTP/1.1 200 OK\r\n").write("X: y\r\n".repeat(10_000)).write("Content-Length: 0\r\n\r\n").hold(); }, INVALID),
        // framings that can be read in two ways
        row("two different CL", says!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 60\r\n\r\nok"), INVALID),
        row("two equal CL", says!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"), INVALID),
        row("CL list", says!("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"), INVALID),
        row("CL +2", says!("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"), INVALID),
        row("CL -1", says!("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok"), INVALID),
        row("CL hexadecimal", says!("HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok"), INVALID),
        row("CL empty", says!("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok"), INVALID),
        row("CL beyond 64 bits", says!("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok"), INVALID),
        row("CL and TE", says!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), INVALID),
        row("TE and CL", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"), INVALID),
        row("TE twice", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), INVALID),
        row("TE gzip, chunked", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), INVALID),
        row("TE identity", says_and_closes!("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok"), INVALID),
        row("TE on HTTP/1.0", says_and_closes!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), INVALID),
        row("101 nobody asked for", says!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), INVALID),
        row("endless 1xx", |conn| { for _ in 0..100_000 { conn.write("HTTP/1.1 102 Processing\r\n\r\n"); } conn.hold(); }, Either("upstream_invalid", "upstream_timeout")),
        // bodies that do not come whole
        row("CL cut short", says_and_closes!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), NeverWhole),
        row("CL cut short by RST", |conn| { conn.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").reset(); }, NeverWhole),
        row("chunked cut in a chunk", says_and_closes!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf"), NeverWhole),
        row("chunked cut between chunks", says_and_closes!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), NeverWhole),
        row("chunked cut in the last chunk", says_and_closes!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"), NeverWhole),
        row("until close without close_notify", says_and_cuts!("HTTP/1.1 200 OK\r\n\r\nwhole or not, who knows"), NeverWhole),
        row("until close by RST", |conn| { conn.write("HTTP/1.1 200 OK\r\n\r\nhalf").reset(); }, NeverWhole),
        row("HTTP/1.0 without close_notify", says_and_cuts!("HTTP/1.0 200 OK\r\n\r\nwhole or not"), NeverWhole),
        row("stalls after the head", |conn| { conn.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").hold(); }, NeverWhole),
        row("stalls in the body", |conn| { conn.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").hold(); }, CutShort),
        row("stalls before the last chunk", |conn| { conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").hold(); }, CutShort),
        // chunk framing
        row("chunk size is no number", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n"), NeverWhole),
        row("chunk size negative", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n"), NeverWhole),
        row("chunk size beyond 64 bits", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n"), NeverWhole),
        row("chunk without its CRLF", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n"), NeverWhole),
        row("chunk longer than its size", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n"), NeverWhole),
        row("bare LF in chunk framing", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n"), NeverWhole),
        row("second chunk is bad", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\nok\r\n0\r\n\r\n"), NeverWhole),
        row("bad trailer", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nno colon\r\n\r\n"), NeverWhole),
        // bytes after the end: the poisoner
        row("body longer than CL", says!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"), Whole(200, "ok")),
        row("a second reply at once", |conn| { conn.write(format!("{}{POISON}", ok("first"))); }, Whole(200, "first")),
        settling("a second reply right behind", |conn| { conn.write(ok("first")).write(POISON).mark(); }, Whole(200, "first")),
        settling("a second reply a moment later", |conn| { conn.write(ok("first")); std::thread::sleep(Duration::from_millis(30)); conn.write(POISON).mark(); }, Whole(200, "first")),
        row("a second reply after chunks", |conn| { conn.write(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{POISON}")); }, Whole(200, "ok")),
        row("a reply after 204", |conn| { conn.write(format!("HTTP/1.1 204 No Content\r\n\r\n{POISON}")); }, Whole(204, "")),
        row("204 with a body", says!("HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison"), Empty204),
        row("204 with chunks", says!("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n"), Empty204),
        row("304 with a body", says!("HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison"), Whole(304, "")),
        Row { name: "HEAD, proper, then more", method: "HEAD", does: |conn| { conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n{POISON}")); }, sees: Whole(200, ""), settles: false },
        Row { name: "HEAD with a body", method: "HEAD", does: says!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"), sees: Whole(200, ""), settles: false },
        Row { name: "HEAD with chunks", method: "HEAD", does: says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n"), sees: Whole(200, ""), settles: false },
        row("304 with chunks", says!("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n"), Whole(304, "")),
        row("1xx with a length", says!("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Whole(200, "ok")),
        row("close said but not done", |conn| { conn.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"); conn.hold(); }, Whole(200, "ok")),
        row("keep-alive said, then closed", says_and_closes!("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"), Whole(200, "ok")),
        settling("a head and no more, a moment later", |conn| { conn.write(ok("ok")); std::thread::sleep(Duration::from_millis(30)); conn.write("HTTP/1.1 2").mark(); }, Whole(200, "ok")),
        row("reset after a whole reply", |conn| { conn.write(ok("ok")); std::thread::sleep(Duration::from_millis(30)); conn.reset(); }, Whole(200, "ok")),
        // unusual, and good
        row("HTTP/1.0", says_and_closes!("HTTP/1.0 200 OK\r\n\r\nold"), Whole(200, "old")),
        row("HTTP/1.0 with CL", says_and_closes!("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"), Whole(200, "old")),
        row("until close with close_notify", says_and_closes!("HTTP/1.1 200 OK\r\n\r\nwhole"), Whole(200, "whole")),
        row("empty reason", says!("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"), Whole(200, "ok")),
        row("trailers", says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-T: 1\r\n\r\n"), Whole(200, "ok")),
        row("a head of 30 KiB", |conn| { conn.write(format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2\r\n\r\nok", "y".repeat(30 << 10))); }, Whole(200, "ok")),
        row("byte by byte", |conn| { conn.trickle(ok("slowly"), Duration::from_millis(1)); }, Whole(200, "slowly")),
        row("several 1xx first", says!("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Whole(200, "ok")),
    ]
}

/// An upstream where `/t/bad-N` gets row N, and everything else a proper answer.
fn upstream(tls: Tls) -> Hostile {
    let rows = catalogue();
    let config = pki().server_config(tls, &pki().server(Key::Ecdsa), Ask::Ours);
    Hostile::tls(config, move |_, conn| {
        if !conn.handshake() {
            return;
        }
        while let Some((head, body)) = conn.request() {
            let bad = head
                .split(' ')
                .nth(1)
                .and_then(|path| path.strip_prefix("/t/bad-"))
                .and_then(|row| row.parse::<usize>().ok());
            match bad {
                Some(index) => {
                    (rows[index].does)(conn);
                    if conn.is_over() {
                        return;
                    }
                }
                None => answer_with_echo(conn, &head, &body),
            }
        }
    })
}

fn sidecar(upstream: &Hostile) -> Sidecar {
    World::to(upstream.address())
        .no_breaker()
        .set("upstream.ndh.timeouts", "first_byte", "\"700ms\"")
        .set("upstream.ndh.timeouts", "idle", "\"700ms\"")
        .start()
}

fn go_through(tls: Tls) {
    let upstream = upstream(tls);
    let sidecar = sidecar(&upstream);
    let mut findings = Findings::default();
    let mut settled = 0;
    for (index, row) in catalogue().into_iter().enumerate() {
        let name = format!("{tls:?} {}", row.name);
        let mut client = Client::connect(sidecar.listen);
        client.send(format!("{} /t/bad-{index} HTTP/1.1\r\nHost: a\r\n\r\n", row.method));
        let outcome = client.reply(row.method);
        let own = outcome.as_ref().ok().and_then(|reply| reply.fault());
        let holds = match (&row.sees, &outcome) {
            (Fault(status, code), Ok(reply)) => reply.status == *status && own == Some(*code),
            (Either(one, two), Ok(_)) => own == Some(*one) || own == Some(*two),
            (Whole(status, body), Ok(reply)) => {
                own.is_none() && reply.status == *status && reply.text() == *body && !reply.by_close
            }
            (CutShort, Err(Broken::Truncated(Some(200), _))) => true,
            (NeverWhole, Err(Broken::Truncated(Some(200), _))) => true,
            (NeverWhole, Ok(reply)) => own.is_some() && reply.status >= 502,
            (Empty204, Ok(reply)) => own.is_some() || (reply.status == 204 && reply.body.is_empty()),
            _ => false,
        };
        findings.check(holds, || match &outcome {
            Ok(reply) => format!("{name}: the caller saw {} {own:?} {:.100?}", reply.status, reply.text()),
            Err(broken) => format!("{name}: {broken}"),
        });
        if row.settles {
            settled += 1;
            let there = upstream.wait(|seen| seen.iter().map(|seen| seen.marks).sum::<usize>() == settled);
            findings.check(there, || format!("{name}: the script did not come to its end"));
        }
        // the caller's own connection, if it goes on, and two others: each gets the answer to its own question
        if outcome.is_ok() && own.is_none() {
            proper_answer(&mut findings, &name, &mut client, &format!("/t/same-{index}"), true);
        }
        for number in 0..2 {
            let mut other = Client::connect(sidecar.listen);
            proper_answer(
                &mut findings,
                &name,
                &mut other,
                &format!("/t/after-{index}-{number}"),
                false,
            );
        }
    }
    findings.check(upstream.count("/t/after-0-0 ") == 1, || {
        "the upstream saw the proper requests".to_owned()
    });
    findings.finish();
}

fn proper_answer(findings: &mut Findings, name: &str, client: &mut Client, target: &str, may_be_closed: bool) {
    match client.get(target) {
        Ok(reply) => findings.check(
            reply.status == 200 && reply.text().starts_with(&format!("GET {target} ")),
            || {
                format!(
                    "{name}: POISONED: {target} was answered {} {:?} {:.200}",
                    reply.status,
                    reply.fault(),
                    reply.text()
                )
            },
        ),
        Err(Broken::Closed) if may_be_closed => {}
        Err(broken) => findings.check(false, || format!("{name}: {target}: {broken}")),
    }
}

#[test]
fn the_catalogue_under_tls_1_3() {
    go_through(Tls::V13);
}

#[test]
fn the_catalogue_under_tls_1_2() {
    go_through(Tls::V12);
}

#[test]
fn a_truncated_reply_closes_the_callers_connection() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake()
            && let Some((head, _)) = conn.request()
        {
            assert!(field(&head, "content-length").is_none(), "a GET got a length: {head}");
            conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                .cut();
        }
    });
    let sidecar = World::to(upstream.address()).no_breaker().start();
    let mut client = Client::connect(sidecar.listen);
    client.send("GET /t/x HTTP/1.1\r\nHost: a\r\nX-Request-Id: cut\r\n\r\nGET /t/y HTTP/1.1\r\nHost: a\r\n\r\n");
    match client.reply("GET") {
        // everything that came is in the truncated reply; a second reply would have been read as chunk framing
        Err(Broken::Truncated(Some(200), _)) => {}
        Ok(reply) => assert_eq!(
            (reply.status, reply.fault()),
            (502, Some("upstream_reset")),
            "{reply:?}"
        ),
        Err(broken) => panic!("{broken}"),
    }
    let line = sidecar.access_line("cut");
    assert_eq!(
        line[CODE], "upstream_reset",
        "the access line tells that the reply was cut: {line}"
    );
}

/// Bytes behind a reply may hide in the TLS session when the sidecar's buffer ends exactly where the reply does. The
/// buffer's size is not known here, so every length around the likely ones is tried; and the sidecar is stopped while
/// the upstream writes, so that it finds all of it at once.
#[test]
fn bytes_behind_a_reply_of_any_length_never_reach_the_next_caller() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let upstream = Hostile::tls(pki().good_server(), move |_, conn| {
        if !conn.handshake() {
            return;
        }
        while let Some((head, body)) = conn.request() {
            let path = head.split(' ').nth(1).unwrap_or_default();
            match path.strip_prefix("/bytes/").and_then(|size| size.parse::<usize>().ok()) {
                Some(size) => {
                    let _ = gate.lock().map(|gate| gate.recv_timeout(patience()));
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                    conn.write(format!("{head}{}{POISON}", "x".repeat(size))).mark();
                }
                None => answer_with_echo(conn, &head, &body),
            }
        }
    });
    let sidecar = World::to(upstream.address()).no_breaker().start();
    let mut findings = Findings::default();
    let mut client = Client::connect(sidecar.listen);
    let mut written = 0;
    for around in [16 << 10, 32 << 10, 64 << 10, 128 << 10] {
        // the head, 44 bytes or so, is in the buffer too
        for size in around - 60..around + 4 {
            client.send(format!("GET /bytes/{size} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert!(upstream.wait(|seen| {
                seen.iter()
                    .any(|seen| seen.bytes.ends_with(b"\r\n\r\n") && arrived(seen, size))
            }));
            sidecar.signal(Signal::STOP);
            open.send(()).expect("the upstream waits");
            written += 1;
            assert!(
                upstream.wait(|seen| seen.iter().map(|seen| seen.marks).sum::<usize>() == written),
                "{size} written"
            );
            sidecar.signal(Signal::CONT);
            let Some(reply) = findings.take(size, client.reply("GET")) else {
                client = Client::connect(sidecar.listen);
                continue;
            };
            findings.same(size, reply.body.len(), size);
            proper_answer(
                &mut findings,
                &format!("{size} bytes"),
                &mut client,
                &format!("/t/{size}"),
                false,
            );
        }
    }
    findings.finish();
}

fn arrived(seen: &Seen, size: usize) -> bool {
    String::from_utf8_lossy(&seen.bytes).contains(&format!("/bytes/{size} "))
}

#[test]
fn a_server_that_asks_for_the_certificate_by_renegotiation_is_answered_at_once() {
    let Some(peer) = apache::start_asking_late(pki()) else {
        return;
    };
    for tls in [Tls::V12, Tls::V13] {
        let sidecar = World::to(peer.door(tls, Key::Ecdsa))
            .route("big", "GET /64k", "")
            .start();
        let reply = Client::connect(sidecar.listen).get("/64k").expect("a reply");
        // It is not let in; and neither side has waited for the other to speak.
        assert!(matches!(reply.status, 403 | 502 | 503), "{tls:?}: {reply:?}");
    }
}

//! Every limit is refused with its own status, says so in words a program can read, and lets go afterwards.

use std::time::{Duration, Instant};

use crate::support::bin::Sidecar;
use crate::support::hostile::{self, Hostile};
use crate::support::pki::pki;
use crate::support::raw::{Broken, Client, Reply};
use crate::support::world::World;
use crate::support::{eventually, patience};

/// An upstream that keeps every request whose path says `hold` unanswered until the gate opens.
pub(crate) fn gated() -> (Hostile, std::sync::mpsc::Sender<()>) {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let upstream = Hostile::tls(pki().good_server(), move |_, conn| {
        if !conn.handshake() {
            return;
        }
        while let Some((head, body)) = conn.request() {
            if head.contains("hold") {
                let _ = gate.lock().map(|gate| gate.recv_timeout(patience()));
            }
            hostile::answer_with_echo(conn, &head, &body);
        }
    });
    (upstream, open)
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.fault()), (status, Some(code)), "{reply:?}");
    assert!(
        reply
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/problem+json")),
        "{reply:?}"
    );
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("a JSON body");
    assert_eq!(
        (&body["code"], &body["status"]),
        (&code.into(), &status.into()),
        "{reply:?}"
    );
}

#[track_caller]
fn overloaded(reply: &Reply) {
    refused(reply, 503, "overloaded");
    let seconds = reply.header("retry-after").and_then(|value| value.parse::<u32>().ok());
    assert!(
        seconds.is_some_and(|seconds| (1..=60).contains(&seconds)),
        "retry-after: {reply:?}"
    );
}

#[track_caller]
fn still_serves(sidecar: &Sidecar) {
    let reply = Client::connect(sidecar.listen)
        .get("/t/after")
        .expect("a reply after the refusal");
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn a_request_line_beyond_the_limit_is_414() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "request_line", "\"512B\"")
        .start();
    let target = |length: usize| format!("/t/{}", "x".repeat(length));
    let mut client = Client::connect(sidecar.listen);
    assert_eq!(
        client.get(&target(400)).expect("a reply").status,
        200,
        "below the limit"
    );
    refused(&client.get(&target(600)).expect("a reply"), 414, "request_too_large");
    assert!(client.closed());
    // the limit holds while the line is still coming
    let mut client = Client::connect(sidecar.listen);
    client.send(format!("GET {}", target(2000)));
    refused(&client.reply("GET").expect("a reply"), 414, "request_too_large");
    assert_eq!(upstream.count("GET "), 1);
    still_serves(&sidecar);
}

#[test]
fn too_many_headers_are_431() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "headers", 10)
        .start();
    let request = |count: usize| {
        let lines: String = (1..count).map(|number| format!("X-{number}: y\r\n")).collect();
        format!("GET /t/x HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    };
    let mut client = Client::connect(sidecar.listen);
    client.send(request(10));
    assert_eq!(client.reply("GET").expect("a reply").status, 200, "at the limit");
    client.send(request(11));
    refused(&client.reply("GET").expect("a reply"), 431, "request_too_large");
    assert!(client.closed());
    still_serves(&sidecar);
}

#[test]
fn a_head_with_too_many_bytes_is_431() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "request_line", "\"1KiB\"")
        .set("listen.limits", "head", "\"4KiB\"")
        .start();
    let request = |bytes: usize| format!("GET /t/x HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "y".repeat(bytes));
    let mut client = Client::connect(sidecar.listen);
    client.send(request(3000));
    assert_eq!(client.reply("GET").expect("a reply").status, 200, "below the limit");
    client.send(request(5000));
    refused(&client.reply("GET").expect("a reply"), 431, "request_too_large");
    assert!(client.closed());
    let mut client = Client::connect(sidecar.listen);
    client.send(format!(
        "GET /t/x HTTP/1.1\r\nHost: a\r\nX-Endless: {}",
        "y".repeat(50_000)
    ));
    refused(&client.reply("GET").expect("a reply"), 431, "request_too_large");
    still_serves(&sidecar);
}

#[test]
fn a_body_that_announces_too_much_is_413_at_once() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "body", "\"1KiB\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client
        .send("POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n")
        .send([b'x'; 1024]);
    assert_eq!(client.reply("POST").expect("a reply").status, 200, "at the limit");
    client.send("POST /t/large HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n");
    refused(&client.reply("POST").expect("a reply"), 413, "request_too_large");
    assert!(client.closed(), "the body is still owed");
    // also to a caller that asks first: it must not be told to go on
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /t/large HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1025\r\n\r\n");
    let reply = client.reply("POST").expect("a reply");
    refused(&reply, 413, "request_too_large");
    assert!(reply.interim.is_empty(), "{reply:?}");
    assert_eq!(upstream.count("/t/large"), 0);
    still_serves(&sidecar);
}

#[test]
fn a_body_that_turns_out_too_large_is_413_and_never_complete_upstream() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "body", "\"1KiB\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /t/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        client.send("190\r\n").send([b'x'; 0x190]).send("\r\n");
    }
    client.send("0\r\n\r\n");
    refused(&client.reply("POST").expect("a reply"), 413, "request_too_large");
    assert!(client.closed());
    assert_eq!(
        upstream.count("\r\n0\r\n\r\n"),
        0,
        "the request must not look complete upstream"
    );
    still_serves(&sidecar);
}

#[test]
fn a_route_may_allow_more_or_less() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .route("small", "POST /small/{case}", "body = \"10B\"")
        .set("listen.limits", "body", "\"1KiB\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /small/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(client.reply("POST").expect("a reply").status, 200);
    client.send("POST /small/x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    refused(&client.reply("POST").expect("a reply"), 413, "request_too_large");
}

#[test]
fn a_head_that_does_not_come_to_an_end_is_408() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "head_time", "\"400ms\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send("GET /t/x HTTP/1.1\r\nHost: a\r\n");
    refused(&client.reply("GET").expect("a reply"), 408, "request_timeout");
    assert!(client.closed());
    assert!(upstream.seen().is_empty());
    still_serves(&sidecar);
}

#[test]
fn a_head_that_trickles_does_not_buy_more_time() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "head_time", "\"500ms\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send("GET /t/x HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    let begun = Instant::now();
    // 10 s of trickle unless the sidecar ends it
    let mut sent = 0;
    while sent < 200 && client.still_open(Duration::from_millis(50)) {
        client.send("y");
        sent += 1;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{sent} bytes were allowed to trickle"
    );
    refused(&client.reply("GET").expect("a reply"), 408, "request_timeout");
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "head_time", "\"400ms\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    match client.reply("GET") {
        Err(Broken::Closed) => {}
        Ok(reply) => refused(&reply, 408, "request_timeout"),
        Err(broken) => panic!("{broken}"),
    }
    still_serves(&sidecar);
}

#[test]
fn a_kept_alive_connection_with_nothing_to_do_is_closed_silently() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "keep_alive", "\"400ms\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    assert_eq!(client.get("/t/x").expect("a reply").status, 200);
    assert!(
        client.closed(),
        "closed, and no 408 that a caller could take for the next reply"
    );
}

#[test]
fn a_body_that_stalls_is_ended() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("upstream.ndh.timeouts", "idle", "\"400ms\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    refused(&client.reply("POST").expect("a reply"), 408, "request_timeout");
    assert!(client.closed());
    still_serves(&sidecar);
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_places_come_back() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "connections", 2)
        .start();
    // a place is free again once the sidecar has noticed that its holder left
    let take_place = || {
        eventually(|| {
            let mut client = Client::connect(sidecar.listen);
            client
                .get("/t/x")
                .is_ok_and(|reply| reply.status == 200)
                .then_some(client)
        })
        .expect("a place is free")
    };
    for _ in 0..3 {
        let (mut one, two) = (take_place(), take_place());
        let mut three = Client::connect(sidecar.listen);
        overloaded(&three.get("/t/x").expect("a reply"));
        assert!(three.closed());
        assert_eq!(
            one.get("/t/x").expect("a reply").status,
            200,
            "those inside are not disturbed"
        );
        drop((one, two));
    }
    take_place();
}

#[test]
fn requests_in_flight_beyond_the_limit_are_told_so_and_places_come_back() {
    let (upstream, open) = gated();
    let sidecar = World::to(upstream.address())
        .route("narrow", "* /narrow/{case}", "in_flight = 1")
        .start();
    for round in 0..3 {
        let mut holding = Client::connect(sidecar.listen);
        holding.send(format!("GET /narrow/hold-{round} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(upstream.wait(|seen| {
            seen.iter()
                .any(|seen| String::from_utf8_lossy(&seen.bytes).contains(&format!("hold-{round} ")))
        }));
        let mut other = Client::connect(sidecar.listen);
        overloaded(&other.get("/narrow/second").expect("a reply"));
        assert_eq!(
            other.get("/t/other-route").expect("a reply").status,
            200,
            "and the connection goes on"
        );
        open.send(()).expect("the upstream waits");
        assert_eq!(holding.reply("GET").expect("a reply").status, 200);
        assert_eq!(
            other.get("/narrow/third").expect("a reply").status,
            200,
            "the place came back"
        );
    }
    assert_eq!(upstream.count("/narrow/second"), 0);
}

#[test]
fn a_caller_that_gives_up_gives_its_place_back() {
    let (upstream, open) = gated();
    let sidecar = World::to(upstream.address())
        .route("narrow", "* /narrow/{case}", "in_flight = 1")
        .no_breaker()
        .start();
    for round in 0..3 {
        let mut holding = Client::connect(sidecar.listen);
        holding.send(format!("GET /narrow/hold-{round} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(upstream.wait(|seen| {
            seen.iter()
                .any(|seen| String::from_utf8_lossy(&seen.bytes).contains(&format!("hold-{round} ")))
        }));
        holding.reset();
        let again = eventually(|| {
            Client::connect(sidecar.listen)
                .get("/narrow/free")
                .ok()
                .filter(|reply| reply.status == 200)
        });
        assert!(again.is_some(), "round {round}: the place came back");
        open.send(()).expect("the upstream waits");
    }
}

#[test]
fn refusals_of_every_kind_leave_no_place_taken() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen.limits", "connections", 4)
        .set("listen.limits", "in_flight", 2)
        .set("listen.limits", "body", "\"16B\"")
        .start();
    for round in 0..20 {
        for request in [
            "GET /t/x HTTP/1.1\r\n\r\n",
            "GET /nowhere/at/all HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n",
            "POST /t/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            let mut client = Client::connect(sidecar.listen);
            client.send(request);
            let reply = client
                .reply("GET")
                .unwrap_or_else(|broken| panic!("round {round} {request:?}: {broken}"));
            assert!(
                reply.status != 503 && reply.status >= 400,
                "round {round} {request:?}: {reply:?}"
            );
            assert!(client.closed());
        }
    }
    still_serves(&sidecar);
}

#[test]
fn a_caller_that_does_not_take_its_reply_is_let_go() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            for _ in 0..100 {
                conn.write("x".repeat(1_000_000));
            }
            conn.hold();
        }
    });
    let sidecar = World::to(upstream.address())
        .set("upstream.ndh.timeouts", "idle", "\"500ms\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send("GET /t/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.first_byte());
    assert!(
        upstream.wait(|seen| seen[0].done || seen[0].ended),
        "the upstream connection is given up"
    );
    assert!(
        matches!(client.reply("GET"), Err(Broken::Truncated(Some(200), _))),
        "and the reply is visibly cut"
    );
}

#[test]
fn a_refused_expectation_leaves_no_doubt_about_what_follows() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let sidecar = World::to(nobody).start();
    let mut client = Client::connect(sidecar.listen);
    client.send("POST /t/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n");
    let reply = client.reply("POST").expect("a reply");
    assert_eq!((reply.status, reply.interim.as_slice()), (503, &[][..]), "{reply:?}");
    // a caller may send its body now, or not: only a closed connection is read in one way
    client.send("GET /t/not-a-request HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.closed());
}

/// What a caller does not take is not asked for either, however small the pieces are in which it comes.
#[test]
fn a_caller_that_takes_nothing_is_not_read_for_and_its_time_runs_out() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n");
            // More than the sockets between here and the caller hold.
            for _ in 0..40 {
                conn.write("x".repeat(100_000));
            }
            // Then a little, again and again: each would be a sign of life. The pause keeps the pieces small, which is
            // what this upstream is for; it ends when the sidecar leaves.
            let piece = "x".repeat(250);
            for _ in 0..100_000 {
                conn.write(&piece);
                std::thread::sleep(Duration::from_micros(150));
            }
        }
    });
    let sidecar = World::to(upstream.address())
        .set("upstream.ndh.timeouts", "idle", "\"1s\"")
        .start();
    let mut client = Client::connect(sidecar.listen);
    client.send("GET /t/x HTTP/1.1\r\nHost: a\r\n\r\n");
    let line = eventually(|| sidecar.access_lines().first().cloned()).expect("an end");
    let took = line["duration_ms"].as_f64().unwrap_or(f64::MAX);
    assert!(took < 6_000.0, "{line}");
}

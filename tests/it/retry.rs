//! What is sent again and what never is.
//!
//! Counted where it matters, at the upstream: a request that may have been processed must have arrived once.

use rustix::process::Signal;

use crate::support::hostile::{Conn, Hostile, answer_with_echo, go_on};
use crate::support::patience;
use crate::support::pki::pki;
use crate::support::raw::{Broken, Client};
use crate::support::world::World;

/// An upstream whose first connection serves one request properly and dies on the second as told; all later ones are
/// proper.
fn stale(dies: fn(&mut Conn)) -> Hostile {
    Hostile::tls(pki().good_server(), move |index, conn| {
        if !conn.handshake() {
            return;
        }
        if index > 0 {
            return go_on(conn);
        }
        if let Some((head, body)) = conn.request() {
            answer_with_echo(conn, &head, &body);
        }
        if conn.request().is_some() {
            dies(conn);
        }
    })
}

/// Warms the pool with one request, sends the second, and says what came of it and how often it arrived.
fn second_request(upstream: &Hostile, world: World, request: &str) -> (Result<u16, Broken>, Option<String>, usize) {
    let sidecar = world.no_breaker().start();
    let mut client = Client::connect(sidecar.listen);
    assert_eq!(client.get("/t/warm").expect("a reply").status, 200);
    client.send(request);
    let reply = client.reply(request.split(' ').next().unwrap_or_default());
    let fault = reply.as_ref().ok().and_then(|reply| reply.fault().map(str::to_owned));
    assert_eq!(upstream.count("/t/warm"), 1);
    (reply.map(|reply| reply.status), fault, upstream.count("/t/second"))
}

#[test]
fn an_idempotent_request_on_a_stale_connection_is_sent_once_more() {
    for dies in [Conn::close, Conn::cut, Conn::reset] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            let upstream = stale(dies);
            let request = format!("{method} /t/second HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
            let (status, fault, arrived) = second_request(&upstream, World::to(upstream.address()), &request);
            assert_eq!((status, fault, arrived), (Ok(200), None, 2), "{method}");
        }
    }
}

#[test]
fn a_request_that_is_not_idempotent_is_never_sent_twice() {
    for dies in [Conn::close, Conn::cut, Conn::reset] {
        for method in ["POST", "PATCH", "get", "M-SEARCH"] {
            let upstream = stale(dies);
            let request = format!("{method} /t/second HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
            let (status, fault, arrived) = second_request(&upstream, World::to(upstream.address()), &request);
            assert_eq!(
                (status, fault.as_deref(), arrived),
                (Ok(502), Some("upstream_reset"), 1),
                "{method}"
            );
        }
    }
}

#[test]
fn a_route_may_say_that_a_put_is_not_repeatable() {
    let upstream = stale(Conn::close);
    let world = World::to(upstream.address()).route("put", "PUT /t/second", "idempotent = false");
    let request = "PUT /t/second HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";
    let (status, fault, arrived) = second_request(&upstream, world, request);
    assert_eq!(
        (status, fault.as_deref(), arrived),
        (Ok(502), Some("upstream_reset"), 1)
    );
}

#[test]
fn once_a_byte_of_the_reply_has_come_nothing_is_sent_again() {
    let upstream = stale(|conn| conn.write("H").close());
    let request = "GET /t/second HTTP/1.1\r\nHost: a\r\n\r\n";
    let (status, fault, arrived) = second_request(&upstream, World::to(upstream.address()), request);
    assert_eq!((status, arrived), (Ok(502), 1), "{fault:?}");
}

#[test]
fn a_fresh_connection_that_dies_is_not_tried_again() {
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake() && conn.request().is_some() {
            conn.close();
        }
    });
    let sidecar = World::to(upstream.address()).no_breaker().start();
    let reply = Client::connect(sidecar.listen).get("/t/second").expect("a reply");
    assert_eq!((reply.status, reply.fault()), (502, Some("upstream_reset")));
    assert_eq!(upstream.count("/t/second"), 1);
}

#[test]
fn a_slow_answer_is_not_asked_for_again() {
    let upstream = stale(Conn::hold);
    let world = World::to(upstream.address()).set("upstream.ndh.timeouts", "first_byte", "\"400ms\"");
    let (status, fault, arrived) = second_request(&upstream, world, "GET /t/second HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (status, fault.as_deref(), arrived),
        (Ok(504), Some("upstream_timeout"), 1)
    );
}

#[test]
fn a_connection_that_closed_while_idle_costs_nobody_a_request() {
    // the server's end of keep-alive: it closes after each reply without having said so
    let upstream = Hostile::tls(pki().good_server(), |_, conn| {
        if conn.handshake()
            && let Some((head, body)) = conn.request()
        {
            answer_with_echo(conn, &head, &body);
            conn.close();
        }
    });
    let sidecar = World::to(upstream.address()).no_breaker().start();
    let mut client = Client::connect(sidecar.listen);
    for number in 0..10 {
        let body = format!("{number}");
        client.send(format!(
            "POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let reply = client.reply("POST").expect("a reply");
        assert_eq!(reply.status, 200, "round {number}: {reply:?}");
        assert!(
            upstream.wait(|seen| seen.last().is_some_and(|seen| seen.done)),
            "the upstream has closed"
        );
    }
}

#[test]
fn a_close_that_arrives_together_with_the_next_request_costs_it_nothing() {
    // the sidecar is stopped, so that it finds the upstream's end and the caller's request at the same moment
    let (close, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let upstream = Hostile::tls(pki().good_server(), move |_, conn| {
        if conn.handshake()
            && let Some((head, body)) = conn.request()
        {
            answer_with_echo(conn, &head, &body);
            let _ = gate.lock().map(|gate| gate.recv_timeout(patience()));
            conn.close();
        }
    });
    let sidecar = World::to(upstream.address()).no_breaker().start();
    let mut client = Client::connect(sidecar.listen);
    assert_eq!(client.get("/t/first").expect("a reply").status, 200);
    for number in 0..20 {
        let dialled = upstream.seen().len();
        sidecar.signal(Signal::STOP);
        close.send(()).expect("the upstream waits");
        assert!(upstream.wait(|seen| seen[dialled - 1].closed), "the upstream closes");
        client.send("POST /t/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
        sidecar.signal(Signal::CONT);
        let reply = client.reply("POST").expect("a reply");
        assert_eq!((reply.status, reply.fault()), (200, None), "round {number}");
    }
    close.send(()).expect("the last one waits");
}

#[test]
fn many_stale_connections_still_cost_an_idempotent_request_nothing() {
    // five connections warmed at once; each dies when it is used again
    let upstream = Hostile::tls(pki().good_server(), |index, conn| {
        if !conn.handshake() {
            return;
        }
        if index >= 5 {
            return go_on(conn);
        }
        if let Some((head, body)) = conn.request() {
            conn.wait_for_others(5);
            answer_with_echo(conn, &head, &body);
        }
        let _ = conn.request();
    });
    let sidecar = World::to(upstream.address()).no_breaker().start();
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(sidecar.listen)).collect();
    for client in &mut clients {
        client.send("GET /t/warm HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.reply("GET").expect("a reply").status, 200);
    }
    let reply = clients[0].get("/t/second").expect("a reply");
    assert_eq!((reply.status, reply.fault()), (200, None), "{reply:?}");
    assert_eq!(
        upstream.count("/t/second"),
        2,
        "sent once more, on a connection that was made for it"
    );
}

#[test]
fn a_body_half_sent_when_the_upstream_dies_is_not_sent_again() {
    let upstream = Hostile::tls(pki().good_server(), |index, conn| {
        if !conn.handshake() {
            return;
        }
        if index == 0 && conn.head().is_some() {
            conn.reset();
            return;
        }
        go_on(conn);
    });
    let sidecar = World::to(upstream.address()).no_breaker().start();
    let mut client = Client::connect(sidecar.listen);
    client
        .send("POST /t/second HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        .send([b'x'; 50_000]);
    let reply = client.reply("POST").expect("a reply");
    assert_eq!(
        (reply.status, reply.fault()),
        (502, Some("upstream_reset")),
        "{reply:?}"
    );
    assert_eq!(upstream.count("/t/second"), 1);
    assert_eq!(
        Client::connect(sidecar.listen).get("/t/after").expect("a reply").status,
        200
    );
}

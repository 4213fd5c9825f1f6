//! Where callers come in: a Unix socket, and several workers on one port.

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::bin::Sidecar;
use crate::support::raw::Client;
use crate::support::world::{World, directory, text};
use crate::support::{hostile, patience};

fn exchange(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("connect");
    stream.set_read_timeout(Some(patience())).expect("set a timeout");
    stream.write_all(request.as_bytes()).expect("send");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("the whole reply, and the end");
    reply
}

#[test]
fn a_unix_socket_serves_like_a_port_and_a_leftover_is_replaced() {
    let upstream = hostile::echoing();
    for workers in [1, 2] {
        let directory = directory();
        let socket = directory.path().join("http.sock");
        // What a process that was killed leaves behind.
        drop(std::os::unix::net::UnixListener::bind(&socket).expect("a leftover"));
        let config = World::to(upstream.address())
            .set("listen", "address", text(&format!("unix:{}", socket.display())))
            .set("listen", "workers", workers)
            .write(directory.path());
        let sidecar = Sidecar::start(directory, &config);
        let meta = std::fs::symlink_metadata(&socket).expect("the socket");
        assert!(meta.file_type().is_socket());
        assert_eq!(
            meta.permissions().mode() & 0o777,
            0o666,
            "whatever user the application has"
        );
        for number in 0..10 {
            let request =
                format!("POST /t/{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
            let reply = exchange(&socket, &request);
            assert!(
                reply.starts_with("HTTP/1.1 200 ") && reply.ends_with("hello"),
                "{reply}"
            );
        }
        let refused = exchange(&socket, "GET /t/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
        let unknown = exchange(
            &socket,
            "GET /nowhere/at/all HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        assert!(unknown.starts_with("HTTP/1.1 421 "), "{unknown}");
        drop(sidecar);
    }
}

#[test]
fn several_workers_serve_one_port_under_common_limits() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address())
        .set("listen", "workers", 2)
        .set("listen.limits", "connections", 8)
        .start();
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(sidecar.listen)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/t/x").expect("a reply").status, 200);
    }
    for _ in 0..6 {
        let reply = Client::connect(sidecar.listen).get("/t/x").expect("a reply");
        assert_eq!(
            reply.fault(),
            Some("overloaded"),
            "whichever worker it came to: {reply:?}"
        );
    }
    for client in &mut clients {
        assert_eq!(client.get("/t/x").expect("a reply").status, 200);
    }
}

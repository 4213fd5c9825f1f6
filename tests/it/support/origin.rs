//! The plain HTTP service that stands behind nginx and Apache, as the Delius API stands behind NDH.
//!
//! `/bytes/N` answers N bytes of a fixed pattern; `/echo…` answers the request's body; everything else the request's
//! head. It reads and writes HTTP properly: the faults live in `hostile`.

use super::hostile::{Conn, Hostile, field};

/// Starts it on a port from the kernel.
pub(crate) fn start() -> Hostile {
    Hostile::plain(|_, conn| while serve(conn).is_some() {})
}

fn serve(conn: &mut Conn) -> Option<()> {
    let (head, body) = conn.request()?;
    let target = head.split(' ').nth(1)?.to_owned();
    let body = if let Some(size) = target.strip_prefix("/bytes/") {
        pattern(size.split(['?', '/']).next()?.parse().ok()?)
    } else if target.starts_with("/echo") {
        body
    } else {
        head.as_bytes().to_vec()
    };
    let kind = field(&head, "content-type").unwrap_or("application/octet-stream");
    conn.write(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nX-Mixed-Case: Kept\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    if !head.starts_with("HEAD ") {
        conn.write(body);
    }
    Some(())
}

/// N bytes in which a lost, doubled or swapped block shows.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state & 0xff) as u8
        })
        .collect()
}

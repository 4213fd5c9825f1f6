//! A small blocking HTTP/1.1 client: one request on a connection of its own, or many on one that is kept.
//!
//! The demo talks to the sidecar as the application does, with code of its own: a client that shared the sidecar's
//! HTTP code would share its mistakes. It reads `Content-Length`, chunked (RFC 9112 section 7.1) and until-close bodies,
//! and a reply that breaks off is an error, never a short body.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const HEAD_LIMIT: u64 = 64 << 10;
const BODY_LIMIT: u64 = 16 << 20;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name)?;
        Some(&found.1)
    }
}

/// One request to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Option<&'a str>,
}

impl<'a> Ask<'a> {
    #[must_use]
    pub const fn get(target: &'a str) -> Self {
        Self {
            method: "GET",
            target,
            headers: &[],
            body: None,
        }
    }

    /// Sends it over a connection of its own; `timeout` bounds connect and each wait for bytes.
    pub fn send(&self, to: SocketAddr, timeout: Duration) -> io::Result<Answer> {
        let stream = TcpStream::connect_timeout(&to, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.set_nodelay(true)?;
        self.exchange(stream, &to.to_string())
    }

    /// Sends it over a stream that is open already.
    pub fn exchange(&self, mut stream: impl Read + Write, host: &str) -> io::Result<Answer> {
        stream.write_all(self.wire(host, "connection: close\r\n").as_bytes())?;
        stream.flush()?;
        read_answer(BufReader::new(stream), self.method == "HEAD")
    }

    fn wire(&self, host: &str, connection: &str) -> String {
        let Self { method, target, .. } = self;
        let mut wire = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{connection}");
        for (name, value) in self.headers {
            wire.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = self.body {
            let length = body.len();
            wire.push_str(&format!(
                "content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ));
        } else {
            wire.push_str("\r\n");
        }
        wire
    }
}

/// A caller who keeps its connection, as the application's HTTP library does.
#[derive(Debug)]
pub struct Kept {
    to: SocketAddr,
    host: String,
    timeout: Duration,
    stream: Option<BufReader<TcpStream>>,
}

impl Kept {
    /// Not connected yet; `timeout` bounds the connect and each wait for bytes.
    #[must_use]
    pub fn new(to: SocketAddr, timeout: Duration) -> Self {
        Self {
            to,
            host: to.to_string(),
            timeout,
            stream: None,
        }
    }

    /// Sends a request on the kept connection, or on a new one where there is none. What goes wrong is not tried again.
    pub fn send(&mut self, ask: &Ask<'_>) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&self.to, self.timeout)?;
                stream.set_read_timeout(Some(self.timeout))?;
                stream.set_write_timeout(Some(self.timeout))?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        stream.get_mut().write_all(ask.wire(&self.host, "").as_bytes())?;
        let answer = read_answer(&mut stream, ask.method == "HEAD")?;
        let closes = answer
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let framed = answer.header("content-length").is_some() || answer.header("transfer-encoding").is_some();
        if framed && !closes {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

fn read_answer(mut from: impl BufRead, head_only: bool) -> io::Result<Answer> {
    let mut head = from.by_ref().take(HEAD_LIMIT);
    let status_line = line(&mut head)?;
    let status = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| invalid(format!("not an HTTP/1 status line: {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let field = line(&mut head)?;
        if field.is_empty() {
            break;
        }
        let (name, value) = field
            .split_once(':')
            .ok_or_else(|| invalid(format!("not a header field: {field:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    if !(head_only || status == 204 || status == 304) {
        answer.body = read_body(from, &answer)?;
    }
    Ok(answer)
}

fn read_body(mut from: impl BufRead, answer: &Answer) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let coding = answer.header("transfer-encoding").unwrap_or_default();
    if coding.eq_ignore_ascii_case("chunked") {
        loop {
            let size = line(&mut from)?;
            let size = u64::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| invalid(format!("not a chunk size: {size:?}")))?;
            exactly(&mut from, size, &mut body)?;
            if size == 0 {
                while !line(&mut from)?.is_empty() {} // trailers
                return Ok(body);
            }
            if !line(&mut from)?.is_empty() {
                return Err(invalid("a chunk is longer than it says".to_owned()));
            }
        }
    }
    match answer.header("content-length") {
        Some(length) => {
            let length = length.parse();
            let length = length.map_err(|_| invalid("content-length is not a number".to_owned()))?;
            exactly(&mut from, length, &mut body)?;
        }
        None => {
            from.take(BODY_LIMIT).read_to_end(&mut body)?;
        }
    }
    Ok(body)
}

fn exactly(from: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if length > BODY_LIMIT {
        return Err(invalid(format!("{length} bytes are more than a demo expects")));
    }
    let read = from.take(length).read_to_end(body)?;
    if (read as u64) < length {
        let found = format!("the reply broke off after {read} of {length} bytes");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, found));
    }
    Ok(())
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        let found = "the connection ended before the reply was complete";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, found));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| invalid("the head of the reply is not text".to_owned()))
}

fn invalid(found: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &str) -> io::Result<Answer> {
        read_answer(wire.as_bytes(), false)
    }

    #[test]
    fn bodies_are_read_by_length_by_chunks_and_until_close() {
        let length = read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd").unwrap();
        assert_eq!((length.status, &*length.body), (200, &b"abc"[..]));
        let chunks =
            read("HTTP/1.1 404 \r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n");
        assert_eq!(chunks.unwrap().body, b"abc");
        let close = read("HTTP/1.0 500 Internal\r\nX-Name:  v \r\n\r\nabc").unwrap();
        assert_eq!((close.header("x-name"), &*close.body), (Some("v"), &b"abc"[..]));
    }

    #[test]
    fn a_reply_that_breaks_off_is_an_error() {
        let broken = [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ];
        for wire in broken {
            assert_eq!(read(wire).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{wire:?}");
        }
        assert_eq!(read("SSH-2.0\r\n\r\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

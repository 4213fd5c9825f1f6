//! A client that writes exactly the bytes it is given and reads replies without mercy.
//!
//! The reader is strict on purpose: a status line, header lines with CRLF, a body framed by exactly one of
//! `Content-Length`, `chunked` or close. What does not fit is an error that carries the bytes, never a guess.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::patience;

/// One reply, read to its proper end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Statuses of the interim replies (1xx) that came before.
    pub(crate) interim: Vec<u16>,
    /// The body ended because the connection did.
    pub(crate) by_close: bool,
}

impl Reply {
    /// The one value of a header; none or several are both `None`, so that a doubled header never passes.
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { None } else { first }
    }

    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The sidecar's own error code, where this is its own reply.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.header("x-delius-sidecar-error")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection ended before the first byte.
    Closed,
    /// The connection ended inside a reply. The status is there if the head was whole; the bytes are what came.
    Truncated(Option<u16>, Vec<u8>),
    /// What came is not HTTP.
    Malformed(String),
    /// Nothing came in time.
    Silent(Vec<u8>),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("connection closed without a reply"),
            Self::Truncated(status, bytes) => write!(f, "reply cut short (status {status:?}): {}", shown(bytes)),
            Self::Malformed(why) => write!(f, "not HTTP: {why}"),
            Self::Silent(bytes) => write!(f, "no whole reply in time; so far {}", shown(bytes)),
        }
    }
}

/// Bytes for a failure message: escaped, and never more than fits on a screen.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(600)];
    format!("{} bytes \"{}\"", bytes.len(), head.escape_ascii())
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    socket: TcpStream,
    buffer: Vec<u8>,
    ended: bool,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = socket(address);
        let stream = socket.try_clone().expect("clone a socket");
        Self {
            stream: Box::new(stream),
            socket,
            buffer: Vec::new(),
            ended: false,
        }
    }

    /// The same over TLS, to prove the peers themselves. The handshake is done when this returns.
    pub(crate) fn connect_tls(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        Self::tls_over(socket(address), name, config)
    }

    /// The same for a peer to which little fits on the way: small segments, a small window. The kernel would else take
    /// many megabytes on its behalf.
    pub(crate) fn connect_narrowly(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_tcp_mss(600)?;
        socket.set_recv_buffer_size(8 * 1024)?;
        socket.connect(&address.into())?;
        Self::tls_over(socket.into(), name, config)
    }

    fn tls_over(mut socket: TcpStream, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        let stream = StreamOwned::new(tls, socket.try_clone()?);
        Ok(Self {
            stream: Box::new(stream),
            socket,
            buffer: Vec::new(),
            ended: false,
        })
    }

    /// Writes all of it. A peer that hangs up meanwhile is not an error here: its reply, if any, is what counts.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
        self
    }

    /// Writes up to this much and says how much the other side took before it took no more.
    pub(crate) fn send_until_stuck(&mut self, most: usize) -> usize {
        self.socket
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("set a write timeout");
        let block = vec![b'x'; 64 * 1024];
        let mut taken = 0;
        while taken < most {
            match self.stream.write(&block[..block.len().min(most - taken)]) {
                Ok(count) if count > 0 => taken += count,
                _ => break,
            }
        }
        taken
    }

    /// Ends our half: FIN, and still listening.
    pub(crate) fn half_close(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Ends with a reset, as a caller does that was killed.
    pub(crate) fn reset(self) {
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    /// A GET with nothing special in it, answered.
    pub(crate) fn get(&mut self, target: &str) -> Result<Reply, Broken> {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.reply("GET")
    }

    /// Reads the next reply to its end. The method matters: a HEAD has no body whatever its headers say.
    pub(crate) fn reply(&mut self, method: &str) -> Result<Reply, Broken> {
        let deadline = Instant::now() + patience();
        let mut interim = Vec::new();
        loop {
            let mut reply = self.head(deadline)?;
            if (100..200).contains(&reply.status) && reply.status != 101 {
                interim.push(reply.status);
                continue;
            }
            reply.interim = interim;
            let status = reply.status;
            self.body(method, &mut reply, deadline).map_err(|broken| match broken {
                Broken::Truncated(None, rest) => {
                    Broken::Truncated(Some(status), [reply.body.as_slice(), &rest].concat())
                }
                Broken::Closed => Broken::Truncated(Some(status), reply.body.clone()),
                other => other,
            })?;
            return Ok(reply);
        }
    }

    /// Everything until the peer closes; `None` when it did not close in time.
    pub(crate) fn rest(&mut self) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience();
        while !self.ended {
            self.fill(deadline).ok()?;
        }
        Some(std::mem::take(&mut self.buffer))
    }

    /// The peer closed, and sent nothing before it did.
    pub(crate) fn closed(&mut self) -> bool {
        self.rest().is_some_and(|bytes| bytes.is_empty())
    }

    /// Listens for this long: `true` while nothing came and the peer did not close. Paces a slow sender.
    pub(crate) fn still_open(&mut self, pause: Duration) -> bool {
        let _ = self.fill(Instant::now() + pause);
        self.buffer.is_empty() && !self.ended
    }

    /// Waits until at least one more byte has come (or the end).
    pub(crate) fn first_byte(&mut self) -> bool {
        let deadline = Instant::now() + patience();
        while self.buffer.is_empty() && !self.ended {
            if self.fill(deadline).is_err() {
                return false;
            }
        }
        !self.buffer.is_empty()
    }

    /// Reads slowly, and throws away what it reads, until this byte has come so often; answers how often it came before
    /// the end, or before nothing more came in time.
    pub(crate) fn sip(&mut self, byte: u8, enough: usize) -> usize {
        let deadline = Instant::now() + patience();
        let mut count = 0;
        while count < enough && !self.ended && self.fill(deadline).is_ok() {
            count += self.buffer.drain(..).filter(|one| *one == byte).count();
            std::thread::sleep(Duration::from_millis(3));
        }
        count
    }

    fn head(&mut self, deadline: Instant) -> Result<Reply, Broken> {
        let mut reply = Reply::default();
        let line = match self.line(deadline) {
            Err(Broken::Truncated(_, bytes)) if bytes.is_empty() => return Err(Broken::Closed),
            other => other?,
        };
        let mut words = line.splitn(3, ' ');
        reply.version = words.next().unwrap_or_default().to_owned();
        let digits = words.next().unwrap_or_default();
        if !matches!(reply.version.as_str(), "HTTP/1.1" | "HTTP/1.0") || digits.len() != 3 {
            return Err(Broken::Malformed(format!("status line {line:?}")));
        }
        reply.status = digits
            .parse()
            .map_err(|_| Broken::Malformed(format!("status line {line:?}")))?;
        reply.headers = self.fields(deadline)?;
        Ok(reply)
    }

    fn fields(&mut self, deadline: Instant) -> Result<Vec<(String, String)>, Broken> {
        let mut fields = Vec::new();
        loop {
            let line = self.line(deadline)?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| Broken::Malformed(format!("header line {line:?}")))?;
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) || value.contains(['\r', '\0']) {
                return Err(Broken::Malformed(format!("header line {line:?}")));
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    fn body(&mut self, method: &str, reply: &mut Reply, deadline: Instant) -> Result<(), Broken> {
        let lengths: Vec<String> = reply.values("content-length").map(str::to_owned).collect();
        let codings: Vec<String> = reply.values("transfer-encoding").map(str::to_owned).collect();
        if lengths.len() + codings.len() > 1 {
            return Err(Broken::Malformed(format!("two framings: {:?}", reply.headers)));
        }
        if method == "HEAD" || reply.status == 204 || reply.status == 304 || reply.status == 101 {
            return Ok(());
        }
        if let Some(coding) = codings.first() {
            if coding != "chunked" || reply.version != "HTTP/1.1" {
                return Err(Broken::Malformed(format!(
                    "transfer-encoding {coding:?} in {}",
                    reply.version
                )));
            }
            return self.chunks(reply, deadline);
        }
        if let Some(length) = lengths.first() {
            let length: usize = length
                .parse()
                .map_err(|_| Broken::Malformed(format!("content-length {length:?}")))?;
            while self.buffer.len() < length {
                if self.ended {
                    reply.body = std::mem::take(&mut self.buffer);
                    return Err(Broken::Closed);
                }
                self.fill(deadline)?;
            }
            reply.body = self.buffer.drain(..length).collect();
            return Ok(());
        }
        reply.by_close = true;
        while !self.ended {
            self.fill(deadline)?;
        }
        reply.body = std::mem::take(&mut self.buffer);
        Ok(())
    }

    fn chunks(&mut self, reply: &mut Reply, deadline: Instant) -> Result<(), Broken> {
        loop {
            let line = self.line(deadline)?;
            let size = line.split(';').next().unwrap_or_default();
            let size =
                usize::from_str_radix(size, 16).map_err(|_| Broken::Malformed(format!("chunk size line {line:?}")))?;
            if size == 0 {
                reply.trailers = self.fields(deadline)?;
                return Ok(());
            }
            while self.buffer.len() < size + 2 {
                if self.ended {
                    return Err(Broken::Truncated(None, std::mem::take(&mut self.buffer)));
                }
                self.fill(deadline)?;
            }
            reply.body.extend(self.buffer.drain(..size));
            if self.buffer.drain(..2).collect::<Vec<_>>() != b"\r\n" {
                return Err(Broken::Malformed("chunk does not end with CRLF".to_owned()));
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String, Broken> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                if line.pop() != Some(b'\r') {
                    return Err(Broken::Malformed(format!("line end without CR after {}", shown(&line))));
                }
                return String::from_utf8(line).map_err(|error| Broken::Malformed(shown(error.as_bytes())));
            }
            if self.ended {
                return Err(Broken::Truncated(None, std::mem::take(&mut self.buffer)));
            }
            self.fill(deadline)?;
        }
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Broken> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Broken::Silent(self.buffer.clone()));
        }
        self.socket.set_read_timeout(Some(left)).expect("set a read timeout");
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.ended = true,
        }
        Ok(())
    }
}

fn socket(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&address, patience())
        .unwrap_or_else(|error| panic!("connect to {address}: {error}"));
    socket.set_nodelay(true).expect("set nodelay");
    socket.set_write_timeout(Some(patience())).expect("set a write timeout");
    socket
}

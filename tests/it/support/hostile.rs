//! An upstream that does what its script says, down to the byte and the missing close_notify.
//!
//! One thread accepts, one thread serves each connection by calling the script with the connection's number (from
//! 0). Everything read is recorded, so a test can say what did reach the upstream and, more often, what did not.
//! Blocking sockets and rustls' plain API: nothing between the script and the wire repairs a mistake that is meant.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection};

use super::patience;
use super::pki::pki;

/// What one connection brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Application bytes, decrypted, in order.
    pub(crate) bytes: Vec<u8>,
    /// The handshake was completed from our side.
    pub(crate) shaken: bool,
    /// DER of the client's certificate.
    pub(crate) peer: Option<Vec<u8>>,
    /// The handshake resumed an earlier session.
    pub(crate) resumed: bool,
    /// The sidecar ended the connection: we read its end.
    pub(crate) ended: bool,
    /// How often the script said that all is written.
    pub(crate) marks: usize,
    /// The script has sent its end of the connection.
    pub(crate) closed: bool,
    /// The script has finished with this connection.
    pub(crate) done: bool,
}

#[derive(Default)]
struct Record {
    seen: Mutex<Vec<Seen>>,
    changed: Condvar,
}

impl Record {
    fn change(&self, index: usize, act: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock().expect("record");
        act(&mut seen[index]);
        drop(seen);
        self.changed.notify_all();
    }
}

pub(crate) struct Hostile {
    address: SocketAddr,
    record: Arc<Record>,
    stop: Arc<AtomicBool>,
    // weak: a reset needs the connection's last handle to go with the script
    sockets: Arc<Mutex<Vec<Weak<TcpStream>>>>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Hostile {
    /// A TLS upstream with this configuration.
    pub(crate) fn tls(config: ServerConfig, script: impl Fn(usize, &mut Conn) + Send + Sync + 'static) -> Self {
        Self::start(
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Some(Arc::new(config)),
            script,
        )
    }

    /// The same at an address where another one was.
    pub(crate) fn tls_on(
        address: SocketAddr,
        config: ServerConfig,
        script: impl Fn(usize, &mut Conn) + Send + Sync + 'static,
    ) -> Self {
        Self::start(address, Some(Arc::new(config)), script)
    }

    /// The same without TLS.
    pub(crate) fn plain(script: impl Fn(usize, &mut Conn) + Send + Sync + 'static) -> Self {
        Self::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None, script)
    }

    fn start(
        address: SocketAddr,
        config: Option<Arc<ServerConfig>>,
        script: impl Fn(usize, &mut Conn) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("bind an upstream");
        let address = listener.local_addr().expect("own address");
        let record = Arc::new(Record::default());
        let stop = Arc::new(AtomicBool::new(false));
        let sockets = Arc::new(Mutex::new(Vec::<Weak<TcpStream>>::new()));
        let threads = Arc::new(Mutex::new(Vec::<JoinHandle<()>>::new()));
        let script = Arc::new(script);
        let acceptor = std::thread::spawn({
            let (record, stop, sockets, threads) = (record.clone(), stop.clone(), sockets.clone(), threads.clone());
            move || {
                let number = AtomicUsize::new(0);
                for stream in listener.incoming() {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let _ = stream.set_nodelay(true);
                    let index = number.fetch_add(1, Ordering::Relaxed);
                    record.seen.lock().expect("record").push(Seen::default());
                    record.changed.notify_all();
                    let stream = Arc::new(stream);
                    sockets.lock().expect("sockets").push(Arc::downgrade(&stream));
                    let (record, stop, script, config) = (record.clone(), stop.clone(), script.clone(), config.clone());
                    let thread = std::thread::spawn(move || {
                        let mut conn = Conn {
                            index,
                            stream,
                            tls: None,
                            config,
                            record,
                            stop,
                            unread: Vec::new(),
                            over: false,
                        };
                        script(index, &mut conn);
                        let record = conn.record.clone();
                        drop(conn);
                        record.change(index, |seen| seen.done = true);
                    });
                    threads.lock().expect("threads").push(thread);
                }
            }
        });
        Self {
            address,
            record,
            stop,
            sockets,
            threads,
            acceptor: Some(acceptor),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What every connection brought so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.seen.lock().expect("record").clone()
    }

    /// All application bytes of all connections, in order of connection.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.seen().into_iter().flat_map(|seen| seen.bytes).collect()
    }

    /// How often this text arrived, over all connections.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.seen()
            .iter()
            .map(|seen| String::from_utf8_lossy(&seen.bytes).matches(text).count())
            .sum()
    }

    /// Waits until the record satisfies the condition.
    pub(crate) fn wait(&self, mut holds: impl FnMut(&[Seen]) -> bool) -> bool {
        let deadline = Instant::now() + patience();
        let mut seen = self.record.seen.lock().expect("record");
        while !holds(&seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            seen = self.record.changed.wait_timeout(seen, left).expect("record").0;
        }
        true
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address); // wakes the acceptor
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for socket in self
            .sockets
            .lock()
            .expect("sockets")
            .drain(..)
            .filter_map(|weak| weak.upgrade())
        {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let threads = std::mem::take(&mut *self.threads.lock().expect("threads"));
        let broken = threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        assert!(
            broken == 0 || std::thread::panicking(),
            "{broken} upstream scripts panicked"
        );
    }
}

/// One connection in the hands of a script.
pub(crate) struct Conn {
    index: usize,
    stream: Arc<TcpStream>,
    tls: Option<Box<ServerConnection>>,
    config: Option<Arc<ServerConfig>>,
    record: Arc<Record>,
    stop: Arc<AtomicBool>,
    unread: Vec<u8>,
    over: bool,
}

impl Conn {
    /// Completes the TLS handshake (nothing to do without TLS). `false` when the sidecar or our own verifier
    /// refused; the alert has been sent then.
    pub(crate) fn handshake(&mut self) -> bool {
        let Some(config) = &self.config else { return true };
        let mut tls = ServerConnection::new(Arc::clone(config)).expect("server connection");
        while tls.is_handshaking() {
            if tls.complete_io(&mut &*self.stream).is_err() {
                // the alert that says why
                let _ = tls.write_tls(&mut &*self.stream);
                return false;
            }
        }
        let peer = tls
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|leaf| leaf.to_vec());
        let resumed = tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        self.tls = Some(Box::new(tls));
        self.record.change(self.index, |seen| {
            seen.shaken = true;
            seen.peer = peer;
            seen.resumed = resumed;
        });
        true
    }

    /// The same, and where it fails the connection is closed without the alert that would say why.
    pub(crate) fn handshake_in_silence(&mut self) {
        let Some(config) = &self.config else { return };
        let mut tls = ServerConnection::new(Arc::clone(config)).expect("server connection");
        while tls.is_handshaking() {
            while tls.wants_write() {
                if tls.write_tls(&mut &*self.stream).is_err() {
                    return;
                }
            }
            let read = tls.read_tls(&mut &*self.stream);
            if !matches!(read, Ok(count) if count > 0) || tls.process_new_packets().is_err() {
                return self.close();
            }
        }
    }

    /// Whether what comes first on this connection is a TLS handshake; takes nothing of it.
    pub(crate) fn begins_with_tls(&self) -> bool {
        let mut first = [0];
        matches!(self.stream.peek(&mut first), Ok(1)) && first[0] == 0x16
    }

    /// DER of the client's certificate.
    pub(crate) fn peer(&self) -> Option<Vec<u8>> {
        self.record.seen.lock().expect("record")[self.index].peer.clone()
    }

    /// Reads one request head, with the empty line. `None` when the connection ended before.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            self.more()?;
        }
    }

    /// Reads the body that this head announces and returns it decoded. `None` when it did not come whole.
    pub(crate) fn body(&mut self, head: &str) -> Option<Vec<u8>> {
        if let Some(length) = field(head, "content-length") {
            let length: usize = length.parse().ok()?;
            return self.exactly(length);
        }
        if field(head, "transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let size = self.line()?;
                let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
                if size == 0 {
                    while !self.line()?.is_empty() {}
                    return Some(body);
                }
                body.extend(self.exactly(size)?);
                self.line()?;
            }
        }
        Some(Vec::new())
    }

    /// Head and body of one request.
    pub(crate) fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head()?;
        let body = self.body(&head)?;
        Some((head, body))
    }

    fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.unread.len() < length {
            self.more()?;
        }
        Some(self.unread.drain(..length).collect())
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more()?;
        }
    }

    /// Reads what there is; `None` at the end of the connection or of the test.
    fn more(&mut self) -> Option<()> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if self.stop.load(Ordering::Acquire) {
                return None;
            }
            match self.read(&mut chunk) {
                Ok(count) if count > 0 => {
                    self.unread.extend_from_slice(&chunk[..count]);
                    self.record
                        .change(self.index, |seen| seen.bytes.extend_from_slice(&chunk[..count]));
                    return Some(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => {
                    self.record.change(self.index, |seen| seen.ended = true);
                    return None;
                }
            }
        }
    }

    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut &*self.stream).read(chunk),
            None => (&*self.stream).read(chunk),
        }
    }

    /// Writes these bytes at once. Errors are not the script's concern: the sidecar may have hung up, as it should.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        let _ = match &mut self.tls {
            Some(tls) => {
                let mut socket = &*self.stream;
                let mut stream = rustls::Stream::new(tls.as_mut(), &mut socket);
                stream.write_all(bytes).and_then(|()| stream.flush())
            }
            None => (&*self.stream).write_all(bytes),
        };
        self
    }

    /// Writes one byte (and one TLS record) at a time, with a pause between: the peer that trickles.
    pub(crate) fn trickle(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> &mut Self {
        for byte in bytes.as_ref() {
            if self.stop.load(Ordering::Acquire) {
                break;
            }
            self.write([*byte]);
            std::thread::sleep(pause);
        }
        self
    }

    /// Raw bytes past TLS: garbage on the record layer.
    pub(crate) fn write_below_tls(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = (&*self.stream).write_all(bytes);
        self
    }

    /// The other side has hung up, as far as the socket knows.
    pub(crate) fn is_gone(&self) -> bool {
        self.stop.load(Ordering::Acquire) || (&*self.stream).write(&[]).is_err()
    }

    /// The proper end: close_notify, then FIN.
    pub(crate) fn close(&mut self) {
        self.over = true;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() && tls.write_tls(&mut &*self.stream).is_ok() {}
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        self.record.change(self.index, |seen| seen.closed = true);
    }

    /// FIN with no close_notify: under TLS this may be anybody cutting the line.
    pub(crate) fn cut(&mut self) {
        self.over = true;
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// RST instead of FIN, as soon as the script returns.
    pub(crate) fn reset(&mut self) {
        self.over = true;
        let _ = socket2::SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Tells the test that all is written.
    pub(crate) fn mark(&mut self) -> &mut Self {
        self.record.change(self.index, |seen| seen.marks += 1);
        self
    }

    /// The script has ended the connection, one way or another.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Waits until this many connections have completed their handshake.
    pub(crate) fn wait_for_others(&self, count: usize) {
        let deadline = Instant::now() + patience();
        let mut seen = self.record.seen.lock().expect("record");
        while seen.iter().filter(|seen| seen.shaken).count() < count && Instant::now() < deadline {
            seen = self
                .record
                .changed
                .wait_timeout(seen, Duration::from_millis(100))
                .expect("record")
                .0;
        }
    }

    /// Holds the connection open without reading a byte, until the test ends.
    pub(crate) fn hold_unread(&mut self) {
        while !self.stop.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Holds the connection open, reading, until the sidecar ends it (or the test ends).
    pub(crate) fn hold(&mut self) {
        while self.more().is_some() {}
    }
}

/// The value of a field in a head, `None` if it is not there. First one wins; scripts do not judge.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    fields(head, name).into_iter().next()
}

/// Every value of a field in a head.
pub(crate) fn fields<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

/// A whole, well-formed reply with this body.
pub(crate) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An upstream as it should be, which answers each request with that request's head and body.
pub(crate) fn echoing() -> Hostile {
    Hostile::tls(pki().good_server(), |_, conn| echo(conn))
}

/// An upstream that answers every request with these bytes.
pub(crate) fn saying(reply: &'static str) -> Hostile {
    Hostile::tls(pki().good_server(), move |_, conn| {
        if conn.handshake() {
            while conn.request().is_some() {
                conn.write(reply);
            }
        }
    })
}

/// A script that answers every request on a connection properly, with the request's own head and body as the body.
pub(crate) fn echo(conn: &mut Conn) {
    if !conn.handshake() {
        return;
    }
    go_on(conn);
}

/// Answers what else comes on this connection as it should.
pub(crate) fn go_on(conn: &mut Conn) {
    while let Some((head, body)) = conn.request() {
        answer_with_echo(conn, &head, &body);
    }
}

/// One proper reply to one request.
pub(crate) fn answer_with_echo(conn: &mut Conn, head: &str, body: &[u8]) {
    let mut text = head.as_bytes().to_vec();
    text.extend_from_slice(body);
    let length = text.len();
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Body-Bytes: {}\r\nContent-Length: {length}\r\n\r\n",
        body.len()
    );
    conn.write(reply);
    if !head.starts_with("HEAD ") {
        conn.write(text);
    }
}

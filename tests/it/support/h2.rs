//! An upstream that speaks HTTP/2, with a client certificate required: well behaved on most paths, and not on others.
//!
//! | path | what it does |
//! |---|---|
//! | `/bytes/N`, `/bytes/N/open` | N bytes of the pattern, with and without Content-Length |
//! | `/echo/…` | the content, as it comes |
//! | `/t/NAME` | see `serve`; any other name: the request's head as text |

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::origin;

/// How many requests `/t/gather` waits for.
pub(crate) const GATHERED: usize = 20;

/// What one request brought.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    /// The content came to its end.
    pub(crate) whole: bool,
    /// The stream was reset by the sidecar.
    pub(crate) reset: bool,
}

#[derive(Default)]
struct Record {
    connections: AtomicUsize,
    open: AtomicUsize,
    /// Content bytes that the sidecar took, or gave, on paths that do not end.
    moved: AtomicUsize,
    requests: Mutex<Vec<Seen>>,
}

pub(crate) struct Upstream {
    address: SocketAddr,
    record: Arc<Record>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts it; the configuration says which protocols it takes (`alpn_protocols`).
    pub(crate) fn start(config: ServerConfig, max_streams: u32) -> Self {
        let record = Arc::new(Record::default());
        let (stop, mut stopped) = watch::channel(false);
        let (tell, told) = std::sync::mpsc::channel();
        let shared = record.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind an upstream");
                tell.send(listener.local_addr().expect("own address"))
                    .expect("somebody waits");
                let acceptor = TlsAcceptor::from(Arc::new(config));
                let (gather, _) = watch::channel(0);
                let gather = Arc::new(gather);
                loop {
                    let tcp = tokio::select! {
                        accepted = listener.accept() => accepted.expect("accept").0,
                        _ = stopped.changed() => return,
                    };
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    let (acceptor, record, gather) = (acceptor.clone(), shared.clone(), gather.clone());
                    tokio::spawn(async move {
                        match acceptor.accept(tcp).into_fallible().await {
                            Ok(tls) => {
                                record.open.fetch_add(1, Ordering::Relaxed);
                                connection(tls, max_streams, record.clone(), gather).await;
                                record.open.fetch_sub(1, Ordering::Relaxed);
                            }
                            // a close with unread bytes would be a reset, and could overtake the alert
                            Err((_, mut tcp)) => {
                                let _ = tcp.shutdown().await;
                                let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
                            }
                        }
                    });
                }
            });
        });
        Self {
            address: told.recv().expect("it listens"),
            record,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.record.connections.load(Ordering::Relaxed)
    }

    /// How many of them have not ended.
    pub(crate) fn open(&self) -> usize {
        self.record.open.load(Ordering::Relaxed)
    }

    pub(crate) fn moved(&self) -> usize {
        self.record.moved.load(Ordering::Relaxed)
    }

    /// The requests with this path, in order.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        let requests = self.record.requests.lock().expect("record");
        requests.iter().filter(|seen| seen.path == path).cloned().collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a request makes of its whole connection.
enum Act {
    /// Announces the end; requests in flight finish.
    GoAway,
    /// Is gone without a word.
    Die,
}

async fn connection(
    tls: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    max_streams: u32,
    record: Arc<Record>,
    gather: Arc<watch::Sender<usize>>,
) {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(max_streams)
        .handshake::<_, Bytes>(tls)
        .await
        .expect("an HTTP/2 preface");
    let (act, mut acts) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let (record, act, gather) = (record.clone(), act.clone(), gather.clone());
                    tokio::spawn(async move {
                        let at = {
                            let mut requests = record.requests.lock().expect("record");
                            let path = request.uri().path().to_owned();
                            requests.push(Seen { path, whole: false, reset: false });
                            requests.len() - 1
                        };
                        let end = serve(request, respond, &record, &act, &gather).await;
                        let mut requests = record.requests.lock().expect("record");
                        match end {
                            Ok(()) => requests[at].whole = true,
                            Err(_) => requests[at].reset = true,
                        }
                    });
                }
                Some(Err(_)) | None => return,
            },
            Some(act) = acts.recv() => match act {
                Act::GoAway => connection.graceful_shutdown(),
                Act::Die => return,
            },
        }
    }
}

async fn serve(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    record: &Record,
    act: &mpsc::UnboundedSender<Act>,
    gather: &watch::Sender<usize>,
) -> Result<(), h2::Error> {
    let (head, mut content) = request.into_parts();
    let path = head.uri.path().to_owned();
    let ok = Response::builder().status(200);
    if let Some(rest) = path.strip_prefix("/bytes/") {
        let mut parts = rest.split('/');
        let size: usize = parts.next().and_then(|size| size.parse().ok()).unwrap_or(0);
        let reply = match parts.next() {
            None => ok.header("content-length", size),
            Some(_) => ok,
        };
        let reply = reply.body(()).expect("a reply");
        if head.method == "HEAD" {
            respond.send_response(reply, true)?;
            return Ok(());
        }
        let mut stream = respond.send_response(reply, false)?;
        return give(&mut stream, origin::pattern(size), None).await;
    }
    if path.starts_with("/echo/") {
        let mut stream = respond.send_response(ok.body(()).expect("a reply"), false)?;
        while let Some(piece) = content.data().await {
            let piece = piece?;
            content.flow_control().release_capacity(piece.len())?;
            send(&mut stream, piece, None).await?;
        }
        return stream.send_data(Bytes::new(), true);
    }
    let plain = |status: u16| Response::builder().status(status);
    match path.strip_prefix("/t/").unwrap_or_default() {
        "empty" => {
            respond.send_response(plain(204).body(()).expect("a reply"), true)?;
        }
        "nothing" => {
            respond.send_response(ok.body(()).expect("a reply"), true)?;
        }
        "reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "refuse" => {
            if record.moved.fetch_add(1, Ordering::Relaxed) == 0 {
                respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                respond.send_response(ok.body(()).expect("a reply"), true)?;
            }
        }
        "goaway" => {
            respond.send_response(ok.body(()).expect("a reply"), true)?;
            let _ = act.send(Act::GoAway);
        }
        "die" => {
            let _ = act.send(Act::Die);
            std::future::pending::<()>().await;
        }
        "die-once" => {
            if record.moved.fetch_add(1, Ordering::Relaxed) == 0 {
                let _ = act.send(Act::Die);
                std::future::pending::<()>().await;
            }
            respond.send_response(ok.body(()).expect("a reply"), true)?;
        }
        "slow" => {
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
            return Err(reason.into());
        }
        "short" | "long" => {
            let length = if path == "/t/short" { 10 } else { 5 };
            let reply = ok.header("content-length", length).body(()).expect("a reply");
            let mut stream = respond.send_response(reply, false)?;
            stream.send_data(Bytes::from_static(b"12345"), false)?;
            let rest: &'static [u8] = if path == "/t/short" { b"" } else { b"67890" };
            stream.send_data(Bytes::from_static(rest), true)?;
        }
        "half" => {
            let mut stream = respond.send_response(ok.body(()).expect("a reply"), false)?;
            stream.send_data(Bytes::from_static(b"12345"), false)?;
            // the reset must not overtake what the caller is to see
            let _ = content.data().await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "trailers" => {
            let mut stream = respond.send_response(ok.body(()).expect("a reply"), false)?;
            stream.send_data(Bytes::from_static(b"12345"), false)?;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-trailer", http::HeaderValue::from_static("1"));
            stream.send_trailers(trailers)?;
        }
        "interim" => {
            respond.send_informational(plain(103).body(()).expect("a reply"))?;
            respond.send_response(ok.body(()).expect("a reply"), true)?;
        }
        // with the reply's end the library resets the stream by NO_ERROR (RFC 9113 section 8.1)
        "early" => {
            respond.send_response(plain(403).body(()).expect("a reply"), true)?;
        }
        "held" | "release" => {
            if path == "/t/release" {
                gather.send_replace(1);
            }
            let _ = gather.subscribe().wait_for(|count| *count > 0).await;
            respond.send_response(ok.body(()).expect("a reply"), true)?;
        }
        "gather" => {
            gather.send_modify(|count| *count += 1);
            let _ = gather.subscribe().wait_for(|count| *count >= GATHERED).await;
            respond.send_response(ok.body(()).expect("a reply"), true)?;
        }
        // content is never asked for beyond the first window
        "deaf" => {
            let mut stream = respond.send_response(ok.body(()).expect("a reply"), false)?;
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await?;
            return Err(reason.into());
        }
        "endless" => {
            let mut stream = respond.send_response(ok.body(()).expect("a reply"), false)?;
            loop {
                send(&mut stream, Bytes::from_static(&[b'x'; 16 * 1024]), Some(&record.moved)).await?;
            }
        }
        _ => {
            let mut text = format!("{} {}\n", head.method, head.uri);
            for (name, value) in &head.headers {
                text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
            }
            let reply = ok
                .header("content-length", text.len())
                .header("x-delius-sidecar-error", "forged")
                .body(())
                .expect("a reply");
            let mut stream = respond.send_response(reply, false)?;
            return give(&mut stream, text.into_bytes(), None).await;
        }
    }
    Ok(())
}

async fn give(stream: &mut SendStream<Bytes>, bytes: Vec<u8>, count: Option<&AtomicUsize>) -> Result<(), h2::Error> {
    send(stream, Bytes::from(bytes), count).await?;
    stream.send_data(Bytes::new(), true)
}

/// Sends as the other side's window allows.
async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes, count: Option<&AtomicUsize>) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        while stream.capacity() == 0 {
            match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(capacity) => drop(capacity?),
                None => return Err(Reason::CANCEL.into()),
            }
        }
        let room = stream.capacity().min(bytes.len());
        stream.send_data(bytes.split_to(room), false)?;
        if let Some(count) = count {
            count.fetch_add(room, Ordering::Relaxed);
        }
    }
    Ok(())
}

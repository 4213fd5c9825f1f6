//! Load for `benches/compare`: plain HTTP/1.1 requests to a port on this machine, every reply held against what it must be.
//!
//! One thread, so that it can share a core with the upstream and leave the other to what is measured. It says `begin` and
//! `end` on stdout when the measured window begins and ends, and then one line of JSON. Requests at a rate come as from
//! many independent callers (Poisson), and their time counts from when they should have been sent: a stall is seen in all
//! the requests that it delays.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use memchr::memmem;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;

/// How long a request may take, and how long the end waits for the last ones.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Parser)]
struct Options {
    #[arg(long)]
    port: u16,
    /// When the next request is sent
    #[arg(long, value_enum)]
    when: When,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// A second, with `--when rate`
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Seconds before the measured window
    #[arg(long, default_value_t = 1.0)]
    warm: f64,
    /// Seconds that are measured
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// A file with the whole request as it is sent
    #[arg(long)]
    request: PathBuf,
    /// A file with the body that every reply must have
    #[arg(long)]
    body: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    /// After the reply, on the same connection
    Answered,
    /// After the reply, on a new connection
    Fresh,
    /// At random moments, on whichever connection is free
    Rate,
}

fn main() -> ExitCode {
    // `cargo bench` runs every bench in turn; there is nothing to run here without a port.
    if std::env::args().skip(1).all(|argument| argument == "--bench") {
        println!("load: started by benches/compare; see --help");
        return ExitCode::SUCCESS;
    }
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> io::Result<()> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    let begin = Instant::now() + Duration::from_secs_f64(options.warm);
    let load = Rc::new(Load {
        request: read(&options.request)?,
        body: read(&options.body)?,
        begin,
        end: begin + Duration::from_secs_f64(options.seconds),
        due: RefCell::default(),
        called: Notify::new(),
        tally: RefCell::default(),
        under_way: Cell::new(0),
        options,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, all(load.clone()));
    println!("{}", load.summary());
    Ok(())
}

/// What all connections share.
struct Load {
    options: Options,
    request: Vec<u8>,
    body: Vec<u8>,
    begin: Instant,
    end: Instant,
    /// Requests that should have been sent and were not yet.
    due: RefCell<VecDeque<Instant>>,
    called: Notify,
    tally: RefCell<Tally>,
    under_way: Cell<u64>,
}

/// What came back.
#[derive(Debug, Default)]
struct Tally {
    /// Microseconds of requests that ended in the window.
    times: Vec<u32>,
    /// Of any moment: warm-up and end count too.
    failed: BTreeMap<String, u64>,
    /// Sent again because a kept connection was closed before a byte of the reply, as any client does.
    repeated: u64,
    /// By the serial number of the client certificate that the upstream saw.
    serials: BTreeMap<String, Seen>,
}

/// Wall time in milliseconds at which the first and the last request with a certificate were sent.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: f64,
    last: f64,
    requests: u64,
}

async fn all(load: Rc<Load>) {
    let tasks: Vec<_> = (0..load.options.connections)
        .map(|_| tokio::task::spawn_local(connection(load.clone())))
        .collect();
    if load.options.when == When::Rate {
        let (arrivals, coming) = mpsc::unbounded_channel();
        let (rate, end) = (load.options.rate, load.end);
        std::thread::spawn(move || arrive(rate, end, &arrivals));
        tokio::task::spawn_local(call(load.clone(), coming));
    }
    tokio::time::sleep_until(load.begin.into()).await;
    say("begin");
    tokio::time::sleep_until(load.end.into()).await;
    say("end");
    load.called.notify_waiters();
    let last = async {
        for task in tasks {
            let _ = task.await;
        }
    };
    if tokio::time::timeout(PATIENCE, last).await.is_err() {
        load.fail("no answer", load.under_way.get());
    }
}

fn say(word: &str) {
    println!("{word}");
    let _ = io::stdout().flush();
}

/// Sends the moments of arrival when they come. A thread, because tokio's clock has whole milliseconds.
fn arrive(rate: f64, end: Instant, arrivals: &mpsc::UnboundedSender<Instant>) {
    // Everything that is compared gets the same arrivals.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = Instant::now();
    loop {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        #[allow(clippy::cast_precision_loss)]
        let uniform = ((state >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        next += Duration::from_secs_f64(-uniform.ln() / rate);
        if next >= end {
            return;
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        if arrivals.send(next).is_err() {
            return;
        }
    }
}

async fn call(load: Rc<Load>, mut coming: mpsc::UnboundedReceiver<Instant>) {
    while let Some(arrival) = coming.recv().await {
        load.due.borrow_mut().push_back(arrival);
        load.called.notify_one();
    }
}

/// One caller: a request at a time until the window ends.
async fn connection(load: Rc<Load>) {
    let mut buffer = vec![0; 256 * 1024];
    let mut kept: Option<TcpStream> = None;
    while let Some(asked) = load.next().await {
        load.under_way.set(load.under_way.get() + 1);
        let answered = tokio::time::timeout(PATIENCE, load.ask(&mut kept, &mut buffer)).await;
        load.under_way.set(load.under_way.get() - 1);
        match answered {
            Ok(Ok(reply)) => {
                load.done(asked, &reply);
                if !reply.stays || load.options.when == When::Fresh {
                    kept = None;
                }
            }
            wrong => {
                kept = None;
                load.fail(wrong.map_or("no answer", |reply| reply.err().unwrap_or_default()), 1);
                // Where a proxy is away for a moment, asking at once would only ask oftener.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}

/// A reply that was what it must be.
struct Reply {
    stays: bool,
    serial: Option<String>,
    sent: Instant,
}

impl Load {
    /// The moment from which the next request's time counts; none when the window has ended.
    async fn next(&self) -> Option<Instant> {
        loop {
            if self.options.when != When::Rate {
                let now = Instant::now();
                return (now < self.end).then_some(now);
            }
            if let Some(due) = self.due.borrow_mut().pop_front() {
                return Some(due);
            }
            if Instant::now() >= self.end {
                return None;
            }
            self.called.notified().await;
        }
    }

    async fn ask(&self, kept: &mut Option<TcpStream>, buffer: &mut [u8]) -> Result<Reply, &'static str> {
        if let Some(stream) = kept {
            match self.exchange(stream, buffer).await {
                Err(Broken::Unanswered) => self.tally.borrow_mut().repeated += 1,
                Err(Broken::Wrong(why)) => return Err(why),
                Ok(reply) => return Ok(reply),
            }
        }
        let stream = TcpStream::connect(("127.0.0.1", self.options.port)).await;
        let mut stream = stream.map_err(|_| "no connection")?;
        let _ = stream.set_nodelay(true);
        match self.exchange(&mut stream, buffer).await {
            Err(Broken::Unanswered) => Err("closed without a reply"),
            Err(Broken::Wrong(why)) => Err(why),
            Ok(reply) => {
                *kept = Some(stream);
                Ok(reply)
            }
        }
    }

    async fn exchange(&self, stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Reply, Broken> {
        let sent = Instant::now();
        stream.write_all(&self.request).await.map_err(|_| Broken::Unanswered)?;
        let mut filled = 0;
        let head = loop {
            let read = stream.read(&mut buffer[filled..]).await;
            match read {
                Ok(0) | Err(_) if filled == 0 => return Err(Broken::Unanswered),
                Ok(0) | Err(_) => return Err(Broken::Wrong("the reply was cut")),
                Ok(bytes) => filled += bytes,
            }
            if let Some(end) = memmem::find(&buffer[..filled], b"\r\n\r\n") {
                break end + 4;
            }
            if filled > 32 * 1024 {
                return Err(Broken::Wrong("the reply has no end of head"));
            }
        };
        if !buffer[..head].starts_with(b"HTTP/1.1 200") {
            return Err(Broken::Wrong("a status other than 200"));
        }
        let length = field(&buffer[..head], "content-length").and_then(|value| value.parse().ok());
        if length != Some(self.body.len()) {
            return Err(Broken::Wrong("another content-length than that of the body"));
        }
        let reply = Reply {
            stays: !field(&buffer[..head], "connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
            serial: field(&buffer[..head], "x-client-serial").map(str::to_owned),
            sent,
        };
        let (mut seen, mut from) = (0, head);
        loop {
            let arrived = &buffer[from..filled];
            if self.body.get(seen..seen + arrived.len()) != Some(arrived) {
                return Err(Broken::Wrong("another body"));
            }
            seen += arrived.len();
            if seen == self.body.len() {
                return Ok(reply);
            }
            from = 0;
            filled = match stream.read(buffer).await {
                Ok(bytes) if bytes > 0 => bytes,
                _ => return Err(Broken::Wrong("the reply was cut")),
            };
        }
    }

    fn done(&self, asked: Instant, reply: &Reply) {
        let now = Instant::now();
        let mut tally = self.tally.borrow_mut();
        if (self.begin..self.end).contains(&now) {
            let micros = now.saturating_duration_since(asked).as_micros();
            tally.times.push(u32::try_from(micros).unwrap_or(u32::MAX));
        }
        if let Some(serial) = &reply.serial {
            let at = wall() - now.saturating_duration_since(reply.sent).as_secs_f64() * 1e3;
            match tally.serials.get_mut(serial) {
                Some(seen) => {
                    seen.last = seen.last.max(at);
                    seen.requests += 1;
                }
                None => {
                    let seen = Seen {
                        first: at,
                        last: at,
                        requests: 1,
                    };
                    tally.serials.insert(serial.clone(), seen);
                }
            }
        }
    }

    fn fail(&self, why: &str, requests: u64) {
        *self.tally.borrow_mut().failed.entry(why.to_owned()).or_default() += requests;
    }

    fn summary(&self) -> serde_json::Value {
        let mut tally = self.tally.borrow_mut();
        tally.times.sort_unstable();
        let times = &tally.times;
        let quantile = |of: f64| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss
            )]
            let at = (times.len() as f64 * of) as usize;
            times.get(at.min(times.len().saturating_sub(1)))
        };
        let serials: BTreeMap<_, _> = tally
            .serials
            .iter()
            .map(|(serial, seen)| (serial, json!([seen.first, seen.last, seen.requests])))
            .collect();
        json!({
            "requests": times.len(),
            "seconds": self.options.seconds,
            "p50": quantile(0.5),
            "p99": quantile(0.99),
            "failed": tally.failed,
            "repeated": tally.repeated,
            "serials": serials,
        })
    }
}

/// Why an exchange gave no reply.
enum Broken {
    /// Nothing of a reply came: on a kept connection it may be sent again.
    Unanswered,
    Wrong(&'static str),
}

/// The value of a field, in a head that is known to be whole.
fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
    lines
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Milliseconds since the Unix epoch: `benches/compare` counts in the same.
#[allow(clippy::disallowed_methods)]
fn wall() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
        * 1e3
}

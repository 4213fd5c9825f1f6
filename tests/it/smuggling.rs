//! Heads put together at random from pieces that smugglers use: whatever the sidecar makes of them, both sides must
//! count the same requests.
//!
//! `framing` has the rows that are known; this looks for the combination that nobody wrote down. The generator is
//! seeded with fixed numbers: a failure repeats. The one rule: every request that the upstream sees whole has its
//! reply at the caller, in order, and no other; and nothing the upstream sees can be read in two ways.

use crate::support::findings::Findings;
use crate::support::hostile::{self, Hostile, fields};
use crate::support::nginx;
use crate::support::peer::Tls;
use crate::support::pki::{Key, pki};
use crate::support::raw::{Broken, Client, shown};
use crate::support::world::World;

const CASES: u32 = 600;

#[rustfmt::skip]
const LENGTHS: &[&str] = &[
    "", "", "", "Content-Length: 0", "Content-Length: 5", "Content-Length: {body}", "Content-Length: {body}",
    "Content-Length: {all}", "content-length: {body}", "Content-Length : {body}", "Content-Length: +{body}",
    "Content-Length: 0{body}", "Content-Length: {body}, {body}", "Content-Length: {body}\r\nContent-Length: {body}",
    "Content-Length: 0\r\nContent-Length: {body}", "Content-Length:\r\n {body}", "Content-Length: {body};",
    "Content-Length: 0x{body}", "Content-Length\0: {body}", "X: y\rContent-Length: {all}", "X: y\nContent-Length: {all}",
    "Content_Length: {all}", "Connection: Content-Length\r\nContent-Length: {body}",
];
#[rustfmt::skip]
const CODINGS: &[&str] = &[
    "", "", "", "", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "transfer-encoding: CHUNKED",
    "Transfer-Encoding : chunked", "Transfer-Encoding:chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked ",
    "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked", "Transfer-Encoding: \x0bchunked", "X: y\rTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked", " Transfer-Encoding: chunked", "Transfer_Encoding: chunked",
    "Transfer-Encoding: chunked\x00", "Transfer-Encoding\r\n: chunked", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    "TE: trailers, chunked", "Transfer-Encoding: \"chunked\"", "Foo: bar\r\n\tTransfer-Encoding: chunked",
];
#[rustfmt::skip]
const BODIES: &[&str] = &[
    "", "", "hello", "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nX: y\r\n\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n",
    "5\nhello\n0\n\n", "5\r\nhello\r\n00\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "5\r\nhello\r\n0\r\n\n",
    "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "5;\nx\r\nhello\r\n0\r\n\r\n", "0\r\nContent-Length: 30\r\n\r\n",
];
#[rustfmt::skip]
const LINES: &[&str] = &[
    "POST /echo/{mark} HTTP/1.1", "POST /echo/{mark} HTTP/1.1", "POST /echo/{mark} HTTP/1.1", "GET /echo/{mark} HTTP/1.1",
    "POST /echo/{mark} HTTP/1.0", "GET /echo/{mark} HTTP/1.0", "POST  /echo/{mark} HTTP/1.1", "POST /echo/{mark} HTTP/1.1 ",
    "POST http://a/echo/{mark} HTTP/1.1", "POST /echo/{mark}\tHTTP/1.1", "PUT /echo/{mark} HTTP/1.1",
    "\r\nPOST /echo/{mark} HTTP/1.1",
];
const OTHERS: &[&str] = &[
    "",
    "",
    "",
    "Connection: keep-alive",
    "Connection: close",
    "Expect: 100-continue",
    "Upgrade: h2c",
    "Host: a",
];

/// The same numbers in every run.
struct Numbers(u32);

impl Numbers {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        from[self.0 as usize % from.len()]
    }
}

/// What is sent on one connection: a doubtful request with this mark, and a proper one behind it.
fn attack(numbers: &mut Numbers, mark: &str) -> (String, String) {
    let canary = format!("GET /echo/{mark}-canary HTTP/1.1\r\nHost: a\r\n\r\n");
    let body = numbers.pick(BODIES);
    let mut head = format!("{}\r\nHost: a\r\n", numbers.pick(LINES).replace("{mark}", mark));
    let (first, second) = (numbers.pick(LENGTHS), numbers.pick(CODINGS));
    let order = if numbers.pick(&["cl", "te"]) == "cl" {
        [first, second]
    } else {
        [second, first]
    };
    for line in order
        .into_iter()
        .chain([numbers.pick(OTHERS)])
        .filter(|line| !line.is_empty())
    {
        let line = line.replace("{body}", &body.len().to_string());
        head.push_str(&line.replace("{all}", &(body.len() + canary.len()).to_string()));
        head.push_str("\r\n");
    }
    let method = head.trim_start().split(' ').next().unwrap_or_default().to_owned();
    (format!("{head}\r\n{body}{canary}"), method)
}

/// Sends it and reads all replies: how many were the upstream's, and what was broken about them.
fn replies(listen: std::net::SocketAddr, bytes: &str, method: &str) -> Result<usize, String> {
    let mut client = Client::connect(listen);
    client.send(bytes).half_close();
    let mut passed = 0;
    // the reply's body begins with the request line it answers, except for HEAD
    let mut method = method.to_owned();
    loop {
        match client.reply(&method) {
            Ok(reply) if reply.fault().is_none() && reply.status == 200 => passed += 1,
            Ok(_) => {}
            Err(Broken::Closed) => return Ok(passed),
            Err(broken) => return Err(broken.to_string()),
        }
        "GET".clone_into(&mut method);
    }
}

/// Reads what one connection brought to the upstream as strictly as can be: how many whole requests of this mark.
fn count_strictly(bytes: &[u8], mark: &str) -> Result<usize, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest: &str = &text;
    let mut count = 0;
    while !rest.is_empty() {
        let Some(end) = rest.find("\r\n\r\n") else {
            return Ok(count);
        };
        let (head, after) = rest.split_at(end + 4);
        if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
            return Err(format!(
                "a bare line end or NUL reached the upstream: {}",
                shown(head.as_bytes())
            ));
        }
        let (lengths, codings) = (fields(head, "content-length"), fields(head, "transfer-encoding"));
        if lengths.len() + codings.len() > 1 || head.lines().skip(1).any(|line| line.starts_with([' ', '\t'])) {
            return Err(format!(
                "two framings or a fold reached the upstream: {}",
                shown(head.as_bytes())
            ));
        }
        let length = match (lengths.first(), codings.first()) {
            (Some(length), _) => Some(length.parse::<usize>().map_err(|_| format!("length {length:?}"))?),
            (_, Some(&"chunked")) => after.find("0\r\n\r\n").map(|end| end + 5),
            (_, Some(coding)) => return Err(format!("coding {coding:?} reached the upstream")),
            _ => Some(0),
        };
        let Some(length) = length.filter(|length| *length <= after.len()) else {
            return Ok(count);
        };
        let target = head.split(' ').nth(1).unwrap_or_default();
        if target == format!("/echo/{mark}") || target == format!("/echo/{mark}-canary") {
            count += 1;
        }
        rest = &after[length..];
    }
    Ok(count)
}

fn whole_requests(upstream: &Hostile, mark: &str) -> Result<usize, String> {
    upstream
        .seen()
        .iter()
        .map(|seen| count_strictly(&seen.bytes, mark))
        .sum()
}

#[test]
fn both_sides_count_the_same_requests() {
    let upstream = hostile::echoing();
    let sidecar = World::to(upstream.address()).no_breaker().start();
    let mut findings = Findings::default();
    let mut numbers = Numbers(0x5eed_0001);
    let (mut refused, mut whole) = (0, 0);
    for case in 0..CASES {
        let mark = format!("m{case:05}");
        let (bytes, method) = attack(&mut numbers, &mark);
        let at_caller = replies(sidecar.listen, &bytes, &method);
        let at_upstream = whole_requests(&upstream, &mark);
        match at_upstream {
            Ok(0) => refused += 1,
            _ => whole += 1,
        }
        findings.check(at_caller.is_ok() && at_caller == at_upstream, || {
            format!(
                "{}\n      caller {at_caller:?}, upstream {at_upstream:?}",
                shown(bytes.as_bytes())
            )
        });
    }
    findings.check(refused > 50 && whole > 50, || {
        format!("the generator is one-sided: {refused} and {whole}")
    });
    findings.finish();
}

#[test]
fn nginx_counts_the_same_requests() {
    let Some(peer) = nginx::start(pki()) else { return };
    let origin = peer.origin.as_ref().expect("nginx has a service behind");
    let sidecar = World::to(peer.door(Tls::V13, Key::Ecdsa)).no_breaker().start();
    let mut findings = Findings::default();
    let mut numbers = Numbers(0x5eed_0002);
    for case in 0..CASES / 2 {
        let mark = format!("n{case:05}");
        let (bytes, method) = attack(&mut numbers, &mark);
        let at_caller = replies(sidecar.listen, &bytes, &method);
        // nginx's own reading of what it was sent, as it passed it on
        let at_origin = whole_requests(origin, &mark);
        findings.check(at_caller.is_ok() && at_caller == at_origin, || {
            format!(
                "{}\n      caller {at_caller:?}, behind nginx {at_origin:?}",
                shown(bytes.as_bytes())
            )
        });
    }
    findings.finish();
}

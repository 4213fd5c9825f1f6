//! The trial of a certificate against the real other side: a handshake *and* a request, because under TLS 1.3 a server
//! looks at the client's certificate only after the client's handshake is done, and refuses it at the first read
//! (RFC 8446 section 4.6.2 and appendix E.1.2).
//!
//! A fresh connection for each trial, HTTP/1.1 or, where the server chooses it, HTTP/2; closed afterwards; of the reply only the head is read, and never more
//! than 64 KiB. Unreachable is not rejected: only what says something of the certificate counts against it.

mod http2;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::fault::{Code, Fault};
use crate::secret::SecretBytes;
use crate::transport::dial::{self, Endpoint};
use crate::transport::stream::Stream;
use crate::transport::tls;
use crate::wire::end::EndFinder;
use crate::wire::head::{Bounds, Fields};

/// Bounds on the reply's head; a reply to a trial has no reason to be larger.
const BOUNDS: Bounds = Bounds {
    first_line: 8 << 10,
    bytes: 64 << 10,
    fields: 256,
};

/// What a trial came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered; the sentence says what.
    Passed(String),
    /// It refuses the certificate, or whom it names.
    Rejected(String),
    /// It could not be asked, or its answer says nothing of the certificate. Unreachable is not rejected.
    Unreachable(String),
    /// The other side's own certificate has been revoked.
    ServerRevoked(String),
}

/// What is asked in a trial.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The upstream's base path and the path.
    pub target: String,
    pub host: Vec<u8>,
    /// The value of `authorization`, where the other side asks for a token.
    pub authorization: Option<SecretBytes>,
    /// From the handshake's end to the end of the reply's head.
    pub first_byte: Duration,
    /// This request is configured as the one that proves an identity. Else it is sent only to see a late refusal, and
    /// its status proves nothing of what the other side does with the certificate's name.
    pub proves: bool,
}

/// One trial: the verdict and what was seen on the way.
#[derive(Clone, Debug)]
pub struct Trial {
    pub verdict: Verdict,
    /// The server's certificates as it sent them, leaf first; empty where no handshake was finished.
    pub server_chain: Vec<CertificateDer<'static>>,
    /// `None`: no handshake was finished.
    pub server_version: Option<&'static str>,
    /// The reply's status, where there was a reply.
    pub status: Option<u16>,
    /// The reply's `Date`, to compare clocks with.
    pub date: Option<String>,
    /// The reply's `WWW-Authenticate`, as the other side wrote it.
    pub challenge: Option<String>,
    /// What stopped it where there was no reply.
    pub fault: Option<Fault>,
}

/// Dials anew with this certificate, asks, and judges. `peer` names the other side in sentences.
pub async fn trial(endpoint: &Endpoint, client_config: &Arc<ClientConfig>, request: &Request, peer: &str) -> Trial {
    let (mut stream, secured) = match dial::dial(endpoint, Some(client_config)).await {
        Ok(dialled) => dialled,
        Err(error) if error.handshake == Some(tls::Failure::ServerRevoked) => {
            return Trial {
                verdict: Verdict::ServerRevoked(error.fault.detail.to_string()),
                ..Trial::stopped(error.fault)
            };
        }
        Err(error) => return Trial::stopped(error.fault),
    };
    let seen = Trial {
        server_chain: server_chain(&stream),
        server_version: secured.map(|secured| secured.version),
        ..Trial::stopped(Fault::new(Code::UpstreamReset, ""))
    };
    let http2 = secured.is_some_and(|secured| secured.http2);
    answered(&mut stream, http2, seen, request, peer).await
}

/// The same without TLS: what answers there, and how.
pub async fn in_the_clear(endpoint: &Endpoint, request: &Request, peer: &str) -> Trial {
    match dial::dial(endpoint, None).await {
        Ok((mut stream, _)) => {
            let seen = Trial::stopped(Fault::new(Code::UpstreamReset, ""));
            answered(&mut stream, false, seen, request, peer).await
        }
        Err(error) => Trial::stopped(error.fault),
    }
}

async fn answered(stream: &mut Stream, http2: bool, seen: Trial, request: &Request, peer: &str) -> Trial {
    let deadline = Instant::now() + request.first_byte;
    let asked = if http2 {
        timeout_at(deadline, http2::ask(stream, request, peer)).await
    } else {
        timeout_at(deadline, ask(stream, request, peer)).await
    };
    let _ = timeout_at(deadline, stream.shutdown()).await;
    match asked {
        Ok(Ok(reply)) => Trial {
            verdict: judge(Some(reply.status), request, peer),
            status: Some(reply.status),
            date: reply.date,
            challenge: reply.challenge,
            fault: None,
            ..seen
        },
        Ok(Err(Unanswered::Silently(fault))) => Trial {
            verdict: judge(None, request, peer),
            fault: Some(fault),
            ..seen
        },
        Ok(Err(Unanswered::Fault(fault))) => Trial {
            verdict: of_fault(&fault),
            fault: Some(fault),
            ..seen
        },
        Err(_) => {
            let fault = Fault::new(
                Code::UpstreamTimeout,
                format!(
                    "{peer} was reached and did not answer {request} within {:?}: that says nothing of the certificate",
                    request.first_byte
                ),
            );
            Trial {
                verdict: of_fault(&fault),
                fault: Some(fault),
                ..seen
            }
        }
    }
}

/// What a status says of the certificate that was shown; `None`: the connection was closed without a reply byte.
#[must_use]
pub fn judge(status: Option<u16>, request: &Request, peer: &str) -> Verdict {
    let Some(status) = status else {
        return Verdict::Unreachable(format!(
            "{peer} closed the connection without a word right after the handshake, which some servers do when they \
             refuse a certificate; look at its log for the same moment"
        ));
    };
    let answers = format!("{peer} answers {status} to {request}");
    match (status, request.proves) {
        (400 | 495 | 496, _) => Verdict::Rejected(format!(
            "{answers}: servers like nginx say so of a certificate that they do not accept; check that its CA is the \
             one that the other side trusts"
        )),
        (..=199 | 600.., _) => Verdict::Unreachable(format!("{answers}, which is no final answer")),
        (_, false) => Verdict::Passed(format!(
            "{answers}: TLS accepts the certificate, and only that was proven; configure `trial` to prove more"
        )),
        (401 | 403, true) => Verdict::Rejected(format!(
            "{answers}: it accepts the certificate's CA and refuses whom it names; have the certificate's names put \
             on its list, or check that it is ours"
        )),
        (200..=399, true) => Verdict::Passed(answers),
        (400..=499, true) => Verdict::Passed(format!(
            "{answers}: it lets the certificate in, though not to what `trial` asks for; name a path that exists"
        )),
        (500..=599, true) => Verdict::Unreachable(format!("{answers}: that says nothing of the certificate")),
    }
}

fn of_fault(fault: &Fault) -> Verdict {
    let sentence = fault.detail.to_string();
    match fault.code {
        Code::IdentityRejected | Code::IdentityExpired => Verdict::Rejected(sentence),
        _ => Verdict::Unreachable(sentence),
    }
}

impl Trial {
    fn stopped(fault: Fault) -> Self {
        Self {
            verdict: of_fault(&fault),
            server_chain: Vec::new(),
            server_version: None,
            status: None,
            date: None,
            challenge: None,
            fault: Some(fault),
        }
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

impl Trial {
    /// It took longer than any trial may.
    #[must_use]
    pub fn late(peer: &str, bound: Duration) -> Self {
        let sentence = format!("the trial with {peer} did not end within {bound:?}");
        Self::stopped(Fault::new(Code::UpstreamTimeout, sentence))
    }
}

impl Verdict {
    /// What happened, and what to do.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Self::Passed(text) | Self::Rejected(text) | Self::Unreachable(text) | Self::ServerRevoked(text) => text,
        }
    }
}

struct Reply {
    status: u16,
    date: Option<String>,
    challenge: Option<String>,
}

enum Unanswered {
    /// The connection ended before any reply byte, without an alert.
    Silently(Fault),
    Fault(Fault),
}

async fn ask(stream: &mut Stream, request: &Request, peer: &str) -> Result<Reply, Unanswered> {
    let mut head = Zeroizing::new(format!("{request} HTTP/1.1\r\nhost: ").into_bytes());
    head.extend_from_slice(&request.host);
    if let Some(authorization) = &request.authorization {
        head.reserve(authorization.expose().len() + 256); // not moved, so that no copy stays behind
        head.extend_from_slice(b"\r\nauthorization: ");
        head.extend_from_slice(authorization.expose());
    }
    head.extend_from_slice(
        b"\r\nuser-agent: delius-sidecar\r\naccept: */*\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
    );
    // Whoever refuses the certificate late may have closed before this is written: what it said is still to be read.
    let sent = match stream.write_all(&head).await {
        Ok(()) => stream.flush().await,
        Err(error) => Err(error),
    };
    let mut bytes = Vec::with_capacity(4 << 10);
    let mut finder = EndFinder::default();
    let mut fields = Fields::default();
    loop {
        let invalid = |error| {
            let sentence = format!("{peer} answers {request} with what HTTP/1.1 does not allow: {error}");
            Unanswered::Fault(Fault::new(Code::UpstreamInvalid, sentence))
        };
        if let Some(end) = finder.find(&bytes, &BOUNDS).map_err(invalid)? {
            let line = fields.parse_reply(&bytes[..end], &BOUNDS).map_err(invalid)?;
            if matches!(line.status, 100..=199) && line.status != 101 {
                bytes.drain(..end); // an interim reply (RFC 9110 section 15.2): the final one follows
                finder = EndFinder::default();
                continue;
            }
            let value = |name: &[u8]| {
                let field = fields
                    .iter()
                    .find(|field| field.name_span.of(&bytes).eq_ignore_ascii_case(name));
                field.map(|field| String::from_utf8_lossy(field.value.of(&bytes)).into_owned())
            };
            return Ok(Reply {
                status: line.status,
                date: value(b"date"),
                challenge: value(b"www-authenticate"),
            });
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) if bytes.is_empty() => {
                let sentence = format!("{peer} closed the connection before any answer to {request}");
                return Err(Unanswered::Silently(Fault::new(Code::UpstreamReset, sentence)));
            }
            Ok(0) => {
                let sentence = format!("{peer} closed the connection in the middle of its answer to {request}");
                return Err(Unanswered::Fault(Fault::new(Code::UpstreamReset, sentence)));
            }
            Ok(_) => {}
            Err(error) => {
                let error = match sent {
                    Err(first) if !is_tls(&error) => first,
                    _ => error,
                };
                let (failure, fault) = tls::judge(&error, "after the TLS handshake", &peer);
                return Err(if failure == tls::Failure::Closed && bytes.is_empty() {
                    Unanswered::Silently(fault)
                } else {
                    Unanswered::Fault(fault)
                });
            }
        }
    }
}

/// The error says what the other side said, and not only that the connection is gone.
fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

fn server_chain(stream: &Stream) -> Vec<CertificateDer<'static>> {
    match stream {
        Stream::TlsClient(session) => session.agreed().peer_certificates().unwrap_or_default().to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;

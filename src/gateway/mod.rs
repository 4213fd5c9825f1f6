//! The NDH side of the mutual TLS, for staging and development: who is this peer, and what is said of it to the API.
//!
//! Requests take the same pipeline as in the sidecar; what differs is the front (a client certificate is required, by
//! the verifier of the TLS stack) and the plan (a door for each rule, and a bare 403 for whom no door admits).

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use rustls::{CertificateError, Error, HandshakeKind, ServerConnection};

use crate::cert::facts::Facts;
use crate::clock;
use crate::identity::Front;
use crate::proxy::{Caller, Peer};

/// Who is at the other end of a finished handshake. `None` only if the verifier let a peer pass without a certificate
/// that can be read, which it does not.
#[must_use]
pub fn caller(session: &ServerConnection, front: &Arc<Front>) -> Option<Caller> {
    let shown = session.peer_certificates()?;
    let facts = Facts::read(shown.first()?).ok()?;
    // A resumed session was judged under the same generation, whose store is its own, but long ago perhaps.
    let judged = match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => 0,
        _ => clock::unix_seconds(),
    };
    Some(Caller::Peer(Box::new(Peer {
        header: forwarded_client_cert(&facts),
        facts,
        chain: shown
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect(),
        admission: front.admit(),
        judged: Cell::new((front.number, judged)),
    })))
}

/// The line `x-forwarded-client-cert` in Envoy's format: hash, subject, URI and DNS names of the verified leaf.
fn forwarded_client_cert(facts: &Facts) -> Vec<u8> {
    let mut line = String::from("x-forwarded-client-cert: Hash=");
    for byte in facts.sha256 {
        line.push_str(&format!("{byte:02x}"));
    }
    line.push_str(";Subject=\"");
    line.push_str(&quotable(&facts.subject));
    line.push('"');
    for uri in &facts.uri_names {
        line.push_str(";URI=");
        line.push_str(&unquoted(uri));
    }
    for dns in &facts.dns_names {
        line.push_str(";DNS=");
        line.push_str(&unquoted(dns));
    }
    line.push_str("\r\n");
    line.into_bytes()
}

/// Text inside quotation marks: those are escaped, and what a header value cannot hold becomes `?`.
fn quotable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

/// A name outside quotation marks: what would end it or begin another element becomes `?`.
fn unquoted(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, ';' | ',' | '"' | '=' | '\\') {
                c
            } else {
                '?'
            }
        })
        .collect()
}

/// Why a handshake was refused: a fixed list, for metric and log.
#[must_use]
pub fn refusal(error: &io::Error) -> &'static str {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return "closed";
    };
    match tls {
        Error::NoCertificatesPresented => "no_certificate",
        Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_yet_valid",
            CertificateError::UnknownIssuer => "unknown_issuer",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "wrong_purpose",
            CertificateError::Revoked => "revoked",
            CertificateError::BadSignature => "bad_signature",
            _ => "certificate",
        },
        Error::InvalidMessage(_) => "not_tls",
        Error::PeerIncompatible(_) => "protocol",
        Error::AlertReceived(_) => "refused_by_peer",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_the_identity_header() {
        assert_eq!(quotable("CN=a\"b\\c\r\nX: y"), "CN=a\\\"b\\\\c??X: y");
        assert_eq!(unquoted("a;DNS=b\r\n"), "a?DNS?b??");
    }
}

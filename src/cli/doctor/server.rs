//! The server's certificate, point by point: dates, name, chain. A handshake stops at the first fault and says little;
//! here each is looked at by itself, with the verifier of the TLS stack.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::ground::Ground;
use super::report::Lines;
use crate::cert::Trusted;
use crate::cert::crl::{self, CrlFacts};
use crate::cert::facts::{Facts, date, span};
use crate::transport::look::Seen;
use crate::transport::tls;

const DAY: i64 = 86_400;

/// Whether the server's certificate is one that the sidecar accepts.
pub(super) fn certificate(ground: &Ground<'_>, seen: &Seen, trusted: &Trusted, now: i64, lines: &mut Lines) -> bool {
    const CHECK: &str = "server certificate";
    let facts: Vec<Facts> = match seen.chain.iter().map(|der| Facts::read(der)).collect() {
        Ok(facts) => facts,
        Err(error) => {
            lines.fail(
                CHECK,
                format!("{} shows a certificate that cannot be read: {error}", ground.peer),
                "an X.509 certificate",
                "tell its operators",
            );
            return false;
        }
    };
    let Some(leaf) = facts.first() else {
        lines.skip(CHECK, "none was seen");
        return false;
    };
    lines.ok(
        CHECK,
        format!(
            "\"{}\", issued by \"{}\", {} sent along",
            leaf.subject,
            leaf.issuer,
            facts.len() - 1
        ),
    );
    let name = name(&ground.endpoint.server_name, &seen.chain[0], leaf, lines);
    let dates = dates(&facts, now, lines);
    let chain = chain(&seen.chain, &facts, &trusted.anchors, now, lines);
    if let Some(unproven) = &seen.unproven {
        lines.fail(
            "server key",
            format!(
                "{} does not prove that it holds the key of its certificate: {unproven}",
                ground.peer
            ),
            "a valid signature",
            "tell its operators; somebody may be in between",
        );
    }
    let current = revocation(&seen.chain[0], leaf, trusted, lines);
    name && dates && chain && current && seen.unproven.is_none()
}

/// Where there is a list, the server's certificate must be covered by one and not stand on it.
fn revocation(der: &CertificateDer<'_>, leaf: &Facts, trusted: &Trusted, lines: &mut Lines) -> bool {
    const CHECK: &str = "server revocation";
    if trusted.crls.is_empty() {
        return true;
    }
    let lists: Vec<CrlFacts> = trusted.crls.iter().filter_map(|der| CrlFacts::read(der)).collect();
    if let Some(list) = crl::revoked(der, &trusted.crls) {
        lines.fail(
            CHECK,
            format!(
                "the server's certificate (serial {}) has been revoked: it is on the list of \"{}\" of {}",
                leaf.serial,
                list.issuer,
                date(list.this_update)
            ),
            "a certificate that was not revoked",
            "send nothing there, and tell its operators at once",
        );
        return false;
    }
    if lists.iter().all(|list| list.issuer != leaf.issuer) {
        let known: Vec<String> = lists.iter().map(|list| format!("\"{}\"", list.issuer)).collect();
        lines.fail(
            CHECK,
            format!(
                "no list covers the server's certificate: it was issued by \"{}\", and the lists are of {}",
                leaf.issuer,
                known.join(", ")
            ),
            "the list of the CA that issued it",
            "add that CA's list to the file in `crl`",
        );
        return false;
    }
    lines.ok(CHECK, format!("it is not on the list of \"{}\"", leaf.issuer));
    true
}

fn name(expected: &ServerName<'static>, der: &CertificateDer<'_>, leaf: &Facts, lines: &mut Lines) -> bool {
    const CHECK: &str = "server name";
    let wanted = expected.to_str();
    let holds = EndEntityCert::try_from(der)
        .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(expected).is_ok());
    if holds {
        lines.ok(CHECK, format!("the certificate is for {wanted}"));
    } else if leaf.names() == "none" && !leaf.common_names.is_empty() {
        lines.fail(
            CHECK,
            format!(
                "the server's certificate has a common name only (\"{}\") and no subject alternative name",
                leaf.common_names.join("\", \"")
            ),
            format!("{wanted} as a subject alternative name: common names are read by no current TLS stack"),
            "have its operators issue it again with the name as a subject alternative name",
        );
    } else {
        lines.fail(
            CHECK,
            format!(
                "the server's certificate is not for {wanted}: it is for {}",
                leaf.names()
            ),
            format!("{wanted} among its names"),
            "correct `url`, or set `server_name` to one of these names if this is the right server",
        );
    }
    holds
}

fn dates(chain: &[Facts], now: i64, lines: &mut Lines) -> bool {
    const CHECK: &str = "server dates";
    let expected = "valid now";
    for facts in chain {
        let who = format!("the server's certificate \"{}\"", facts.subject);
        if now > facts.not_after {
            lines.fail(
                CHECK,
                format!(
                    "{who} expired {} ago, at {}; this machine's clock says {}",
                    span(now - facts.not_after),
                    date(facts.not_after),
                    date(now)
                ),
                expected,
                "tell its operators; if they say that it has not, compare the clocks",
            );
            return false;
        }
        if now < facts.not_before {
            lines.fail(
                CHECK,
                format!(
                    "{who} is valid only in {}, from {}; this machine's clock says {}",
                    span(facts.not_before - now),
                    date(facts.not_before),
                    date(now)
                ),
                expected,
                "compare this machine's clock with the server's; else tell its operators",
            );
            return false;
        }
    }
    let Some(first) = chain.iter().min_by_key(|facts| facts.not_after) else {
        return true;
    };
    let (left, life) = (first.not_after - now, first.not_after - first.not_before);
    let found = format!(
        "\"{}\" is valid until {}, {} left",
        first.subject,
        date(first.not_after),
        span(left)
    );
    if left < (30 * DAY).min(life / 3) {
        lines.warn(CHECK, found, "some weeks left", "ask its operators when they renew it");
    } else {
        lines.ok(CHECK, found);
    }
    true
}

/// By the TLS stack's own verifier; at a time when all of the chain is valid, so that dates are told once only.
fn chain(
    chain: &[CertificateDer<'static>],
    facts: &[Facts],
    anchors: &[CertificateDer<'static>],
    now: i64,
    lines: &mut Lines,
) -> bool {
    const CHECK: &str = "server chain";
    let expected = "a chain to a CA of the trust bundle, every intermediate sent along";
    let from = facts.iter().map(|facts| facts.not_before).max().unwrap_or(now);
    let until = facts.iter().map(|facts| facts.not_after).min().unwrap_or(now);
    let at = if from <= until { now.clamp(from, until) } else { now };
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or_default()));
    let trusted: Vec<TrustAnchor<'_>> = anchors
        .iter()
        .filter_map(|der| anchor_from_trusted_cert(der).ok())
        .collect();
    let algorithms = tls::provider().signature_verification_algorithms.all;
    let verified = EndEntityCert::try_from(&chain[0]).and_then(|leaf| {
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms, &trusted, &chain[1..], time, usage, None, None)
            .map(|_| ())
    });
    match verified {
        Ok(()) => {
            lines.ok(CHECK, "it leads to a CA of the trust bundle");
            true
        }
        Err(webpki::Error::UnknownIssuer) => {
            let (found, todo) = broken(facts, anchors);
            lines.fail(CHECK, found, expected, todo);
            false
        }
        Err(webpki::Error::RequiredEkuNotFoundContext(_)) => {
            lines.fail(
                CHECK,
                "the server's certificate may not be used by a server (extended key usage)",
                "a certificate for server authentication",
                "tell its operators",
            );
            false
        }
        Err(error) => {
            let found = format!("the server's chain does not hold: {error}");
            lines.fail(CHECK, found, expected, "tell its operators");
            false
        }
    }
}

/// Where a chain that leads nowhere ends, and whose fault that most likely is.
fn broken(facts: &[Facts], anchors: &[CertificateDer<'static>]) -> (String, String) {
    let mut end = &facts[0];
    for _ in facts {
        if let Some(next) = facts.iter().find(|next| next.subject == end.issuer && *next != end) {
            end = next;
        }
    }
    let known: Vec<String> = anchors
        .iter()
        .filter_map(|der| Facts::read(der).ok())
        .map(|facts| facts.subject)
        .collect();
    let shown: Vec<String> = known.iter().take(5).map(|subject| format!("\"{subject}\"")).collect();
    let shown = shown.join(", ");
    if end.is_self_issued() {
        return (
            format!(
                "the server's chain ends at \"{}\", and the trust bundle holds {shown}",
                end.subject
            ),
            String::from(
                "put that CA into the trust bundle if it is the right one; if not, this is not the right server",
            ),
        );
    }
    if known.contains(&end.issuer) {
        return (
            format!(
                "the server's chain is signed by a CA named \"{}\" with another key than that of the trust bundle",
                end.issuer
            ),
            String::from(
                "the CA may have been renewed: get its present certificate from its operators and put it into the trust bundle",
            ),
        );
    }
    (
        format!(
            "the server's chain is incomplete: it ends at \"{}\", issued by \"{}\", which the server does not send along and the trust bundle does not hold (it holds {shown})",
            end.subject, end.issuer
        ),
        format!(
            "have its operators send the intermediate certificate \"{}\" along; if that is none of theirs, the trust bundle is another CA's",
            end.issuer
        ),
    )
}

//! Whom an upstream's settings believe: the trust bundle, and the list of revoked certificates that goes with it.

use super::files::read;
use super::report::Lines;
use crate::cert::Trusted;
use crate::cert::crl::{self, CrlFacts};
use crate::cert::facts::{Facts, date};
use crate::cert::load::{self, Bundle};
use crate::cert::verify;
use crate::config::settings::{Revocation, Stale, Trust, Upstream};
use crate::identity::store::{self, Refusal};

/// What the server's certificate is judged by; `None` where that cannot be read.
pub(super) fn examine(trust: &Trust, revocation: Option<&Revocation>, now: i64, lines: &mut Lines) -> Option<Trusted> {
    let mut trusted = anchors(trust, now, lines)?;
    if let Some(revocation) = revocation {
        trusted.crls = lists(revocation, now, lines)?;
        trusted.refuse_stale = revocation.stale == Stale::Refuse;
    }
    Some(trusted)
}

/// The same without a line: as the sidecar reads them.
pub(super) fn read_as_is(upstream: &Upstream) -> Result<Trusted, Refusal> {
    let bundle = match &upstream.trust {
        Trust::Bundle(path) => Some(path.as_path()),
        Trust::System => None,
    };
    let list = upstream.crl.as_ref().map(|revocation| revocation.file.as_path());
    let sight = store::look(bundle.into_iter().chain(list));
    store::believed(&sight, &upstream.trust, upstream.crl.as_ref()).map(|believed| believed.trusted)
}

/// Whether our own certificate stands on the list.
pub(super) fn revocation(bundle: &Bundle, trusted: &Trusted, lines: &mut Lines) {
    if let Some(finding) = verify::revocation(bundle, &trusted.crls) {
        let (found, todo) = finding.text.rsplit_once("; ").unwrap_or((&finding.text, ""));
        lines.fail("revocation", found, "a certificate that was not revoked", todo);
    }
}

fn anchors(trust: &Trust, now: i64, lines: &mut Lines) -> Option<Trusted> {
    const CHECK: &str = "trust";
    let path = match trust {
        Trust::Bundle(path) => path,
        Trust::System => {
            return match store::believed(&store::look([]), trust, None) {
                Ok(believed) => {
                    let count = believed.trusted.anchors.len();
                    lines.ok(CHECK, format!("the system's trust store holds {count} CAs"));
                    Some(believed.trusted)
                }
                Err(refusal) => {
                    let todo = "name a bundle in `trust`, or put a store into the image";
                    lines.fail(CHECK, refusal.to_string(), "a trust store", todo);
                    None
                }
            };
        }
    };
    let pem = read(path, "trust file", false, lines)?;
    let anchors = match load::anchors(&pem) {
        Ok(anchors) => anchors,
        Err(error) => {
            let found = format!("{}: {error}", path.display());
            let todo = "put the certificate of the CA that issued the server's certificate there, as PEM";
            lines.fail(CHECK, found, "the certificates of the CAs to be trusted", todo);
            return None;
        }
    };
    let facts: Vec<Facts> = anchors.iter().filter_map(|der| Facts::read(der).ok()).collect();
    let subjects: Vec<String> = facts.iter().map(|facts| format!("\"{}\"", facts.subject)).collect();
    let dead: Vec<String> = facts
        .iter()
        .filter(|facts| now > facts.not_after)
        .map(|facts| format!("\"{}\", at {}", facts.subject, date(facts.not_after)))
        .collect();
    let found = format!("trusts {}", subjects.join(", "));
    if dead.is_empty() {
        lines.ok(CHECK, found);
    } else {
        lines.warn(
            CHECK,
            format!("{found}; expired: {}", dead.join("; ")),
            "CAs that are valid now",
            "have the other side's present CA put into the trust bundle",
        );
    }
    Some(Trusted::anchors(anchors))
}

fn lists(
    revocation: &Revocation,
    now: i64,
    lines: &mut Lines,
) -> Option<Vec<rustls_pki_types::CertificateRevocationListDer<'static>>> {
    const CHECK: &str = "revocation list";
    let bytes = read(&revocation.file, "revocation file", false, lines)?;
    let lists = match crl::read(&bytes) {
        Ok(lists) => lists,
        Err(error) => {
            let found = format!("{}: {error}", revocation.file.display());
            lines.fail(
                CHECK,
                found,
                "the CA's list of revoked certificates",
                "put the present list there",
            );
            return None;
        }
    };
    for facts in lists.iter().filter_map(|der| CrlFacts::read(der)) {
        let next = facts.next_update.map_or_else(|| String::from("without end"), date);
        let found = format!(
            "of \"{}\", {} revoked, made {}, next due {next}",
            facts.issuer,
            facts.revoked,
            date(facts.this_update)
        );
        let (expected, todo) = ("a list that is not overdue", "fetch the present list from the CA");
        match (facts.is_stale(now), revocation.stale) {
            (false, _) => lines.ok(CHECK, found),
            (true, Stale::Accept) => lines.warn(CHECK, format!("{found}: overdue"), expected, todo),
            (true, Stale::Refuse) => {
                let found = format!("{found}: overdue, and by `stale = \"refuse\"` no server of this CA is accepted");
                lines.fail(CHECK, found, expected, todo);
            }
        }
    }
    Some(lists)
}

//! Lists of revoked certificates (RFC 5280 section 5): reading them, and what they say.
//!
//! A list that is returned here is one that the TLS stack can use: complete, direct, of version 2. Of several lists of
//! one issuer the stack looks at the first, so the newest stands first. Whether a list is signed by the issuer of the
//! certificate in question is judged where it is used, by the stack.

use std::cmp::Reverse;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error as WebpkiError};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::facts::printable;
use super::load::{LoadError, Part, pem};

/// What a list says, without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlFacts {
    /// As text, for people.
    pub issuer: String,
    /// When it was made, in Unix seconds.
    pub this_update: i64,
    /// When the next one was to be there.
    pub next_update: Option<i64>,
    /// How many certificates are on it.
    pub revoked: usize,
}

/// Why bytes did not become lists. Reads as the end of "file F: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    #[error(transparent)]
    File(#[from] LoadError),
    #[error("list {position} of {total} in the CRL file cannot be used: {reason}")]
    Unusable {
        position: usize,
        total: usize,
        reason: &'static str,
    },
}

/// Reads the lists of a file, PEM or DER; at least one.
pub fn read(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, CrlError> {
    let part = Part::Crl;
    let found = match pem::text(bytes, part) {
        Ok(text) => {
            let found: Vec<_> = CertificateRevocationListDer::pem_slice_iter(text)
                .collect::<Result<_, _>>()
                .map_err(|error| pem::damaged(part, &error))?;
            if found.is_empty() {
                let found = pem::listed(&pem::labels(text));
                return Err(LoadError::Missing { part, found }.into());
            }
            found
        }
        Err(LoadError::Der(_)) => vec![CertificateRevocationListDer::from(bytes.to_vec())],
        Err(other) => return Err(other.into()),
    };
    let total = found.len();
    let mut lists = Vec::with_capacity(total);
    for (index, list) in found.into_iter().enumerate() {
        let unusable = |reason| CrlError::Unusable {
            position: index + 1,
            total,
            reason,
        };
        // The stack keeps a list in this form; making it looks at every entry.
        BorrowedCertRevocationList::from_der(&list)
            .and_then(|list| list.to_owned())
            .map_err(|error| unusable(reason(&error)))?;
        lists.push(list);
    }
    Ok(newest_first(lists))
}

/// The order in which the TLS stack is to see lists that come from several files.
#[must_use]
pub fn newest_first(
    mut lists: Vec<CertificateRevocationListDer<'static>>,
) -> Vec<CertificateRevocationListDer<'static>> {
    lists.sort_by_cached_key(|list| Reverse(CrlFacts::read(list).map(|facts| facts.this_update)));
    lists
}

/// The list by the certificate's issuer on which the certificate stands. Of several lists by that issuer the first
/// counts, as in a handshake.
#[must_use]
pub fn revoked(certificate: &CertificateDer<'_>, lists: &[CertificateRevocationListDer<'_>]) -> Option<CrlFacts> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let (der, list) = by_issuer(certificate.issuer(), lists)?;
    list.find_serial(certificate.serial()).ok()??;
    CrlFacts::read(der)
}

/// The first list of an issuer, given by its encoded name.
fn by_issuer<'a>(
    issuer: &[u8],
    lists: &'a [CertificateRevocationListDer<'_>],
) -> Option<(&'a [u8], CertRevocationList<'a>)> {
    lists.iter().find_map(|der| {
        let list = CertRevocationList::from(BorrowedCertRevocationList::from_der(der).ok()?);
        (list.issuer() == issuer).then_some((der.as_ref(), list))
    })
}

impl CrlFacts {
    /// Reads a DER list; `None`: it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        Some(Self {
            issuer: printable(&list.issuer().to_string()),
            this_update: list.last_update().timestamp(),
            next_update: list.next_update().map(|time| time.timestamp()),
            revoked: list.iter_revoked_certificates().count(),
        })
    }

    /// Whether the next one was to be there by now.
    #[must_use]
    pub fn is_stale(&self, now: i64) -> bool {
        self.next_update.is_some_and(|next| now >= next)
    }
}

const NOT_READABLE: &str = "it is damaged, or no X.509 CRL";

fn reason(error: &WebpkiError) -> &'static str {
    match error {
        WebpkiError::UnsupportedCrlVersion => {
            "it is of version 1; expected version 2 (with \"openssl ca\": crl_extensions)"
        }
        WebpkiError::UnsupportedDeltaCrl => {
            "it is a delta CRL, which says only what changed; expected the complete list"
        }
        WebpkiError::UnsupportedIndirectCrl => {
            "it is an indirect CRL, which speaks for other CAs; expected the CA's own"
        }
        WebpkiError::UnsupportedRevocationReason | WebpkiError::UnsupportedRevocationReasonsPartitioning => {
            "it is only about some reasons of revocation; expected the complete list"
        }
        WebpkiError::UnsupportedCriticalExtension => "it has a critical extension that is not known",
        WebpkiError::UnsupportedCrlIssuingDistributionPoint => {
            "its issuing distribution point is of a kind that is not known"
        }
        WebpkiError::InvalidCrlNumber => "its CRL number is longer than 20 bytes or negative",
        _ => NOT_READABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::super::issue::{Authority, Purposes, Spec, Validity, pem as encode};
    use super::*;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_800_000_000;

    fn authority(name: &str) -> Authority {
        Authority::new_root(name, Validity::days(NOW - DAY, 100)).unwrap()
    }

    fn leaf(authority: &Authority) -> (CertificateDer<'static>, String) {
        let spec = Spec::new("app", Purposes::Client, Validity::days(NOW - DAY, 10));
        let issued = authority.issue(&spec).unwrap();
        (issued.leaf, issued.serial)
    }

    fn list(authority: &Authority, serials: &[&String], at: i64) -> String {
        authority.crl(serials, at, at + DAY).unwrap()
    }

    #[test]
    fn a_list_tells_its_issuer_its_times_and_how_many_are_on_it() {
        let ca = authority("One");
        let (certificate, serial) = leaf(&ca);
        let (other, _) = leaf(&ca);
        let lists = read(list(&ca, &[&serial], NOW).as_bytes()).unwrap();
        let expected = CrlFacts {
            issuer: "CN=One".to_owned(),
            this_update: NOW,
            next_update: Some(NOW + DAY),
            revoked: 1,
        };
        assert_eq!(CrlFacts::read(&lists[0]), Some(expected.clone()));
        assert_eq!(revoked(&certificate, &lists), Some(expected.clone()));
        assert_eq!(revoked(&other, &lists), None);
        assert!(!expected.is_stale(NOW + DAY - 1) && expected.is_stale(NOW + DAY));
    }

    #[test]
    fn a_der_list_of_a_hundred_kilobytes_is_read() {
        let serials: Vec<String> = (0..3_000)
            .map(|n| format!("4000000000000000000000000000{n:04x}"))
            .collect();
        let all: Vec<&String> = serials.iter().collect();
        let pem = list(&authority("One"), &all, NOW);
        let der = read(pem.as_bytes()).unwrap();
        assert_eq!(der[0].as_ref()[..2], [0x30, 0x83], "a length of three bytes");
        assert_eq!(read(&der[0]).unwrap(), der);
    }

    #[test]
    fn der_is_read_as_well_as_pem_with_several_lists() {
        let (one, two) = (authority("One"), authority("Two"));
        let (certificate, serial) = leaf(&two);
        let both = list(&one, &[], NOW) + &list(&two, &[&serial], NOW);
        let lists = read(both.as_bytes()).unwrap();
        assert_eq!(lists.len(), 2);
        assert_eq!(
            revoked(&certificate, &lists).map(|facts| facts.issuer),
            Some("CN=Two".into())
        );
        let der = lists[0].as_ref();
        assert_eq!(read(der).unwrap().len(), 1);
        assert_eq!(
            revoked(&certificate, &lists[..1]),
            None,
            "another CA's list says nothing"
        );
    }

    #[test]
    fn of_two_lists_of_one_issuer_the_newest_counts() {
        let ca = authority("One");
        let (certificate, serial) = leaf(&ca);
        let lists = read((list(&ca, &[], NOW - DAY) + &list(&ca, &[&serial], NOW)).as_bytes()).unwrap();
        assert_eq!(revoked(&certificate, &lists).map(|facts| facts.this_update), Some(NOW));
    }

    proptest::proptest! {
        #[test]
        fn no_changed_list_makes_reading_panic(at in 0..400_usize, byte: u8) {
            let ca = authority("One");
            let (certificate, serial) = leaf(&ca);
            let mut der = read(list(&ca, &[&serial], NOW).as_bytes()).unwrap()[0].to_vec();
            let at = at % der.len();
            der[at] = byte;
            if let Ok(lists) = read(&der) {
                let _ = revoked(&certificate, &lists);
                let _ = CrlFacts::read(&lists[0]);
            }
        }
    }

    #[test]
    fn what_is_no_list_is_refused_in_words() {
        let ca = authority("One");
        let refused = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert_eq!(refused(b""), "the CRL file is empty");
        assert_eq!(
            refused(ca.certificate_pem().as_bytes()),
            "the CRL file holds no CRL, but: \"CERTIFICATE\"; expected \"X509 CRL\""
        );
        let broken = encode("X509 CRL", &[0x30, 3, 2, 1, 0]);
        assert_eq!(
            refused((list(&ca, &[], NOW) + &broken).as_bytes()),
            "list 2 of 2 in the CRL file cannot be used: it is damaged, or no X.509 CRL"
        );
        let whole = list(&ca, &[], NOW);
        assert!(refused(&whole.as_bytes()[..whole.len() / 2]).contains("cut off"));
    }
}

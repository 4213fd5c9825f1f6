//! Bytes of a file, PEM or DER → what they are: certificates, requests, revocation lists, keys.

use std::io::Cursor;

use rustls_pki_types::pem::{SectionKind, from_buf};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::show::{Certificate, KeyFile, Note, Part, Requested, RevocationList};
use crate::cert::facts::{Facts, date, hex, printable};
use crate::cert::issue::{IssueError, Request};
use crate::cert::load::{self, LoadError, Source};
use crate::cert::verify::{self, Purpose, What};
use crate::secret::Secret;

/// What a file holds.
#[derive(Default)]
pub(super) struct Material {
    pub(super) chain: Vec<CertificateDer<'static>>,
    requests: Vec<Vec<u8>>,
    lists: Vec<Vec<u8>>,
    keys: Vec<(SectionKind, Secret<Vec<u8>>)>,
    /// Encrypted keys: their kind is all that can be told.
    encrypted: Vec<&'static str>,
    damaged: Option<String>,
}

impl Material {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut material = Self::default();
        if bytes.first() == Some(&0x30) {
            material.take_der(bytes);
        } else {
            material.take_pem(bytes);
        }
        material
    }

    /// What a server sent.
    pub(super) fn sent(chain: &[CertificateDer<'static>]) -> Self {
        Self {
            chain: chain.to_vec(),
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chain.is_empty()
            && self.requests.is_empty()
            && self.lists.is_empty()
            && self.keys.is_empty()
            && self.encrypted.is_empty()
            && self.damaged.is_none()
    }

    pub(super) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    fn take_pem(&mut self, bytes: &[u8]) {
        let text = Secret::new(String::from_utf8_lossy(bytes).into_owned());
        for line in text.expose().lines() {
            if line.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
                self.encrypted.push("private key (PKCS#8, encrypted)");
            } else if line.starts_with("DEK-Info:") {
                self.encrypted.push("private key (encrypted the old way, DEK-Info)");
            }
        }
        let old_key = text.expose().contains("DEK-Info:");
        // What old tools write; the content is the same.
        let text = Secret::new(text.expose().replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST"));
        let mut cursor = Cursor::new(text.expose().as_bytes());
        loop {
            match from_buf(&mut cursor) {
                Ok(Some((SectionKind::Certificate, der))) => self.chain.push(der.into()),
                Ok(Some((SectionKind::Csr, der))) => self.requests.push(der),
                Ok(Some((SectionKind::Crl, der))) => self.lists.push(der),
                Ok(Some((
                    kind @ (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey),
                    der,
                ))) if !old_key => self.keys.push((kind, Secret::new(der))),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    if !old_key {
                        self.damaged = Some(String::from("the PEM is damaged or cut off"));
                    }
                    return;
                }
            }
        }
    }

    fn take_der(&mut self, bytes: &[u8]) {
        if Facts::read(bytes).is_ok() {
            self.chain.push(bytes.to_vec().into());
        } else if CertificateRevocationList::from_der(bytes).is_ok() {
            self.lists.push(bytes.to_vec());
        } else if !matches!(Request::read(bytes), Err(IssueError::Request(_))) {
            // Also one that is refused, which is shown with its reason.
            self.requests.push(bytes.to_vec());
        } else if load::is_pkcs12(bytes) {
            // Before keys, which are told by their first bytes only.
            self.damaged = Some(String::from(
                "it is a PKCS#12 store, which cannot be looked into without its password (--password-file)",
            ));
        } else if let Ok(key) = PrivateKeyDer::try_from(bytes.to_vec()) {
            let kind = match key {
                PrivateKeyDer::Pkcs1(_) => SectionKind::RsaPrivateKey,
                PrivateKeyDer::Sec1(_) => SectionKind::EcPrivateKey,
                _ => SectionKind::PrivateKey,
            };
            self.keys.push((kind, Secret::new(key.secret_der().to_vec())));
        }
    }

    /// A PKCS#12 store and its password.
    pub(super) fn unlock(bytes: &[u8], password: &[u8]) -> Result<Self, LoadError> {
        let source = Source::Pkcs12 { file: bytes, password };
        let bundle = load::identity(source)?;
        Ok(Self {
            chain: bundle.chain().to_vec(),
            encrypted: vec!["private key of the first certificate (PKCS#12)"],
            ..Self::default()
        })
    }

    /// All there is to show; keys are matched with `neighbours`, by their public key.
    pub(super) fn show(&self, source: String, side: Option<Purpose>, now: i64, neighbours: &[(String, Facts)]) -> Part {
        let mut part = Part {
            source,
            ..Part::default()
        };
        let total = self.chain.len();
        for (index, der) in self.chain.iter().enumerate() {
            match Facts::read(der) {
                Ok(facts) => part.certificates.push(Certificate::new(facts, now)),
                Err(error) => part.findings.push(broken(format!(
                    "certificate {} of {total} cannot be read: {error}",
                    index + 1
                ))),
            }
        }
        if part.findings.is_empty() {
            part.findings = findings(&self.chain, &part.certificates, side, now);
        }
        for request in &self.requests {
            match Request::read(request) {
                Ok(request) => part.requests.push(Requested::new(&request)),
                Err(error) => part.findings.push(broken(error.to_string())),
            }
        }
        for list in &self.lists {
            match revocation_list(list) {
                Some(list) => {
                    if list.ends.is_some_and(|end| end < now) {
                        part.findings.push(Note {
                            severity: "refuse",
                            what: "stale_crl",
                            text: format!(
                                "the revocation list of \"{}\" is stale; fetch or make a new one",
                                list.issuer
                            ),
                        });
                    }
                    part.revocation_lists.push(list);
                }
                None => part
                    .findings
                    .push(broken(String::from("a revocation list cannot be read"))),
            }
        }
        for (kind, der) in &self.keys {
            let spki = public_key(*kind, der);
            let fits = |(name, facts): &(String, Facts)| {
                (spki.as_ref() == Some(&facts.spki())).then(|| format!("\"{}\" in {name}", facts.subject))
            };
            if spki.is_none() {
                part.findings.push(broken(String::from(
                    "the private key cannot be used for TLS: expected RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519",
                )));
            }
            part.keys.push(KeyFile {
                kind: match kind {
                    SectionKind::RsaPrivateKey => "private key (PKCS#1)",
                    SectionKind::EcPrivateKey => "private key (SEC1)",
                    _ => "private key (PKCS#8)",
                },
                encrypted: false,
                belongs_to: neighbours.iter().filter_map(fits).collect(),
            });
        }
        part.keys.extend(self.encrypted.iter().map(|kind| KeyFile {
            kind,
            encrypted: true,
            belongs_to: Vec::new(),
        }));
        if let Some(damage) = &self.damaged {
            part.findings.push(broken(damage.clone()));
        }
        part
    }
}

/// Of a chain everything; of CA certificates by themselves only what their dates and keys say.
fn findings(chain: &[CertificateDer<'_>], shown: &[Certificate], side: Option<Purpose>, now: i64) -> Vec<Note> {
    let facts: Vec<Facts> = shown.iter().map(|certificate| certificate.facts.clone()).collect();
    let Some(leaf) = facts.first() else { return Vec::new() };
    let servers_only = |purposes: crate::cert::facts::Purposes| purposes.server_auth && !purposes.client_auth;
    let side = side.unwrap_or(if leaf.purposes.is_some_and(servers_only) {
        Purpose::Server
    } else {
        Purpose::Client
    });
    verify::chain_findings(chain, &facts, side, &[], now, 0)
        .into_iter()
        .filter(|finding| {
            !leaf.is_ca
                || matches!(
                    finding.what,
                    What::NotYetValid | What::Expired | What::ExpiresSoon | What::WeakKey | What::WeakSignature
                )
        })
        .map(Note::from)
        .collect()
}

/// The pin of the public half.
fn public_key(kind: SectionKind, der: &Secret<Vec<u8>>) -> Option<String> {
    let der = der.expose().clone();
    let key = Secret::new(match kind {
        SectionKind::RsaPrivateKey => PrivateKeyDer::Pkcs1(der.into()),
        SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(der.into()),
        _ => PrivateKeyDer::Pkcs8(der.into()),
    });
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(key.expose()).ok()?;
    signer.public_key().map(|spki| crate::cert::facts::pin(&spki))
}

fn revocation_list(der: &[u8]) -> Option<RevocationList> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let next = list.next_update().map(|at| at.timestamp());
    Some(RevocationList {
        issuer: printable(&list.issuer().to_string()),
        number: list.crl_number().map(ToString::to_string),
        this_update: date(list.last_update().timestamp()),
        next_update: next.map(date),
        revoked: list
            .iter_revoked_certificates()
            .map(|revoked| hex(revoked.raw_serial()))
            .collect(),
        ends: next,
    })
}

fn broken(text: String) -> Note {
    Note {
        severity: "refuse",
        what: "unreadable",
        text,
    }
}

//! The directory of a CA: root, issuing CAs, index, revocation list.
//!
//! `ca.crt`, `ca.key` are the root; `issuing.crt`, `issuing.key` the issuing CA, after a rollover `issuing-2.…` and so
//! on: the last one signs, the earlier ones still sign revocation lists for what they issued. Without any (`--root-only`)
//! the root signs. `index.json` knows every certificate that was signed; `crl.pem` holds one list of every CA.
//! Who holds a [`Directory`] holds its lock: two commands at once wait for each other, and neither's entry is lost.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::super::{files, output};
use super::index::Index;
use crate::cert::facts::{self, Facts, date};
use crate::cert::issue::Authority;
use crate::cert::load;

/// The list of a root that signs no leafs is renewed seldom: its key is meant to be elsewhere most of the time.
const ROOT_LIST: i64 = 365 * 86_400;

/// A CA on disk, locked.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

/// What became of `crl.pem`.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) file: PathBuf,
    pub(super) number: u64,
    pub(super) this_update: i64,
    pub(super) next_update: i64,
    /// CAs whose key is not here; their lists stay as they were.
    pub(super) kept: Vec<String>,
}

impl Directory {
    /// An existing CA.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let advice = format!("is the CA made? (delius-sidecar ca init --dir {})", path.display());
        files::read(&path.join("ca.crt"), &advice)?;
        Self::lock(path)
    }

    /// A new one, in a directory that may be missing.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        for name in [
            "ca.crt",
            "ca.key",
            "issuing.crt",
            "issuing.key",
            "index.json",
            "crl.pem",
        ] {
            files::refuse_existing(&path.join(name))?;
        }
        files::make_directory(path)?;
        Self::lock(path)
    }

    fn lock(path: &Path) -> anyhow::Result<Self> {
        let file = path.join(".lock");
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(&file);
        let lock = opened.and_then(|lock| lock.lock().map(|()| lock));
        Ok(Self {
            path: path.to_owned(),
            _lock: lock.with_context(|| format!("locking the CA with {}", file.display()))?,
        })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The root's certificate, to hand out.
    pub(super) fn root_pem(&self) -> anyhow::Result<String> {
        let path = self.file("ca.crt");
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// The root, to sign with.
    pub(super) fn root(&self) -> anyhow::Result<Authority> {
        self.authority("ca")
    }

    /// Who signs leafs: the last issuing CA, or the root where there is none.
    pub(super) fn signer(&self) -> anyhow::Result<Authority> {
        self.authority(&signer_name(&self.path))
    }

    /// The name of the next issuing CA's files.
    pub(super) fn next_issuing(&self) -> String {
        match self.issuing().len() {
            0 => String::from("issuing"),
            n => format!("issuing-{}", n + 1),
        }
    }

    /// The issuing CAs, oldest first.
    fn issuing(&self) -> Vec<String> {
        issuing(&self.path).collect()
    }

    fn authority(&self, name: &str) -> anyhow::Result<Authority> {
        let advice = format!(
            "the CA in {} signs with this file; is its key kept elsewhere?",
            self.path.display()
        );
        let certificate = files::read(&self.file(&format!("{name}.crt")), &advice)?;
        let key = files::read_secret(&self.file(&format!("{name}.key")), &advice)?;
        Authority::from_pem(&certificate, key.expose())
            .with_context(|| format!("loading {name}.crt and {name}.key of the CA in {}", self.path.display()))
    }

    pub(super) fn index(&self) -> anyhow::Result<Index> {
        let index = self.file("index.json");
        // Its loss would be the end of every revocation: the next list would be empty, and be number one again.
        if self.file("crl.pem").exists() && !index.exists() {
            bail!(
                "{} is missing, and crl.pem is there: without the index the next list would forget what was revoked; \
                 bring it back from its backup",
                index.display()
            );
        }
        Index::load(&index)
    }

    pub(super) fn save(&self, index: &Index) -> anyhow::Result<()> {
        files::replace(&self.file("index.json"), &index.text()?)
    }

    /// Signs the lists of every CA whose key is here and replaces `crl.pem`; the index is saved with the new number.
    pub(super) fn write_lists(&self, index: &mut Index, this_update: i64, next_update: i64) -> anyhow::Result<Lists> {
        let file = self.file("crl.pem");
        let before = fs::read(&file).unwrap_or_default();
        index.crl_number += 1;
        let number = index.crl_number;
        let mut text = String::new();
        let mut kept = Vec::new();
        let issuing = self.issuing();
        for name in issuing.iter().rev().map(String::as_str).chain(["ca"]) {
            if !self.file(&format!("{name}.key")).exists() {
                let certificate = files::read(&self.file(&format!("{name}.crt")), "it is a part of the CA")?;
                let own = load::anchors(&certificate).with_context(|| format!("reading {name}.crt"))?;
                let Some(own) = own.first() else { continue };
                text.push_str(&lists_of(&before, own)?);
                kept.push(Facts::read(own)?.subject);
                continue;
            }
            let authority = self.authority(name)?;
            let facts = Facts::read(authority.certificate())?;
            let end = if name == "ca" && !issuing.is_empty() {
                next_update.max(this_update.saturating_add(ROOT_LIST))
            } else {
                next_update
            };
            let revoked = index.revoked_by(&facts.serial)?;
            let list = authority.revocation_list(&revoked, number, this_update, end);
            text.push_str(&list.with_context(|| format!("signing the revocation list of \"{}\"", facts.subject))?);
        }
        if text.is_empty() {
            bail!(
                "no revocation list can be signed: no key of a CA is in {}; bring it back for this command",
                self.path.display()
            );
        }
        // The number first: one that is skipped does no harm, one that is used twice does.
        self.save(index)?;
        files::replace(&file, &text)?;
        Ok(Lists {
            file,
            number,
            this_update,
            next_update,
            kept,
        })
    }
}

impl Lists {
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("crl", self.file.display().to_string()),
            ("number", self.number.to_string()),
            ("this update", date(self.this_update)),
            ("next update", date(self.next_update)),
        ];
        if !self.kept.is_empty() {
            rows.push(("not renewed", self.kept.join(", ")));
        }
        rows
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "file": output::path(&self.file),
            "number": self.number,
            "this_update": date(self.this_update),
            "next_update": date(self.next_update),
            "not_renewed": self.kept,
        })
    }
}

/// The name of the files of the CA that signs leafs: the last issuing CA, or the root where there is none.
pub(in crate::cli) fn signer_name(directory: &Path) -> String {
    issuing(directory).last().unwrap_or_else(|| String::from("ca"))
}

fn issuing(directory: &Path) -> impl Iterator<Item = String> {
    let later = (2..).map(|n| format!("issuing-{n}"));
    std::iter::once(String::from("issuing"))
        .chain(later)
        .take_while(|name| directory.join(format!("{name}.crt")).exists())
}

/// The lists of one CA in a file of many, as they stand there.
fn lists_of(pem: &[u8], authority: &[u8]) -> anyhow::Result<String> {
    let issuer = Facts::read(authority)?.subject;
    let mut text = String::new();
    for list in CertificateRevocationListDer::pem_slice_iter(pem) {
        let list = list.context("crl.pem is damaged; remove it and bring the keys of all CAs back for this command")?;
        let parsed = CertificateRevocationList::from_der(&list);
        if parsed.is_ok_and(|(_, parsed)| facts::printable(&parsed.issuer().to_string()) == issuer) {
            text.push_str(&crate::cert::issue::pem("X509 CRL", &list));
        }
    }
    Ok(text)
}

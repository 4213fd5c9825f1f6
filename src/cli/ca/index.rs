//! `index.json`: every certificate that a CA signed, and which of them it took back.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::cert::facts::{Facts, date};
use crate::cert::issue::{Reason, Revoked};

const VERSION: u32 = 1;

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    version: u32,
    /// Of the last revocation list.
    pub(super) crl_number: u64,
    pub(super) certificates: Vec<Entry>,
}

/// One certificate that was signed. Times are RFC 3339.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Lower-case hexadecimal.
    pub(super) serial: String,
    pub(super) subject: String,
    pub(super) names: Vec<String>,
    /// The serial of the CA that signed it.
    pub(super) ca: String,
    pub(super) is_ca: bool,
    pub(super) sha256: String,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) issued: String,
    pub(super) revoked: Option<Revocation>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    pub(super) at: String,
    pub(super) reason: String,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            version: VERSION,
            crl_number: 0,
            certificates: Vec::new(),
        }
    }
}

impl Index {
    /// A CA without a revocation list has none yet.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("reading the index {}", path.display())),
        };
        let index: Self =
            serde_json::from_str(&text).with_context(|| format!("reading the index {}", path.display()))?;
        if index.version != VERSION {
            bail!(
                "the index {} is of version {}, and this program knows version {VERSION}",
                path.display(),
                index.version
            );
        }
        Ok(index)
    }

    pub(super) fn text(&self) -> anyhow::Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// Enters a certificate that the CA with this serial signed.
    pub(super) fn enter(&mut self, facts: &Facts, ca: &Facts, now: i64) {
        self.certificates.push(Entry {
            serial: facts.serial.clone(),
            subject: facts.subject.clone(),
            names: all_names(facts),
            ca: ca.serial.clone(),
            is_ca: facts.is_ca,
            sha256: facts.fingerprint(),
            not_before: date(facts.not_before),
            not_after: date(facts.not_after),
            issued: date(now),
            revoked: None,
        });
    }

    pub(super) fn find(&mut self, serial: &str) -> Option<&mut Entry> {
        let serial = plain_serial(serial);
        self.certificates
            .iter_mut()
            .find(|entry| plain_serial(&entry.serial) == serial)
    }

    /// What the CA with this serial took back.
    pub(super) fn revoked_by(&self, ca: &str) -> anyhow::Result<Vec<Revoked>> {
        let mut all = Vec::new();
        for entry in self.certificates.iter().filter(|entry| entry.ca == ca) {
            let Some(revoked) = &entry.revoked else { continue };
            let wrong = || format!("reading the revocation of {} in the index", entry.serial);
            let at: jiff::Timestamp = revoked.at.parse().with_context(wrong)?;
            let reason: Reason = revoked.reason.parse().map_err(anyhow::Error::msg).with_context(wrong)?;
            all.push(Revoked {
                serial: entry.serial.clone(),
                at: at.as_second(),
                reason,
            });
        }
        Ok(all)
    }
}

impl Revocation {
    pub(super) fn new(at: i64, reason: Reason) -> Self {
        Self {
            at: date(at),
            reason: reason.as_str().to_owned(),
        }
    }
}

/// As people paste it from anywhere: with colons, upper case, `0x` or leading zeros.
pub(super) fn plain_serial(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    let digits: String = text
        .strip_prefix("0x")
        .unwrap_or(&text)
        .chars()
        .filter(|c| !matches!(c, ':' | ' '))
        .collect();
    digits.trim_start_matches('0').to_owned()
}

fn all_names(facts: &Facts) -> Vec<String> {
    let names = facts.dns_names.iter().chain(&facts.uri_names).chain(&facts.ip_names);
    names.cloned().collect()
}

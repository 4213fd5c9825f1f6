//! `ca revoke` and `ca crl`: taking certificates back, and the list that tells the gateway.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::super::files;
use super::super::{output::Format, span};
use super::directory::Directory;
use super::index::{Revocation, plain_serial};
use super::made::Taken;
use crate::cert::facts::Facts;
use crate::cert::issue::Reason;

#[derive(Args, Debug)]
pub struct Revoke {
    /// The directory of the CA, as made by `ca init`.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The serial number, hexadecimal, as `cert inspect` and `openssl x509 -serial` show it.
    #[arg(long, value_name = "HEX", required_unless_present = "cert")]
    serial: Option<String>,
    /// The certificate; of a chain the first.
    #[arg(long, value_name = "FILE", conflicts_with = "serial")]
    cert: Option<PathBuf>,
    /// Why: unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation,
    /// privilege-withdrawn.
    #[arg(long, value_name = "REASON", default_value = "unspecified")]
    reason: Reason,
    #[command(flatten)]
    list: List,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

/// How long the new list is good for.
#[derive(Args, Debug)]
pub(super) struct List {
    /// How many days the new list is good for; 30 unless a time is given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_650), conflicts_with = "crl_valid_for")]
    crl_days: Option<u32>,
    /// How long the new list is good for: 30d, 8h, 60s.
    #[arg(long, value_name = "TIME", value_parser = span::parse_positive)]
    crl_valid_for: Option<i64>,
}

#[derive(Args, Debug)]
pub struct Crl {
    /// The directory of the CA, as made by `ca init`.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How long the new list is good for: 30d, 8h, 60s.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = span::parse_positive)]
    valid_for: i64,
    /// A list that is stale already, by a minute: to rehearse with.
    #[arg(long)]
    stale: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

impl Revoke {
    pub(super) fn run(&self, now: i64) -> anyhow::Result<Taken> {
        let directory = Directory::open(&self.dir)?;
        let mut index = directory.index()?;
        let mut notes = Vec::new();
        let (serial, shown) = self.meant()?;
        let known = index.certificates.len();
        let Some(entry) = index.find(&serial) else {
            bail!(
                "no certificate with the serial number {serial} was issued here: {} knows {known} others; nothing was changed",
                directory.file("index.json").display()
            );
        };
        if shown.as_ref().is_some_and(|shown| shown.fingerprint() != entry.sha256) {
            bail!("the certificate has a serial number of this CA, but is another CA's; nothing was changed");
        }
        match &entry.revoked {
            Some(before) => notes.push(format!(
                "it was revoked already at {} ({}), which stays; the list is renewed",
                before.at, before.reason
            )),
            None => entry.revoked = Some(Revocation::new(now, self.reason)),
        }
        if entry.is_ca {
            notes.push(String::from(
                "it is an issuing CA: whoever checks whole chains refuses all that it issued; the gateway looks at leafs only, so revoke those too, and make another CA with \"ca rollover\"; if its key leaked, a new root is needed",
            ));
        }
        let revoked = entry
            .revoked
            .clone()
            .map(|why| (entry.serial.clone(), entry.subject.clone(), why.at, why.reason));
        let lasting = self.list.crl_valid_for;
        let lasting = lasting.unwrap_or(i64::from(self.list.crl_days.unwrap_or(30)) * 86_400);
        let lists = directory.write_lists(&mut index, now, now.saturating_add(lasting))?;
        Ok(Taken { revoked, lists, notes })
    }

    /// The serial, and the certificate itself where it was given.
    fn meant(&self) -> anyhow::Result<(String, Option<Facts>)> {
        if let Some(file) = &self.cert {
            let read = files::read(file, "expected the certificate to revoke, PEM")?;
            let Ok(first) = CertificateDer::from_pem_slice(&read) else {
                bail!("{} holds no certificate (PEM)", file.display());
            };
            let facts = Facts::read(&first).with_context(|| format!("reading {}", file.display()))?;
            return Ok((facts.serial.clone(), Some(facts)));
        }
        let text = self.serial.clone().unwrap_or_default();
        let plain = plain_serial(&text);
        if plain.is_empty() || !plain.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            bail!(
                "\"{}\" is not a serial number: expected hexadecimal digits, as index.json has them",
                text.escape_debug()
            );
        }
        Ok((plain, None))
    }
}

impl Crl {
    pub(super) fn run(&self, now: i64) -> anyhow::Result<Taken> {
        let directory = Directory::open(&self.dir)?;
        let mut index = directory.index()?;
        let (from, to, notes) = if self.stale {
            let end = now.saturating_sub(60);
            let note = String::from("the list is stale: who insists on a fresh one refuses everybody");
            (end.saturating_sub(self.valid_for), end, vec![note])
        } else {
            (now, now.saturating_add(self.valid_for), Vec::new())
        };
        let lists = directory.write_lists(&mut index, from, to)?;
        Ok(Taken {
            revoked: None,
            lists,
            notes,
        })
    }
}

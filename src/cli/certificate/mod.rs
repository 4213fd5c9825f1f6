//! `ca …`: a small CA for development, staging and rehearsals, in a directory.
//!
//! `ca init` makes the root, `ca issue` a leaf of any validity window, also expired and not yet valid ones. Files are
//! written once: nothing here overwrites a key or a certificate. Keys have mode 0600 from their first byte on.
//!
//! Exit codes: 0 done, 1 failed (nothing was overwritten), 2 usage (clap).

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::cert::facts::{Facts, date};
use crate::cert::issue::{Authority, KeyKind, Purposes, Spec, Validity};
use crate::cert::load;
use crate::cert::verify::{self, Purpose};
use crate::clock;

/// Clocks of two machines differ; a certificate made now is valid a little earlier.
const BACKDATE: i64 = 60;

/// A small certificate authority, for development and staging only.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make a new root: ca.crt and ca.key in a directory.
    #[command(after_help = "Example: delius-sidecar ca init --dir certs-dev/ca")]
    Init(Init),
    /// Issue a certificate with a new key: tls.crt, tls.key and ca.crt in a directory.
    #[command(
        after_help = "Examples:\n  delius-sidecar ca issue --dir certs-dev/ca --dns allocation-manager --out certs-dev/client\n  \
                      delius-sidecar ca issue --dir certs-dev/ca --dns ndh.example --purpose server --out certs-dev/gateway\n  \
                      delius-sidecar ca issue --dir certs-dev/ca --dns allocation-manager --out certs-dev/expired \\\n    \
                      --not-before 2024-01-01T00:00:00Z --not-after 2024-06-30T23:59:59Z"
    )]
    Issue(Issue),
}

#[derive(Args, Debug)]
pub struct Init {
    /// Where ca.crt and ca.key are written; made where missing.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The common name of the CA.
    #[arg(long, value_name = "NAME", default_value = "delius-sidecar development CA")]
    name: String,
    /// How long the CA is valid, from now.
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Args, Debug)]
pub struct Issue {
    /// The directory of the CA, as made by `ca init`.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A DNS name; may be given several times.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["uri", "ip"])]
    dns: Vec<String>,
    /// A URI name, for instance a SPIFFE id; may be given several times.
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
    /// An IP address; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// The common name; otherwise the first of the names.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The organisational unit.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// Which side of mutual TLS the certificate is for.
    #[arg(long, value_enum, default_value_t = Side::Client)]
    purpose: Side,
    /// How long the certificate is valid, from now.
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36_500),
          conflicts_with_all = ["not_before", "not_after"])]
    days: u32,
    /// First second of validity, RFC 3339; may be in the past or in the future.
    #[arg(long, value_name = "RFC3339", requires = "not_after")]
    not_before: Option<jiff::Timestamp>,
    /// Last second of validity, RFC 3339.
    #[arg(long, value_name = "RFC3339", requires = "not_before")]
    not_after: Option<jiff::Timestamp>,
    /// Kind of the new key.
    #[arg(long, value_enum, default_value_t = KeyType::P256)]
    key_type: KeyType,
    /// Where tls.crt, tls.key and ca.crt are written; made where missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    Client,
    Server,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyType {
    P256,
    P384,
    Ed25519,
    Rsa2048,
}

/// What was made.
#[derive(Debug)]
struct Made {
    facts: Facts,
    files: Vec<PathBuf>,
    /// What is worth knowing before the certificate is used.
    notes: Vec<String>,
}

/// Runs a `ca` command.
#[must_use]
pub fn ca(command: CaCommand) -> ExitCode {
    let now = clock::unix_seconds();
    let (made, output) = match &command {
        CaCommand::Init(init) => (init.run(now), init.output),
        CaCommand::Issue(issue) => (issue.run(now), issue.output),
    };
    let done = made.and_then(|made| {
        for note in &made.notes {
            writeln!(io::stderr(), "note: {note}")?;
        }
        let text = match output {
            Output::Text => made.text(),
            Output::Json => format!("{:#}\n", made.json()),
        };
        Ok(io::stdout().write_all(text.as_bytes())?)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do where even this cannot be written.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Init {
    fn run(&self, now: i64) -> anyhow::Result<Made> {
        let authority = Authority::new_root(&self.name, lasting(now, self.days)).context("making the root")?;
        let (certificate, key) = (self.dir.join("ca.crt"), self.dir.join("ca.key"));
        refuse_existing(&[&certificate, &key])?;
        make_directory(&self.dir)?;
        write_new(&key, authority.key_pem().expose(), 0o600)?;
        write_new(&certificate, &authority.certificate_pem(), 0o644)?;
        Ok(Made {
            facts: Facts::read(authority.certificate())?,
            files: vec![certificate, key],
            notes: Vec::new(),
        })
    }
}

impl Issue {
    fn run(&self, now: i64) -> anyhow::Result<Made> {
        if let (Some(from), Some(to)) = (self.not_before, self.not_after)
            && from >= to
        {
            bail!("--not-before {from} is not before --not-after {to}; no certificate can be valid then");
        }
        let authority = self.authority()?;
        let (chain, key, ca) = (
            self.out.join("tls.crt"),
            self.out.join("tls.key"),
            self.out.join("ca.crt"),
        );
        refuse_existing(&[&chain, &key])?;
        let ca_pem = authority.certificate_pem();
        let ca_is_there = fs::read(&ca).is_ok_and(|found| found == ca_pem.as_bytes());
        if !ca_is_there {
            refuse_existing(&[&ca])?;
        }
        let issued = authority.issue(&self.spec(now)).context("issuing the certificate")?;
        let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes())?;
        make_directory(&self.out)?;
        write_new(&key, issued.key_pem.expose(), 0o600)?;
        write_new(&chain, &issued.chain_pem, 0o644)?;
        if !ca_is_there {
            write_new(&ca, &ca_pem, 0o644)?;
        }
        let purpose = match self.purpose {
            Side::Client | Side::Both => Purpose::Client,
            Side::Server => Purpose::Server,
        };
        let mut notes: Vec<String> = verify::findings(&bundle, purpose, &[], now, 0)
            .into_iter()
            .map(|finding| finding.text)
            .collect();
        if bundle.leaf_facts().not_after > Facts::read(authority.certificate())?.not_after {
            notes.push(String::from("the certificate outlives its CA, and ends with it"));
        }
        Ok(Made {
            facts: bundle.leaf_facts().clone(),
            files: vec![chain, key, ca],
            notes,
        })
    }

    fn authority(&self) -> anyhow::Result<Authority> {
        let read = |name: &str| {
            let path = self.dir.join(name);
            fs::read(&path).with_context(|| {
                format!(
                    "reading the CA from {}; is it made? (delius-sidecar ca init --dir {})",
                    path.display(),
                    self.dir.display()
                )
            })
        };
        let (certificate, key) = (read("ca.crt")?, read("ca.key")?);
        Authority::from_pem(&certificate, &key).with_context(|| format!("loading the CA in {}", self.dir.display()))
    }

    fn spec(&self, now: i64) -> Spec {
        let ip = self.ip.first().map(ToString::to_string);
        let first = self.dns.first().or(self.uri.first()).cloned().or(ip);
        let validity = match (self.not_before, self.not_after) {
            (Some(from), Some(to)) => Validity {
                not_before: from.as_second(),
                not_after: to.as_second(),
            },
            _ => lasting(now, self.days),
        };
        let purposes = match self.purpose {
            Side::Client => Purposes::Client,
            Side::Server => Purposes::Server,
            Side::Both => Purposes::Both,
        };
        Spec {
            organisational_unit: self.unit.clone(),
            dns: self.dns.clone(),
            uri: self.uri.clone(),
            ip: self.ip.clone(),
            key: match self.key_type {
                KeyType::P256 => KeyKind::EcdsaP256,
                KeyType::P384 => KeyKind::EcdsaP384,
                KeyType::Ed25519 => KeyKind::Ed25519,
                KeyType::Rsa2048 => KeyKind::Rsa2048,
            },
            ..Spec::new(self.name.clone().or(first).unwrap_or_default(), purposes, validity)
        }
    }
}

impl Made {
    fn text(&self) -> String {
        let facts = &self.facts;
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        [
            ("subject", facts.subject.clone()),
            ("issuer", facts.issuer.clone()),
            ("names", facts.names()),
            ("valid from", date(facts.not_before)),
            ("valid to", date(facts.not_after)),
            ("key", facts.key.to_string()),
            ("serial", facts.serial.clone()),
            ("sha256", facts.fingerprint()),
            ("spki", facts.spki()),
            ("files", files.join(", ")),
        ]
        .map(|(what, value)| format!("{what:<11}{value}\n"))
        .concat()
    }

    fn json(&self) -> serde_json::Value {
        let facts = &self.facts;
        json!({
            "subject": facts.subject,
            "issuer": facts.issuer,
            "dns": facts.dns_names,
            "uri": facts.uri_names,
            "ip": facts.ip_names,
            "not_before": date(facts.not_before),
            "not_after": date(facts.not_after),
            "key": facts.key.to_string(),
            "serial": facts.serial,
            "sha256": facts.fingerprint(),
            "spki": facts.spki(),
            "is_ca": facts.is_ca,
            "files": self.files,
            "notes": self.notes,
        })
    }
}

fn lasting(now: i64, days: u32) -> Validity {
    Validity {
        not_before: now.saturating_sub(BACKDATE),
        not_after: Validity::days(now, days).not_after,
    }
}

/// Looks before anything is written, so that a refusal leaves no half of a pair behind.
fn refuse_existing(paths: &[&Path]) -> anyhow::Result<()> {
    for path in paths {
        if path.symlink_metadata().is_ok() {
            bail!(
                "{} exists, and certificates and keys are never overwritten; choose another directory or remove it first",
                path.display()
            );
        }
    }
    Ok(())
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making the directory {}", path.display()))
}

fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests;

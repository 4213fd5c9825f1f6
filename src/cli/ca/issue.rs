//! `ca issue`: a certificate with a new key, right or wrong as asked for.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::super::files::NewFiles;
use super::super::output::Format;
use super::directory::Directory;
use super::made::Made;
use super::window::Window;
use crate::cert::facts::Facts;
use crate::cert::issue::{self, Authority, Issued, KeyKind, Purposes, Spec};
use crate::cert::load;
use crate::cert::verify::{self, Purpose};

#[derive(Args, Debug)]
pub struct Issue {
    /// The directory of the CA, as made by `ca init`.
    #[arg(long, value_name = "DIR", required_unless_present = "self_signed")]
    dir: Option<PathBuf>,
    /// No CA: a certificate that vouches for itself, as a stranger would show.
    #[arg(long, conflicts_with = "dir")]
    self_signed: bool,
    /// A DNS name; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = name, required_unless_present_any = ["uri", "ip", "cn_only"])]
    dns: Vec<String>,
    /// A URI name, for instance a SPIFFE id; may be given several times.
    #[arg(long, value_name = "URI", value_parser = name)]
    uri: Vec<String>,
    /// An IP address; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// The common name; otherwise the first of the names.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A common name and no alternative names, as old servers have: to be refused.
    #[arg(long, requires = "name", conflicts_with_all = ["dns", "uri", "ip"])]
    cn_only: bool,
    /// The organisational unit.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// The organisation.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// What the certificate is for; none states nothing, other is for neither side of TLS.
    #[arg(long, value_enum, default_value_t = Side::Client)]
    purpose: Side,
    #[command(flatten)]
    window: Window,
    /// Kind of the new key.
    #[arg(long, value_enum, default_value_t = KeyType::P256)]
    key_type: KeyType,
    /// Where tls.crt, tls.key and ca.crt are written; made where missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    Client,
    Server,
    Both,
    None,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    P256,
    P384,
    Ed25519,
    Rsa2048,
}

impl Issue {
    pub(super) fn run(&self, now: i64) -> anyhow::Result<Made> {
        let spec = self.spec(now)?;
        let directory = self.dir.as_deref().map(Directory::open).transpose()?;
        let root_pem = directory.as_ref().map(Directory::root_pem).transpose()?;
        let signer = directory.as_ref().map(Directory::signer).transpose()?;
        // A leaf may go where its CA is; a foreign ca.crt stays what it is, and nothing else is written.
        let ca = self.out.join("ca.crt");
        let new_ca = root_pem.as_ref().filter(|pem| !is_there(&ca, pem));
        let place = |issued: &Issued| self.files(new_ca.map(String::as_str), issued).refuse_existing();
        let issued = match &signer {
            Some(authority) => authority.issue(&spec),
            None => issue::self_signed(&spec),
        }
        .context("issuing the certificate")?;
        place(&issued)?;
        let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes())?;
        let facts = bundle.leaf_facts().clone();
        let mut notes: Vec<String> = verify::findings(&bundle, self.purpose.judged(), &[], now, 0)
            .into_iter()
            .map(|finding| finding.text)
            .collect();
        if let (Some(directory), Some(authority)) = (&directory, &signer) {
            notes.extend(outlives(&facts, authority)?);
            // Entered before it is handed out: an entry for nothing does no harm, a certificate without one does.
            let mut index = directory.index()?;
            index.enter(&facts, &Facts::read(authority.certificate())?, now);
            directory.save(&index)?;
        }
        let mut files = self.files(new_ca.map(String::as_str), &issued).write()?;
        if root_pem.is_some() && new_ca.is_none() {
            files.push(ca);
        }
        Ok(Made {
            facts,
            files,
            notes,
            issuing: None,
        })
    }

    fn files<'a>(&self, ca: Option<&'a str>, issued: &'a Issued) -> NewFiles<'a> {
        let files = NewFiles::new()
            .private(self.out.join("tls.key"), issued.key_pem.expose())
            .open(self.out.join("tls.crt"), &issued.chain_pem);
        match ca {
            Some(pem) => files.open(self.out.join("ca.crt"), pem),
            None => files,
        }
    }

    fn spec(&self, now: i64) -> anyhow::Result<Spec> {
        let ip = self.ip.first().map(ToString::to_string);
        let first = self.dns.first().or(self.uri.first()).cloned().or(ip);
        let common_name = self.name.clone().or(first).unwrap_or_default();
        Ok(Spec {
            organisational_unit: self.unit.clone(),
            organisation: self.organisation.clone(),
            dns: self.dns.clone(),
            uri: self.uri.clone(),
            ip: self.ip.clone(),
            key: self.key_type.kind(),
            ..Spec::new(common_name, self.purpose.purposes(), self.window.validity(now)?)
        })
    }
}

impl Side {
    pub fn purposes(self) -> Purposes {
        match self {
            Self::Client => Purposes::Client,
            Self::Server => Purposes::Server,
            Self::Both => Purposes::Both,
            Self::None => Purposes::Unstated,
            Self::Other => Purposes::Other,
        }
    }

    /// The side that a certificate is looked at from.
    pub fn judged(self) -> Purpose {
        match self {
            Self::Server => Purpose::Server,
            Self::Client | Self::Both | Self::None | Self::Other => Purpose::Client,
        }
    }
}

impl KeyType {
    pub fn kind(self) -> KeyKind {
        match self {
            Self::P256 => KeyKind::EcdsaP256,
            Self::P384 => KeyKind::EcdsaP384,
            Self::Ed25519 => KeyKind::Ed25519,
            Self::Rsa2048 => KeyKind::Rsa2048,
        }
    }
}

/// A path is as short-lived as its shortest part.
pub(super) fn outlives(facts: &Facts, authority: &Authority) -> anyhow::Result<Option<String>> {
    let ends_later = facts.not_after > Facts::read(authority.certificate())?.not_after;
    Ok(ends_later.then(|| String::from("the certificate outlives its CA, and ends with it")))
}

/// Any name, wrong ones too; an empty one is a slip.
fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(String::from("expected a name without spaces"));
    }
    Ok(text.to_owned())
}

/// The file has exactly this content.
pub(super) fn is_there(path: &Path, text: &str) -> bool {
    fs::read(path).is_ok_and(|found| found == text.as_bytes())
}

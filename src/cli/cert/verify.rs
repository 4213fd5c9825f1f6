//! `cert verify`: would the other side accept this?
//!
//! The verdict is the TLS stack's and nobody else's: `cert::chain::judge` runs the code, the algorithms and the options
//! of a handshake. What this program finds beside that is told as notes and changes nothing. So a certificate that only
//! the stack can read gets the stack's verdict, and an anchor that it cannot use is left out, as the stack would.
//!
//! Exit codes: 0 accepted, 1 refused, 2 usage, or files that cannot be read.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};

use super::super::files;
use super::super::output::{self, Format, Show, Tone};
use crate::cert::chain::{self, Trusted};
use crate::cert::crl;
use crate::cert::facts::{Facts, date};
use crate::cert::load::{self, LoadError, Part};
use crate::cert::verify::{self, Purpose};
use crate::clock;

/// Would the other side accept this certificate? The verdict is that of the TLS stack.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  delius-sidecar cert verify --ca ca.crt --cert tls.crt --key tls.key --purpose client\n  \
                  delius-sidecar cert verify --ca ca.crt --cert server.crt --purpose server --name ndh.example \\\n    \
                  --at 2027-01-31T00:00:00Z --crl ca.crl --output json\n\n\
                  Exit codes: 0 accepted, 1 refused, 2 usage or unreadable files."
)]
pub struct Verify {
    /// The CAs that the other side trusts, PEM.
    #[arg(long, value_name = "ROOTS")]
    ca: PathBuf,
    /// The certificate, then its intermediates, PEM.
    #[arg(long, value_name = "CHAIN")]
    cert: PathBuf,
    /// Its private key, to see that it belongs to the certificate.
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    /// The file that holds the key's password, where it is encrypted.
    #[arg(long, value_name = "FILE", requires = "key")]
    password_file: Option<PathBuf>,
    /// Which side of the connection shows the certificate.
    #[arg(long, value_enum)]
    purpose: Side,
    /// The name or IP address under which it is reached; several: all of them.
    #[arg(long = "name", value_name = "NAME", value_parser = name)]
    names: Vec<ServerName<'static>>,
    /// The moment of the connection; now unless given.
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    at: Option<i64>,
    /// Lists of revoked certificates, PEM or DER. With any, the certificate must be known not to be revoked.
    #[arg(long = "crl", value_name = "FILE")]
    crls: Vec<PathBuf>,
    /// What a list means that was to be renewed.
    #[arg(long, value_enum, default_value_t = Stale::Refuse, requires = "crls")]
    crl_stale: Stale,
    /// How the verdict is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stale {
    Refuse,
    Accept,
}

/// Runs `cert verify`.
#[must_use]
pub fn verify(args: &Verify) -> ExitCode {
    let printed = judge(args, clock::unix_seconds()).and_then(|verdict| {
        if args.output == Format::Text {
            for note in &verdict.notes {
                output::note(&note.text);
            }
        }
        output::print(&verdict, args.output)?;
        Ok(verdict)
    });
    match printed {
        Ok(verdict) if verdict.refusal.is_none() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}

struct Verdict {
    subject: String,
    purpose: Purpose,
    names: Vec<String>,
    at: i64,
    /// A stable word, and the sentence.
    refusal: Option<(&'static str, String)>,
    /// Subjects from the leaf to the anchor; empty where there is no path.
    path: Vec<String>,
    notes: Vec<Note>,
}

struct Note {
    what: &'static str,
    text: String,
}

fn judge(args: &Verify, now: i64) -> anyhow::Result<Verdict> {
    let at = args.at.unwrap_or(now);
    let purpose = match args.purpose {
        Side::Client => Purpose::Client,
        Side::Server => Purpose::Server,
    };
    let anchors = certificates(&args.ca, Part::Trust)?;
    let chain = certificates(&args.cert, Part::Certificate)?;
    let mut crls = Vec::new();
    for path in &args.crls {
        let bytes = files::read(path, "--crl takes a list of revoked certificates, PEM or DER")?;
        crls.extend(crl::read(&bytes).with_context(|| path.display().to_string())?);
    }
    let trusted = Trusted {
        anchors,
        crls: crl::newest_first(crls),
        refuse_stale: args.crl_stale == Stale::Refuse,
    };
    let mut notes = unusable_anchors(&trusted);
    let (refusal, path) = match chain::judge(&chain, &trusted, purpose, &args.names, at) {
        Ok(path) => {
            let links = path.intermediates.iter().chain(trusted.anchors.get(path.anchor));
            let path = chain.first().into_iter().chain(links).map(subject).collect();
            (wrong_key(args, &chain)?, path)
        }
        Err(error) => {
            // A key that cannot be read is said even so.
            wrong_key(args, &chain)?;
            (Some((error.as_str(), error.to_string())), Vec::new())
        }
    };
    let refused = refusal.as_ref().map(|(word, _)| *word);
    notes.extend(
        findings(&chain, purpose, at)
            .into_iter()
            .filter(|note| Some(note.what) != refused),
    );
    Ok(Verdict {
        subject: chain.first().map(subject).unwrap_or_default(),
        purpose,
        names: args.names.iter().map(|name| name.to_str().into_owned()).collect(),
        at,
        refusal,
        path,
        notes,
    })
}

fn certificates(path: &Path, part: Part) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let bytes = files::read(path, "expected certificates, PEM")?;
    load::certificates(&bytes, part).with_context(|| path.display().to_string())
}

/// What is wrong with the pair; an error where the key cannot be looked at.
fn wrong_key(args: &Verify, chain: &[CertificateDer<'_>]) -> anyhow::Result<Option<(&'static str, String)>> {
    let (Some(path), Some(leaf)) = (&args.key, chain.first()) else {
        return Ok(None);
    };
    let key = files::read_secret(path, "--key takes the private key, PEM")?;
    let password = args
        .password_file
        .as_ref()
        .map(|path| files::read_secret(path, "--password-file takes the file that holds the key's password"))
        .transpose()?;
    match load::fits(
        leaf,
        key.expose(),
        password.as_ref().map(|password| password.expose().as_slice()),
    ) {
        Ok(()) => Ok(None),
        Err(error @ LoadError::KeyMismatch { .. }) => Ok(Some(("key_mismatch", error.to_string()))),
        Err(error @ LoadError::UnusableKey(_)) => Ok(Some(("key", error.to_string()))),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn unusable_anchors(trusted: &Trusted) -> Vec<Note> {
    let anchors = trusted.anchors.iter().enumerate();
    let unusable = anchors.filter_map(|(index, anchor)| Some((index, chain::unusable_anchor(anchor)?)));
    let note = |(index, reason): (usize, String)| Note {
        what: "anchor",
        text: format!(
            "certificate {} of the trust bundle cannot be a trust anchor and is left out: {reason}",
            index + 1
        ),
    };
    unusable.map(note).collect()
}

/// What this program would say of the chain, as far as it can read it.
fn findings(chain: &[CertificateDer<'static>], purpose: Purpose, at: i64) -> Vec<Note> {
    let mut notes = Vec::new();
    let (mut readable, mut facts) = (Vec::new(), Vec::new());
    for (index, certificate) in chain.iter().enumerate() {
        match Facts::read(certificate) {
            Ok(found) => {
                readable.push(certificate.clone());
                facts.push(found);
            }
            Err(error) => notes.push(Note {
                what: "unreadable",
                text: format!("certificate {} of {} is {error}", index + 1, chain.len()),
            }),
        }
    }
    let leaf_is_readable = readable.first() == chain.first();
    if leaf_is_readable {
        let found = verify::chain_findings(&readable, &facts, purpose, &[], at, 0);
        notes.extend(found.into_iter().map(|finding| Note {
            what: finding.what.as_str(),
            text: finding.text,
        }));
    }
    notes
}

fn subject(certificate: &CertificateDer<'_>) -> String {
    Facts::read(certificate).map_or_else(|error| error.to_string(), |facts| facts.subject)
}

impl Show for Verdict {
    fn text(&self) -> String {
        let word = match &self.refusal {
            None => output::paint(Tone::Good, "accepted"),
            Some(_) => output::paint(Tone::Bad, "refused"),
        };
        let mut rows = vec![
            ("certificate", self.subject.clone()),
            ("as a", self.purpose.as_str().to_owned()),
        ];
        if !self.names.is_empty() {
            rows.push(("for", self.names.join(", ")));
        }
        rows.push(("at", date(self.at)));
        match &self.refusal {
            None => rows.push(("path", self.path.join("\n"))),
            Some((code, why)) => rows.push(("reason", format!("{why} ({code})"))),
        }
        format!("{word}\n{}", output::table(2, &rows))
    }

    fn json(&self) -> Value {
        let reason = self.refusal.as_ref();
        json!({
            "accepted": self.refusal.is_none(),
            "certificate": self.subject,
            "purpose": self.purpose.as_str(),
            "names": self.names,
            "at": date(self.at),
            "reason": reason.map(|(code, text)| json!({ "code": code, "text": text })),
            "path": self.path,
            "notes": self.notes.iter().map(|note| json!({ "what": note.what, "text": note.text })).collect::<Vec<_>>(),
        })
    }
}

fn name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| String::from("it is neither a DNS name nor an IP address"))
}

fn moment(text: &str) -> Result<i64, String> {
    let at: jiff::Timestamp = text
        .parse()
        .map_err(|_| String::from("expected a moment like 2027-01-31T00:00:00Z"))?;
    if at.as_second() < 0 {
        return Err(String::from("certificates are not judged at a time before 1970"));
    }
    Ok(at.as_second())
}

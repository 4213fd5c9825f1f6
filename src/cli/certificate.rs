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
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(subcommand)]
        command: CaCommand,
    }

    fn parse(line: &str, dir: &Path) -> Result<CaCommand, clap::Error> {
        let line = line.replace("DIR", &dir.display().to_string());
        Program::try_parse_from(std::iter::once("ca").chain(line.split_whitespace())).map(|program| program.command)
    }

    fn run(line: &str, dir: &Path) -> anyhow::Result<Made> {
        match parse(line, dir).unwrap() {
            CaCommand::Init(init) => init.run(NOW),
            CaCommand::Issue(issue) => issue.run(NOW),
        }
    }

    fn mode(path: PathBuf) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_ca_and_a_leaf_are_written_where_asked_and_chain_to_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let root = run("init --dir DIR/ca --name Test", at).unwrap();
        assert_eq!(root.facts.subject, "CN=Test");
        assert_eq!(root.facts.not_after, NOW + 3650 * DAY);
        assert!(root.facts.is_ca);
        let leaf = run("issue --dir DIR/ca --dns allocation-manager --out DIR/client", at).unwrap();
        assert_eq!(leaf.facts.dns_names, ["allocation-manager"]);
        assert_eq!(leaf.notes, [] as [&str; 0]);

        let read = |name: &str| fs::read(at.join("client").join(name)).unwrap();
        let bundle = load::bundle(&read("tls.crt"), &read("tls.key")).unwrap();
        let anchors = load::anchors(&read("ca.crt")).unwrap();
        verify::chain_to(&bundle, &anchors, Purpose::Client, NOW).unwrap();
        assert_eq!(bundle.leaf_facts(), &leaf.facts);
        assert_eq!(mode(at.join("ca/ca.key")), 0o600);
        assert_eq!(mode(at.join("client/tls.key")), 0o600);
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_half_done() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        run("init --dir DIR/ca", at).unwrap();
        let before = fs::read(at.join("ca/ca.key")).unwrap();
        let refused = run("init --dir DIR/ca", at).unwrap_err();
        assert!(refused.to_string().contains("ca.crt exists"), "{refused}");
        assert_eq!(fs::read(at.join("ca/ca.key")).unwrap(), before);

        fs::create_dir(at.join("client")).unwrap();
        fs::write(at.join("client/tls.key"), "somebody's key").unwrap();
        let refused = run("issue --dir DIR/ca --dns a --out DIR/client", at).unwrap_err();
        assert!(refused.to_string().contains("tls.key exists"), "{refused}");
        assert_eq!(fs::read(at.join("client/tls.key")).unwrap(), b"somebody's key");
        assert!(!at.join("client/tls.crt").exists());

        fs::create_dir(at.join("other")).unwrap();
        fs::write(at.join("other/ca.crt"), "another CA").unwrap();
        let refused = run("issue --dir DIR/ca --dns a --out DIR/other", at).unwrap_err();
        assert!(refused.to_string().contains("ca.crt exists"), "{refused}");
        assert!(!at.join("other/tls.key").exists());
    }

    #[test]
    fn a_leaf_may_be_issued_into_the_directory_of_its_ca() {
        let dir = tempfile::tempdir().unwrap();
        run("init --dir DIR", dir.path()).unwrap();
        run("issue --dir DIR --dns a --out DIR", dir.path()).unwrap();
    }

    #[test]
    fn expired_and_future_certificates_can_be_made_and_are_pointed_out() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        run("init --dir DIR/ca", at).unwrap();
        let line =
            "issue --dir DIR/ca --dns a --not-before 2024-01-01T00:00:00Z --not-after 2024-02-01T00:00:00Z --out DIR/e";
        let expired = run(line, at).unwrap();
        assert_eq!(expired.facts.not_before, 1_704_067_200);
        assert!(expired.notes[0].contains("expired"), "{:?}", expired.notes);
        let line =
            "issue --dir DIR/ca --dns a --not-before 2090-01-01T00:00:00Z --not-after 2091-01-01T00:00:00Z --out DIR/f";
        let future = run(line, at).unwrap();
        assert!(future.notes[0].contains("valid only in"), "{:?}", future.notes);
        assert!(future.notes[1].contains("outlives its CA"), "{:?}", future.notes);
    }

    #[test]
    fn purpose_key_and_names_are_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        run("init --dir DIR/ca", at).unwrap();
        let line = "issue --dir DIR/ca --dns ndh.example --dns localhost --ip 127.0.0.1 --uri spiffe://t/ndh --name NDH \
                    --unit HMPPS --purpose server --key-type rsa2048 --days 7 --out DIR/gateway";
        let made = run(line, at).unwrap();
        assert_eq!(made.facts.subject, "OU=HMPPS, CN=NDH");
        assert_eq!(
            made.facts.names(),
            "dns:ndh.example, dns:localhost, uri:spiffe://t/ndh, ip:127.0.0.1"
        );
        assert_eq!(made.facts.key.to_string(), "RSA 2048");
        assert_eq!(made.facts.not_after, NOW + 7 * DAY);
        let purposes = made.facts.purposes.unwrap();
        assert!(purposes.server_auth && !purposes.client_auth);
    }

    #[test]
    fn text_and_json_say_the_same_and_never_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        run("init --dir DIR/ca", at).unwrap();
        let made = run("issue --dir DIR/ca --dns a.example --days 30 --out DIR/c", at).unwrap();
        let (text, json) = (made.text(), made.json());
        for member in ["subject", "sha256", "spki", "serial", "not_after", "key"] {
            let value = json[member].as_str().unwrap();
            assert!(text.contains(value), "{member} {value} in {text}");
        }
        assert_eq!(json["dns"], json!(["a.example"]));
        assert_eq!(json["not_after"], "2027-02-14T08:00:00Z");
        let key = fs::read_to_string(at.join("c/tls.key")).unwrap();
        let body = key.lines().nth(1).unwrap();
        assert!(!text.contains(body) && !json.to_string().contains(body));
    }

    #[test]
    fn a_missing_ca_is_explained_with_the_command_that_makes_one() {
        let dir = tempfile::tempdir().unwrap();
        let refused = run("issue --dir DIR/none --dns a --out DIR/c", dir.path()).unwrap_err();
        let text = format!("{refused:#}");
        assert!(text.contains("none/ca.crt") && text.contains("ca init --dir"), "{text}");
        assert!(!dir.path().join("c").exists());
    }

    #[test]
    fn usage_errors_are_found_before_anything_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = [
            "init",
            "init --dir DIR --days 0",
            "init --dir DIR --days -1",
            "issue --dir DIR --out DIR",
            "issue --dir DIR --dns a --out DIR --not-before 2024-01-01T00:00:00Z",
            "issue --dir DIR --dns a --out DIR --not-before yesterday --not-after 2024-01-01T00:00:00Z",
            "issue --dir DIR --dns a --out DIR --days 3 --not-before 2024-01-01T00:00:00Z --not-after 2024-01-02T00:00:00Z",
            "issue --dir DIR --dns a --out DIR --key-type rsa1024",
            "issue --dir DIR --ip localhost --out DIR",
        ];
        for line in wrong {
            let error = parse(line, dir.path()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}: {error}");
        }
        parse("issue --dir DIR --ip 127.0.0.1 --out DIR", dir.path()).unwrap();
    }

    #[test]
    fn exit_codes_tell_done_from_failed() {
        let dir = tempfile::tempdir().unwrap();
        let line = "init --dir DIR/ca --output json";
        let code = |line| format!("{:?}", ca(parse(line, dir.path()).unwrap()));
        assert_eq!(code(line), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(line), format!("{:?}", ExitCode::FAILURE), "it exists now");
    }
}

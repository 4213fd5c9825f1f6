//! `cert request`: a private key and the request to have its certificate signed by the NDH team's CA.
//!
//! The key is made here and stays here. Nothing is overwritten, and neither file is written when one of them is there.
//!
//! Exit codes: 0 done, 1 failed, 2 usage.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use rustls_pki_types::DnsName;
use serde_json::{Value, json};

use super::super::ca::{KeyType, Side};
use super::super::files::{self, NewFiles};
use super::super::output::{self, Format, Show};
use crate::cert::issue::{Request, Wish};

/// Make a new private key and a certificate request (CSR) for it, to be signed by the CA that the other side trusts.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  delius-sidecar cert request --dns allocation-manager --key-out tls.key \\\n    --csr-out allocation-manager.csr\n  \
                        delius-sidecar cert request --dns allocation-manager --ou HMPPS --key tls.key \\\n    --csr-out allocation-manager.csr"
)]
pub struct RequestArgs {
    /// A DNS name; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = dns_name, required_unless_present = "uri")]
    dns: Vec<String>,
    /// A URI name, for instance a SPIFFE id; may be given several times.
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
    /// An IP address; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// The common name; otherwise the first of the names.
    #[arg(long, value_name = "NAME")]
    cn: Option<String>,
    /// The organisational unit.
    #[arg(long, value_name = "UNIT")]
    ou: Option<String>,
    /// The organisation.
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
    /// What the certificate shall be for.
    #[arg(long, value_enum, default_value_t = Side::Client)]
    purpose: Side,
    /// Kind of the new key.
    #[arg(long, value_enum, default_value_t = KeyType::P256)]
    key_type: KeyType,
    /// Where the new private key is written, mode 0600.
    #[arg(long, value_name = "FILE", required_unless_present = "key", conflicts_with = "key")]
    key_out: Option<PathBuf>,
    /// An existing private key (PEM) to ask for, instead of a new one.
    #[arg(long, value_name = "FILE", conflicts_with = "key_type")]
    key: Option<PathBuf>,
    /// Where the request is written.
    #[arg(long, value_name = "FILE")]
    csr_out: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

struct Asked {
    request: Request,
    csr: PathBuf,
    key: PathBuf,
    new_key: bool,
    csr_pem: String,
}

/// Runs `cert request`.
#[must_use]
pub fn request(args: &RequestArgs) -> ExitCode {
    output::finish(args.run().and_then(|asked| Ok(output::print(&asked, args.output)?)))
}

impl RequestArgs {
    fn run(&self) -> anyhow::Result<Asked> {
        files::refuse_existing(&self.csr_out)?;
        let wish = self.wish();
        let (made, key) = match (&self.key, &self.key_out) {
            (Some(path), _) => {
                let pem = files::read_secret(
                    path,
                    "--key names the private key to ask for; without it a new one is made",
                )?;
                let made = wish.with_key(pem.expose());
                (
                    made.with_context(|| format!("reading the key {}", path.display()))?,
                    path,
                )
            }
            (None, Some(path)) => {
                files::refuse_existing(path)?;
                let made = wish.with_new_key(self.key_type.kind());
                (made.context("making the request")?, path)
            }
            (None, None) => anyhow::bail!("--key-out FILE or --key FILE is needed"),
        };
        let mut new = NewFiles::new();
        if self.key.is_none() {
            new = new.private(key.clone(), made.key_pem.expose());
        }
        new.open(self.csr_out.clone(), &made.csr_pem).write()?;
        Ok(Asked {
            request: Request::read(made.csr_pem.as_bytes())?,
            csr: self.csr_out.clone(),
            key: key.clone(),
            new_key: self.key.is_none(),
            csr_pem: made.csr_pem.clone(),
        })
    }

    fn wish(&self) -> Wish {
        let first = self.dns.first().or(self.uri.first()).cloned();
        Wish {
            common_name: self.cn.clone().or(first).unwrap_or_default(),
            organisation: self.org.clone(),
            organisational_unit: self.ou.clone(),
            dns: self.dns.clone(),
            uri: self.uri.clone(),
            ip: self.ip.clone(),
            purposes: self.purpose.purposes(),
        }
    }
}

impl Show for Asked {
    fn text(&self) -> String {
        let (csr, key) = (self.csr.display(), self.key.display());
        let made = if self.new_key { "new, mode 0600" } else { "as it was" };
        let table = output::table(
            0,
            &[
                ("subject", self.request.subject.clone()),
                ("names", self.request.names()),
                ("key", self.request.key.to_string()),
                ("spki", self.request.spki.clone()),
                ("key file", format!("{key} ({made})")),
                ("request", csr.to_string()),
            ],
        );
        format!(
            "{table}\nSend {csr} to the NDH team, with the spki line above by another way, so that they can tell it is yours.\n\
             Ask for: these names as subject alternative names, client authentication, and the chain without the root.\n\
             Keep {key} where it is; nobody else needs it. When the certificate is back:\n  \
             delius-sidecar cert verify --ca ca.crt --cert tls.crt --key {key} --purpose client\n  \
             delius-sidecar cert secret --name delius-sidecar-identity --cert tls.crt --key {key} | kubectl apply -f -\n"
        )
    }

    fn json(&self) -> Value {
        json!({
            "subject": self.request.subject,
            "dns": self.request.dns_names,
            "uri": self.request.uri_names,
            "ip": self.request.ip_names,
            "key": self.request.key.to_string(),
            "spki": self.request.spki,
            "key_file": output::path(&self.key),
            "csr_file": output::path(&self.csr),
            "csr": self.csr_pem,
        })
    }
}

fn dns_name(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    match DnsName::try_from(bare) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(String::from(
            "it is not a DNS name; expected letters, digits, hyphens and dots",
        )),
    }
}

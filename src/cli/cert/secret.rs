//! `cert secret`: a Kubernetes manifest of a chain and key that were verified first.
//!
//! The manifest holds the private key: it goes into a pipe or a file of mode 0600 and never onto a terminal, and it is
//! put together in memory that is wiped. Nothing is printed when anything would be refused.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 usage.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::super::files::{self, NewFiles};
use super::super::output::{self, Format};
use super::Purpose;
use crate::cert::verify::{self, Severity};
use crate::cert::{Trusted, load};
use crate::clock;
use crate::secret::Secret;

/// Clocks of two machines differ by this much, in seconds.
const SKEW: i64 = 60;

/// A Kubernetes TLS secret manifest from a chain and key, verified first.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  delius-sidecar cert secret --name delius-sidecar-identity --cert tls.crt --key tls.key \\\n    \
                        --ca ca.crt --dns allocation-manager | kubectl apply -f -\n  \
                        delius-sidecar cert secret --name gateway --purpose server --cert tls.crt --key tls.key \\\n    \
                        --out gateway.yaml"
)]
pub struct SecretArgs {
    /// The name of the secret.
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    name: String,
    /// Its namespace; otherwise the one that kubectl works in.
    #[arg(long, value_name = "NAMESPACE", value_parser = object_name)]
    namespace: Option<String>,
    /// The certificate chain, PEM, leaf first.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The private key, PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The CA that the chain must lead to; it becomes ca.crt of the secret.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Which side of the handshake the certificate is for.
    #[arg(long, value_enum, default_value_t = Purpose::Client)]
    purpose: Purpose,
    /// A name that the certificate must carry; may be given several times.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// A new file of mode 0600 instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// text is YAML.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Runs `cert secret`.
#[must_use]
pub fn secret(args: &SecretArgs) -> ExitCode {
    output::finish(args.run(clock::unix_seconds(), io::stdout().is_terminal()))
}

impl SecretArgs {
    fn run(&self, now: i64, terminal: bool) -> anyhow::Result<()> {
        if terminal && self.out.is_none() {
            bail!(
                "the manifest holds the private key and is not shown on a terminal; pipe it (| kubectl apply -f -) or write it with --out FILE"
            );
        }
        let manifest = self.manifest(now)?;
        match &self.out {
            Some(path) => {
                NewFiles::new().private(path.clone(), manifest.expose()).write()?;
                output::note(&format!(
                    "{} holds the private key: mode 0600, remove it once applied",
                    path.display()
                ));
                Ok(())
            }
            None => Ok(output::print_raw(manifest.expose())?),
        }
    }

    fn manifest(&self, now: i64) -> anyhow::Result<Secret<String>> {
        let chain = files::read(&self.cert, "--cert names the certificate chain")?;
        let key = files::read_secret(&self.key, "--key names the private key of --cert")?;
        let ca = self.ca.as_deref();
        let ca = ca
            .map(|path| files::read(path, "--ca names the CA that the chain must lead to"))
            .transpose()?;
        let bundle = load::bundle(&chain, key.expose())
            .with_context(|| format!("reading {} and {}", self.cert.display(), self.key.display()))?;
        let findings = verify::findings(&bundle, self.purpose.into(), &self.dns, now, SKEW);
        let mut refused: Vec<String> = Vec::new();
        for finding in findings {
            match finding.severity {
                Severity::Warn => output::note(&finding.text),
                Severity::Refuse => refused.push(finding.text),
            }
        }
        if let Some(ca) = &ca {
            let anchors = load::anchors(ca).context("reading --ca")?;
            if let Err(error) = verify::chain_to(&bundle, &Trusted::anchors(anchors), self.purpose.into(), now) {
                refused.push(error.to_string());
            }
        }
        if !refused.is_empty() {
            bail!(
                "the certificate is not fit to be used, and nothing was written:\n  {}",
                refused.join("\n  ")
            );
        }
        Ok(Secret::new(self.write(&chain, key.expose(), ca.as_deref())))
    }

    /// Names were checked and base64 needs no quoting, so both forms are written as they are.
    fn write(&self, chain: &[u8], key: &[u8], ca: Option<&[u8]>) -> String {
        let room = (chain.len() + key.len() + ca.map_or(0, <[u8]>::len)) * 2 + 1024;
        // All at once: a text that grows leaves copies behind.
        let mut out = String::with_capacity(room);
        let json = self.output == Format::Json;
        let namespace = self.namespace.as_deref();
        if json {
            out.push_str("{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Secret\",\n  \"metadata\": {\n    \"name\": \"");
            out.push_str(&self.name);
            if let Some(namespace) = namespace {
                out.push_str("\",\n    \"namespace\": \"");
                out.push_str(namespace);
            }
            out.push_str("\"\n  },\n  \"type\": \"kubernetes.io/tls\",\n  \"data\": {");
        } else {
            out.push_str("apiVersion: v1\nkind: Secret\nmetadata:\n  name: \"");
            out.push_str(&self.name);
            if let Some(namespace) = namespace {
                out.push_str("\"\n  namespace: \"");
                out.push_str(namespace);
            }
            out.push_str("\"\ntype: kubernetes.io/tls\ndata:");
        }
        let parts = [("ca.crt", ca), ("tls.crt", Some(chain)), ("tls.key", Some(key))];
        for (index, (name, bytes)) in parts
            .iter()
            .filter_map(|(name, bytes)| Some((name, (*bytes)?)))
            .enumerate()
        {
            if json {
                out.push_str(if index == 0 { "\n    \"" } else { ",\n    \"" });
                out.push_str(name);
                out.push_str("\": \"");
                STANDARD.encode_string(bytes, &mut out);
                out.push('"');
            } else {
                out.push_str("\n  ");
                out.push_str(name);
                out.push_str(": ");
                STANDARD.encode_string(bytes, &mut out);
            }
        }
        out.push_str(if json { "\n  }\n}\n" } else { "\n" });
        out
    }
}

/// RFC 1123, as Kubernetes wants the names of objects.
fn object_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = text.len() <= 253
        && text.starts_with(plain)
        && text.ends_with(plain)
        && text.chars().all(|c| plain(c) || c == '-' || c == '.');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(String::from(
            "Kubernetes wants lower-case letters, digits, hyphens and dots, a letter or digit at both ends",
        ))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: SecretArgs,
    }

    fn args(line: &str) -> Result<SecretArgs, clap::Error> {
        Program::try_parse_from(std::iter::once("secret").chain(line.split_whitespace())).map(|program| program.args)
    }

    #[test]
    fn a_terminal_never_sees_the_key() {
        let refused = args("--name x --cert a --key b")
            .expect("usage")
            .run(0, true)
            .expect_err("refused");
        assert!(refused.to_string().contains("--out FILE"), "{refused}");
    }

    #[test]
    fn names_are_those_that_kubernetes_takes_so_that_nothing_else_gets_into_the_manifest() {
        for name in ["x", "delius-sidecar-identity", "a.b", "0"] {
            assert!(args(&format!("--name {name} --cert a --key b")).is_ok(), "{name}");
        }
        for name in ["X", "-a", "a-", "a_b", "a\"b", "a:b", "\u{e4}"] {
            assert!(args(&format!("--name={name} --cert a --key b")).is_err(), "{name}");
            assert!(
                args(&format!("--name a --namespace={name} --cert a --key b")).is_err(),
                "{name}"
            );
        }
    }
}

//! `stand-in standard`: the read API of the standard route.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::{CertificateArgs, FaultArgs};
use crate::cert::load;
use crate::cli::files;
use crate::rehearsal::auth;
use crate::rehearsal::standard::{Data, Keys, Options, Remote};

/// The read API of the standard route, with tokens checked by the keys of an Auth server
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    delius-sidecar stand-in standard --auth http://127.0.0.1:8082\n  \
    delius-sidecar stand-in standard --auth https://auth.example --auth-ca ca.crt --data people/\n  \
    curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8083/case-records/Z9001XA\n  \
    curl -X PUT --data '{\"currentTier\": \"D-0\"}' \\\n    \
    http://127.0.0.1:8083/stand-in/lie/case-records/Z9001XA\n  \
    curl http://127.0.0.1:8083/stand-in/requests")]
pub(super) struct StandardArgs {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8083")]
    listen: SocketAddr,
    /// The Auth server whose tokens are good; its keys are fetched when first needed
    #[arg(long, value_name = "URL")]
    auth: String,
    /// By whom the certificate of an https --auth must be signed (PEM)
    #[arg(long, value_name = "FILE")]
    auth_ca: Option<PathBuf>,
    /// What a token must say of its issuer; /auth/issuer below --auth if not given
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// A directory with invented people in its folder standard; those that come with the program if not given
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Case records in the shape of 2026, with the risk of serious harm, where there is one
    #[arg(long)]
    with_rosh: bool,
    /// A reply that is to be wrong: its path and a JSON merge patch, or null for "not found". May be given several
    /// times; PUT and DELETE /stand-in/lie change it while it runs
    #[arg(long, value_name = "PATH=PATCH", value_parser = lie)]
    lie: Vec<(String, Value)>,
    #[command(flatten)]
    certificate: CertificateArgs,
    #[command(flatten)]
    faults: FaultArgs,
}

fn lie(text: &str) -> Result<(String, Value), String> {
    let (path, patch) = text
        .split_once('=')
        .ok_or("expected PATH=PATCH, such as /case-records/Z9001XA={\"currentTier\":\"D-0\"}")?;
    let patch = serde_json::from_str(patch).map_err(|error| format!("the patch is not JSON: {error}"))?;
    Ok((path.to_owned(), patch))
}

impl StandardArgs {
    pub(super) fn options(self) -> anyhow::Result<Options> {
        let data = match &self.data {
            Some(directory) => Data::load(directory)?,
            None => Data::embedded()?,
        };
        for (path, _) in &self.lie {
            data.check_lie(path)
                .map_err(|error| anyhow::anyhow!("--lie: {error}"))?;
        }
        let trust = match &self.auth_ca {
            Some(file) => {
                let pem = files::read(file, "give the CA of the Auth server with --auth-ca FILE")?;
                load::anchors(&pem).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?
            }
            None => Vec::new(),
        };
        Ok(Options {
            listen: self.listen,
            certificate: self.certificate.load()?,
            data,
            keys: Keys::Elsewhere(Arc::new(Remote::new(&self.auth, &trust)?)),
            issuer: self.issuer.unwrap_or_else(|| auth::issuer(&self.auth)),
            with_rosh: self.with_rosh,
            lies: self.lie,
            faults: self.faults.fault,
            seed: self.faults.seed,
        })
    }
}

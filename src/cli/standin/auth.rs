//! `stand-in auth`: HMPPS Auth. Secrets come from files, never from the command line, where every process sees them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Args;

use super::{CertificateArgs, FaultArgs};
use crate::cli::span::duration_positive;
use crate::rehearsal::auth::{Client, Credential, Directory, Options, ROLE};

/// HMPPS Auth: tokens by client credentials, signed for real, and the keys to check them with
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    delius-sidecar stand-in auth --client delius-sidecar:secret.txt\n  \
    delius-sidecar stand-in auth --clients clients/ --expires-in 30s --fault 502:0.05\n  \
    curl -u \"delius-sidecar:$(cat secret.txt)\" -X POST \\\n    \
    'http://127.0.0.1:8082/auth/oauth/token?grant_type=client_credentials'\n  \
    curl -X PUT --data '503:1' http://127.0.0.1:8082/stand-in/faults\n  \
    curl -X POST --data drop http://127.0.0.1:8082/stand-in/key")]
pub(super) struct AuthArgs {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    listen: SocketAddr,
    #[command(flatten)]
    clients: ClientArgs,
    /// A client whose tokens carry no role. May be given several times
    #[arg(long, value_name = "ID")]
    without_role: Vec<String>,
    /// What the tokens of all other clients say they may do. May be given several times
    #[arg(long, value_name = "ROLE", default_value = ROLE)]
    role: Vec<String>,
    /// Life of a token
    #[arg(long, value_name = "DURATION", default_value = "1200s", value_parser = duration_positive)]
    expires_in: Duration,
    /// What tokens say of their issuer, where callers know this side by another name; its own address if not given
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    certificate: CertificateArgs,
    #[command(flatten)]
    faults: FaultArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct ClientArgs {
    /// A client and the file of its secret, which is read at each request. May be given several times
    #[arg(long, value_name = "ID:FILE", value_parser = client)]
    client: Vec<(String, PathBuf)>,
    /// A directory with a file for each client, named as the client, with the secret in it; read at each request
    #[arg(long, value_name = "DIR")]
    clients: Option<PathBuf>,
}

fn client(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once(':') {
        Some((id, file)) if !id.is_empty() && !file.is_empty() => Ok((id.to_owned(), PathBuf::from(file))),
        _ => Err("expected ID:FILE, a client and the file that holds its secret".to_owned()),
    }
}

impl ClientArgs {
    /// Whether there is a client of this name now; the files of a directory may come and go.
    fn has(&self, id: &str) -> bool {
        let in_directory = |path: &PathBuf| !id.is_empty() && !id.contains('/') && path.join(id).is_file();
        self.client.iter().any(|(known, _)| known == id) || self.clients.as_ref().is_some_and(in_directory)
    }

    /// The first one that is given more than once.
    fn twice(&self) -> Option<&str> {
        let mut seen = BTreeSet::new();
        let mut ids = self.client.iter().map(|(id, _)| id.as_str());
        ids.find(|id| !seen.insert(*id))
    }
}

impl AuthArgs {
    pub(super) fn options(self) -> anyhow::Result<Options> {
        if let Some(id) = self.clients.twice() {
            bail!("--client names {id} more than once; expected one secret for each client");
        }
        if let Some(path) = &self.clients.clients {
            ensure!(
                path.is_dir(),
                "{} is not a directory; expected a file for each client in it, named as the client",
                path.display()
            );
        }
        if let Some(id) = self.without_role.iter().find(|id| !self.clients.has(id)) {
            bail!(
                "--without-role names {id}, and there is no such client; expected one of --client or a file in --clients"
            );
        }
        let mut clients = Vec::new();
        for (id, path) in self.clients.client {
            ensure!(
                path.is_file(),
                "{} is not a file; expected the secret of the client {id} in it",
                path.display()
            );
            let poor = self.without_role.contains(&id);
            clients.push(Client {
                roles: if poor { Vec::new() } else { self.role.clone() },
                credential: Credential::File(path),
                id,
            });
        }
        Ok(Options {
            listen: self.listen,
            certificate: self.certificate.load()?,
            clients,
            directory: self.clients.clients.map(|path| Directory {
                path,
                roles: self.role,
                without_role: self.without_role,
            }),
            issuer: self.issuer,
            expires_in: self.expires_in,
            faults: self.faults.fault,
            seed: self.faults.seed,
        })
    }
}

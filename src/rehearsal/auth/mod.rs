//! The HMPPS Auth stand-in: client credentials in, real RS256 tokens out, and the keys to check them with.
//!
//! Both servers of the real service are here: `/auth/oauth/token` answers as the older one, `/oauth2/token` as the newer
//! one, which words scope and token type differently. Clients and their secrets come from files that are read at each
//! request, so that a rotation needs no restart, and a withdrawn client is refused at once.

mod clients;
mod grant;
mod keys;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, header};
use serde_json::json;

use self::clients::Clients;
pub use self::clients::{Client, Credential, Directory};
pub(super) use self::keys::Keyring;
use super::faults::Rule;
use super::message::{Ask, Reply};
use super::serve::{self, Side, Terms};
use crate::cert::load::Bundle;

/// The role that the read API asks for.
pub const ROLE: &str = "ROLE_PROBATION_API__MANAGE_POM_CASES__CASE_DETAIL";

/// How a stand-in is started.
#[derive(Debug)]
pub struct Options {
    /// Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// HTTPS with this certificate; plain HTTP without.
    pub certificate: Option<Bundle>,
    pub clients: Vec<Client>,
    /// More clients.
    pub directory: Option<Directory>,
    /// What tokens say of their issuer; the stand-in's own address if not given.
    pub issuer: Option<String>,
    /// Life of a token.
    pub expires_in: Duration,
    pub faults: Vec<Rule>,
    /// Start of the draws for `faults`.
    pub seed: u64,
}

impl Options {
    /// A well-behaved stand-in on a loopback port of the kernel's choice.
    #[must_use]
    pub fn new(clients: Vec<Client>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            certificate: None,
            clients,
            directory: None,
            issuer: None,
            expires_in: Duration::from_secs(1200),
            faults: Vec::new(),
            seed: 1,
        }
    }
}

/// Binds and serves until the answer is stopped or dropped.
pub fn start(options: Options) -> io::Result<Running> {
    let terms = Terms {
        name: "stand-in-auth",
        listen: options.listen,
        certificate: options.certificate,
        faults: options.faults,
        seed: options.seed,
    };
    serve::start(terms, |url| {
        Ok(Auth {
            clients: Clients::new(options.clients, options.directory),
            keyring: Arc::new(Keyring::fresh()?),
            issuer: options.issuer.unwrap_or_else(|| issuer(url)),
            expires_in: options.expires_in,
        })
    })
}

/// What the tokens of the Auth server at this URL say of their issuer.
#[must_use]
pub fn issuer(url: &str) -> String {
    format!("{}/auth/issuer", url.trim_end_matches('/'))
}

/// An Auth stand-in that serves.
pub type Running = serve::Running<Auth>;

impl Running {
    /// A client more, or another secret for one there is.
    pub fn admit(&self, client: Client) {
        self.side.clients.admit(client);
    }

    /// Refuses this client from now on; the tokens it has stay good.
    pub fn withdraw(&self, id: &str) {
        self.side.clients.withdraw(id);
    }

    /// Signs with a new key from now on. The old one stays published beside it or goes at once, and with it every token
    /// that it signed.
    pub fn change_key(&self, keep_the_old: bool) -> io::Result<()> {
        self.side.keyring.change(keep_the_old)
    }

    pub(super) fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.side.keyring)
    }

    /// What its tokens say of their issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.side.issuer
    }
}

/// What the stand-in answers.
#[derive(Debug)]
pub struct Auth {
    clients: Clients,
    keyring: Arc<Keyring>,
    issuer: String,
    expires_in: Duration,
}

impl Auth {
    /// Where everything else is, seen from a client: the issuer without its last part.
    fn base(&self) -> &str {
        self.issuer.strip_suffix("/issuer").unwrap_or(&self.issuer)
    }

    fn keys(&self) -> Reply {
        Reply::json(200, &self.keyring.jwks()).with(header::CACHE_CONTROL, "max-age=43200, public")
    }

    fn configuration(&self) -> Reply {
        let base = self.base();
        Reply::json(
            200,
            &json!({
                "issuer": self.issuer,
                "authorization_endpoint": format!("{base}/oauth/authorize"),
                "token_endpoint": format!("{base}/oauth/token"),
                "jwks_uri": format!("{base}/.well-known/jwks.json"),
            }),
        )
    }
}

impl Side for Auth {
    fn answer(&self, ask: &Ask<'_>) -> Reply {
        match ask.path {
            "/auth/oauth/token" => self.token(ask, grant::Server::Older),
            "/oauth2/token" | "/auth/oauth2/token" => self.token(ask, grant::Server::Newer),
            path if !ask.reads() => Reply::unhandled(405, path),
            "/auth/.well-known/jwks.json" => self.keys(),
            "/auth/issuer/.well-known/openid-configuration" => self.configuration(),
            "/auth/ping" => Reply::text(200, "pong"),
            "/auth/health" | "/auth/health/ping" | "/auth/health/liveness" | "/auth/health/readiness" => {
                Reply::json(200, &json!({ "status": "UP" }))
            }
            path => Reply::unhandled(404, path),
        }
    }

    fn is_api(&self, path: &str) -> bool {
        path.ends_with("/token") || path.contains("/.well-known/")
    }

    fn refusal(&self, status: u16, path: &str) -> Reply {
        match status {
            401 => grant::invalid_client(),
            other => Reply::unhandled(other, path),
        }
    }

    fn lever(&self, ask: &Ask<'_>, path: &str) -> Option<Reply> {
        if path != "/key" {
            return None;
        }
        if *ask.method != Method::POST {
            return Some(Reply::unhandled(405, ask.path));
        }
        let keep = match ask.body.trim_ascii() {
            b"keep" => true,
            b"drop" => false,
            _ => return Some(Reply::text(400, "expected keep or drop: what becomes of the old key\n")),
        };
        Some(match self.keyring.change(keep) {
            Ok(()) => Reply::empty(204),
            Err(error) => Reply::text(500, format!("{error}\n")),
        })
    }
}

#[cfg(test)]
mod tests;

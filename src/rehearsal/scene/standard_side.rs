//! The standard side of a scene: HMPPS Auth and the read API, behind TLS of a CA of their own, and the sidecar's client there.
//!
//! Whatever asks here asks as a stranger would, over the network and with a token of its own.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::auth::{self, Client};
use super::super::client::{Answer, Ask};
use super::super::papers::{Ca, Knock, knock};
use super::super::place;
use super::super::standard;
use super::SceneError;
use super::programs;
use crate::cert::facts::hex;
use crate::cert::issue::Issued;
use crate::cert::load::{self, Bundle};
use crate::secret::Secret;

/// The name of the token in the configuration.
pub const TOKEN: &str = "hmpps-auth";
/// Where the client's two files are.
pub const CLIENT: &str = "client";
pub const CLIENT_ID: &str = "client-id";
pub const CLIENT_SECRET: &str = "client-secret";
pub(super) const TRUST: &str = "trust-standard";
/// The client that is there first; copies of it get a number more.
pub const FIRST_CLIENT: &str = "delius-sidecar";
/// The client of whoever asks directly.
const WITNESS: &str = "witness";

/// Auth and the read API, running.
#[derive(Debug)]
pub struct StandardSide {
    pub api: standard::Running,
    pub auth: auth::Running,
    root_pem: String,
    witness: Secret<String>,
    /// The secret of [`FIRST_CLIENT`].
    first: Secret<String>,
}

impl StandardSide {
    /// Starts both and writes below `directory` whom to trust, the client's files and the mapping programs.
    pub(super) fn set(directory: &Path, now: i64) -> Result<Self, SceneError> {
        let written = |error| SceneError::Files {
            place: directory.to_owned(),
            error,
        };
        let ca = Ca::new("of the standard side", now)?;
        let bundle = |issued: &Issued| -> Result<Bundle, SceneError> {
            let bundle = load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes());
            bundle.map_err(|error| SceneError::StandIn(io::Error::other(error)))
        };
        let (first, witness) = secret()
            .and_then(|first| Ok((first, unguessable()?)))
            .map_err(written)?;
        let clients = [(FIRST_CLIENT, &first), (WITNESS, &witness)];
        let mut options = auth::Options::new(clients.map(|(id, secret)| Client::new(id, secret.expose())).into());
        options.certificate = Some(bundle(&ca.gateway(now)?)?);
        let auth = auth::start(options).map_err(SceneError::StandIn)?;
        let mut options = standard::Options::new(standard::Data::embedded()?, &auth);
        options.certificate = Some(bundle(&ca.gateway(now)?)?);
        let api = standard::start(options).map_err(SceneError::StandIn)?;
        let side = Self {
            api,
            auth,
            root_pem: ca.root.certificate_pem(),
            witness,
            first,
        };
        side.write(directory).map_err(written)?;
        Ok(side)
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        let trust = directory.join(TRUST);
        std::fs::create_dir(&trust)?;
        place::rename(&trust, &[(place::BUNDLE, &self.root_pem)])?;
        let client = directory.join(CLIENT);
        std::fs::create_dir(&client)?;
        place::swap(&client, &pair(FIRST_CLIENT, &self.first))?;
        programs::write(directory)
    }

    /// The secret of the client that is there first.
    #[must_use]
    pub const fn first_secret(&self) -> &Secret<String> {
        &self.first
    }

    /// What the read API says, asked without anything between.
    pub fn ask(&self, target: &str) -> io::Result<Answer> {
        let pair = STANDARD.encode(format!("{WITNESS}:{}", self.witness.expose()));
        let headers = [("authorization", &*format!("Basic {pair}"))];
        let ask = Ask {
            method: "POST",
            headers: &headers,
            ..Ask::get("/auth/oauth/token?grant_type=client_credentials")
        };
        let granted = self.knock(self.auth.address(), &ask)?;
        let granted: serde_json::Value = serde_json::from_slice(&granted.body)?;
        let token = granted["access_token"].as_str();
        let token = token.ok_or_else(|| io::Error::other("the Auth stand-in gave no token"))?;
        let headers = [("authorization", &*format!("Bearer {token}"))];
        let ask = Ask {
            headers: &headers,
            ..Ask::get(target)
        };
        self.knock(self.api.address(), &ask)
    }

    fn knock(&self, at: std::net::SocketAddr, ask: &Ask<'_>) -> io::Result<Answer> {
        match knock(&self.root_pem, at, None, ask)? {
            Knock::Answered(answer) => Ok(answer),
            Knock::Refused(how) => Err(io::Error::other(how)),
        }
    }
}

/// A client, as files.
#[must_use]
pub fn pair<'a>(id: &'a str, secret: &'a Secret<String>) -> [place::File<'a>; 2] {
    [(CLIENT_ID, id), (CLIENT_SECRET, secret.expose())]
}

/// The trust bundle of the standard side, below a scene's directory.
#[must_use]
pub fn trust(directory: &Path) -> PathBuf {
    directory.join(TRUST).join(place::BUNDLE)
}

/// A secret that nobody has had, with characters that have to be encoded on their way.
pub fn secret() -> io::Result<Secret<String>> {
    Ok(Secret::new(format!("{}+/:%&=", unguessable()?.expose())))
}

fn unguessable() -> io::Result<Secret<String>> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gave no random bytes"))?;
    Ok(Secret::new(hex(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_read_api_answers_whoever_has_a_token_of_the_auth_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let side = StandardSide::set(directory.path(), clock::unix_seconds()).unwrap();
        let answer = side.ask("/case-records/Z9001XA").unwrap();
        let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &told["currentTier"]), (200, &"A-2".into()));
        assert_eq!(side.api.requests("GET", "/case-records/Z9001XA"), 1);
        let stranger = side.knock(side.api.address(), &Ask::get("/case-records/Z9001XA"));
        assert_eq!(stranger.unwrap().status, 401);
        let file = |name: &str| std::fs::read_to_string(directory.path().join(CLIENT).join(name)).unwrap();
        assert_eq!(
            (file(CLIENT_ID), file(CLIENT_SECRET)),
            (FIRST_CLIENT.to_owned(), side.first.expose().clone())
        );
        assert!(!format!("{side:?}").contains(side.first.expose()));
    }
}

//! Who may have a token: clients with a secret given or in a file, or a directory with a file for each.
//!
//! Files are read at each request and never kept: during a rotation the old client and the new one stand side by side,
//! each with its own secret, until somebody takes the old file away.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ROLE;
use crate::secret::Secret;

const LONGEST_SECRET: u64 = 64 << 10;

/// One who may ask for tokens.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub credential: Credential,
    /// What its tokens say it may do.
    pub roles: Vec<String>,
}

/// Where a secret is.
#[derive(Clone, Debug)]
pub enum Credential {
    Given(Secret<String>),
    /// A line end after it does not count.
    File(PathBuf),
}

/// A file for each client, named as the client, with the secret in it.
#[derive(Clone, Debug)]
pub struct Directory {
    pub path: PathBuf,
    /// What the tokens of its clients say they may do.
    pub roles: Vec<String>,
    /// The clients whose tokens say nothing of the kind.
    pub without_role: Vec<String>,
}

/// Everyone who may ask.
#[derive(Debug)]
pub(super) struct Clients {
    known: Mutex<BTreeMap<String, Client>>,
    directory: Option<Directory>,
}

impl Client {
    /// A client with the role of the read API.
    #[must_use]
    pub fn new(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            credential: Credential::Given(Secret::new(secret.to_owned())),
            roles: vec![ROLE.to_owned()],
        }
    }
}

impl Credential {
    /// The secret as it is now; `None` where the file is gone or cannot be read.
    fn secret(&self) -> Option<Secret<String>> {
        match self {
            Self::Given(secret) => Some(secret.clone()),
            Self::File(path) => read(path).ok(),
        }
    }
}

impl Clients {
    pub(super) fn new(clients: Vec<Client>, directory: Option<Directory>) -> Self {
        let known = clients.into_iter().map(|client| (client.id.clone(), client));
        Self {
            known: Mutex::new(known.collect()),
            directory,
        }
    }

    pub(super) fn admit(&self, client: Client) {
        self.known().insert(client.id.clone(), client);
    }

    pub(super) fn withdraw(&self, id: &str) {
        self.known().remove(id);
    }

    /// The roles of the client whom this pair proves.
    pub(super) fn roles(&self, id: &str, secret: &Secret<String>) -> Option<Vec<String>> {
        let client = self.known().get(id).cloned();
        let client = client.or_else(|| self.directory.as_ref()?.client(id))?;
        (client.credential.secret()? == *secret).then_some(client.roles)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Client>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    fn client(&self, id: &str) -> Option<Client> {
        // The identifier comes from outside and becomes a file name: only what cannot lead elsewhere.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if id.starts_with('.') || !id.bytes().all(plain) {
            return None;
        }
        let without_role = self.without_role.iter().any(|named| named == id);
        Some(Client {
            id: id.to_owned(),
            credential: Credential::File(self.path.join(id)),
            roles: if without_role { Vec::new() } else { self.roles.clone() },
        })
    }
}

fn read(path: &Path) -> io::Result<Secret<String>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(LONGEST_SECRET)
        .read_to_end(&mut bytes)?;
    let secret = Secret::new(bytes);
    let text = std::str::from_utf8(secret.expose()).map_err(io::Error::other)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(clients: &Clients, id: &str, secret: &str) -> Option<Vec<String>> {
        clients.roles(id, &Secret::new(secret.to_owned()))
    }

    #[test]
    fn a_directory_is_read_anew_for_each_request_and_never_left() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("clients");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(place.path().join("outside"), "s").unwrap();
        std::fs::write(path.join("app"), "first\n").unwrap();
        let clients = Clients::new(
            Vec::new(),
            Some(Directory {
                path: path.clone(),
                roles: vec![ROLE.to_owned()],
                without_role: vec!["poor".to_owned()],
            }),
        );
        assert_eq!(given(&clients, "app", "first"), Some(vec![ROLE.to_owned()]));
        std::fs::write(path.join("app-1"), "second").unwrap();
        std::fs::write(path.join("poor"), "third").unwrap();
        assert!(given(&clients, "app", "first").is_some() && given(&clients, "app-1", "second").is_some());
        assert_eq!(given(&clients, "poor", "third"), Some(Vec::new()));
        assert_eq!(given(&clients, "app", "second"), None);
        std::fs::remove_file(path.join("app")).unwrap();
        assert_eq!(given(&clients, "app", "first"), None);
        for elsewhere in ["../outside", "..", ".", "", "a/b"] {
            assert_eq!(given(&clients, elsewhere, "s"), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_client_is_withdrawn_and_admitted_while_it_serves() {
        let clients = Clients::new(vec![Client::new("app", "a")], None);
        assert!(given(&clients, "app", "a").is_some());
        clients.admit(Client::new("app-1", "b"));
        clients.withdraw("app");
        assert_eq!(given(&clients, "app", "a"), None);
        assert!(given(&clients, "app-1", "b").is_some());
        assert!(!format!("{clients:?}").contains("\"b\""));
    }
}

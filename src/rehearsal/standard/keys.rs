//! The public keys of the Auth server: from the stand-in in this process, or fetched as a JWK set (RFC 7517).
//!
//! Fetched keys are kept. A key that is not among them makes the set be fetched again, though not more than once in a
//! while: a caller with made-up tokens must not make this side call the other for each of them.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;

use super::super::auth::Keyring;
use super::super::client;
use crate::cert::Trusted;
use crate::clock;
use crate::config::settings::TlsVersion;
use crate::transport::tls;

const PATH: &str = "/auth/.well-known/jwks.json";
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum Keys {
    /// In this process: a change shows at once.
    #[expect(private_interfaces, reason = "made by Options::new only")]
    Here(Arc<Keyring>),
    Elsewhere(Arc<Remote>),
}

/// The keys of an Auth server on the network.
#[derive(Debug)]
pub struct Remote {
    host: String,
    port: u16,
    tls: Option<Arc<rustls::ClientConfig>>,
    base_path: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Vec<PublicKey>,
    fetched: Option<Duration>,
}

/// Why no keys can be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("the URL {0:?} of the Auth server is not of the form http://host:port or https://host:port")]
    Url(String),
    #[error("the Auth server's CA is not known: an https URL needs it")]
    NoTrust,
    #[error("the Auth server's CA cannot be used: {0}")]
    Trust(#[from] tls::TlsError),
    #[error("the keys cannot be fetched: {0}")]
    Fetch(#[from] io::Error),
}

/// An RSA key, both numbers big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    id: String,
    pub(super) modulus: Vec<u8>,
    pub(super) exponent: Vec<u8>,
}

impl Keys {
    pub(super) fn find(&self, id: &str) -> Result<Option<PublicKey>, KeysError> {
        match self {
            Self::Here(keyring) => Ok(among(read(&keyring.jwks()), id)),
            Self::Elsewhere(remote) => remote.find(id),
        }
    }
}

impl Remote {
    /// The keys of the Auth server at `url`; with https, by whom its certificate must be signed.
    pub fn new(url: &str, trust: &[CertificateDer<'static>]) -> Result<Self, KeysError> {
        let wrong = || KeysError::Url(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, base_path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| wrong())?)),
            _ => (authority, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || rest.contains(['@', '?', '#']) {
            return Err(wrong());
        }
        let (tls, usual) = match scheme {
            "http" => (None, 80),
            "https" if trust.is_empty() => return Err(KeysError::NoTrust),
            "https" => {
                let trusted = Trusted::anchors(trust.to_vec());
                let config = tls::client_config(None, &trusted, TlsVersion::V1_2, false)?;
                (Some(Arc::new(config)), 443)
            }
            _ => return Err(wrong()),
        };
        Ok(Self {
            host: host.to_owned(),
            port: port.unwrap_or(usual),
            tls,
            base_path: base_path.trim_end_matches('/').to_owned(),
            known: Mutex::default(),
        })
    }

    fn find(&self, id: &str) -> Result<Option<PublicKey>, KeysError> {
        // Held while fetching: the others wait for the same answer instead of asking as well.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = among(known.keys.clone(), id) {
            return Ok(Some(key));
        }
        let now = clock::monotonic();
        if known.fetched.is_some_and(|at| now < at + PAUSE) {
            return Ok(None);
        }
        known.keys = read(&self.fetch()?);
        known.fetched = Some(now);
        Ok(among(known.keys.clone(), id))
    }

    fn fetch(&self) -> io::Result<Value> {
        let addresses = (&*self.host, self.port).to_socket_addrs()?;
        let mut tried = Err(io::Error::other("the name leads to no address"));
        for address in addresses {
            tried = TcpStream::connect_timeout(&address, PATIENCE);
            if tried.is_ok() {
                break;
            }
        }
        let mut stream = tried?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let path = format!("{}{PATH}", self.base_path);
        let (ask, host) = (client::Ask::get(&path), format!("{}:{}", self.host, self.port));
        let answer = match &self.tls {
            None => ask.exchange(stream, &host)?,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                let connection = rustls::ClientConnection::new(Arc::clone(config), name);
                let mut connection = connection.map_err(io::Error::other)?;
                ask.exchange(rustls::Stream::new(&mut connection, &mut stream), &host)?
            }
        };
        if answer.status != 200 {
            return Err(io::Error::other(format!("the answer is {}", answer.status)));
        }
        serde_json::from_slice(&answer.body).map_err(io::Error::other)
    }
}

/// The RSA keys of a set; others are for others.
fn read(set: &Value) -> Vec<PublicKey> {
    let keys = set["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |key: &Value, name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok();
    keys.iter()
        .filter(|key| key["kty"] == "RSA")
        .filter_map(|key| {
            Some(PublicKey {
                id: key["kid"].as_str()?.to_owned(),
                modulus: number(key, "n")?,
                exponent: number(key, "e")?,
            })
        })
        .collect()
}

fn among(keys: Vec<PublicKey>, id: &str) -> Option<PublicKey> {
    keys.into_iter().find(|key| key.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_leads_nowhere_is_refused() {
        for url in [
            "",
            "auth",
            "ftp://a",
            "http://",
            "http://a:b",
            "http://u@a",
            "http://a/?b",
        ] {
            assert!(matches!(Remote::new(url, &[]), Err(KeysError::Url(_))), "{url}");
        }
        assert!(matches!(Remote::new("https://a", &[]), Err(KeysError::NoTrust)));
        let remote = Remote::new("http://[::1]:8082/", &[]).unwrap();
        assert_eq!((&*remote.host, remote.port, &*remote.base_path), ("::1", 8082, ""));
        assert_eq!(Remote::new("http://auth", &[]).unwrap().port, 80);
    }

    #[test]
    fn the_recorded_set_is_read() {
        let set = serde_json::from_str(include_str!("../people/auth/jwks.json")).unwrap();
        let key = among(read(&set), "synthetic-key-1").unwrap();
        assert_eq!((key.modulus.len(), &*key.exponent), (256, &[1, 0, 1][..]));
        assert_eq!(among(read(&set), "another"), None);
        assert_eq!(read(&Value::Null), []);
    }
}

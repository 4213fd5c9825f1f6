//! One token request by itself, for whoever diagnoses: the very request that the keeper makes, and everything that its answer says.
//!
//! Nothing is kept and nothing is tried again. What the other side wrote stays out of sentences; of a redirect only host and
//! path are told, because the rest may hold what nobody should read.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::Value;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::ask::{self, Connector};
use super::gate::{Kind, Trouble};
use super::pairs::Pair;
use super::reply::{self, Granted, Reply};
use super::{files, flight, request};
use crate::clock;
use crate::config::settings::{ClientCredentials, DeliusLogon, Token};
use crate::secret::Secret;
use crate::transport::dial::Endpoint;

/// What came of one token request.
#[derive(Debug)]
pub struct Once {
    /// `None`: there was no reply.
    pub status: Option<u16>,
    /// The `error` of the reply, where it is one of the known words.
    pub word: Option<&'static str>,
    /// The reply is a page, not data.
    pub page: bool,
    /// Host and path of a redirect.
    pub redirect: Option<String>,
    /// The reply's `Date`.
    pub date: Option<String>,
    /// `token_type` as it was written; at most a word.
    pub token_type: Option<String>,
    /// The life that the reply names.
    pub expires_in: Option<Duration>,
    /// From the start of the connection to the end of the reply.
    pub took: Duration,
    /// The token itself, without `Bearer`.
    pub token: Result<Secret<String>, Trouble>,
}

/// A client as its files have it.
#[derive(Debug)]
pub struct Client(Pair);

impl Client {
    /// Reads the files of a client as the keeper would.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read(settings: &ClientCredentials) -> Result<Self, String> {
        files::look(settings).pair.map(Self)
    }

    /// The client's identifier. Where the files were mixed up it is a secret: not to be shown before the other side has
    /// taken it for an identifier.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }
}

/// The one line of a file, as the keeper would read it.
///
/// # Errors
/// A sentence that names the file and quotes nothing of it.
pub fn line(path: &Path) -> Result<Zeroizing<String>, String> {
    files::user(path).map(Zeroizing::new)
}

/// Asks an authorisation server. The token names no user.
pub async fn of_server(token: &Token, settings: &ClientCredentials, client: &Client) -> Once {
    let endpoint = match ask::endpoint(token, settings) {
        Ok(endpoint) => endpoint,
        Err(trouble) => return Once::none(trouble, Duration::ZERO),
    };
    let connector = Connector::default();
    let asked = ask::reply_of_server(&endpoint, settings, &connector, &client.0, None);
    let read = |reply: &Reply| reply::of_server(reply, &endpoint.to_string(), false, clock::unix_seconds());
    once(token.timeout, asked, read).await
}

/// Logs on to Delius; `host` is the value of that header.
pub async fn of_logon(
    (token, settings): (&Token, &DeliusLogon),
    endpoint: &Endpoint,
    client_config: Option<&Arc<ClientConfig>>,
    (host, base_path): (String, &str),
) -> Once {
    let user = match &settings.user_file {
        Some(path) => match line(path) {
            Ok(user) => user,
            Err(sentence) => return Once::none(Trouble::new(Kind::Files, sentence), Duration::ZERO),
        },
        None => Zeroizing::new(flight::NATIONAL_USER.to_owned()),
    };
    let request = request::delius_logon(format!("{base_path}{}", settings.path), host, &user);
    let asked = async {
        ask::exchange(endpoint, client_config, request)
            .await
            .map_err(ask::of_fault)
    };
    let read = |reply: &Reply| reply::of_logon(reply, &endpoint.to_string(), clock::unix_seconds());
    once(token.timeout, asked, read).await
}

async fn once(
    bound: Duration,
    asked: impl Future<Output = Result<Reply, Trouble>>,
    read: impl FnOnce(&Reply) -> Result<Granted, Trouble>,
) -> Once {
    let begun = Instant::now();
    let reply = match timeout(bound, asked).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(trouble)) => return Once::none(trouble, begun.elapsed()),
        Err(_) => {
            let sentence = format!("the token request was not answered within {bound:?}");
            return Once::none(Trouble::new(Kind::Timeout, sentence), begun.elapsed());
        }
    };
    let took = begun.elapsed();
    let said: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let field = |name: &str| said.as_ref().and_then(|said| said.get(name));
    let token_type = field("token_type").and_then(Value::as_str);
    Once {
        status: Some(reply.status),
        word: reply::word(&reply.body),
        page: reply.body.trim_ascii_start().starts_with(b"<"),
        redirect: reply.location.as_deref().map(place),
        date: reply.date.clone(),
        token_type: token_type
            .filter(|kind| kind.len() <= 20 && kind.bytes().all(|byte| byte.is_ascii_alphabetic()))
            .map(str::to_owned),
        expires_in: field("expires_in").and_then(reply::seconds),
        took,
        token: read(&reply).map(|granted| Secret::new(granted.token.to_string())),
    }
}

impl Once {
    const fn none(trouble: Trouble, took: Duration) -> Self {
        Self {
            status: None,
            word: None,
            page: false,
            redirect: None,
            date: None,
            token_type: None,
            expires_in: None,
            took,
            token: Err(trouble),
        }
    }
}

/// Host and path of a location: without a user, a query or a fragment, and no longer than can be read.
fn place(location: &str) -> String {
    let end = location.find(['?', '#', ';']).unwrap_or(location.len());
    let (scheme, rest) = location[..end].split_once("://").unwrap_or(("", &location[..end]));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let slashes = if scheme.is_empty() { "" } else { "://" };
    let shown = format!("{scheme}{slashes}{host}{path}");
    shown.chars().filter(char::is_ascii_graphic).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_redirect_nothing_is_told_that_could_be_secret() {
        for (location, told) in [
            (
                "https://user:pass@sign-in.example:8443/auth/sign-in?state=x#y",
                "https://sign-in.example:8443/auth/sign-in",
            ),
            ("/auth/sign-in;jsessionid=0AF?redirect=/", "/auth/sign-in"),
            ("https://sign-in.example", "https://sign-in.example"),
            ("", ""),
        ] {
            assert_eq!(place(location), told);
        }
        assert_eq!(place(&"x".repeat(500)).len(), 120);
    }

    #[tokio::test]
    async fn a_reply_is_told_with_everything_but_its_token() {
        let reply = |status, body: &str| Reply {
            status,
            retry_after: None,
            location: None,
            date: Some("now".to_owned()),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        let came = |reply: Reply| {
            let read = |reply: &Reply| reply::of_server(reply, "a:1", false, 0);
            once(Duration::from_secs(1), async { Ok(reply) }, read)
        };
        let well = came(reply(
            200,
            r#"{"access_token":"tok-1","token_type":"Bearer","expires_in":60}"#,
        ))
        .await;
        assert_eq!(well.token_type.as_deref(), Some("Bearer"));
        assert_eq!(well.expires_in, Some(Duration::from_secs(60)));
        assert_eq!(
            well.token.as_ref().ok().map(|token| token.expose().as_str()),
            Some("tok-1")
        );
        assert!(!format!("{well:?}").contains("tok-1"), "{well:?}");
        let page = came(reply(503, " <html>")).await;
        assert!(page.page && page.token.is_err() && page.status == Some(503));
        assert_eq!(
            came(reply(401, r#"{"error":"invalid_client"}"#)).await.word,
            Some("invalid_client")
        );
    }

    #[tokio::test]
    async fn a_request_without_an_answer_ends_in_time() {
        let never = std::future::pending::<Result<Reply, Trouble>>();
        let late = once(Duration::from_millis(1), never, |_| unreachable!("there is no reply")).await;
        assert_eq!(late.token.err().map(|trouble| trouble.kind), Some(Kind::Timeout));
        assert_eq!(late.status, None);
    }
}

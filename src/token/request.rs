//! What is sent to ask for a token: the request of RFC 6749 section 4.4.2, and the logon of the 2018 Delius API. Pure.
//!
//! Client identifier and secret are form-urlencoded *before* base64 (RFC 6749 section 2.3.1): raw ones that hold `:` `/` `+` `%`
//! or a space are refused by servers that read the standard.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::config::settings::{ClientCredentials, GrantIn};

/// One request; the method is always POST. It does not print: its body may name a user.
pub(super) struct Request {
    /// Path and query.
    pub(super) target: String,
    pub(super) host: String,
    /// The value of `authorization`.
    pub(super) authorization: Option<Secrecy>,
    pub(super) content_type: Option<&'static str>,
    pub(super) accept: &'static str,
    pub(super) body: String,
}

/// A text that is wiped and does not print.
pub(super) type Secrecy = crate::secret::Secret<String>;

/// Asks by client credentials, on behalf of `username` where there is one.
pub(super) fn client_credentials(
    settings: &ClientCredentials,
    host: String,
    id: &str,
    secret: &str,
    username: Option<&str>,
) -> Request {
    let mut form = String::from("grant_type=client_credentials");
    let mut add = |key: &str, value: &str| {
        form.push('&');
        encode(&mut form, key);
        form.push('=');
        encode(&mut form, value);
    };
    if !settings.scopes.is_empty() {
        add("scope", &settings.scopes.join(" "));
    }
    for (key, value) in &settings.parameters {
        add(key, value);
    }
    if let Some(username) = username {
        add("username", username);
    }
    let (target, content_type, body) = match settings.grant_in {
        GrantIn::Body => (settings.path.clone(), Some("application/x-www-form-urlencoded"), form),
        GrantIn::Query => (format!("{}?{form}", settings.path), None, String::new()),
    };
    Request {
        target,
        host,
        authorization: Some(basic(id, secret)),
        content_type,
        accept: "application/json",
        body,
    }
}

/// Asks Delius to log on a user by their distinguished name.
pub(super) fn delius_logon(target: String, host: String, user: &str) -> Request {
    Request {
        target,
        host,
        authorization: None,
        content_type: Some("text/plain"),
        accept: "text/plain, */*",
        body: user.to_owned(),
    }
}

/// The value of `authorization` for a client.
pub(super) fn basic(id: &str, secret: &str) -> Secrecy {
    let mut pair = Zeroizing::new(String::with_capacity(3 * (id.len() + secret.len()) + 1));
    encode(&mut pair, id);
    pair.push(':');
    encode(&mut pair, secret);
    let mut value = String::with_capacity(6 + pair.len().div_ceil(3) * 4);
    value.push_str("Basic ");
    STANDARD.encode_string(pair.as_bytes(), &mut value);
    Secrecy::new(value)
}

/// `application/x-www-form-urlencoded` (RFC 6749 appendix B).
fn encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::settings::{Scheme, TlsVersion, Trust};

    fn settings(grant_in: GrantIn) -> ClientCredentials {
        ClientCredentials {
            scheme: Scheme::Https,
            host: "sign-in.example".to_owned(),
            port: 443,
            path: "/auth/oauth/token".to_owned(),
            server_name: None,
            trust: Trust::System,
            tls_min: TlsVersion::V1_2,
            client_id_file: "id".into(),
            client_secret_file: "secret".into(),
            username_header: None,
            users: 10,
            scopes: vec!["read".to_owned(), "write".to_owned()],
            parameters: BTreeMap::from([("auth_source".to_owned(), "delius & co".to_owned())]),
            grant_in,
        }
    }

    fn asked(grant_in: GrantIn, username: Option<&str>) -> Request {
        client_credentials(
            &settings(grant_in),
            "sign-in.example".to_owned(),
            "id",
            "secret",
            username,
        )
    }

    #[test]
    fn id_and_secret_are_encoded_before_base64() {
        // The example of RFC 6749 section 2.3.1, and one with every character that raw Basic would spoil.
        let plain = basic("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw");
        assert_eq!(plain.expose(), "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
        let odd = basic("a:b", "p/w+d %");
        let decoded = STANDARD
            .decode(odd.expose().trim_start_matches("Basic "))
            .expect("base64");
        assert_eq!(decoded, b"a%3Ab:p%2Fw%2Bd+%25");
    }

    #[test]
    fn the_grant_stands_in_the_body_or_in_the_query() {
        let body = asked(GrantIn::Body, None);
        assert_eq!(body.target, "/auth/oauth/token");
        assert_eq!(
            body.body,
            "grant_type=client_credentials&scope=read+write&auth_source=delius+%26+co"
        );
        assert_eq!(body.content_type, Some("application/x-www-form-urlencoded"));
        let query = asked(GrantIn::Query, None);
        assert_eq!(query.target, format!("/auth/oauth/token?{}", body.body));
        assert_eq!((query.body.as_str(), query.content_type), ("", None));
    }

    #[test]
    fn a_user_is_named_by_a_parameter_and_cannot_add_another() {
        let body = asked(GrantIn::Body, Some("USER&grant_type=x")).body;
        assert!(body.ends_with("&username=USER%26grant_type%3Dx"), "{body}");
    }
}

//! The URL of an upstream: scheme, host, port and a plain base path; no user, password, query or fragment.
//!
//! Read strictly (RFC 3986 section 3 has much that no upstream needs): a URL that two programs could read in two ways
//! would let `check` approve one host and `run` ask another.

use std::net::IpAddr;

use rustls_pki_types::ServerName;

use super::settings::Scheme;
use super::value::{Complaint, Read};
use crate::route::Template;

/// The address of an upstream, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) base_path: String,
}

impl Url {
    /// Whether the host is this machine, whatever DNS says.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// `https://host[:port][/base]`.
pub(super) fn url(text: &str) -> Read<Url> {
    const RIGHT: &str = "write for example \"https://ndh.example:8443\"";
    let (scheme, rest) = match text.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        _ => {
            let mut complaint = Complaint::new("the url does not start with https:// or http://", RIGHT);
            complaint.conceal = text.contains('@');
            return Err(complaint);
        }
    };
    if rest.contains('@') {
        let mut complaint = Complaint::new("the url holds a user name or a password", RIGHT);
        complaint.conceal = true;
        return Err(complaint);
    }
    if rest.contains(['?', '#']) {
        let wrong = "the url has a query or a fragment, which no request could keep";
        return Err(Complaint::new(wrong, RIGHT));
    }
    let path_at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let (host, port) = authority_parts(authority, scheme)?;
    let base_path = path.trim_end_matches('/').to_owned();
    if !base_path.is_empty() {
        let plain = Template::parse(&base_path).is_ok_and(|template| template.parameters().next().is_none());
        if !plain {
            let wrong = format!(
                "the path \"{}\" of the url is not a plain path",
                base_path.escape_debug()
            );
            return Err(Complaint::new(
                wrong,
                "write for example \"https://ndh.example:8443/secure\"",
            ));
        }
    }
    Ok(Url {
        scheme,
        host,
        port,
        base_path,
    })
}

fn authority_parts(authority: &str, scheme: Scheme) -> Read<(String, u16)> {
    const RIGHT: &str = "write for example \"https://ndh.example:8443\" or \"https://[2001:db8::1]:8443\"";
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) if port.starts_with(':') => (host, Some(&port[1..])),
            _ => return Err(Complaint::new("the IPv6 address of the url is not closed", RIGHT)),
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None if scheme == Scheme::Https => 443,
        None => 80,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 && port.to_string().len() <= 5 => port,
            _ => {
                let wrong = format!("\"{}\" is not a port", port.escape_debug());
                return Err(Complaint::new(wrong, "write a number from 1 to 65535"));
            }
        },
    };
    let host = host.to_ascii_lowercase();
    if ServerName::try_from(host.as_str()).is_err() {
        let wrong = format!(
            "the host \"{}\" of the url is neither a DNS name nor an IP address",
            host.escape_debug()
        );
        return Err(Complaint::new(wrong, RIGHT));
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong<T: std::fmt::Debug>(read: Read<T>) -> String {
        let complaint = read.expect_err("refused");
        format!("{}; {}", complaint.wrong, complaint.right)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let found = url("https://NDH.example:8443/secure/").expect("a url");
        assert_eq!(
            (found.host.as_str(), found.port, found.base_path.as_str()),
            ("ndh.example", 8443, "/secure")
        );
        assert_eq!(
            url("https://[2001:db8::1]").map(|url| (url.host, url.port)),
            Ok(("2001:db8::1".into(), 443))
        );
        assert!(url("http://127.0.0.1:8081").is_ok_and(|url| url.is_loopback()));
        assert!(!url("http://localhost.example").is_ok_and(|url| url.is_loopback()));
        assert!(wrong(url("ndh.example")).contains("https://"));
        assert!(wrong(url("https://ndh.example:0")).contains("not a port"));
        assert!(wrong(url("https://a b")).contains("neither a DNS name"));
        assert!(wrong(url("https://ndh.example/a/../b")).contains("not a plain path"));
        assert!(wrong(url("https://ndh.example/{x}")).contains("not a plain path"));
        assert!(wrong(url("https://ndh.example?x=1")).contains("query"));
    }

    #[test]
    fn a_url_with_a_password_is_refused_and_concealed() {
        let complaint = url("https://user:hunter2@ndh.example").expect_err("refused");
        assert!(complaint.conceal);
        assert!(!complaint.wrong.contains("hunter2") && !complaint.right.contains("hunter2"));
    }
}

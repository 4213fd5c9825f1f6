//! One other side as it is to be looked at: an upstream, or the server that gives tokens; and the way there.
//!
//! The way is looked at once. What requests can be made with afterwards is a [`Way`].

use rustls_pki_types::ServerName;

use super::report::Lines;
use super::{DoctorArgs, request, server, trust, way};
use crate::cert::Trusted;
use crate::cert::load::Bundle;
use crate::config::settings::{ClientCredentials, Revocation, Scheme, TlsVersion, Token, Trust, Upstream};
use crate::identity::preflight::Request;
use crate::transport::dial::Endpoint;
use crate::transport::look::Seen;

pub(super) struct Ground<'a> {
    pub(super) endpoint: Endpoint,
    /// `host:port`, for sentences.
    pub(super) peer: String,
    pub(super) host: Vec<u8>,
    pub(super) base_path: String,
    pub(super) request: Request,
    pub(super) tls_min: TlsVersion,
    /// One is configured, whatever its files hold.
    pub(super) has_identity: bool,
    /// The identity in its files, fit or not.
    pub(super) bundle: Option<&'a Bundle>,
    scheme: Scheme,
    trust: &'a Trust,
    crl: Option<&'a Revocation>,
    /// An upstream asks for certificates; who gives tokens does not.
    is_upstream: bool,
}

/// What the way leaves for requests.
pub(super) enum Way {
    /// None can be made, and why.
    None(&'static str),
    Clear,
    Tls(Box<Seen>, Trusted),
}

pub(super) fn unnameable(name: &str, lines: &mut Lines) {
    lines.fail(
        "server name",
        format!("{name:?} is neither a DNS name nor an address"),
        "a name that a certificate can carry",
        "correct `url` or `server_name`",
    );
}

impl<'a> Ground<'a> {
    pub(super) fn new(args: &DoctorArgs, upstream: &'a Upstream, bundle: Option<&'a Bundle>) -> Result<Self, String> {
        let wanted = upstream.server_name.as_deref().unwrap_or(&upstream.host);
        let times = &upstream.times;
        let endpoint = Endpoint {
            host: upstream.host.clone(),
            port: upstream.port,
            server_name: ServerName::try_from(wanted.to_owned()).map_err(|_| wanted.to_owned())?,
            connect: args.patience.unwrap_or(times.connect),
            handshake: args.patience.unwrap_or(times.handshake),
        };
        let host = host(wanted, upstream.scheme, upstream.port);
        let (method, path, proves) = match (&args.path, &upstream.trial) {
            (Some(path), _) => ("GET", path.as_str(), true),
            (None, Some(trial)) => (trial.method.as_str(), trial.path.as_str(), true),
            (None, None) => ("GET", "/", false),
        };
        Ok(Self {
            peer: endpoint.to_string(),
            request: Request {
                method: method.to_owned(),
                target: format!("{}{path}", upstream.base_path),
                host: host.clone().into_bytes(),
                authorization: None,
                first_byte: args.patience.unwrap_or(times.first_byte),
                proves,
            },
            host: host.into_bytes(),
            base_path: upstream.base_path.clone(),
            endpoint,
            tls_min: upstream.tls_min,
            has_identity: upstream.identity.is_some(),
            bundle,
            scheme: upstream.scheme,
            trust: &upstream.trust,
            crl: upstream.crl.as_ref(),
            is_upstream: true,
        })
    }

    /// The server that gives tokens.
    pub(super) fn of_server(args: &DoctorArgs, token: &Token, settings: &'a ClientCredentials) -> Result<Self, String> {
        let wanted = settings.server_name.as_deref().unwrap_or(&settings.host);
        let patience = args.patience.unwrap_or(token.timeout);
        let endpoint = Endpoint {
            host: settings.host.clone(),
            port: settings.port,
            server_name: ServerName::try_from(wanted.to_owned()).map_err(|_| wanted.to_owned())?,
            connect: patience,
            handshake: patience,
        };
        let host = host(wanted, settings.scheme, settings.port).into_bytes();
        Ok(Self {
            peer: endpoint.to_string(),
            request: Request {
                method: String::from("GET"),
                target: settings.path.clone(),
                host: host.clone(),
                authorization: None,
                first_byte: patience,
                proves: false,
            },
            host,
            base_path: String::new(),
            endpoint,
            tls_min: settings.tls_min,
            has_identity: false,
            bundle: None,
            scheme: settings.scheme,
            trust: &settings.trust,
            crl: None,
            is_upstream: false,
        })
    }

    /// A request that is only to be answered, by whatever answers there; it waits no longer than a handshake.
    pub(super) fn late_look(&self) -> Request {
        Request {
            method: String::from("HEAD"),
            target: String::from("/"),
            host: self.host.clone(),
            authorization: None,
            first_byte: self.endpoint.handshake,
            proves: false,
        }
    }

    /// Name, addresses, TCP, TLS, and the server's certificate.
    pub(super) async fn look(&self, now: i64, lines: &mut Lines) -> Way {
        const NOT_REACHED: &str = "there is no connection";
        if self.scheme == Scheme::Http {
            lines.warn(
                "tls",
                format!("http://{} is in the clear", self.peer),
                "https, but in development",
                "name an https URL",
            );
            return if way::reach(self, lines).await {
                Way::Clear
            } else {
                Way::None(NOT_REACHED)
            };
        }
        let trusted = trust::examine(self.trust, self.crl, now, lines);
        if let (Some(bundle), Some(trusted)) = (self.bundle, &trusted) {
            trust::revocation(bundle, trusted, lines);
        }
        if !way::reach(self, lines).await {
            lines.skip("tls", NOT_REACHED);
            return Way::None(NOT_REACHED);
        }
        let Some(seen) = way::handshake(self, lines).await else {
            lines.skip("server certificate", "none was shown");
            return Way::None("there is no TLS connection");
        };
        let accepted = match &trusted {
            Some(trusted) => server::certificate(self, &seen, trusted, now, lines),
            None => {
                lines.skip("server certificate", "there is no trust bundle to judge it by");
                false
            }
        };
        if self.is_upstream {
            request::asked(self, &seen, lines);
        }
        match trusted {
            _ if self.has_identity && self.bundle.is_none() => Way::None("there is no identity to show"),
            Some(trusted) if accepted => Way::Tls(Box::new(seen), trusted),
            _ => Way::None("the server's certificate is not acceptable: nothing is sent to it"),
        }
    }
}

/// The value of `host`: without the port where that is the usual one (RFC 9110 section 7.2).
fn host(name: &str, scheme: Scheme, port: u16) -> String {
    let name = if name.contains(':') {
        format!("[{name}]")
    } else {
        name.to_owned()
    };
    match (scheme, port) {
        (Scheme::Https, 443) | (Scheme::Http, 80) => name,
        (_, port) => format!("{name}:{port}"),
    }
}

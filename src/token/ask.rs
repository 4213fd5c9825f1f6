//! Asks the other side for a token: a fresh connection for each request, closed afterwards.
//!
//! Redirects are not followed and no proxy is asked: the client's secret goes to the configured host and nowhere else. The logon
//! goes over the certificate that the upstream is shown at this moment.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{DATE, HeaderValue, LOCATION, RETRY_AFTER};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use zeroize::Zeroizing;

use super::Place;
use super::gate::{Kind, Trouble};
use super::pairs::Pair;
use super::reply::{self, Granted, Reply};
use super::request::{self, Request};
use super::users::User;
use crate::clock;
use crate::config::settings::{ClientCredentials, DeliusLogon, Scheme, Token, Trust};
use crate::fault::{Code, Fault};
use crate::identity::store;
use crate::transport::dial::{self, DialError, Endpoint};
use crate::transport::{stream::Stream, tls};

/// The TLS configuration towards one authorisation server, and what it was made of.
#[derive(Default)]
pub(super) struct Connector(Mutex<Option<([u8; 32], Arc<ClientConfig>)>>);

/// Asks an authorisation server.
pub(super) async fn server(
    token: &Token,
    settings: &ClientCredentials,
    connector: &Connector,
    pair: &Pair,
    user: Option<&User>,
) -> Result<Granted, Trouble> {
    let endpoint = endpoint(token, settings)?;
    let user = user.map(User::expose);
    let reply = reply_of_server(&endpoint, settings, connector, pair, user).await?;
    reply::of_server(&reply, &endpoint.to_string(), user.is_some(), clock::unix_seconds())
}

/// The reply of an authorisation server as it came.
pub(super) async fn reply_of_server(
    endpoint: &Endpoint,
    settings: &ClientCredentials,
    connector: &Connector,
    pair: &Pair,
    user: Option<&str>,
) -> Result<Reply, Trouble> {
    let tls = match settings.scheme {
        Scheme::Http => None,
        Scheme::Https => Some(connector.towards(settings)?),
    };
    let host = host(settings);
    let request = request::client_credentials(settings, host, &pair.id, pair.secret.expose(), user);
    exchange(endpoint, tls.as_ref(), request).await.map_err(|fault| {
        connector.forget();
        of_fault(fault)
    })
}

/// Logs on to Delius at the place where the upstream is.
pub(super) async fn logon(settings: &DeliusLogon, user: &str, place: Place) -> Result<Granted, Trouble> {
    let peer = place.endpoint.to_string();
    let generation = &place.generation;
    generation.check_dates(clock::unix_seconds()).map_err(of_fault)?;
    let target = format!("{}{}", place.base_path, settings.path);
    let request = request::delius_logon(target, place.host, user);
    let reply = exchange(&place.endpoint, generation.client_config.as_ref(), request).await;
    let reply = reply.map_err(|fault| {
        if fault.code == Code::IdentityRejected {
            generation.refused();
        }
        of_fault(fault)
    })?;
    reply::of_logon(&reply, &peer, clock::unix_seconds())
}

pub(super) fn endpoint(token: &Token, settings: &ClientCredentials) -> Result<Endpoint, Trouble> {
    let name = settings.server_name.as_ref().unwrap_or(&settings.host);
    let server_name = ServerName::try_from(name.clone()).map_err(|_| {
        let sentence = format!("\"{name}\" is no name that a certificate can carry; correct `url` or `server_name`");
        Trouble::new(Kind::Refused, sentence)
    })?;
    Ok(Endpoint {
        host: settings.host.clone(),
        port: settings.port,
        server_name,
        // Below the whole, so that the step that takes too long is named.
        connect: token.timeout / 2,
        handshake: token.timeout / 2,
    })
}

/// The value of `host`: without the port where that is the usual one (RFC 9110 section 7.2).
fn host(settings: &ClientCredentials) -> String {
    let name = settings.server_name.as_ref().unwrap_or(&settings.host);
    let name = if name.contains(':') {
        format!("[{name}]")
    } else {
        name.clone()
    };
    match (settings.scheme, settings.port) {
        (Scheme::Https, 443) | (Scheme::Http, 80) => name,
        (_, port) => format!("{name}:{port}"),
    }
}

impl Connector {
    fn towards(&self, settings: &ClientCredentials) -> Result<Arc<ClientConfig>, Trouble> {
        let files = match &settings.trust {
            Trust::Bundle(path) => Some(path.as_path()),
            Trust::System => None,
        };
        let sight = store::look(files);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((mark, client_config)) = known.as_ref()
            && *mark == sight.mark
        {
            return Ok(client_config.clone());
        }
        let unusable = |error: &dyn std::fmt::Display| Trouble::new(Kind::Files, error.to_string());
        let believed = store::believed(&sight, &settings.trust, None).map_err(|error| unusable(&error))?;
        let config = tls::client_config(None, &believed.trusted, settings.tls_min, false);
        let client_config = Arc::new(config.map_err(|error| unusable(&error))?);
        *known = Some((sight.mark, client_config.clone()));
        Ok(client_config)
    }

    /// After a failure: the system's roots may have been renewed, and a session may be worth nothing to the other side.
    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

pub(super) async fn exchange(
    endpoint: &Endpoint,
    client_config: Option<&Arc<ClientConfig>>,
    request: Request,
) -> Result<Reply, Fault> {
    let dialled = dial::dial(endpoint, client_config).await;
    let (stream, secured) = dialled.map_err(|DialError { fault, .. }| fault)?;
    let peer = endpoint.to_string();
    let http2 = secured.is_some_and(|secured| secured.http2);
    let request = written(request, client_config.is_some(), http2, &peer)?;
    let broken = |error: &hyper::Error| broken(error, &peer);
    if http2 {
        let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| broken(&error))?;
        along(sender.send_request(request), connection, &peer).await
    } else {
        let shaken = hyper::client::conn::http1::Builder::new()
            .max_buf_size(reply::LARGEST)
            .handshake(TokioIo::<Stream>::new(stream))
            .await;
        let (mut sender, connection) = shaken.map_err(|error| broken(&error))?;
        along(sender.send_request(request), connection, &peer).await
    }
}

/// Reads the reply to its end while the connection is moved along.
async fn along(
    sent: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
    peer: &str,
) -> Result<Reply, Fault> {
    let read = async {
        let response = sent.await.map_err(|error| broken(&error, peer))?;
        let (head, body) = response.into_parts();
        let said = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let mut body = Limited::new(body, reply::LARGEST);
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 << 10));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.downcast_ref::<hyper::Error>() {
                Some(error) => broken(error, peer),
                None => {
                    debug_assert!(error.is::<LengthLimitError>());
                    let sentence = format!(
                        "{peer} answers the token request with more than {} bytes, expected a token reply",
                        reply::LARGEST
                    );
                    Fault::new(Code::UpstreamInvalid, sentence)
                }
            })?;
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        Ok(Reply {
            status: head.status.as_u16(),
            retry_after: said(RETRY_AFTER).and_then(|text| text.trim().parse().ok()),
            location: said(LOCATION).map(str::to_owned),
            date: said(DATE).map(str::to_owned),
            body: bytes,
        })
    };
    tokio::pin!(read, connection);
    let mut ended = false;
    loop {
        tokio::select! {
            biased;
            reply = &mut read => return reply,
            // What ended the connection is told to the request as well.
            _ = &mut connection, if !ended => ended = true,
        }
    }
}

fn written(request: Request, over_tls: bool, http2: bool, peer: &str) -> Result<hyper::Request<Full<Bytes>>, Fault> {
    let Request {
        target,
        host,
        authorization,
        content_type,
        accept,
        body,
    } = request;
    let uri = match (http2, over_tls) {
        (true, true) => format!("https://{host}{target}"),
        (true, false) => format!("http://{host}{target}"),
        (false, _) => target,
    };
    let mut builder = hyper::Request::post(uri)
        .header("accept", accept)
        .header("user-agent", "delius-sidecar")
        .header("cache-control", "no-store");
    if !http2 {
        builder = builder.header("host", host).header("connection", "close");
    }
    if let Some(content_type) = content_type {
        builder = builder.header("content-type", content_type);
    }
    // Both are said to be there by RFC 9110 section 8.6 and the contract, also where nothing follows.
    builder = builder.header("content-length", body.len());
    let asked = match authorization {
        Some(value) => HeaderValue::from_str(value.expose()).map(|mut value| {
            value.set_sensitive(true);
            builder.header("authorization", value)
        }),
        None => Ok(builder),
    };
    let asked = asked
        .ok()
        .and_then(|builder| builder.body(Full::new(Bytes::from(body))).ok());
    asked.ok_or_else(|| {
        Fault::new(
            Code::UpstreamInvalid,
            format!("{peer} cannot be asked: the request cannot be written"),
        )
    })
}

/// What hyper met: an error of the stream in our words, or else that it is no HTTP.
fn broken(error: &hyper::Error, peer: &str) -> Fault {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return tls::judge(error, "during the token request", &peer).1;
        }
        source = inner.source();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        let sentence = format!("{peer} closed the connection in the middle of the token request");
        return Fault::new(Code::UpstreamReset, sentence);
    }
    let sentence = format!("{peer} answers the token request with what HTTP does not allow");
    Fault::new(Code::UpstreamInvalid, sentence)
}

/// A failure of the way there.
pub(super) fn of_fault(fault: Fault) -> Trouble {
    let kind = match fault.code {
        Code::UpstreamTimeout => Kind::Timeout,
        Code::UpstreamInvalid => Kind::Invalid,
        Code::IdentityMissing | Code::IdentityExpired => Kind::Files,
        _ => Kind::Unreachable,
    };
    Trouble::new(kind, fault.detail)
}

//! A connection to the other side, step by step: DNS, TCP, TLS. Each step has a deadline and a fault of its own.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::session::Session;
use super::stream::Stream;
use super::tls;
use crate::fault::{Code, Fault};

/// Where to dial and how long each step may take.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// DNS name or IP address.
    pub host: String,
    pub port: u16,
    /// Name that the server's certificate must carry, sent as SNI.
    pub server_name: ServerName<'static>,
    /// DNS and TCP together.
    pub connect: Duration,
    pub handshake: Duration,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A dial that failed.
#[derive(Clone, Debug)]
pub struct DialError {
    pub fault: Fault,
    /// For the metric of failed handshakes; `None` when it did not come to a handshake.
    pub handshake: Option<tls::Failure>,
    /// The other side's system refused the TCP connection: nothing listens there (at this moment).
    pub refused: bool,
}

impl DialError {
    /// It did not come to dialling, or not to a handshake.
    #[must_use]
    pub fn before_dialling(fault: Fault) -> Self {
        Self {
            fault,
            handshake: None,
            refused: false,
        }
    }
}

/// What a finished handshake came to.
#[derive(Clone, Copy, Debug)]
pub struct Secured {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// An earlier session was continued.
    pub resumed: bool,
    /// The server chose HTTP/2.
    pub http2: bool,
}

/// Dials; with a configuration over TLS, without one in the clear.
///
/// # Errors
/// [`DialError`] with the step that failed. Nothing of a request has been sent in any of them.
pub async fn dial(
    endpoint: &Endpoint,
    config: Option<&Arc<ClientConfig>>,
) -> Result<(Stream, Option<Secured>), DialError> {
    let tcp = connect(endpoint).await?;
    let Some(config) = config else {
        return Ok((Stream::Tcp(tcp), None));
    };
    let deadline = Instant::now() + endpoint.handshake;
    match timeout_at(
        deadline,
        Session::connect(tcp, config.clone(), endpoint.server_name.clone()),
    )
    .await
    {
        Ok(Ok(session)) => {
            let agreed = session.agreed();
            let secured = Secured {
                version: tls::version(agreed.protocol_version()),
                resumed: agreed.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
                http2: agreed.alpn_protocol() == Some(b"h2"),
            };
            Ok((Stream::TlsClient(Box::new(session)), Some(secured)))
        }
        Ok(Err(error)) => {
            let (failure, fault) = tls::judge(&error, "during the TLS handshake", endpoint);
            Err(DialError {
                fault,
                handshake: Some(failure),
                refused: false,
            })
        }
        Err(_) => {
            let sentence = format!(
                "the TLS handshake with {endpoint} did not finish within {:?}: it accepts connections and says nothing; \
                 check that it is the TLS port",
                endpoint.handshake
            );
            let fault = Fault::new(Code::UpstreamTimeout, sentence);
            Err(DialError {
                fault,
                handshake: Some(tls::Failure::Timeout),
                refused: false,
            })
        }
    }
}

pub(super) async fn connect(endpoint: &Endpoint) -> Result<TcpStream, DialError> {
    let deadline = Instant::now() + endpoint.connect;
    let unreachable = |sentence: String| DialError::before_dialling(Fault::new(Code::UpstreamUnreachable, sentence));
    let late = |step: &str| {
        unreachable(format!(
            "{step} {endpoint} took longer than {:?}; check the network policy and that the host is up",
            endpoint.connect
        ))
    };
    let addresses: Vec<SocketAddr> = match endpoint.host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, endpoint.port)],
        Err(_) => match timeout_at(
            deadline,
            tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)),
        )
        .await
        {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => {
                return Err(unreachable(format!(
                    "the name {} could not be resolved ({error}); check the name and the cluster's DNS",
                    endpoint.host
                )));
            }
            Err(_) => return Err(late("resolving")),
        },
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let count = addresses.len();
    for (tried, address) in addresses.into_iter().enumerate() {
        // Each address gets its share of what is left, so that one that swallows packets does not take all the time.
        let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(count - tried).unwrap_or(1);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    if last.kind() == io::ErrorKind::TimedOut {
        return Err(late("connecting to"));
    }
    let refused = last.kind() == io::ErrorKind::ConnectionRefused;
    let sentence = format!("connecting to {endpoint} failed ({last}); check that it is up and that the port is right");
    Err(DialError {
        refused,
        ..unreachable(sentence)
    })
}

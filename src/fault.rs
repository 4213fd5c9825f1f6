//! One failure: a stable code, whose side it is on, whether it may be retried, and a sentence for the operator.
//!
//! Everything that can go wrong with a request becomes a [`Fault`] where it is noticed. The status that the
//! caller sees is decided in one other place, `wire::reply`; the sentence goes to the log and never to the caller,
//! because TLS detail and addresses are not the caller's business.

use std::borrow::Cow;
use std::fmt;

/// The stable code of a failure. It is part of the contract with the users: it stands in the reply body, in the
/// `x-delius-sidecar-error` header, in the access line and as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The request could be read in two ways, or not at all.
    RequestMalformed,
    /// A limit on the request line, the headers or the body was exceeded.
    RequestTooLarge,
    /// The request did not arrive in time.
    RequestTimeout,
    /// No configured route matches.
    RouteUnknown,
    /// An in-flight or connection limit is reached.
    Overloaded,
    /// The leg is failing and is being left alone for a while.
    CircuitOpen,
    /// DNS or TCP connect failed.
    UpstreamUnreachable,
    /// The server's certificate or protocol is not acceptable.
    UpstreamTls,
    /// The other side refuses our certificate.
    IdentityRejected,
    /// Our certificate is past its end.
    IdentityExpired,
    /// There is no certificate to show.
    IdentityMissing,
    /// No valid token can be had; an expired one is never sent.
    TokenUnavailable,
    /// The API refuses a token that is fresh.
    TokenRefused,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream connection died before the reply was complete.
    UpstreamReset,
    /// The upstream answered what HTTP does not allow.
    UpstreamInvalid,
    /// The reply could not be turned into the shape that the application reads.
    MappingFailed,
}

impl Code {
    /// Every code, in the order of the contract's table.
    pub const ALL: [Self; 17] = [
        Self::RequestMalformed,
        Self::RequestTooLarge,
        Self::RequestTimeout,
        Self::RouteUnknown,
        Self::Overloaded,
        Self::CircuitOpen,
        Self::UpstreamUnreachable,
        Self::UpstreamTls,
        Self::IdentityRejected,
        Self::IdentityExpired,
        Self::IdentityMissing,
        Self::TokenUnavailable,
        Self::TokenRefused,
        Self::UpstreamTimeout,
        Self::UpstreamReset,
        Self::UpstreamInvalid,
        Self::MappingFailed,
    ];

    /// The code as it stands in replies, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestMalformed => "request_malformed",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::RouteUnknown => "route_unknown",
            Self::Overloaded => "overloaded",
            Self::CircuitOpen => "circuit_open",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTls => "upstream_tls",
            Self::IdentityRejected => "identity_rejected",
            Self::IdentityExpired => "identity_expired",
            Self::IdentityMissing => "identity_missing",
            Self::TokenUnavailable => "token_unavailable",
            Self::TokenRefused => "token_refused",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamInvalid => "upstream_invalid",
            Self::MappingFailed => "mapping_failed",
        }
    }

    /// Whose side the failure is on.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::RequestMalformed | Self::RequestTooLarge | Self::RequestTimeout | Self::RouteUnknown => Side::Caller,
            Self::Overloaded
            | Self::CircuitOpen
            | Self::IdentityExpired
            | Self::IdentityMissing
            | Self::TokenUnavailable
            | Self::MappingFailed => Side::Sidecar,
            _ => Side::Upstream,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who has to act on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The application sent something that cannot be served.
    Caller,
    /// This process: its limits, its identity.
    Sidecar,
    /// The other end of the mutual TLS, or the network on the way.
    Upstream,
}

/// Which part of the request a [`Code::RequestTooLarge`] is about: HTTP has a status for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Method, target and version.
    RequestLine,
    /// The header fields: their number or their bytes.
    Headers,
    /// The content.
    Body,
}

/// One failure of one request (or of one dial made for it).
#[derive(Clone, Debug)]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// With [`Code::RequestTooLarge`]: which part was too large.
    pub part: Option<Part>,
    /// When the caller may come again, in seconds.
    pub retry_after: Option<u32>,
    /// What was being done, with whom, what was found, what to do: for the log.
    pub detail: Cow<'static, str>,
}

impl Fault {
    /// A fault with a sentence for the operator.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            part: None,
            retry_after: None,
            detail: detail.into(),
        }
    }

    /// The request, or a part of it, is beyond a limit.
    pub fn too_large(part: Part, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            part: Some(part),
            ..Self::new(Code::RequestTooLarge, detail)
        }
    }

    /// The same fault, with a time after which the caller may come again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Fault {}

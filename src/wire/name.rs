//! The field names that a proxy has to know (RFC 9110 section 7.6.1), and those by which others say who a client
//! certificate belongs to. Everything else passes as it is.

/// The names that mean something to a proxy; everything else is [`Name::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Authorization,
    CacheControl,
    Connection,
    ContentLength,
    Expect,
    Host,
    TraceParent,
    TransferEncoding,
    XRequestId,
    /// Belongs to one connection only (RFC 9110 section 7.6.1), whether or not `Connection` names it.
    HopByHop,
    /// Says who a client certificate belongs to: only the side that terminated the TLS may set it.
    Identity,
    /// `x-delius-sidecar-error`: only the sidecar itself says so.
    SidecarError,
    Other,
}

impl Name {
    /// Classifies a field name, whatever its letter case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // By length first: most names that occur are settled by one comparison or none.
        match name.len() {
            2 if is("te") => Self::HopByHop,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("trailer") || is("upgrade") => Self::HopByHop,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            11 if is("traceparent") => Self::TraceParent,
            12 if is("x-request-id") => Self::XRequestId,
            13 if is("authorization") => Self::Authorization,
            13 if is("cache-control") => Self::CacheControl,
            14 if is("content-length") => Self::ContentLength,
            14 if is("http2-settings") => Self::HopByHop,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            18 if is("proxy-authenticate") => Self::HopByHop,
            19 if is("proxy-authorization") => Self::HopByHop,
            22 if is("x-delius-sidecar-error") => Self::SidecarError,
            25 if is("proxy-authentication-info") => Self::HopByHop,
            _ if is_identity(name) => Self::Identity,
            _ => Self::Other,
        }
    }
}

/// Names by which terminating proxies tell who the client certificate belongs to. An underscore is read as a hyphen by
/// CGI-like servers, so `x_ssl_client_cert` is the same name in disguise.
fn is_identity(name: &[u8]) -> bool {
    const PREFIXES: [&str; 5] = [
        "x-ssl-client-",
        "x-client-cert",
        "client-cert",
        "ssl-client-",
        "x-amzn-mtls-",
    ];
    const NAMES: [&str; 5] = [
        "x-forwarded-client-cert",
        "x-forwarded-tls-client-cert",
        "x-forwarded-ssl-client-cert",
        "ssl-client-cert",
        "x-ssl-cert",
    ];
    let same = |a: &u8, b: &u8| a.to_ascii_lowercase() == *b || (*a == b'_' && *b == b'-');
    let starts = |known: &str| name.len() >= known.len() && name.iter().zip(known.as_bytes()).all(|(a, b)| same(a, b));
    matches!(name[0] | 0x20, b'x' | b'c' | b's')
        && (PREFIXES.iter().any(|p| starts(p)) || NAMES.iter().any(|n| n.len() <= name.len() && starts(n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_headers_are_known_in_every_disguise() {
        for name in [
            "X-Forwarded-Client-Cert",
            "x-ssl-client-verify",
            "X_SSL_CLIENT_CERT",
            "Client-Cert",
            "client-cert-chain",
            "X-Client-Cert-Dn",
            "x-amzn-mtls-clientcert",
        ] {
            assert_eq!(Name::of(name.as_bytes()), Name::Identity, "{name}");
        }
        for name in ["x-request-ids", "client", "x-ssl", "cookie"] {
            assert_eq!(Name::of(name.as_bytes()), Name::Other, "{name}");
        }
    }
}

//! The trial of a certificate against the real other side: a handshake *and* a request, because under TLS 1.3 a server
//! looks at the client's certificate only after the client's handshake is done, and refuses it at the first read.

/// What a trial came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered; the sentence says what.
    Passed(String),
    /// It refuses the certificate, or whom it names.
    Rejected(String),
    /// It could not be asked, or its answer says nothing of the certificate. Unreachable is not rejected.
    Unreachable(String),
    /// The other side's own certificate has been revoked.
    ServerRevoked(String),
}

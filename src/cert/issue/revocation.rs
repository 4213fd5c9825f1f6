//! What a CA takes back: serial, time, reason, and the list that says so (RFC 5280 section 5).

use std::str::FromStr;
use std::time::Duration;

use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::{IssueError, Validity, check};

/// A certificate that is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Hexadecimal.
    pub serial: String,
    /// Seconds since the Unix epoch.
    pub at: i64,
    pub reason: Reason,
}

/// Why it is taken back (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    #[default]
    Unspecified,
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    PrivilegeWithdrawn,
}

impl Reason {
    /// Every reason that can be given.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The word for it on a command line and in an index.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    /// `None` where a list had better say nothing.
    const fn code(self) -> Option<RevocationReason> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(RevocationReason::KeyCompromise),
            Self::CaCompromise => Some(RevocationReason::CaCompromise),
            Self::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
            Self::Superseded => Some(RevocationReason::Superseded),
            Self::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
            Self::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
        }
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// A list that is ready to be signed.
pub(super) fn list(
    revoked: &[Revoked],
    number: u64,
    this_update: i64,
    next_update: i64,
) -> Result<CertificateRevocationListParams, IssueError> {
    check(Validity {
        not_before: this_update,
        not_after: next_update,
    })?;
    let time = |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.unsigned_abs());
    let mut revoked_certs = Vec::with_capacity(revoked.len());
    for one in revoked {
        revoked_certs.push(RevokedCertParams {
            serial_number: parse_serial(&one.serial)?,
            revocation_time: time(one.at.max(0)),
            reason_code: one.reason.code(),
            invalidity_date: None,
        });
    }
    Ok(CertificateRevocationListParams {
        this_update: time(this_update),
        next_update: time(next_update),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    })
}

fn parse_serial(text: &str) -> Result<SerialNumber, IssueError> {
    let wrong = || IssueError::Serial(text.escape_debug().to_string());
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let bytes = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().map_err(|_| wrong())?;
    Ok(SerialNumber::from_slice(&bytes))
}

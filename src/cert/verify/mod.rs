//! Findings on a [`Bundle`] at a given time: what the other side would refuse, and what somebody should look at.
//!
//! [`findings`] looks at everything and reports everything at once, each with what to do; the verifier of the TLS stack
//! stops at its first error, so it comes apart, in [`chain_to`]. Clocks differ: within `skew` of a date a finding is a
//! warning, beyond it a refusal.

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use webpki::EndEntityCert;

use super::chain;
pub use super::chain::{ChainError, Trusted, chain_to};
use super::crl;
use super::facts::{Facts, KeyAlgorithm, date, span};
use super::load::Bundle;

const DAY: i64 = 86_400;

/// Which side of a handshake the certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Client,
    Server,
}

/// What a finding means for the use of the bundle. The greater is the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works today; somebody should look at it.
    Warn,
    /// It must not be used: the other side refuses it, or should.
    Refuse,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    NotYetValid,
    Expired,
    ExpiresSoon,
    /// Extended key usage is there and does not list the purpose.
    PurposeMissing,
    /// Key usage is there and does not let the key sign handshakes.
    SigningNotAllowed,
    /// An expected name is not among the alternative names.
    NameMissing,
    /// There is a common name only, which no current verifier reads.
    CommonNameOnly,
    WeakKey,
    WeakSignature,
    /// The issuers are there, in another order than each after the one that it signed.
    ChainOrder,
    /// A certificate is sent along that signed none of the others.
    Unrelated,
    CaAsLeaf,
    SelfSigned,
    OldVersion,
    /// It is on the list of its issuer.
    Revoked,
}

/// One thing to know about a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub what: What,
    /// What was found, what was expected, what to do.
    pub text: String,
}

/// Everything there is to say about a bundle at `now`. Empty: it is fit for the purpose, as far as it shows.
#[must_use]
pub fn findings(bundle: &Bundle, purpose: Purpose, expected_dns: &[String], now: i64, skew: i64) -> Vec<Finding> {
    chain_findings(bundle.chain(), bundle.chain_facts(), purpose, expected_dns, now, skew)
}

/// The same for a chain whose key is somebody else's, with what each of its certificates says.
#[must_use]
pub fn chain_findings(
    chain: &[CertificateDer<'_>],
    facts: &[Facts],
    purpose: Purpose,
    expected_dns: &[String],
    now: i64,
    skew: i64,
) -> Vec<Finding> {
    let total = chain.len();
    let mut out = Vec::new();
    let (Some(leaf_der), Some(leaf)) = (chain.first(), facts.first()) else {
        return out;
    };
    for (index, facts) in facts.iter().enumerate() {
        let who = if index == 0 {
            format!("the certificate \"{}\"", facts.subject)
        } else {
            format!("the CA certificate \"{}\" ({} of {total})", facts.subject, index + 1)
        };
        dates(&who, facts, now, skew, &mut out);
        strength(&who, facts, &mut out);
    }
    fitness(leaf, purpose, &mut out);
    names(leaf, leaf_der, purpose, expected_dns, &mut out);
    order(chain, facts, &mut out);
    out
}

/// Whether the certificate stands on the list of its issuer, if that is among the lists. Nothing is said where it is
/// not: then the other side, which knows its lists, decides.
#[must_use]
pub fn revocation(bundle: &Bundle, lists: &[CertificateRevocationListDer<'_>]) -> Option<Finding> {
    let list = crl::revoked(&bundle.chain()[0], lists)?;
    let leaf = bundle.leaf_facts();
    Some(Finding::refuse(
        What::Revoked,
        format!(
            "the certificate \"{}\" (serial {}) has been revoked: it is on the list of \"{}\" of {}; a new one is needed",
            leaf.subject,
            leaf.serial,
            list.issuer,
            date(list.this_update)
        ),
    ))
}

impl What {
    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::ExpiresSoon => "expires_soon",
            Self::PurposeMissing => "purpose_missing",
            Self::SigningNotAllowed => "signing_not_allowed",
            Self::NameMissing => "name_missing",
            Self::CommonNameOnly => "common_name_only",
            Self::WeakKey => "weak_key",
            Self::WeakSignature => "weak_signature",
            Self::ChainOrder => "chain_order",
            Self::Unrelated => "unrelated",
            Self::CaAsLeaf => "ca_as_leaf",
            Self::SelfSigned => "self_signed",
            Self::OldVersion => "old_version",
            Self::Revoked => "revoked",
        }
    }
}

impl Purpose {
    /// The side as a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl Finding {
    fn warn(what: What, text: String) -> Self {
        let severity = Severity::Warn;
        Self { severity, what, text }
    }

    fn refuse(what: What, text: String) -> Self {
        let severity = Severity::Refuse;
        Self { severity, what, text }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn dates(who: &str, facts: &Facts, now: i64, skew: i64, out: &mut Vec<Finding>) {
    let early = facts.not_before.saturating_sub(now);
    let late = now.saturating_sub(facts.not_after);
    let left = facts.not_after.saturating_sub(now);
    let severity = |off: i64| if off > skew { Severity::Refuse } else { Severity::Warn };
    if early > 0 {
        out.push(Finding {
            severity: severity(early),
            what: What::NotYetValid,
            text: format!(
                "{who} is valid only in {}, from {}; wait, or check the clock",
                span(early),
                date(facts.not_before)
            ),
        });
    } else if late > 0 {
        out.push(Finding {
            severity: severity(late),
            what: What::Expired,
            text: format!(
                "{who} expired {} ago, at {}; a new one is needed",
                span(late),
                date(facts.not_after)
            ),
        });
    } else if left < soon(facts) {
        out.push(Finding::warn(
            What::ExpiresSoon,
            format!(
                "{who} expires in {}, at {}; have a new one issued and staged",
                span(left),
                date(facts.not_after)
            ),
        ));
    }
}

/// 30 days before the end, or the last third of a short life.
fn soon(facts: &Facts) -> i64 {
    (30 * DAY).min(facts.not_after.saturating_sub(facts.not_before) / 3)
}

fn strength(who: &str, facts: &Facts, out: &mut Vec<Finding>) {
    let least = match facts.key.algorithm {
        KeyAlgorithm::Rsa => 2048,
        KeyAlgorithm::Ecdsa => 256,
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Other => 0,
    };
    if facts.key.bits < least {
        out.push(Finding::refuse(
            What::WeakKey,
            format!(
                "{who} has a key of {}; expected RSA of at least 2048 bits or ECDSA of at least P-256",
                facts.key
            ),
        ));
    }
    // Nobody checks the signature of a root on itself.
    if facts.weak_signature && !(facts.is_ca && facts.is_self_issued()) {
        out.push(Finding::refuse(
            What::WeakSignature,
            format!(
                "{who} is signed by {}, which can be forged and is refused; have it signed with SHA-256 or better",
                facts.signature
            ),
        ));
    }
}

/// Version, kind and purposes of the leaf.
fn fitness(leaf: &Facts, purpose: Purpose, out: &mut Vec<Finding>) {
    let who = format!("the certificate \"{}\"", leaf.subject);
    let side = purpose.as_str();
    if leaf.version != 3 {
        out.push(Finding::refuse(
            What::OldVersion,
            format!("{who} is of X.509 version {}; expected version 3", leaf.version),
        ));
    }
    if leaf.is_ca {
        out.push(Finding::refuse(
            What::CaAsLeaf,
            format!("{who} is a CA certificate; a {side} needs a certificate of its own, issued by that CA"),
        ));
    } else if leaf.is_self_issued() {
        out.push(Finding::warn(
            What::SelfSigned,
            format!("{who} is signed by itself; only who was given exactly this certificate will accept it"),
        ));
    }
    if leaf.key_usage.is_some_and(|usage| !usage.digital_signature) && !leaf.is_ca {
        out.push(Finding::warn(
            What::SigningNotAllowed,
            format!("{who} has key usages without digital signature, which TLS needs; strict peers refuse it"),
        ));
    }
    let Some(purposes) = leaf.purposes else { return };
    let listed = match purpose {
        Purpose::Client => purposes.client_auth,
        Purpose::Server => purposes.server_auth,
    };
    if !listed {
        let found = match (purposes.client_auth, purposes.server_auth, purposes.any) {
            (_, true, _) => "it is for servers only",
            (true, ..) => "it is for clients only",
            (.., true) => "\"any\" purpose is not taken for it",
            _ => "it is for other purposes",
        };
        let advice = match purpose {
            Purpose::Client => {
                "public CAs no longer issue certificates for clients: it has to come from the private CA that the other side trusts"
            }
            Purpose::Server => "have it issued for server authentication",
        };
        out.push(Finding::refuse(
            What::PurposeMissing,
            format!("{who} may not be used for {side} authentication ({found}); {advice}"),
        ));
    }
}

fn names(leaf: &Facts, der: &CertificateDer<'_>, purpose: Purpose, expected: &[String], out: &mut Vec<Finding>) {
    let missing: Vec<&str> = expected
        .iter()
        .filter(|name| !carries(leaf, der, purpose, name))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        out.push(Finding::refuse(
            What::NameMissing,
            format!(
                "the certificate \"{}\" does not carry the name {}; its names are: {}; is it somebody else's?",
                leaf.subject,
                missing.join(", "),
                leaf.names()
            ),
        ));
    }
    if leaf.names() == "none" && !leaf.common_names.is_empty() {
        let text = format!(
            "the certificate \"{}\" has a common name only; names are read from subject alternative names and nowhere else",
            leaf.subject
        );
        out.push(match purpose {
            Purpose::Server => Finding::refuse(What::CommonNameOnly, text),
            Purpose::Client => Finding::warn(What::CommonNameOnly, text),
        });
    }
}

/// A server is asked for by the rules of TLS, wildcards included; a client must carry the very name.
fn carries(leaf: &Facts, der: &CertificateDer<'_>, purpose: Purpose, name: &str) -> bool {
    match purpose {
        Purpose::Client => leaf.dns_names.iter().any(|found| found.eq_ignore_ascii_case(name)),
        Purpose::Server => match (EndEntityCert::try_from(der), ServerName::try_from(name)) {
            (Ok(certificate), Ok(name)) => certificate.verify_is_valid_for_subject_name(&name).is_ok(),
            _ => false,
        },
    }
}

/// TLS 1.2 wants each certificate followed by its issuer (RFC 5246 section 7.4.2); TLS 1.3 tolerates other orders, some
/// peers do not.
fn order(chain: &[CertificateDer<'_>], facts: &[Facts], out: &mut Vec<Finding>) {
    let path = chain::path(chain);
    if !path.is_sorted() {
        out.push(Finding::warn(
            What::ChainOrder,
            String::from(
                "the chain is out of order, which peers with TLS 1.2 may refuse; expected the certificate first, then each issuer after the certificate that it signed",
            ),
        ));
    }
    for (index, facts) in facts.iter().enumerate() {
        if !path.contains(&index) {
            out.push(Finding::warn(
                What::Unrelated,
                format!(
                    "certificate {} of {} in the chain, \"{}\", issued none of the others, or is there twice; leave it out",
                    index + 1,
                    chain.len(),
                    facts.subject
                ),
            ));
        }
    }
}

#[cfg(test)]
mod tests;

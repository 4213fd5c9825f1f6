//! Findings on a [`Bundle`] at a given time: what the other side would refuse, and what somebody should look at.
//!
//! [`findings`] looks at everything and reports everything at once, each with what to do; the verifier of the TLS stack
//! stops at its first error, so it comes apart, in [`chain_to`]. Clocks differ: within `skew` of a date a finding is a
//! warning, beyond it a refusal.

use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

use super::chain;
pub use super::chain::{ChainError, chain_to};
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
    let total = bundle.chain().len();
    let mut out = Vec::new();
    for (index, facts) in bundle.chain_facts().iter().enumerate() {
        let who = if index == 0 {
            format!("the certificate \"{}\"", facts.subject)
        } else {
            format!("the CA certificate \"{}\" ({} of {total})", facts.subject, index + 1)
        };
        dates(&who, facts, now, skew, &mut out);
        strength(&who, facts, &mut out);
    }
    let leaf = bundle.leaf_facts();
    fitness(leaf, purpose, &mut out);
    names(leaf, &bundle.chain()[0], purpose, expected_dns, &mut out);
    order(bundle, &mut out);
    out
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
fn order(bundle: &Bundle, out: &mut Vec<Finding>) {
    let path = chain::path(bundle);
    if !path.is_sorted() {
        out.push(Finding::warn(
            What::ChainOrder,
            String::from(
                "the chain is out of order, which peers with TLS 1.2 may refuse; expected the certificate first, then each issuer after the certificate that it signed",
            ),
        ));
    }
    for (index, facts) in bundle.chain_facts().iter().enumerate() {
        if !path.contains(&index) {
            out.push(Finding::warn(
                What::Unrelated,
                format!(
                    "certificate {} of {} in the chain, \"{}\", issued none of the others, or is there twice; leave it out",
                    index + 1,
                    bundle.chain().len(),
                    facts.subject
                ),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Key, KeyUsage as KeyUsageFacts};
    use super::super::issue::{self, Authority, Purposes, Spec, Validity};
    use super::super::load;
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const SKEW: i64 = 300;

    fn root() -> Authority {
        Authority::new_root("Test Root", Validity::days(NOW - 10 * DAY, 3650)).unwrap()
    }

    fn spec(purposes: Purposes) -> Spec {
        Spec {
            dns: vec![String::from("allocation-manager")],
            ..Spec::new("allocation-manager", purposes, Validity::days(NOW - DAY, 365))
        }
    }

    fn bundle(issued: &issue::Issued) -> Bundle {
        load::bundle(issued.chain_pem.as_bytes(), issued.key_pem.expose().as_bytes()).unwrap()
    }

    fn leaf(spec: &Spec) -> Bundle {
        bundle(&root().issue(spec).unwrap())
    }

    fn found(bundle: &Bundle, purpose: Purpose, expected: &[&str], now: i64) -> Vec<(Severity, What)> {
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        let findings = findings(bundle, purpose, &expected, now, SKEW);
        findings
            .iter()
            .map(|finding| (finding.severity, finding.what))
            .collect()
    }

    fn of_facts(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
        let mut facts = leaf(&spec(Purposes::Client)).leaf_facts().clone();
        change(&mut facts);
        let mut out = Vec::new();
        strength("it", &facts, &mut out);
        fitness(&facts, Purpose::Client, &mut out);
        out
    }

    #[test]
    fn a_good_bundle_has_no_findings() {
        let intermediate = root()
            .issue_intermediate("Issuing", Validity::days(NOW - DAY, 1000))
            .unwrap();
        let bundle = bundle(&intermediate.issue(&spec(Purposes::Both)).unwrap());
        for purpose in [Purpose::Client, Purpose::Server] {
            assert_eq!(found(&bundle, purpose, &["allocation-manager"], NOW), []);
        }
    }

    #[test]
    fn dates_are_judged_with_tolerance_for_clocks() {
        use Severity::{Refuse, Warn};
        let start = NOW - DAY;
        let end = start + 365 * DAY;
        let bundle = leaf(&spec(Purposes::Client));
        let at = |now| found(&bundle, Purpose::Client, &[], now);
        assert_eq!(at(start - SKEW - 1), [(Refuse, What::NotYetValid)]);
        assert_eq!(at(start - SKEW), [(Warn, What::NotYetValid)]);
        assert_eq!(at(start), []);
        assert_eq!(at(end - 30 * DAY), []);
        assert_eq!(at(end - 30 * DAY + 1), [(Warn, What::ExpiresSoon)]);
        assert_eq!(at(end), [(Warn, What::ExpiresSoon)]);
        assert_eq!(at(end + 1), [(Warn, What::Expired)]);
        assert_eq!(at(end + SKEW + 1), [(Refuse, What::Expired)]);
        assert_eq!(at(i64::MAX), [(Refuse, What::Expired)]);
        assert_eq!(at(i64::MIN), [(Refuse, What::NotYetValid)]);
    }

    #[test]
    fn a_short_lived_certificate_expires_soon_only_in_its_last_third() {
        let short = Spec {
            validity: Validity {
                not_before: NOW,
                not_after: NOW + 3 * 3_600,
            },
            ..spec(Purposes::Client)
        };
        let bundle = leaf(&short);
        assert_eq!(found(&bundle, Purpose::Client, &[], NOW + 2 * 3_600), []);
        assert_eq!(
            found(&bundle, Purpose::Client, &[], NOW + 2 * 3_600 + 1),
            [(Severity::Warn, What::ExpiresSoon)]
        );
    }

    #[test]
    fn an_expired_intermediate_is_found_behind_a_good_leaf() {
        let intermediate = root()
            .issue_intermediate("Issuing", Validity::days(NOW - 5 * DAY, 1))
            .unwrap();
        let bundle = bundle(&intermediate.issue(&spec(Purposes::Client)).unwrap());
        let findings = findings(&bundle, Purpose::Client, &[], NOW, SKEW);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(
            findings[0].to_string(),
            "the CA certificate \"CN=Issuing\" (2 of 2) expired 4 days ago, at 2027-01-11T08:00:00Z; a new one is needed"
        );
    }

    #[test]
    fn a_server_certificate_is_refused_for_a_client_in_words_that_say_where_to_get_one() {
        let findings = findings(&leaf(&spec(Purposes::Server)), Purpose::Client, &[], NOW, SKEW);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(
            (findings[0].severity, findings[0].what),
            (Severity::Refuse, What::PurposeMissing)
        );
        assert!(findings[0].text.contains("for servers only"), "{}", findings[0]);
        assert!(
            findings[0].text.contains("public CAs no longer issue"),
            "{}",
            findings[0]
        );
        let client = leaf(&spec(Purposes::Client));
        assert_eq!(
            found(&client, Purpose::Server, &[], NOW),
            [(Severity::Refuse, What::PurposeMissing)]
        );
    }

    #[test]
    fn unstated_purposes_are_no_finding_as_in_the_tls_stack() {
        let root = root();
        let bundle = bundle(&root.issue(&spec(Purposes::Unstated)).unwrap());
        assert_eq!(found(&bundle, Purpose::Client, &[], NOW), []);
        chain_to(&bundle, &[root.certificate().clone()], Purpose::Client, NOW).unwrap();
    }

    #[test]
    fn a_missing_name_is_refused_and_the_names_that_are_there_are_said() {
        let expected = [String::from("allocation-manager"), String::from("someone-else")];
        let findings = findings(&leaf(&spec(Purposes::Client)), Purpose::Client, &expected, NOW, SKEW);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(
            (findings[0].severity, findings[0].what),
            (Severity::Refuse, What::NameMissing)
        );
        assert!(findings[0].text.contains("the name someone-else;"), "{}", findings[0]);
        assert!(
            findings[0].text.contains("its names are: dns:allocation-manager;"),
            "{}",
            findings[0]
        );
    }

    #[test]
    fn a_wildcard_covers_a_server_name_but_not_a_client_name() {
        let wildcard = Spec {
            dns: vec![String::from("*.ndh.example")],
            ..spec(Purposes::Both)
        };
        let bundle = leaf(&wildcard);
        assert_eq!(found(&bundle, Purpose::Server, &["api.ndh.example"], NOW), []);
        assert_eq!(
            found(&bundle, Purpose::Client, &["api.ndh.example"], NOW),
            [(Severity::Refuse, What::NameMissing)]
        );
    }

    #[test]
    fn a_common_name_alone_is_refused_for_a_server_and_a_warning_for_a_client() {
        let bundle = leaf(&Spec {
            dns: Vec::new(),
            ..spec(Purposes::Both)
        });
        assert_eq!(
            found(&bundle, Purpose::Server, &[], NOW),
            [(Severity::Refuse, What::CommonNameOnly)]
        );
        assert_eq!(
            found(&bundle, Purpose::Client, &[], NOW),
            [(Severity::Warn, What::CommonNameOnly)]
        );
    }

    #[test]
    fn a_ca_certificate_is_no_leaf() {
        let root = root();
        let bundle = bundle(
            &root
                .issue(&Spec {
                    is_ca: true,
                    ..spec(Purposes::Client)
                })
                .unwrap(),
        );
        assert_eq!(
            found(&bundle, Purpose::Client, &[], NOW),
            [(Severity::Refuse, What::CaAsLeaf)]
        );
        let refused = chain_to(&bundle, &[root.certificate().clone()], Purpose::Client, NOW);
        assert_eq!(refused, Err(ChainError::CaAsLeaf("client")));
    }

    #[test]
    fn a_self_signed_certificate_is_found_and_does_not_chain() {
        let bundle = bundle(&issue::self_signed(&spec(Purposes::Client)).unwrap());
        assert_eq!(
            found(&bundle, Purpose::Client, &[], NOW),
            [(Severity::Warn, What::SelfSigned)]
        );
        let refused = chain_to(&bundle, &[root().certificate().clone()], Purpose::Client, NOW);
        assert!(matches!(refused, Err(ChainError::UnknownIssuer { .. })), "{refused:?}");
    }

    #[test]
    fn weak_keys_weak_signatures_and_old_versions_are_refused() {
        let weak = |algorithm, bits| of_facts(|facts| facts.key = Key { algorithm, bits });
        let what = |findings: &[Finding]| {
            findings
                .iter()
                .map(|found| (found.severity, found.what))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            what(&weak(KeyAlgorithm::Rsa, 1024)),
            [(Severity::Refuse, What::WeakKey)]
        );
        assert_eq!(
            what(&weak(KeyAlgorithm::Rsa, 2047)),
            [(Severity::Refuse, What::WeakKey)]
        );
        assert_eq!(what(&weak(KeyAlgorithm::Rsa, 2048)), []);
        assert_eq!(
            what(&weak(KeyAlgorithm::Ecdsa, 224)),
            [(Severity::Refuse, What::WeakKey)]
        );
        assert_eq!(what(&weak(KeyAlgorithm::Ecdsa, 256)), []);
        assert_eq!(
            what(&of_facts(|facts| facts.weak_signature = true)),
            [(Severity::Refuse, What::WeakSignature)]
        );
        assert_eq!(
            what(&of_facts(|facts| facts.version = 1)),
            [(Severity::Refuse, What::OldVersion)]
        );
        let no_signing = KeyUsageFacts {
            digital_signature: false,
            key_cert_sign: false,
            crl_sign: false,
        };
        assert_eq!(
            what(&of_facts(|facts| facts.key_usage = Some(no_signing))),
            [(Severity::Warn, What::SigningNotAllowed)]
        );
        assert_eq!(what(&of_facts(|_| {})), []);
    }

    /// root → one → two → leaf is more than this CA makes, so the root is sent along as the second issuer.
    #[test]
    fn a_chain_out_of_order_and_a_stranger_in_it_are_told_apart() {
        let root = root();
        let intermediate = root
            .issue_intermediate("Issuing", Validity::days(NOW - DAY, 1000))
            .unwrap();
        let issued = intermediate.issue(&spec(Purposes::Client)).unwrap();
        let stranger = Authority::new_root("Stranger", Validity::days(NOW - DAY, 1000)).unwrap();
        let impostor = Authority::new_root("Test Root", Validity::days(NOW - DAY, 1000)).unwrap();
        let leaf = issued
            .chain_pem
            .split_inclusive("-----END CERTIFICATE-----\n")
            .next()
            .unwrap();
        let with = |rest: &[&Authority]| {
            let rest: String = rest.iter().map(|ca| ca.certificate_pem()).collect();
            let bundle = load::bundle(format!("{leaf}{rest}").as_bytes(), issued.key_pem.expose().as_bytes()).unwrap();
            found(&bundle, Purpose::Client, &[], NOW)
        };
        assert_eq!(with(&[&intermediate, &root]), []);
        assert_eq!(with(&[&root, &intermediate]), [(Severity::Warn, What::ChainOrder)]);
        assert_eq!(with(&[&intermediate, &stranger]), [(Severity::Warn, What::Unrelated)]);
        assert_eq!(
            with(&[&intermediate, &impostor]),
            [(Severity::Warn, What::Unrelated)],
            "name right, signature not"
        );
        assert_eq!(
            with(&[&intermediate, &intermediate]),
            [(Severity::Warn, What::Unrelated)]
        );
        assert_eq!(
            with(&[&root, &stranger, &intermediate]),
            [(Severity::Warn, What::ChainOrder), (Severity::Warn, What::Unrelated)]
        );
    }
}

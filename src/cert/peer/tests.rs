//! What `peer` promises, by example.

use super::super::issue::{self, Purposes, Spec, Validity};
use super::*;

fn facts(spec: &Spec) -> Facts {
    Facts::read(&issue::self_signed(spec).unwrap().leaf).unwrap()
}

fn plain_spec() -> Spec {
    Spec::new("allocation-manager", Purposes::Client, Validity::days(1_800_000_000, 1))
}

fn with_dns(names: &[&str]) -> Facts {
    let dns = names.iter().map(ToString::to_string).collect();
    facts(&Spec { dns, ..plain_spec() })
}

fn with_uri(name: &str) -> Facts {
    facts(&Spec {
        uri: vec![name.to_owned()],
        ..plain_spec()
    })
}

fn pattern(kind: &str, text: &str) -> Pattern {
    Pattern::parse(kind, text).unwrap()
}

#[test]
fn a_dns_pattern_means_one_name_whatever_its_case() {
    let manager = with_dns(&["other.example", "Allocation-Manager.Apps.Example"]);
    for matching in [
        "allocation-manager.apps.example",
        "ALLOCATION-MANAGER.apps.example",
        "other.example.",
    ] {
        assert!(pattern("dns", matching).matches(&manager), "{matching}");
    }
    for other in [
        "apps.example",
        "manager.apps.example",
        "allocation-manager.apps.example.com",
        "x",
    ] {
        assert!(!pattern("dns", other).matches(&manager), "{other}");
    }
}

#[test]
fn a_dns_pattern_never_looks_at_the_common_name() {
    let facts = facts(&plain_spec());
    assert_eq!(facts.common_names, ["allocation-manager"]);
    assert!(!pattern("dns", "allocation-manager").matches(&facts));
    assert!(pattern("cn", "allocation-manager").matches(&facts));
}

#[test]
fn a_dns_wildcard_stands_for_one_whole_label() {
    let wildcard = pattern("dns", "*.apps.example");
    let matches = |name| wildcard.matches(&with_dns(&[name]));
    assert!(matches("a.apps.example"));
    assert!(matches("A.APPS.example"));
    for not in [
        "apps.example",
        "a.b.apps.example",
        ".apps.example",
        "*.apps.example",
        "aapps.example",
        "a.apps.examplex",
    ] {
        assert!(!matches(not), "{not}");
    }
}

#[test]
fn a_wildcard_certificate_is_not_a_host() {
    assert!(!pattern("dns", "a.apps.example").matches(&with_dns(&["*.apps.example"])));
}

#[test]
fn a_uri_pattern_without_wildcard_is_exact() {
    let manager = with_uri("spiffe://trust.example/ns/allocation-manager");
    assert!(pattern("uri", "spiffe://trust.example/ns/allocation-manager").matches(&manager));
    for other in [
        "spiffe://trust.example/ns/allocation-manager/",
        "spiffe://trust.example/ns",
        "spiffe://TRUST.example/ns/allocation-manager",
        "https://trust.example/ns/allocation-manager",
    ] {
        assert!(!pattern("uri", other).matches(&manager), "{other}");
    }
}

#[test]
fn a_uri_wildcard_stands_for_one_segment_and_two_stars_for_any_number_at_the_end() {
    let table = [
        ("spiffe://t/ns/*/sa", "spiffe://t/ns/a/sa", true),
        ("spiffe://t/ns/*/sa", "spiffe://t/ns/a/b/sa", false),
        ("spiffe://t/ns/*/sa", "spiffe://t/ns//sa", false),
        ("spiffe://t/ns/*/sa", "spiffe://t/ns/../sa", false),
        ("spiffe://t/ns/*/sa", "spiffe://t/ns/a%2Fb/sa", false),
        ("spiffe://t/ns/*", "spiffe://t/ns/a", true),
        ("spiffe://t/ns/*", "spiffe://t/ns", false),
        ("spiffe://t/ns/*", "spiffe://t/ns/a/", false),
        ("spiffe://t/ns/*", "spiffe://t/ns/a/b", false),
        ("spiffe://t/ns/*", "spiffe://t/ns/a?b", false),
        ("spiffe://t/ns/**", "spiffe://t/ns", true),
        ("spiffe://t/ns/**", "spiffe://t/ns/a", true),
        ("spiffe://t/ns/**", "spiffe://t/ns/a/b/c", true),
        ("spiffe://t/ns/**", "spiffe://t/ns/a/../../b", false),
        ("spiffe://t/ns/**", "spiffe://t/nsx/a", false),
        ("spiffe://t/**", "spiffe://t", true),
        ("spiffe://t/**", "spiffe://t.evil/a", false),
        ("spiffe://t/*/x/**", "spiffe://t/a/x", true),
        ("spiffe://t/*/x/**", "spiffe://t/a/y/z", false),
    ];
    for (text, name, expected) in table {
        assert_eq!(
            pattern("uri", text).matches(&with_uri(name)),
            expected,
            "{text} on {name}"
        );
    }
}

#[test]
fn a_common_name_counts_only_where_it_is_the_only_one() {
    let mut facts = facts(&plain_spec());
    assert!(!pattern("cn", "Allocation-Manager").matches(&facts));
    facts.common_names.push(String::from("second"));
    assert!(!pattern("cn", "allocation-manager").matches(&facts));
    assert!(!pattern("cn", "second").matches(&facts));
}

#[test]
fn an_organisational_unit_may_be_one_of_several() {
    let mut facts = facts(&Spec {
        organisational_unit: Some(String::from("HMPPS")),
        ..plain_spec()
    });
    facts.organisational_units.push(String::from("NDH"));
    assert!(pattern("ou", "HMPPS").matches(&facts) && pattern("ou", "NDH").matches(&facts));
    assert!(!pattern("ou", "hmpps").matches(&facts));
}

#[test]
fn pins_and_fingerprints_mean_one_key_and_one_certificate() {
    let (one, two) = (facts(&plain_spec()), facts(&plain_spec()));
    let pin = pattern("spki", &one.spki());
    assert!(pin.matches(&one) && !pin.matches(&two));
    let plain = one.fingerprint();
    let pairs: Vec<&str> = (0..64).step_by(2).map(|at| &plain[at..at + 2]).collect();
    for text in [plain.clone(), plain.to_uppercase(), pairs.join(":")] {
        let fingerprint = pattern("fingerprint", &text);
        assert!(fingerprint.matches(&one) && !fingerprint.matches(&two), "{text}");
    }
}

#[test]
fn a_pattern_prints_so_that_it_can_be_read_again() {
    let digest = "ab".repeat(32);
    let pin = format!("sha256:{}", STANDARD.encode([7; 32]));
    let all = [
        ("dns", "*.apps.example"),
        ("uri", "spiffe://t/ns/**"),
        ("cn", "Allocation Manager"),
        ("ou", "HMPPS: staging"),
        ("spki", pin.as_str()),
        ("fingerprint", digest.as_str()),
    ];
    for (kind, text) in all {
        let printed = pattern(kind, text).to_string();
        assert_eq!(printed, format!("{kind}:{text}"));
        let (kind, text) = printed.split_once(':').unwrap();
        assert_eq!(pattern(kind, text), pattern(kind, text));
    }
}

#[test]
fn what_is_not_a_pattern_is_refused_with_its_reason() {
    let refused = |kind, text| Pattern::parse(kind, text).unwrap_err();
    assert_eq!(refused("san", "x"), PatternError::UnknownKind(String::from("san")));
    for kind in ["dns", "uri", "cn", "ou"] {
        assert!(matches!(refused(kind, " "), PatternError::Empty(_)), "{kind}");
        assert!(
            matches!(refused(kind, "a\nb"), PatternError::Unprintable { .. }),
            "{kind}"
        );
    }
    for text in ["*", "*.", "*.example", "a.*.example", "*a.b.example", "**.b.example"] {
        assert!(matches!(refused("dns", text), PatternError::DnsWildcard(_)), "{text}");
    }
    for text in ["a..b", ".a", "a b", "zürich", "a/b", "https://a", "a:443"] {
        assert!(matches!(refused("dns", text), PatternError::NotADnsName(_)), "{text}");
    }
    for text in ["name", "spiffe:/t/x", "spiffe://", "://t/x", "spiffe:///x"] {
        assert!(matches!(refused("uri", text), PatternError::NotAUri(_)), "{text}");
    }
    for text in [
        "*://t/x",
        "spiffe://*/x",
        "spiffe://t/a*",
        "spiffe://t/**/x",
        "spiffe://t/***",
    ] {
        assert!(matches!(refused("uri", text), PatternError::UriWildcard(_)), "{text}");
    }
    let short = format!("sha256:{}", STANDARD.encode([7; 31]));
    let bare = STANDARD.encode([7; 32]);
    for text in ["", "sha256:", "sha256:%%%", short.as_str(), bare.as_str()] {
        assert!(matches!(refused("spki", text), PatternError::NotAPin(_)), "{text}");
    }
    let odd = "ab".repeat(31) + "a";
    let colons = "a:".repeat(31) + "a";
    let sign = "+1".repeat(32);
    let wide = "é".repeat(32);
    for text in [
        "",
        "zz",
        &odd,
        &"ab".repeat(33),
        &colons,
        &sign,
        &wide,
        &"g1".repeat(32),
    ] {
        assert!(
            matches!(refused("fingerprint", text), PatternError::NotAFingerprint(_)),
            "{text}"
        );
    }
}

//! The status page for a night: every word that an operator looks for.

use super::*;
use crate::identity::status::rfc3339;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn certificate(name: &str, begin: i64, end: i64) -> Certificate {
    Certificate {
        subject: format!("CN={name}"),
        names: vec![name.to_owned(), "second".to_owned()],
        issuer: "CN=issuing CA".to_owned(),
        serial: "0a:0b".to_owned(),
        fingerprint: "ab12".to_owned(),
        not_before: rfc3339(NOW + begin),
        not_after: rfc3339(NOW + end),
    }
}

fn generation(number: u64, end: i64) -> Generation {
    Generation {
        number,
        place: "configured".to_owned(),
        since: rfc3339(NOW - 3 * 3600),
        proof: "a handshake and GET /health: 200".to_owned(),
        chain: vec![
            certificate("app", -DAY, end),
            certificate("issuing CA", -DAY, 400 * DAY),
        ],
        trust: vec![certificate("root", -DAY, 29 * DAY)],
        crls: Vec::new(),
        connections: 4,
    }
}

fn report(lineage: Lineage) -> String {
    let lineage = Lineage {
        identity: "am".to_owned(),
        upstream: "ndh".to_owned(),
        promotion: "manual".to_owned(),
        ..lineage
    };
    text(
        &Report {
            lineages: vec![lineage],
        },
        NOW,
    )
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn what_is_in_use_is_said_with_its_proof_and_its_end() {
    let said = report(Lineage {
        in_use: Some(generation(2, 100 * DAY)),
        previous: Some(generation(1, -DAY)),
        server: vec![certificate("ndh.example", -DAY, 10 * DAY)],
        ..Lineage::default()
    });
    let expected = "\
am, towards ndh (promotion: manual)
  in use      generation 2, from the configured place, since 2027-01-15T05:00:00Z (3 hours ago)
              proven by: a handshake and GET /health: 200
              open connections: 4
              subject: CN=app
              names: app, second
              issuer: CN=issuing CA
              serial: 0a:0b
              SHA-256: ab12
              valid from 2027-01-14T08:00:00Z (24 hours ago)
              ends 2027-04-25T08:00:00Z (in 100 days)
  signed by   CN=issuing CA, serial 0a:0b, ends 2028-02-19T08:00:00Z (in 400 days)
  trust       CN=root, serial 0a:0b, ends 2027-02-13T08:00:00Z (in 29 days): ENDS WITHIN 30 DAYS
  previous    generation 1, in use since 2027-01-15T05:00:00Z (3 hours ago)
              CN=app, serial 0a:0b, ended 2027-01-14T08:00:00Z (24 hours ago): EXPIRED
              connections still open: 4
  server      CN=ndh.example, serial 0a:0b, ends 2027-01-25T08:00:00Z (in 10 days): ENDS WITHIN 30 DAYS
";
    assert_eq!(said, expected);
}

#[test]
fn what_comes_next_and_what_was_refused_are_said_with_every_line_of_the_reason() {
    let said = report(Lineage {
        candidate: Some(Candidate {
            number: 3,
            place: "staged".to_owned(),
            phase: "waiting_for_its_time".to_owned(),
            sentence: "its validity begins later".to_owned(),
            next: Some(rfc3339(NOW + 7200)),
            certificate: certificate("app", 7200, 90 * DAY),
        }),
        refused: Some(Refused {
            place: "configured".to_owned(),
            at: rfc3339(NOW - 60),
            reason: "the key does not fit\nput both files in place".to_owned(),
        }),
        ..Lineage::default()
    });
    says(
        &said,
        &[
            "in use      NOTHING",
            "candidate   generation 3, from the staged place: waiting for its time\n",
            "next by itself: 2027-01-15T10:00:00Z (in 2 hours)",
            "NOT YET VALID",
            "REFUSED 2027-01-15T07:59:00Z (60 seconds ago), from the configured place\n",
            "              the key does not fit\n              put both files in place\n",
        ],
    );
}

#[test]
fn a_receipt_says_whether_the_old_one_is_gone_and_what_it_cost() {
    let receipt = |from, retired, failed| {
        report(Lineage {
            receipt: Some(Receipt {
                from,
                to: 2,
                why: "trial_passed".to_owned(),
                promoted: rfc3339(NOW - 30),
                retired_after_seconds: retired,
                requests_failed: failed,
                sentence: "generation 2 in use".to_owned(),
            }),
            ..Lineage::default()
        })
    };
    let over = receipt(Some(1), Some(1.25), 0);
    says(
        &over,
        &[
            "  receipt     generation 2 in use\n",
            "              promoted 2027-01-15T07:59:30Z (30 seconds ago): trial passed\n",
        ],
    );
    assert!(!over.contains("NOT YET") && !over.contains("FAILED"), "{over}");
    says(&receipt(Some(1), None, 0), &["generation 1 is NOT YET RETIRED"]);
    says(&receipt(Some(1), Some(1.0), 3), &["REQUESTS FAILED: 3"]);
    assert!(
        !receipt(None, None, 0).contains("RETIRED"),
        "the first has none before it"
    );
}

#[test]
fn a_stale_list_stands_out_and_a_time_that_is_none_is_shown_as_it_is() {
    let mut in_use = generation(1, DAY);
    let list = |next: Option<i64>| Crl {
        issuer: "CN=issuing CA".to_owned(),
        this_update: "whenever".to_owned(),
        next_update: next.map(|next| rfc3339(NOW + next)),
        revoked: 3,
    };
    in_use.crls = vec![list(Some(-60)), list(Some(60)), list(None)];
    let said = report(Lineage {
        in_use: Some(in_use),
        ..Lineage::default()
    });
    says(
        &said,
        &[
            "revoked: 3",
            "(60 seconds ago): STALE",
            "(in 60 seconds)\n",
            "with no next update",
            "of whenever,",
        ],
    );
    assert_eq!(said.matches("STALE").count(), 1);
}

#[test]
fn the_gateways_own_and_an_empty_report_are_said_as_what_they_are() {
    let own = Report {
        lineages: vec![Lineage {
            identity: "gateway".to_owned(),
            promotion: "automatic".to_owned(),
            ..Lineage::default()
        }],
    };
    says(&text(&own, NOW), &["gateway, shown to callers (promotion: automatic)"]);
    says(&text(&Report::default(), NOW), &["no certificates are managed"]);
}

//! What the rehearsal tells of its evidence, held against evidence that was made up.

use super::*;

const RATE: u32 = 100;

fn hashes(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A drill with one change, one broken certificate and a certificate withdrawn, in which everything held.
fn outcome() -> Outcome {
    Outcome {
        steps: Vec::new(),
        requests: Figures {
            sent: 1_000,
            answered: 993,
            failed: 7,
            failed_by_mark: [(6, 7)].into(),
            seconds: 10.0,
            per_second: 100.0,
            ..Figures::default()
        },
        changes: vec![Change {
            what: "it".to_owned(),
            way: "rename",
            from: 1,
            to: 2,
            noticed: Duration::ZERO,
            closed: Duration::ZERO,
            connections_before: 16,
            connections_left: 0,
            receipt: Receipt::default(),
            requests_after: 0,
            requests_on_old: 0,
            mark: 2,
            current: "b".to_owned(),
            before: hashes(&["a", "b"]),
        }],
        broken: vec![Broken {
            what: "garbage",
            said: String::new(),
            requests: 0,
            requests_on_other: 0,
            mark: 4,
            current: "b".to_owned(),
        }],
        withdrawn: vec![Withdrawn {
            how: "revoked",
            after: Duration::ZERO,
            requests_refused: 0,
            requests_on_withdrawn: 0,
            requests_after: 0,
            refusal: String::new(),
            receipt: Receipt::default(),
            during: 6,
            afterwards: 7,
            withdrawn: "b".to_owned(),
            current: "a".to_owned(),
        }],
        clients: vec![ClientChange {
            way: "swap",
            client: "c-1".to_owned(),
            before: "c".to_owned(),
            noticed: Duration::ZERO,
            requests_after: 0,
            requests_on_old: 0,
            mark: 8,
        }],
        broken_clients: vec![Broken {
            what: "a wrong secret",
            said: String::new(),
            requests: 0,
            requests_on_other: 0,
            mark: 9,
            current: "c-1".to_owned(),
        }],
        keys: vec![KeyChange {
            refreshes: 1,
            requests_after: 0,
            mark: 10,
            client: "c-1".to_owned(),
        }],
        claims: Vec::new(),
    }
}

fn tally() -> Tally {
    let rows = [(1, "a"), (2, "b"), (3, "b"), (4, "b"), (6, "b"), (7, "a")];
    rows.map(|(mark, hash)| ((mark, hash.to_owned()), 10)).into()
}

/// What the standard route saw, by client.
fn standard() -> Tally {
    let rows = [(1, "c"), (8, "c-1"), (9, "c-1"), (10, "c-1")];
    rows.map(|(mark, client)| ((mark, client.to_owned()), 10)).into()
}

fn untrue(outcome: Outcome, tally: &Tally, standard: &Tally) -> Vec<&'static str> {
    let claims = outcome.judge(tally, standard, RATE).claims;
    let untrue = claims.into_iter().filter(|claim| !claim.holds);
    untrue.map(|claim| claim.claim).collect()
}

#[test]
fn a_drill_in_which_all_went_well_holds_and_what_was_refused_is_counted_apart() {
    let judged = outcome().judge(&tally(), &standard(), RATE);
    assert!(judged.holds(), "{:#?}", judged.claims);
    assert_eq!((judged.requests.failed, judged.changes[0].requests_after), (0, 10));
    assert_eq!(judged.broken[0].requests, 10);
    let found = &judged.withdrawn[0];
    assert_eq!((found.requests_refused, found.requests_after), (7, 10));
}

#[track_caller]
fn assert_untrue(claim: &str, change: impl FnOnce(&mut Outcome, &mut Tally)) {
    let (mut outcome, mut tally) = (outcome(), tally());
    change(&mut outcome, &mut tally);
    let untrue = untrue(outcome, &tally, &standard());
    assert!(untrue.len() == 1 && untrue[0].contains(claim), "{claim}: {untrue:?}");
}

#[test]
fn each_claim_is_seen_to_be_untrue_when_it_is() {
    let one = |mark, hash: &str| ((mark, hash.to_owned()), 1);
    assert_untrue("no request on an old generation", |_, tally| {
        tally.extend([one(2, "a")])
    });
    assert_untrue("no request on an old generation", |_, tally| {
        tally.remove(&(2, "b".to_owned()));
    });
    assert_untrue("nothing broken", |_, tally| tally.extend([one(4, "x")]));
    assert_untrue("the other side refuses", |_, tally| tally.extend([one(7, "b")]));
    assert_untrue("no connection of an old", |outcome, _| {
        outcome.changes[0].connections_left = 1;
    });
    assert_untrue("receipts", |outcome, _| outcome.changes[0].receipt.requests_failed = 1);
    assert_untrue("no request failed", |outcome, _| {
        outcome.requests.failed += 1;
        outcome.requests.failed_by_mark.insert(2, 1);
    });
    assert_untrue("the load was held", |outcome, _| outcome.requests.per_second = 90.0);
    assert_untrue("every step", |outcome, _| {
        outcome.steps.push(Step {
            title: "it",
            lines: Vec::new(),
            verdict: Verdict::Failed("no".to_owned()),
            took: Duration::ZERO,
        });
    });
}

#[track_caller]
fn assert_untrue_of_clients(claim: &str, change: impl FnOnce(&mut Outcome, &mut Tally)) {
    let (mut outcome, mut standard) = (outcome(), standard());
    change(&mut outcome, &mut standard);
    let untrue = untrue(outcome, &tally(), &standard);
    assert!(untrue.len() == 1 && untrue[0].contains(claim), "{claim}: {untrue:?}");
}

#[test]
fn each_claim_about_clients_is_seen_to_be_untrue_when_it_is() {
    let one = |mark, client: &str| ((mark, client.to_owned()), 1);
    assert_untrue_of_clients("the client of before", |_, standard| standard.extend([one(8, "c")]));
    assert_untrue_of_clients("the client of before", |_, standard| {
        standard.remove(&(8, "c-1".to_owned()));
    });
    assert_untrue_of_clients("no client that is refused", |_, standard| {
        standard.extend([one(9, "other")]);
    });
    assert_untrue_of_clients("one refresh", |outcome, _| outcome.keys[0].refreshes = 2);
    assert_untrue_of_clients("one refresh", |_, standard| {
        standard.remove(&(10, "c-1".to_owned()));
    });
}

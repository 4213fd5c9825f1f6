//! People who are in no fixture (`people`): each way to differ has its verdict, the four routes together and the composite
//! route come to the same, and nothing of a person is told.

use serde_json::{Value, json};

use super::bench::{Outcome, Person};
use super::people::{PARTS, ROWS, Told, agreed};

/// Parts of what the made-up person's replies hold.
const OF_THE_PERSON: [&str; 8] = ["Z977", "z977", "uill", "UILL", "Perpetua", "example", "N99", "Invent"];

/// The verdict and each difference as `place rule`, which hold nothing of the person.
fn told(what: &str, outcome: &Outcome) -> (&'static str, Vec<String>) {
    for verdict in &outcome.verdicts {
        let said = format!("{verdict} {verdict:?}");
        assert!(!OF_THE_PERSON.iter().any(|part| said.contains(part)), "{what}: {said}");
    }
    let mut told: Vec<String> = outcome
        .differences
        .iter()
        .map(|(pointer, known, _)| format!("{pointer} {}", known.as_deref().unwrap_or("!")))
        .collect();
    told.sort();
    (outcome.verdict(), told)
}

/// What two uses of one row come to, if it is not what was expected.
fn wrong(what: &str, differ: fn(&mut Person), by_routes: Told, by_composite: Told) -> Vec<String> {
    let mut person = agreed();
    differ(&mut person);
    let said = format!("{:?}", [&person.all, &person.managers, &person.standard]);
    assert!(
        OF_THE_PERSON.iter().any(|part| said.contains(part)),
        "{what}: nobody to tell of"
    );
    let uses = [
        ("the routes", person.by_routes(), by_routes),
        ("the composite", person.by_composite(), by_composite),
    ];
    uses.iter()
        .map(|(name, outcome, expected)| (name, told(what, outcome), expected))
        .filter(|(_, (verdict, told), expected)| *verdict != expected.0 || told != expected.1)
        .map(|(name, told, expected)| format!("{what}, {name}: {told:?}, not {expected:?}"))
        .collect()
}

#[test]
fn each_way_to_differ_has_its_verdict_on_the_four_routes_and_on_the_composite_one() {
    let rows = ROWS
        .iter()
        .map(|(what, differ, verdict, told)| (*what, *differ, (*verdict, *told), (*verdict, *told)));
    let parts = PARTS.iter().copied();
    let mut seen = std::collections::BTreeSet::new();
    let mut all_wrong = Vec::new();
    for (what, differ, by_routes, by_composite) in rows.chain(parts) {
        assert!(seen.insert(what), "two rows for {what}");
        all_wrong.extend(wrong(what, differ, by_routes, by_composite));
    }
    assert!(
        all_wrong.is_empty(),
        "{} wrong:\n{}",
        all_wrong.len(),
        all_wrong.join("\n")
    );
    assert!(seen.len() > 100, "{} rows", seen.len());
}

/// Every value of the replies in turn, by one that is not what it should be.
#[test]
fn no_view_fails_whatever_a_reply_is() {
    let odd = [json!(null), json!("x"), json!([7])];
    let parts: [fn(&mut Person) -> &mut Value; 5] = [
        |p| &mut p.all.body,
        |p| &mut p.registrations.body,
        |p| &mut p.resourcing.body,
        |p| &mut p.managers.body,
        |p| &mut p.standard.body,
    ];
    let mut spoilt = 0;
    for part in parts {
        for at in 0.. {
            let mut person = agreed();
            if value_at(part(&mut person), &mut at.clone()).is_none() {
                break;
            }
            *value_at(part(&mut person), &mut at.clone()).expect("it is there") = odd[spoilt % odd.len()].clone();
            // a view that fails panics here
            assert_ne!(person.by_routes().verdict(), "refused");
            assert_ne!(person.by_composite().verdict(), "refused");
            spoilt += 1;
        }
    }
    assert!(spoilt > 80, "only {spoilt} spoilt replies");
}

/// The value that is `left` values on, the whole being the first.
fn value_at<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| value_at(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| value_at(field, left)),
        _ => None,
    }
}

//! People who are in no fixture (`people`): each way to differ has its verdict, the four routes together and the composite
//! route come to the same, and nothing of a person is told.

use serde_json::{Value, json};

use super::bench::{Outcome, Person};
use super::people::{PARTS, ROWS, agreed};

fn told(outcome: &Outcome) -> Vec<String> {
    let mut told: Vec<String> = outcome
        .differences
        .iter()
        .map(|(pointer, known, _)| format!("{pointer} {}", known.as_deref().unwrap_or("!")))
        .collect();
    told.sort();
    told
}

#[test]
fn each_way_to_differ_has_its_verdict_on_the_four_routes_and_on_the_composite_one() {
    let mut wrong = Vec::new();
    for (what, differ, verdict, differences) in ROWS {
        let mut person = agreed();
        differ(&mut person);
        assert!(
            ROWS.iter().filter(|row| row.0 == *what).count() == 1,
            "two rows for {what}"
        );
        for (use_of, outcome) in [("routes", person.by_routes()), ("composite", person.by_composite())] {
            let told = told(&outcome);
            if outcome.verdict() != *verdict || told != *differences {
                wrong.push(format!(
                    "{what}, {use_of}: {} {told:?}, not {verdict} {differences:?}",
                    outcome.verdict()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ROWS.len() > 90, "{} rows", ROWS.len());
}

#[test]
fn a_part_that_says_nothing_is_not_compared() {
    for (what, differ, by_routes, by_composite) in PARTS {
        let mut person = agreed();
        differ(&mut person);
        for (outcome, (verdict, differences)) in
            [(person.by_routes(), by_routes), (person.by_composite(), by_composite)]
        {
            let told = told(&outcome);
            let told: Vec<&str> = told.iter().map(String::as_str).collect();
            assert_eq!((outcome.verdict(), &*told), (*verdict, *differences), "{what}");
        }
    }
}

#[test]
fn no_verdict_tells_anything_of_the_person() {
    let mut told = 0;
    for (what, differ, ..) in ROWS {
        let mut person = agreed();
        differ(&mut person);
        for outcome in [person.by_routes(), person.by_composite()] {
            for verdict in &outcome.verdicts {
                let said = format!("{verdict} {verdict:?}");
                for secret in [
                    "Z977",
                    "z977",
                    "Quill",
                    "QUILL",
                    "Perpetua",
                    "example",
                    "N99",
                    "Invent",
                    "B-",
                    "Unallocated",
                ] {
                    assert!(!said.contains(secret), "{what}: {said}");
                }
                told += verdict.differences().len();
            }
        }
    }
    assert!(told > 100, "only {told} differences were told");
}

/// Every value of the replies in turn, by values that are not what they should be.
#[test]
fn no_view_fails_whatever_a_reply_is() {
    let odd = [
        json!(null),
        json!(true),
        json!(7),
        json!("x"),
        json!([]),
        json!({}),
        json!([7]),
        json!({"code": []}),
    ];
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
            for odd in &odd {
                let mut person = agreed();
                *value_at(part(&mut person), &mut at.clone()).expect("it is there") = odd.clone();
                // a view that fails panics here
                assert_ne!(person.by_routes().verdict(), "refused");
                assert_ne!(person.by_composite().verdict(), "refused");
                spoilt += 1;
            }
        }
    }
    assert!(spoilt > 400, "only {spoilt} spoilt replies");
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

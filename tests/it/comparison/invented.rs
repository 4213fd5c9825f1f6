//! People who are in no fixture (`people`): each way to differ has its verdict, the four routes together and the composite
//! route come to the same, and nothing of a person is told.

use super::bench::Outcome;
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

//! The comparison as a whole: statuses as a table, structure and known differences as examples.

use serde_json::{Value, json};

use super::walk::{DEEPEST, MOST_DIFFERENCES};
use super::*;
use crate::mapping::Program;

pub(super) fn patterns(all: &[&str]) -> Vec<Pattern> {
    all.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

pub(super) fn side(status: u16, view: Value) -> Side {
    Side {
        status,
        view: Some(view),
    }
}

fn bare(status: u16) -> Side {
    Side { status, view: None }
}

pub(super) fn known(name: &str, at: &[&str]) -> Known {
    Known {
        name: name.to_owned(),
        reason: "the test says so".to_owned(),
        at: patterns(at),
        when: None,
    }
}

fn known_when(name: &str, at: &[&str], program: &str) -> Known {
    Known {
        when: Some(Program::compile(name, program).unwrap()),
        ..known(name, at)
    }
}

/// The differences of two views as `pointer kind`.
pub(super) fn found(ndh: Value, standard: Value, rules: &Rules) -> Vec<String> {
    judge(&side(200, ndh), &side(200, standard), rules)
        .differences()
        .iter()
        .map(|difference| format!("{} {}", difference.pointer, difference.kind.as_str()))
        .collect()
}

pub(super) fn plain(ndh: Value, standard: Value) -> Vec<String> {
    found(ndh, standard, &Rules::default())
}

#[test]
fn statuses_decide_before_views_do() {
    let rules = Rules {
        equal_status: vec![(500, 409)],
        ..Rules::default()
    };
    let view = json!({"tier": "A"});
    let status = |status, with_view: bool| Side {
        status,
        view: with_view.then(|| view.clone()),
    };
    let rows = [
        // NDH, standard (with a view?), verdict
        ((200, true), (200, true), "match"),
        ((404, true), (200, true), "match"),
        ((200, false), (200, false), "match"),
        ((404, false), (404, false), "match"),
        ((409, false), (409, false), "match"),
        ((400, false), (400, false), "match"),
        ((500, false), (409, false), "match"),
        ((200, true), (404, false), "missing_on_standard: the whole: only_ndh"),
        ((200, false), (404, false), "missing_on_standard: the whole: only_ndh"),
        ((404, true), (404, false), "missing_on_standard: the whole: only_ndh"),
        ((404, false), (200, true), "missing_on_ndh: the whole: only_standard"),
        ((404, false), (404, true), "missing_on_ndh: the whole: only_standard"),
        ((409, false), (200, true), "mismatch: the whole: status"),
        ((200, true), (400, false), "mismatch: the whole: status"),
        ((404, false), (400, false), "mismatch: the whole: status"),
        ((409, false), (404, false), "mismatch: the whole: status"),
        ((200, false), (204, false), "mismatch: the whole: status"),
        ((200, true), (200, false), "mismatch: the whole: only_ndh"),
        ((200, false), (200, true), "mismatch: the whole: only_standard"),
        ((401, false), (200, true), "refused by ndh"),
        ((200, true), (401, false), "refused by standard"),
        ((200, true), (403, true), "refused by standard"),
        ((403, false), (503, false), "refused by ndh"),
        ((403, false), (403, false), "refused by standard"),
        ((500, false), (200, true), "not_comparable: ndh answered 500"),
        ((409, false), (500, false), "not_comparable: standard answered 500"),
        ((503, true), (503, true), "not_comparable: ndh answered 503"),
        ((200, true), (429, false), "not_comparable: standard answered 429"),
        ((408, false), (404, false), "not_comparable: ndh answered 408"),
        ((200, true), (302, false), "not_comparable: standard answered 302"),
        ((0, false), (200, true), "not_comparable: ndh answered 0"),
    ];
    for (ndh, standard, expected) in rows {
        let verdict = judge(&status(ndh.0, ndh.1), &status(standard.0, standard.1), &rules);
        assert_eq!(verdict.to_string(), expected, "{ndh:?} {standard:?}");
    }
}

#[test]
fn a_null_view_is_no_view() {
    let verdict = judge(&side(404, Value::Null), &side(404, Value::Null), &Rules::default());
    assert_eq!(verdict, Verdict::Match);
    let verdict = judge(&side(200, json!({})), &side(404, Value::Null), &Rules::default());
    assert_eq!(verdict.as_str(), "missing_on_standard");
}

#[test]
fn a_status_pair_counts_as_one_status_only_in_its_own_direction() {
    let rules = Rules {
        equal_status: vec![(500, 409)],
        ..Rules::default()
    };
    assert_eq!(judge(&bare(500), &bare(409), &rules), Verdict::Match);
    let turned = judge(&bare(409), &bare(500), &rules);
    assert_eq!(turned, Verdict::NotComparable(Reason::Status(Leg::Standard, 500)));
}

#[test]
fn objects_are_compared_by_key() {
    let ndh = json!({"same": 1, "value": "a", "type": null, "gone": true, "deep": {"x": [1, {"y": 2}]}});
    let standard = json!({"same": 1, "value": "b", "type": "a", "come": [], "deep": {"x": [1, {"y": 3}]}});
    assert_eq!(
        plain(ndh, standard),
        [
            "/deep/x/*/y value",
            "/gone only_ndh",
            "/type type",
            "/value value",
            "/come only_standard"
        ]
    );
    assert_eq!(plain(json!("a"), json!("b")), [" value"]);
    assert_eq!(plain(json!([]), json!({})), [" type"]);
}

#[test]
fn arrays_of_different_lengths_are_one_difference_unless_their_order_does_not_count() {
    let (ndh, standard) = (json!({"a": [1, 2, 3]}), json!({"a": [2, 3]}));
    assert_eq!(plain(ndh.clone(), standard.clone()), ["/a length"]);
    let rules = Rules {
        unordered: patterns(&["/a"]),
        ..Rules::default()
    };
    assert_eq!(found(ndh.clone(), standard.clone(), &rules), ["/a/* only_ndh"]);
    assert_eq!(found(standard, ndh, &rules), ["/a/* only_standard"]);
}

#[test]
fn where_order_does_not_count_only_what_is_left_over_differs() {
    let rules = Rules {
        unordered: patterns(&["", "/*/codes"]),
        ..Rules::default()
    };
    let of = |ndh, standard| found(ndh, standard, &rules);
    assert!(of(json!([1, 2, 2.0]), json!([2, 1, 2])).is_empty());
    assert_eq!(of(json!([1, 1]), json!([1])), ["/* only_ndh"]);
    // twice the same on one side is not once on the other
    assert_eq!(of(json!([1, 1, 2]), json!([1, 2, 2])), ["/* value"]);
    // the one that changed is looked into
    let ndh = json!([{"codes": ["a", "b"], "name": "x"}, {"codes": [], "name": "y"}]);
    let standard = json!([{"codes": [], "name": "y"}, {"codes": ["b", "a"], "name": "z"}]);
    assert_eq!(of(ndh, standard), ["/*/name value"]);
    assert_eq!(of(json!([1, 2, 3]), json!([4, 5])), ["/* value", "/* only_ndh"]);
}

#[test]
fn numbers_are_what_they_mean() {
    assert!(plain(json!(1), json!(1.0)).is_empty());
    assert!(plain(json!(0), json!(-0.0)).is_empty());
    assert!(plain(json!(u64::MAX), json!(u64::MAX)).is_empty());
    assert_eq!(
        plain(json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64)),
        [" value"]
    );
    assert_eq!(
        plain(json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992.0)),
        [" value"]
    );
    assert_eq!(plain(json!(i64::MAX), json!(u64::MAX)), [" value"]);
    assert_eq!(plain(json!(1e300), json!(1)), [" value"]);
    assert_eq!(plain(json!(1), json!("1")), [" type"]);
    assert_eq!(plain(json!(1), json!(true)), [" type"]);
}

#[test]
fn a_tolerance_holds_where_it_is_declared_and_up_to_its_bound() {
    let rules = Rules {
        tolerance: vec![(Pattern::parse("/x").unwrap(), 0.5)],
        ..Rules::default()
    };
    let of = |a: Value, b: Value| found(json!({"x": a, "y": 1}), json!({"x": b, "y": 1}), &rules);
    assert!(of(json!(1), json!(1.5)).is_empty());
    assert!(of(json!(1.5), json!(1)).is_empty());
    assert_eq!(of(json!(1), json!(1.51)), ["/x value"]);
    assert_eq!(of(json!(1), json!("1")), ["/x type"]);
    assert_eq!(found(json!({"y": 1}), json!({"y": 1.2}), &rules), ["/y value"]);
    let near = |tolerance| Rules {
        tolerance: vec![(Pattern::parse("").unwrap(), tolerance)],
        ..Rules::default()
    };
    let (large, next) = (json!(9_007_199_254_740_992_u64), json!(9_007_199_254_740_993_u64));
    assert!(found(large.clone(), next.clone(), &near(1.0)).is_empty());
    assert_eq!(found(large.clone(), next.clone(), &near(0.5)), [" value"]);
    assert_eq!(found(large, next, &near(f64::NAN)), [" value"]);
}

#[test]
fn what_is_ignored_is_ignored_with_all_below() {
    let rules = Rules {
        ignore: patterns(&["/evidence", "/list/*/at"]),
        unordered: patterns(&["/list"]),
        ..Rules::default()
    };
    let ndh = json!({"evidence": {"x": 1}, "list": [{"at": 1, "n": 1}, {"at": 2, "n": 2}], "tier": "A"});
    let standard = json!({"list": [{"at": 9, "n": 2}, {"n": 1}], "tier": "A"});
    assert!(found(ndh.clone(), standard.clone(), &rules).is_empty());
    assert!(found(standard, ndh, &rules).is_empty());
}

#[test]
fn a_difference_is_known_only_where_a_rule_may_excuse_it() {
    let rules = Rules {
        known: vec![known("first", &["/a", "/list/*"]), known("second", &["/a", "/b"])],
        ..Rules::default()
    };
    let of = |ndh, standard| judge(&side(200, ndh), &side(200, standard), &rules).to_string();
    assert_eq!(
        of(json!({"a": 1, "b": 1}), json!({"a": 2, "b": 2})),
        "known: /a: value (known: first), /b: value (known: second)"
    );
    assert_eq!(
        of(json!({"a": 1, "c": 1}), json!({"a": 2, "c": 2})),
        "mismatch: /a: value (known: first), /c: value"
    );
    assert_eq!(
        of(json!({"list": [1]}), json!({"list": [2]})),
        "known: /list/*: value (known: first)"
    );
    // not the whole for a part, nor what lies below
    assert_eq!(of(json!({"list": [1]}), json!({"list": []})), "mismatch: /list: length");
    assert_eq!(
        of(json!({"a": {"x": 1}}), json!({"a": {"x": 2}})),
        "mismatch: /a/x: value"
    );
}

#[test]
fn the_whole_may_be_excused_when_a_rule_says_so() {
    let rules = Rules {
        known: vec![known("whole", &[""])],
        ..Rules::default()
    };
    for (ndh, standard) in [(200, 404), (404, 200), (409, 200), (200, 400)] {
        let verdict = judge(&bare(ndh), &bare(standard), &rules);
        assert_eq!(verdict.as_str(), "known", "{ndh} {standard}");
        assert_eq!(verdict.differences()[0].known.as_deref(), Some("whole"));
    }
    assert_eq!(judge(&bare(200), &bare(401), &rules).as_str(), "refused");
    assert_eq!(judge(&bare(200), &bare(500), &rules).as_str(), "not_comparable");
}

#[test]
fn alike_differences_are_told_once_and_only_so_many() {
    let rows = |n: usize, name: &str| -> Value { (0..n).map(|_| json!({ "name": name })).collect() };
    assert_eq!(plain(rows(200, "a"), rows(200, "b")), ["/*/name value"]);
    let keys = |value: u8| -> Value {
        let letters = "abcdefghijklmnop";
        let pairs = letters
            .chars()
            .flat_map(|a| letters.chars().map(move |b| format!("{a}{b}")));
        Value::Object(pairs.map(|key| (key, json!(value))).collect())
    };
    let rules = Rules {
        known: vec![known("all", &["/*", ""])],
        ..Rules::default()
    };
    let verdict = judge(&side(200, keys(1)), &side(200, keys(2)), &rules);
    let Verdict::Mismatch(found) = verdict else {
        panic!("what was not looked at cannot be known: {verdict}")
    };
    assert_eq!(found.len(), MOST_DIFFERENCES + 1);
    let last = found.last().unwrap();
    assert_eq!((&*last.pointer, last.kind, &last.known), ("", Kind::Truncated, &None));
}

#[test]
fn depth_is_bounded_and_equality_is_still_seen_below() {
    let deep = |leaf: Value| (0..DEEPEST + 50).fold(leaf, |inner, _| json!({ "a": [inner] }));
    assert!(plain(deep(json!(1)), deep(json!(1.0))).is_empty());
    assert_eq!(plain(deep(json!(1)), deep(json!(2))), [" truncated"]);
}

#[test]
fn pairing_off_is_bounded() {
    let rules = Rules {
        unordered: patterns(&["/a"]),
        ..Rules::default()
    };
    let many = |from: u32| json!({"a": (from..from + 3000).collect::<Vec<_>>(), "b": from});
    assert!(found(many(0), many(0), &rules).is_empty());
    assert_eq!(found(many(0), many(9000), &rules), ["/b value", " truncated"]);
}

#[test]
fn nothing_of_a_person_is_told() {
    let view = |n: u8| json!({"by": {"A1234BC": {"x456 7": n}, "X123456": n, "o@example.org": n}});
    let verdict = judge(&side(200, view(1)), &side(200, view(2)), &Rules::default());
    assert_eq!(verdict.to_string(), "mismatch: /by/*/*: value, /by/*: value");
    let said = format!("{:?}", side(200, json!({"A1234BC": "X123456"})));
    assert_eq!(said, "Side { status: 200, has_view: true }");
}

#[test]
fn a_predicate_is_asked_of_both_answers() {
    let asked =
        "[.ndh.status, .ndh.view.a, .standard.status, .standard.view.a, (keys | length)] == [404, 1, 200, 2, 2]";
    let rules = Rules {
        known: vec![known_when("asked", &["/a"], asked)],
        ..Rules::default()
    };
    let verdict = judge(&side(404, json!({"a": 1})), &side(200, json!({"a": 2})), &rules);
    assert_eq!(verdict.to_string(), "known: /a: value (known: asked)");
    let verdict = judge(&side(404, json!({"a": 1})), &side(200, json!({"a": 3})), &rules);
    assert_eq!(verdict.to_string(), "mismatch: /a: value");
    let rules = Rules {
        known: vec![known_when(
            "whole",
            &[""],
            ".ndh.status == 409 and .standard.view == null",
        )],
        ..Rules::default()
    };
    assert_eq!(judge(&bare(409), &bare(200), &rules).as_str(), "known");
    assert_eq!(judge(&bare(404), &bare(200), &rules).as_str(), "missing_on_ndh");
}

#[test]
fn only_true_excuses_and_a_predicate_that_fails_does_not() {
    for program in [
        "false",
        "1",
        "\"true\"",
        "null",
        "[true]",
        "empty",
        "true, true",
        "error(\"no\")",
        ".ndh.view.a.b",
        "all(range(1000000000); true)",
    ] {
        let mut rules = Rules {
            known: vec![known_when("no", &["/a"], program)],
            ..Rules::default()
        };
        let of = |rules: &Rules| judge(&side(200, json!({"a": 1})), &side(200, json!({"a": 2})), rules).to_string();
        assert_eq!(of(&rules), "mismatch: /a: value", "{program}");
        // nor does it keep the next rule from excusing
        rules.known.push(known_when("yes", &["/a"], "true"));
        rules.known.push(known("later", &["/a"]));
        assert_eq!(of(&rules), "known: /a: value (known: yes)", "{program}");
    }
}

//! What must hold of the comparison of any two values: it is blind to where they came from, and tells nothing of them.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::tests::{found, known, patterns, plain, side};
use super::*;

/// Every text and number of it is a marker that no word of a verdict contains.
fn marked() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0..40_u32).prop_map(|n| json!(format!("QZMARK{n}"))),
        (0..40_u32).prop_map(|n| json!(f64::from(n) + 0.777_777)),
        (777_000_000..777_000_040_u64).prop_map(|n| json!(n)),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((keys(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["a", "b", "list", "team", "code"]).prop_map(str::to_owned),
        prop::sample::select(vec!["QZ1234MK", "Q777123", "QZMARK@example.org", "QZ MARK"]).prop_map(str::to_owned),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let some = || {
        prop::collection::vec(
            prop::sample::select(vec!["", "/*", "/a", "/*/list", "/a/*/b", "/*/*"]),
            0..3,
        )
    };
    (
        some(),
        some(),
        some(),
        prop_oneof![Just(0.0), Just(1.0), Just(f64::NAN)],
    )
        .prop_map(|(ignore, unordered, known_at, tolerance)| Rules {
            ignore: patterns(&ignore)
                .into_iter()
                .filter(|p| !p.as_str().is_empty())
                .collect(),
            unordered: patterns(&unordered),
            tolerance: vec![(Pattern::parse("/b").unwrap(), tolerance)],
            equal_status: vec![(500, 409)],
            known: vec![known("some", &known_at)],
        })
}

fn any_status() -> impl Strategy<Value = u16> {
    prop_oneof![
        prop::sample::select(vec![200_u16, 204, 400, 401, 403, 404, 409, 500, 503]),
        any::<u16>()
    ]
}

/// The verdict of the same two answers, had they come from the other side.
fn turned(verdict: &Verdict) -> Vec<(String, Kind)> {
    let turn = |kind| match kind {
        Kind::OnlyNdh => Kind::OnlyStandard,
        Kind::OnlyStandard => Kind::OnlyNdh,
        other => other,
    };
    let mut all: Vec<_> = verdict
        .differences()
        .iter()
        .map(|d| (d.pointer.clone(), turn(d.kind)))
        .collect();
    all.sort();
    all
}

proptest! {
    #[test]
    fn a_view_is_like_itself(view in marked(), rules in rules()) {
        prop_assert_eq!(judge(&side(200, view.clone()), &side(200, view), &rules), Verdict::Match);
    }

    #[test]
    fn sides_can_be_turned(a in marked(), b in marked(), mut rules in rules()) {
        // with a tolerance "equal" is not transitive, and the pairing takes the first that fits
        rules.tolerance.clear();
        let (a, b) = (side(200, a), side(200, b));
        let (there, back) = (judge(&a, &b, &rules), judge(&b, &a, &rules));
        let mut kinds: Vec<_> = there.differences().iter().map(|d| (d.pointer.clone(), d.kind)).collect();
        kinds.sort();
        prop_assert_eq!(kinds, turned(&back));
    }

    #[test]
    fn no_value_and_no_person_is_ever_told(
        a in marked(), b in marked(), sa in any_status(), sb in any_status(), rules in rules(),
        there in any::<(bool, bool)>(),
    ) {
        let ndh = Side { status: sa, view: there.0.then_some(a) };
        let standard = Side { status: sb, view: there.1.then_some(b) };
        let verdict = judge(&ndh, &standard, &rules);
        let said = format!("{verdict:?} {verdict} {verdict:#?} {ndh:?} {standard:?} {rules:?}");
        for marker in ["QZ", "777777", "777000", "Q777", "MARK"] {
            prop_assert!(!said.contains(marker), "{}", said);
        }
        for difference in verdict.differences() {
            prop_assert!(Pattern::parse(&difference.pointer).is_ok());
        }
    }

    #[test]
    fn the_order_of_an_unordered_array_says_nothing(
        (one, other) in prop::collection::vec(marked(), 0..8)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        added in marked(),
    ) {
        let rules = Rules { unordered: patterns(&["/list"]), ..Rules::default() };
        let list = |all: &[Value]| json!({ "list": all });
        prop_assert!(found(list(&one), list(&other), &rules).is_empty());
        let mut more = other;
        more.insert(more.len() / 2, added);
        prop_assert_eq!(found(list(&one), list(&more), &rules), ["/list/* only_standard"]);
    }

    #[test]
    fn a_changed_leaf_is_found(view in marked(), value in 0..9_u8) {
        let with = |value| json!({ "view": view, "leaf": value });
        prop_assert_eq!(plain(with(value), with(value + 1)), ["/leaf value"]);
    }
}

//! What programs do, and what they may not do.

use serde_json::{Value as Json, json};

use super::{Bounds, Program, RunError};

fn run(text: &str, input: &Json) -> Result<Option<Json>, RunError> {
    let program = Program::compile("test.jq", text).unwrap_or_else(|e| panic!("{text}: {e}"));
    program.run(input, &Bounds::default())
}

fn out(text: &str, input: &Json) -> Json {
    run(text, input)
        .unwrap_or_else(|e| panic!("{text}: {e}"))
        .unwrap_or_else(|| panic!("{text}: no output"))
}

#[test]
fn the_language_is_jq() {
    for (text, input, expected) in [
        (".a.b", json!({"a": {"b": 1}}), json!(1)),
        (".a // \"none\"", json!({}), json!("none")),
        (
            "{crn, n: (.list | length)}",
            json!({"crn": "x", "list": [1, 2]}),
            json!({"crn": "x", "n": 2}),
        ),
        (
            "[.[] | select(.active)] | first | .c",
            json!([{"c": 1}, {"c": 2, "active": true}]),
            json!(2),
        ),
        ("map(. + 1) | add", json!([1, 2]), json!(5)),
        (
            "[.[] | tostring] | join(\"-\")",
            json!([1, "a", null]),
            json!("1-a-null"),
        ),
        ("to_entries | map(.key)", json!({"b": 1, "a": 2}), json!(["a", "b"])),
        ("with_entries(.value += 1)", json!({"a": 1}), json!({"a": 2})),
        (
            ".a |= ascii_upcase | del(.b)",
            json!({"a": "x1", "b": 1}),
            json!({"a": "X1"}),
        ),
        ("test(\"^[A-Z]\\\\d+$\")", json!("A12"), json!(true)),
        ("sub(\"(?<x>a+)\"; \"<\\(.x)>\")", json!("baac"), json!("b<aa>c")),
        ("[match(\"a\"; \"g\").offset]", json!("abca"), json!([0, 3])),
        (
            "capture(\"(?<y>\\\\d{4})-(?<m>\\\\d\\\\d)\")",
            json!("2026-11"),
            json!({"y": "2026", "m": "11"}),
        ),
        (
            "gsub(\" +\"; \" \") | split(\" \")",
            json!("a  b   c"),
            json!(["a", "b", "c"]),
        ),
        (
            "reduce .[] as {k: $k, v: $v} ({}; .[$k] = $v)",
            json!([{"k": "a", "v": 1}]),
            json!({"a": 1}),
        ),
        ("[limit(3; range(100))]", json!(null), json!([0, 1, 2])),
        ("first(.[] | select(. > 1))", json!([1, 2, 3]), json!(2)),
        (".[1:3], empty | length", json!([1, 2, 3, 4]), json!(2)),
        (".[-2:]", json!("abcde"), json!("de")),
        (".[1:3] = [9]", json!([1, 2, 3, 4]), json!([1, 9, 4])),
        (".[:1] = [7, 8]", json!([1, 2]), json!([7, 8, 2])),
        ("try error(\"x\") catch .", json!(null), json!("x")),
        (".a.b.c = 1", json!(null), json!({"a": {"b": {"c": 1}}})),
        ("sort_by(.n) | map(.n)", json!([{"n": 2}, {"n": 1}]), json!([1, 2])),
        (
            "group_by(.k) | map(length)",
            json!([{"k": 1}, {"k": 2}, {"k": 1}]),
            json!([2, 1]),
        ),
        ("max_by(.n).n, empty", json!([{"n": 2}, {"n": 5}]), json!(5)),
        ("unique | length", json!([1, 1, 2]), json!(2)),
        ("any(.[]; . == 2) and all(.[]; . < 3)", json!([1, 2]), json!(true)),
        ("has(\"a\"), empty", json!({"a": null}), json!(true)),
        ("index(\"b\")", json!("éab"), json!(2)),
        ("indices(1)", json!([1, 0, 1]), json!([0, 2])),
        ("contains({a: [\"b\"]})", json!({"a": ["abc"], "c": 1}), json!(true)),
        ("inside(\"abc\")", json!("b"), json!(true)),
        (
            "tojson | fromjson",
            json!({"a": [1, "é\"", null]}),
            json!({"a": [1, "é\"", null]}),
        ),
        (
            "\"\\(.a)-\\(.b)\"",
            json!({"a": 1, "b": {"c": 2}}),
            json!("1-{\"c\":2}"),
        ),
        ("ltrimstr(\"a\") | rtrimstr(\"c\")", json!("abc"), json!("b")),
        ("tonumber + 1", json!("41"), json!(42)),
        (
            "walk(if type == \"string\" then ascii_downcase else . end)",
            json!({"a": ["B"]}),
            json!({"a": ["b"]}),
        ),
        ("[paths]", json!({"a": [1]}), json!([["a"], ["a", 0]])),
        ("getpath([\"a\", 0])", json!({"a": [1]}), json!(1)),
        ("delpaths([[\"a\", 0]])", json!({"a": [1, 2]}), json!({"a": [2]})),
        ("[..]", json!([1]), json!([[1], 1])),
        ("flatten", json!([1, [2, [3]]]), json!([1, 2, 3])),
        (
            "label $out | foreach .[] as $x (0; . + $x; if . > 2 then ., break $out else empty end)",
            json!([1, 2, 3]),
            json!(3),
        ),
        (
            "18446744073709551615",
            json!(null),
            json!(18_446_744_073_709_551_615u64),
        ),
        (". - [2]", json!([1, 2, 3]), json!([1, 3])),
        (
            "{a: 1} * {b: {c: 2}} * {b: {d: 3}}",
            json!(null),
            json!({"a": 1, "b": {"c": 2, "d": 3}}),
        ),
        ("(10 / 4), empty", json!(null), json!(2.5)),
        ("7 % 4", json!(null), json!(3)),
        ("@base64 | @base64d", json!("héllo"), json!("héllo")),
        ("@uri", json!("a b/c"), json!("a%20b%2Fc")),
        (
            "def up: ascii_upcase; def twice(f): f | f; twice(up)",
            json!("a"),
            json!("A"),
        ),
        ("if . == null then 0 elif . then 1 else 2 end", json!(false), json!(2)),
        ("explode | implode", json!("aé"), json!("aé")),
        ("splits(\", *\") | select(. == \"b\")", json!("a, b"), json!("b")),
        ("[.[] | trim]", json!([" a "]), json!(["a"])),
        ("until(. > 100; . * 2)", json!(1), json!(128)),
    ] {
        assert_eq!(out(text, &input), expected, "{text}");
    }
}

#[test]
fn no_output_is_none_and_two_are_an_error() {
    assert_eq!(run("empty", &json!(1)), Ok(None));
    assert_eq!(
        run(".[]", &json!([1, 2])),
        Err(RunError::Several {
            program: "test.jq".into()
        })
    );
}

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

fn refusal(text: &str) -> String {
    Program::compile("map.jq", text)
        .err()
        .unwrap_or_else(|| panic!("compiles: {text}"))
        .to_string()
}

#[test]
fn a_wrong_program_is_refused_with_its_place_and_what_to_do() {
    for (text, says) in [
        (
            "{a: .b",
            "map.jq:1:7: found the end, expected closing brace; correct it at this place",
        ),
        (
            ".a |\n  .b |",
            "map.jq:2:7: found the end, expected term; correct it at this place",
        ),
        (
            ".a\n| active",
            "map.jq:2:3: there is no filter `active`; define it, or write \"active\" in quotes if it is meant as a text",
        ),
        (
            "map(.a; .b)",
            "map.jq:1:1: there is no filter `map` with 2 arguments; see the manual of jq for its arguments, which are parted by `;`",
        ),
        (
            "$x",
            "map.jq:1:1: there is no variable `$x` here; bind it before: … as $x | …",
        ),
        (
            "# é\nif . then 1",
            "map.jq:2:12: found the end, expected else or end; correct it at this place",
        ),
        ("", "map.jq:1:1: found the end, expected term; correct it at this place"),
        ("break $x", "map.jq:1:7: there is no label `$x`; see the manual of jq"),
        (
            "1 2",
            "map.jq:1:3: found `2`, expected nothing; correct it at this place",
        ),
    ] {
        assert_eq!(refusal(text), says, "{text}");
    }
}

#[test]
fn what_reaches_outside_does_not_compile() {
    for name in [
        "env",
        "$ENV",
        "$ENV.PATH",
        "now",
        "input",
        "inputs",
        "halt",
        "halt_error",
        "halt_error(1)",
        "halt(0)",
        "debug",
        "debug(1)",
        "stderr",
        "input_filename",
        "input_line_number",
        "$__loc__",
        "localtime",
        "strflocaltime(\"%H\")",
        "mktime",
        "gmtime",
        "todate",
        "fromdate",
        "strptime(\"%Y\")",
        "get_search_list",
        "$__prog_args",
        "import \"a\" as a; 1",
        "include \"a\"; 1",
        "import \"a\" as $a; $a",
        "a::b",
        "debug_empty",
        "stderr_empty",
        "priced(1)",
        "matches_(\"a\"; \"\")",
        "split__(\"a\"; \"\")",
        "split_matches_(\"a\"; \"\")",
        "modulemeta",
        "input_line_number",
        "getpath(env)",
        "try halt catch .",
        "[.[] | select(.a == now)]",
        "@html",
        "jn(1; 2)",
    ] {
        let said = refusal(name);
        assert!(
            said.contains("there is no") || said.contains("is not there"),
            "{name}: {said}"
        );
    }
    assert_eq!(
        refusal(".a | halt_error"),
        "map.jq:1:6: `halt_error` is not there; a mapping sees its input and nothing else: no time, no environment, no \
         other input, no log"
    );
}

#[test]
fn a_definition_that_calls_itself_does_not_compile() {
    for text in [
        "def f: f; f",
        "def f: def g: f; g; f",
        "def f($x): if $x > 0 then f($x - 1) else . end; f(3)",
        "def f(g): g | f(g); f(.)",
        "def f: [.[] | f]; f",
        "map(def f: 1 + f; f)",
        "def f: \"\\(f)\"; f",
        "def f: .[f]; f",
        "def f: . as {(f): $x} | $x; f",
        "def f: reduce .[] as $x (0; f); f",
        "def @text: @text; 1",
    ] {
        assert!(refusal(text).contains("calls itself"), "{text}");
    }
    // the same name with other arguments, an argument of that name and an earlier definition of it are others
    for text in [
        "def f: 1; def f($x): $x + f; f(2)",
        "def f(f): f; f(1)",
        "def f: 1; def g: f; def f: g + 1; f",
        "def recurse: 1; recurse",
        "def halt: 1; halt",
    ] {
        assert!(Program::compile("map.jq", text).is_ok(), "{text}");
    }
}

#[test]
fn an_error_quotes_no_value() {
    let person = json!({"crn": "X123456", "name": {"surname": "Secret"}, "list": ["A1234BC"]});
    for text in [
        ".crn.x",
        ".name[0]",
        ".name + 1",
        ".list.a",
        ".crn - 1",
        "error",
        "error(.crn)",
        "error(\"for \\(.crn)\")",
        ".crn | tonumber",
        ".crn | fromjson",
        ".name | .[]|= error",
        ".crn[.name:]",
        "{(.name): 1}",
        ".list[5] = 1",
        ".crn | keys",
        "-.crn",
        ".crn | implode",
        ".list | implode",
        ".crn | test(.)|error",
        "path(1)?, (.crn | test(\"(\"))",
        ".crn | ltrimstr(1) | error({a: .})",
        ".name | ascii_upcase",
        ".crn | splits(1)",
        "try error(.crn) catch error(.)",
        "[.crn, .crn] | .[]",
        "0 / 0",
        "1 / 0",
        "{a: (.crn | explode | map(-.) | map(200) | implode)}",
        "label $f | .crn.a",
        ".crn as [$a] | $a",
        ".crn |= .a",
        ".. = error",
        "try (.name + 1) catch error",
    ] {
        let error = match Program::compile("map.jq", text) {
            Ok(program) => program
                .run(&person, &Bounds::default())
                .err()
                .map(|e| format!("{e} {e:?}")),
            Err(e) => Some(e.to_string()),
        };
        if let Some(error) = error {
            for secret in ["X123456", "Secret", "A1234BC"] {
                assert!(!error.contains(secret), "{text}: {error}");
            }
        }
    }
    assert_eq!(
        run(".name + 1", &person).unwrap_err().to_string(),
        "test.jq: the mapping failed: cannot calculate an object + a number"
    );
    assert_eq!(
        run("error(.crn)", &person).unwrap_err().to_string(),
        "test.jq: the mapping failed: it raised an error of its own, which is not shown since it may hold a person's data"
    );
}

#[test]
fn the_fingerprint_is_of_the_text_alone() {
    let of = |name, text| Program::compile(name, text).expect("compiles").fingerprint();
    assert_eq!(of("a.jq", ".a"), of("b.jq", ".a"));
    assert_ne!(of("a.jq", ".a"), of("a.jq", ".b"));
    assert_eq!(of("a.jq", "."), 0xaf63_a34c_8601_8bb1);
}

#[test]
fn a_program_is_shared_between_threads_and_shows_its_name_only() {
    fn shared<T: Send + Sync>(_: &T) {}
    let program = Program::compile("a.jq", "\"secret\"").expect("compiles");
    shared(&program);
    assert_eq!(format!("{program:?}"), "Program(\"a.jq\")");
}

#[test]
fn a_panic_of_the_interpreter_is_an_error_of_the_run() {
    // jaq counts the characters before a group and expects groups to stand in the order of their numbers
    let broken = run("[match(\"(?:(b)|(a))*\"; \"g\")]", &json!("ab"));
    assert_eq!(
        broken,
        Err(RunError::Broken {
            program: "test.jq".into()
        })
    );
    assert_eq!(out("1", &json!(null)), json!(1), "and the next run is as any other");
}

//! Programs and inputs that would take all time, all memory or all stack: each ends within its bounds.

use serde_json::{Value as Json, json};

use delius_sidecar::mapping::{Bounds, Program, RunError};

/// The stack of a thread here; a worker's is no smaller.
const STACK: usize = 2 * 1024 * 1024;

/// Runs on a thread of its own, so that an overflow is one of a stack of known size.
fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work);
    thread.expect("a thread starts").join().expect("the thread ends")
}

fn run(text: &str, input: &Json) -> Result<Option<Json>, RunError> {
    let (text, input) = (text.to_owned(), input.clone());
    on_a_thread(move || {
        let program = Program::compile("hostile.jq", &text).unwrap_or_else(|e| panic!("{e}"));
        program.run(&input, &Bounds::default())
    })
}

#[test]
fn hostile_programs_end_by_their_bounds() {
    let wide: Json = (0..2000).collect();
    let long = json!("a".repeat(100_000));
    let mut wrong = Vec::new();
    for (name, text, input) in [
        ("string times a billion", "\"x\" * 1000000000", &Json::Null),
        (
            "string times a big integer",
            "\"x\" * 100000000000000000000000000",
            &Json::Null,
        ),
        (
            "nothing times a billion",
            "[range(10000)] | map(\"\" * 1000000000) | length",
            &Json::Null,
        ),
        ("range collected", "[range(1e12)]", &Json::Null),
        ("range counted", "reduce range(1e12) as $i (0; . + 1)", &Json::Null),
        ("range without an end", "[range(0; 1; 0)]", &Json::Null),
        ("last of an endless range", "last(range(0; 1; 0))", &Json::Null),
        ("string doubled", "reduce range(100) as $i (\"x\"; . + .)", &Json::Null),
        ("array doubled", "reduce range(100) as $i ([1]; . + .)", &Json::Null),
        (
            "text joined to itself by interpolation",
            "reduce range(100) as $i (\"x\"; \"\\(.)\\(.)\")",
            &Json::Null,
        ),
        ("array nested", "reduce range(100000) as $i (1; [.])", &Json::Null),
        ("object nested", "reduce range(100000) as $i (1; {a: .})", &Json::Null),
        (
            "object nested by assignment",
            "reduce range(100000) as $i ({}; .a = .)",
            &Json::Null,
        ),
        (
            "path nested by assignment",
            "setpath([range(100000) | \"a\"]; 1)",
            &Json::Null,
        ),
        (
            "shared twice, again and again, put out",
            "reduce range(60) as $i (1; [., .])",
            &Json::Null,
        ),
        (
            "shared twice, compared",
            "reduce range(60) as $i (1; [., .]) | . == .",
            &Json::Null,
        ),
        (
            "shared twice, printed",
            "reduce range(60) as $i (1; [., .]) | tostring | length",
            &Json::Null,
        ),
        (
            "shared twice, sorted",
            "reduce range(60) as $i (1; [., .]) | [., .] | sort | length",
            &Json::Null,
        ),
        (
            "shared twice, merged",
            "reduce range(60) as $i ({}; {a: ., b: .}) | . * . | length",
            &Json::Null,
        ),
        (
            "shared twice, walked",
            "reduce range(60) as $i (1; [., .]) | [..] | length",
            &Json::Null,
        ),
        (
            "shared twice, contained",
            "reduce range(60) as $i (1; [., .]) | contains(.)",
            &Json::Null,
        ),
        (
            "shared twice, an object's key",
            "reduce range(60) as $i (1; [., .]) | tojson as $k | {($k): 1}",
            &Json::Null,
        ),
        (
            "two to the power of commas",
            "(., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | (., .) | empty",
            &Json::Null,
        ),
        (
            "definitions doubling",
            "def a: .; def b: a | a; def c: b | b; def d: c | c; def e: d | d; def f: e | e; def g: f | f; def h: g | g; def i: h | h; def j: i | i; def k: j | j; def l: k | k; def m: l | l; def n: m | m; def o: n | n; def p: o | o; def q: p | p; def r: q | q; def s: r | r; def t: s | s; def u: t | t; def v: u | u; v",
            &Json::Null,
        ),
        (
            "arguments doubling",
            "def f(g): g | g; f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(.))))))))))))))))))))",
            &Json::Null,
        ),
        ("products", "[.[] as $a | .[] as $b | .[] as $c | 1] | length", &wide),
        ("recursion on nothing", "[recurse(.)]", &Json::Null),
        ("recursion growing", "[recurse(. + 1)] | length", &json!(1)),
        ("recursion, only the last", "last(recurse(.))", &json!(1)),
        ("while for ever", "[while(true; .)]", &json!(1)),
        ("until never", "until(false; .)", &json!(1)),
        ("until never, swallowed", "try until(false; .) catch 1", &json!(1)),
        ("swallowed by try, again", "[range(1e9) | try error catch 1]", &json!(1)),
        ("swallowed by the question mark", "[until(false; .)?]", &json!(1)),
        ("swallowed by the alternative", "until(false; .) // 1", &json!(1)),
        ("limit over nothing", "limit(1; range(1e12) | empty)", &json!(1)),
        ("first of nothing", "first(range(1e12) | select(. < 0))", &json!(1)),
        ("skip a billion", "skip(1e12; range(1e13))", &json!(1)),
        ("any over for ever", "any(range(1e12); false)", &json!(1)),
        ("combinations", "[[range(10)] | combinations(9)]", &Json::Null),
        ("integers squared", "reduce range(100) as $i (3; . * .)", &Json::Null),
        (
            "split into letters, again and again",
            "[range(100) as $i | . / \"\"] | length",
            &long,
        ),
        (
            "a long text printed often",
            "[range(100000) as $i | tojson] | length",
            &long,
        ),
        (
            "a long text compared often",
            ". as $x | [range(1e6) | ($x + \"a\") == ($x + \"b\")] | length",
            &long,
        ),
        (
            "a long text searched often",
            ". as $x | [range(1e6) | $x | startswith($x)] | length",
            &long,
        ),
        (
            "a long text upper-cased often",
            ". as $x | [range(1e6) | $x | ascii_upcase] | length",
            &long,
        ),
        (
            "a long text exploded often",
            ". as $x | [range(1e6) | $x | explode | length] | length",
            &long,
        ),
        ("counted repetition", "test(\"((a{1000}){1000}){1000}\")", &json!("aaa")),
        (
            "pattern times text",
            "[range(1000) as $i | test(\"(a*)*(a*)*b\")] | length",
            &long,
        ),
        (
            "patterns by the thousand",
            "[range(100000) | . as $i | \"a\" | test(\"[a-z]+\\($i)\")] | length",
            &long,
        ),
        ("every match", "[match(\"\"; \"g\")] | length", &long),
        (
            "a fold's path updated",
            "(reduce range(100000) as $i (.; .a)) |= 1",
            &Json::Null,
        ),
        (
            "a fold's path updated in place",
            "(reduce range(1e9) as $i (.; .)) |= 1",
            &Json::Null,
        ),
        (
            "foreach's path updated",
            "(foreach range(1e9) as $i (.; .)) |= .",
            &json!([1]),
        ),
        ("recursion updated", "recurse(.) |= .", &json!([1])),
        ("until updated", "until(false; .) |= .", &json!([1])),
        (
            "an array copied often",
            ". as $x | [range(1e6) | $x | first(.[])] | length",
            &wide,
        ),
        (
            "an array added to often",
            ". as $x | reduce range(1e6) as $i (0; . + ($x + [1] | length))",
            &wide,
        ),
        (
            "an array cut often",
            ". as $x | reduce range(1e6) as $i (0; . + ($x[1:] | length))",
            &wide,
        ),
        (
            "an array searched often",
            ". as $x | reduce range(1e6) as $i (0; . + ($x | index(1999)))",
            &wide,
        ),
        (
            "arrays subtracted often",
            ". as $x | reduce range(1e6) as $i (0; . + ($x - $x | length))",
            &wide,
        ),
        (
            "an object merged often",
            "with_entries(.key |= tostring) as $x | reduce range(1e6) as $i ({}; . * $x)",
            &wide,
        ),
        (
            "unique over the same",
            "[range(100000) | [range(10)]] | unique",
            &Json::Null,
        ),
        (
            "labels and breaks",
            "[range(1e9) | label $f | ., break $f] | length",
            &Json::Null,
        ),
        (
            "escapes growing",
            "reduce range(40) as $i (\"\\\"\"; tojson)",
            &Json::Null,
        ),
        ("flattened deep", "flatten(1e9) | until(false; .)", &wide),
        (
            "a long path assigned",
            "setpath([range(20000) | \"a\"]; 1)",
            &Json::Null,
        ),
        (
            "a long path of indices deleted",
            "delpaths([[range(20000) | tostring]])",
            &Json::Null,
        ),
        ("getpath through nothing", "getpath([range(1e7)])", &Json::Null),
    ] {
        let verdict = run(text, input);
        let bounded = matches!(
            verdict,
            Err(RunError::Steps { .. } | RunError::Bytes { .. } | RunError::Nesting { .. } | RunError::Stack { .. })
        );
        if !bounded {
            wrong.push(format!("{name}: {verdict:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_text_that_nests_as_deep_as_is_read_fits_the_stack() {
    for (before, after) in [
        ("try ", ""),
        ("- ", ""),
        ("label $x | ", ""),
        ("1 as $x | ", ""),
        (". | ", ""),
        ("1, ", ""),
        ("1 + ", ""),
        ("1 // ", ""),
        ("def f: 1; ", ""),
        ("def f: ", ""),
        ("def f(f): ", ""),
        ("1 + 1 * 1 // 1 as $x | ", ""),
        ("try 1 + try 1 | ", ""),
        ("if 1 | 1 + ", ""),
        ("if 1 then 1 else try ", ""),
        ("if 1 + 1 as $x | ", ""),
        ("1 as [$a, {b: $c}] | ", ""),
        ("foreach 1 as $x (0; 1; ", ")"),
        ("1 as $x | def f: 1; ", ""),
        ("if 1 then ", ""),
        ("if 1 then 1 elif 1 then 1 else ", ""),
        ("reduce 1 as $x (0; ", ")"),
        ("[", "]"),
        ("(", ")"),
        ("{a: ", "}"),
        ("{a: 1}, ", ""),
        ("\"\\(", ")\""),
        (".[", "]"),
        ("map(", ")"),
        ("(.a = ", ")"),
        ("first(", ")"),
        ("(. |= ", ")"),
        ("(1, 2) | ", ""),
        ("(1, 2) as $x | ", ""),
    ] {
        let mut deepest = 0;
        for n in (1..400).rev().step_by(7) {
            let times = |text: &str| text.repeat(n);
            let text = match before {
                "def f: " | "def f(f): " => format!("{}1{}", times(before), times("; 1")),
                "if 1 then " | "if 1 then 1 elif 1 then 1 else " | "if 1 then 1 else try " => {
                    format!("{}1{}", times(before), times(" end"))
                }
                _ if before.starts_with("if") => format!("{}1{}", times(before), times(" then 1 end")),
                _ => format!("{}1{}", times(before), times(after)),
            };
            let compiled = on_a_thread(move || {
                let program = Program::compile("deep.jq", &text);
                program
                    .map(|program| program.run(&json!([]), &Bounds::default()))
                    .is_ok()
            });
            if compiled {
                deepest = n;
                break;
            }
        }
        assert!((21..390).contains(&deepest), "{before}: {deepest}");
    }
}

#[test]
fn an_input_beyond_bounds_is_refused() {
    let deep = (0..150).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(
        run("1", &deep),
        Err(RunError::Input {
            program: "hostile.jq".into()
        })
    );
    let level = (0..99).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert_eq!(run(".", &level), Ok(Some(level.clone())));
    assert!(matches!(run("{a: {b: .}}", &level), Err(RunError::Nesting { .. })));
    let long = json!("x".repeat(17 * 1024 * 1024));
    assert!(matches!(run("1", &long), Err(RunError::Bytes { .. })));
    let small = Bounds { steps: 100, bytes: 300 };
    let program = Program::compile("p.jq", ".").expect("compiles");
    assert!(matches!(
        program.run(&json!("x".repeat(200)), &small),
        Err(RunError::Bytes { .. })
    ));
    assert!(matches!(
        program.run(&json!(vec![0; 40]), &small),
        Err(RunError::Bytes { .. })
    ));
    assert!(matches!(
        program.run(&json!([[[[0]]]]), &Bounds { steps: 7, bytes: 3000 }),
        Err(RunError::Steps { .. })
    ));
    assert_eq!(
        program.run(&json!([1]), &small),
        Ok(Some(json!([1]))),
        "a spent run leaves nothing behind"
    );
}

#[test]
fn a_run_spends_the_same_each_time() {
    let text = "[.[] | select(.a) | {b: (.a | tostring), c: ([.a, 1] | add)}] | sort_by(.b) | map(.c) | add";
    let program = Program::compile("p.jq", text).expect("compiles");
    let input = json!([{"a": 1}, {"a": null}, {"a": 3}]);
    let least = |bound: fn(u64) -> Bounds| {
        let enough = |n: &u64| program.run(&input, &bound(*n)).is_ok();
        (0..100_000).find(enough).expect("some bound is enough")
    };
    let steps = |n| Bounds {
        steps: n,
        bytes: usize::MAX,
    };
    let first = least(steps);
    assert_eq!(first, least(steps));
    assert!((100..2000).contains(&first), "{first}");
}

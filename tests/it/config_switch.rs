//! What `check` says of a comparison that compares nothing, of an excuse for everybody, and of a switch-over without evidence.

use delius_sidecar::config::{self, Source};

const BASE: &str = r#"
[listen]
address = "127.0.0.1:8080"
[upstream.ndh]
url = "http://127.0.0.1:1"
[upstream.standard]
url = "http://127.0.0.1:2"
[switch]
state = "/run/switch.json"
[group.person]
mode = "shadow"
[[route]]
name = "a"
match = "GET /a/{n}"
group = "person"
person = "n"
[route.ndh]
upstream = "ndh"
view = "view.jq"
[route.standard]
upstream = "standard"
view = "view.jq"
[route.comparison]
again_after = "30s"
[[route.comparison.known]]
name = "k"
reason = "decided"
at = ["/x"]
[[route]]
name = "b"
match = "GET /b/{n}"
group = "person"
person = "n"
[route.ndh]
upstream = "ndh"
view = "view.jq"
[route.standard]
upstream = "standard"
view = "view.jq"
"#;

/// Its problems, errors and warnings, one line each.
fn lines(text: &str) -> String {
    let mut source = Source::new("c.toml", text);
    source.programs.insert("view.jq".to_owned(), Ok(".".to_owned()));
    match config::load_run(&[source], &[]) {
        Ok(loaded) => loaded.warnings.lines(),
        Err(problems) => problems.lines(),
    }
}

/// `BASE` with the last occurrence of one part replaced, which must be there.
fn with(from: &str, to: &str) -> String {
    let at = BASE.rfind(from).unwrap_or_else(|| panic!("{from:?} is not there"));
    format!("{}{to}{}", &BASE[..at], &BASE[at + from.len()..])
}

/// Said alone: a cause has one line.
#[track_caller]
fn only(text: &str, expected: &str) {
    let found = lines(text);
    assert!(found.contains(expected), "expected\n  {expected}\nin\n{found}");
    let about: Vec<_> = found.lines().filter(|line| !line.contains("in the clear")).collect();
    assert_eq!(about.len(), 1, "{found}");
}

#[test]
fn what_is_right_is_passed_in_silence() {
    let found = lines(BASE);
    assert!(found.lines().all(|line| line.contains("in the clear")), "{found}");
}

#[test]
fn what_compares_nothing_is_a_warning() {
    let lone = with("view = \"view.jq\"\n", "");
    only(
        &lone,
        "warning: `route.b.group` is switched with the others of `group.person`, and unseen",
    );
    let without_group = lone.replacen(
        "name = \"b\"\nmatch = \"GET /b/{n}\"\ngroup = \"person\"",
        "name = \"b\"\nmatch = \"GET /b/{n}\"",
        1,
    );
    only(
        &format!("{without_group}[route.comparison]\nsample = 0.5\n"),
        "warning: `route.b.comparison` has no effect",
    );
    only(
        &with("mode = \"shadow\"", "mode = \"canary\"\ncanary = 0.1"),
        "warning: `group.person.compare` is not on in mode \"canary\"",
    );
    let compared = with("mode = \"shadow\"", "mode = \"canary\"\ncanary = 0.1\ncompare = true");
    assert_eq!(lines(&compared), lines(BASE));
}

#[test]
fn a_known_difference_says_why_and_which_and_excuses_not_everybody() {
    let known = "route.a.comparison.known.k";
    only(
        &with("\"decided\"", "\" \""),
        &format!("error: `{known}.reason` is empty"),
    );
    only(&with("[\"/x\"]", "[]"), &format!("error: `{known}.at` is empty"));
    only(&with("at = [\"/x\"]\n", ""), &format!("error: `{known}.at` is missing"));
    only(
        &with("[\"/x\"]", "[\"/x\", \"\"]"),
        &format!("warning: `{known}.at` holds \"\""),
    );
    let bounded = with("[\"/x\"]", "[\"\"]\nwhen = \"view.jq\"");
    assert_eq!(lines(&bounded), lines(BASE));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    only(
        &with("upstream = \"standard\"\n", "upstream = \"standard\"\nparts = []\n"),
        "error: `route.b.standard.parts` is empty",
    );
    only(
        &with("again_after = \"30s\"", "again_after = \"11m\""),
        "error: `route.a.comparison.again_after` is longer than 10m",
    );
    assert_eq!(
        lines(&with("again_after = \"30s\"", "again_after = \"10m\"")),
        lines(BASE)
    );
    only(
        &with("\"/run/switch.json\"", "\"switch.json\""),
        "error: `switch.state` is not an absolute path",
    );
}

#[test]
fn a_group_without_a_route_is_one_problem() {
    let unused = format!("{BASE}[group.unused]\nmode = \"canary\"\ncanary = 0.1\n");
    only(&unused, "error: `group.unused.mode` is for no route");
    let unused = format!("{BASE}[group.unused]\nmode = \"shadow\"\n");
    only(&unused, "error: `group.unused.mode` is for no route");
}

//! What the documents say in tables is what the code does.

use std::collections::BTreeSet;

use delius_sidecar::config::settings::Settings;
use delius_sidecar::config::{self, Source};
use delius_sidecar::fault::{Code, Side};
use delius_sidecar::switch::{Gate, percent};

/// `| `code` | status | side | …`: the first three cells of each row of the error table.
fn rows() -> Vec<(String, String, String)> {
    let text = include_str!("../../docs/operations.md");
    let table = text.split("## Error codes").nth(1).expect("the section is there");
    let table = table.split("\n## ").next().expect("the section ends");
    let cell = |row: &str, n: usize| row.split('|').nth(n).unwrap_or("").trim().to_owned();
    table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|row| (cell(row, 1).trim_matches('`').to_owned(), cell(row, 2), cell(row, 3)))
        .collect()
}

#[test]
fn operations_md_explains_every_error_code_and_no_other() {
    let documented: BTreeSet<String> = rows().into_iter().map(|row| row.0).collect();
    let existing: BTreeSet<String> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(documented, existing);
    assert_eq!(rows().len(), existing.len(), "a code stands there twice");
}

#[test]
fn operations_md_says_whose_side_each_code_is_on() {
    for code in Code::ALL {
        let (_, _, side) = rows()
            .into_iter()
            .find(|row| row.0 == code.as_str())
            .expect("every code is there");
        let expected = match code.side() {
            Side::Caller => "caller",
            Side::Sidecar => "sidecar",
            Side::Upstream => "upstream",
        };
        assert_eq!(side, expected, "{code}");
    }
}

/// The settings of the example in README.md.
fn example() -> Settings {
    let readme = include_str!("../../README.md");
    let block = readme
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let source = Source::new("README.md", block.expect("there is a TOML block"));
    match config::load_run(&[source], &[]) {
        Ok(loaded) => loaded.settings,
        Err(problems) => panic!("the example in README.md is refused: {problems:?}"),
    }
}

#[test]
fn the_configuration_in_the_readme_is_accepted() {
    assert_eq!(example().routes.len(), 1);
}

#[test]
fn the_defaults_in_operations_md_are_the_defaults() {
    let settings = example();
    let (limits, ndh) = (&settings.listen.limits, &settings.upstreams["ndh"]);
    let said = include_str!("../../docs/operations.md");
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    for row in [
        format!("| `request_line` | {} |", kib(limits.request_line)),
        format!(
            "| `headers`, `head` | {} fields, {} |",
            limits.headers,
            kib(limits.head_bytes)
        ),
        format!("| `body` | {} MiB,", limits.body_bytes >> 20),
        format!("| `connections` | {} |", limits.connections),
        format!("| `in_flight` | {} for", limits.in_flight),
        format!("| `head_time` | {} for", seconds(limits.head_time)),
        format!("| `keep_alive` | {} idle", seconds(limits.keep_alive)),
        format!("`drain.quiet` ({})", seconds(settings.listen.drain_quiet)),
        format!("`drain.deadline` ({})", seconds(settings.listen.drain_deadline)),
        format!("`listen.caller_timeout`, {})", seconds(settings.listen.caller_timeout)),
        format!("| `connect` | {} for", seconds(ndh.times.connect)),
        format!("| `handshake` | {} |", seconds(ndh.times.handshake)),
        format!("| `first_byte` | {} |", seconds(ndh.times.first_byte)),
        format!("| `idle` | {} between", seconds(ndh.times.idle)),
        format!("| `total` | {} |", seconds(ndh.times.total)),
        format!("| `connection_faults` | {} in", ndh.breaker.connection_faults),
        format!(
            "| {}, {} results,",
            seconds(ndh.breaker.window),
            ndh.breaker.min_results
        ),
        format!("over {} persons", ndh.breaker.min_persons),
        format!("| `open_for` | {},", seconds(ndh.breaker.open_for)),
    ] {
        assert!(said.contains(&row), "docs/operations.md does not say: {row}");
    }
}

#[test]
fn the_defaults_of_routes_in_operations_md_are_the_defaults() {
    let settings = example();
    let (gate, switch) = (Gate::default(), &settings.switch);
    let said = include_str!("../../docs/operations.md");
    let said = between(said, "\n## Routes and the switch-over\n", "\n## ");
    for row in [
        format!("| `min_samples` | {} |", gate.min_samples),
        format!("| `max_mismatch` | {} |", percent(gate.max_mismatch)),
        format!("| `max_missing` | {} |", percent(gate.max_missing)),
        format!("| `max_errors` | {} |", percent(gate.max_errors)),
        format!("| `window` | {} min |", gate.window.as_secs() / 60),
        format!("| `window_samples` | {} |", gate.window_samples),
        format!("| `reply` | {} MiB |", switch.reply >> 20),
        format!("| `shadow.concurrency` | {} |", switch.shadow.concurrency),
        format!("| `shadow.queue` | {} |", switch.shadow.queue),
        format!("| `shadow.again` | {} |", switch.shadow.again),
        format!("| `shadow.memory` | {} MiB |", switch.shadow.memory >> 20),
    ] {
        assert!(said.contains(&row), "docs/operations.md does not say: {row}");
    }
    assert!(gate.max_p95.is_none() && said.contains("| `max_p95` | not looked at |"));
}

/// The keys of a constant of `config/route_schema.rs`.
fn keys(of: &str) -> BTreeSet<String> {
    let schema = include_str!("../../src/config/route_schema.rs");
    let listed = between(schema, &format!("const {of}: Fields = &["), "];");
    let entries = listed.lines().filter_map(|line| line.trim().strip_prefix("(\""));
    entries
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn operations_md_names_every_key_of_routes_and_of_the_switch() {
    let said = include_str!("../../docs/operations.md");
    let said = between(said, "\n## Routes and the switch-over\n", "\n## ");
    let mut seen = 0;
    for of in [
        "GROUP",
        "ROUTE",
        "LEG",
        "GATE",
        "COMPARISON",
        "KNOWN",
        "SWITCH",
        "SHADOW",
    ] {
        for key in keys(of) {
            let named = [format!("`{key}`"), format!("`shadow.{key}`"), format!("[route.{key}]")];
            // `[switch.shadow]` stands there by its keys.
            let named = key == "shadow" || named.iter().any(|name| said.contains(name));
            assert!(named, "docs/operations.md does not explain `{key}` of {of}");
            seen += 1;
        }
    }
    assert!(seen > 45, "{seen}");
}

#[test]
fn switch_over_md_explains_every_word_of_the_report() {
    let page = include_str!("../../docs/switch-over.md");
    let report = include_str!("../../src/cli/route/report.rs").replace('\n', " ");
    let labels: BTreeSet<String> = report
        .split("page.row")
        .skip(1)
        .filter_map(|call| call.split('"').nth(1))
        .filter(|label| !label.trim().is_empty())
        .map(|label| label.trim().to_owned())
        .collect();
    assert!(labels.len() >= 12, "{labels:?}");
    let table = between(page, "\n## Reading `route report`\n", "\n### ");
    for label in labels
        .iter()
        .filter(|label| !["routes", "rolled back", "override"].contains(&label.as_str()))
    {
        assert!(
            table.contains(&format!("`{label}`")),
            "docs/switch-over.md does not explain `{label}`"
        );
    }
    // Why a comparison did not take place.
    let sources = [
        include_str!("../../src/shadow/mod.rs"),
        include_str!("../../src/proxy/mod.rs"),
        include_str!("../../src/proxy/legs/answer.rs"),
    ];
    let mut reasons = 0;
    for source in sources {
        for reason in source
            .split(".dropped(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert!(
                page.contains(&format!("\n| `{reason}` |")),
                "docs/switch-over.md does not explain {reason}"
            );
            reasons += 1;
        }
    }
    assert!(reasons >= 6, "{reasons}");
    // Why a command about routes is refused.
    let standing = include_str!("../../src/switch/standing/mod.rs");
    let codes = words(between(standing, "pub const fn code(&self)", "\n    }\n"));
    assert!(codes.len() >= 5, "{codes:?}");
    let operations = include_str!("../../docs/operations.md");
    for code in codes {
        assert!(
            operations.contains(&format!("`{code}`")),
            "docs/operations.md does not name {code}"
        );
    }
}

/// The text literals of a piece of source, without its comments and its tests.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What stands between two texts.
#[track_caller]
fn between<'a>(source: &'a str, from: &str, to: &str) -> &'a str {
    let rest = source.split(from).nth(1).unwrap_or_else(|| panic!("no {from:?}"));
    rest.split(to).next().unwrap_or_default()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn words(source: &str) -> BTreeSet<String> {
    literals(source).into_iter().filter(|text| is_word(text)).collect()
}

/// What the first cells of a table of docs/rotation.md name.
fn named_in(section: &str) -> BTreeSet<String> {
    let page = include_str!("../../docs/rotation.md");
    let table = between(page, &format!("\n### {section}\n"), "\n##");
    let cells = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    cells
        .flat_map(|cell| cell.split('`'))
        .filter(|text| is_word(text))
        .map(str::to_owned)
        .collect()
}

/// `a {b} c {d}` as a person reads it: `a … c …`.
fn as_read(format: &str) -> String {
    let parts = format.split('{').enumerate();
    parts
        .map(|(position, part)| match (position, part.split_once('}')) {
            (0, _) | (_, None) => part.to_owned(),
            (_, Some((_, rest))) => format!("…{rest}"),
        })
        .collect()
}

#[test]
fn rotation_md_explains_every_message_about_certificates() {
    let page = include_str!("../../docs/rotation.md");
    let messages: Vec<String> = [
        include_str!("../../src/app/report/said.rs"),
        include_str!("../../src/app/report/mod.rs"),
    ]
    .into_iter()
    .flat_map(literals)
    .map(|text| as_read(&text))
    .filter(|text| text.contains(' '))
    .collect();
    assert!(messages.len() >= 20, "{messages:?}");
    for message in messages {
        assert!(page.contains(&message), "docs/rotation.md does not explain: {message}");
    }
}

#[test]
fn rotation_md_explains_every_event_phase_and_reason_and_no_other() {
    let said = include_str!("../../src/app/report/said.rs");
    let events = words(between(said, "fn event(", "\n}\n"));
    assert!(events.len() >= 15, "{events:?}");
    assert_eq!(named_in("Events"), events);
    let told = include_str!("../../src/identity/lineage/told.rs");
    let phases = words(between(told, "match &candidate.phase {", "};"));
    assert!(phases.len() >= 5, "{phases:?}");
    assert_eq!(named_in("Phases"), phases);
    let news = include_str!("../../src/identity/lineage/news.rs");
    let reasons = words(between(news, "impl Why {", "pub fn proof"));
    assert!(reasons.len() >= 8, "{reasons:?}");
    assert_eq!(named_in("Why"), reasons);
}

#[test]
fn rotation_md_explains_every_refusal_of_a_command_and_no_other() {
    let sources = [
        include_str!("../../src/app/wishes.rs"),
        include_str!("../../src/control/mod.rs"),
        include_str!("../../src/control/order.rs"),
        include_str!("../../src/control/serve.rs"),
    ];
    // The code is the first text of a refusal; where the answer is settled, codes are chosen from a table.
    let mut codes: BTreeSet<String> = sources
        .iter()
        .flat_map(|source| {
            let code = source.split("#[cfg(test)]").next().unwrap_or_default();
            let calls = ["Refusal::new(", "Self::new("].map(|call| code.split(call).skip(1));
            calls.into_iter().flatten().filter_map(|call| {
                let first = call.split('"').nth(1)?;
                is_word(first).then(|| first.to_owned())
            })
        })
        .collect();
    codes.extend(words(between(sources[0], "let code = match", "};")));
    assert!(codes.len() >= 16, "{codes:?}");
    assert_eq!(named_in("Refusals of commands"), codes);
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    let mut seen = 0;
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "certs-dev/README.md",
        "k8s/README.md",
        "docs/architecture.md",
        "docs/debugging.md",
        "docs/doctor.md",
        "docs/operations.md",
        "docs/rotation.md",
        "docs/staging-ca.md",
        "docs/switch-over.md",
        "docs/tokens.md",
    ] {
        let page = root.join(name);
        let text = read(&page);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '\n']).next())
        {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap_or(root).join(file)
            };
            assert!(target.exists(), "{name}: {link}");
            let anchors = anchors(&read(&target));
            assert!(
                anchor.is_empty() || anchors.contains(anchor),
                "{name}: {link}: {anchors:?}"
            );
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen} links");
}

/// The headings of a page as links name them.
pub(crate) fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let kept = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = kept.replace(' ', "-");
            kept.chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
                .collect()
        })
        .collect()
}

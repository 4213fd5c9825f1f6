//! A strict reader of OpenMetrics text, for tests: whatever is out of place is a failed test.
//!
//! Stricter than the format asks: a family is described before its samples, and no sample occurs twice.

/// One sample: name with suffix, labels, value.
pub(super) type Line = (String, Vec<(String, String)>, f64);

/// Reads OpenMetrics text and panics on anything out of place: what is returned is well-formed.
pub(super) fn parse(text: &str) -> Vec<Line> {
    assert!(text.ends_with("# EOF\n"), "the end is marked");
    let mut samples = Vec::new();
    let (mut family, mut kind) = (String::new(), String::new());
    let (mut helped, mut families) = (String::new(), Vec::new());
    for line in text.strip_suffix("# EOF\n").unwrap_or_default().lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a help text");
            assert!(!help.is_empty(), "{line}");
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, found) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(name, helped, "HELP comes before TYPE");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name} is not a name"
            );
            assert!(["counter", "gauge", "histogram", "info"].contains(&found), "{line}");
            assert!(!families.contains(&name.to_owned()), "{name} occurs twice");
            assert!(!name.ends_with("_total"), "{name}: the suffix belongs to the sample");
            families.push(name.to_owned());
            (family, kind) = (name.to_owned(), found.to_owned());
        } else {
            let (name, labels, value) = sample(line);
            let suffixes: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "histogram" => &["_sum", "_count", "_bucket"],
                "info" => &["_info"],
                _ => &[""],
            };
            let suffix = name.strip_prefix(family.as_str()).expect("samples follow their family");
            assert!(suffixes.contains(&suffix), "{line}");
            samples.push((name, labels, value));
        }
    }
    for (at, (name, labels, _)) in samples.iter().enumerate() {
        let twice = samples[at + 1..]
            .iter()
            .any(|other| other.0 == *name && other.1 == *labels);
        assert!(!twice, "{name}{labels:?} occurs twice");
    }
    samples
}

fn sample(line: &str) -> Line {
    let end = line.find(['{', ' ']).expect("a name");
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (key, after) = rest.split_once("=\"").expect("a label");
            assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().expect("a closing quotation mark") {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect("an escape").1 {
                        'n' => value.push('\n'),
                        c @ ('\\' | '"') => value.push(c),
                        c => panic!("escape {c} in {line}"),
                    },
                    (_, c) => value.push(c),
                }
            };
            labels.push((key.to_owned(), value));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect("a closing brace");
    }
    let value = rest.strip_prefix(' ').expect("a space before the value");
    (name.to_owned(), labels, value.parse().expect("a number"))
}

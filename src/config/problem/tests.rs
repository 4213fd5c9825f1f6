//! What `problem` promises, by example.

use super::*;

fn problems(text: &str, list: Vec<Problem>) -> Problems {
    let name = "a.toml".to_owned();
    Problems::new(vec![Source::new(name, text)], list)
}

fn at(span: Range<usize>) -> Place {
    Place::File { source: 0, span }
}

#[test]
fn a_line_counts_lines_and_characters_from_one() {
    let text = "é = 1\nñb = x\n";
    let found = problems(text, vec![Problem::error(at(13..14), "x is nothing").right("write 1")]);
    assert_eq!(found.lines(), "a.toml:2:6: error: x is nothing; write 1\n");
}

#[test]
fn problems_stand_in_the_order_of_the_file_and_variables_last() {
    let variable = Problem::error(Place::Variable("V".into()), "c");
    let list = vec![variable, Problem::error(at(4..5), "b"), Problem::error(at(0..1), "a")];
    let found = problems("one two", list);
    assert_eq!(
        found.lines(),
        "a.toml:1:1: error: a\na.toml:1:5: error: b\nV: error: c\n"
    );
}

#[test]
fn what_refuses_a_configuration_is_said_without_the_warnings_before_it() {
    let list = vec![Problem::warning(at(0..1), "odd"), Problem::error(at(4..5), "wrong")];
    let found = problems("one two", list);
    assert_eq!(found.lines().lines().count(), 2);
    assert_eq!(found.without_warnings().to_string(), "a.toml:1:5: error: wrong");
}

#[test]
fn a_concealed_value_is_in_no_rendering() {
    let text = "password = \"hunter2\"\n";
    let found = problems(
        text,
        vec![Problem::error(at(0..8), "unknown key").conceal([at(11..20)])],
    );
    for shown in [
        found.annotated(Style::Plain),
        found.annotated(Style::Colour),
        found.lines(),
        found.json().to_string(),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(found.annotated(Style::Plain).contains("password = *********"));
}

#[test]
fn colour_is_a_choice_of_the_caller() {
    let found = problems("a = 1", vec![Problem::error(at(0..1), "unknown key")]);
    assert!(found.annotated(Style::Colour).contains('\u{1b}'));
    assert!(!found.annotated(Style::Plain).contains('\u{1b}'));
}

#[test]
fn a_span_beyond_the_text_is_not_fatal() {
    let found = problems("é", vec![Problem::error(at(1..90), "odd")]);
    assert!(found.lines().starts_with("a.toml:1:1: "));
    assert!(found.annotated(Style::Plain).contains("odd"));
}

//! The keys of routes, their legs and groups: what `schema` has in [[route]], [group.NAME] and [switch].

use super::schema::{Fields, GIB, MIB, NAME, PATH, Shape, name};
use super::value::{self, Complaint};
use crate::compare::Pattern;

/// A file of the configuration, relative to the file that names it. Its text comes with the layers.
const PROGRAM: Shape = Shape::Text(|text| value::path(text).map(drop));
const POINTERS: Shape = Shape::Texts;

pub(super) const GROUP: Fields = &[
    ("mode", MODE),
    ("canary", Shape::Ratio),
    ("fallback", Shape::Switch),
    ("compare", Shape::Switch),
    ("gate", Shape::Table(GATE)),
];

pub(super) const ROUTE: Fields = &[
    ("name", NAME),
    ("match", Shape::Text(|text| value::matcher(text).map(drop))),
    ("group", NAME),
    ("mode", MODE),
    ("canary", Shape::Ratio),
    ("fallback", Shape::Switch),
    ("compare", Shape::Switch),
    ("gate", Shape::Table(GATE)),
    ("person", Shape::Text(|_| Ok(()))),
    ("in_flight", Shape::Count(1, 1_000_000)),
    ("body", Shape::Size(1, GIB)),
    ("idempotent", Shape::Switch),
    ("fields", POINTERS),
    ("ndh", Shape::Table(LEG)),
    ("standard", Shape::Table(LEG)),
    ("comparison", Shape::Table(COMPARISON)),
];

const LEG: Fields = &[
    ("upstream", NAME),
    ("path", Shape::Text(|text| value::template(text).map(drop))),
    ("query", Shape::Choice(&["pass", "drop"])),
    ("headers", Shape::Pairs(header_value)),
    ("authorization", Shape::Choice(&["strip", "pass"])),
    ("token", NAME),
    ("request", PROGRAM),
    ("response", PROGRAM),
    ("view", PROGRAM),
    ("parts", Shape::Texts),
    ("timeouts", Shape::Table(LEG_TIMEOUTS)),
];

const LEG_TIMEOUTS: Fields = &[("first_byte", Shape::Duration), ("total", Shape::Duration)];

const GATE: Fields = &[
    ("min_samples", Shape::Count(1, 1_000_000_000)),
    ("max_mismatch", Shape::Share),
    ("max_missing", Shape::Share),
    ("max_errors", Shape::Share),
    ("max_p95", Shape::Duration),
    ("window", Shape::Duration),
    ("window_samples", Shape::Count(1, 1_000_000)),
];

const COMPARISON: Fields = &[
    ("ignore", POINTERS),
    ("unordered", POINTERS),
    ("tolerance", Shape::Pairs(|text| tolerance(text).map(drop))),
    ("equal_status", Shape::Texts),
    ("again_after", Shape::Duration),
    ("sample", Shape::Ratio),
    ("known", Shape::Rows(KNOWN)),
];

const KNOWN: Fields = &[
    ("name", NAME),
    ("reason", Shape::Text(|_| Ok(()))),
    ("at", POINTERS),
    ("when", PROGRAM),
];

pub(super) const SWITCH: Fields = &[
    ("state", PATH),
    ("reply", Shape::Size(1024, 64 * MIB)),
    ("shadow", Shape::Table(SHADOW)),
];

const SHADOW: Fields = &[
    ("concurrency", Shape::Count(1, 1024)),
    ("queue", Shape::Count(1, 100_000)),
    ("again", Shape::Count(0, 100_000)),
    ("memory", Shape::Size(64 * 1024, GIB)),
];

const MODE: Shape = Shape::Choice(&["ndh", "shadow", "canary", "standard"]);

fn header_value(text: &str) -> Result<(), Complaint> {
    if crate::wire::head::is_field_value(text.as_bytes()) {
        return Ok(());
    }
    Err(Complaint::new(
        "this cannot be the value of a header field",
        "write it on one line, without control characters",
    ))
}

/// How far two numbers may be apart.
pub(super) fn tolerance(text: &str) -> Result<f64, Complaint> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(Complaint::new(
            format!("\"{}\" is not a number of at least 0", text.escape_debug()),
            "write for example tolerance = { \"/amount\" = \"0.5\" }",
        )),
    }
}

/// `500/409`: what NDH says, and what the standard leg says.
pub(super) fn statuses(text: &str) -> Result<(u16, u16), Complaint> {
    let status = |text: &str| text.parse().ok().filter(|status| (200..600).contains(status));
    text.split_once('/')
        .and_then(|(ndh, standard)| Some((status(ndh)?, status(standard)?)))
        .ok_or_else(|| {
            Complaint::new(
                format!("\"{}\" is not a pair of statuses", text.escape_debug()),
                "write what NDH says, a slash and what the standard leg says, for example \"500/409\"",
            )
        })
}

/// A place in a view or a reply.
pub(super) fn pointer(text: &str) -> Result<Pattern, Complaint> {
    Pattern::parse(text).map_err(|error| {
        Complaint::new(
            error.to_string(),
            "write a JSON pointer, for example \"/manager/team\"; `*` stands for every element",
        )
    })
}

/// A name of a part.
pub(super) fn part(text: &str) -> Result<(), Complaint> {
    name(text)
}

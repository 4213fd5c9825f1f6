//! The files of a client: identifier and secret. Nothing of their content is shown; where they were mixed up, even the identifier
//! is a secret.
//!
//! Read by the keeper's rules: one line, of which line ends and a byte order mark are no part, and spaces are.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::files::read;
use super::report::Lines;
use crate::config::settings::ClientCredentials;
use crate::token::once::{self, Client};

/// Files of one issue that were written apart by more than this are worth a word where the client is refused.
const APART: Duration = Duration::from_secs(600);

/// The client where its files make one, and what of them may explain a refusal.
pub(super) fn examine(settings: &ClientCredentials, lines: &mut Lines) -> Option<(Client, Vec<String>)> {
    let files = [
        (&settings.client_id_file, "client id file"),
        (&settings.client_secret_file, "client secret file"),
    ];
    let mut whole = true;
    for (path, check) in files {
        whole &= file(path, check, check == "client secret file", lines);
    }
    if !whole {
        lines.skip("client", "a file cannot be used");
        return None;
    }
    let client = match Client::read(settings) {
        Ok(client) => client,
        Err(sentence) => {
            lines.fail(
                "client",
                sentence,
                "two files with one line each",
                "put both files of one copy in place",
            );
            return None;
        }
    };
    let mut hints = Vec::new();
    let secret = once::line(&settings.client_secret_file).ok();
    if secret.is_some_and(|secret| look_swapped(client.id(), &secret)) {
        hints.push(String::from(
            "the files look mixed up: the identifier's looks like a secret",
        ));
        lines.warn(
            "client",
            "the identifier's file looks like a secret, and the secret's like an identifier",
            "the identifier in `client_id_file`, the secret in `client_secret_file`",
            "exchange the two; what stands in the identifier's file may have been logged somewhere: have it replaced",
        );
    } else if let Some(apart) = apart(&settings.client_id_file, &settings.client_secret_file) {
        hints.push(format!(
            "the two files were written {} s apart: one may be of another copy",
            apart.as_secs()
        ));
        lines.ok(
            "client",
            format!(
                "both files hold one line; they were written {} s apart",
                apart.as_secs()
            ),
        );
    } else {
        lines.ok("client", "both files hold one line, and were written together");
    }
    Some((client, hints))
}

/// A file with one line; whether it can be used.
pub(super) fn file(path: &Path, check: &'static str, secret: bool, lines: &mut Lines) -> bool {
    const EXPECTED: &str = "one line with nothing else";
    let Some(bytes) = read(path, check, secret, lines) else {
        return false;
    };
    let shown = path.display();
    if let Err(sentence) = once::line(path) {
        let (found, _) = sentence.rsplit_once("; ").unwrap_or((&sentence, ""));
        lines.fail(
            check,
            found,
            EXPECTED,
            "write the value into it, without a line break inside",
        );
        return false;
    }
    let end = bytes
        .iter()
        .rposition(|byte| !matches!(byte, b'\r' | b'\n'))
        .map_or(0, |at| at + 1);
    let value = &bytes[..end];
    if bytes.contains(&b'\r') {
        lines.warn(
            check,
            format!("{shown} ends its line as Windows does (CR LF); that is not taken for a part of the value"),
            EXPECTED,
            "write it without the carriage return: other programs may take it for a part",
        );
    } else if bytes.ends_with(b"\n") {
        lines.ok(
            check,
            format!("{shown} ends with a newline, which is not taken for a part of the value"),
        );
    }
    if value.trim_ascii().len() < value.len() {
        lines.warn(
            check,
            format!("{shown} begins or ends with a space, which is taken for a part of the value"),
            EXPECTED,
            "remove the space, unless the value really has one",
        );
    }
    true
}

fn apart(one: &Path, other: &Path) -> Option<Duration> {
    let written = |path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let (one, other) = (written(one)?, written(other)?);
    let apart = one.duration_since(other).or_else(|_| other.duration_since(one)).ok()?;
    (apart > APART).then_some(apart)
}

/// Identifiers are words with hyphens; secrets are drawn.
fn look_swapped(id: &str, secret: &str) -> bool {
    looks_drawn(id) && looks_named(secret)
}

fn looks_drawn(text: &str) -> bool {
    let has = |is: fn(&char) -> bool| text.chars().any(|c| is(&c));
    let mixed = has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase) && has(char::is_ascii_digit);
    let odd = text.chars().any(|c| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
    let hex = text.len() >= 32 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    text.len() >= 12 && (mixed || odd || hex)
}

fn looks_named(text: &str) -> bool {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
    plain && text.contains(|c: char| c.is_ascii_lowercase()) && !looks_drawn(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_and_secret_are_told_apart_by_their_looks() {
        let drawn = [
            "xK9vQ2mB7pL4wR8t",
            "a!b&c<d>e/f+g=",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
        ];
        for secret in drawn {
            assert!(look_swapped(secret, "allocation-manager-1"), "{secret}");
            assert!(!look_swapped("allocation-manager-1", secret), "{secret}");
        }
        assert!(!look_swapped("client", "secret"));
    }
}

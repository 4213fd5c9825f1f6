//! How the tools print: a result as text or as one JSON document, notes and errors beside it.
//!
//! Results go to standard output, everything else to standard error. Colour appears only on a terminal and never with
//! `NO_COLOR`: whatever is painted here is stripped by the stream it goes to. A reader who went away is not an error.

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anstream::{stderr, stdout};
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use serde_json::Value;

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// What a piece of text means; the colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Heading,
    Good,
    Warning,
    Bad,
    Quiet,
}

/// A result in both forms.
pub trait Show {
    fn text(&self) -> String;
    fn json(&self) -> Value;
}

/// Prints a result.
///
/// # Errors
/// What the system says when it cannot be written.
pub fn print(result: &impl Show, format: Format) -> io::Result<()> {
    let text = match format {
        Format::Text => result.text(),
        Format::Json => format!("{:#}\n", result.json()),
    };
    write(&mut stdout().lock(), &text).map_err(unwritten)
}

/// Prints text that is the whole result, such as a manifest, as it is.
///
/// # Errors
/// What the system says when it cannot be written.
pub fn print_raw(text: &str) -> io::Result<()> {
    write(&mut io::stdout().lock(), text).map_err(unwritten)
}

/// Something worth knowing beside the result.
pub fn note(text: &str) {
    let word = paint(Tone::Warning, "note:");
    // Nothing is left to do where even this cannot be written.
    let _ = write(&mut stderr().lock(), &format!("{word} {text}\n"));
}

/// Why there is no result.
pub fn error(error: &anyhow::Error) {
    let word = paint(Tone::Bad, "error:");
    let _ = write(&mut stderr().lock(), &format!("{word} {error:#}\n"));
}

/// Success, or the error said and failure.
#[must_use]
pub fn finish(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            error(&wrong);
            ExitCode::FAILURE
        }
    }
}

/// Text in the colour of its meaning, for the streams of this module only.
#[must_use]
pub fn paint(tone: Tone, text: &str) -> String {
    let style = match tone {
        Tone::Heading => Style::new().bold(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Warning => AnsiColor::Yellow.on_default().bold(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Quiet => Style::new().dimmed(),
    };
    format!("{style}{text}{style:#}")
}

/// A path for a JSON document, which holds text only: what is not UTF-8 is replaced, as on the screen.
#[must_use]
pub fn path(path: &Path) -> Value {
    Value::String(path.display().to_string())
}

/// `what        value`, one line each; a value of several lines is set below itself.
#[must_use]
pub fn table(indent: usize, rows: &[(&str, String)]) -> String {
    let wide = rows.iter().map(|(what, _)| what.len()).max().unwrap_or(0) + 2;
    let mut out = String::new();
    for (what, value) in rows {
        for (index, line) in value.lines().enumerate() {
            let what = if index == 0 { *what } else { "" };
            out.push_str(&format!("{:indent$}{what:<wide$}{line}\n", ""));
        }
    }
    out
}

fn unwritten(error: io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("the result cannot be written to standard output: {error}"),
    )
}

fn write(stream: &mut impl Write, text: &str) -> io::Result<()> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_keeps_the_lines_of_a_value_together() {
        let rows = [("a", String::from("1")), ("long", String::from("2\n3"))];
        assert_eq!(table(2, &rows), "  a     1\n  long  2\n        3\n");
    }

    #[test]
    fn paint_is_stripped_where_nobody_sees_it() {
        let painted = paint(Tone::Bad, "error:");
        assert!(
            painted.starts_with('\u{1b}') && painted.ends_with("\u{1b}[0m"),
            "{painted:?}"
        );
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), "error:");
    }

    #[test]
    fn who_stops_reading_is_not_an_error() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        write(&mut Gone, "text").expect("no error");
    }
}

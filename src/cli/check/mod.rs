//! `check`: is this configuration right? Every problem at once; and how `run` and `gateway` read their files.
//!
//! Files are read here and handed over as text, because `config` does no I/O. A layer that cannot be read is a
//! problem like any other, shown where `extends` names it.
//!
//! Exit codes: 0 usable (warnings may be shown), 2 not.

mod files;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use clap::Args;
use serde_json::json;

use super::files::regular;
use super::output::Format;
use crate::clock;
use crate::config::{self, Loaded, Place, Problem, Problems, Severity, Source, Style};

/// Where the configuration is if nobody says.
pub(super) const DEFAULT: &str = "/etc/delius-sidecar/config.toml";

/// Which configuration is meant.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// The configuration file; /etc/delius-sidecar/config.toml if not given.
    #[arg(long, value_name = "FILE", env = "DELIUS_SIDECAR_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Validate the configuration: every problem at once, with file, line, and what would be right.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  delius-sidecar check --config config/production.toml --no-files\n  \
                        delius-sidecar check --output json"
)]
pub struct CheckArgs {
    #[command(flatten)]
    pub file: ConfigArgs,
    /// Do not read the certificates and keys that the configuration names: where the secrets are not at hand.
    #[arg(long)]
    pub no_files: bool,
    /// Take it for the file of `gateway`; by itself only a file with `[gateway]` is.
    #[arg(long)]
    pub gateway: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

/// The texts of one configuration, the lowest layer first, and the files that they came from.
#[derive(Clone, Debug)]
pub struct Layers {
    pub sources: Vec<Source>,
    pub paths: Vec<PathBuf>,
}

impl Layers {
    /// Whether this is the file of `gateway`.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        self.sources.iter().any(|source| config::has_gateway(&source.text))
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub gateway: bool,
    pub paths: Vec<PathBuf>,
    pub problems: Problems,
    /// What the configuration is about, in words; nothing where it is not usable.
    pub summary: Option<String>,
}

/// Runs the command.
#[must_use]
pub fn check(args: &CheckArgs) -> ExitCode {
    let verdict = judge(args, &environment(), clock::unix_seconds());
    match print(&verdict, args.output) {
        Ok(()) if !verdict.problems.has_errors() => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

/// Everything but the printing; `now` is in seconds since the Unix epoch.
#[must_use]
pub fn judge(args: &CheckArgs, environment: &[(String, String)], now: i64) -> Verdict {
    let layers = match read(args.file.config.as_deref()) {
        Ok(layers) => layers,
        Err(problems) => {
            return Verdict {
                gateway: args.gateway,
                paths: args.file.config.iter().cloned().collect(),
                problems,
                summary: None,
            };
        }
    };
    let gateway = args.gateway || layers.is_gateway();
    let (problems, summary) = if gateway {
        finish(
            config::load_gateway(&layers.sources, environment),
            |loaded| {
                if args.no_files {
                    Vec::new()
                } else {
                    files::gateway(loaded, now)
                }
            },
            |settings| {
                let (rules, upstream) = (settings.allow.len(), &settings.upstream);
                format!("rules: {rules}, upstream: {}:{}", upstream.host, upstream.port)
            },
        )
    } else {
        finish(
            config::load_run(&layers.sources, environment),
            |loaded| {
                if args.no_files {
                    Vec::new()
                } else {
                    files::run(loaded, now)
                }
            },
            |settings| {
                let (routes, upstreams) = (settings.routes.len(), settings.upstreams.len());
                format!(
                    "routes: {routes}, upstreams: {upstreams}, identities: {}",
                    settings.identities.len()
                )
            },
        )
    };
    Verdict {
        gateway,
        paths: layers.paths,
        problems,
        summary,
    }
}

/// Reads the configuration and what it extends: one file over one base.
pub fn read(config: Option<&Path>) -> Result<Layers, Problems> {
    let path = config.unwrap_or(Path::new(DEFAULT));
    let text = text_of(path).map_err(|wrong| {
        let right = match config {
            None => "write it, or say --config FILE or DELIUS_SIDECAR_CONFIG=FILE",
            Some(_) => "name the file that is meant with --config FILE or DELIUS_SIDECAR_CONFIG=FILE",
        };
        let problem = Problem::error(Place::start_of(0), format!("the configuration {wrong}")).right(right);
        Problems::new(vec![source(path, String::new())], vec![problem])
    })?;
    let Some(extends) = config::extends(&text) else {
        return Ok(Layers {
            sources: vec![source(path, text)],
            paths: vec![path.to_owned()],
        });
    };
    let below = path.parent().unwrap_or(Path::new("")).join(&extends);
    let refuse = |wrong: String, right: &str, text: String| {
        let span = config::extends_span(&text);
        let problem = Problem::error(Place::File { source: 0, span }, wrong).right(right);
        Problems::new(vec![source(path, text)], vec![problem])
    };
    let base = match text_of(&below) {
        Ok(base) => base,
        Err(wrong) => {
            let wrong = format!("`extends` names {}, which {wrong}", below.display());
            return Err(refuse(wrong, "the path is relative to this file", text));
        }
    };
    if same_file(path, &below) {
        return Err(refuse("`extends` names this file itself".to_owned(), "remove it", text));
    }
    if let Some(further) = config::extends(&base) {
        let wrong = format!(
            "`extends` names {}, which extends {} in turn",
            below.display(),
            further.escape_debug()
        );
        return Err(refuse(
            wrong,
            "a file may extend one base: put what differs into one overlay",
            text,
        ));
    }
    Ok(Layers {
        sources: vec![source(&below, base), source(path, text)],
        paths: vec![below, path.to_owned()],
    })
}

/// The variables that override settings.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    all.filter(|(name, _)| name.starts_with(config::PREFIX)).collect()
}

fn text_of(path: &Path) -> Result<String, String> {
    let bytes = regular(path).map_err(|error| format!("cannot be read: {}", reason(&error)))?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

/// Without the number of the operating system.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// A text with the programs that it names: they are part of the configuration, and read with it.
fn source(path: &Path, text: String) -> Source {
    let beside = path.parent().unwrap_or(Path::new(""));
    let program = |name: String| {
        let found = text_of(&beside.join(&name));
        (name, found)
    };
    Source {
        name: path.display().to_string(),
        programs: config::programs(&text).into_iter().map(program).collect(),
        text,
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn finish<T>(
    loaded: Result<Loaded<T>, Problems>,
    files: impl FnOnce(&Loaded<T>) -> Vec<Problem>,
    summary: impl FnOnce(&T) -> String,
) -> (Problems, Option<String>) {
    match loaded {
        Ok(loaded) => {
            let found = files(&loaded);
            let mut problems = loaded.warnings;
            problems.extend(found);
            (problems, Some(summary(&loaded.settings)))
        }
        Err(problems) => (problems, None),
    }
}

fn print(verdict: &Verdict, output: Format) -> io::Result<()> {
    let problems = &verdict.problems;
    let (errors, warnings) = (problems.count(Severity::Error), problems.count(Severity::Warning));
    let kind = if verdict.gateway { "gateway" } else { "run" };
    let mut out = io::stdout().lock();
    match output {
        Format::Json => {
            let files: Vec<String> = verdict.paths.iter().map(|path| path.display().to_string()).collect();
            let found = json!({
                "usable": errors == 0,
                "for": kind,
                "files": files,
                "errors": errors,
                "warnings": warnings,
                "problems": problems.json(),
            });
            writeln!(out, "{found:#}")
        }
        Format::Text => {
            let stderr = io::stderr();
            let style = match AutoStream::choice(&stderr) {
                ColorChoice::Never => Style::Plain,
                _ => Style::Colour,
            };
            if !problems.is_empty() {
                writeln!(stderr.lock(), "{}", problems.annotated(style))?;
            }
            let counts = format!("errors: {errors}, warnings: {warnings}");
            match (&verdict.summary, errors) {
                (Some(summary), 0) => writeln!(out, "usable for `{kind}`: {summary}; {counts}"),
                _ => writeln!(out, "not usable for `{kind}`: {counts}"),
            }
        }
    }
}

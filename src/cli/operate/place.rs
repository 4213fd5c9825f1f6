//! Which control socket is meant: the one that is named, else the one of the configuration that `run` would read, else the
//! usual one.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::check::{self, ConfigArgs, DEFAULT};
use crate::config::settings::Settings;
use crate::config::{self, Problems, Style};

/// Where the socket is if neither anybody nor a configuration says.
const SOCKET: &str = "/run/delius-sidecar/control.sock";

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Place {
    /// The control socket; otherwise the one that the configuration names.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigArgs,
}

impl Place {
    /// The path of the socket, or what keeps it from being known, in sentences that can be printed as they are.
    pub(in crate::cli) fn socket(&self) -> Result<PathBuf, String> {
        if let Some(path) = &self.control {
            return Ok(path.clone());
        }
        let file = self.file.config.as_deref();
        if file.is_none() && !Path::new(DEFAULT).exists() {
            return Ok(PathBuf::from(SOCKET));
        }
        configured(file, &check::environment())
    }
}

impl Place {
    /// The settings that `run` would read, or what is wrong with them, in sentences that can be printed as they are.
    pub(in crate::cli) fn settings(&self) -> Result<Settings, String> {
        let wrong = |problems: Problems| problems.annotated(Style::Plain).to_string();
        let layers = check::read(self.file.config.as_deref()).map_err(wrong)?;
        if layers.is_gateway() {
            return Err("error: this is the configuration of a gateway, which switches nothing".to_owned());
        }
        let loaded = config::load_run(&layers.sources, &check::environment()).map_err(wrong)?;
        Ok(loaded.settings)
    }
}

fn configured(file: Option<&Path>, environment: &[(String, String)]) -> Result<PathBuf, String> {
    let unusable = |problems: Problems| {
        format!(
            "{}\nhint: the control socket is named in this configuration; say it with --control PATH while it is not usable",
            problems.annotated(Style::Plain)
        )
    };
    let layers = check::read(file).map_err(unusable)?;
    let control = if layers.is_gateway() {
        let loaded = config::load_gateway(&layers.sources, environment).map_err(unusable)?;
        loaded.settings.control
    } else {
        let loaded = config::load_run(&layers.sources, environment).map_err(unusable)?;
        loaded.settings.control
    };
    control.map(|control| control.socket).ok_or_else(|| {
        format!(
            "error: {} has no [control], so the running process takes no commands\n\
             hint: add the lines\n\n    [control]\n    socket = \"{SOCKET}\"\n\n\
             with a directory that the process may write, and restart it; or say --control PATH",
            file.unwrap_or(Path::new(DEFAULT)).display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "[upstream.ndh]\nurl = \"http://127.0.0.1:9\"\n[[route]]\nname = \"all\"\nmatch = \"GET /{file}\"\n\
                       [route.ndh]\nupstream = \"ndh\"\n";

    fn found(text: &str, environment: &[(String, String)]) -> Result<PathBuf, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config.toml");
        std::fs::write(&file, text).expect("written");
        configured(Some(&file), environment)
    }

    #[test]
    fn a_named_socket_needs_no_configuration() {
        let place = Place {
            control: Some(PathBuf::from("/a.sock")),
            file: ConfigArgs {
                config: Some(PathBuf::from("/nonexistent.toml")),
            },
        };
        assert_eq!(place.socket(), Ok(PathBuf::from("/a.sock")));
    }

    #[test]
    fn the_configuration_names_it_and_the_environment_overrides_that() {
        let with = format!("[control]\nsocket = \"/run/a.sock\"\n{RUN}");
        assert_eq!(found(&with, &[]), Ok(PathBuf::from("/run/a.sock")));
        let override_ = ("DELIUS_SIDECAR__CONTROL__SOCKET".to_owned(), "/run/b.sock".to_owned());
        assert_eq!(found(&with, &[override_]), Ok(PathBuf::from("/run/b.sock")));
    }

    #[test]
    fn without_control_the_error_shows_the_lines_to_add() {
        let said = found(RUN, &[]).expect_err("none is configured");
        for part in [
            "config.toml has no [control]",
            "socket = \"/run/delius-sidecar/control.sock\"",
            "--control",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_configuration_that_cannot_be_used_is_shown_with_the_way_round_it() {
        let said = found("[control]\nsockt = 1\n", &[]).expect_err("wrong");
        assert!(said.contains("sockt") && said.contains("--control PATH"), "{said}");
        let missing = configured(Some(Path::new("/nonexistent.toml")), &[]).expect_err("missing");
        assert!(missing.contains("/nonexistent.toml"), "{missing}");
    }
}

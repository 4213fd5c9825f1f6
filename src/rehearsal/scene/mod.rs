//! The stage of demo and rehearsal: stand-ins, gateway and sidecar, running, each in front of the next.
//!
//! ```text
//! we (as the app) ─HTTP─▶ sidecar ═mutual TLS═▶ gateway ─HTTP─▶ Delius stand-in
//!                            ╚═TLS, OAuth token═▶ stand-in of the read API (standard), token from the Auth stand-in
//! ```
//!
//! Gateway and sidecar are the program itself, started with configuration files as an operator would write them. All
//! of it ends, and its files go, when the [`Scene`] is dropped.

mod configuration;
mod programs;
mod standard_side;

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::child::{Child, ChildError, Stop};
use super::delius::{Data, DataError};
use super::papers::Papers;
use super::place;
use super::standin::{DeliusStandIn, Options, Running};
use crate::cert::issue::IssueError;
use crate::clock;
use configuration::Sidecar;

pub use standard_side::{CLIENT, CLIENT_ID, CLIENT_SECRET, FIRST_CLIENT, StandardSide, TOKEN, pair, secret, trust};

/// The group whose two legs are compared.
pub const UNIT: &str = "person";

const GATEWAY_CONFIG: &str = "gateway.toml";
const SIDECAR_CONFIG: &str = "sidecar.toml";
const SIDECAR_CONTROL: &str = "sidecar.sock";
const GATEWAY_CONTROL: &str = "gateway.sock";

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    #[error("the embedded people cannot be used: {0}")]
    Data(#[from] DataError),
    #[error("the throw-away certificates cannot be made: {0}")]
    Certificates(#[from] IssueError),
    #[error("a stand-in cannot start: {0}")]
    StandIn(io::Error),
    #[error("cannot write the demo's files below {place}: {error}")]
    Files { place: PathBuf, error: io::Error },
    #[error(transparent)]
    Child(#[from] ChildError),
}

/// What a scene is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Demo,
    /// Real load: requests leave no line in the log.
    Rehearsal {
        /// Leave the files where they are, also when the stage cannot be set.
        keep: bool,
    },
}

/// Who takes a certificate into use when its trial is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    Automatic,
    Manual,
}

/// Everything that runs. The order of the fields is the order in which it ends.
#[derive(Debug)]
pub struct Scene {
    sidecar: Child,
    gateway: Child,
    delius: Running,
    standard: StandardSide,
    papers: Papers,
    purpose: Purpose,
    directory: tempfile::TempDir,
}

/// What the steps look at: both ends of the path and the papers to try the door with.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    pub sidecar: SocketAddr,
    pub gateway: SocketAddr,
    pub delius: &'a Running,
    pub papers: &'a Papers,
}

impl Scene {
    /// Sets the stage with `program` as sidecar and gateway, and its files in a new directory below `base`.
    pub fn set(program: &Path, base: &Path, purpose: Purpose, stop: &Stop) -> Result<Self, SceneError> {
        let mut place = tempfile::Builder::new();
        let place = place
            .prefix(match purpose {
                Purpose::Demo => "delius-sidecar-demo-",
                Purpose::Rehearsal { .. } => "delius-sidecar-rehearsal-",
            })
            .disable_cleanup(purpose == Purpose::Rehearsal { keep: true })
            .permissions(Permissions::from_mode(0o700));
        let directory = place.tempdir_in(base).map_err(|error| SceneError::Files {
            place: base.to_owned(),
            error,
        })?;
        let path = directory.path();
        let written = |error| SceneError::Files {
            place: path.to_owned(),
            error,
        };
        let papers = Papers::issue(clock::unix_seconds())?;
        papers.write(path).map_err(written)?;
        let standard = StandardSide::set(path, clock::unix_seconds())?;
        let delius = DeliusStandIn::start(Options::new(Data::embedded()?)).map_err(SceneError::StandIn)?;
        let config = path.join(GATEWAY_CONFIG);
        std::fs::write(&config, configuration::gateway(path, delius.address(), purpose, None)).map_err(written)?;
        let gateway = Child::start(program, "gateway", &config, path, stop)?;
        let config = path.join(SIDECAR_CONFIG);
        let text = Sidecar {
            directory: path,
            gateway: gateway.ready().listen,
            auth: standard.auth.url(),
            standard: standard.api.url(),
            purpose,
            promotion: Promotion::Automatic,
            compare: false,
        };
        std::fs::write(&config, text.text()).map_err(written)?;
        let sidecar = Child::start(program, "run", &config, path, stop)?;
        Ok(Self {
            sidecar,
            gateway,
            delius,
            standard,
            papers,
            purpose,
            directory,
        })
    }

    #[must_use]
    pub const fn stage(&self) -> Stage<'_> {
        Stage {
            sidecar: self.sidecar.ready().listen,
            gateway: self.gateway.ready().listen,
            delius: &self.delius,
            papers: &self.papers,
        }
    }

    /// The other end of the standard route.
    #[must_use]
    pub const fn standard(&self) -> &StandardSide {
        &self.standard
    }

    /// The sidecar's read-only listener: probes and metrics.
    #[must_use]
    pub const fn observe(&self) -> Option<SocketAddr> {
        self.sidecar.ready().observe
    }

    /// Configuration, certificates and logs of this scene.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The sidecar's control socket.
    #[must_use]
    pub fn sidecar_control(&self) -> PathBuf {
        self.directory().join(SIDECAR_CONTROL)
    }

    /// The sidecar's configuration, as it is now.
    #[must_use]
    pub fn sidecar_config(&self) -> PathBuf {
        self.directory().join(SIDECAR_CONFIG)
    }

    /// Everything that the sidecar has said.
    pub fn sidecar_log(&self) -> io::Result<String> {
        self.sidecar.log()
    }

    /// The gateway's control socket.
    #[must_use]
    pub fn gateway_control(&self) -> PathBuf {
        self.directory().join(GATEWAY_CONTROL)
    }

    /// Writes the sidecar's configuration anew; it notices by itself.
    pub fn set_promotion(&self, promotion: Promotion) -> io::Result<()> {
        self.configure(promotion, false)
    }

    /// Has the legs compared also where standard answers; the sidecar notices by itself.
    pub fn set_compare(&self) -> io::Result<()> {
        self.configure(Promotion::Automatic, true)
    }

    fn configure(&self, promotion: Promotion, compare: bool) -> io::Result<()> {
        let sidecar = Sidecar {
            directory: self.directory(),
            gateway: self.gateway.ready().listen,
            auth: self.standard.auth.url(),
            standard: self.standard.api.url(),
            purpose: self.purpose,
            promotion,
            compare,
        };
        place::rename(self.directory(), &[(SIDECAR_CONFIG, &sidecar.text())])
    }

    /// Writes the gateway's list anew: the application with any certificate, or only with the one of this SHA-256. It
    /// notices by itself.
    pub fn set_list(&self, only: Option<&str>) -> io::Result<()> {
        let text = configuration::gateway(self.directory(), self.delius.address(), self.purpose, only);
        place::rename(self.directory(), &[(GATEWAY_CONFIG, &text)])
    }

    /// A child that ended although nobody asked it to, with the end of its log.
    pub fn lost(&mut self) -> Option<String> {
        for (name, child) in [("the sidecar", &mut self.sidecar), ("the gateway", &mut self.gateway)] {
            if let Some(status) = child.ended() {
                return Some(format!("{name} ended ({status}):\n{}", child.end_of_log()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_cannot_serve_leaves_no_files_behind() {
        let stop = Stop::default();
        let base = tempfile::tempdir().unwrap();
        let error = Scene::set(Path::new("/bin/false"), base.path(), Purpose::Demo, &stop).unwrap_err();
        assert!(matches!(error, SceneError::Child(ChildError::Ended { .. })), "{error}");
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }
}

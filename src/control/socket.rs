//! The socket file: never open to anybody else, never taken from a process that answers on it, gone with the listener.
//!
//! A socket is created with whatever mode the umask leaves, and the umask belongs to the whole process. So it is bound in a
//! directory of its own that nobody else may enter, closed to others there, and only then moved to its place, which in one
//! step also replaces what a killed process left behind.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// The bound control socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: UnixListener,
    pub(super) place: Place,
}

/// The file of the socket, removed on drop if it is still ours.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for Place {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Why the control socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "the control socket cannot be put at {}: there is no directory {}; make it (in Kubernetes an emptyDir), or change \
         `control.socket`", path.display(), directory.display()
    )]
    NoDirectory { path: PathBuf, directory: PathBuf },
    #[error(
        "the control socket {} is in use: another process answers on it; give each process its own `control.socket`",
        .0.display()
    )]
    InUse(PathBuf),
    #[error("the control socket cannot be put at {}: a file that is no socket is in its place", .0.display())]
    Occupied(PathBuf),
    #[error("the control socket cannot be put at {}: {error}; the directory must be writable for this \
         user, and the path at most 107 bytes long", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Binds the control socket with mode 0600. A file that was left behind is replaced if nobody answers on it.
///
/// # Errors
/// [`BindError`]; nothing was changed then.
pub fn bind(path: &Path) -> Result<Listener, BindError> {
    let failed = |error| BindError::Io {
        path: path.to_owned(),
        error,
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(BindError::NoDirectory {
            path: path.to_owned(),
            directory: directory.to_owned(),
        });
    }
    // The kernel would take the shorter path that is bound first, and nobody could connect to this one.
    SockAddr::unix(path).map_err(failed)?;
    vacant(path)?;
    let private = tempfile::Builder::new()
        .prefix(".")
        .rand_bytes(6)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(directory)
        .map_err(failed)?;
    let beside = private.path().join("s");
    let socket = UnixListener::bind(&beside).map_err(failed)?;
    fs::set_permissions(&beside, Permissions::from_mode(0o600)).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let facts = fs::symlink_metadata(&beside).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    Ok(Listener {
        socket,
        place: Place {
            path: path.to_owned(),
            identity: (facts.dev(), facts.ino()),
        },
    })
}

/// Nothing is there, or a socket on which nobody answers.
fn vacant(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::Occupied(path.to_owned())),
        Ok(_) => {}
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        // Nobody accepts at the moment, but somebody listens.
        Ok(_) => Err(BindError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(BindError::InUse(path.to_owned())),
        Err(error) => Err(BindError::Io {
            path: path.to_owned(),
            error,
        }),
    }
}

/// Connects without waiting: `WouldBlock` where as many wait already as may.
pub(super) fn connect(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("there").permissions().mode() & 0o7777
    }

    #[test]
    fn the_socket_belongs_to_its_user_alone_and_goes_with_the_listener() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        let listener = bind(&path).expect("bound");
        assert_eq!(mode(&path), 0o600);
        assert!(connect(&path).is_ok());
        assert_eq!(
            fs::read_dir(directory.path()).expect("listed").count(),
            1,
            "something was left beside it"
        );
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_replaced_and_what_answers_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(path.exists(), "left behind");
        let listener = bind(&path).expect("replaced");
        assert!(matches!(bind(&path), Err(BindError::InUse(_))));
        assert!(connect(&path).is_ok(), "the first still answers");
        drop(listener);
    }

    #[test]
    fn a_socket_that_another_has_put_in_its_place_is_not_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        let first = bind(&path).expect("bound");
        fs::remove_file(&path).expect("removed");
        let second = bind(&path).expect("bound");
        drop(first);
        assert!(connect(&path).is_ok());
        drop(second);
    }

    #[test]
    fn an_error_names_the_path_and_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = bind(&directory.path().join("no/control.sock")).expect_err("no directory");
        assert!(missing.to_string().contains("/no; make it"), "{missing}");
        let file = directory.path().join("precious");
        fs::write(&file, "precious").expect("written");
        let occupied = bind(&file).expect_err("a file");
        assert!(
            occupied.to_string().contains("precious: a file that is no socket"),
            "{occupied}"
        );
        assert_eq!(fs::read_to_string(&file).expect("still there"), "precious");
        let long = bind(&directory.path().join("x".repeat(200))).expect_err("too long to connect to");
        assert!(long.to_string().contains("xxx"), "{long}");
    }
}

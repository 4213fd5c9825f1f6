//! Listeners: bound before anything is served, one socket for each worker.
//!
//! Workers share nothing, so each has its own listening socket on the same address (SO_REUSEPORT) and the kernel deals
//! the connections out. One worker takes a plain socket: a second process on the same port must be an error, not a
//! silent share. A Unix socket cannot be dealt out; there the workers accept from one socket.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::stream::Stream;
use crate::config::settings::Address;

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 4096;

/// A bound socket that no runtime knows yet.
#[derive(Debug)]
pub enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// A listening socket of a worker's runtime.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds `workers` sockets to one address; with port 0 the kernel chooses and all take the same.
///
/// # Errors
/// Those of the operating system, for instance when the address is in use.
pub fn bind(address: &Address, workers: usize) -> io::Result<Vec<Bound>> {
    match address {
        Address::Tcp(address) if workers <= 1 => Ok(vec![Bound::Tcp(tcp(*address, false)?)]),
        Address::Tcp(address) => {
            // Another program on the port would share it silently under SO_REUSEPORT: look first.
            let address = tcp(*address, false)?.local_addr()?;
            (0..workers).map(|_| tcp(address, true).map(Bound::Tcp)).collect()
        }
        Address::Unix(path) => {
            let first = unix(path)?;
            (1..workers)
                .map(|_| first.try_clone())
                .collect::<io::Result<Vec<_>>>()
                .map(|mut more| {
                    more.push(first);
                    more.into_iter().map(Bound::Unix).collect()
                })
        }
    }
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it: one system call for all connections.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    // What a process that was killed left behind may be removed; a socket that somebody serves, or another kind of file, not.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && std::os::unix::net::UnixStream::connect(path).is_err()
    {
        std::fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    // As open as loopback: every container of the pod that mounts the directory may connect, whatever its user.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

impl Bound {
    /// The address as bound: with the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().map_or_else(|_| "?".to_owned(), |a| a.to_string()),
            Self::Unix(unix) => match unix
                .local_addr()
                .ok()
                .and_then(|a| a.as_pathname().map(Path::to_path_buf))
            {
                Some(path) => format!("unix:{}", path.display()),
                None => "unix:?".to_owned(),
            },
        }
    }

    /// Registers the socket with the runtime of this thread.
    ///
    /// # Errors
    /// When there is no runtime, or it cannot take the socket.
    pub fn register(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(tcp) => TcpListener::from_std(tcp).map(Listener::Tcp),
            Self::Unix(unix) => UnixListener::from_std(unix).map(Listener::Unix),
        }
    }
}

impl Listener {
    /// Waits for a connection.
    ///
    /// # Errors
    /// Those of `accept`: out of file descriptors, or a connection that was gone before it was taken.
    pub async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(unix) => unix.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Address {
        Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    #[test]
    fn workers_share_one_port_and_a_second_program_is_refused() {
        let bound = bind(&loopback(), 3).unwrap();
        let address = bound[0].address();
        assert!(bound.iter().all(|b| b.address() == address) && bound.len() == 3);
        let taken = Address::Tcp(address.parse().unwrap());
        assert_eq!(bind(&taken, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind(&taken, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_served_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let address = Address::Unix(dir.path().join("http.sock"));
        let first = bind(&address, 2).unwrap();
        assert_eq!(bind(&address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(bind(&address, 1).is_ok());
        std::fs::write(dir.path().join("file"), "precious").unwrap();
        assert!(bind(&Address::Unix(dir.path().join("file")), 1).is_err());
    }
}

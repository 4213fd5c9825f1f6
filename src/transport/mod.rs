//! Sockets and TLS: listeners, dialling, one stream type for all of them, and a buffer that is only held while bytes
//! are in it. Knows nothing of routes or of HTTP beyond "a connection carries messages".

pub mod buffer;
pub mod dial;
pub mod listen;
pub mod look;
pub mod memory;
pub mod session;
pub mod stream;
pub mod tls;
pub mod watchdog;

//! The idle connections that a worker keeps to one upstream: all of one generation.
//!
//! The last one laid aside is the first one taken, so that a quiet hour lets the surplus age and be closed. A
//! connection of another generation than the one in force is never taken and never kept. HTTP/2 connections are kept
//! while they are in use too; letting go of one ends it after its last stream.

use tokio::time::Instant;

use super::connection::Connection;
use super::multiplex::{Lease, Multiplexed};
use crate::config::settings::Pool as Settings;
use crate::transport::buffer::Spares;

/// Idle connections of the generation in force.
#[derive(Debug, Default)]
pub struct Pool {
    idle: Vec<Connection>,
    shared: Vec<Multiplexed>,
    /// Although HTTP/2 was offered, the server chose HTTP/1.1 when it was last dialled.
    pub declines_http2: bool,
    /// The generation in force; 0 while there is none.
    generation: u64,
}

impl Pool {
    /// From now on only this generation is kept and lent; idle connections of any other are closed at once.
    pub fn promote(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.declines_http2 = false;
            self.clear();
        }
    }

    /// Lends the connection used last, if it is still good.
    pub fn take(&mut self, settings: &Settings, spares: &Spares, now: Instant) -> Option<Connection> {
        while let Some(mut connection) = self.idle.pop() {
            if now < connection.idle_since + settings.idle_time && connection.is_alive(spares) {
                return Some(connection);
            }
        }
        None
    }

    /// A place on an HTTP/2 connection that has one.
    pub fn share(&mut self, settings: &Settings, now: Instant) -> Option<Lease> {
        self.shared.retain_mut(|connection| connection.is_good(settings, now));
        self.shared
            .iter()
            .find(|connection| connection.has_room())
            .map(Multiplexed::lend)
    }

    /// Keeps an HTTP/2 connection for others to share.
    pub fn keep(&mut self, connection: Multiplexed) {
        if connection.generation().number == self.generation {
            self.shared.push(connection);
        }
    }

    /// Takes a connection back after a reply that left it clean; closes it when it is surplus, old or outdated.
    pub fn put(&mut self, mut connection: Connection, settings: &Settings, spares: &Spares, now: Instant) {
        let keep = connection.rest(spares, now)
            && connection.generation.number == self.generation
            && self.idle.len() < settings.idle
            && now < connection.born + settings.max_age;
        if keep {
            self.idle.push(connection);
        }
    }

    /// Closes what has been idle too long, or has been closed by the other side.
    pub fn sweep(&mut self, settings: &Settings, spares: &Spares, now: Instant) {
        self.idle.retain_mut(|connection| {
            now < connection.idle_since + settings.idle_time
                && now < connection.born + settings.max_age
                && connection.is_alive(spares)
        });
        let mut idle = 0;
        self.shared.retain_mut(|connection| {
            idle += usize::from(connection.is_idle());
            connection.is_good(settings, now) && (!connection.is_idle() || idle <= settings.idle)
        });
    }

    /// Closes all of them; HTTP/2 connections when their streams are done.
    pub fn clear(&mut self) {
        self.idle.clear();
        self.shared.clear();
    }
}

//! A read buffer that is borrowed from the worker while bytes are in it, and given back when they are gone: an idle
//! connection holds none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::stream::Stream;

/// Room for a request's head and a small body; grows when a head needs more.
const SMALL: usize = 16 * 1024;
/// Room for what an upstream sends at a time: five TLS records, one more than 64 KB of content and its head take. More
/// would help large replies a little, and be held by each caller that does not read.
const LARGE: usize = 5 * RECORD;
/// Payload of a TLS record (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;
/// Unused buffers of each size that a worker keeps. Making one means writing zeros into all of it, so a usual number of
/// requests under way should find theirs here.
const KEPT: usize = 64;

/// The worker's unused buffers.
#[derive(Debug, Default)]
pub struct Spares {
    small: RefCell<Shelf>,
    large: RefCell<Shelf>,
    /// For bytes to be written.
    outgoing: RefCell<Shelf>,
}

/// Buffers of one size. The last one laid down is the first one taken, so that what is not needed stays below.
#[derive(Debug, Default)]
struct Shelf {
    buffers: Vec<Vec<u8>>,
    /// How many were not touched since the last [`Spares::trim`].
    untouched: usize,
}

impl Shelf {
    fn take(&mut self) -> Option<Vec<u8>> {
        let taken = self.buffers.pop();
        self.untouched = self.untouched.min(self.buffers.len());
        taken
    }

    fn lay_down(&mut self, buffer: Vec<u8>) {
        if self.buffers.len() < KEPT {
            self.buffers.push(buffer);
        }
    }

    fn trim(&mut self) {
        self.buffers.drain(..self.untouched);
        self.untouched = self.buffers.len();
    }
}

/// How much a buffer should hold from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Small,
    Large,
}

impl Spares {
    /// Lets go of what was not needed since the last call: what a burst took shall not be held for ever.
    pub fn trim(&self) {
        for shelf in [&self.small, &self.large, &self.outgoing] {
            shelf.borrow_mut().trim();
        }
    }

    fn of(&self, size: Size) -> (&RefCell<Shelf>, usize) {
        match size {
            Size::Small => (&self.small, SMALL),
            Size::Large => (&self.large, LARGE),
        }
    }

    /// Memory for bytes to be written, empty; to be given back with [`Self::keep_outgoing`].
    #[must_use]
    pub fn outgoing(&self) -> Vec<u8> {
        self.outgoing.borrow_mut().take().unwrap_or_default()
    }

    /// Takes such memory back once its bytes are written.
    pub fn keep_outgoing(&self, mut memory: Vec<u8>) {
        if memory.capacity() > 0 && memory.capacity() <= SMALL {
            memory.clear();
            self.outgoing.borrow_mut().lay_down(memory);
        }
    }
}

/// Bytes read and not yet consumed.
#[derive(Debug)]
pub struct Buffer {
    size: Size,
    /// Initialised memory; empty while nothing is borrowed.
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// A buffer without memory.
    #[must_use]
    pub fn new(size: Size) -> Self {
        Self {
            size,
            memory: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Borrows memory, unless it has some.
    pub fn borrow(&mut self, spares: &Spares) {
        if self.memory.is_empty() {
            let (shelf, bytes) = spares.of(self.size);
            self.memory = shelf.borrow_mut().take().unwrap_or_else(|| vec![0; bytes]);
        }
    }

    /// Gives the memory back if no byte is in it.
    pub fn give_back(&mut self, spares: &Spares) {
        if self.start == self.end && !self.memory.is_empty() {
            let memory = std::mem::take(&mut self.memory);
            (self.start, self.end) = (0, 0);
            let (shelf, bytes) = spares.of(self.size);
            if memory.len() == bytes {
                shelf.borrow_mut().lay_down(memory);
            }
        }
    }

    /// The bytes at hand.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// No byte is at hand.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// There is no room for another byte, unless [`Self::grow`] makes some.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.end - self.start == self.memory.len()
    }

    /// There is no room for another whole TLS record of payload.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        self.memory.len() - (self.end - self.start) < RECORD
    }

    /// Drops bytes from the front.
    pub fn consume(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Makes room for at least one more byte, up to `limit` bytes in all; `false` when the limit is reached.
    pub fn grow(&mut self, limit: usize) -> bool {
        if !self.is_full() {
            return true;
        }
        if self.memory.len() >= limit {
            return false;
        }
        let bytes = (self.memory.len() * 2).clamp(SMALL, limit.max(SMALL));
        self.memory.resize(bytes, 0);
        true
    }

    /// Reads once into the room behind the bytes at hand; answers how many came, 0 at the end of the stream.
    ///
    /// # Errors
    /// Those of the stream. A full buffer is an error of the caller's and reads as [`io::ErrorKind::StorageFull`].
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<usize>> {
        if self.end == self.memory.len() {
            if self.start == 0 {
                return Poll::Ready(Err(io::ErrorKind::StorageFull.into()));
            }
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let mut room = ReadBuf::new(&mut self.memory[self.end..]);
        ready!(Pin::new(stream).poll_read(cx, &mut room))?;
        let count = room.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_held_only_while_bytes_are_in_it() {
        let spares = Spares::default();
        let mut buffer = Buffer::new(Size::Small);
        buffer.borrow(&spares);
        buffer.end = 3;
        buffer.give_back(&spares);
        assert_eq!(buffer.filled().len(), 3, "bytes that were not consumed stay");
        buffer.consume(3);
        buffer.give_back(&spares);
        assert!(buffer.memory.is_empty());
        assert_eq!(spares.small.borrow().buffers.len(), 1);
        buffer.borrow(&spares);
        assert!(
            spares.small.borrow().buffers.is_empty(),
            "the same memory is used again"
        );
    }

    #[test]
    fn what_a_burst_took_is_let_go_and_what_is_in_use_is_kept() {
        let spares = Spares::default();
        let kept = || spares.large.borrow().buffers.len();
        let burst = |count: usize| {
            let mut buffers: Vec<_> = (0..count).map(|_| Buffer::new(Size::Large)).collect();
            buffers.iter_mut().for_each(|buffer| buffer.borrow(&spares));
            buffers.iter_mut().for_each(|buffer| buffer.give_back(&spares));
        };
        burst(10);
        spares.trim();
        assert_eq!(kept(), 10, "they were in use until now");
        burst(3);
        spares.trim();
        assert_eq!(kept(), 3);
        spares.trim();
        assert_eq!(kept(), 0, "an idle worker holds none");
    }

    #[test]
    fn it_grows_to_the_limit_and_no_further() {
        let spares = Spares::default();
        let mut buffer = Buffer::new(Size::Small);
        buffer.borrow(&spares);
        buffer.end = SMALL;
        assert!(buffer.grow(SMALL + 5));
        assert_eq!(buffer.memory.len(), SMALL + 5);
        buffer.end = buffer.memory.len();
        assert!(!buffer.grow(SMALL + 5));
    }
}

//! A connection that ends in memory: what is written to it is kept, up to a bound.
//!
//! A reply that has to be understood before anybody gets it is carried exactly like one that streams; only the caller at
//! the end of it is this.

use std::io;

/// Bytes kept up to a bound; nothing ever arrives from it.
#[derive(Debug)]
pub struct Memory {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl Memory {
    /// Holds nothing yet, and never more than `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            full: false,
        }
    }

    /// Keeps all of `bytes`.
    ///
    /// # Errors
    /// When that is more than the bound; nothing more is kept then.
    pub fn keep(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.full || self.bytes.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// What was kept; `None` when it was too much.
    #[must_use]
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        (!self.full).then_some(self.bytes)
    }

    /// More was written than may be kept.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// How much is kept.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing is kept.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_not_kept_in_part() {
        let mut memory = Memory::new(4);
        assert_eq!(memory.keep(b"abc").unwrap(), 3);
        memory.keep(b"de").unwrap_err();
        assert!(memory.is_full());
        memory.keep(b"d").unwrap_err();
        assert_eq!(memory.into_bytes(), None);
    }
}

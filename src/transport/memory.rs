//! A connection that ends in memory: what is written to it is kept, up to a bound.
//!
//! A reply that has to be understood before anybody gets it is carried exactly like one that streams; only the caller at
//! the end of it is this.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes kept up to a bound; nothing ever arrives from it.
#[derive(Debug)]
pub struct Memory {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
    /// What all such memories together may hold.
    share: Option<Share>,
}

/// A bound on bytes that many hold together.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    limit: usize,
}

/// Bytes taken of a budget; given back on drop.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// Nothing is held yet.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            limit,
        })
    }

    /// A share of it; `None`: too much is held already.
    #[must_use]
    pub fn share(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut share = Share {
            budget: self.clone(),
            bytes: 0,
        };
        share.grow(bytes).then_some(share)
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Share {
    fn grow(&mut self, bytes: usize) -> bool {
        // Counted first and looked at afterwards, as requests under way are.
        let before = self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before + bytes <= self.budget.limit
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Memory {
    /// Holds nothing yet, and never more than `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            full: false,
            share: None,
        }
    }

    /// The same, counted in a budget as well.
    #[must_use]
    pub fn within(limit: usize, budget: &Arc<Budget>) -> Self {
        let share = budget.share(0);
        Self {
            full: share.is_none(),
            share,
            ..Self::new(limit)
        }
    }

    /// Keeps all of `bytes`.
    ///
    /// # Errors
    /// When that is more than the bound; nothing more is kept then.
    pub fn keep(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let within = |share: &mut Option<Share>| share.as_mut().is_none_or(|share| share.grow(bytes.len()));
        if self.full || self.bytes.len() + bytes.len() > self.limit || !within(&mut self.share) {
            self.full = true;
            self.bytes = Vec::new();
            self.share = None;
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

    #[test]
    fn all_together_keep_no_more_than_the_budget_and_it_comes_free() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (Memory::within(80, &budget), Memory::within(80, &budget));
        one.keep(&[0; 60]).unwrap();
        other.keep(&[0; 60]).unwrap_err();
        assert_eq!(budget.held(), 60, "what was refused holds nothing");
        assert!(budget.share(50).is_none());
        drop(one);
        assert_eq!(budget.held(), 0);
        assert!(budget.share(50).is_some());
    }
}

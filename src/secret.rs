//! Bytes that never print and are wiped on drop.
//!
//! A [`Secret`] prints as `[secret]` in `Debug` and `Display`, so that no `{:?}` of a struct that holds one can leak
//! it into a log line or an error. The only way to the value is [`Secret::expose`], which is easy to search for.

use std::fmt;

use zeroize::Zeroize;

/// A value that must not appear in any output and does not stay in memory after its last use.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

/// Secret bytes: a token, a password, a key file as read.
pub type SecretBytes = Secret<Vec<u8>>;

impl<T: Zeroize> Secret<T> {
    /// Takes a value into custody.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_secret_prints_as_a_placeholder_wherever_it_sits() {
        #[derive(Debug)]
        struct Holder {
            _token: SecretBytes,
        }
        let secret = Secret::new(String::from("open sesame"));
        let holder = Holder {
            _token: Secret::new(b"open sesame".to_vec()),
        };
        let printed = format!("{secret} {secret:?} {holder:?} {holder:#?}");
        assert!(!printed.contains("sesame") && !printed.contains("111"), "{printed}");
        assert!(printed.starts_with("[secret] [secret]"), "{printed}");
        assert_eq!(secret.expose(), "open sesame");
    }

    #[test]
    fn a_secret_is_wiped_when_it_is_dropped() {
        struct Witness(Arc<AtomicBool>);
        impl Zeroize for Witness {
            fn zeroize(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let wiped = Arc::new(AtomicBool::new(false));
        drop(Secret::new(Witness(Arc::clone(&wiped))));
        assert!(wiped.load(Ordering::SeqCst));
    }
}

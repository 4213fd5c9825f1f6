//! Where a head ends: found while bytes arrive, and refused as soon as they can no longer become one.
//!
//! A bare LF, or a first byte that no message begins with, is an error at once and not after a timeout.

use memchr::memchr;

use super::head::{Bounds, HeadError, is_token};

/// Looks for the end of a head while bytes arrive; remembers how far it looked.
#[derive(Debug, Default)]
pub struct EndFinder {
    line_start: usize,
    seen: usize,
    first_line_done: bool,
}

impl EndFinder {
    /// `buffer` holds the head from its first byte, and has only grown since the last call. Answers the length of the
    /// head (with the empty line) once it is whole.
    ///
    /// # Errors
    /// As soon as what has arrived can no longer become an acceptable head: a bare LF at once, not after a timeout.
    pub fn find(&mut self, buffer: &[u8], bounds: &Bounds) -> Result<Option<usize>, HeadError> {
        while let Some(offset) = memchr(b'\n', &buffer[self.seen..]) {
            let lf = self.seen + offset;
            if lf == 0 || buffer[lf - 1] != b'\r' || lf - 1 < self.line_start {
                return Err(HeadError::BareLf);
            }
            if !self.first_line_done {
                self.first_line_done = true;
                if lf + 1 > bounds.first_line {
                    return Err(HeadError::FirstLineTooLong);
                }
            }
            if lf + 1 > bounds.bytes {
                return Err(HeadError::TooManyBytes);
            }
            let empty = lf - 1 == self.line_start;
            self.seen = lf + 1;
            if empty {
                return Ok(Some(lf + 1));
            }
            self.line_start = lf + 1;
        }
        self.seen = buffer.len();
        if buffer.first().is_some_and(|b| !is_token(*b)) {
            return Err(HeadError::NotHttp);
        }
        if !self.first_line_done && buffer.len() > bounds.first_line {
            return Err(HeadError::FirstLineTooLong);
        }
        if buffer.len() > bounds.bytes {
            return Err(HeadError::TooManyBytes);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        first_line: 100,
        bytes: 1000,
        fields: 5,
    };

    #[test]
    fn limits_act_before_the_head_is_whole() {
        let mut finder = EndFinder::default();
        assert_eq!(finder.find(&[b'a'; 100], &BOUNDS), Ok(None));
        assert_eq!(finder.find(&[b'a'; 101], &BOUNDS), Err(HeadError::FirstLineTooLong));
        let mut long = b"GET / HTTP/1.1\r\n".to_vec();
        long.resize(1001, b'a');
        assert_eq!(EndFinder::default().find(&long, &BOUNDS), Err(HeadError::TooManyBytes));
    }

    #[test]
    fn a_tls_hello_on_the_plain_port_is_refused_at_once() {
        assert_eq!(
            EndFinder::default().find(b"\x16\x03\x01\x02", &BOUNDS),
            Err(HeadError::NotHttp)
        );
    }

    proptest! {
        #[test]
        fn the_end_is_found_wherever_the_bytes_are_cut(cut in 0usize..40) {
            let raw = b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\ntail";
            let mut finder = EndFinder::default();
            let early = finder.find(&raw[..cut.min(raw.len())], &BOUNDS).unwrap();
            let found = match early { Some(end) => Some(end), None => finder.find(raw, &BOUNDS).unwrap() };
            prop_assert_eq!(found, Some(raw.len() - 4));
        }

        #[test]
        fn no_bytes_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = EndFinder::default().find(&raw, &BOUNDS);
        }
    }
}

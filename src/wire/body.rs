//! Content as it passes through: finds the payload in what arrives, and frames it for the other side
//! (RFC 9112 sections 6 and 7).
//!
//! The decoder copies nothing: it says how many bytes of framing to skip and how many bytes of payload follow. Chunk
//! framing is read to the letter; a chunk extension is checked and dropped, trailers are checked and dropped (RFC 9110
//! section 6.5.1 allows it, and nobody here uses them).

use memchr::memchr;

use super::framing::Length;
use super::head::is_token;

/// Bytes that one line of chunk framing (size and extensions) may have.
const MAX_CHUNK_LINE: usize = 256;
/// Bytes that all trailer lines together may have.
const MAX_TRAILERS: usize = 8 * 1024;

/// What to do with the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Drop `skip` bytes; then `data` bytes (at least one) are payload. Call [`Decoder::taken`] as they are taken.
    Data { skip: usize, data: usize },
    /// Drop `skip` bytes; then more input is needed.
    More { skip: usize },
    /// Drop `skip` bytes; the content is complete. What follows belongs to the next message.
    End { skip: usize },
}

/// Chunk framing that says two things, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("a chunk size is not a hexadecimal number of at most 15 digits, directly followed by CRLF or `;`")]
    ChunkSize,
    #[error("a line of chunk framing is longer than 256 bytes")]
    ChunkLineTooLong,
    #[error("a chunk extension holds a byte it cannot")]
    ChunkExtension,
    #[error("a chunk's payload is not followed by CRLF")]
    ChunkEnd,
    #[error("a trailer line is malformed")]
    Trailer,
    #[error("the trailers are larger than 8 KiB")]
    TrailersTooLarge,
}

/// Where in the content the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// That many payload bytes are left.
    Known(u64),
    /// In chunked coding.
    Chunked(Chunk),
    /// Everything until the connection is closed.
    UntilClose,
}

/// Where in chunked coding the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// At a chunk-size line.
    Size,
    /// In a chunk's payload, with that many bytes left.
    Payload(u64),
    /// At the CRLF after a payload.
    AfterPayload,
    /// In the trailers, of which that many bytes have passed.
    Trailers(usize),
    /// Behind the last CRLF.
    Done,
}

impl Decoder {
    /// The decoder for content of this length.
    #[must_use]
    pub fn new(length: Length) -> Self {
        match length {
            Length::Empty => Self::Known(0),
            Length::Known(bytes) => Self::Known(bytes),
            Length::Chunked => Self::Chunked(Chunk::Size),
            Length::UntilClose => Self::UntilClose,
        }
    }

    /// Nothing is left to come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Known(0) | Self::Chunked(Chunk::Done))
    }

    /// Looks at the bytes at hand. Framing that is skipped is behind us after the call; payload is not, until
    /// [`Self::taken`].
    ///
    /// # Errors
    /// [`BodyError`] when the chunk framing is not to the letter.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        match self {
            Self::Known(0) => Ok(Step::End { skip: 0 }),
            Self::Known(left) => Ok(available(0, input.len(), *left)),
            Self::UntilClose => Ok(available(0, input.len(), u64::MAX)),
            Self::Chunked(chunk) => chunk.step(input),
        }
    }

    /// `bytes` of payload were taken.
    pub fn taken(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        match self {
            Self::Known(left) => *left = left.saturating_sub(bytes),
            Self::Chunked(chunk) => {
                if let Chunk::Payload(left) = chunk {
                    *left = left.saturating_sub(bytes);
                    if *left == 0 {
                        *chunk = Chunk::AfterPayload;
                    }
                }
            }
            Self::UntilClose => {}
        }
    }
}

fn available(skip: usize, at_hand: usize, left: u64) -> Step {
    match usize::try_from(left).unwrap_or(usize::MAX).min(at_hand) {
        0 => Step::More { skip },
        data => Step::Data { skip, data },
    }
}

impl Chunk {
    fn step(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let mut skip = 0;
        loop {
            let rest = &input[skip..];
            match self {
                Self::Size => match size_line(rest)? {
                    None => return Ok(Step::More { skip }),
                    Some((length, 0)) => {
                        skip += length;
                        *self = Self::Trailers(0);
                    }
                    Some((length, size)) => {
                        skip += length;
                        *self = Self::Payload(size);
                    }
                },
                Self::Payload(left) => return Ok(available(skip, rest.len(), *left)),
                Self::AfterPayload => match rest {
                    [] | [b'\r'] => return Ok(Step::More { skip }),
                    [b'\r', b'\n', ..] => {
                        skip += 2;
                        *self = Self::Size;
                    }
                    _ => return Err(BodyError::ChunkEnd),
                },
                Self::Trailers(passed) => match trailer_line(rest, *passed)? {
                    None => return Ok(Step::More { skip }),
                    Some(2) => {
                        skip += 2;
                        *self = Self::Done;
                    }
                    Some(length) => {
                        skip += length;
                        *passed += length;
                    }
                },
                Self::Done => return Ok(Step::End { skip }),
            }
        }
    }
}

/// Reads a chunk-size line; answers its length with CRLF, and the size.
fn size_line(input: &[u8]) -> Result<Option<(usize, u64)>, BodyError> {
    let digits = input.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits > 15 || (digits == 0 && !input.is_empty()) {
        return Err(BodyError::ChunkSize);
    }
    let line = match memchr(b'\n', &input[..input.len().min(MAX_CHUNK_LINE)]) {
        Some(lf) => &input[..=lf],
        None if input.len() >= MAX_CHUNK_LINE => return Err(BodyError::ChunkLineTooLong),
        None => {
            // What can no longer become a size line is refused now and not after a timeout.
            return match input.get(digits) {
                None | Some(b'\r' | b';') => Ok(None),
                Some(_) => Err(BodyError::ChunkSize),
            };
        }
    };
    let content = line.strip_suffix(b"\r\n").ok_or(BodyError::ChunkSize)?;
    match content.get(digits) {
        None => {}
        Some(b';') if content[digits..].iter().all(|b| matches!(b, 0x20..=0x7e | b'\t')) => {}
        Some(b';') => return Err(BodyError::ChunkExtension),
        Some(_) => return Err(BodyError::ChunkSize),
    }
    let value = |b: &u8| (*b as char).to_digit(16).map_or(0, u64::from);
    let size = content[..digits].iter().fold(0u64, |n, b| n << 4 | value(b));
    Ok(Some((line.len(), size)))
}

/// Reads one trailer line (or the empty last one); answers its length with CRLF.
fn trailer_line(input: &[u8], passed: usize) -> Result<Option<usize>, BodyError> {
    let Some(lf) = memchr(b'\n', input) else {
        return if passed + input.len() > MAX_TRAILERS {
            Err(BodyError::TrailersTooLarge)
        } else {
            Ok(None)
        };
    };
    if passed + lf > MAX_TRAILERS {
        return Err(BodyError::TrailersTooLarge);
    }
    let content = input[..lf].strip_suffix(b"\r").ok_or(BodyError::Trailer)?;
    if content.is_empty() {
        return Ok(Some(2));
    }
    let colon = memchr(b':', content).ok_or(BodyError::Trailer)?;
    let (name, value) = content.split_at(colon);
    let acceptable = !name.is_empty()
        && name.iter().all(|b| is_token(*b))
        && value.iter().all(|b| *b >= 0x20 && *b != 0x7f || *b == b'\t');
    if acceptable {
        Ok(Some(lf + 1))
    } else {
        Err(BodyError::Trailer)
    }
}

/// Writes the size line of a chunk with `size` bytes of payload.
pub fn chunk_head(out: &mut Vec<u8>, size: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(HEX[size >> (digit * 4) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// What follows each chunk's payload.
pub const CHUNK_TAIL: &[u8] = b"\r\n";
/// What ends chunked content.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `input` in pieces of the given size, as a socket would; answers payload and what follows the content.
    fn decode(input: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>), BodyError> {
        let mut decoder = Decoder::new(Length::Chunked);
        let (mut payload, mut held, mut source) = (Vec::new(), Vec::new(), input.chunks(piece.max(1)));
        loop {
            match decoder.step(&held)? {
                Step::Data { skip, data } => {
                    payload.extend_from_slice(&held[skip..skip + data]);
                    held.drain(..skip + data);
                    decoder.taken(data);
                }
                Step::More { skip } => {
                    held.drain(..skip);
                    match source.next() {
                        Some(more) => held.extend_from_slice(more),
                        None => return Err(BodyError::ChunkEnd),
                    }
                }
                Step::End { skip } => {
                    held.drain(..skip);
                    held.extend(source.flatten());
                    return Ok((payload, held));
                }
            }
        }
    }

    #[test]
    fn chunked_content_is_taken_apart_and_what_follows_is_left() {
        let input = b"5\r\nhello\r\n6;name=\"v\"\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\nGET /";
        for piece in 1..input.len() {
            assert_eq!(
                decode(input, piece),
                Ok((b"hello world".to_vec(), b"GET /".to_vec())),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn doubtful_chunk_framing_is_refused() {
        use BodyError as E;
        for (input, error) in [
            (&b"5\nhello\r\n0\r\n\r\n"[..], E::ChunkSize),
            (b"5 \r\nhello\r\n0\r\n\r\n", E::ChunkSize),
            (b" 5\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
            (b"0x5\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
            (b"+5\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
            (b"-5\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
            (b"\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
            (b"1000000000000000\r\n", E::ChunkSize),
            (b"5;a\x01\r\nhello\r\n0\r\n\r\n", E::ChunkExtension),
            (b"5;a\rb\r\nhello\r\n0\r\n\r\n", E::ChunkExtension),
            (b"5;a\nhello\r\n0\r\n\r\n", E::ChunkSize),
            (b"5\r\nhelloX\r\n0\r\n\r\n", E::ChunkEnd),
            (b"5\r\nhello\n0\r\n\r\n", E::ChunkEnd),
            (b"0\r\nbad trailer\r\n\r\n", E::Trailer),
            (b"0\r\nX: 1\n\r\n", E::Trailer),
            (b"0\r\n X: 1\r\n\r\n", E::Trailer),
        ] {
            assert_eq!(
                decode(input, input.len()).err(),
                Some(error),
                "{}",
                String::from_utf8_lossy(input)
            );
        }
        let long = [b"5;".as_slice(), &[b'a'; 300], b"\r\nhello\r\n0\r\n\r\n"].concat();
        assert_eq!(decode(&long, 7).err(), Some(E::ChunkLineTooLong));
        let trailers = [b"0\r\n".as_slice(), &b"X: 123456789\r\n".repeat(1000), b"\r\n"].concat();
        assert_eq!(decode(&trailers, 100).err(), Some(E::TrailersTooLarge));
    }

    #[test]
    fn a_known_length_takes_no_byte_of_the_next_message() {
        let mut decoder = Decoder::new(Length::Known(3));
        assert_eq!(decoder.step(b"abcdef"), Ok(Step::Data { skip: 0, data: 3 }));
        decoder.taken(3);
        assert_eq!(decoder.step(b"def"), Ok(Step::End { skip: 0 }));
        assert!(decoder.is_done());
    }

    #[test]
    fn chunk_heads_are_hexadecimal() {
        for size in [1, 9, 10, 15, 16, 255, 256, 65_536, 0xabc_def] {
            let mut out = Vec::new();
            chunk_head(&mut out, size);
            assert_eq!(out, format!("{size:x}\r\n").into_bytes());
        }
    }

    proptest! {
        #[test]
        fn what_is_framed_is_decoded_again(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..6), piece in 1usize..64) {
            let mut framed = Vec::new();
            for chunk in &chunks {
                chunk_head(&mut framed, chunk.len());
                framed.extend_from_slice(chunk);
                framed.extend_from_slice(CHUNK_TAIL);
            }
            framed.extend_from_slice(LAST_CHUNK);
            prop_assert_eq!(decode(&framed, piece), Ok((chunks.concat(), Vec::new())));
        }

        #[test]
        fn no_bytes_make_it_panic_and_cuts_change_nothing(input in "[0-9a-fA-F;x \r\n]{0,40}", piece in 1usize..8) {
            prop_assert_eq!(decode(input.as_bytes(), piece).ok(), decode(input.as_bytes(), 1000).ok());
        }
    }
}

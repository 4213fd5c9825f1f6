//! What rustls makes of ciphertext: its unbuffered interface, one state at a time.
//!
//! It has rules of its own, which it asserts: the bytes that are left are handed over again as they were, since it
//! remembers where in them the messages lie; and after an error it is asked for the alert that it has to send and for
//! nothing else.

use std::io;

use rustls::Error;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use tokio::io::ReadBuf;

use super::{OVERHEAD, Session, invalid};

/// What one step of rustls came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more to do with the bytes at hand.
    Again,
    /// The handshake needs bytes of the other side.
    Blocked,
    /// Nothing is left to do with the bytes at hand; payload can be sent.
    Open,
    /// The reader's room is used up.
    Full,
    /// rustls gave up: [`Session::failed`] says why.
    Failed,
}

impl Session {
    /// Lets rustls work on the bytes that are kept, until nothing more can be made of them.
    pub(super) fn process_kept(&mut self, into: &mut ReadBuf<'_>) -> io::Result<Step> {
        let mut bytes = std::mem::take(&mut self.arrived);
        let (used, step) = self.process(&mut bytes, into);
        if used < bytes.len() {
            bytes.drain(..used);
            self.arrived = bytes;
        }
        self.outcome(step)
    }

    /// The same for any ciphertext; also says how much of it is used up. `into` holds nothing yet.
    pub(super) fn process(&mut self, bytes: &mut [u8], into: &mut ReadBuf<'_>) -> (usize, Step) {
        if self.failed.is_some() {
            return (0, Step::Failed);
        }
        let mut used = 0;
        loop {
            let (discard, step) = self.step(&mut bytes[used..], into);
            used += discard;
            match step {
                Step::Again => {}
                Step::Failed => {
                    self.say_why(&mut bytes[used..]);
                    return (used, step);
                }
                _ => return (used, step),
            }
        }
    }

    /// A step that failed, with its reason.
    pub(super) fn outcome(&self, step: Step) -> io::Result<Step> {
        match &self.failed {
            Some(error) if step == Step::Failed => Err(invalid(error.clone())),
            _ => Ok(step),
        }
    }

    /// The answer is small on purpose: this runs for each record, and rustls' errors are large.
    fn step(&mut self, bytes: &mut [u8], into: &mut ReadBuf<'_>) -> (usize, Step) {
        let UnbufferedStatus { discard, state } = self.tls.process_tls_records(bytes);
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let length = traffic.peek_len().map_or(0, usize::from);
                // The first record is cut where it must be; others wait for a reader with room.
                self.holds = length > into.remaining() && !into.filled().is_empty();
                if self.holds {
                    return (discard, Step::Full);
                }
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        let (now, later) = record.payload.split_at(length.min(into.remaining()));
                        into.put_slice(now);
                        self.opened.extend_from_slice(later);
                        Step::Again
                    }
                    Some(Err(error)) => self.fail(error),
                    None => Step::Again,
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                let encoded = encode(&mut self.leaving, |room| match message.encode(room) {
                    Ok(count) => Ok(count),
                    Err(EncodeError::InsufficientSize(wanted)) => Err(Some(wanted.required_size)),
                    Err(EncodeError::AlreadyEncoded) => Err(None),
                });
                if encoded {
                    Step::Again
                } else {
                    self.fail(Error::General(String::from("a message could not be encoded")))
                }
            }
            Ok(ConnectionState::TransmitTlsData(sent)) => {
                // It is ours now: `leaving` goes out before anything else.
                sent.done();
                Step::Again
            }
            Ok(ConnectionState::PeerClosed) => {
                self.closed = true;
                Step::Again
            }
            Ok(ConnectionState::Closed) => {
                self.closed = true;
                Step::Open
            }
            Ok(ConnectionState::BlockedHandshake) => Step::Blocked,
            Ok(ConnectionState::WriteTraffic(_)) => Step::Open,
            Ok(_) => self.fail(Error::General(String::from("an unexpected state of the session"))),
            Err(error) => self.fail(error),
        };
        (discard, step)
    }

    fn fail(&mut self, error: Error) -> Step {
        self.failed.get_or_insert(error);
        Step::Failed
    }

    /// After an error: the other side's operators shall read the alert in their log. `bytes` are those that are left:
    /// rustls remembers where in them the messages lie. It is asked for what it has to send and for nothing else.
    fn say_why(&mut self, bytes: &mut [u8]) {
        let mut none = ReadBuf::new(&mut []);
        while self.tls.wants_write() && self.step(bytes, &mut none) == (0, Step::Again) {}
        if !self.leaving.is_empty() {
            let _ = self.tcp.try_write(&self.leaving);
            self.leaving.clear();
        }
    }
}

/// Appends what `write` puts into the room that it is given; it answers how much room it needs when that is too little.
/// `false`: it can't.
fn encode(leaving: &mut Vec<u8>, mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>) -> bool {
    let before = leaving.len();
    let mut room = OVERHEAD;
    loop {
        leaving.resize(before + room, 0);
        match write(&mut leaving[before..]) {
            Ok(count) => {
                leaving.truncate(before + count);
                return true;
            }
            Err(Some(wanted)) if wanted > room => room = wanted,
            Err(_) => {
                leaving.truncate(before);
                return false;
            }
        }
    }
}

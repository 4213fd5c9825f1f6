//! Lines of the program's events on their way to stdout, without their author ever waiting for whoever reads it.
//!
//! Workers say something now and then (a handshake that was refused), and the main thread says that it drains: were
//! they to write by themselves, a reader that stopped would stop them. One thread writes; while it is stuck, lines
//! beyond a bound are dropped and counted, and the count is the first thing said afterwards.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Lines that wait for the writer.
const QUEUE: usize = 1024;
/// How long the end of the process waits for the last lines.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The way to the writer thread; clones share it.
#[derive(Clone, Debug)]
pub struct Events {
    way: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// The last message; answered by hanging up.
    End(SyncSender<()>),
}

impl Events {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (way, incoming) = channel();
        let events = Self {
            way,
            waiting: Arc::default(),
            dropped: Arc::default(),
        };
        let (waiting, dropped) = (events.waiting.clone(), events.dropped.clone());
        std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || write(output, &incoming, &waiting, &dropped))?;
        Ok(events)
    }

    /// Waits until the last lines are written, but not long: whoever reads stdout may have stopped.
    pub fn close(&self) {
        let (end, ended) = sync_channel(0);
        if self.way.send(Message::End(end)).is_ok() {
            let _ = ended.recv_timeout(LAST_WAIT);
        }
    }
}

/// A whole line in each write. Never waits, and says that all went well: nobody could do anything about it.
impl Write for Events {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let room = self.waiting.fetch_add(1, Ordering::Relaxed) < QUEUE;
        if !room || self.way.send(Message::Line(line.to_vec())).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(mut output: impl Write, incoming: &Receiver<Message>, waiting: &AtomicUsize, dropped: &AtomicU64) {
    for message in incoming {
        let line = match message {
            Message::Line(line) => line,
            Message::End(asked) => return drop(asked),
        };
        // A stdout that is gone leaves nobody to tell.
        let _ = output.write_all(&line).and_then(|()| output.flush());
        waiting.fetch_sub(1, Ordering::Relaxed);
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                lines = lost,
                "whoever reads stdout was too slow: lines of this log were dropped"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A reader that stopped reading: the write ends when the test lets go of the other end.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn closing_waits_for_the_last_line() {
        let written = Written::default();
        let mut events = Events::start(written.clone()).unwrap();
        for number in 0..100 {
            writeln!(events, "{number}").unwrap();
        }
        events.close();
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("0\n") && text.ends_with("99\n"), "{text}");
    }

    #[test]
    fn a_reader_that_stopped_holds_up_nobody_and_memory_is_bounded() {
        let (release, stuck) = channel();
        let mut events = Events::start(Stuck(stuck)).unwrap();
        for _ in 0..3 * QUEUE {
            events.write_all(b"line\n").unwrap();
        }
        assert!(events.waiting.load(Ordering::Relaxed) <= QUEUE);
        assert!(events.dropped.load(Ordering::Relaxed) >= QUEUE as u64);
        let since = Instant::now();
        events.close();
        assert!(since.elapsed() < LAST_WAIT * 2);
        drop(release);
    }
}

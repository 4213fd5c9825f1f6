//! One line per request, without a worker ever waiting for whoever reads stdout.
//!
//! A worker formats lines into a buffer of its own and passes the buffer, full or old, to the one thread that writes;
//! emptied buffers come back, so nothing is allocated in steady state. When the reader is too slow the queue is full
//! and whole buffers are dropped and counted: serving goes on, and the count says that the log has a hole.
//!
//! `worker → AccessBuffer → (bounded queue) → writer thread → stdout, one write a buffer → back to the worker`

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::entry;
use super::exchange::Record;
use super::line::Stamp;
use crate::clock;
use crate::config::settings::{Log, LogFormat};

/// A buffer beyond this is passed on. Passing one on wakes the writer: two changes of threads, which are to be shared by
/// many lines.
const FULL: usize = 64 * 1024;
/// A line older than this is passed on at the next look.
const OLD: Duration = Duration::from_millis(200);
/// Buffers that wait for the writer, of all workers: about a mebibyte.
const QUEUE: usize = 16;
/// Empty buffers that wait for their worker.
const SPARE: usize = 4;
/// How long the end of the process waits for the last lines.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The writer thread; [`AccessLog::close`] ends it.
#[derive(Debug)]
pub struct AccessLog {
    format: LogFormat,
    /// `None`: no access lines are wanted.
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    queue: SyncSender<Full>,
    dropped: Arc<AtomicU64>,
    /// Hangs up when the thread has ended.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

/// Whole lines on their way to the writer.
#[derive(Debug)]
struct Full {
    bytes: Vec<u8>,
    lines: u64,
    home: SyncSender<Vec<u8>>,
}

impl AccessLog {
    /// Starts the thread that writes to `output`, if access lines are wanted.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(log: &Log, output: impl Write + Send + 'static) -> io::Result<Self> {
        let writer = log.access.then(|| Writer::start(output)).transpose()?;
        Ok(Self {
            format: log.format,
            writer,
        })
    }

    /// A buffer for one worker.
    #[must_use]
    pub fn buffer(&self) -> AccessBuffer {
        let way = self.writer.as_ref().map(|writer| {
            let (home, empty) = sync_channel(SPARE);
            Way {
                queue: writer.queue.clone(),
                dropped: writer.dropped.clone(),
                home,
                empty,
            }
        });
        AccessBuffer {
            format: self.format,
            way,
            bytes: Vec::new(),
            lines: 0,
            since: Duration::ZERO,
            stamp: Stamp::default(),
        }
    }

    /// Waits until the last lines are written, but not long: whoever reads stdout may have stopped. The buffers must be
    /// gone by then, or there is no end to wait for.
    pub fn close(self) {
        let Some(Writer {
            queue, ended, thread, ..
        }) = self.writer
        else {
            return;
        };
        drop(queue);
        if ended.recv_timeout(LAST_WAIT) != Err(RecvTimeoutError::Timeout) {
            let _ = thread.join();
        }
    }
}

impl Writer {
    fn start(mut output: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, incoming) = sync_channel::<Full>(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let (end, ended) = sync_channel(0);
        let lost = dropped.clone();
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                let _end = end;
                for mut full in incoming {
                    if output.write_all(&full.bytes).and_then(|()| output.flush()).is_err() {
                        lost.fetch_add(full.lines, Ordering::Relaxed);
                    }
                    full.bytes.clear();
                    let _ = full.home.try_send(full.bytes);
                }
            })?;
        Ok(Self {
            queue,
            dropped,
            ended,
            thread,
        })
    }
}

/// One worker's lines that are not passed on yet.
#[derive(Debug)]
pub struct AccessBuffer {
    format: LogFormat,
    way: Option<Way>,
    bytes: Vec<u8>,
    lines: u64,
    /// When the first of the lines was written.
    since: Duration,
    stamp: Stamp,
}

/// To the writer and back.
#[derive(Debug)]
struct Way {
    queue: SyncSender<Full>,
    dropped: Arc<AtomicU64>,
    home: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

impl AccessBuffer {
    /// Writes the line of one request. Never waits.
    pub fn line(&mut self, record: &Record<'_>) {
        if self.way.is_none() {
            return;
        }
        let now = clock::wall();
        if self.lines == 0 {
            self.since = now;
        }
        entry::write(self.format, record, now, &mut self.stamp, &mut self.bytes);
        self.lines += 1;
        if self.bytes.len() > FULL {
            self.flush();
        }
    }

    /// Passes the lines on, if the oldest has waited long enough (or the clock was set back). Where the writer cannot keep
    /// up, they stay here: there is room for more of them.
    pub fn flush_if_due(&mut self) {
        let waited = clock::wall().checked_sub(self.since);
        if waited.is_none_or(|waited| waited > OLD)
            && let Some(full) = self.pass_on()
        {
            self.bytes = full.bytes;
            self.lines = full.lines;
        }
    }

    /// Passes the lines on, or drops and counts them where the writer cannot keep up.
    pub fn flush(&mut self) {
        let Some(mut full) = self.pass_on() else { return };
        if let Some(way) = &self.way {
            way.dropped.fetch_add(full.lines, Ordering::Relaxed);
        }
        full.bytes.clear();
        self.bytes = full.bytes;
    }

    /// Hands the lines to the writer; answers them where it has no room.
    fn pass_on(&mut self) -> Option<Full> {
        let way = self.way.as_ref().filter(|_| self.lines > 0)?;
        let full = Full {
            bytes: std::mem::take(&mut self.bytes),
            lines: std::mem::take(&mut self.lines),
            home: way.home.clone(),
        };
        match way.queue.try_send(full) {
            Ok(()) => {
                self.bytes = way.empty.try_recv().unwrap_or_default();
                None
            }
            Err(TrySendError::Full(full) | TrySendError::Disconnected(full)) => Some(full),
        }
    }

    /// How many lines were lost, by whichever worker, since somebody last asked.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        self.way
            .as_ref()
            .map_or(0, |way| way.dropped.swap(0, Ordering::Relaxed))
    }
}

impl Drop for AccessBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;

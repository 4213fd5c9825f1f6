//! Lines on their way to a reader that may be slow, stuck or gone.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use super::*;

type Writes = Arc<Mutex<Vec<String>>>;

/// Keeps what each write brought, and can be made to wait before each.
struct Output {
    writes: Writes,
    gate: Option<Receiver<()>>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        let text = String::from_utf8(bytes.to_vec()).expect("lines are UTF-8");
        self.writes.lock().expect("no test panics here").push(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn wanted(access: bool) -> Log {
    Log {
        format: LogFormat::Json,
        level: "info".to_owned(),
        access,
    }
}

fn start(access: bool, gate: Option<Receiver<()>>) -> (AccessLog, Writes) {
    let writes = Writes::default();
    let output = Output {
        writes: writes.clone(),
        gate,
    };
    (AccessLog::start(&wanted(access), output).expect("a thread"), writes)
}

fn open() -> (AccessLog, Writes) {
    start(true, None)
}

/// Writes nothing until told to, once a write; everything when the sender is gone.
fn blocked() -> (AccessLog, Writes, Sender<()>) {
    let (go, gate) = channel();
    let (log, writes) = start(true, Some(gate));
    (log, writes, go)
}

fn record(request_id: &str) -> Record<'_> {
    Record {
        request_id: request_id.as_bytes(),
        ..entry::nothing()
    }
}

fn ids(writes: &Writes) -> Vec<String> {
    let text = writes.lock().expect("no test panics here").concat();
    let id = |line: &str| -> String {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["request_id"].as_str().unwrap_or_default().to_owned()
    };
    text.lines().map(id).collect()
}

#[test]
fn closing_writes_the_last_lines_of_every_worker_one_write_a_buffer() {
    let (log, writes) = open();
    let (mut one, mut two) = (log.buffer(), log.buffer());
    one.line(&record("a"));
    one.line(&record("b"));
    one.flush();
    two.line(&record("c"));
    drop((one, two));
    log.close();
    assert_eq!(ids(&writes), ["a", "b", "c"]);
    assert_eq!(writes.lock().expect("no test panics here").len(), 2);
}

/// The buffer that the writer is done with; a quick writer has given it back already.
fn given_back(buffer: &mut AccessBuffer) -> Vec<u8> {
    if buffer.bytes.capacity() > 0 {
        return std::mem::take(&mut buffer.bytes);
    }
    let way = buffer.way.as_ref().expect("lines are wanted");
    way.empty.recv().expect("the writer gives buffers back")
}

#[test]
fn a_full_buffer_goes_by_itself_and_comes_back_empty() {
    let (log, writes) = open();
    let mut buffer = log.buffer();
    let long = "i".repeat(FULL);
    buffer.line(&record(&long));
    assert!(buffer.bytes.is_empty() && buffer.lines == 0);
    let back = given_back(&mut buffer);
    assert!(back.is_empty() && back.capacity() > FULL);
    drop(buffer);
    log.close();
    assert_eq!(ids(&writes), [long]);
}

#[tokio::test(start_paused = true)]
async fn lines_go_when_they_are_old_and_not_before() {
    let (log, writes) = open();
    let mut buffer = log.buffer();
    buffer.line(&record("a"));
    tokio::time::advance(OLD).await;
    buffer.flush_if_due();
    assert_eq!(buffer.lines, 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    buffer.flush_if_due();
    assert_eq!(buffer.lines, 0);
    drop(buffer);
    log.close();
    assert_eq!(ids(&writes), ["a"]);
}

#[test]
fn a_reader_that_stopped_makes_no_worker_wait_and_every_lost_line_is_counted() {
    let (log, writes, go) = blocked();
    let mut buffer = log.buffer();
    let buffers = QUEUE * 2;
    for _ in 0..buffers {
        buffer.line(&record("a"));
        buffer.line(&record("b"));
        buffer.flush(); // would never return if it waited: nobody opens the gate
    }
    let dropped = buffer.take_dropped();
    // One buffer may be in the writer's hands besides those that wait.
    let kept = 2 * buffers as u64 - dropped;
    let queued = 2 * QUEUE as u64;
    assert!([queued, queued + 2].contains(&kept), "{kept} lines kept");
    assert_eq!(buffer.take_dropped(), 0, "each is told once");
    drop(go);
    drop(buffer);
    log.close();
    assert_eq!(ids(&writes).len() as u64, kept);
}

#[tokio::test(start_paused = true)]
async fn a_few_lines_stay_with_their_worker_while_the_writer_has_no_room() {
    let (log, _writes, go) = blocked();
    let mut buffer = log.buffer();
    for _ in 0..QUEUE * 2 {
        buffer.line(&record("a"));
        tokio::time::advance(OLD + Duration::from_millis(1)).await;
        buffer.flush_if_due();
    }
    assert_eq!(buffer.take_dropped(), 0);
    assert!(buffer.lines >= QUEUE as u64 - 1, "{}", buffer.lines);
    drop(go);
    drop(buffer);
    log.close();
}

#[test]
fn the_end_does_not_wait_for_ever_for_a_reader_that_stopped() {
    let (log, writes, go) = blocked();
    let mut buffer = log.buffer();
    buffer.line(&record("a"));
    drop(buffer);
    log.close(); // returns, or this test hangs: the gate is shut
    assert!(ids(&writes).is_empty());
    drop(go);
}

#[test]
fn lines_that_could_not_be_written_are_counted() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = AccessLog::start(&wanted(true), Gone).expect("a thread");
    let (mut buffer, other) = (log.buffer(), log.buffer());
    buffer.line(&record("a"));
    buffer.flush();
    given_back(&mut buffer);
    assert_eq!(other.take_dropped(), 1);
}

#[test]
fn without_access_lines_nothing_is_written() {
    let (log, writes) = start(false, None);
    let mut buffer = log.buffer();
    buffer.line(&record("a"));
    buffer.flush();
    assert!(buffer.bytes.is_empty() && buffer.take_dropped() == 0);
    drop(buffer);
    log.close();
    assert!(ids(&writes).is_empty());
}

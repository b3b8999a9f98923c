//! The audit log: JSON lines, append-only, each with the hash of the one before.
//!
//! One thread writes. The data path hands an event over through a bounded queue and never waits;
//! what does not fit is counted. While the log cannot be written, nothing with a credential is
//! sent: a use of a credential that nobody can see afterwards must not happen.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use prometheus::IntCounter;
use tokio::sync::broadcast;

use super::event::Event;
use super::line;
use super::verify::{self, GENESIS};
use crate::metrics::Metrics;

/// How long a record may wait in memory before it is in the file.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// A batch of this size is written at once: a larger one would only wash through the caches.
const BATCH_BYTES: usize = 256 * 1024;
const TAIL_EVENTS: usize = 1024;
/// Memory that an unusually large batch leaves behind.
const BATCH_BYTES_KEPT: usize = 1 << 20;

/// Events on their way to the writer.
///
/// The data path pushes under a short lock and wakes the writer only when the queue was empty; the
/// writer then lets a batch gather. A wake per event would cost more than the request it records.
#[derive(Debug)]
struct Queue {
    state: Mutex<Waiting>,
    changed: Condvar,
    capacity: usize,
}

/// Records as JSON, one behind the other, and where each of them ends: nobody has to look for it.
#[derive(Debug, Default)]
struct Batch {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.text.get(start..*end))
    }

    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(BATCH_BYTES_KEPT);
        self.ends.clear();
        self.ends.shrink_to(BATCH_BYTES_KEPT / size_of::<usize>());
    }
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    /// Batches asked for and batches written: a flush waits until they meet.
    flushes_asked: u64,
    flushes_done: u64,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false`: the queue is full.
    fn push(&self, record: &[u8]) -> bool {
        let mut waiting = self.lock();
        let batch = &mut waiting.batch;
        if batch.ends.len() >= self.capacity {
            return false;
        }
        batch.text.extend_from_slice(record);
        batch.ends.push(batch.text.len());
        let full = batch.text.len() >= BATCH_BYTES;
        let is_due = batch.ends.len() == 1 || full && batch.text.len() - record.len() < BATCH_BYTES;
        drop(waiting);
        if is_due {
            self.changed.notify_all();
        }
        true
    }

    /// Waits for something to do.
    fn wait(&self) {
        let idle = |w: &mut Waiting| {
            w.batch.ends.is_empty() && w.flushes_asked == w.flushes_done && !w.closed
        };
        drop(self.changed.wait_while(self.lock(), idle));
    }

    /// Lets a batch gather, unless it is large already or somebody is waiting for it.
    fn gather(&self) {
        let patient = |w: &mut Waiting| {
            w.flushes_asked == w.flushes_done && !w.closed && w.batch.text.len() < BATCH_BYTES
        };
        drop(self.changed.wait_timeout_while(self.lock(), FLUSH_EVERY, patient));
    }
}

/// Hands events to the writer.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: Arc<Queue>,
    tail: broadcast::Sender<Arc<str>>,
    healthy: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// Opens the log and starts its writer. The chain is taken up where the file ends.
    pub(crate) fn open(
        path: &Path,
        capacity: usize,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue { state: Mutex::default(), changed: Condvar::new(), capacity });
        let (tail, _) = broadcast::channel(TAIL_EVENTS);
        let healthy = Arc::new(AtomicBool::new(true));
        let writer = Writer {
            log: Log::open(path)?,
            queue: Arc::clone(&queue),
            tail: tail.clone(),
            healthy: Arc::clone(&healthy),
            written: metrics.audit_records.with_label_values(&["file", "ok"]),
            metrics: Arc::clone(&metrics),
        };
        std::thread::Builder::new().name("audit".into()).spawn(move || writer.run())?;
        Ok(Self { queue, tail, healthy, metrics })
    }

    /// Whether the last write worked.
    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    /// Hands over one event; never waits for the disk.
    pub(crate) fn record(&self, event: &Event<&str>) {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let taken = SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            line::write(scratch, event);
            self.queue.push(scratch)
        });
        if !taken {
            self.metrics.audit_records.with_label_values(&["file", "dropped"]).inc();
        }
    }

    /// Lines as they are written.
    pub(crate) fn tail(&self) -> broadcast::Receiver<Arc<str>> {
        self.tail.subscribe()
    }

    /// Returns when everything handed over before is in the file.
    pub(crate) fn flush(&self) {
        let mut waiting = self.queue.lock();
        waiting.flushes_asked += 1;
        let mine = waiting.flushes_asked;
        self.queue.changed.notify_all();
        let unwritten = |w: &mut Waiting| w.flushes_done < mine;
        drop(self.queue.changed.wait_timeout_while(waiting, Duration::from_secs(5), unwritten));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

struct Writer {
    log: Log,
    queue: Arc<Queue>,
    tail: broadcast::Sender<Arc<str>>,
    healthy: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    written: IntCounter,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Batch::default();
        loop {
            self.queue.wait();
            self.queue.gather();
            let (flushes, closed) = {
                let mut waiting = self.queue.lock();
                std::mem::swap(&mut waiting.batch, &mut batch);
                (waiting.flushes_asked, waiting.closed)
            };
            self.metrics.audit_queue.set(i64::try_from(batch.ends.len()).unwrap_or(i64::MAX));
            for record in batch.records() {
                self.write(record);
            }
            batch.clear();
            self.settle();
            self.queue.lock().flushes_done = flushes;
            self.queue.changed.notify_all();
            if closed {
                return;
            }
            while !self.healthy.load(Ordering::Acquire) {
                // A log that failed is tried again until it works: nothing with a credential
                // passes meanwhile.
                std::thread::sleep(FLUSH_EVERY);
                self.settle();
                if self.queue.lock().closed {
                    return;
                }
            }
        }
    }

    fn write(&mut self, record: &[u8]) {
        let line = self.log.append(record);
        if line.is_err() {
            self.healthy.store(false, Ordering::Release);
            self.metrics.audit_records.with_label_values(&["file", "error"]).inc();
            return;
        }
        self.written.inc();
        if self.tail.receiver_count() > 0 {
            // Whoever listened may be gone by now: no error.
            let _ = self.tail.send(String::from_utf8_lossy(&self.log.line).into());
        }
    }

    /// Flushes; a log that failed is opened again, so that it heals by itself.
    fn settle(&mut self) {
        let flushed =
            if self.healthy.load(Ordering::Acquire) { self.log.flush() } else { self.log.reopen() };
        let healthy = flushed.is_ok();
        if self.healthy.swap(healthy, Ordering::AcqRel) != healthy {
            tracing::error!(healthy, "the audit log changed its health");
        }
    }
}

struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    seq: u64,
    head: String,
    /// The line that was written last.
    line: Vec<u8>,
}

impl Log {
    fn open(path: &Path) -> std::io::Result<Self> {
        let (seq, head) = verify::last(path)?;
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            path: path.into(),
            file: BufWriter::with_capacity(64 * 1024, file),
            seq,
            head,
            line: Vec::new(),
        })
    }

    /// Puts the record into the chain: what is hashed is the line without its own hash.
    fn append(&mut self, record: &[u8]) -> std::io::Result<()> {
        let body = record.strip_prefix(b"{").and_then(|r| r.strip_suffix(b"}")).unwrap_or_default();
        self.line.clear();
        write!(self.line, "{{\"seq\":{},\"prev\":\"{}\",", self.seq + 1, self.head)?;
        self.line.extend_from_slice(body);
        self.line.push(b'}');
        let hash = hash(&self.line);
        self.line.pop();
        write!(self.line, ",\"hash\":\"{hash}\"}}")?;
        self.file.write_all(&self.line)?;
        self.file.write_all(b"\n")?;
        self.seq += 1;
        self.head = hash;
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }

    /// After a failure the buffer may hold half a line: what the file holds is the truth, and a
    /// half line at its end is cut off, so that the chain goes on from the last whole record.
    fn reopen(&mut self) -> std::io::Result<()> {
        let path = self.path.clone();
        let fresh = Self::open(&path)?;
        let stale = std::mem::replace(self, fresh);
        let (_, _unwritten) = stale.file.into_parts();
        self.flush()
    }
}

/// SHA-256 in hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| DIGITS.get(usize::from(n)).copied().map_or('0', char::from);
    let mut text = String::with_capacity(GENESIS.len());
    for byte in digest::digest(&digest::SHA256, bytes).as_ref() {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(path: &Path) -> Recorder {
        Recorder::open(path, 64, Arc::new(Metrics::new().unwrap())).unwrap()
    }

    #[test]
    fn the_chain_goes_on_over_a_restart_and_a_torn_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        for _ in 0..2 {
            let recorder = recorder(&path);
            recorder.record(&Event { method: "GET", ..Event::default() });
            recorder.flush();
        }
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"seq\":3,\"prev\":\"").unwrap();
        let again = recorder(&path);
        again.record(&Event::default());
        again.flush();
        assert_eq!(verify::verify(&path).unwrap().records, 3);
    }

    #[test]
    fn a_changed_or_missing_line_breaks_the_chain() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let recorder = recorder(&path);
        for n in 0..5 {
            recorder.record(&Event { status: n, ..Event::default() });
        }
        recorder.flush();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(verify::verify(&path).unwrap().records, 5);
        let without = |skip: usize| {
            text.lines()
                .enumerate()
                .filter(|(i, _)| *i != skip)
                .map(|(_, l)| format!("{l}\n"))
                .collect::<String>()
        };
        for (wrong, line) in
            [(text.replace("\"status\":2", "\"status\":9"), 3), (without(0), 1), (without(2), 3)]
        {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(verify::verify(&path).unwrap_err().line(), Some(line));
        }
    }
}

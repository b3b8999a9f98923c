//! The audit log: JSON lines, append-only, each with the hash of the one before.
//!
//! One thread writes. The data path hands an event over through a bounded queue and never waits;
//! what does not fit is counted. While the log cannot be written, nothing with a credential is
//! sent: a use of a credential that nobody can see afterwards must not happen. What was handed over
//! by then is kept, within the bound of the queue, and written when there is room again.

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::broadcast;

use super::event::Event;
use super::line;
use super::log::{Log, Volume};
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

#[derive(Debug, Default)]
struct Waiting {
    /// Records as JSON, one behind the other, each ended by a line feed.
    text: Vec<u8>,
    records: usize,
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
        if waiting.records >= self.capacity {
            return false;
        }
        waiting.text.extend_from_slice(record);
        waiting.text.push(b'\n');
        waiting.records += 1;
        let before = waiting.text.len() - record.len() - 1;
        let is_due =
            waiting.records == 1 || before < BATCH_BYTES && waiting.text.len() >= BATCH_BYTES;
        drop(waiting);
        if is_due {
            self.changed.notify_all();
        }
        true
    }

    /// Waits for something to do.
    fn wait(&self) {
        let idle =
            |w: &mut Waiting| w.records == 0 && w.flushes_asked == w.flushes_done && !w.closed;
        drop(self.changed.wait_while(self.lock(), idle));
    }

    /// Lets a batch gather, or a while pass, unless it has `enough` bytes already or somebody is
    /// waiting for it.
    fn gather(&self, enough: usize) {
        let patient = |w: &mut Waiting| {
            w.flushes_asked == w.flushes_done && !w.closed && w.text.len() < enough
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
        Self::open_on::<File>(path, capacity, metrics)
    }

    fn open_on<V: Volume + Send + 'static>(
        path: &Path,
        capacity: usize,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue { state: Mutex::default(), changed: Condvar::new(), capacity });
        let (tail, _) = broadcast::channel(TAIL_EVENTS);
        let healthy = Arc::new(AtomicBool::new(true));
        let writer = Writer {
            log: Log::<V>::open(path)?,
            queue: Arc::clone(&queue),
            tail: tail.clone(),
            healthy: Arc::clone(&healthy),
            written: metrics.audit_records.with_label_values(&["file", "ok"]),
            metrics: Arc::clone(&metrics),
            pending: Pending::default(),
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
            // JSON escapes line feeds, so a record is one line whatever it holds.
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

    /// Returns when everything handed over before is in the file, or was tried in vain.
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

struct Writer<V> {
    log: Log<V>,
    queue: Arc<Queue>,
    tail: broadcast::Sender<Arc<str>>,
    healthy: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    written: IntCounter,
    /// Records that were taken from the queue and are not in the file.
    pending: Pending,
}

#[derive(Default)]
struct Pending {
    text: Vec<u8>,
    records: usize,
}

impl<V: Volume> Writer<V> {
    fn run(mut self) {
        loop {
            if self.healthy.load(Ordering::Acquire) {
                self.queue.wait();
                self.queue.gather(BATCH_BYTES);
            } else {
                // A log that cannot be written is tried again at that pace, however much waits.
                self.queue.gather(usize::MAX);
            }
            let (flushes, closed) = self.take();
            let written = self.write();
            self.settle(written.is_ok());
            self.queue.lock().flushes_done = flushes;
            self.queue.changed.notify_all();
            if closed {
                return;
            }
        }
    }

    /// Takes over what waits, unless as much as may wait is here already: then the queue fills up
    /// behind it, and what does not fit there is counted.
    fn take(&mut self) -> (u64, bool) {
        let mut waiting = self.queue.lock();
        if self.pending.text.is_empty() {
            std::mem::swap(&mut waiting.text, &mut self.pending.text);
        } else if self.pending.records < self.queue.capacity {
            self.pending.text.append(&mut waiting.text);
        } else {
            return (waiting.flushes_asked, waiting.closed);
        }
        self.pending.records += std::mem::take(&mut waiting.records);
        let records = i64::try_from(self.pending.records).unwrap_or(i64::MAX);
        self.metrics.audit_queue.set(records);
        (waiting.flushes_asked, waiting.closed)
    }

    /// Writes what is pending; what could not be written stays.
    fn write(&mut self) -> std::io::Result<()> {
        if !self.healthy.load(Ordering::Acquire) {
            self.log.reopen()?;
        }
        let mut done = 0;
        let mut result = Ok(());
        while done < self.pending.text.len() && result.is_ok() {
            let rest = self.pending.text.get(done..).unwrap_or_default();
            result = self.log.append(rest).map(|appended| {
                done += appended.bytes;
                self.pending.records = self.pending.records.saturating_sub(appended.records);
                self.written.inc_by(appended.records as u64);
                self.tell();
            });
        }
        self.pending.text.drain(..done);
        self.pending.text.shrink_to(BATCH_BYTES_KEPT);
        result
    }

    /// Shows the lines that were written last to whoever follows the log.
    fn tell(&self) {
        if self.tail.receiver_count() == 0 {
            return;
        }
        for line in self.log.written().split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            // Whoever listened may be gone by now: no error.
            let _ = self.tail.send(String::from_utf8_lossy(line).into());
        }
    }

    fn settle(&self, healthy: bool) {
        if !healthy {
            self.metrics.audit_records.with_label_values(&["file", "error"]).inc();
        }
        if self.healthy.swap(healthy, Ordering::AcqRel) != healthy {
            tracing::error!(healthy, "the audit log changed its health");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{self, Write};
    use std::sync::atomic::AtomicUsize;

    use super::super::verify;
    use super::*;

    /// Bytes that still fit on the disk of [`Small`].
    static ROOM: AtomicUsize = AtomicUsize::new(0);

    /// A disk that fills: it takes what fits of a write, and then nothing.
    struct Small(File);

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = ROOM.load(Ordering::SeqCst).min(bytes.len());
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let written = self.0.write(&bytes[..room])?;
            ROOM.fetch_sub(written, Ordering::SeqCst);
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    impl Volume for Small {
        fn open(path: &Path) -> io::Result<Self> {
            <File as Volume>::open(path).map(Self)
        }

        fn length(&self) -> io::Result<u64> {
            self.0.length()
        }

        fn cut(&self, length: u64) -> io::Result<()> {
            let freed = self.0.length()?.saturating_sub(length);
            ROOM.fetch_add(usize::try_from(freed).unwrap(), Ordering::SeqCst);
            self.0.cut(length)
        }
    }

    #[test]
    fn a_disk_that_fills_loses_no_record_that_fits_the_queue_and_recovers_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let metrics = Arc::new(Metrics::new().unwrap());
        ROOM.store(2_500, Ordering::SeqCst);
        let recorder = Recorder::open_on::<Small>(&path, 64, Arc::clone(&metrics)).unwrap();
        let record = |status| recorder.record(&Event { status, ..Event::default() });
        record(0);
        recorder.flush();
        assert!(recorder.is_healthy());
        for status in 1..=40 {
            record(status);
        }
        recorder.flush();
        assert!(!recorder.is_healthy(), "a full disk was not noticed");
        for status in 41..=50 {
            record(status);
            recorder.flush();
            assert!(!recorder.is_healthy(), "healthy again without room");
        }
        let written = metrics.audit_records.with_label_values(&["file", "ok"]).get();
        assert!(written < 40, "{written} records fit where they do not");
        ROOM.store(usize::MAX / 2, Ordering::SeqCst);
        recorder.flush();
        assert!(recorder.is_healthy(), "room did not heal the log");
        assert_eq!(verify::verify(&path).unwrap().records, 51);
        let text = std::fs::read_to_string(&path).unwrap();
        for (status, line) in text.lines().enumerate() {
            assert!(line.contains(&format!("\"status\":{status},")), "{status}: {line}");
        }
    }

    #[test]
    fn what_waits_for_a_full_disk_is_bounded_and_what_does_not_fit_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let metrics = Arc::new(Metrics::new().unwrap());
        let recorder = Recorder::open_on::<Full>(&path, 8, Arc::clone(&metrics)).unwrap();
        for _ in 0..100 {
            recorder.record(&Event::default());
        }
        recorder.flush();
        for _ in 0..100 {
            recorder.record(&Event::default());
        }
        let dropped = metrics.audit_records.with_label_values(&["file", "dropped"]).get();
        assert!((200 - 3 * 8..=200 - 8).contains(&dropped), "{dropped} of 200 were dropped");
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    /// A disk without any room.
    struct Full(File);

    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Volume for Full {
        fn open(path: &Path) -> io::Result<Self> {
            <File as Volume>::open(path).map(Self)
        }

        fn length(&self) -> io::Result<u64> {
            self.0.length()
        }

        fn cut(&self, length: u64) -> io::Result<()> {
            self.0.cut(length)
        }
    }

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

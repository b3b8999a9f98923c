//! Idle HTTP/1 streams to upstreams, and which protocol each upstream speaks.
//!
//! INVARIANT: a stream serves only exchanges with the key that it was put under, and only after an
//! exchange that was whole. Pingora's own pool never holds one of them.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use crate::clock;

/// How long a stream may lie idle.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long it is remembered which protocol an upstream chose.
const CHOICE_AGE_MAX: Duration = Duration::from_secs(600);
const CHOICES_MAX: usize = 4096;

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

struct Idle {
    stream: Stream,
    since: Instant,
}

/// Streams by key; those of one key in the order in which they came.
#[derive(Default)]
struct Shelf {
    streams: HashMap<u64, Vec<Idle>>,
    count: usize,
}

/// The streams that wait for another exchange.
pub(crate) struct Pool {
    pub(super) connector: TransportConnector,
    idle: Mutex<Shelf>,
    choices: Mutex<HashMap<u64, (Protocol, Instant)>>,
    max: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("max", &self.max).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool of at most `max` idle streams, which are opened with `options`.
    pub(crate) fn new(options: ConnectorOptions, max: usize) -> Self {
        Self {
            connector: TransportConnector::new(Some(options)),
            idle: Mutex::default(),
            choices: Mutex::default(),
            max,
        }
    }

    /// The stream that was used last, of those that are still open and silent.
    pub(super) fn take(&self, key: u64) -> Option<Stream> {
        let now = clock::now();
        loop {
            let newest = lock(&self.idle).pop(key)?;
            let mut stream = newest.stream;
            if now.duration_since(newest.since) < IDLE_MAX && is_silent(&mut stream) {
                return Some(stream);
            }
        }
    }

    /// Whether a stream waits for an exchange with this key.
    pub(super) fn has(&self, key: u64) -> bool {
        lock(&self.idle).streams.contains_key(&key)
    }

    /// Keeps a stream for another exchange with the same key.
    pub(super) fn put(&self, key: u64, stream: Stream) {
        let mut idle = lock(&self.idle);
        if idle.count >= self.max {
            idle.drop_oldest();
        }
        idle.count += 1;
        idle.streams.entry(key).or_default().push(Idle { stream, since: clock::now() });
    }

    /// Lets go of streams that have been idle for too long, or that their upstream has closed.
    pub(crate) fn sweep(&self) {
        let now = clock::now();
        let mut idle = lock(&self.idle);
        let mut count = 0;
        idle.streams.retain(|_, streams| {
            streams.retain_mut(|idle| {
                now.duration_since(idle.since) < IDLE_MAX && is_silent(&mut idle.stream)
            });
            count += streams.len();
            !streams.is_empty()
        });
        idle.count = count;
    }

    /// What the upstream behind `key` chose not long ago.
    pub(super) fn protocol(&self, key: u64) -> Option<Protocol> {
        let (protocol, since) = *lock(&self.choices).get(&key)?;
        (clock::now().duration_since(since) < CHOICE_AGE_MAX).then_some(protocol)
    }

    pub(super) fn forget(&self, key: u64) {
        lock(&self.choices).remove(&key);
    }

    pub(super) fn learn(&self, key: u64, protocol: Protocol) {
        let mut choices = lock(&self.choices);
        if choices.len() >= CHOICES_MAX {
            choices.clear();
        }
        choices.insert(key, (protocol, clock::now()));
    }
}

impl Shelf {
    fn pop(&mut self, key: u64) -> Option<Idle> {
        let streams = self.streams.get_mut(&key)?;
        let newest = streams.pop()?;
        if streams.is_empty() {
            self.streams.remove(&key);
        }
        self.count -= 1;
        Some(newest)
    }

    fn drop_oldest(&mut self) {
        let firsts = self.streams.iter().filter_map(|(key, s)| Some((s.first()?.since, *key)));
        let Some((_, key)) = firsts.min() else { return };
        if let Some(streams) = self.streams.get_mut(&key) {
            drop(streams.remove(0));
            self.count -= 1;
        }
        self.streams.retain(|_, streams| !streams.is_empty());
    }
}

/// Whether nothing has come on a stream that nothing was asked on: neither bytes nor its end.
fn is_silent(stream: &mut Stream) -> bool {
    let mut space = [0; 1];
    let read = std::future::poll_fn(|cx| {
        Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut space))
    });
    // Outside the budget of the task: a spent one would look like silence.
    let read = pin!(tokio::task::unconstrained(read));
    read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    fn pool(max: usize) -> Pool {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        Pool::new(ConnectorOptions::new(1), max)
    }

    /// A stream for the pool, and its upstream's end.
    fn stream() -> (Stream, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (Box::new(ours), theirs)
    }

    /// Whether `stream` is the other end of `theirs`.
    async fn is_of(mut stream: Stream, theirs: &mut DuplexStream) -> bool {
        stream.write_all(b"x").await.unwrap();
        let read = theirs.read_u8();
        tokio::select! { biased; read = read => read.is_ok(), () = std::future::ready(()) => false }
    }

    #[tokio::test]
    async fn a_stream_serves_its_own_key_and_the_latest_one_goes_first() {
        let pool = pool(8);
        let ((first, _a), (second, mut b)) = (stream(), stream());
        pool.put(1, first);
        pool.put(1, second);
        assert!(pool.take(2).is_none());
        assert!(is_of(pool.take(1).unwrap(), &mut b).await);
        assert!(pool.take(1).is_some());
        assert!(pool.take(1).is_none());
    }

    #[tokio::test]
    async fn a_stream_on_which_something_came_is_not_taken() {
        let pool = pool(8);
        let ((closed, a), (chatty, mut b), (good, mut c)) = (stream(), stream(), stream());
        pool.put(1, good);
        pool.put(1, closed);
        pool.put(1, chatty);
        drop(a);
        b.write_all(b"HTTP/1.1 200 OK").await.unwrap();
        assert!(is_of(pool.take(1).unwrap(), &mut c).await);
        assert!(pool.take(1).is_none());
    }

    #[tokio::test]
    async fn the_oldest_stream_makes_room_and_what_is_dead_is_swept() {
        let pool = pool(2);
        let ((one, a), (two, b), (three, mut c)) = (stream(), stream(), stream());
        pool.put(1, one);
        pool.put(2, two);
        pool.put(3, three);
        assert_eq!(lock(&pool.idle).count, 2);
        assert!(pool.take(1).is_none(), "the oldest one is gone");
        drop((a, b));
        pool.sweep();
        assert_eq!(lock(&pool.idle).count, 1);
        assert!(lock(&pool.idle).streams.len() == 1, "no empty key is kept");
        assert!(is_of(pool.take(3).unwrap(), &mut c).await);
        assert_eq!(lock(&pool.idle).count, 0);
    }

    #[test]
    fn a_choice_is_remembered_for_its_key() {
        let pool = pool(1);
        assert_eq!(pool.protocol(1), None);
        pool.learn(1, Protocol::Http2);
        pool.learn(2, Protocol::Http1);
        assert_eq!(pool.protocol(1), Some(Protocol::Http2));
        pool.learn(1, Protocol::Http1);
        assert_eq!(pool.protocol(1), Some(Protocol::Http1));
        assert_eq!(pool.protocol(3), None);
        pool.forget(1);
        assert_eq!(pool.protocol(1), None);
        assert_eq!(pool.protocol(2), Some(Protocol::Http1));
    }
}

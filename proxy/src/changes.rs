//! Waits for changes of a watched value, over and over, at the price of one registration.
//!
//! A connection waits for the same two things beside each of its requests: a shutdown and a change
//! of plans. `watch::Receiver::changed` puts itself into a list under a lock when it is first
//! polled, visits it with every further poll, and leaves it when dropped. Done for every request
//! that is measurable, and nearly nothing ever changes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::watch;

/// Completes with the next change, and hands the receiver back.
type Next<T> = Pin<Box<dyn Future<Output = (watch::Receiver<T>, Change)> + Send + Sync>>;

/// What became of a watched value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has another value.
    Changed,
    /// It will never change again.
    Ended,
}

/// Changes of one watched value, from the moment this was made.
pub(crate) struct Changes<T> {
    /// Sees what `next` sees; asking it costs no more than a load.
    seen: watch::Receiver<T>,
    next: Next<T>,
    /// How `next` wakes whoever waits.
    bell: Option<Arc<Bell>>,
}

/// Wakes a task, and knows whether it did.
///
/// Being in the list of a `watch` ends with the first wake-up, and that one need not come with a
/// change: one that goes round the list wakes again whoever entered it meanwhile. So only a bell
/// that has not rung stands for a place in the list.
struct Bell {
    has_rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Bell {
    fn stands_for(&self, task: &Waker) -> bool {
        self.task.will_wake(task) && !self.has_rung.load(Ordering::Acquire)
    }
}

impl<T> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

impl<T: Send + Sync + Copy + 'static> Changes<T> {
    pub(crate) fn new(receiver: watch::Receiver<T>) -> Self {
        Self { seen: receiver.clone(), next: next(receiver), bell: None }
    }

    /// The value as it stands.
    pub(crate) fn now(&self) -> T {
        *self.seen.borrow()
    }

    /// Waits for the next change that was not reported yet. Dropping this loses nothing.
    pub(crate) async fn changed(&mut self) -> Change {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Change> {
        if self.bell.as_ref().is_some_and(|bell| bell.stands_for(cx.waker())) {
            return Poll::Pending;
        }
        let bell = Arc::new(Bell { has_rung: AtomicBool::new(false), task: cx.waker().clone() });
        let waker = Waker::from(Arc::clone(&bell));
        match self.next.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready((receiver, change)) => {
                *self = Self::new(receiver);
                Poll::Ready(change)
            }
            Poll::Pending => {
                self.bell = Some(bell);
                Poll::Pending
            }
        }
    }
}

fn next<T: Send + Sync + 'static>(mut receiver: watch::Receiver<T>) -> Next<T> {
    Box::pin(async move {
        // Never made to yield by a budget that others used up: a pending answer must mean that
        // the waker is in the list.
        let change = match tokio::task::unconstrained(receiver.changed()).await {
            Ok(()) => Change::Changed,
            Err(_) => Change::Ended,
        };
        (receiver, change)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize};
    use std::time::Duration;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once, as the task that `count` stands for.
    fn poll(changes: &mut Changes<u64>, count: &Arc<Count>) -> Poll<Change> {
        let waker = Waker::from(Arc::clone(count));
        changes.poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn every_change_is_reported_once_however_often_it_was_waited_for() {
        let (sender, receiver) = watch::channel(0);
        let (mut changes, task) = (Changes::new(receiver), Arc::new(Count::default()));
        for round in 1..4 {
            for _ in 0..3 {
                assert_eq!(poll(&mut changes, &task), Poll::Pending);
            }
            sender.send_replace(round);
            assert_eq!(task.0.load(Ordering::SeqCst), usize::try_from(round).unwrap());
            assert_eq!(poll(&mut changes, &task), Poll::Ready(Change::Changed));
            assert_eq!(changes.now(), round);
        }
    }

    /// A sender goes round its list of waiters while one of them, woken already, enters it again.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_change_is_missed_when_a_waiter_is_faster_than_the_sender() {
        const CHANGES: u64 = 20_000;
        let (sender, receiver) = watch::channel(0);
        let seen = Arc::new(AtomicU64::new(0));
        let (mut changes, noted) = (Changes::new(receiver), Arc::clone(&seen));
        let waiting = tokio::spawn(async move {
            while changes.now() < CHANGES {
                changes.changed().await;
                noted.store(changes.now(), Ordering::SeqCst);
            }
        });
        let sending = async {
            for number in 1..=CHANGES {
                sender.send_replace(number);
                while seen.load(Ordering::SeqCst) < number {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), sending).await.expect("every change is seen");
        waiting.await.unwrap();
    }

    #[test]
    fn a_change_that_nobody_waited_for_is_reported_all_the_same() {
        let (sender, receiver) = watch::channel(0);
        let (mut changes, task) = (Changes::new(receiver), Arc::new(Count::default()));
        sender.send_replace(1);
        assert_eq!(poll(&mut changes, &task), Poll::Ready(Change::Changed));
        assert_eq!(poll(&mut changes, &task), Poll::Pending);
    }

    #[test]
    fn whoever_polled_last_is_woken() {
        let (sender, receiver) = watch::channel(0);
        let mut changes = Changes::new(receiver);
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        assert_eq!(poll(&mut changes, &first), Poll::Pending);
        assert_eq!(poll(&mut changes, &second), Poll::Pending);
        sender.send_replace(1);
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        assert_eq!(second.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_end_is_told_apart_from_a_change_and_told_again() {
        let (sender, receiver) = watch::channel(0);
        let (mut changes, task) = (Changes::new(receiver), Arc::new(Count::default()));
        assert_eq!(poll(&mut changes, &task), Poll::Pending);
        drop(sender);
        assert_eq!(poll(&mut changes, &task), Poll::Ready(Change::Ended));
        assert_eq!(poll(&mut changes, &task), Poll::Ready(Change::Ended));
    }
}

//! How long a connection has been silent, told by one timer for all of its life.
//!
//! A timer that is made and dropped with every request costs two visits to the timer wheel each. This
//! one is left where it is while requests come and go, and set again only when it runs out early.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::clock;

/// Ends when nothing happened for `limit`.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    began: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// A silence that begins now.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, began: clock::now(), timer: None }
    }

    /// Something happened: the silence begins anew.
    pub(crate) fn begin(&mut self) {
        self.began = clock::now();
    }

    /// From now on a silence may last this long.
    pub(crate) fn set_limit(&mut self, limit: Duration) {
        if limit < self.limit {
            // A timer that rings early is set again; one that would ring late is not kept.
            self.timer = None;
        }
        self.limit = limit;
    }

    /// Waits for the end of a silence of full length. Dropping this loses nothing.
    pub(crate) async fn end(&mut self) {
        std::future::poll_fn(|cx| self.poll_end(cx)).await;
    }

    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.began + self.limit;
        let timer =
            self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        while timer.as_mut().poll(cx).is_ready() {
            if clock::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silence_ends_no_sooner_than_its_limit_after_the_last_beginning() {
        let limit = Duration::from_millis(20);
        let mut silence = Silence::new(limit);
        // The timer is set for the first beginning, and the second one comes while it runs.
        let _ = tokio::time::timeout(limit / 2, silence.end()).await;
        let again = clock::now();
        silence.begin();
        silence.end().await;
        assert!(clock::now().duration_since(again) >= limit);
    }

    #[tokio::test]
    async fn a_silence_that_was_over_before_anybody_waited_ends_at_once() {
        let mut silence = Silence::new(Duration::ZERO);
        silence.end().await;
        silence.end().await;
    }
}

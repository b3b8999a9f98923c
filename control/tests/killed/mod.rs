//! What a process does until it is killed.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Runs a future and drops it after so many polls. `true`: it was done before.
pub(crate) async fn killed_after(polls: usize, future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|()| true)
    })
    .await
}

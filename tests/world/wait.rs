//! Waiting for something that another process does: the only place where tests look at a clock.

use std::time::Duration;
use tokio::runtime::Runtime;

/// Returns as soon as `holds`; panics if it does not within `limit`.
#[track_caller]
pub(crate) fn eventually(
    runtime: &Runtime,
    what: &str,
    limit: Duration,
    holds: impl FnMut() -> bool,
) {
    assert!(holds_within(runtime, limit, holds), "{what}: not within {limit:?}");
}

/// True as soon as `holds`; false if it does not within `limit`.
pub(crate) fn holds_within(
    runtime: &Runtime,
    limit: Duration,
    mut holds: impl FnMut() -> bool,
) -> bool {
    let watching = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !holds() {
            tick.tick().await;
        }
    };
    runtime.block_on(async { tokio::time::timeout(limit, watching).await }).is_ok()
}

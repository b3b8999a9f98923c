//! Runs the futures of one command on the thread that it was called on.

use std::future::Future;

use crate::exit::{Failure, failed};

/// Runs `future` to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let outcome = runtime.block_on(future);
    // What still runs belongs to connections that nobody waits for any more.
    runtime.shutdown_background();
    outcome
}

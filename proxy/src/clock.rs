//! The one place where this crate reads a clock.
//!
//! Everything else takes time as a value, so that a test can say what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic now: for durations and deadlines.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock now, since the Unix epoch: for records and expiry.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Wall-clock now in whole seconds since the Unix epoch.
pub fn wall_seconds() -> i64 {
    i64::try_from(wall().as_secs()).unwrap_or(i64::MAX)
}

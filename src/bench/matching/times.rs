//! Times of decisions: many in a row for the mean, singly for the percentiles.

#![expect(clippy::disallowed_methods, reason = "a bench is what reads the clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use sallygate_compiler::table::RouteTable;
use serde::Serialize;

use super::workload::Request;

/// Decisions that are timed, and first made untimed.
const TIMED: usize = 200_000;
const WARM_UP: usize = 20_000;

/// What reading the clock takes by itself.
#[derive(Debug)]
pub(super) struct Clock(u64);

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Times {
    pub(super) mean_ns: f64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) p999_ns: u64,
}

impl Clock {
    pub(super) fn calibrate() -> Self {
        Self(rank(&sorted((0..WARM_UP).map(|_| nanos(Instant::now().elapsed())).collect()), 500))
    }

    pub(super) fn nanos(&self) -> u64 {
        self.0
    }
}

impl Times {
    /// `None` without requests.
    pub(super) fn of(table: &RouteTable, requests: &[Request], clock: &Clock) -> Option<Self> {
        if requests.is_empty() {
            return None;
        }
        let decide = |request: &Request| {
            black_box(black_box(request).decide(table));
        };
        requests.iter().cycle().take(WARM_UP).for_each(decide);
        let ((), together) = once(|| requests.iter().cycle().take(TIMED).for_each(decide));
        let single = |request: &Request| {
            let began = Instant::now();
            decide(request);
            nanos(began.elapsed()).saturating_sub(clock.0)
        };
        let singly = sorted(requests.iter().cycle().take(TIMED).map(single).collect());
        Some(Self {
            mean_ns: together.as_secs_f64() * 1e9 / TIMED as f64,
            p50_ns: rank(&singly, 500),
            p99_ns: rank(&singly, 990),
            p999_ns: rank(&singly, 999),
        })
    }
}

/// What `work` makes, and how long that took.
pub(super) fn once<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let made = work();
    (made, began.elapsed())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn sorted(mut all: Vec<u64>) -> Vec<u64> {
    all.sort_unstable();
    all
}

/// The value that so many in a thousand did not exceed.
fn rank(sorted: &[u64], per_mille: usize) -> u64 {
    let at = (sorted.len() * per_mille).div_ceil(1000).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_occurred() {
        let all = sorted((1..=1000).rev().collect());
        assert_eq!([500, 990, 999].map(|n| rank(&all, n)), [500, 990, 999]);
        assert_eq!(rank(&[7], 999), 7);
        assert_eq!(rank(&[], 999), 0);
    }
}

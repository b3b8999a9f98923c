//! A rate as a point in time: the generic cell rate algorithm, with debt.
//!
//! The only state is when the bucket will be empty again, so a plan that changes the rate leaves
//! what was used as it is.

use std::time::Duration;

use sallygate_compiler::plan::Rate;

/// Time since the process began.
pub(super) type Instant = Duration;

/// What was taken, as the time when it will have been given back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    empty_at: Instant,
}

impl Bucket {
    /// How long until one more may begin; `None`: now.
    pub(super) fn wait(&self, now: Instant, rate: Rate) -> Option<Duration> {
        let window = Duration::from_secs(rate.seconds.into());
        let full = self.empty_at.max(now) + cost(1, rate);
        full.checked_sub(now + window).filter(|wait| !wait.is_zero())
    }

    /// Takes `count`, whether it is there or not: what is not there is owed.
    pub(super) fn take(&mut self, now: Instant, rate: Rate, count: u64) {
        self.empty_at = self.empty_at.max(now).saturating_add(cost(count, rate));
    }

    /// Whether nothing is taken.
    pub(super) fn is_empty(&self, now: Instant) -> bool {
        self.empty_at <= now
    }
}

/// The time that `count` takes to come back. Rounded down, so that `count` of them always fit.
fn cost(count: u64, rate: Rate) -> Duration {
    let nanos = u128::from(count) * u128::from(rate.seconds) * 1_000_000_000;
    let nanos = nanos / u128::from(rate.count.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Instant = Duration::from_secs(1_000);

    fn begin(bucket: &mut Bucket, now: Instant, rate: Rate) -> bool {
        let free = bucket.wait(now, rate).is_none();
        if free {
            bucket.take(now, rate, 1);
        }
        free
    }

    #[test]
    fn as_many_as_the_rate_says_begin_at_once_and_then_none() {
        for (count, seconds) in [(1, 1), (3, 10), (30, 60), (7, 3), (1, 86_400)] {
            let rate = Rate { count, seconds };
            let mut bucket = Bucket::default();
            let begun = (0..count + 5).filter(|_| begin(&mut bucket, START, rate)).count();
            assert_eq!(begun as u64, count);
        }
    }

    #[test]
    fn what_is_owed_is_waited_for() {
        let rate = Rate { count: 1000, seconds: 10 };
        let mut bucket = Bucket::default();
        bucket.take(START, rate, 5000);
        let wait = bucket.wait(START, rate).unwrap();
        assert!(wait > Duration::from_secs(40) && wait < Duration::from_secs(41), "{wait:?}");
        assert!(bucket.wait(START + wait, rate).is_none());
        bucket.take(START, rate, u64::MAX);
        assert!(bucket.wait(START, rate).is_some());
    }

    proptest! {
        #[test]
        fn the_wait_that_is_told_is_true(
            count in 1u64..50,
            seconds in 1u32..100,
            steps in prop::collection::vec(0u64..5_000, 1..100),
        ) {
            let rate = Rate { count, seconds };
            let (mut bucket, mut now, mut begun) = (Bucket::default(), START, 0u64);
            for step in steps {
                now += Duration::from_millis(step);
                if let Some(wait) = bucket.wait(now, rate) {
                    prop_assert!(bucket.wait(now + wait, rate).is_none());
                    let early = now + wait - Duration::from_nanos(1);
                    prop_assert!(bucket.wait(early, rate).is_some());
                }
                begun += u64::from(begin(&mut bucket, now, rate));
            }
            let most = count + (now - START).as_nanos() as u64 / cost(1, rate).as_nanos() as u64;
            prop_assert!(begun <= most + 1, "{begun} of {most}");
        }
    }
}

//! What one sandbox has used of one route.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallygate_compiler::plan::{Limits, Period, Rate, Spend};
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Instant};

const DAY_SECONDS: u64 = 86_400;

/// What is over, and when it no longer will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Requests(Rate, Duration),
    Bytes(Rate, Duration),
    Concurrency(u32),
    /// `None`: never again.
    Uses(u64, Option<Duration>),
    Spend(u64, Option<Duration>),
}

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(super) monotonic: Instant,
    pub(super) wall: Duration,
}

impl Moment {
    fn day(self) -> u64 {
        self.wall.as_secs() / DAY_SECONDS
    }

    fn until_tomorrow(self) -> Duration {
        Duration::from_secs((self.day() + 1) * DAY_SECONDS).saturating_sub(self.wall)
    }
}

/// An amount that was used: ever, and today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Used {
    total: u64,
    day: u64,
    today: u64,
}

impl Used {
    fn of(&self, period: Period, day: u64) -> u64 {
        match period {
            Period::Total => self.total,
            // A clock that was set back opens nothing.
            Period::Day if day <= self.day => self.today,
            Period::Day => 0,
        }
    }

    fn add(&mut self, amount: u64, day: u64) {
        if day > self.day {
            (self.day, self.today) = (day, 0);
        }
        self.total = self.total.saturating_add(amount);
        self.today = self.today.saturating_add(amount);
    }

    /// Takes back what was added on `day`.
    fn give_back(&mut self, amount: u64, day: u64) {
        self.total = self.total.saturating_sub(amount);
        if day == self.day {
            self.today = self.today.saturating_sub(amount);
        }
    }
}

/// What outlives the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) uses: Used,
    pub(super) spend: Used,
}

#[derive(Debug, Default)]
struct State {
    requests: Bucket,
    bytes: Bucket,
    running: u32,
    kept: Kept,
}

/// What one sandbox has used of one route.
#[derive(Debug, Default)]
pub(crate) struct Account {
    state: Mutex<State>,
}

impl Account {
    pub(super) fn with(kept: Kept) -> Self {
        Self { state: Mutex::new(State { kept, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn kept(&self) -> Kept {
        self.state().kept
    }

    /// Whether forgetting it changes nothing for anybody.
    pub(super) fn is_idle(&self, now: Moment) -> bool {
        let state = self.state();
        let quiet = state.requests.is_empty(now.monotonic) && state.bytes.is_empty(now.monotonic);
        quiet && state.running == 0
    }

    /// Counts one more request, or says what is over. What is refused counts nowhere.
    pub(super) fn begin(self: &Arc<Self>, limits: &Limits, now: Moment) -> Result<Admitted, Over> {
        let mut state = self.state();
        state.check(limits, now)?;
        if let Some(rate) = limits.request_rate() {
            state.requests.take(now.monotonic, rate, 1);
        }
        state.running = state.running.saturating_add(1);
        let day = now.day();
        if limits.uses.is_some() {
            state.kept.uses.add(1, day);
        }
        let assumed = limits.spend.as_ref().map_or(0, |spend| spend.assumed_micros);
        state.kept.spend.add(assumed, day);
        let (use_of, bytes_out) = (u64::from(limits.uses.is_some()), limits.bytes_out);
        let account = Arc::clone(self);
        Ok(Admitted { account, bytes_out, uses: use_of, assumed, day, departed: false })
    }
}

impl State {
    fn check(&self, limits: &Limits, now: Moment) -> Result<(), Over> {
        let tomorrow = |period| match period {
            Period::Total => None,
            Period::Day => Some(now.until_tomorrow()),
        };
        // What no waiting helps against is told first.
        if let Some(uses) = limits.uses
            && self.kept.uses.of(uses.per, now.day()) >= uses.limit
        {
            return Err(Over::Uses(uses.limit, tomorrow(uses.per)));
        }
        if let Some(Spend { limit_micros, per, .. }) = limits.spend
            && self.kept.spend.of(per, now.day()) >= limit_micros
        {
            return Err(Over::Spend(limit_micros, tomorrow(per)));
        }
        if let Some(rate) = limits.request_rate()
            && let Some(wait) = self.requests.wait(now.monotonic, rate)
        {
            return Err(Over::Requests(rate, wait));
        }
        if let Some(rate) = limits.bytes_out
            && let Some(wait) = self.bytes.wait(now.monotonic, rate)
        {
            return Err(Over::Bytes(rate, wait));
        }
        match limits.concurrency {
            Some(max) if self.running >= max => Err(Over::Concurrency(max)),
            _ => Ok(()),
        }
    }
}

/// A request that was counted; it runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    account: Arc<Account>,
    bytes_out: Option<Rate>,
    uses: u64,
    assumed: u64,
    day: u64,
    /// Whether a connection was made: from then on the upstream may have acted.
    departed: bool,
}

impl Admitted {
    /// Notes that the request is on its way: what it used is used.
    pub(super) fn depart(&mut self) {
        self.departed = true;
    }

    /// Counts body bytes, and says how long the next ones would have to wait.
    pub(super) fn sent(&self, bytes: u64, now: Moment) -> Option<Duration> {
        let rate = self.bytes_out?;
        let mut state = self.account.state();
        state.bytes.take(now.monotonic, rate, bytes);
        state.bytes.wait(now.monotonic, rate)
    }

    /// What the request counts as long as nothing else is known.
    pub(super) fn assumed(&self) -> u64 {
        self.assumed
    }

    /// Puts what the request really cost in the place of what was assumed.
    pub(super) fn settle(&mut self, micros: u64) {
        let mut state = self.account.state();
        state.kept.spend.give_back(self.assumed, self.day);
        state.kept.spend.add(micros, self.day);
        self.assumed = micros;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.account.state();
        state.running = state.running.saturating_sub(1);
        if !self.departed {
            state.kept.uses.give_back(self.uses, self.day);
            state.kept.spend.give_back(self.assumed, self.day);
        }
    }
}

#[cfg(test)]
mod tests {
    use sallygate_compiler::plan::{Price, Uses};

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment { monotonic: Duration::from_secs(seconds), wall: Duration::from_secs(seconds) }
    }

    fn spend(limit: u64, assumed: u64, per: Period) -> Limits {
        let prices = vec![Price { pointer: "/n".into(), micros: 1 }];
        let spend = Spend { limit_micros: limit, per, assumed_micros: assumed, prices };
        Limits { spend: Some(spend), ..Limits::default() }
    }

    /// A request that reached its upstream.
    fn departed(account: &Arc<Account>, limits: &Limits, now: Moment) -> Admitted {
        let mut admitted = account.begin(limits, now).unwrap();
        admitted.depart();
        admitted
    }

    #[test]
    fn what_never_reached_an_upstream_uses_nothing() {
        let account = Arc::new(Account::default());
        let uses = Some(Uses { limit: 1, per: Period::Total });
        let limits = Limits { uses, ..spend(100, 60, Period::Total) };
        for _ in 0..3 {
            drop(account.begin(&limits, at(1)).unwrap());
        }
        drop(departed(&account, &limits, at(1)));
        assert_eq!(account.begin(&limits, at(1)).unwrap_err(), Over::Uses(1, None));
    }

    #[test]
    fn a_place_is_given_back_when_the_request_ends() {
        let (account, limits) =
            (Arc::new(Account::default()), Limits { concurrency: Some(2), ..Limits::default() });
        let first = account.begin(&limits, at(1)).unwrap();
        let second = account.begin(&limits, at(1)).unwrap();
        assert_eq!(account.begin(&limits, at(1)).unwrap_err(), Over::Concurrency(2));
        drop(first);
        let third = account.begin(&limits, at(1)).unwrap();
        assert_eq!(account.begin(&limits, at(1)).unwrap_err(), Over::Concurrency(2));
        drop((second, third));
        assert!(account.is_idle(at(1)));
    }

    #[test]
    fn uses_of_a_day_come_back_at_midnight_and_never_because_a_clock_was_set_back() {
        let account = Arc::new(Account::default());
        let uses = Some(Uses { limit: 1, per: Period::Day });
        let limits = Limits { uses, ..Limits::default() };
        drop(departed(&account, &limits, at(5 * DAY_SECONDS + 100)));
        let over = Over::Uses(1, Some(Duration::from_secs(DAY_SECONDS - 200)));
        assert_eq!(account.begin(&limits, at(5 * DAY_SECONDS + 200)).unwrap_err(), over);
        assert!(account.begin(&limits, at(4 * DAY_SECONDS)).is_err());
        assert!(account.begin(&limits, at(6 * DAY_SECONDS)).is_ok());
    }

    #[test]
    fn a_refused_request_uses_nothing() {
        let account = Arc::new(Account::default());
        let uses = Some(Uses { limit: 2, per: Period::Total });
        let limits = Limits { uses, concurrency: Some(1), ..Limits::default() };
        let running = departed(&account, &limits, at(1));
        for _ in 0..5 {
            assert_eq!(account.begin(&limits, at(1)).unwrap_err(), Over::Concurrency(1));
        }
        drop(running);
        drop(departed(&account, &limits, at(1)));
        assert_eq!(account.begin(&limits, at(1)).unwrap_err(), Over::Uses(2, None));
    }

    #[test]
    fn what_a_request_cost_takes_the_place_of_what_was_assumed() {
        let (account, limits) = (Arc::new(Account::default()), spend(100, 60, Period::Total));
        let mut first = departed(&account, &limits, at(1));
        first.settle(10);
        drop(first);
        let mut second = departed(&account, &limits, at(1));
        let third = departed(&account, &limits, at(1));
        // 10 + 60 + 60: whoever runs is counted as if it cost what was assumed.
        assert_eq!(account.begin(&limits, at(1)).unwrap_err(), Over::Spend(100, None));
        second.settle(0);
        drop(third);
        // The third was never told: what was assumed stays.
        drop(departed(&account, &limits, at(1)));
        assert_eq!(account.begin(&limits, at(1)).unwrap_err(), Over::Spend(100, None));
    }

    #[test]
    fn a_plan_that_changes_the_limit_keeps_what_was_used() {
        let account = Arc::new(Account::default());
        departed(&account, &spend(100, 60, Period::Total), at(1)).settle(90);
        assert!(account.begin(&spend(90, 1, Period::Total), at(1)).is_err());
        assert!(account.begin(&spend(91, 1, Period::Total), at(1)).is_ok());
    }
}

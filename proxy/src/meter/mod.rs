//! Counts what sandboxes use of routes that have limits, and keeps the budgets over a restart.
//!
//! INVARIANT: what was used is keyed by sandbox and route id, never by plan, so a swap gives
//! nothing back. A route without limits never comes here.

mod account;
mod bucket;
mod file;
mod usage;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallygate_compiler::plan::{Limits, Price};

use crate::clock;

use account::{Account, Admitted, Moment};

pub(crate) use account::Over;
pub use file::BudgetError;
pub(crate) use usage::{Form, Reader};

/// Accounts that may exist at one time. Beyond that, those that nobody would miss are forgotten.
const ACCOUNTS_MAX: usize = 200_000;

/// Whose use of what.
type Key = (Arc<str>, Arc<str>);

/// Every account.
#[derive(Debug)]
pub(crate) struct Meters {
    began: std::time::Instant,
    path: PathBuf,
    accounts: Mutex<HashMap<Key, Arc<Account>>>,
    /// What the file holds, and the right to write it.
    written: Mutex<Vec<u8>>,
}

impl Meters {
    /// Opens what an earlier process has kept. A file that cannot be read is no fresh start:
    /// budgets that were used up would be open again.
    pub(crate) fn open(path: PathBuf) -> Result<Self, BudgetError> {
        let kept = file::read(&path)?;
        let account = |(key, kept)| (key, Arc::new(Account::with(kept)));
        Ok(Self {
            began: clock::now(),
            path,
            accounts: Mutex::new(kept.into_iter().map(account).collect()),
            written: Mutex::default(),
        })
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Key, Arc<Account>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        let monotonic = clock::now().saturating_duration_since(self.began);
        Moment { monotonic, wall: clock::wall() }
    }

    /// Counts one more request of `sandbox` through `route`, or says what is over.
    pub(crate) fn begin(
        self: &Arc<Self>,
        sandbox: &Arc<str>,
        route: &Arc<str>,
        metered: &Metered,
    ) -> Result<Metering, Over> {
        let now = self.now();
        let account = self.account((Arc::clone(sandbox), Arc::clone(route)), now);
        let admitted = account.begin(&metered.limits, now)?;
        Ok(Metering { meters: Arc::clone(self), admitted })
    }

    fn account(&self, key: Key, now: Moment) -> Arc<Account> {
        let mut accounts = self.accounts();
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(&key) {
            let nobody_misses = |account: &Account| {
                account.is_idle(now) && account.kept() == account::Kept::default()
            };
            accounts.retain(|_, a| Arc::strong_count(a) > 1 || !nobody_misses(a));
        }
        Arc::clone(accounts.entry(key).or_default())
    }

    /// Forgets sandboxes that are gone for good.
    pub(crate) fn forget(&self, is_gone: &dyn Fn(&str) -> bool) {
        self.accounts().retain(|(sandbox, _), a| Arc::strong_count(a) > 1 || !is_gone(sandbox));
    }

    /// Writes the budgets if they have changed. Off the data path: it waits for the disk.
    pub(crate) fn save(&self) -> Result<(), BudgetError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.accounts().iter().map(|(key, a)| (key.clone(), a.kept())).collect();
        let bytes = file::render(kept);
        if bytes != *written {
            file::write(&self.path, &bytes)?;
            *written = bytes;
        }
        Ok(())
    }
}

/// The limits of a route that has some, made ready.
#[derive(Debug)]
pub(crate) struct Metered {
    limits: Limits,
    pointers: Vec<Vec<String>>,
}

impl Metered {
    /// `None`: nothing of this route is counted.
    pub(crate) fn new(limits: &Limits) -> Option<Self> {
        let Limits { max_request_bytes: _, concurrency, bytes_out, uses, spend, .. } = limits;
        let counts = limits.request_rate().is_some()
            || concurrency.is_some()
            || bytes_out.is_some()
            || uses.is_some()
            || spend.is_some();
        let prices = spend.as_ref().map(|spend| spend.prices.as_slice()).unwrap_or_default();
        let pointers = prices.iter().filter_map(Price::segments).collect();
        counts.then(|| Self { limits: limits.clone(), pointers })
    }

    /// Whether answers must be readable, because they say what they cost.
    pub(crate) fn reads_answers(&self) -> bool {
        self.limits.spend.is_some()
    }

    /// What a request counts whose cost is not told.
    pub(crate) fn assumed(&self) -> u64 {
        self.limits.spend.as_ref().map_or(0, |spend| spend.assumed_micros)
    }

    /// A reader of an answer's usage.
    pub(crate) fn reader(&self, form: Form) -> Reader {
        Reader::new(form, &self.pointers)
    }

    /// What `reader` found, at the prices of the plan; `None` when it found nothing.
    pub(crate) fn price(&self, reader: &Reader) -> Option<u64> {
        let prices = &self.limits.spend.as_ref()?.prices;
        let cost =
            |(price, found): (&Price, Option<u64>)| Some(price.micros.saturating_mul(found?));
        prices.iter().zip(reader.found()).filter_map(cost).reduce(u64::saturating_add)
    }
}

/// A request while it is counted.
#[derive(Debug)]
pub(crate) struct Metering {
    meters: Arc<Meters>,
    admitted: Admitted,
}

impl Metering {
    /// Counts body bytes; the answer is how long the next ones would have to wait.
    pub(crate) fn sent(&self, bytes: u64) -> Option<Duration> {
        self.admitted.sent(bytes, self.meters.now())
    }

    /// The request is on its way: it counts from here on, whatever becomes of it.
    pub(crate) fn depart(&mut self) {
        self.admitted.depart();
    }

    /// What the request really cost.
    pub(crate) fn settle(&mut self, micros: u64) {
        self.admitted.settle(micros);
    }
}

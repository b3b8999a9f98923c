//! Counts what sandboxes use of routes that have limits, and keeps the budgets over a restart.
//!
//! INVARIANT: what was used is keyed by sandbox and route id, or for a budget that routes have
//! together by sandbox and binding id, never by plan, so a swap gives nothing back. A route without
//! limits and without usage never comes here.

mod account;
mod bucket;
#[cfg(test)]
mod documented;
mod file;
mod price;
mod scan;
mod tally;
mod usage;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use sallygate_compiler::plan::{Limits, Price, Route, Spend, Usage, segments};

use crate::clock;

use account::{Account, Admitted, Moment};

pub(crate) use account::Over;
pub use file::BudgetError;
pub(crate) use tally::{Tally, Told};
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
    pub(crate) tally: Tally,
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
            tally: Tally::default(),
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

    /// Counts one more request of `sandbox` through `route`, or says what is over. A budget that
    /// routes have together is asked for what a model `runs` for only.
    pub(crate) fn begin(
        self: &Arc<Self>,
        sandbox: &Arc<str>,
        route: &Arc<str>,
        metered: &Metered,
        runs: bool,
    ) -> Result<Metering, Over> {
        let now = self.now();
        let begin = |of: &Arc<str>, limits: &Limits| {
            let account = self.account((Arc::clone(sandbox), Arc::clone(of)), now);
            account.begin(limits, now)
        };
        // What is refused further on gives back what it took here: it has not departed.
        let budget = metered.budget.as_ref().filter(|_| runs);
        let budget = budget.map(|limits| begin(&metered.binding, limits)).transpose()?;
        let own = metered.counts.then(|| begin(route, &metered.limits)).transpose()?;
        Ok(Metering { meters: Arc::clone(self), own, budget, runs })
    }

    /// Counts what an answer told of the models that ran.
    pub(crate) fn tell(&self, sandbox: &Arc<str>, metered: &Metered, told: &Told) {
        if let Some(connection) = &metered.connection {
            self.tally.add(sandbox, (&metered.binding, connection), told);
        }
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
        self.tally.forget(is_gone);
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

/// What is counted of a route, made ready.
#[derive(Debug)]
pub(crate) struct Metered {
    /// Those of the route alone.
    limits: Limits,
    counts: bool,
    /// The spend that all routes of the binding have together.
    budget: Option<Limits>,
    binding: Arc<str>,
    usage: Option<Usage>,
    /// The connection that tokens are counted for.
    connection: Option<Arc<str>>,
    /// Where numbers stand: those of the route's own prices, and after them those of usage.
    numbers: Vec<Vec<String>>,
    names: Vec<Vec<String>>,
}

impl Metered {
    /// `None`: nothing of this route is counted.
    pub(crate) fn new(route: &Route) -> Option<Self> {
        let (own, budget) = parted(&route.limits);
        let Limits { max_request_bytes: _, concurrency, bytes_out, uses, spend, .. } = &own;
        let counts = own.request_rate().is_some()
            || concurrency.is_some()
            || bytes_out.is_some()
            || uses.is_some()
            || spend.is_some();
        let usage = route.usage.clone();
        if !counts && budget.is_none() && usage.is_none() {
            return None;
        }
        let prices = spend.as_ref().map(|spend| spend.prices.as_slice()).unwrap_or_default();
        let tokens = usage.iter().flat_map(|usage| &usage.tokens);
        let tokens = tokens.flat_map(|tokens| &tokens.pointers).filter_map(|at| segments(at));
        let names = usage.iter().flat_map(|usage| &usage.model).filter_map(|at| segments(at));
        Some(Self {
            numbers: prices.iter().filter_map(Price::segments).chain(tokens).collect(),
            names: names.collect(),
            connection: usage.as_ref().map(|usage| usage.connection_id.as_str().into()),
            binding: route.binding_id.as_str().into(),
            limits: own,
            counts,
            budget,
            usage,
        })
    }

    /// Whether a model runs for a request.
    pub(crate) fn runs(&self, method: &Method, is_upgrade: bool) -> bool {
        let of = |usage: &Usage| usage.methods.iter().any(|name| name == method.as_str());
        self.usage.as_ref().is_some_and(|usage| is_upgrade || of(usage))
    }

    /// The connection that tokens are counted for.
    pub(crate) fn connection(&self) -> Option<&str> {
        self.connection.as_deref()
    }

    /// What the answer of a request is read for.
    pub(crate) fn reads(&self, metering: &Metering) -> Reads {
        let budget = self.budget.is_some() && metering.runs;
        match () {
            () if self.limits.spend.is_some() || budget => Reads::Cost,
            () if self.usage.is_some() && metering.runs => Reads::Tokens,
            () => Reads::Nothing,
        }
    }

    /// A reader of an answer's usage.
    pub(crate) fn reader(&self, form: Form) -> Reader {
        Reader::new(form, &self.numbers, &self.names)
    }

    /// What `reader` found, at the prices of the plan.
    pub(crate) fn told(&self, reader: &Reader) -> Found {
        let mut found = reader.found();
        let own = self.limits.spend.as_ref().and_then(|spend| {
            let cost =
                |(price, found): (&Price, Option<u64>)| Some(price.micros.saturating_mul(found?));
            let prices = spend.prices.iter();
            prices.zip(found.by_ref()).filter_map(cost).reduce(u64::saturating_add)
        });
        let usage = self.usage.as_ref();
        let tokens = usage.and_then(|usage| price::counts(usage, found));
        let micros = usage
            .zip(tokens.as_ref())
            .map(|(usage, tokens)| price::cost(&usage.prices, reader.name(), tokens));
        Found { own, told: Told { tokens, micros: micros.unwrap_or_default() } }
    }
}

/// The limits of a route alone, and the spend that it has together with others.
fn parted(limits: &Limits) -> (Limits, Option<Limits>) {
    let shared = |spend: &Spend| spend.prices.is_empty();
    match limits.spend.clone().filter(shared) {
        None => (limits.clone(), None),
        spend => {
            (Limits { spend: None, ..limits.clone() }, Some(Limits { spend, ..Limits::default() }))
        }
    }
}

/// What an answer is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Nothing,
    /// Counters, which an answer that cannot be read only misses.
    Tokens,
    /// A budget, past which nothing goes unread.
    Cost,
}

/// What was read of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// At the route's own prices.
    own: Option<u64>,
    pub(crate) told: Told,
}

/// A request while it is counted.
#[derive(Debug)]
pub(crate) struct Metering {
    meters: Arc<Meters>,
    own: Option<Admitted>,
    budget: Option<Admitted>,
    runs: bool,
}

impl Metering {
    /// Counts body bytes; the answer is how long the next ones would have to wait.
    pub(crate) fn sent(&self, bytes: u64) -> Option<Duration> {
        self.own.as_ref()?.sent(bytes, self.meters.now())
    }

    /// The request is on its way: it counts from here on, whatever becomes of it.
    pub(crate) fn depart(&mut self) {
        for admitted in self.own.iter_mut().chain(&mut self.budget) {
            admitted.depart();
        }
    }

    /// Puts what the request cost in the place of what was assumed.
    ///
    /// What `broke_off` costs at least what was assumed: the number at the end was never seen. An
    /// answer that tells nothing is free when it is an error.
    pub(crate) fn settle(&mut self, found: &Found, broke_off: bool, is_error: bool) {
        let budget = found.told.tokens.map(|_| found.told.micros);
        for (admitted, told) in [(&mut self.own, found.own), (&mut self.budget, budget)] {
            let Some(admitted) = admitted else { continue };
            match told {
                Some(micros) if broke_off => admitted.settle(micros.max(admitted.assumed())),
                Some(micros) => admitted.settle(micros),
                None if is_error => admitted.settle(0),
                None => {}
            }
        }
    }
}

//! Requests that wait for the operator, and what was decided about them.
//!
//! Sandboxes of a control service ask it, through an [`Approver`]. For all others there is a book in
//! memory: a restart forgets it, and whoever waits asks again.
//! INVARIANT: only an operator's yes grants anything, for one sandbox, route, method, URL and what
//! was read of the body; what nobody decided expires, which is its own standing and no denial.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use aws_lc_rs::digest;
use sallygate_compiler::content::Content;
use serde::Serialize;
use tokio::sync::watch;

use crate::id::ExchangeId;

/// Entries that the book may have.
const ENTRIES_MAX: usize = 10_000;
/// Requests of one sandbox that may wait at one time.
const PENDING_MAX: usize = 100;
/// A longer URL cannot be shown to the person who is to judge it.
const URL_BYTES_MAX: usize = 4096;
/// How long a request waits, and how long a yes for one request or a no stands.
const STANDING_SECONDS: i64 = 3600;
/// How long what is over can still be looked at.
const KEPT_SECONDS: i64 = 24 * 3600;
/// The longest time that may be approved.
pub(crate) const APPROVAL_SECONDS_MAX: i64 = 7 * 24 * 3600;

/// A request that needs a yes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) sandbox: &'a Arc<str>,
    pub(crate) route: &'a Arc<str>,
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    /// What was read of the body: a yes to one mutation is none to another at the same URL.
    pub(crate) content: &'a Content,
}

/// What the book says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted(Grant),
    Pending(String),
    Denied(String),
    TooMany,
    TooLong,
}

/// A yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    ForATime,
    /// For one request: it must be claimed, and whoever comes first has it.
    Once(String),
}

/// How an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nobody has decided.
    Pending,
    /// Until its time is over.
    Approved,
    /// For one request, which has not come yet.
    ApprovedOnce,
    /// Until its time is over.
    Denied,
    /// The one request has come.
    Used,
    /// Its time is over.
    Expired,
}

/// A held request, as whoever decides gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Id of the sandbox.
    pub sandbox: String,
    /// Id of the route that holds it.
    pub route: String,
    /// Method of the request.
    pub method: String,
    /// URL with its query.
    pub url: String,
    /// Of everything that a decision is about: also of what was read of the body.
    pub request_sha256: [u8; 32],
}

/// What whoever decides says about a held request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It may pass; `once`: when [`Approver::claim`] says so too.
    Granted {
        /// Id of the approval.
        id: String,
        /// For one request only.
        once: bool,
    },
    /// It waits under this id.
    Pending(String),
    /// It was refused under this id.
    Denied(String),
    /// Too many others wait.
    TooMany,
}

/// Nobody can be asked, or nothing is decided for this sandbox. The text is for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unruled(pub String);

/// Decides about held requests of a layer's sandboxes.
#[async_trait]
pub trait Approver: Send + Sync + fmt::Debug {
    /// What stands about a request; a decision is asked for where nothing does.
    async fn ask(&self, held: &Held) -> Result<Ruling, Unruled>;

    /// Uses up a yes for one request. `false`: another request has it.
    async fn claim(&self, sandbox: &str, id: &str) -> Result<bool, Unruled>;

    /// An approval of this sandbox.
    async fn find(&self, sandbox: &str, id: &str) -> Result<Option<Approval>, Unruled>;
}

impl Standing {
    fn is_over(self) -> bool {
        match self {
            Self::Pending | Self::Approved | Self::ApprovedOnce | Self::Denied => false,
            Self::Used | Self::Expired => true,
        }
    }
}

/// What the operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Once,
    /// For so many seconds.
    For(i64),
    Deny,
}

/// Why a decision changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecidable {
    Unknown,
    /// It was decided already, or is over.
    Settled(Standing),
}

/// One entry of the book, as it is shown.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// `apr_…`
    pub id: String,
    /// Id of the sandbox.
    pub sandbox: String,
    /// Id of the route that holds it.
    pub route: String,
    /// Method of the request.
    pub method: String,
    /// URL with its query.
    pub url: String,
    /// How it stands.
    pub standing: Standing,
    /// Seconds since the Unix epoch.
    pub asked_unix: i64,
    /// When it will no longer stand as it does.
    pub expires_unix: i64,
}

type RequestHash = [u8; 32];

impl Wanted<'_> {
    /// As an [`Approver`] gets it; `None` when nobody could judge it.
    pub(crate) fn to_held(self) -> Option<Held> {
        let request_sha256 = request_hash(&self);
        (self.url.len() <= URL_BYTES_MAX).then(|| Held {
            sandbox: self.sandbox.to_string(),
            route: self.route.to_string(),
            method: self.method.to_owned(),
            url: self.url.to_owned(),
            request_sha256,
        })
    }
}

/// The approvals of a proxy that stands alone.
#[derive(Debug)]
pub(crate) struct Approvals {
    book: Mutex<Book>,
    decisions: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<String, Approval>,
    /// The newest entry about a request.
    newest: HashMap<RequestHash, String>,
}

impl Default for Approvals {
    fn default() -> Self {
        Self { book: Mutex::default(), decisions: watch::channel(0).0 }
    }
}

impl Approvals {
    fn book(&self, now_unix: i64) -> MutexGuard<'_, Book> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.expire(now_unix);
        book
    }

    /// Tells when something was decided.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.decisions.subscribe()
    }

    /// What is decided about `wanted`; asks for a decision when there is none.
    pub(crate) fn ask(&self, wanted: &Wanted<'_>, now_unix: i64) -> Answer {
        if wanted.url.len() > URL_BYTES_MAX {
            return Answer::TooLong;
        }
        let request = request_hash(wanted);
        let mut book = self.book(now_unix);
        let known = book.newest.get(&request).cloned();
        if let Some(entry) = known.and_then(|id| book.entries.get(&id)) {
            match entry.standing {
                Standing::Pending => return Answer::Pending(entry.id.clone()),
                Standing::Approved => return Answer::Granted(Grant::ForATime),
                Standing::Denied => return Answer::Denied(entry.id.clone()),
                Standing::ApprovedOnce => return Answer::Granted(Grant::Once(entry.id.clone())),
                Standing::Used | Standing::Expired => {}
            }
        }
        book.open(wanted, request, now_unix).map_or(Answer::TooMany, Answer::Pending)
    }

    /// Uses up a yes for one request. `false`: another request has it.
    pub(crate) fn claim(&self, id: &str, now_unix: i64) -> bool {
        let mut book = self.book(now_unix);
        let entry = book.entries.get_mut(id);
        let once = entry.filter(|entry| entry.standing == Standing::ApprovedOnce);
        once.map(|entry| entry.standing = Standing::Used).is_some()
    }

    /// Decides about a request that waits.
    pub(crate) fn decide(
        &self,
        id: &str,
        decision: Decision,
        now_unix: i64,
    ) -> Result<Approval, Undecidable> {
        let mut book = self.book(now_unix);
        let entry = book.entries.get_mut(id).ok_or(Undecidable::Unknown)?;
        if entry.standing != Standing::Pending {
            return Err(Undecidable::Settled(entry.standing));
        }
        let (standing, seconds) = match decision {
            Decision::Once => (Standing::ApprovedOnce, STANDING_SECONDS),
            Decision::For(seconds) => (Standing::Approved, seconds.min(APPROVAL_SECONDS_MAX)),
            Decision::Deny => (Standing::Denied, STANDING_SECONDS),
        };
        entry.standing = standing;
        entry.expires_unix = now_unix.saturating_add(seconds);
        let decided = entry.clone();
        drop(book);
        self.decisions.send_modify(|count| *count = count.wrapping_add(1));
        Ok(decided)
    }

    /// The entry with this id.
    pub(crate) fn get(&self, id: &str, now_unix: i64) -> Option<Approval> {
        self.book(now_unix).entries.get(id).cloned()
    }

    /// Every entry, the oldest first.
    pub(crate) fn list(&self, now_unix: i64) -> Vec<Approval> {
        let mut all: Vec<_> = self.book(now_unix).entries.values().cloned().collect();
        all.sort_by(|a, b| (a.asked_unix, &a.id).cmp(&(b.asked_unix, &b.id)));
        all
    }
}

impl Book {
    fn expire(&mut self, now_unix: i64) {
        let due =
            |entry: &&mut Approval| !entry.standing.is_over() && entry.expires_unix <= now_unix;
        self.entries.values_mut().filter(due).for_each(|e| e.standing = Standing::Expired);
        let old = |e: &Approval| {
            e.standing.is_over() && e.expires_unix.saturating_add(KEPT_SECONDS) <= now_unix
        };
        self.remove(&old);
    }

    fn remove(&mut self, is_removed: &dyn Fn(&Approval) -> bool) {
        let Self { entries, newest } = self;
        let before = entries.len();
        entries.retain(|_, entry| !is_removed(entry));
        if entries.len() != before {
            newest.retain(|_, id| entries.contains_key(id));
        }
    }

    fn open(&mut self, wanted: &Wanted<'_>, request: RequestHash, now_unix: i64) -> Option<String> {
        let waits =
            |e: &&Approval| e.standing == Standing::Pending && *e.sandbox == **wanted.sandbox;
        if self.entries.values().filter(waits).count() >= PENDING_MAX {
            return None;
        }
        if self.entries.len() >= ENTRIES_MAX {
            self.remove(&|entry| entry.standing.is_over());
        }
        if self.entries.len() >= ENTRIES_MAX {
            return None;
        }
        let id = format!("apr_{}", ExchangeId::new());
        self.newest.insert(request, id.clone());
        self.entries.insert(
            id.clone(),
            Approval {
                id: id.clone(),
                sandbox: wanted.sandbox.to_string(),
                route: wanted.route.to_string(),
                method: wanted.method.to_owned(),
                url: wanted.url.to_owned(),
                standing: Standing::Pending,
                asked_unix: now_unix,
                expires_unix: now_unix.saturating_add(STANDING_SECONDS),
            },
        );
        Some(id)
    }
}

/// Every part with its length before it, so that no two requests hash the same bytes.
fn request_hash(wanted: &Wanted<'_>) -> RequestHash {
    let mut context = digest::Context::new(&digest::SHA256);
    let content = format!("{:?}", wanted.content);
    for part in [&**wanted.sandbox, &**wanted.route, wanted.method, wanted.url, &content] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut hash = [0; 32];
    for (slot, byte) in hash.iter_mut().zip(context.finish().as_ref()) {
        *slot = *byte;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn ask(approvals: &Approvals, [sandbox, route, method, url]: [&str; 4], now: i64) -> Answer {
        let (sandbox, route) = (Arc::from(sandbox), Arc::from(route));
        let (sandbox, route, content) = (&sandbox, &route, &Content::UNREAD);
        approvals.ask(&Wanted { sandbox, route, method, url, content }, now)
    }

    const REQUEST: [&str; 4] = ["box", "policy/pay", "POST", "https://a.test/pay"];

    fn pending(answer: Answer) -> String {
        let Answer::Pending(id) = answer else { panic!("not pending: {answer:?}") };
        id
    }

    #[test]
    fn a_request_waits_under_one_id_until_somebody_decides() {
        let approvals = Approvals::default();
        let id = pending(ask(&approvals, REQUEST, NOW));
        assert_eq!(pending(ask(&approvals, REQUEST, NOW + 1)), id);
        assert_eq!(approvals.list(NOW).len(), 1);
    }

    #[test]
    fn a_yes_for_one_request_lets_one_through() {
        let approvals = Approvals::default();
        let id = pending(ask(&approvals, REQUEST, NOW));
        assert!(!approvals.claim(&id, NOW));
        approvals.decide(&id, Decision::Once, NOW).unwrap();
        let once = Answer::Granted(Grant::Once(id.clone()));
        assert_eq!(ask(&approvals, REQUEST, NOW), once);
        assert_eq!(ask(&approvals, REQUEST, NOW), once, "asking uses nothing up");
        assert!(approvals.claim(&id, NOW));
        assert!(!approvals.claim(&id, NOW));
        assert_eq!(approvals.get(&id, NOW).unwrap().standing, Standing::Used);
        assert_ne!(pending(ask(&approvals, REQUEST, NOW)), id);
    }

    #[test]
    fn a_yes_is_for_nothing_but_the_request_that_was_shown() {
        let approvals = Approvals::default();
        let id = pending(ask(&approvals, REQUEST, NOW));
        approvals.decide(&id, Decision::For(60), NOW).unwrap();
        for other in [
            ["box2", "policy/pay", "POST", "https://a.test/pay"],
            ["box", "policy/pay2", "POST", "https://a.test/pay"],
            ["box", "policy/pay", "PUT", "https://a.test/pay"],
            ["box", "policy/pay", "POST", "https://a.test/pay?x"],
            ["box", "policy/payP", "OST", "https://a.test/pay"],
        ] {
            assert_ne!(pending(ask(&approvals, other, NOW)), id, "{other:?}");
        }
        let granted = Answer::Granted(Grant::ForATime);
        assert_eq!(ask(&approvals, REQUEST, NOW + 59), granted);
        assert!(!approvals.claim(&id, NOW));
        pending(ask(&approvals, REQUEST, NOW + 60));
        assert_eq!(approvals.get(&id, NOW + 60).unwrap().standing, Standing::Expired);
    }

    #[test]
    fn what_nobody_decides_expires_and_is_never_a_denial() {
        let approvals = Approvals::default();
        let id = pending(ask(&approvals, REQUEST, NOW));
        let late = NOW + STANDING_SECONDS;
        assert_eq!(approvals.get(&id, late).unwrap().standing, Standing::Expired);
        let settled = Undecidable::Settled(Standing::Expired);
        assert_eq!(approvals.decide(&id, Decision::Once, late).unwrap_err(), settled);
        assert_ne!(pending(ask(&approvals, REQUEST, late)), id);
        assert!(approvals.get(&id, late + KEPT_SECONDS + 1).is_none());
    }

    #[test]
    fn a_decision_stands_and_a_no_is_a_no() {
        let approvals = Approvals::default();
        let id = pending(ask(&approvals, REQUEST, NOW));
        approvals.decide(&id, Decision::Deny, NOW).unwrap();
        assert_eq!(ask(&approvals, REQUEST, NOW), Answer::Denied(id.clone()));
        let settled = Undecidable::Settled(Standing::Denied);
        assert_eq!(approvals.decide(&id, Decision::Once, NOW).unwrap_err(), settled);
        let unknown = approvals.decide("apr_0", Decision::Once, NOW).unwrap_err();
        assert_eq!(unknown, Undecidable::Unknown);
    }

    #[test]
    fn the_book_has_an_end() {
        let approvals = Approvals::default();
        for n in 0..PENDING_MAX {
            pending(ask(&approvals, ["box", "r", "GET", &format!("https://a.test/{n}")], NOW));
        }
        assert_eq!(ask(&approvals, REQUEST, NOW), Answer::TooMany);
        pending(ask(&approvals, ["other", "r", "GET", "https://a.test/"], NOW));
        let long = format!("https://a.test/{}", "x".repeat(URL_BYTES_MAX));
        assert_eq!(ask(&approvals, ["other", "r", "GET", &long], NOW), Answer::TooLong);
    }
}

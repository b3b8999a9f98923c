//! What was refused to one sandbox, for the summary at the end of its session.

use std::collections::BTreeMap;
use std::time::Duration;

use sallygate_proxy::record::Event;
use tokio::time::timeout;

use crate::client::Tail;
use crate::print;

/// A record is written shortly after its answer: when none came for this long, none will.
const QUIET: Duration = Duration::from_millis(150);
const QUIET_WITHIN: Duration = Duration::from_secs(2);
const SHOWN: usize = 8;

/// What is the same about several refusals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    method: String,
    host: String,
    code: String,
}

#[derive(Clone, Debug)]
struct Refusals {
    count: usize,
    detail: String,
    /// The last one: the freshest is the easiest to explain.
    decision: String,
}

/// Refusals of one sandbox, collected while it runs.
pub(super) struct Denials {
    tail: Tail,
    sandbox: String,
    kinds: BTreeMap<Kind, Refusals>,
    is_open: bool,
}

impl Denials {
    pub(super) fn new(tail: Tail, sandbox: &str) -> Self {
        Self { tail, sandbox: sandbox.to_owned(), kinds: BTreeMap::new(), is_open: true }
    }

    /// Collects until the proxy goes away.
    pub(super) async fn collect(&mut self) {
        while self.next().await {}
        self.is_open = false;
    }

    /// Takes what is still on its way.
    pub(super) async fn settle(&mut self) {
        let until_quiet =
            async { while self.is_open && timeout(QUIET, self.next()).await.unwrap_or(false) {} };
        // Somebody else's traffic may never be quiet.
        let _ = timeout(QUIET_WITHIN, until_quiet).await;
    }

    async fn next(&mut self) -> bool {
        let Some(line) = self.tail.next_line().await else { return false };
        let event: Event = serde_json::from_str(&line).unwrap_or_default();
        if event.sandbox != self.sandbox || event.verdict == "allow" || event.detail.is_empty() {
            return true;
        }
        let kind = Kind { method: event.method, host: event.host, code: event.code };
        let refusals = self.kinds.entry(kind).or_insert_with(|| Refusals {
            count: 0,
            detail: event.detail,
            decision: String::new(),
        });
        refusals.count += 1;
        refusals.decision = event.decision;
        true
    }

    /// Tells on stderr; nothing when nothing was refused.
    pub(super) fn tell(&self, program: &str, place: &str) {
        let total: usize = self.kinds.values().map(|refusals| refusals.count).sum();
        if total == 0 {
            return;
        }
        let requests = if total == 1 { "request" } else { "requests" };
        print::talk(format_args!("sallygate: {total} {requests} refused"));
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, refusals)| std::cmp::Reverse(refusals.count));
        for (Kind { method, host, code }, refusals) in kinds.iter().take(SHOWN) {
            let Refusals { count, detail, decision } = refusals;
            print::talk(format_args!("  {count}× {method} {host}  {code}: {detail}"));
            print::talk(format_args!("     {program} explain{place} {decision}"));
        }
        if let Some(more) = kinds.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            print::talk(format_args!("  and {more} more kinds: {program} tail{place} --denied"));
        }
    }
}

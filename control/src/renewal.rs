//! What is done about tokens without anybody asking: they are renewed before they end, and the
//! provider is told of those that are not wanted any more.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::change;
use crate::connect::Site;
use crate::domain::audit::{self, Change};
use crate::domain::connection::{Discarded, drop_discarded, take_discarded};
use crate::domain::resolve;
use crate::domain::{Act, DomainError};
use crate::oauth::{Due, Refresher};
use crate::resolver;
use crate::service::Control;
use crate::store::Access;

/// How often it is looked. A token that lives for a minute is renewed when it is asked for.
const EVERY: Duration = Duration::from_secs(15);
/// Connections of one pass, and how many of them at once: a slow provider holds up no other.
const DUE_MAX: i64 = 256;
const AT_ONCE: usize = 8;
/// A connection that was not renewed is tried again after this, then after twice as long.
const WAIT_MS: i64 = 30_000;
const WAIT_MS_MAX: i64 = 15 * 60_000;
/// A provider that was not told is told again after this, so often.
const TELL_AGAIN_MS: i64 = 10 * 60_000;
const TELLINGS_MAX: i64 = 12;
/// Providers that are told in one pass.
const TELL_MAX: usize = 32;

/// Renews what is due, again and again.
#[derive(Debug)]
pub struct Renewal {
    control: Control,
    waits: BTreeMap<String, Wait>,
}

/// A connection that was not renewed.
#[derive(Clone, Copy, Debug)]
struct Wait {
    until_ms: i64,
    next_ms: i64,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    pub renewed: usize,
    pub failed: usize,
    /// Tokens that providers were told of.
    pub told: usize,
}

impl Renewal {
    pub fn new(control: Control) -> Self {
        Self { control, waits: BTreeMap::new() }
    }

    /// Runs until the task is dropped.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.pass().await {
                tracing::warn!(code = error.code, "tokens are not renewed");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Looks once.
    pub async fn pass(&mut self) -> Result<Passed, DomainError> {
        let (store, vault) = (self.control.store.clone(), self.control.vault.clone());
        let now_ms = self.control.clock.now_ms();
        let due = Refresher { store, vault }.due(now_ms, DUE_MAX).await?;
        self.waits.retain(|id, _| due.iter().any(|due| due.connection == *id));
        let waits =
            |due: &Due| self.waits.get(&due.connection).is_some_and(|w| w.until_ms > now_ms);
        let due: Vec<Due> = due.into_iter().filter(|due| !waits(due)).collect();
        let mut passed = Passed::default();
        for some in due.chunks(AT_ONCE) {
            self.renew(some, &mut passed).await;
        }
        passed.told = self.tell().await?;
        Ok(passed)
    }

    async fn renew(&mut self, due: &[Due], passed: &mut Passed) {
        let mut under_way = JoinSet::new();
        for due in due.iter().cloned() {
            let control = self.control.clone();
            under_way.spawn(async move {
                let renewed = renew(&control, &due).await;
                (due.connection, renewed)
            });
        }
        while let Some(ended) = under_way.join_next().await {
            let Ok((connection, renewed)) = ended else { continue };
            match renewed {
                Ok(()) => {
                    passed.renewed += 1;
                    self.waits.remove(&connection);
                }
                Err(error) => {
                    passed.failed += 1;
                    tracing::warn!(code = error.code, connection.id = connection, "not renewed");
                    self.wait(connection);
                }
            }
        }
    }

    fn wait(&mut self, connection: String) {
        let now_ms = self.control.clock.now_ms();
        let wait_ms = self.waits.get(&connection).map_or(WAIT_MS, |wait| wait.next_ms);
        let next_ms = wait_ms.saturating_mul(2).min(WAIT_MS_MAX);
        self.waits.insert(connection, Wait { until_ms: now_ms.saturating_add(wait_ms), next_ms });
    }

    async fn tell(&self) -> Result<usize, DomainError> {
        let control = &self.control;
        let mut told = 0;
        for _ in 0..TELL_MAX {
            let now_ms = control.clock.now_ms();
            let times = (now_ms, now_ms.saturating_add(TELL_AGAIN_MS));
            let next: Result<Option<Discarded>, DomainError> =
                change!(control.store, |transaction| {
                    take_discarded(transaction, &control.vault, times).await
                });
            let Some(discarded) = next? else { break };
            let outcome = revoke(control, &discarded).await;
            let was_told = matches!(outcome, Ok(true));
            told += usize::from(was_told);
            if outcome.is_ok() || discarded.attempts >= TELLINGS_MAX {
                end(control, &discarded, was_told).await?;
            }
        }
        Ok(told)
    }
}

async fn renew(control: &Control, due: &Due) -> Result<(), DomainError> {
    let mut transaction = control.store.begin(Access::Read).await?;
    let which = (due.organisation.as_str(), due.connection.as_str());
    let permit = resolve::active(&mut *transaction, which).await?;
    drop(transaction);
    resolver::renew(control, &permit, due.revision).await.map(drop)
}

/// Tells the provider (RFC 7009). `false`: it has no such endpoint, or somebody typed the token in.
async fn revoke(control: &Control, discarded: &Discarded) -> Result<bool, DomainError> {
    let site = Site::find(control, &discarded.target_key).await?;
    let Ok(method) = site.method(Some(&discarded.method), resolver::has_tokens) else {
        return Ok(false);
    };
    let told = site.client(method)?.revoke(&discarded.token).await;
    if let Err(error) = &told {
        tracing::warn!(code = error.code(), connection.id = discarded.connection, "not revoked");
    }
    Ok(told?)
}

async fn end(control: &Control, discarded: &Discarded, told: bool) -> Result<(), DomainError> {
    let act = Act { actor: "service".to_owned(), now_ms: control.clock.now_ms() };
    change!(control.store, |transaction| {
        drop_discarded(transaction, &discarded.connection).await?;
        let change = Change {
            organisation: Some(&discarded.organisation),
            action: "connection.revoke_token",
            subject: &discarded.connection,
            before: None,
            after: Some(json!({ "told": told, "attempts": discarded.attempts })),
        };
        audit::record(transaction, &act, change).await
    })
}

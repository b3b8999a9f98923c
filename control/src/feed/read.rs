//! From the store to messages: what changed behind a place in the order of things, or everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value as Json;

use super::message::{
    CanaryTold, FormerTold, Message, PlanTold, ProfileTold, SandboxTold, SignerTold, lines,
};
use crate::domain::profile::{self, InForceOf};
use crate::domain::sandbox::{self, Live};
use crate::domain::{DomainError, Fault};
use crate::placeholders;
use crate::service::Control;
use crate::store::{
    Access, Notice, StoreError, Topic, Transaction, fetch_optional, notices_after, told,
};
use crate::values;

/// Notices that are told at one time: invalidations of all of them go ahead of the plans.
const NOTICES_MAX: i64 = 4096;

/// What everybody who was told up to `from` is told to be told up to `to`.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) from: i64,
    pub(super) to: i64,
    /// Proxies that are let in no more.
    pub(super) revoked: Vec<String>,
    pub(super) messages: Vec<Message>,
    pub(super) lines: Bytes,
}

/// What is behind `after`; everything, when that is not known any more, or is of another database.
pub(super) async fn batch(control: &Control, after: After<'_>) -> Result<Batch, DomainError> {
    let mut transaction = control.store.begin(Access::Read).await?;
    let installation = installation(&mut *transaction).await?;
    let told = told(&mut *transaction).await?;
    let from = match after {
        After::Sequence(sequence) => Some(sequence),
        After::Resume(text) => parse(text, &installation),
    };
    let from = from.filter(|from| (told.known_after..=told.newest).contains(from));
    let now_ms = control.clock.now_ms();
    let mut made = Made::default();
    let to = match from {
        Some(from) => {
            let notices = notices_after(&mut *transaction, from, NOTICES_MAX).await?;
            made.changes(&mut *transaction, &notices, now_ms).await?;
            notices.last().map_or(from, |notice| notice.sequence)
        }
        None => {
            made.everything(&mut *transaction, now_ms).await?;
            told.newest
        }
    };
    let resume = format!("{installation}.{to}");
    let placeholder_key = placeholders::key(&mut *transaction, &control.vault).await?;
    made.messages.push(Message::Commit { resume, placeholder_key });
    let unsayable =
        |_| DomainError::new(Fault::Internal, "unsayable", "what is in force cannot be told");
    let lines = lines(&made.messages).map_err(unsayable)?.into();
    let Made { messages, revoked } = made;
    Ok(Batch { from: from.unwrap_or(0), to, revoked, messages, lines })
}

/// From where somebody goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum After<'a> {
    Sequence(i64),
    /// What `commit` said, or nothing.
    Resume(Option<&'a str>),
}

fn parse(resume: Option<&str>, installation: &str) -> Option<i64> {
    let (of, sequence) = resume?.rsplit_once('.')?;
    sequence.parse().ok().filter(|_| of == installation)
}

/// For whom the tokens of proxies are made: it names this installation's database.
pub async fn installation(transaction: &mut dyn Transaction) -> Result<String, DomainError> {
    let sql = "SELECT installation FROM feed_position WHERE name = 'outbox'";
    let row = fetch_optional(transaction, sql, Vec::new()).await?;
    let found = row.ok_or(StoreError::Shape)?.optional_text()?;
    let missing = "this installation was never started";
    found.ok_or_else(|| DomainError::new(Fault::Unavailable, "not_prepared", missing))
}

#[derive(Default)]
struct Made {
    messages: Vec<Message>,
    revoked: Vec<String>,
}

impl Made {
    async fn everything(
        &mut self,
        transaction: &mut dyn Transaction,
        now_ms: i64,
    ) -> Result<(), DomainError> {
        self.messages.push(Message::Reset);
        for of in profile::all_in_force(transaction).await? {
            let told = profile_told(transaction, of).await?;
            self.messages.push(Message::Profile(told));
        }
        for live in sandbox::all_live(transaction, now_ms).await? {
            self.messages.extend(sandbox_told(live).map(Message::Sandbox));
        }
        Ok(())
    }

    /// What the notices are about, as it is now: first what must end.
    async fn changes(
        &mut self,
        transaction: &mut dyn Transaction,
        notices: &[Notice],
        now_ms: i64,
    ) -> Result<(), DomainError> {
        let connections = invalidated(transaction, notices).await?;
        if !connections.is_empty() {
            self.messages.push(Message::Forget { connections });
        }
        let (mut ended, mut live) = (Vec::new(), Vec::new());
        for id in named(notices, Topic::Sandbox, "sandboxId") {
            let found = sandbox::find_live(transaction, &id, now_ms).await?;
            match found.and_then(sandbox_told) {
                Some(told) => live.push(Message::Sandbox(told)),
                None => ended.push(id),
            }
        }
        if !ended.is_empty() {
            self.messages.push(Message::End { sandboxes: ended });
        }
        for id in named(notices, Topic::Published, "profileId") {
            let told = match profile::in_force_of(transaction, &id).await? {
                Some(of) => profile_told(transaction, of).await?,
                None => ProfileTold { id, plan: None, canary: None, targets: BTreeMap::new() },
            };
            self.messages.push(Message::Profile(told));
        }
        self.messages.extend(live);
        self.revoked = named(notices, Topic::Proxy, "proxyId").into_iter().collect();
        Ok(())
    }
}

fn named(notices: &[Notice], topic: Topic, key: &str) -> BTreeSet<String> {
    let of = notices.iter().filter(|notice| notice.topic == topic);
    let text = |notice: &Notice| notice.payload.get(key).and_then(Json::as_str).map(str::to_owned);
    of.filter_map(text).collect()
}

/// The connections that notices are about, directly or by their target.
async fn invalidated(
    transaction: &mut dyn Transaction,
    notices: &[Notice],
) -> Result<Vec<String>, DomainError> {
    let mut connections = named(notices, Topic::Invalidated, "connectionId");
    for target in named(notices, Topic::Invalidated, "targetKey") {
        let sql = "SELECT id FROM connections WHERE target_key = $1";
        for mut row in transaction.fetch(sql, values![target]).await? {
            connections.insert(row.text()?);
        }
    }
    Ok(connections.into_iter().collect())
}

async fn profile_told(
    transaction: &mut dyn Transaction,
    of: InForceOf,
) -> Result<ProfileTold, DomainError> {
    let mut targets = BTreeMap::new();
    let mut told =
        ProfileTold { id: of.profile, plan: None, canary: None, targets: BTreeMap::new() };
    if let Some(digest) = of.published {
        told.plan = Some(plan_told(transaction, &digest, &mut targets).await?);
    }
    if let Some((digest, percent)) = of.canary {
        let plan = plan_told(transaction, &digest, &mut targets).await?;
        told.canary = Some(CanaryTold { percent, plan });
    }
    Ok(ProfileTold { targets, ..told })
}

async fn plan_told(
    transaction: &mut dyn Transaction,
    digest: &str,
    targets: &mut BTreeMap<String, String>,
) -> Result<PlanTold, DomainError> {
    let plan = profile::plan(transaction, digest).await?;
    for reference in &plan.credentials {
        let sql = "SELECT target_key FROM connections WHERE id = $1";
        let row = fetch_optional(transaction, sql, values![&reference.connection_id]).await?;
        let target = row.map(|mut row| row.text()).transpose()?.unwrap_or_default();
        targets.insert(reference.connection_id.clone(), target);
    }
    Ok(PlanTold(Arc::new(plan)))
}

fn sandbox_told(live: Live) -> Option<SandboxTold> {
    let signer = live.signer().map(|signer| SignerTold {
        public_key: signer.public_key,
        generation: signer.generation,
        former_until_unix: signer.former_until_unix,
    });
    let Live { sandbox, token_sha256, former, .. } = live;
    let former = former.and_then(|(hash, until_ms)| {
        let token_sha256 = hash.try_into().ok()?;
        Some(FormerTold { token_sha256, until_unix: until_ms.div_euclid(1000) })
    });
    Some(SandboxTold {
        id: sandbox.id,
        profile: sandbox.profile,
        // A token whose hash is none is no token: the sandbox would be open to nobody.
        token_sha256: token_sha256.try_into().ok()?,
        former,
        signer,
        sources: sandbox.sources,
        // A sandbox never lives longer than it was said: the fraction is cut off.
        expires_unix: sandbox.expires_ms.map(|ms| ms.div_euclid(1000)),
    })
}

//! Triggers: rules over events.

use serde_json::{Map, Value as Json, json};

use super::endpoint;
use super::inbox::Recipient;
use super::rule::{Action, Rule};
use crate::domain::audit::{self, Change};
use crate::domain::connection::{self, Of};
use crate::domain::target::check_revision;
use crate::domain::{Act, DomainError, Fault, Issue, Page, PageOf, check, profile, sandbox};
use crate::id::IdKind;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

/// An event is held against all of them.
const TRIGGERS_MAX: i64 = 200;

/// A rule over the events of an organisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    pub id: String,
    pub display_name: String,
    pub enabled: bool,
    /// Only events of this connection.
    pub connection: Option<String>,
    pub rule: Map<String, Json>,
    /// Why it did nothing with an event that it was about, the last time.
    pub last_error: Option<String>,
    pub revision: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// What is said about a trigger.
#[derive(Clone, Copy, Debug)]
pub struct TriggerWanted<'w> {
    pub display_name: &'w str,
    pub enabled: bool,
    pub connection: Option<&'w str>,
    pub rule: &'w Map<String, Json>,
}

impl Trigger {
    fn shown(&self) -> Json {
        json!({
            "displayName": self.display_name,
            "enabled": self.enabled,
            "connectionId": self.connection,
            "rule": self.rule,
        })
    }
}

async fn check_wanted(
    transaction: &mut dyn Transaction,
    organisation: &str,
    wanted: &TriggerWanted<'_>,
) -> Result<(), DomainError> {
    check::name("displayName", wanted.display_name)?;
    let rule = Rule::parse(wanted.rule).map_err(DomainError::invalid)?;
    let mut issues = Vec::new();
    let absent = |field: &str, what: &str| {
        Issue::new("NOT_FOUND", field, format!("there is no such {what}"))
    };
    let named = match &rule.action {
        Action::Deliver { endpoint, .. } => {
            let found = endpoint::find(transaction, (organisation, endpoint)).await.map(drop);
            Some((found, "action.endpointId", "endpoint"))
        }
        Action::Sandbox { recipient: Recipient::Sandbox(id), .. } => {
            let found = sandbox::find(transaction, (organisation, id)).await.map(drop);
            Some((found, "action.sandboxId", "sandbox"))
        }
        Action::Sandbox { recipient: Recipient::Profile(id), .. } => {
            let found = profile::find(transaction, (organisation, id)).await.map(drop);
            Some((found, "action.profileId", "profile"))
        }
        Action::RefreshResources | Action::ConnectionError { .. } => None,
    };
    let of = match wanted.connection {
        Some(id) => {
            let found = connection::find(transaction, Of { organisation, id }).await.map(drop);
            Some((found, "connectionId", "connection"))
        }
        None => None,
    };
    for (found, field, what) in named.into_iter().chain(of) {
        match found {
            Ok(()) => {}
            Err(error) if error.fault == Fault::NotFound => issues.push(absent(field, what)),
            Err(error) => return Err(error),
        }
    }
    if issues.is_empty() { Ok(()) } else { Err(DomainError::invalid(issues)) }
}

pub async fn create(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, wanted): (&str, TriggerWanted<'_>),
) -> Result<Trigger, DomainError> {
    check_wanted(transaction, organisation, &wanted).await?;
    let count = "SELECT COUNT(*) FROM webhook_triggers WHERE organisation_id = $1";
    let row = fetch_optional(transaction, count, values![organisation]).await?;
    if row.ok_or(StoreError::Shape)?.integer()? >= TRIGGERS_MAX {
        let message = format!("an organisation has at most {TRIGGERS_MAX} triggers");
        return Err(DomainError::conflict("too_many_triggers", message));
    }
    let id = act.new_id(IdKind::WebhookTrigger)?.to_string();
    let sql = "INSERT INTO webhook_triggers (id, organisation_id, display_name, enabled, \
               connection_id, rule, revision, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7)";
    let values = values![
        &id,
        organisation,
        wanted.display_name,
        wanted.enabled,
        wanted.connection,
        Json::Object(wanted.rule.clone()).to_string(),
        act.now_ms,
    ];
    transaction.execute(sql, values).await?;
    let made = find(transaction, (organisation, &id)).await?;
    let change = ("webhook_trigger.create", None, Some(made.shown()));
    audited(transaction, act, (organisation, &id), change).await?;
    Ok(made)
}

pub async fn change(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, id): (&str, &str),
    (wanted, if_revision): (TriggerWanted<'_>, Option<i64>),
) -> Result<Trigger, DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    check_revision(Some(before.revision), if_revision)?;
    check_wanted(transaction, organisation, &wanted).await?;
    let sql = "UPDATE webhook_triggers SET display_name = $2, enabled = $3, connection_id = $4, \
               rule = $5, last_error = NULL, revision = revision + 1, updated_at = $6 \
               WHERE id = $1";
    let values = values![
        id,
        wanted.display_name,
        wanted.enabled,
        wanted.connection,
        Json::Object(wanted.rule.clone()).to_string(),
        act.now_ms,
    ];
    transaction.execute(sql, values).await?;
    let after = find(transaction, (organisation, id)).await?;
    let change = ("webhook_trigger.change", Some(before.shown()), Some(after.shown()));
    audited(transaction, act, (organisation, id), change).await?;
    Ok(after)
}

pub async fn delete(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, id): (&str, &str),
    if_revision: Option<i64>,
) -> Result<(), DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    check_revision(Some(before.revision), if_revision)?;
    transaction.execute("DELETE FROM webhook_triggers WHERE id = $1", values![id]).await?;
    let change = ("webhook_trigger.delete", Some(before.shown()), None);
    audited(transaction, act, (organisation, id), change).await
}

async fn audited(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, subject): (&str, &str),
    (action, before, after): (&'static str, Option<Json>, Option<Json>),
) -> Result<(), DomainError> {
    let change = Change { organisation: Some(organisation), action, subject, before, after };
    audit::record(transaction, act, change).await
}

/// Notes why a trigger did nothing with an event that it was about.
pub(super) async fn note_error(
    transaction: &mut dyn Transaction,
    (id, error): (&str, &str),
) -> Result<(), DomainError> {
    let sql = "UPDATE webhook_triggers SET last_error = $2 WHERE id = $1";
    transaction.execute(sql, values![id, error]).await?;
    Ok(())
}

pub async fn find(
    transaction: &mut dyn Transaction,
    (organisation, id): (&str, &str),
) -> Result<Trigger, DomainError> {
    let sql = "SELECT id, display_name, enabled, connection_id, rule, last_error, revision, \
               created_at, updated_at FROM webhook_triggers \
               WHERE id = $1 AND organisation_id = $2";
    let row = fetch_optional(transaction, sql, values![id, organisation]).await?;
    Ok(trigger(row.ok_or_else(|| DomainError::not_found("trigger"))?)?)
}

pub async fn list(
    transaction: &mut dyn Transaction,
    organisation: &str,
    page: &Page,
) -> Result<PageOf<Trigger>, DomainError> {
    let sql = "SELECT id, display_name, enabled, connection_id, rule, last_error, revision, \
               created_at, updated_at FROM webhook_triggers \
               WHERE organisation_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let rows = transaction.fetch(sql, values![organisation, &page.after, page.fetch()]).await?;
    let items = rows.into_iter().map(trigger).collect::<Result<_, _>>()?;
    Ok(page.cut(items, |trigger: &Trigger| trigger.id.clone()))
}

/// Those that an event of `connection` is held against.
pub(super) async fn concerned(
    transaction: &mut dyn Transaction,
    (organisation, connection): (&str, &str),
) -> Result<Vec<Trigger>, DomainError> {
    let sql = "SELECT id, display_name, enabled, connection_id, rule, last_error, revision, \
               created_at, updated_at FROM webhook_triggers \
               WHERE organisation_id = $1 AND enabled = 1 \
               AND (connection_id IS NULL OR connection_id = $2) ORDER BY id LIMIT $3";
    let rows = transaction.fetch(sql, values![organisation, connection, TRIGGERS_MAX]).await?;
    Ok(rows.into_iter().map(trigger).collect::<Result<_, _>>()?)
}

fn trigger(mut row: Row) -> Result<Trigger, StoreError> {
    Ok(Trigger {
        id: row.text()?,
        display_name: row.text()?,
        enabled: row.truth()?,
        connection: row.optional_text()?,
        // What is no object is a rule that cannot be read, which affects itself alone.
        rule: serde_json::from_str(&row.text()?).unwrap_or_default(),
        last_error: row.optional_text()?,
        revision: row.integer()?,
        created_ms: row.integer()?,
        updated_ms: row.integer()?,
    })
}

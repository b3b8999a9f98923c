//! Who changed what: each entry holds the hash of the one before, so that none can be taken out or
//! changed without all that follow.

use serde_json::{Value as Json, json};

use super::{Act, DomainError, Page, PageOf};
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::token::sha256_hex;
use crate::values;

/// A change that is written down in the transaction that makes it.
#[derive(Clone, Debug)]
pub struct Change<'c> {
    pub organisation: Option<&'c str>,
    /// `target.put`, `connection.delete`.
    pub action: &'static str,
    /// The key or id of what changed.
    pub subject: &'c str,
    /// As the API shows it: secrets are fingerprints there.
    pub before: Option<Json>,
    pub after: Option<Json>,
}

/// An entry as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub sequence: i64,
    pub at_ms: i64,
    pub actor: String,
    pub organisation: Option<String>,
    pub action: String,
    pub subject: String,
    pub before: Option<Json>,
    pub after: Option<Json>,
    pub hash: String,
}

const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Entry {
    fn hashed(&self, previous: &str) -> String {
        let line = json!([
            previous,
            self.sequence,
            self.at_ms,
            self.actor,
            self.organisation,
            self.action,
            self.subject,
            self.before,
            self.after,
        ]);
        sha256_hex(&line.to_string())
    }
}

/// Writes a change down.
pub async fn record(
    transaction: &mut dyn Transaction,
    act: &Act,
    change: Change<'_>,
) -> Result<(), DomainError> {
    Ok(write(transaction, act, change).await?)
}

/// [`record`], for whoever has no error but the store's.
pub(crate) async fn write(
    transaction: &mut dyn Transaction,
    act: &Act,
    change: Change<'_>,
) -> Result<(), StoreError> {
    let last = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";
    let (sequence, previous) = match fetch_optional(transaction, last, Vec::new()).await? {
        Some(mut row) => (row.integer()? + 1, row.text()?),
        None => (1, FIRST.to_owned()),
    };
    let mut entry = Entry {
        sequence,
        at_ms: act.now_ms,
        actor: act.actor.clone(),
        organisation: change.organisation.map(str::to_owned),
        action: change.action.to_owned(),
        subject: change.subject.to_owned(),
        before: change.before,
        after: change.after,
        hash: String::new(),
    };
    entry.hash = entry.hashed(&previous);
    let write = "INSERT INTO audit (sequence, at, actor, organisation_id, action, subject, \
                 before, after, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let text = |json: &Option<Json>| json.as_ref().map(Json::to_string);
    let (before, after) = (text(&entry.before), text(&entry.after));
    let values = values![
        entry.sequence,
        entry.at_ms,
        &entry.actor,
        entry.organisation.as_deref(),
        &entry.action,
        &entry.subject,
        before.as_deref(),
        after.as_deref(),
        &entry.hash,
    ];
    transaction.execute(write, values).await?;
    Ok(())
}

/// Entries of an organisation (or of all), oldest first.
pub async fn list(
    transaction: &mut dyn Transaction,
    organisation: Option<&str>,
    page: &Page,
) -> Result<PageOf<Entry>, DomainError> {
    let after: i64 = page.after.parse().unwrap_or(0);
    let find = "SELECT sequence, at, actor, organisation_id, action, subject, before, after, hash \
                FROM audit WHERE sequence > $1 AND ($2 IS NULL OR organisation_id = $2) \
                ORDER BY sequence LIMIT $3";
    let rows = transaction.fetch(find, values![after, organisation, page.fetch()]).await?;
    let entries = rows.into_iter().map(entry).collect::<Result<_, _>>()?;
    Ok(page.cut(entries, |entry: &Entry| entry.sequence.to_string()))
}

/// The first entry that does not follow from those before it.
pub async fn first_broken(transaction: &mut dyn Transaction) -> Result<Option<i64>, DomainError> {
    let (mut page, mut previous) = (Page { after: String::new(), most: 500 }, FIRST.to_owned());
    let mut expected = 1;
    loop {
        let PageOf { items, more_after } = list(transaction, None, &page).await?;
        for entry in items {
            if entry.sequence != expected || entry.hash != entry.hashed(&previous) {
                return Ok(Some(entry.sequence));
            }
            previous = entry.hash;
            expected += 1;
        }
        match more_after {
            Some(after) => page.after = after,
            None => return Ok(None),
        }
    }
}

fn entry(mut row: Row) -> Result<Entry, StoreError> {
    let json = |text: Option<String>| {
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| StoreError::Shape)
    };
    Ok(Entry {
        sequence: row.integer()?,
        at_ms: row.integer()?,
        actor: row.text()?,
        organisation: row.optional_text()?,
        action: row.text()?,
        subject: row.text()?,
        before: json(row.optional_text()?)?,
        after: json(row.optional_text()?)?,
        hash: row.text()?,
    })
}

//! Work that must be done, at least once, in order, by one at a time.
//!
//! A job is written in the transaction of what it is about. Whoever claims it has it for a time,
//! with a fence that grows with every claim: a worker that was away too long finds its number out of
//! date, and changes nothing. Jobs with one order key are claimed one after the other, in the
//! sequence of their events; one that is given up no longer holds up those behind it.

use std::sync::LazyLock;

use aws_lc_rs::rand;

use super::backoff::{self, ATTEMPTS_MAX};
use super::ingest::ROWS;
use crate::domain::{DomainError, Page, PageOf};
use crate::store::{Access, CLOCKS_APART_MS, Row, Store, StoreError, Transaction, Value, many};
use crate::values;

/// How long a claim holds. Longer than any delivery takes.
pub const LEASE_MS: i64 = 60_000;
/// How many jobs of one lane are worked on at once: an endpoint that hangs holds up itself alone.
const LANE_MAX: usize = 4;
/// How many jobs are looked at to find those that are claimed.
const LOOKED_AT: i64 = 256;

/// What a job is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// An event that was received: what follows from it.
    Event,
    /// A delivery to an endpoint.
    Delivery,
    /// A connection's resources, asked for anew.
    Refresh,
}

impl JobKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Delivery => "delivery",
            Self::Refresh => "refresh",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let kinds = [Self::Event, Self::Delivery, Self::Refresh];
        kinds.into_iter().find(|kind| kind.as_str() == text).ok_or(StoreError::Shape)
    }
}

/// A job that is added.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewJob<'n> {
    pub(super) subject: &'n str,
    pub(super) organisation: &'n str,
    pub(super) kind: JobKind,
    pub(super) sequence: i64,
    pub(super) order_key: Option<&'n str>,
    pub(super) lane: &'n str,
}

/// A job that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub subject: String,
    pub organisation: String,
    pub sequence: i64,
    /// This one included.
    pub attempts: i64,
    fence: i64,
    lane: String,
}

/// A job that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub subject: String,
    pub kind: JobKind,
    pub attempts: i64,
    pub last_error: Option<String>,
    pub created_ms: i64,
}

const ADD: &str = "INSERT INTO webhook_jobs (subject, organisation_id, kind, sequence, order_key, \
                   lane, state, attempts, fence, run_at, lease_until, created_at)";
const COLUMNS: usize = 12;

/// A row of the table.
pub(super) fn values_of(job: NewJob<'_>, now_ms: i64) -> Result<Vec<Value>, DomainError> {
    // A job of the same subject may have been done before: whoever still holds a claim of that one
    // must not be taken for the holder of this one.
    let mut bytes = [0u8; 7];
    rand::fill(&mut bytes).map_err(|_| DomainError::randomness())?;
    let fence = bytes.iter().fold(0i64, |number, byte| number << 8 | i64::from(*byte));
    Ok(values![
        job.subject,
        job.organisation,
        job.kind.as_str(),
        job.sequence,
        job.order_key,
        job.lane,
        "waiting",
        0,
        fence,
        now_ms,
        0,
        now_ms,
    ])
}

/// Adds one job, or [`ROWS`] of them, of subjects that have none.
pub(super) async fn add_new(
    transaction: &mut dyn Transaction,
    rows: Vec<Vec<Value>>,
) -> Result<(), DomainError> {
    static ONE: LazyLock<String> = LazyLock::new(|| many(ADD, (1, COLUMNS), ""));
    static ROW: LazyLock<String> = LazyLock::new(|| many(ADD, (ROWS, COLUMNS), ""));
    let sql = if rows.len() == ROWS { &*ROW } else { &*ONE };
    transaction.execute(sql, rows.into_iter().flatten().collect()).await?;
    Ok(())
}

/// Adds a job, or wakes up one that was given up. `false`: it waits or runs already.
pub(super) async fn add(
    transaction: &mut dyn Transaction,
    job: NewJob<'_>,
    now_ms: i64,
) -> Result<bool, DomainError> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let tail = "ON CONFLICT (subject) DO UPDATE SET state = 'waiting', attempts = 0, \
                    fence = webhook_jobs.fence + 1, run_at = $10, last_error = NULL \
                    WHERE webhook_jobs.state = 'dead'";
        many(ADD, (1, COLUMNS), tail)
    });
    Ok(transaction.execute(&SQL, values_of(job, now_ms)?).await? == 1)
}

/// Jobs that are due and whose turn it is, for at most [`LEASE_MS`].
pub async fn claim(
    store: &Store,
    kind: JobKind,
    (now_ms, most): (i64, usize),
) -> Result<Vec<Claimed>, DomainError> {
    let mut reading = store.begin(Access::Read).await?;
    let due = due(&mut *reading, kind, now_ms).await?;
    drop(reading);
    let due = in_lanes(kind, due, most);
    if due.is_empty() {
        return Ok(due);
    }
    let mut transaction = store.begin(Access::Locking).await?;
    let mut claimed = Vec::new();
    for mut job in due {
        let sql = "UPDATE webhook_jobs SET state = 'running', fence = fence + 1, \
                   attempts = attempts + 1, lease_until = $3 WHERE subject = $1 AND fence = $2";
        let values = values![&job.subject, job.fence, now_ms.saturating_add(LEASE_MS)];
        // Another worker may have been first: then the fence has grown.
        if transaction.execute(sql, values).await? == 1 {
            (job.fence, job.attempts) = (job.fence + 1, job.attempts + 1);
            claimed.push(job);
        }
    }
    transaction.commit().await?;
    Ok(claimed)
}

async fn due(
    transaction: &mut dyn Transaction,
    kind: JobKind,
    now_ms: i64,
) -> Result<Vec<Claimed>, DomainError> {
    // What is put off, or claimed, for longer than ever happens is of before a clock was set back;
    // and nothing is put off before it was tried.
    let sql = "SELECT subject, organisation_id, sequence, attempts, fence, lane \
               FROM webhook_jobs j WHERE kind = $1 \
               AND ((state = 'waiting' AND (attempts = 0 OR run_at <= $2 OR run_at > $6)) \
               OR (state = 'running' AND (lease_until <= $2 OR lease_until > $5))) \
               AND NOT EXISTS (SELECT 1 FROM webhook_jobs e WHERE e.order_key = j.order_key \
               AND e.sequence < j.sequence AND e.state <> 'dead') \
               AND (kind = 'event' OR (SELECT COUNT(*) FROM webhook_jobs r \
               WHERE r.lane = j.lane AND r.state = 'running' \
               AND r.lease_until > $2 AND r.lease_until <= $5) < $3) \
               ORDER BY sequence LIMIT $4";
    let lane_max = i64::try_from(LANE_MAX).unwrap_or(i64::MAX);
    let claimed_max = now_ms.saturating_add(LEASE_MS + CLOCKS_APART_MS);
    let put_off_max = now_ms.saturating_add(backoff::LONGEST_MS * 2);
    let values = values![kind.as_str(), now_ms, lane_max, LOOKED_AT, claimed_max, put_off_max];
    let rows = transaction.fetch(sql, values).await?;
    Ok(rows.into_iter().map(claimed).collect::<Result<_, _>>()?)
}

fn claimed(mut row: Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        subject: row.text()?,
        organisation: row.text()?,
        sequence: row.integer()?,
        attempts: row.integer()?,
        fence: row.integer()?,
        lane: row.text()?,
    })
}

fn in_lanes(kind: JobKind, due: Vec<Claimed>, most: usize) -> Vec<Claimed> {
    let mut taken: Vec<Claimed> = Vec::new();
    for job in due {
        let beside = taken.iter().filter(|other| other.lane == job.lane).count();
        if taken.len() < most && (kind == JobKind::Event || beside < LANE_MAX) {
            taken.push(job);
        }
    }
    taken
}

/// Ends a job that is done. `false`: it is another worker's by now, and nothing may be changed.
pub(super) async fn done(
    transaction: &mut dyn Transaction,
    job: &Claimed,
) -> Result<bool, DomainError> {
    let sql = "DELETE FROM webhook_jobs WHERE subject = $1 AND fence = $2";
    Ok(transaction.execute(sql, values![&job.subject, job.fence]).await? == 1)
}

/// What became of a job that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Later,
    GivenUp,
    /// It is another worker's by now.
    Lost,
}

/// Puts a job off, or gives it up after too many attempts.
pub(super) async fn failed(
    transaction: &mut dyn Transaction,
    job: &Claimed,
    (error, at_least_ms, now_ms): (&str, i64, i64),
) -> Result<Failed, DomainError> {
    if job.attempts >= ATTEMPTS_MAX {
        return give_up(transaction, job, error).await;
    }
    let wait = backoff::delay_ms(job.attempts, backoff::chance()).max(at_least_ms);
    let sql = "UPDATE webhook_jobs SET state = 'waiting', run_at = $3, last_error = $4 \
               WHERE subject = $1 AND fence = $2";
    let values = values![&job.subject, job.fence, now_ms.saturating_add(wait), error];
    let changed = transaction.execute(sql, values).await?;
    Ok(if changed == 1 { Failed::Later } else { Failed::Lost })
}

/// Gives a job up: it stays, for people to look at and to send again.
pub(super) async fn give_up(
    transaction: &mut dyn Transaction,
    job: &Claimed,
    error: &str,
) -> Result<Failed, DomainError> {
    let sql = "UPDATE webhook_jobs SET state = 'dead', last_error = $3 \
               WHERE subject = $1 AND fence = $2";
    let changed = transaction.execute(sql, values![&job.subject, job.fence, error]).await?;
    Ok(if changed == 1 { Failed::GivenUp } else { Failed::Lost })
}

/// What was given up, in the order of its ids.
pub async fn dead_letters(
    transaction: &mut dyn Transaction,
    organisation: &str,
    page: &Page,
) -> Result<PageOf<DeadLetter>, DomainError> {
    let sql = "SELECT subject, kind, attempts, last_error, created_at FROM webhook_jobs \
               WHERE organisation_id = $1 AND state = 'dead' AND subject > $2 \
               ORDER BY subject LIMIT $3";
    let rows = transaction.fetch(sql, values![organisation, &page.after, page.fetch()]).await?;
    let letter = |mut row: Row| {
        Ok(DeadLetter {
            subject: row.text()?,
            kind: JobKind::parse(&row.text()?)?,
            attempts: row.integer()?,
            last_error: row.optional_text()?,
            created_ms: row.integer()?,
        })
    };
    let letters = rows.into_iter().map(letter).collect::<Result<_, StoreError>>()?;
    Ok(page.cut(letters, |letter: &DeadLetter| letter.subject.clone()))
}

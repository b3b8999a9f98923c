//! A trigger wants a connection's resources asked for anew: a job, because the provider may be away,
//! and because nothing of it may hold up events.

use super::event::{self, WebhookEvent};
use super::queue::{self, Claimed, JobKind, NewJob};
use crate::domain::connection::Of;
use crate::domain::{Act, DomainError, Fault, resource};
use crate::resources;
use crate::service::Control;
use crate::store::{Access, Transaction};

/// What the subjects of such jobs begin with; the event and the trigger follow.
const SUBJECT: &str = "refresh/";

pub(super) async fn add(
    transaction: &mut dyn Transaction,
    act: &Act,
    (event, trigger): (&WebhookEvent, &str),
) -> Result<(), DomainError> {
    let job = NewJob {
        subject: &format!("{SUBJECT}{}/{trigger}", event.id),
        organisation: &event.organisation,
        kind: JobKind::Refresh,
        sequence: event.sequence,
        order_key: None,
        lane: &event.connection,
    };
    queue::add(transaction, job, act.now_ms).await.map(drop)
}

/// Asks, unless somebody did since the event came: many events of one kind ask once.
pub(super) async fn work(control: &Control, job: &Claimed) -> Result<(), DomainError> {
    let event = job.subject.strip_prefix(SUBJECT).and_then(|rest| rest.split('/').next());
    let mut reading = control.store.begin(Access::Read).await?;
    let about = (job.organisation.as_str(), event.unwrap_or_default());
    let event = event::find(&mut *reading, about).await?;
    let asked_ms = resource::asked_ms(&mut *reading, &event.connection).await?;
    drop(reading);
    if asked_ms.is_none_or(|asked| asked < event.received_ms) {
        let of = Of { organisation: &event.organisation, id: &event.connection };
        match resources::refresh(control, of, None).await {
            Ok(_) => {}
            // Asking again would not help: the connection is gone, or its provider refuses.
            Err(error) if error.fault != Fault::Unavailable => {
                return give_up(control, job, error).await;
            }
            Err(error) => return put_off(control, job, error).await,
        }
    }
    let mut transaction = control.store.begin(Access::Locking).await?;
    queue::done(&mut *transaction, job).await?;
    Ok(transaction.commit().await?)
}

async fn give_up(control: &Control, job: &Claimed, why: DomainError) -> Result<(), DomainError> {
    let mut transaction = control.store.begin(Access::Locking).await?;
    queue::give_up(&mut *transaction, job, why.code).await?;
    Ok(transaction.commit().await?)
}

/// The provider is away: not we, and not the database.
async fn put_off(control: &Control, job: &Claimed, why: DomainError) -> Result<(), DomainError> {
    let now_ms = control.clock.now_ms();
    let wait_ms = why.retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0);
    let mut transaction = control.store.begin(Access::Locking).await?;
    queue::failed(&mut *transaction, job, (why.code, wait_ms, now_ms)).await?;
    Ok(transaction.commit().await?)
}

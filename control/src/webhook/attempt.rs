//! One attempt to deliver: read what is due, send it, write what became of it. The time at the other
//! side passes outside of any transaction.

use sallygate_definitions::webhook::{WebhookSecret, sign};

use super::content;
use super::delivery::{self, Attempted, DeliveryStatus};
use super::endpoint::{self, EndpointStatus};
use super::process::ACTOR;
use super::queue::{self, Claimed, Failed};
use crate::change;
use crate::credentials::Plaintext;
use crate::domain::{Act, DomainError, Fault};
use crate::outbound::{OutboundError, Posted};
use crate::service::Control;
use crate::store::{Access, Transaction};

/// What is sent, and where.
#[derive(Debug)]
pub struct Ready {
    endpoint: String,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Plaintext,
}

/// What there is to do.
#[derive(Debug)]
pub enum Prepared {
    Send(Ready),
    /// It cannot be sent, now or ever.
    Never(&'static str),
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Answered(Posted),
    Failed(OutboundError),
    Never(&'static str),
}

/// Reads what is due, and signs it.
pub async fn prepare(control: &Control, job: &Claimed) -> Result<Prepared, DomainError> {
    let mut held = control.store.begin(Access::Read).await?;
    let transaction = &mut *held;
    let organisation = job.organisation.as_str();
    let delivery = delivery::find(transaction, (organisation, &job.subject)).await?;
    let at = (organisation, delivery.endpoint.as_str());
    let endpoint = match endpoint::find(transaction, at).await {
        Ok(endpoint) => endpoint,
        Err(error) if error.fault == Fault::NotFound => {
            return Ok(Prepared::Never("endpoint_deleted"));
        }
        Err(error) => return Err(error),
    };
    if endpoint.status == EndpointStatus::Disabled {
        return Ok(Prepared::Never("endpoint_disabled"));
    }
    let about = (organisation, job.subject.as_str());
    let Some(body) = content::open(transaction, &control.vault, about).await? else {
        return Ok(Prepared::Never("content_purged"));
    };
    let now_ms = control.clock.now_ms();
    let secrets = endpoint::signing(transaction, &control.vault, at, now_ms).await?;
    let seconds = u64::try_from(now_ms.div_euclid(1000)).unwrap_or(0);
    let signed = |secret: &Plaintext| {
        sign(&WebhookSecret::new(secret.expose()), &delivery.id, seconds, body.expose())
    };
    let signatures: Vec<String> = secrets.iter().filter_map(signed).collect();
    if signatures.is_empty() {
        return Ok(Prepared::Never("secret_missing"));
    }
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", delivery.id),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ];
    Ok(Prepared::Send(Ready { endpoint: endpoint.id, url: endpoint.url, headers, body }))
}

/// Sends it.
pub async fn send(control: &Control, prepared: &Prepared) -> Sent {
    let ready = match prepared {
        Prepared::Send(ready) => ready,
        Prepared::Never(why) => return Sent::Never(why),
    };
    let outbound = match &control.webhooks.outbound {
        Ok(outbound) => outbound,
        Err(error) => return Sent::Failed(*error),
    };
    let sent = outbound.post(&ready.url, &ready.headers, ready.body.expose().to_vec()).await;
    match sent {
        Ok(posted) => Sent::Answered(posted),
        Err(error) => Sent::Failed(error),
    }
}

/// Writes what became of it. `false`: the job is somebody else's by now.
pub async fn finish(
    control: &Control,
    (job, prepared): (&Claimed, &Prepared),
    sent: Sent,
) -> Result<bool, DomainError> {
    let now_ms = control.clock.now_ms();
    let is_gone = matches!(sent, Sent::Answered(posted) if posted.status.as_u16() == 410);
    if let (true, Prepared::Send(ready)) = (is_gone, prepared) {
        return change!(control.store, |transaction| {
            let written = write(transaction, job, (sent, now_ms)).await?;
            if written {
                let act = Act { actor: ACTOR.to_owned(), now_ms };
                let at = (job.organisation.as_str(), ready.endpoint.as_str());
                match endpoint::gone(transaction, &act, at).await {
                    Err(error) if error.fault != Fault::NotFound => return Err(error),
                    // Somebody deleted it in the meantime.
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(written)
        });
    }
    let mut transaction = control.store.begin(Access::Locking).await?;
    let written = write(&mut *transaction, job, (sent, now_ms)).await?;
    if written {
        transaction.commit().await?;
        control.webhooks.metrics.attempted(outcome(sent));
    }
    Ok(written)
}

fn outcome(sent: Sent) -> &'static str {
    match sent {
        Sent::Answered(posted) if posted.status.is_success() => "delivered",
        Sent::Answered(_) => "refused",
        Sent::Failed(error) => error.code(),
        Sent::Never(why) => why,
    }
}

async fn write(
    transaction: &mut dyn Transaction,
    job: &Claimed,
    (sent, now_ms): (Sent, i64),
) -> Result<bool, DomainError> {
    let (answered, error, wait_ms) = match sent {
        Sent::Answered(posted) if posted.status.is_success() => {
            if !queue::done(transaction, job).await? {
                return Ok(false);
            }
            let answered = Some(i64::from(posted.status.as_u16()));
            let attempted = Attempted { status: DeliveryStatus::Delivered, answered, error: None };
            delivery::record(transaction, (&job.subject, now_ms), attempted).await?;
            return Ok(true);
        }
        Sent::Answered(posted) => {
            let wait = posted.retry_after.map_or(0, |wait| wait.as_millis());
            let answered = i64::from(posted.status.as_u16());
            (Some(answered), "refused", i64::try_from(wait).unwrap_or(0))
        }
        Sent::Failed(error) => (None, error.code(), 0),
        Sent::Never(why) => (None, why, 0),
    };
    let for_good = answered == Some(410) || matches!(sent, Sent::Never(_));
    let failed = if for_good {
        queue::give_up(transaction, job, error).await?
    } else {
        queue::failed(transaction, job, (error, wait_ms, now_ms)).await?
    };
    let status = match failed {
        Failed::Lost => return Ok(false),
        Failed::Later => DeliveryStatus::Waiting,
        Failed::GivenUp => DeliveryStatus::Dead,
    };
    let attempted = Attempted { status, answered, error: Some(error) };
    delivery::record(transaction, (&job.subject, now_ms), attempted).await?;
    Ok(true)
}

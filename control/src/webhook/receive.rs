//! A call of a webhook: whether it is the provider's, and what is done with it.
//!
//! Nothing is written, and nothing is said that depends on whether a connection exists, before a
//! call was verified.

use axum::body::Bytes;
use sallygate_definitions::Registry;
use sallygate_definitions::webhook::{
    Check, Delivery, Event, Incoming, Refusal, Transport, Unreadable, WebhookSecret,
};

use super::candidate::{self, Addressed, Candidate, Source};
use super::content::Content;
use super::ingest::{NewEvent, Written};
use crate::domain::DomainError;
use crate::service::Control;
use crate::store::Access;

pub use super::candidate::sources;

/// A call as it came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub headers: Vec<(String, Vec<u8>)>,
    pub query: Option<String>,
    pub body: Bytes,
}

/// A call that was the provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is on disk.
    Accepted,
    /// It was there already.
    Duplicate,
    /// The provider asks whether somebody is there, and wants this back.
    Challenge(String),
    /// It is about nobody who is connected.
    Ignored,
}

/// Why a call was not taken.
#[derive(Debug)]
pub enum NotReceived {
    /// It is nobody's, as far as the sender is told.
    Unverified,
    /// It is the provider's, and no event.
    Unreadable(Unreadable),
    Failed(DomainError),
}

impl<E: Into<DomainError>> From<E> for NotReceived {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Whoever a call may be from, with the secrets that would prove it.
struct Possible<'r> {
    source: Source<'r>,
    /// `None`: nobody, or only the target itself.
    candidate: Option<Candidate>,
    secrets: Vec<WebhookSecret>,
}

/// Takes a call that came in for one of `sources`.
pub async fn receive(
    control: &Control,
    (addressed, sources): (&Addressed, &[Source<'_>]),
    arrival: &Arrival,
) -> Result<Received, NotReceived> {
    let headers: Vec<(&str, &[u8])> =
        arrival.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let query = arrival.query.as_deref();
    let delivery = Delivery { headers: &headers, query, body: &arrival.body };
    let possible = possible(control, (addressed, sources), &delivery).await?;
    let now_ms = control.clock.now_ms();
    let metrics = &control.webhooks.metrics;
    let mut refused = None;
    let mut answers = Vec::new();
    for one in &possible {
        let check = Check { secrets: &one.secrets, now_ms, legacy: one.source.options.legacy() };
        match one.source.handler.verify.verify(delivery, &check) {
            Ok(verified) => {
                let incoming = one.source.definition.incoming(&verified);
                answers.push((one, verified.transport(), incoming));
            }
            Err(refusal) => refused = Some((one, refusal)),
        }
    }
    let definition = |one: &Possible<'_>| one.source.definition.key().to_string();
    let Some((first, transport, incoming)) = answers.first() else {
        let (one, refusal) =
            refused.map_or((possible.first(), Refusal::Missing), |(one, r)| (Some(one), r));
        let name = one.map(definition).unwrap_or_default();
        metrics.received(&name, refusal.code());
        return Err(NotReceived::Unverified);
    };
    metrics.proven(&definition(first), *transport);
    let received = match incoming {
        Err(unreadable) => Err(NotReceived::Unreadable(*unreadable)),
        Ok(Incoming::Challenge(answer)) => Ok(Received::Challenge(answer.clone())),
        Ok(Incoming::Event(event)) => {
            let proven: Vec<_> = answers.iter().map(|(one, how, _)| (*one, *how)).collect();
            write(control, &proven, (event, arrival)).await
        }
    };
    metrics.received(&definition(first), outcome(&received));
    received
}

fn outcome(received: &Result<Received, NotReceived>) -> &'static str {
    match received {
        Ok(Received::Accepted) => "accepted",
        Ok(Received::Duplicate) => "duplicate",
        Ok(Received::Challenge(_)) => "challenge",
        Ok(Received::Ignored) => "ignored",
        Err(NotReceived::Unverified) => "unverified",
        Err(NotReceived::Unreadable(unreadable)) => unreadable.code(),
        Err(NotReceived::Failed(_)) => "failed",
    }
}

/// At least one for every source, so that as much is done for nobody as for somebody.
async fn possible<'r>(
    control: &Control,
    (addressed, sources): (&Addressed, &[Source<'r>]),
    delivery: &Delivery<'_>,
) -> Result<Vec<Possible<'r>>, DomainError> {
    let mut held = control.store.begin(Access::Read).await?;
    let transaction = &mut *held;
    let (vault, decoy) = (&control.vault, &control.webhooks.decoy);
    let mut possible = Vec::new();
    for source in sources {
        let named = source.definition.named_connection(delivery);
        let about = (addressed, named.as_deref());
        let found = candidate::candidates(transaction, source, about).await?;
        let shared = candidate::shared_secret(transaction, vault, source).await?;
        let mut candidates: Vec<Option<Candidate>> = found.into_iter().map(Some).collect();
        if candidates.is_empty() {
            candidates.push(None);
        }
        for candidate in candidates {
            let own = candidate::secrets(transaction, vault, candidate.as_ref(), decoy).await?;
            let secrets = own.into_iter().chain(shared.clone()).collect();
            possible.push(Possible { source: source.clone(), candidate, secrets });
        }
    }
    Ok(possible)
}

/// Writes the event for everybody whose secret proved it. Two organisations may be connected to the
/// same workspace, and each has its own event.
async fn write(
    control: &Control,
    proven: &[(&Possible<'_>, Transport)],
    (event, arrival): (&Event, &Arrival),
) -> Result<Received, NotReceived> {
    let content = Content::of(arrival).to_plaintext();
    let mut received = Received::Ignored;
    for (one, transport) in proven {
        let Some(candidate) = &one.candidate else { continue };
        let event = NewEvent {
            organisation: candidate.organisation.clone(),
            connection: candidate.id.clone(),
            target_key: one.source.target_key.clone(),
            definition: one.source.definition.key().to_string(),
            external_delivery_id: event.external_delivery_id.clone(),
            external_event_id: event.external_event_id.clone(),
            provider_event_type: event.provider_event_type.clone(),
            event_type: event.event_type.clone(),
            source_order_key: event.source_order_key.clone(),
            transport: transport.as_str(),
            occurred_at: event.occurred_at.clone(),
            received_ms: control.clock.now_ms(),
            content: content.clone(),
        };
        let with = (&control.store, &control.vault);
        match control.webhooks.ingest.write(with, event).await? {
            Written::New => received = Received::Accepted,
            Written::Duplicate if received == Received::Ignored => received = Received::Duplicate,
            Written::Duplicate => {}
        }
    }
    if received == Received::Accepted {
        control.webhooks.wake();
    }
    Ok(received)
}

/// The targets that a call at this address may be for.
pub async fn addressed<'r>(
    control: &Control,
    registry: &'r Registry,
    addressed: &Addressed,
) -> Result<Vec<Source<'r>>, DomainError> {
    let mut transaction = control.store.begin(Access::Read).await?;
    sources(&mut *transaction, registry, addressed).await
}

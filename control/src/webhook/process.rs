//! What follows from an event: deliveries, and what it means for its connection. Worked out first,
//! and then written in one transaction together with the end of its job, so that a worker that is
//! killed anywhere leaves either nothing or all of it.

use sallygate_definitions::contract::webhook::EventEffect;
use serde_json::{Value as Json, json};

use super::delivery::{self, NewDelivery};
use super::event::{self, WebhookEvent};
use super::inbox::{self, NewMessage, Recipient};
use super::queue::{self, Claimed};
use super::rule::{Action, Rule};
use super::template::Template;
use super::{endpoint, refresh, trigger};
use crate::change;
use crate::clock::rfc3339;
use crate::credentials::Plaintext;
use crate::domain::connection::{self, Of};
use crate::domain::{Act, DomainError, Fault};
use crate::service::Control;
use crate::store::{Access, Transaction};
use crate::values;

/// What somebody who works on the queue is called in the audit.
pub(super) const ACTOR: &str = "webhooks";

/// What follows from an event.
#[derive(Debug)]
pub struct Outcome {
    event: WebhookEvent,
    deliveries: Vec<Due>,
    /// For sandboxes.
    messages: Vec<Message>,
    /// Triggers that want its connection's resources asked for anew.
    refreshes: Vec<String>,
    /// Why its connection is no longer used.
    connection_error: Option<String>,
    /// Triggers that did nothing, with the reason.
    failed: Vec<(String, String)>,
}

/// A delivery that a trigger makes.
#[derive(Debug)]
struct Due {
    trigger: String,
    endpoint: String,
    body: Plaintext,
}

/// Something that a trigger puts where sandboxes find it.
#[derive(Debug)]
struct Message {
    trigger: String,
    recipient: Recipient,
    body: Plaintext,
}

/// Works out what follows; `None`: the content is no longer there.
pub async fn outcome(control: &Control, job: &Claimed) -> Result<Option<Outcome>, DomainError> {
    let mut held = control.store.begin(Access::Read).await?;
    let transaction = &mut *held;
    let about = (job.organisation.as_str(), job.subject.as_str());
    let event = event::find(transaction, about).await?;
    let Some(payload) = event::payload(transaction, &control.vault, about).await? else {
        return Ok(None);
    };
    let of = (event.organisation.as_str(), event.connection.as_str());
    let triggers = trigger::concerned(transaction, of).await?;
    let document = event.document(&payload);
    let definition = control.registry.find(&event.definition);
    let effect = definition.and_then(|definition| definition.effect_of(&event.event_type));
    let connection_error = effect.map(|effect| match effect {
        EventEffect::ConnectionError => format!("the provider said `{}`", event.event_type),
    });
    let mut outcome = Outcome {
        event,
        deliveries: Vec::new(),
        messages: Vec::new(),
        refreshes: Vec::new(),
        connection_error,
        failed: Vec::new(),
    };
    for trigger in triggers {
        outcome.add(&trigger.id, &Rule::parse(&trigger.rule).ok(), &document);
    }
    Ok(Some(outcome))
}

impl Outcome {
    fn add(&mut self, trigger: &str, rule: &Option<Rule>, document: &Json) {
        let Some(rule) = rule else {
            self.failed.push((trigger.to_owned(), "its rule cannot be read".to_owned()));
            return;
        };
        if !rule.matches(document) {
            return;
        }
        match &rule.action {
            Action::ConnectionError { reason } => self.connection_error = Some(reason.clone()),
            Action::RefreshResources => self.refreshes.push(trigger.to_owned()),
            Action::Deliver { endpoint, template } => {
                let Some(body) = self.body(trigger, (template.as_ref(), document)) else { return };
                let (trigger, endpoint) = (trigger.to_owned(), endpoint.clone());
                self.deliveries.push(Due { trigger, endpoint, body });
            }
            Action::Sandbox { recipient, template } => {
                let Some(body) = self.body(trigger, (template.as_ref(), document)) else { return };
                let (trigger, recipient) = (trigger.to_owned(), recipient.clone());
                self.messages.push(Message { trigger, recipient, body });
            }
        }
    }

    /// What is said of the event; `None`: the template does not fit, and that is noted.
    fn body(
        &mut self,
        trigger: &str,
        (template, document): (Option<&Template>, &Json),
    ) -> Option<Plaintext> {
        let data = match template {
            Some(template) => template.fill(document),
            None => Ok(envelope(&self.event, document)),
        };
        match data {
            Ok(data) => Some(Plaintext::new(data.to_string().into_bytes())),
            Err(error) => {
                self.failed.push((trigger.to_owned(), error.to_string()));
                None
            }
        }
    }
}

/// As Standard Webhooks recommends: what, when, and what of it.
fn envelope(event: &WebhookEvent, document: &Json) -> Json {
    json!({
        "type": event.event_type,
        "timestamp": rfc3339(event.received_ms),
        "data": document,
    })
}

/// Writes what follows. `false`: somebody else did, or does.
pub async fn finish(
    control: &Control,
    (job, outcome): (&Claimed, &Outcome),
) -> Result<bool, DomainError> {
    // A change of a connection is audited in a chain, which wants the strictest isolation; that is
    // rare, and everything else must not be told to try again.
    if outcome.connection_error.is_some() {
        let finished: Result<bool, DomainError> = change!(control.store, |transaction| {
            write(transaction, control, (job, outcome)).await
        });
        control.feed.wake();
        return finished;
    }
    let mut transaction = control.store.begin(Access::Locking).await?;
    let finished = write(&mut *transaction, control, (job, outcome)).await?;
    if finished {
        transaction.commit().await?;
    }
    Ok(finished)
}

/// Writes what follows from many events, none of which changes a connection, in one transaction.
/// An error leaves all of them as they were.
pub(super) async fn finish_many(
    control: &Control,
    outcomes: &[(Claimed, Outcome)],
) -> Result<(), DomainError> {
    let mut transaction = control.store.begin(Access::Locking).await?;
    for (job, outcome) in outcomes {
        write(&mut *transaction, control, (job, outcome)).await?;
    }
    transaction.commit().await?;
    Ok(())
}

impl Outcome {
    pub(super) fn changes_connection(&self) -> bool {
        self.connection_error.is_some()
    }
}

async fn write_for_sandboxes(
    transaction: &mut dyn Transaction,
    control: &Control,
    (act, outcome): (&Act, &Outcome),
) -> Result<(), DomainError> {
    let event = &outcome.event;
    for Message { trigger, recipient, body } in &outcome.messages {
        let new = NewMessage {
            organisation: &event.organisation,
            event: &event.id,
            trigger,
            round: event.round,
            sequence: event.sequence,
            body,
        };
        let missed = inbox::add(transaction, (act, &control.vault), (recipient, new)).await?;
        if let Some(why) = missed {
            trigger::note_error(transaction, (trigger, why)).await?;
        }
    }
    Ok(())
}

async fn write(
    transaction: &mut dyn Transaction,
    control: &Control,
    (job, outcome): (&Claimed, &Outcome),
) -> Result<bool, DomainError> {
    if !queue::done(transaction, job).await? {
        return Ok(false);
    }
    let act = Act { actor: ACTOR.to_owned(), now_ms: control.clock.now_ms() };
    let event = &outcome.event;
    let order_key = event.source_order_key.as_ref();
    let order_key = order_key.map(|key| format!("{}/{key}", event.connection));
    for due in &outcome.deliveries {
        let at = (event.organisation.as_str(), due.endpoint.as_str());
        match endpoint::find(transaction, at).await {
            Ok(_) => {}
            Err(error) if error.fault == Fault::NotFound => {
                let error = "its endpoint was deleted";
                trigger::note_error(transaction, (&due.trigger, error)).await?;
                continue;
            }
            Err(error) => return Err(error),
        }
        let new = NewDelivery {
            organisation: &event.organisation,
            event: &event.id,
            trigger: &due.trigger,
            endpoint: &due.endpoint,
            round: event.round,
            sequence: event.sequence,
            order_key: order_key.as_deref(),
            body: &due.body,
        };
        delivery::add(transaction, (&act, &control.vault), new).await?;
    }
    write_for_sandboxes(transaction, control, (&act, outcome)).await?;
    for trigger in &outcome.refreshes {
        refresh::add(transaction, &act, (event, trigger)).await?;
    }
    for (trigger, error) in &outcome.failed {
        trigger::note_error(transaction, (trigger, error)).await?;
    }
    if let Some(reason) = &outcome.connection_error {
        let of = Of { organisation: &event.organisation, id: &event.connection };
        connection::refuse(transaction, &act, of, reason).await?;
    }
    let sql = "UPDATE webhook_events SET processed_at = $2 WHERE id = $1";
    transaction.execute(sql, values![&event.id, act.now_ms]).await?;
    Ok(true)
}

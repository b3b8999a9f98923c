//! What a verified delivery says, in one form for every provider.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;

use super::delivery::{Delivery, VerifiedDelivery};
use super::{form, time};
use crate::contract::Definition;
use crate::contract::webhook::{EventEffect, RequestFields};

/// An event as it is stored, matched and delivered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What happened: the same in every delivery of it.
    pub external_event_id: String,
    /// This delivery: the same when it is repeated.
    pub external_delivery_id: String,
    /// As the provider names it.
    pub provider_event_type: String,
    /// `family.event.action`
    pub event_type: String,
    pub payload: Value,
    /// RFC 3339 in UTC; `None` when the payload does not say it.
    pub occurred_at: Option<String>,
    /// Events with the same key are worked on one after the other.
    pub source_order_key: Option<String>,
}

/// What is to be done with a verified delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    Event(Box<Event>),
    /// The provider asks whether somebody is there, and wants this back.
    Challenge(String),
}

/// Why a verified delivery is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    NotJson,
    /// It does not say what happened.
    NoType,
    /// The definition has no webhooks.
    NoWebhooks,
}

impl Unreadable {
    pub fn code(self) -> &'static str {
        match self {
            Self::NotJson => "payload_not_json",
            Self::NoType => "event_type_missing",
            Self::NoWebhooks => "webhooks_unknown",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotJson => "the payload is not JSON",
            Self::NoType => "the delivery does not say what happened",
            Self::NoWebhooks => "the definition has no webhooks",
        })
    }
}

impl std::error::Error for Unreadable {}

impl Definition {
    /// What a verified delivery says.
    pub fn incoming(&self, verified: &VerifiedDelivery<'_>) -> Result<Incoming, Unreadable> {
        let handler = self.webhook_handler.as_ref().ok_or(Unreadable::NoWebhooks)?;
        let fields = &handler.resolve_webhook_request;
        let delivery = verified.delivery();
        let payload = delivery.payload().ok_or(Unreadable::NotJson)?;
        if let Some(answer) = challenged(fields, &payload) {
            return Ok(Incoming::Challenge(answer));
        }
        let read = Read { fields, delivery, payload: &payload };
        let provider_event_type = read.event_type().ok_or(Unreadable::NoType)?;
        let event_type = self.event_type(&provider_event_type, read.action().as_deref());
        let external_event_id = read.event_id();
        let external_delivery_id = read
            .delivery_id()
            .or_else(|| external_event_id.clone())
            .unwrap_or_else(|| by_body(delivery));
        Ok(Incoming::Event(Box::new(Event {
            external_event_id: external_event_id.unwrap_or_else(|| external_delivery_id.clone()),
            external_delivery_id,
            provider_event_type,
            event_type,
            occurred_at: read.first(&fields.occurred_at_pointers, time::written),
            source_order_key: read.first(&fields.order_key_pointers, scalar),
            payload,
        })))
    }

    /// The value by which a delivery names its connection, before it is verified: it says only whose
    /// secrets are tried.
    pub fn named_connection(&self, delivery: &Delivery<'_>) -> Option<String> {
        let resolve = self.webhook_handler.as_ref()?.resolve_connection.as_ref()?;
        delivery.payload()?.pointer(&resolve.pointer).and_then(scalar)
    }

    /// What an event means for its connection, as the catalogue has it.
    pub fn effect_of(&self, event_type: &str) -> Option<EventEffect> {
        let listed = self.supported_webhook_events.iter();
        listed.filter(|event| event.event_type == event_type).find_map(|event| event.effect)
    }

    /// The catalogue's name of an event; what it does not list is named after the provider's.
    fn event_type(&self, provider: &str, action: Option<&str>) -> String {
        let listed = |name: &str| {
            let event =
                self.supported_webhook_events.iter().find(|e| e.provider_event_type == name);
            event.map(|event| event.event_type.clone())
        };
        let whole = action.and_then(|action| listed(&format!("{provider}.{action}")));
        if let Some(whole) = whole {
            return whole;
        }
        let base =
            listed(provider).unwrap_or_else(|| format!("{}.{}", self.family_id, plain(provider)));
        match action {
            Some(action) => format!("{base}.{}", plain(action)),
            None => base,
        }
    }
}

/// A delivery whose payload is at hand.
struct Read<'r> {
    fields: &'r RequestFields,
    delivery: &'r Delivery<'r>,
    payload: &'r Value,
}

impl Read<'_> {
    fn event_type(&self) -> Option<String> {
        self.either(self.fields.event_header.as_deref(), self.fields.event_pointer.as_deref())
    }

    fn action(&self) -> Option<String> {
        self.either(None, self.fields.action_pointer.as_deref())
    }

    fn event_id(&self) -> Option<String> {
        self.either(self.fields.event_id_header.as_deref(), self.fields.event_id_pointer.as_deref())
    }

    fn delivery_id(&self) -> Option<String> {
        self.either(self.fields.delivery_header.as_deref(), self.fields.delivery_pointer.as_deref())
    }

    fn either(&self, header: Option<&str>, pointer: Option<&str>) -> Option<String> {
        let header = header.and_then(|name| self.delivery.text(name)).map(str::to_owned);
        header.or_else(|| pointer.and_then(|at| self.payload.pointer(at)).and_then(scalar))
    }

    fn first(&self, pointers: &[String], read: fn(&Value) -> Option<String>) -> Option<String> {
        pointers.iter().find_map(|at| self.payload.pointer(at).and_then(read))
    }
}

impl Delivery<'_> {
    /// The body as JSON, or the JSON in the form field `payload`: GitHub sends either. It says
    /// nothing about who sent it: what is done with it stands on a verification.
    pub fn payload(&self) -> Option<Value> {
        let kind = self.text("content-type").unwrap_or("");
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return serde_json::from_slice(self.body).ok();
        }
        let form = std::str::from_utf8(self.body).ok()?;
        serde_json::from_str(&form::value(form, "payload").ok()??).ok()
    }
}

fn challenged(fields: &RequestFields, payload: &Value) -> Option<String> {
    let challenge = fields.challenge.as_ref()?;
    let asked = payload.pointer(&challenge.pointer)?.as_str()? == challenge.equals;
    let answer = payload.pointer(&challenge.answer_pointer)?.as_str()?;
    asked.then(|| answer.to_owned())
}

/// A value that can stand for itself.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

/// A part of an event's name: small letters, digits and `_`.
fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    text.chars().map(plain).collect()
}

/// What stands for a delivery that has no id: the same body is the same delivery.
fn by_body(delivery: &Delivery<'_>) -> String {
    let digest = digest(&SHA256, delivery.body);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

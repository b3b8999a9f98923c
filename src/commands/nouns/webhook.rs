//! `sallygate webhook`: what providers told us, and what goes out because of it.

use std::path::PathBuf;

use http::Method;
use serde_json::{Value, json};

use super::{Common, One, Request, object, segment};
use crate::exit::{Failure, Outcome};

const ALL: &str = "/v1/integration/webhooks";
const EVENT: [&str; 5] = ["id", "eventType", "connectionId", "receivedAt", "processedAt"];
const DELIVERY: [&str; 6] = ["id", "eventId", "status", "attempts", "lastStatus", "lastError"];
const ENDPOINT: [&str; 5] = ["id", "status", "url", "displayName", "secret"];
const TRIGGER: [&str; 4] = ["id", "enabled", "displayName", "lastError"];
const DEAD: [&str; 4] = ["subject", "kind", "attempts", "lastError"];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Events that providers sent
    #[command(subcommand)]
    Event(Told),
    /// Deliveries to endpoints
    #[command(subcommand)]
    Delivery(Told),
    /// What was given up; send it again with the `redeliver` of its event or delivery
    Dead(Common),
    /// Where deliveries go
    #[command(subcommand)]
    Endpoint(Endpoint),
    /// Which events lead to what
    #[command(subcommand)]
    Trigger(Trigger),
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Told {
    /// List them, oldest first
    List(Common),
    /// Look at one
    Get(One),
    /// Process or send one again
    Redeliver(One),
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Endpoint {
    /// List endpoints
    List(Common),
    /// Look at an endpoint
    Get(One),
    /// Make an endpoint; its secret is shown once
    Create(NewEndpoint),
    /// Make a new secret; the old one signs beside it for a time
    Rotate(Rotate),
    /// End deliveries to an endpoint
    Delete(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewEndpoint {
    /// Where deliveries go: `https`, at a public address
    url: String,
    /// What people call it [default: the URL]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// The endpoint's id
    id: String,
    /// How long the old secret signs beside the new one [default: a day]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(0..=604_800))]
    overlap: Option<i64>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Trigger {
    /// List triggers
    List(Common),
    /// Look at a trigger
    Get(One),
    /// Make a trigger
    Create(NewTrigger),
    /// Delete a trigger
    Delete(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewTrigger {
    /// What people call it
    name: String,
    /// JSON of the rule: `eventTypes`, `filter`, `action`; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Only events of this connection
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Event(command) => told("events", command, &EVENT),
        Command::Delivery(command) => told("deliveries", command, &DELIVERY),
        Command::Dead(common) => common.list(&format!("{ALL}/dead-letters"), &DEAD),
        Command::Endpoint(command) => endpoint(command),
        Command::Trigger(command) => trigger(command),
    }
}

fn told(what: &str, command: &Told, columns: &[&str]) -> Outcome {
    match command {
        Told::List(common) => common.list(&format!("{ALL}/{what}"), columns),
        Told::Get(one) => act(one, (Method::GET, what, ""), columns),
        Told::Redeliver(one) => act(one, (Method::POST, what, "/redeliver"), columns),
    }
}

fn act(
    One { id, common }: &One,
    (method, what, rest): (Method, &str, &str),
    columns: &[&str],
) -> Outcome {
    let path = format!("{ALL}/{what}/{}{rest}", segment(id)?);
    common.show(Request { method, path, body: None }, columns)
}

fn endpoint(command: &Endpoint) -> Outcome {
    match command {
        Endpoint::List(common) => common.list(&format!("{ALL}/endpoints"), &ENDPOINT),
        Endpoint::Get(one) => act(one, (Method::GET, "endpoints", ""), &ENDPOINT),
        Endpoint::Delete(one) => act(one, (Method::DELETE, "endpoints", ""), &ENDPOINT),
        Endpoint::Create(NewEndpoint { url, name, common }) => {
            let body = json!({ "displayName": name.as_ref().unwrap_or(url), "url": url });
            post(common, format!("{ALL}/endpoints"), &body, &ENDPOINT)
        }
        Endpoint::Rotate(Rotate { id, overlap, common }) => {
            let path = format!("{ALL}/endpoints/{}/rotate-secret", segment(id)?);
            post(common, path, &json!({ "overlapSeconds": overlap }), &ENDPOINT)
        }
    }
}

fn trigger(command: &Trigger) -> Outcome {
    match command {
        Trigger::List(common) => common.list(&format!("{ALL}/triggers"), &TRIGGER),
        Trigger::Get(one) => act(one, (Method::GET, "triggers", ""), &TRIGGER),
        Trigger::Delete(one) => act(one, (Method::DELETE, "triggers", ""), &TRIGGER),
        Trigger::Create(NewTrigger { name, from, connection, common }) => {
            let rule = object(from)?;
            let body = json!({ "displayName": name, "connectionId": connection, "rule": rule });
            post(common, format!("{ALL}/triggers"), &body, &TRIGGER)
        }
    }
}

fn post(common: &Common, path: String, body: &Value, columns: &[&str]) -> Result<(), Failure> {
    common.show(Request { method: Method::POST, path, body: Some(body) }, columns)
}

//! `sallygate approval`: requests that wait for a decision, and the decision.

use http::Method;
use serde_json::{Value, json};

use crate::exit::Outcome;
use crate::place::Place;
use crate::print::Format;
use crate::{client, print, runtime};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// What waits, and what was decided
    List(ListOptions),
    /// Let a request through: once, or for a time
    Approve(ApproveOptions),
    /// Refuse a request
    Deny(DenyOptions),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    place: Place,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ApproveOptions {
    /// Id of the approval, `apr_…`
    id: String,
    /// Let the same request through for so many seconds, instead of once
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    seconds: Option<u32>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DenyOptions {
    /// Id of the approval, `apr_…`
    id: String,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(options) => list(options),
        Command::Approve(options) => {
            let body = match options.seconds {
                None => json!({ "decision": "approve" }),
                Some(seconds) => json!({ "decision": "approve", "forSeconds": seconds }),
            };
            decide(&options.place, &options.id, &body)
        }
        Command::Deny(options) => {
            decide(&options.place, &options.id, &json!({ "decision": "deny" }))
        }
    }
}

fn list(options: &ListOptions) -> Outcome {
    let (_, admin) = client::connect(&options.place.data_dir())?;
    let answer = runtime::block_on(admin.call(Method::GET, "/v1/approvals", None))?;
    match options.output {
        Format::Json => print::data(&answer),
        Format::Human => {
            let approvals = answer.get("approvals").and_then(Value::as_array);
            for approval in approvals.into_iter().flatten() {
                print::data(line(approval));
            }
        }
    }
    Ok(())
}

fn decide(place: &Place, id: &str, body: &Value) -> Outcome {
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain {
        let message = format!("`{id}` is not the id of an approval");
        return Err(crate::exit::Failure::Usage(message));
    }
    let (_, admin) = client::connect(&place.data_dir())?;
    let path = format!("/v1/approvals/{id}");
    let answer = runtime::block_on(admin.call(Method::POST, &path, Some(body)))?;
    print::data(line(&answer));
    Ok(())
}

/// A URL comes from a sandbox, in the canonical form: it has no byte that a terminal would obey.
fn line(approval: &Value) -> String {
    let text = |key: &str| approval.get(key).and_then(Value::as_str).unwrap_or_default();
    let (id, standing, sandbox) = (text("id"), text("standing"), text("sandbox"));
    format!("{id}  {standing:<13} {sandbox}  {} {}", text("method"), text("url"))
}

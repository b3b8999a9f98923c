//! `sallygate sandbox`: running identities. A token is shown once.

use http::Method;
use serde_json::json;

use super::{Common, One, Request, segment};
use crate::exit::Outcome;

const ALL: &str = "/v1/sandboxes";
const COLUMNS: [&str; 5] = ["id", "profileId", "expiresAt", "revokedAt", "token"];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List sandboxes
    List(Common),
    /// Look at a sandbox
    Get(One),
    /// Make a sandbox
    Create(Create),
    /// Give it a new token; the old one ends
    Rotate(One),
    /// End it, and what it has in flight
    Revoke(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The profile's id
    #[arg(long)]
    profile: String,
    /// Until when it lives, such as 2027-01-01T00:00:00Z [default: until it is revoked]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// An address range whose connections are its own without a token
    #[arg(long = "source", value_name = "RANGE")]
    sources: Vec<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(common) => common.list(ALL, &COLUMNS),
        Command::Get(one) => act(one, Method::GET, ""),
        Command::Create(options) => create(options),
        Command::Rotate(one) => act(one, Method::POST, "/rotate-token"),
        Command::Revoke(one) => act(one, Method::POST, "/revoke"),
    }
}

fn act(One { id, common }: &One, method: Method, rest: &str) -> Outcome {
    let path = format!("{ALL}/{}{rest}", segment(id)?);
    common.show(Request { method, path, body: None }, &COLUMNS)
}

fn create(options: &Create) -> Outcome {
    let Create { profile, expires, sources, common } = options;
    let body = json!({ "profileId": profile, "expiresAt": expires, "sources": sources });
    let path = ALL.to_owned();
    common.show(Request { method: Method::POST, path, body: Some(&body) }, &COLUMNS)
}

//! `sallygate sandbox`: running identities. A token is shown once.

use http::Method;
use serde_json::json;

use super::{Common, One, Request, segment};
use crate::exit::Outcome;

const ALL: &str = "/v1/sandboxes";
const COLUMNS: [&str; 6] = ["id", "profileId", "expiresAt", "revokedAt", "token", "tokenExpiresAt"];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List sandboxes
    List(Common),
    /// Look at a sandbox
    Get(One),
    /// Make a sandbox
    Create(Create),
    /// Give it a new token; the old one ends
    Rotate(Rotate),
    /// Sign a token that is good for a while
    Sign(Sign),
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
    /// A signed token instead, for so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    signed: Option<u32>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    one: One,
    /// Seconds for which the old token is good beside the new one
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    overlap: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    #[command(flatten)]
    one: One,
    /// For so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(common) => common.list(ALL, &COLUMNS),
        Command::Get(one) => act(one, Method::GET, ""),
        Command::Create(options) => create(options),
        Command::Rotate(Rotate { one, overlap }) => {
            act(one, Method::POST, &format!("/rotate-token?overlapSeconds={overlap}"))
        }
        Command::Sign(Sign { one: One { id, common }, seconds }) => {
            let path = format!("{ALL}/{}/signed-tokens", segment(id)?);
            let body = json!({ "ttlSeconds": seconds });
            common.show(Request { method: Method::POST, path, body: Some(&body) }, &COLUMNS)
        }
        Command::Revoke(one) => act(one, Method::POST, "/revoke"),
    }
}

fn act(One { id, common }: &One, method: Method, rest: &str) -> Outcome {
    let path = format!("{ALL}/{}{rest}", segment(id)?);
    common.show(Request { method, path, body: None }, &COLUMNS)
}

fn create(options: &Create) -> Outcome {
    let Create { profile, expires, sources, signed, common } = options;
    let body = json!({
        "profileId": profile,
        "expiresAt": expires,
        "sources": sources,
        "signedTokenSeconds": signed,
    });
    let path = ALL.to_owned();
    common.show(Request { method: Method::POST, path, body: Some(&body) }, &COLUMNS)
}

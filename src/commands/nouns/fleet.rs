//! `sallygate fleet`: the proxies in processes of their own, and what they serve.

use http::Method;
use serde_json::json;

use super::{Common, One, Request, segment};
use crate::exit::Outcome;

const ALL: &str = "/v1/proxies";
const COLUMNS: [&str; 7] = ["id", "name", "version", "live", "seenAt", "revokedAt", "served"];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List proxies and what they serve
    List(Common),
    /// Look at a proxy
    Get(One),
    /// Make a token that lets one proxy in, once
    Invite(Invite),
    /// Let a proxy in no more: it forgets what it was told and lent
    Revoke(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Invite {
    /// What the proxy is called
    name: String,
    /// How long the token is good [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u32>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(common) => common.list(ALL, &COLUMNS),
        Command::Get(one) => act(one, Method::GET, ""),
        Command::Invite(options) => invite(options),
        Command::Revoke(one) => act(one, Method::POST, "/revoke"),
    }
}

fn act(One { id, common }: &One, method: Method, rest: &str) -> Outcome {
    let path = format!("{ALL}/{}{rest}", segment(id)?);
    common.show(Request { method, path, body: None }, &COLUMNS)
}

/// The token alone, so that it can be piped to where the proxy is.
fn invite(Invite { name, ttl, common }: &Invite) -> Outcome {
    let body = json!({ "name": name, "ttlSeconds": ttl });
    let path = format!("{ALL}/enrollments");
    common.show(Request { method: Method::POST, path, body: Some(&body) }, &["token"])
}

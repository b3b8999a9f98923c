//! `sallygate connection`: authenticated relationships to targets. Secrets come from files.

use std::path::PathBuf;

use http::Method;
use serde_json::{Map, json};

use super::connect::{self, Connect};
use super::{Common, One, Request, object, secret_file, secrets, segment};
use crate::exit::Outcome;

const ALL: &str = "/v1/integration/connections";
pub(super) const COLUMNS: [&str; 4] = ["id", "targetKey", "status", "displayName"];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List connections
    List(Common),
    /// Look at a connection
    Get(One),
    /// Connect to a target with secrets
    Create(Create),
    /// Connect at the provider: consent, install an app, or let a program prove itself
    Connect(Connect),
    /// Replace secrets
    Rotate(Rotate),
    /// End all use of a connection
    Revoke(One),
    /// Delete a connection that nothing in use binds
    Delete(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The target's key
    target: String,
    /// What people call it [default: the target's key]
    #[arg(long)]
    name: Option<String>,
    /// The form, where the definition has several
    #[arg(long)]
    method: Option<String>,
    /// JSON of the connection's `config`; `-` is standard input
    #[arg(long, value_name = "FILE")]
    config_from: Option<PathBuf>,
    /// A secret, read from a file
    #[arg(long = "secret", value_name = "FIELD=FILE", value_parser = secret_file, required = true)]
    secrets: Vec<(String, PathBuf)>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// The connection's id
    id: String,
    /// A secret, read from a file; those that are not named stay
    #[arg(long = "secret", value_name = "FIELD=FILE", value_parser = secret_file, required = true)]
    secrets: Vec<(String, PathBuf)>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(common) => common.list(ALL, &COLUMNS),
        Command::Get(one) => act(one, Method::GET, ""),
        Command::Create(options) => create(options),
        Command::Connect(options) => connect::run(options),
        Command::Rotate(options) => rotate(options),
        Command::Revoke(one) => act(one, Method::POST, "/revoke"),
        Command::Delete(one) => act(one, Method::DELETE, ""),
    }
}

fn act(One { id, common }: &One, method: Method, rest: &str) -> Outcome {
    let path = format!("{ALL}/{}{rest}", segment(id)?);
    common.show(Request { method, path, body: None }, &COLUMNS)
}

fn create(options: &Create) -> Outcome {
    let config = match &options.config_from {
        Some(path) => object(path)?,
        None => Map::new(),
    };
    let body = json!({
        "displayName": options.name.as_ref().unwrap_or(&options.target),
        "method": options.method,
        "config": config,
        "secrets": secrets(&options.secrets)?,
    });
    let path = format!("{ALL}/{}/form", segment(&options.target)?);
    options.common.show(Request { method: Method::POST, path, body: Some(&body) }, &COLUMNS)
}

fn rotate(options: &Rotate) -> Outcome {
    let body = json!({ "secrets": secrets(&options.secrets)? });
    let path = format!("{ALL}/{}/rotate-secret", segment(&options.id)?);
    options.common.show(Request { method: Method::POST, path, body: Some(&body) }, &COLUMNS)
}

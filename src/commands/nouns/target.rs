//! `sallygate target`: deployments of definitions.

use std::path::PathBuf;

use http::Method;
use serde_json::{Map, json};

use super::{Common, One, Request, object, secret_file, secrets, segment};
use crate::exit::Outcome;

const ALL: &str = "/v1/integration/targets";
const COLUMNS: [&str; 5] = ["key", "definition", "configStatus", "enabled", "displayName"];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List targets
    List(Common),
    /// Look at a target
    Get(One),
    /// Make or replace a target
    Put(Put),
    /// Let users connect
    Enable(One),
    /// End all use of a target
    Disable(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// Its key: `a-z`, `0-9` and `-`
    key: String,
    /// `family::variant`
    #[arg(long)]
    definition: String,
    /// What people call it [default: the key]
    #[arg(long)]
    name: Option<String>,
    /// JSON with `config` and `options`; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// A secret, read from a file
    #[arg(long = "secret", value_name = "FIELD=FILE", value_parser = secret_file)]
    secrets: Vec<(String, PathBuf)>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(common) => common.list(ALL, &COLUMNS),
        Command::Get(One { id, common }) => {
            let path = format!("{ALL}/{}", segment(id)?);
            common.show(Request { method: Method::GET, path, body: None }, &COLUMNS)
        }
        Command::Put(options) => put(options),
        Command::Enable(one) => act(one, "enable"),
        Command::Disable(one) => act(one, "disable"),
    }
}

fn act(One { id, common }: &One, verb: &str) -> Outcome {
    let path = format!("{ALL}/{}/{verb}", segment(id)?);
    common.show(Request { method: Method::POST, path, body: None }, &COLUMNS)
}

fn put(options: &Put) -> Outcome {
    let mut body = match &options.from {
        Some(path) => object(path)?,
        None => Map::new(),
    };
    body.insert("definition".to_owned(), json!(options.definition));
    body.insert("displayName".to_owned(), json!(options.name.as_ref().unwrap_or(&options.key)));
    if !options.secrets.is_empty() {
        body.insert("secrets".to_owned(), secrets(&options.secrets)?);
    }
    let path = format!("{ALL}/{}", segment(&options.key)?);
    let request = Request { method: Method::PUT, path, body: Some(&json!(body)) };
    options.common.show(request, &COLUMNS)
}

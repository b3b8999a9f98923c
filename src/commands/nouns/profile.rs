//! `sallygate profile`: what sandboxes may do, in versions.

use std::path::PathBuf;

use http::Method;
use serde_json::json;

use super::{Common, One, Request, object, segment};
use crate::exit::Outcome;

const ALL: &str = "/v1/sandbox/profiles";
const COLUMNS: [&str; 5] = ["id", "latestVersion", "publishedVersion", "publishedDigest", "name"];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List profiles
    List(Common),
    /// Look at a profile
    Get(One),
    /// Make a profile
    Create(Create),
    /// Write the next version: bindings and policy
    Write(FromFile),
    /// What a version would become, without writing it
    Compile(FromFile),
    /// Put a version in force; an older one is a rollback
    Publish(Publish),
    /// Let all sandboxes run what some of them run ahead of the others
    Promote(One),
    /// Let no sandbox run ahead of the others any more
    Abort(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What people call it
    name: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FromFile {
    /// The profile's id
    id: String,
    /// JSON with `bindings` and `policy`; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// The profile's id
    id: String,
    /// Which version [default: the newest]
    #[arg(long)]
    version: Option<u64>,
    /// Only for so many of a hundred sandboxes; the others go on with what is in force
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99))]
    percent: Option<u8>,
    /// Wait up to so many seconds until every live proxy serves it
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10))]
    wait: u64,
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
        Command::Create(Create { name, common }) => {
            let (path, body) = (ALL.to_owned(), json!({ "name": name }));
            common.show(Request { method: Method::POST, path, body: Some(&body) }, &COLUMNS)
        }
        Command::Write(options) => post(options, "versions", &["version", "planDigest"]),
        Command::Compile(options) => {
            post(options, "compile", &["planDigest", "errors", "warnings"])
        }
        Command::Publish(options) => publish(options),
        Command::Promote(one) => canary(one, "promote"),
        Command::Abort(one) => canary(one, "abort"),
    }
}

fn post(options: &FromFile, verb: &str, columns: &[&str]) -> Outcome {
    let body = json!(object(&options.from)?);
    let path = format!("{ALL}/{}/{verb}", segment(&options.id)?);
    options.common.show(Request { method: Method::POST, path, body: Some(&body) }, columns)
}

fn publish(options: &Publish) -> Outcome {
    let body = json!({ "version": options.version, "percent": options.percent });
    let path = format!("{ALL}/{}/publish?wait={}", segment(&options.id)?, options.wait);
    let columns = ["version", "planDigest", "acknowledged", "waitingFor"];
    options.common.show(Request { method: Method::POST, path, body: Some(&body) }, &columns)
}

fn canary(One { id, common }: &One, verb: &str) -> Outcome {
    let path = format!("{ALL}/{}/canary/{verb}", segment(id)?);
    let columns = ["id", "version", "publishedVersion", "planDigest"];
    common.show(Request { method: Method::POST, path, body: None }, &columns)
}

//! `sallygate explain`: why a request has its outcome, before it is sent or after.

mod advice;
mod decision;
mod request;

use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print::Format;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// `METHOD URL`, or a decision such as `dec_01KB…` (its beginning is enough)
    #[arg(required = true, num_args = 1..=2, value_names = ["METHOD|DECISION", "URL"])]
    what: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Profile whose policy is asked
    #[arg(long, value_name = "PROFILE", conflicts_with = "sandbox")]
    profile: Option<String>,
    /// Sandbox of the policy file whose profile is asked
    #[arg(long, value_name = "ID")]
    sandbox: Option<String>,
    /// A header of the request, for routes with conditions
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(options: &Options) -> Outcome {
    match options.what.as_slice() {
        [decision] if is_decision(decision) => decision::run(options, decision),
        [method, url] => request::run(options, method, url),
        [url] if url.contains("://") => request::run(options, "GET", url),
        _ => Err(Failure::Usage(
            "explain what? `METHOD https://host/path`, or a decision: `dec_…`".into(),
        )),
    }
}

/// A decision with or without its prefix: 26 characters of Crockford's base32, or their beginning.
fn is_decision(text: &str) -> bool {
    text.starts_with("dec_")
        || (text.len() == 26 && text.bytes().all(|b| b.is_ascii_alphanumeric()))
}

//! `sallygate proxy enroll`: makes this proxy known to a control service in another process, once.

use std::path::PathBuf;

use sallygate_control::fleet::Unreached;
use sallygate_control::installation::Installation;
use serde_json::json;

use crate::commands::ca::now;
use crate::control::remote::{self, Where};
use crate::exit::{Failure, Outcome, failed};
use crate::{configuration, print, runtime};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    there: Where,
    /// File with the token that lets this proxy in; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Configuration file: its data directory is where the proxy keeps its key
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    config: PathBuf,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let token = crate::commands::nouns::read(&options.token_file)?;
    let data_dir = configuration::data_dir(&options.config);
    Installation::open_or_create(&data_dir, now()).map_err(failed)?;
    let link = remote::link(&options.there, remote::identity(&data_dir)?)?;
    let enrolled = runtime::block_on(async { link.enroll(token.trim()).await.map_err(refusal) })?;
    remote::identity(&data_dir)?.remember(enrolled.clone()).map_err(failed)?;
    print::data(json!({ "proxyId": enrolled.proxy_id, "name": enrolled.name }));
    Ok(())
}

fn refusal(error: Unreached) -> Failure {
    match error {
        Unreached::Refused { .. } | Unreached::Revoked => Failure::Unauthorized(error.to_string()),
        Unreached::Away | Unreached::Later { .. } => Failure::Unavailable(error.to_string()),
        Unreached::Identity(error) => failed(error),
    }
}

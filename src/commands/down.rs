//! `sallygate down`: stops the proxy of a data directory, and waits until it is gone.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::exit::{Outcome, failed};
use crate::place::Place;
use crate::{print, running};

/// The longest grace time that a configuration can set, and a little.
const GONE_WITHIN: Duration = Duration::from_secs(3600 + 10);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Seconds to wait for it at most
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let dir = options.place.data_dir();
    let Some(running) = running::find(&dir) else {
        print::data("not running");
        return Ok(());
    };
    let pid = i32::try_from(running.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| failed("the running proxy has no process id"))?;
    kill_process(pid, Signal::TERM).map_err(failed)?;
    let patience = options.timeout.map_or(GONE_WITHIN, Duration::from_secs);
    if running::wait_until_gone(&dir, patience) {
        print::data("stopped");
        return Ok(());
    }
    Err(failed(format_args!("process {} is still draining", running.pid)))
}

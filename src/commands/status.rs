//! `sallygate status`: what runs from a data directory, and what it has in force.

use http::Method;
use serde_json::{Value, json};

use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print::Format;
use crate::running::Running;
use crate::{client, print, runtime};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let dir = options.place.data_dir();
    let (running, admin) = match client::connect(&dir) {
        Ok(found) => found,
        Err(failure @ Failure::Unavailable(_)) => {
            if options.output == Format::Json {
                print::data(json!({ "running": false }));
            }
            return Err(failure);
        }
        Err(other) => return Err(other),
    };
    let status = runtime::block_on(admin.call(Method::GET, "/v1/status", None))?;
    match options.output {
        Format::Json => print::data(json!({
            "running": true, "process": running, "status": status,
        })),
        Format::Human => print_human(&running, &status),
    }
    Ok(())
}

fn print_human(running: &Running, status: &Value) {
    let number = |key: &str| status.get(key).and_then(Value::as_u64).unwrap_or_default();
    let flag = |key: &str| status.get(key).and_then(Value::as_bool).unwrap_or_default();
    let state = if flag("draining") { "draining" } else { "running" };
    let uptime = sallygate_proxy::clock::wall_seconds().saturating_sub(running.started_unix);
    print::data(format_args!(
        "{state}    sallygate {}, process {}, for {uptime} s",
        running.version, running.pid
    ));
    for entrance in &running.proxy {
        print::data(format_args!("proxy      http://{entrance}"));
    }
    for socket in &running.unix {
        print::data(format_args!("proxy      {}", socket.display()));
    }
    print::data(format_args!("operator   http://{}", running.admin));
    print::data(format_args!("config     {}", running.config.display()));
    print::data(format_args!("sandboxes  {}", number("sandboxes")));
    let audit = if flag("auditHealthy") { "healthy" } else { "cannot be written" };
    print::data(format_args!("audit      {audit}"));
    let plans = status.get("plans").and_then(Value::as_array);
    for plan in plans.into_iter().flatten() {
        let text = |key: &str| plan.get(key).and_then(Value::as_str).unwrap_or_default();
        let routes = plan.get("routes").and_then(Value::as_u64).unwrap_or_default();
        let digest: String = text("digest").chars().take("sha256:".len() + 12).collect();
        print::data(format_args!("plan       {}  {routes} routes  {digest}", text("profile")));
    }
}

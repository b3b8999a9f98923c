//! `sallygate proxy`: the data plane in the foreground.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sallygate_proxy::{Addresses, Reload, Running};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::configuration::{self, Configuration, LogSettings};
use crate::exit::{Failure, Outcome, failed};
use crate::{environment, print};

/// How often files are looked at for changes.
const WATCH_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    config: PathBuf,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let configuration = configuration::load(&options.config)?;
    start_log(&configuration.log);
    for warning in configuration.warnings.iter() {
        tracing::warn!(code = warning.code, "{}", warning.message);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let outcome = runtime.block_on(serve(configuration, options.config.clone()));
    // Tasks that are still there hold connections whose time is over.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

async fn serve(configuration: Configuration, path: PathBuf) -> Outcome {
    let watched = watched_files(&path);
    let reload: Reload = {
        let path = path.clone();
        Arc::new(move || configuration::load(&path).map(|c| c.input))
    };
    let Configuration { proxy, input, .. } = configuration;
    let running = sallygate_proxy::start(proxy, input, reload).await.map_err(failed)?;
    print::data(ready_line(&running.addresses));
    tracing::info!(addresses = ?running.addresses, "ready");
    until_stopped(&running, &watched).await?;
    tracing::info!("draining");
    running.stop().await;
    Ok(())
}

fn ready_line(addresses: &Addresses) -> serde_json::Value {
    json!({ "ready": true, "proxy": addresses.proxy, "unix": addresses.unix, "admin": addresses.admin })
}

async fn until_stopped(running: &Running, watched: &[PathBuf]) -> Outcome {
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let mut tick = tokio::time::interval(WATCH_EVERY);
    let mut seen = stamps(watched);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload(running),
            _ = tick.tick() => {
                let now = stamps(watched);
                if now != seen {
                    seen = now;
                    reload(running);
                }
            }
        }
    }
}

fn reload(running: &Running) {
    if let Err(error) = running.reload() {
        // What is in force stays; the file is for its author to mend.
        tracing::error!("not reloaded, the running plan stays\n{error}");
    }
}

/// Modification times and sizes: a change of either is a change of the file.
fn stamps(paths: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    paths.iter().map(stamp).collect()
}

/// The configuration and every file beside it that policy may come from.
fn watched_files(config: &Path) -> Vec<PathBuf> {
    let base = config.parent().unwrap_or(Path::new(""));
    let mut paths = vec![config.to_path_buf()];
    let named = std::fs::read_to_string(config).ok().and_then(|text| text.parse::<toml::Table>().ok());
    let string = |key: &str| named.as_ref().and_then(|t| t.get(key)?.as_str().map(str::to_owned));
    paths.push(base.join(string("policy").unwrap_or_else(|| "policy.toml".into())));
    if let Some(plans) = named.as_ref().and_then(|t| t.get("plans")?.as_table()) {
        paths.extend(plans.values().filter_map(|v| v.as_str()).map(|path| base.join(path)));
    }
    paths
}

fn start_log(settings: &LogSettings) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = environment::log_filter().unwrap_or_else(|| settings.level.clone());
    let builder = fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(environment::wants_color());
    let started = if settings.json { builder.json().try_init() } else { builder.try_init() };
    if let Err(error) = started {
        print::talk(format_args!("the log cannot be started: {error}"));
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        failed(error)
    }
}

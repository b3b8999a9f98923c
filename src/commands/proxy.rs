//! `sallygate proxy`: the data plane in the foreground.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sallygate_compiler::diagnostic::Diagnostic;
use sallygate_control::feed::About;
use sallygate_proxy::{Addresses, Reload, Running};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::commands::enroll;
use crate::configuration::{self, Configuration, LogSettings};
use crate::control::remote::Where;
use crate::control::{self, Service, Start};
use crate::demo::Echo;
use crate::exit::{Failure, Outcome, failed};
use crate::running::{Claim, Running as Found};
use crate::{environment, integrations, placeholder_key, print};

/// How often files are looked at for changes.
const WATCH_EVERY: Duration = Duration::from_millis(300);

const CONTROL_STOPS_WITHIN: Duration = Duration::from_secs(2);

/// `sallygate proxy`, and what is done once before it.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Invocation {
    #[command(subcommand)]
    once: Option<Once>,
    #[command(flatten)]
    options: Options,
    /// The control service in another process: an https URL, or an http URL of this machine
    #[arg(long, value_name = "URL")]
    control: Option<String>,
    /// Authorities that its certificate may be of, beside the system's (PEM)
    #[arg(long, value_name = "FILE", requires = "control")]
    control_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Once {
    /// Make this proxy known to a control service in another process
    Enroll(enroll::Options),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    pub(crate) config: PathBuf,
    /// Listen here for sandboxes, instead of where the configuration says
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// Listen here for the operator, instead of where the configuration says
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// Run the control service here, instead of where the configuration says
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub(crate) control_listen: Option<SocketAddr>,
    /// Host and port under which sandboxes reach this proxy [default: where it listens]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Option<String>,
    /// Run the demo's upstream as well
    #[arg(long, hide = true)]
    pub(crate) demo_echo: bool,
}

pub(crate) fn run(invocation: &Invocation) -> Outcome {
    if let Some(Once::Enroll(options)) = &invocation.once {
        return enroll::run(options);
    }
    let ready = |running: Found| print::data(ready_line(&running));
    let control_ca = invocation.control_ca.clone();
    let remote = invocation.control.clone().map(|control| Where { control, control_ca });
    serve_until_stopped((&invocation.options, remote.as_ref()), ready)
}

/// Runs until it is stopped, and calls `ready` once when requests are served.
pub(crate) fn run_with(options: &Options, ready: impl FnOnce(Found)) -> Outcome {
    serve_until_stopped((options, None), ready)
}

fn serve_until_stopped(
    (options, remote): (&Options, Option<&Where>),
    ready: impl FnOnce(Found),
) -> Outcome {
    let files = watched_files(&options.config);
    // Stamped before they are read: a change while they are being read is noticed later.
    let watched = (files.clone(), stamps(&files));
    let configuration = configuration::load(&options.config)?;
    start_log(&configuration.log);
    for warning in configuration.warnings.iter() {
        tracing::warn!(code = %warning.code, "{}", warning.message);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let outcome = runtime.block_on(serve(configuration, watched, (options, remote), ready));
    // Tasks that are still there hold connections whose time is over.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

async fn serve(
    configuration: Configuration,
    watched: (Vec<PathBuf>, Stamps),
    (options, remote): (&Options, Option<&Where>),
    ready: impl FnOnce(Found),
) -> Outcome {
    // Before anything says that we are ready: what happens from then on must not be missed.
    let watch = Watch::begin(&options.config, watched)?;
    let Configuration { mut proxy, mut input, data_dir, control: config, registry, .. } =
        configuration;
    let echo = match options.demo_echo {
        true => Some(Echo::start(&data_dir).await?),
        false => None,
    };
    if let Some(echo) = &echo {
        echo.serve_target(&mut input);
    }
    placeholder_key::provide(&data_dir, &mut input)?;
    if let Some(listen) = options.listen {
        proxy.listen = vec![listen];
    }
    proxy.admin = options.admin_listen.unwrap_or(proxy.admin);
    let ca = proxy.ca.certificate.clone();
    let running = sallygate_proxy::start(proxy, input, reading((options, &data_dir), echo)).await;
    let running = running.map_err(failed)?;
    let about = about(options, (&running.addresses, &ca));
    let listening = match remote {
        Some(there) => Some(
            control::remote::attach(there, &data_dir, (running.handle(), about.clone())).await?,
        ),
        None => None,
    };
    // A proxy has one control service.
    let here = options.control_listen.or(config.listen).filter(|_| listening.is_none());
    let control = match here {
        Some(listen) => {
            let proxy = Some((running.handle(), about));
            let data_dir = data_dir.as_path();
            let start = Start { data_dir, listen, registry, config, proxy };
            Some(control::start(start).await?)
        }
        None => None,
    };
    let address = control.as_ref().map(Service::address);
    let found = found((&running.addresses, address), &options.config);
    let claim = claim(&data_dir, &found);
    ready(found);
    tracing::info!(addresses = ?running.addresses, "ready");
    until_stopped(&running, watch).await;
    tracing::info!("draining");
    if let Some(listening) = listening {
        listening.abort();
    }
    if let Some(control) = control {
        // It has a limit of its own: whoever waits for an answer must not hold up the end.
        let _ = tokio::time::timeout(CONTROL_STOPS_WITHIN, control.stop()).await;
    }
    running.stop().await;
    drop(claim);
    Ok(())
}

/// Where sandboxes find the proxy, and what they must trust there.
fn about(options: &Options, (addresses, ca): (&Addresses, &Path)) -> About {
    // An address that means all of them is none that a sandbox can connect to.
    let first = addresses.proxy.iter().find(|address| !address.ip().is_unspecified());
    let entrance = options.advertise.clone().or_else(|| first.map(ToString::to_string));
    About { entrance, ca_pem: std::fs::read_to_string(ca).ok() }
}

/// How policy is read again.
fn reading((options, data_dir): (&Options, &Path), echo: Option<Echo>) -> Reload {
    let (path, data_dir) = (options.config.clone(), data_dir.to_path_buf());
    Arc::new(move || {
        let mut input = configuration::load(&path)?.input;
        if let Some(echo) = &echo {
            echo.serve_target(&mut input);
        }
        placeholder_key::provide(&data_dir, &mut input)
            .map_err(|error| Diagnostic::error("FILE_UNREADABLE", error.to_string()))?;
        Ok(input)
    })
}

fn found((addresses, control): (&Addresses, Option<SocketAddr>), config: &Path) -> Found {
    Found {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        proxy: addresses.proxy.clone(),
        unix: addresses.unix.clone(),
        admin: addresses.admin.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))),
        control,
        config: config.canonicalize().unwrap_or_else(|_| config.to_path_buf()),
        started_unix: sallygate_proxy::clock::wall_seconds(),
    }
}

/// Lets the other commands find this process. Serving does not depend on it.
pub(crate) fn claim(data_dir: &Path, found: &Found) -> Option<Claim> {
    let claimed = Claim::take(data_dir).and_then(|claim| {
        let Some(mut claim) = claim else { return Ok(None) };
        claim.publish(found)?;
        Ok(Some(claim))
    });
    match claimed {
        Ok(Some(claim)) => Some(claim),
        Ok(None) => {
            tracing::warn!("another process runs from the same data directory");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "other commands will not find this process");
            None
        }
    }
}

fn ready_line(found: &Found) -> serde_json::Value {
    let Found { proxy, unix, admin, control, .. } = found;
    json!({ "ready": true, "proxy": proxy, "unix": unix, "admin": admin, "control": control })
}

/// What the process reacts to: signals, and changes of the files that it was made from.
struct Watch {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    config: PathBuf,
    files: Vec<PathBuf>,
    seen: Stamps,
    /// A change that was seen once.
    pending: Option<Stamps>,
}

impl Watch {
    /// `watched` are the files, with their stamps from before they were read.
    fn begin(config: &Path, (files, seen): (Vec<PathBuf>, Stamps)) -> Result<Self, Failure> {
        Ok(Self {
            config: config.to_path_buf(),
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            hangup: signal(SignalKind::hangup()).map_err(failed)?,
            files,
            seen,
            pending: None,
        })
    }

    /// Whether a file changed, and not since the last look: who is still writing would have half a
    /// file put in force, and half a policy may be one that allows nothing. Which files there are is asked again then: the configuration may
    /// name others, and definitions come and go.
    fn changed(&mut self) -> bool {
        let now = stamps(&self.files);
        if now == self.seen {
            self.pending = None;
            return false;
        }
        if self.pending.as_ref() != Some(&now) {
            self.pending = Some(now);
            return false;
        }
        self.pending = None;
        self.files = watched_files(&self.config);
        self.seen = stamps(&self.files);
        true
    }
}

async fn until_stopped(running: &Running, mut watch: Watch) {
    let mut tick = tokio::time::interval(WATCH_EVERY);
    loop {
        tokio::select! {
            _ = watch.terminate.recv() => return,
            _ = watch.interrupt.recv() => return,
            _ = watch.hangup.recv() => reload(running),
            _ = tick.tick() => {
                if watch.changed() {
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

/// See [`stamps`].
type Stamps = Vec<Option<(SystemTime, u64)>>;

/// Modification times and sizes: a change of either is a change of the file.
fn stamps(paths: &[PathBuf]) -> Stamps {
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
    let named =
        std::fs::read_to_string(config).ok().and_then(|text| text.parse::<toml::Table>().ok());
    let string = |key: &str| named.as_ref().and_then(|t| t.get(key)?.as_str().map(str::to_owned));
    paths.push(base.join(string("policy").unwrap_or_else(|| "policy.toml".into())));
    // The directory itself too: its time changes when a file comes or goes.
    let definitions = base.join(string("definitions_dir").unwrap_or(integrations::DEFAULT.into()));
    paths.extend(integrations::files(&definitions).unwrap_or_default());
    paths.push(definitions);
    if let Some(plans) = named.as_ref().and_then(|t| t.get("plans")?.as_table()) {
        paths.extend(plans.values().filter_map(|v| v.as_str()).map(|path| base.join(path)));
    }
    paths
}

pub(crate) fn start_log(settings: &LogSettings) {
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

//! Brings a proxy up, keeps it going, and takes it down without losing a request.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pingora::connectors::ConnectorOptions;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use sallygate_compiler::diagnostic::Diagnostics;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

use crate::admin;
use crate::approval::Approvals;
use crate::clock;
use crate::config::ProxyConfig;
use crate::limits::size;
use crate::listener::{self, AuthorityError, CertificateAuthority, Front};
use crate::listings::Listings;
use crate::meter::{BudgetError, Meters};
use crate::metrics::Metrics;
use crate::plan::{Handle, Input, PublishError, Store};
use crate::record::Recorder;
use crate::request::{Gateway, Shared};
use crate::upstream::{OwnListeners, Pool, Resolver};

/// How often expiries are looked at: what has expired ends within a second.
const EXPIRY_TICK: Duration = Duration::from_millis(250);

/// How often it is looked whether plans that are out of force are used no more, and which idle
/// upstream streams can go.
const SWEEP_TICK: Duration = Duration::from_millis(250);

/// How often budgets are written down.
const BUDGET_TICK: Duration = Duration::from_millis(250);

/// Why a proxy did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// Which address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The interception authority is missing or unusable.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The audit log cannot be written; without one no credential may be used.
    #[error("cannot write the audit log `{path}`: {source}")]
    Audit {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was used of budgets is not known, so nothing may be used of them.
    #[error(transparent)]
    Budgets(#[from] BudgetError),
    /// The plans cannot be put in force.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The resolver cannot be set up.
    #[error("the resolver cannot be set up: {0}")]
    Resolver(String),
    /// Two metrics share a name.
    #[error("metrics: {0}")]
    Metrics(String),
}

/// Reads configuration and policy again: what the operator's `reload` and SIGHUP do.
pub type Reload = Arc<dyn Fn() -> Result<Input, Diagnostics> + Send + Sync>;

/// Where a running proxy listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Explicit-proxy listeners.
    pub proxy: Vec<SocketAddr>,
    /// Unix sockets.
    pub unix: Vec<PathBuf>,
    /// The operator's listener.
    pub admin: Option<SocketAddr>,
}

/// A proxy that is up.
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    shared: Arc<Shared>,
    reload: Reload,
    shutdown: watch::Sender<bool>,
    alive: watch::Sender<()>,
    drain: Duration,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Starts listeners, puts `input` in force, and returns when requests are served.
pub async fn start(
    config: ProxyConfig,
    input: Input,
    reload: Reload,
) -> Result<Running, StartError> {
    let metrics = Arc::new(Metrics::new().map_err(|e| StartError::Metrics(e.to_string()))?);
    let limits = Arc::new(config.limits.clone());
    let authority =
        Arc::new(CertificateAuthority::load(&config.ca, &limits, Arc::clone(&metrics))?);
    let recorder =
        Recorder::open(&config.audit, size(limits.audit_queue_records), Arc::clone(&metrics))
            .map_err(|source| StartError::Audit { path: config.audit.clone(), source })?;
    let store = Arc::new(Store::new(Arc::clone(&metrics)));
    let shared = Arc::new(Shared {
        store: Arc::clone(&store),
        resolver: Resolver::new(&config.dns).map_err(StartError::Resolver)?,
        pool: Arc::new(Pool::new(
            ConnectorOptions::from_server_conf(&engine(&config)),
            size(limits.upstream_idle_max),
        )),
        own: OwnListeners::default(),
        recorder,
        metrics,
        limits: Arc::clone(&limits),
        egress_prefix: config.egress_prefix.clone(),
        meters: Arc::new(Meters::open(config.budgets.clone())?),
        approvals: Approvals::default(),
        listings: Listings::new(size(limits.git_references_max)),
        raw_path: config.raw_path,
        draining: AtomicBool::new(false),
    });
    store.publish(input)?;
    let (shutdown, shutdown_watch) = watch::channel(false);
    let (alive, _) = watch::channel(());
    let front = Arc::new(Front {
        shared: Arc::clone(&shared),
        proxy: Arc::new(http_proxy(&engine(&config), Gateway { shared: Arc::clone(&shared) })),
        authority,
        deny_in_tunnel: config.deny_in_tunnel,
        drain: Duration::from_secs(config.drain_seconds),
        shutdown: shutdown_watch,
        connections: Arc::new(Semaphore::new(
            size(limits.connections_max).min(Semaphore::MAX_PERMITS),
        )),
        alive: alive.clone(),
    });
    let addresses = listen(&config, &front).await?;
    let admin = bind(config.admin).await?;
    let mut addresses = addresses;
    addresses.admin = Some(own(&shared, &admin, config.admin)?);
    let state = admin::State {
        shared: Arc::clone(&shared),
        reload: Arc::clone(&reload),
        operator_token: config.operator_token.into(),
        addresses: addresses.clone(),
    };
    tokio::spawn(admin::serve(admin, state, shutdown.subscribe()));
    tokio::spawn(expire(Arc::clone(&store)));
    tokio::spawn(keep_budgets(Arc::clone(&shared)));
    tokio::spawn(sweep(store));
    tokio::spawn(sweep_pool(Arc::clone(&shared.pool)));
    Ok(Running {
        addresses,
        shared,
        reload,
        shutdown,
        alive,
        drain: Duration::from_secs(config.drain_seconds),
    })
}

/// Pingora's own settings, where they differ from its defaults.
fn engine(config: &ProxyConfig) -> Arc<ServerConf> {
    Arc::new(ServerConf {
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        upstream_keepalive_pool_size: size(config.limits.upstream_idle_max),
        max_retries: 3,
        ..ServerConf::default()
    })
}

async fn listen(config: &ProxyConfig, front: &Arc<Front>) -> Result<Addresses, StartError> {
    let mut addresses = Addresses::default();
    for wanted in &config.listen {
        let listener = bind(*wanted).await?;
        addresses.proxy.push(own(&front.shared, &listener, *wanted)?);
        tokio::spawn(listener::serve_tcp(listener, Arc::clone(front)));
    }
    for socket in &config.unix {
        let listener = bind_unix(&socket.path).map_err(|source| StartError::Listen {
            address: socket.path.display().to_string(),
            source,
        })?;
        addresses.unix.push(socket.path.clone());
        tokio::spawn(listener::serve_unix(
            listener,
            socket.sandbox.as_str().into(),
            Arc::clone(front),
        ));
    }
    Ok(addresses)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address: address.to_string(), source })
}

/// The listener's real address, remembered as one that is never an upstream.
fn own(
    shared: &Shared,
    listener: &TcpListener,
    wanted: SocketAddr,
) -> Result<SocketAddr, StartError> {
    let address = listener
        .local_addr()
        .map_err(|source| StartError::Listen { address: wanted.to_string(), source })?;
    shared.own.add(address);
    Ok(address)
}

/// A socket file left behind by a process that is gone is replaced; one that answers is not.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

async fn expire(store: Arc<Store>) {
    let mut tick = tokio::time::interval(EXPIRY_TICK);
    let mut before = clock::wall_seconds();
    loop {
        tick.tick().await;
        let now = clock::wall_seconds();
        store.expire(before, now);
        before = now;
    }
}

/// Frees plans that are out of force, off the data path.
async fn sweep(store: Arc<Store>) {
    let mut tick = tokio::time::interval(SWEEP_TICK);
    loop {
        tick.tick().await;
        if store.has_retired() {
            let store = Arc::clone(&store);
            // It has no result, and what it did not come to is done the next time.
            let _ = tokio::task::spawn_blocking(move || store.sweep()).await;
        }
    }
}

/// Lets go of idle upstream streams whose time is over.
async fn sweep_pool(pool: Arc<Pool>) {
    let mut tick = tokio::time::interval(SWEEP_TICK);
    loop {
        tick.tick().await;
        pool.sweep();
    }
}

/// Writes budgets down, off the data path. What a process that is killed has not yet written is
/// at most what was used within one tick.
async fn keep_budgets(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(BUDGET_TICK);
    loop {
        tick.tick().await;
        let shared = Arc::clone(&shared);
        let saved = tokio::task::spawn_blocking(move || save_budgets(&shared)).await;
        if let Ok(Err(error)) = saved {
            tracing::error!(%error, "budgets are not written");
        }
    }
}

fn save_budgets(shared: &Shared) -> Result<(), BudgetError> {
    let generation = shared.store.load();
    shared.meters.forget(&|sandbox| generation.sandbox(sandbox).is_none());
    shared.meters.save()
}

impl Running {
    /// Reads everything again and puts it in force. What was in force stays when that fails.
    pub fn reload(&self) -> Result<u64, ReloadError> {
        reload(&self.shared.store, &self.reload)
    }

    /// A way to put a control service's plans in force.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared.store))
    }

    /// Stops accepting, lets what is in flight finish up to the grace time, and flushes the record.
    pub async fn stop(self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shutdown.send_replace(true);
        let drained = tokio::time::timeout(self.drain, self.alive.closed()).await;
        if drained.is_err() {
            tracing::warn!("the grace time is over; connections are closed");
        }
        if let Err(error) = self.shared.meters.save() {
            tracing::error!(%error, "budgets are not written");
        }
        self.shared.recorder.flush();
    }
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Configuration or policy is wrong.
    #[error("{0}")]
    Diagnostics(Diagnostics),
    /// The plans cannot be put in force.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

pub(crate) fn reload(store: &Store, read: &Reload) -> Result<u64, ReloadError> {
    let turn = store.turn();
    let input = read().map_err(ReloadError::Diagnostics)?;
    let number = store.publish(input)?;
    drop(turn);
    tracing::info!(plan.generation = number, "plans reloaded");
    Ok(number)
}

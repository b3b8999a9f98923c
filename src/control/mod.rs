//! The control service in this process: its store, its keys and its API, and the proxy beside it
//! where there is one.

mod keys;
mod login;
mod proxy;
pub(crate) mod remote;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sallygate_control::api::{self, Gate, Serving};
use sallygate_control::clock::Clock;
use sallygate_control::credentials::Vault;
use sallygate_control::feed::{About, Feed};
use sallygate_control::outbound::Reach;
use sallygate_control::renewal::Renewal;
use sallygate_control::secret_files::SecretFiles;
use sallygate_control::service::Control;
use sallygate_control::store::{DatabaseUrl, Location, Store};
use sallygate_control::webhook::{Webhooks, Worker};
use sallygate_definitions::Registry;
use sallygate_proxy::Handle;

use crate::configuration::ControlConfig;
use crate::environment;
use crate::exit::{Failure, failed};

/// Where the embedded database is, below the data directory.
const DATABASE: &str = "control.db";

/// Where the secrets are that setups name.
const SETUP_SECRETS: &str = "setup-secrets";

/// A control service that runs.
#[derive(Debug)]
pub(crate) struct Service {
    serving: Serving,
    /// Tells proxies, that of this process among them.
    feed: Vec<tokio::task::JoinHandle<()>>,
    webhooks: tokio::task::JoinHandle<()>,
    renewal: tokio::task::JoinHandle<()>,
}

/// What a control service is started with.
#[derive(Debug)]
pub(crate) struct Start<'s> {
    pub(crate) data_dir: &'s Path,
    pub(crate) listen: SocketAddr,
    pub(crate) registry: Registry,
    pub(crate) config: ControlConfig,
    /// The proxy of this process.
    pub(crate) proxy: Option<(Handle, About)>,
}

/// Opens what is there, makes what is missing, and returns when the API is served.
pub(crate) async fn start(start: Start<'_>) -> Result<Service, Failure> {
    let Start { data_dir, listen, registry, config, proxy } = start;
    let ControlConfig { trusted_proxies, login, webhooks, .. } = config;
    let mut control = open(data_dir, registry).await?;
    control.webhooks = Webhooks::new(&webhooks).map_err(failed)?;
    control.login = login.map(|settings| login::of(settings, &control)).transpose()?;
    let token = operator_token(data_dir)?;
    control.prepare(&token).await.map_err(failed)?;
    let telling = control.clone();
    let mut feed = vec![tokio::spawn(async move { telling.feed.clone().run(telling).await })];
    if let Some((handle, about)) = proxy {
        let control = control.clone();
        let proxy = proxy::attached(handle, control.clone());
        feed.push(tokio::spawn(async move {
            control.feed.clone().attach(control, (proxy, about)).await
        }));
    }
    let webhooks = tokio::spawn(Worker::new(control.clone()).run());
    let renewal = Renewal::new(control.clone());
    let gate = Gate::new(control.clock.clone(), trusted_proxies);
    let serving = api::serve_behind(control, listen, gate).await.map_err(failed)?;
    let renewal = tokio::spawn(renewal.run());
    Ok(Service { serving, feed, webhooks, renewal })
}

/// The control service of a data directory, without its API.
pub(crate) async fn open(data_dir: &Path, registry: Registry) -> Result<Control, Failure> {
    let clock = Clock::system();
    let store = Store::open(&location(data_dir)?, clock.now_ms()).await.map_err(failed)?;
    let vault = Vault::new(keys::of(&store, data_dir).await?);
    let (registry, feed) = (Arc::new(registry), Feed::default());
    let webhooks = Webhooks::new(&Reach::default()).map_err(failed)?;
    let setup_secrets = SecretFiles::within(data_dir.join(SETUP_SECRETS));
    Ok(Control { store, vault, registry, clock, feed, login: None, webhooks, setup_secrets })
}

/// `DATABASE_URL`, else a file in the data directory.
pub(crate) fn location(data_dir: &Path) -> Result<Location, Failure> {
    Ok(match environment::database_url().map_err(failed)? {
        Some(url) => Location::Postgres(DatabaseUrl::new(url)),
        None => Location::Sqlite(embedded(data_dir)),
    })
}

/// Where the embedded database of a data directory is.
pub(crate) fn embedded(data_dir: &Path) -> PathBuf {
    data_dir.join(DATABASE)
}

/// Where the master key of a data directory is.
pub(crate) fn master_key(data_dir: &Path) -> PathBuf {
    keys::path(data_dir)
}

fn operator_token(data_dir: &Path) -> Result<String, Failure> {
    let path = data_dir.join("operator.token");
    let token = std::fs::read_to_string(&path)
        .map_err(|error| failed(format_args!("`{}` cannot be read: {error}", path.display())))?;
    let token = token.trim();
    if token.is_empty() {
        return Err(failed(format_args!("`{}` is empty", path.display())));
    }
    Ok(token.to_owned())
}

impl Service {
    pub(crate) fn address(&self) -> SocketAddr {
        self.serving.address
    }

    /// Takes no more requests; what is under way is answered first.
    pub(crate) async fn stop(self) {
        self.serving.stop().await;
        // What it was at is claimed again when the lease ends.
        self.webhooks.abort();
        self.feed.iter().for_each(tokio::task::JoinHandle::abort);
        self.renewal.abort();
    }
}

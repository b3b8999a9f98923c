//! The listener of the API.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{ApiMetrics, Gate, router_behind};
use crate::feed::Feed;
use crate::service::Control;

/// Why the API is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// An API that is served until it is stopped.
#[derive(Debug)]
pub struct Serving {
    pub address: SocketAddr,
    pub metrics: ApiMetrics,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    feed: Feed,
}

impl Serving {
    /// Takes no more requests, and returns when those under way are answered.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // Proxies would listen for ever: they come back when somebody is here again.
        self.feed.close();
        // It ends when the last connection does; whoever waits here has a limit of their own.
        let _ = self.task.await;
    }
}

/// Serves the API of `control` on `address`; port 0 lets the system choose.
pub async fn serve(control: Control, address: SocketAddr) -> Result<Serving, ServeError> {
    let gate = Gate::new(control.clock.clone(), Vec::new());
    serve_behind(control, address, gate).await
}

/// Serves the API behind what keeps callers out of it.
pub async fn serve_behind(
    control: Control,
    address: SocketAddr,
    gate: Gate,
) -> Result<Serving, ServeError> {
    let metrics = ApiMetrics::new()?;
    let listening = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listening)?;
    let local = listener.local_addr().map_err(listening)?;
    let feed = control.feed.clone();
    let router = router_behind(&control, &metrics, gate);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let (stop, mut stopped) = watch::channel(false);
    let task = tokio::spawn(async move {
        let stopped = async move {
            // An owner that is gone wants nothing more either.
            let _ = stopped.changed().await;
        };
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the listener of the API ended");
        }
    });
    Ok(Serving { address: local, metrics, stop, task, feed })
}

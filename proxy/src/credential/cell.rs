//! A cell holds one resolved credential for all routes that present it.
//!
//! Reading a warm cell takes no lock and waits for nothing. A cold cell is resolved once, however
//! many requests ask; they all get the same answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use sallygate_compiler::plan::CredentialReference;
use sallygate_compiler::snapshot::ConnectionSource;
use tokio::sync::Mutex;

use super::{Secret, SourceError, source};
use crate::clock;
use crate::metrics::Metrics;

/// How long a failure is answered from memory, so that a broken source is not hammered.
const FAILURE_LIFE: Duration = Duration::from_secs(1);

/// A credential as it was resolved.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) secret: Secret,
    /// Counts resolutions of this cell: what is derived from the secret is kept per version.
    pub(crate) version: u64,
    resolved_at: Instant,
}

/// The place of one credential reference.
#[derive(Debug)]
pub(crate) struct Cell {
    of: ConnectionSource,
    refresh: Option<Duration>,
    ready: ArcSwapOption<Ready>,
    versions: AtomicU64,
    refreshing: AtomicBool,
    gate: Mutex<Option<(Instant, Arc<SourceError>)>>,
    metrics: Arc<Metrics>,
}

impl Cell {
    pub(crate) fn new(connection: &ConnectionSource, metrics: Arc<Metrics>) -> Self {
        Self {
            of: connection.clone(),
            refresh: connection.refresh_seconds.map(Duration::from_secs),
            ready: ArcSwapOption::empty(),
            versions: AtomicU64::new(0),
            refreshing: AtomicBool::new(false),
            gate: Mutex::new(None),
            metrics,
        }
    }

    /// The connection whose credential this is: for records.
    pub(crate) fn connection(&self) -> &str {
        &self.of.id
    }

    /// Whether this cell can stand in for a reference to `connection`.
    pub(crate) fn serves(&self, connection: &ConnectionSource) -> bool {
        self.of == *connection
    }

    /// Whether this is the secret that a plan means.
    pub(crate) fn provides(&self, reference: &CredentialReference) -> bool {
        self.of.provides(reference)
    }

    /// The credential, if it is here; starts a refresh in the background when it grows old.
    pub(crate) fn warm(self: &Arc<Self>) -> Option<Arc<Ready>> {
        let ready = self.ready.load_full()?;
        if let Some(refresh) = self.refresh {
            // Ahead of its time, so that no request ever waits for a refresh.
            if clock::now().duration_since(ready.resolved_at) > refresh.mul_f64(0.8) {
                self.refresh_ahead();
            }
        }
        Some(ready)
    }

    fn refresh_ahead(self: &Arc<Self>) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let cell = Arc::clone(self);
        tokio::spawn(async move {
            // A failure keeps the credential that is here: it may still work.
            let _ = cell.fetch().await;
            cell.refreshing.store(false, Ordering::Release);
        });
    }

    /// The credential, resolved if need be. Single flight.
    pub(crate) async fn resolve(self: &Arc<Self>) -> Result<Arc<Ready>, Arc<SourceError>> {
        if let Some(ready) = self.warm() {
            return Ok(ready);
        }
        let mut failure = self.gate.lock().await;
        if let Some(ready) = self.ready.load_full() {
            return Ok(ready);
        }
        if let Some((at, error)) = failure.as_ref()
            && clock::now().duration_since(*at) < FAILURE_LIFE
        {
            return Err(Arc::clone(error));
        }
        match self.fetch().await {
            Ok(ready) => {
                *failure = None;
                Ok(ready)
            }
            Err(error) => {
                *failure = Some((clock::now(), Arc::clone(&error)));
                Err(error)
            }
        }
    }

    async fn fetch(&self) -> Result<Arc<Ready>, Arc<SourceError>> {
        let fetched = source::fetch(&self.of.value).await;
        let result = if fetched.is_ok() { "ok" } else { "error" };
        self.metrics
            .credential_resolutions
            .with_label_values(&[self.of.target.as_str(), result])
            .inc();
        let secret = fetched.map_err(|error| {
            tracing::warn!(connection.id = self.of.id, %error, "credential cannot be resolved");
            Arc::new(error)
        })?;
        let version = self.versions.fetch_add(1, Ordering::AcqRel) + 1;
        let ready = Arc::new(Ready { secret, version, resolved_at: clock::now() });
        self.ready.store(Some(Arc::clone(&ready)));
        Ok(ready)
    }

    /// Forgets the credential with this version; a newer one stays.
    pub(crate) fn invalidate(&self, version: u64) {
        if self.ready.load().as_ref().is_some_and(|ready| ready.version == version) {
            self.ready.store(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use sallygate_compiler::snapshot::ValueSource;

    use super::*;

    fn cell(words: &[&str]) -> Arc<Cell> {
        let value = ValueSource::Command(words.iter().map(|w| (*w).to_owned()).collect());
        let source = ConnectionSource {
            id: "c".into(),
            target: "t".into(),
            secret: None,
            value,
            refresh_seconds: None,
        };
        Arc::new(Cell::new(&source, Arc::new(Metrics::new().unwrap())))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_cold_cell_is_resolved_once_however_many_ask() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("calls");
        let script = format!("echo x >> {}; echo secret", log.display());
        let cell = cell(&["sh", "-c", &script]);
        let asked: Vec<_> = (0..50)
            .map(|_| {
                tokio::spawn({
                    let cell = Arc::clone(&cell);
                    async move { cell.resolve().await.unwrap().version }
                })
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.await.unwrap(), 1);
        }
        assert_eq!(std::fs::read_to_string(log).unwrap().lines().count(), 1);
    }

    #[tokio::test]
    async fn only_the_invalidated_version_is_forgotten() {
        let cell = cell(&["printf", "%s%s", "pass", "phrase"]);
        let first = cell.resolve().await.unwrap();
        cell.invalidate(first.version + 1);
        assert!(cell.warm().is_some());
        cell.invalidate(first.version);
        assert!(cell.warm().is_none());
        assert_eq!(cell.resolve().await.unwrap().version, 2);
        assert!(!format!("{cell:?}").contains("passphrase"));
    }
}

//! A cell holds one resolved credential for all routes that present it.
//!
//! Reading a warm cell takes no lock and waits for nothing. A cold cell is resolved once, however
//! many requests ask; they all get the same answer.
//!
//! INVARIANT: what was fetched before [`Cell::forget`] is never used after it, also when it arrives
//! later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use sallygate_compiler::plan::CredentialReference;
use sallygate_compiler::snapshot::ConnectionSource;
use tokio::sync::Mutex;

use super::source::{Fetched, Source};
use super::{Resolver, Secret, SourceError};
use crate::clock;
use crate::metrics::Metrics;

/// How long a failure is answered from memory, so that a broken source is not hammered.
const FAILURE_LIFE: Duration = Duration::from_secs(1);
/// The same, where whoever resolves says when to ask again.
const FAILURE_LIFE_MAX: Duration = Duration::from_secs(30);

/// How often a credential is fetched that is out of date when it arrives.
const FETCHES_MAX: u32 = 4;

/// A credential as it was resolved.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) secret: Secret,
    /// Counts resolutions of this cell: what is derived from the secret is kept per version.
    pub(crate) version: u64,
    resolved_at: Instant,
    /// From then on it is not used.
    ends_at: Option<Instant>,
    refresh: Option<Duration>,
}

/// For whom a credential is wanted, and by which plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// The id of a sandbox.
    pub(crate) sandbox: &'a str,
    pub(crate) plan_digest: &'a str,
}

/// A failure that is answered from memory.
#[derive(Debug)]
struct Failure {
    at: Instant,
    life: Duration,
    epoch: u64,
    error: Arc<SourceError>,
}

/// The place of one credential reference.
#[derive(Debug)]
pub(crate) struct Cell {
    connection: String,
    target: String,
    source: Source,
    refresh: Option<Duration>,
    ready: ArcSwapOption<Ready>,
    versions: AtomicU64,
    /// Grows when everything that was fetched so far is out of date.
    epoch: AtomicU64,
    refreshing: AtomicBool,
    gate: Mutex<Option<Failure>>,
    metrics: Arc<Metrics>,
}

impl Cell {
    pub(crate) fn new(connection: &ConnectionSource, metrics: Arc<Metrics>) -> Self {
        let (id, target) = (connection.id.clone(), connection.target.clone());
        let refresh = connection.refresh_seconds.map(Duration::from_secs);
        Self::of((id, target), (Source::Value(connection.clone()), refresh), metrics)
    }

    /// A cell whose credential is resolved by reference; `target` is what metrics call it.
    pub(crate) fn resolved(
        (reference, target): (CredentialReference, String),
        resolver: Arc<dyn Resolver>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let names = (reference.connection_id.clone(), target);
        Self::of(names, (Source::Resolver(resolver, reference), None), metrics)
    }

    fn of(
        (connection, target): (String, String),
        (source, refresh): (Source, Option<Duration>),
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            connection,
            target,
            source,
            refresh,
            ready: ArcSwapOption::empty(),
            versions: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            refreshing: AtomicBool::new(false),
            gate: Mutex::new(None),
            metrics,
        }
    }

    /// The connection whose credential this is: for records.
    pub(crate) fn connection(&self) -> &str {
        &self.connection
    }

    /// Whether this cell can stand in for a reference to `connection`.
    pub(crate) fn serves(&self, connection: &ConnectionSource) -> bool {
        matches!(&self.source, Source::Value(own) if own == connection)
    }

    /// Whether this is the secret that a file's plan means.
    pub(crate) fn provides(&self, reference: &CredentialReference) -> bool {
        matches!(&self.source, Source::Value(own) if own.provides(reference))
    }

    /// The credential, if it is here; starts a refresh in the background when it grows old.
    pub(crate) fn warm(self: &Arc<Self>, asker: Asker<'_>) -> Option<Arc<Ready>> {
        let ready = self.ready.load_full()?;
        if ready.refresh.is_none() && ready.ends_at.is_none() {
            return Some(ready);
        }
        let now = clock::now();
        if ready.ends_at.is_some_and(|end| now >= end) {
            return None;
        }
        if let Some(refresh) = ready.refresh
            // Ahead of its time, so that no request ever waits for a refresh.
            && now.duration_since(ready.resolved_at) > refresh.mul_f64(0.8)
        {
            self.refresh_ahead(asker);
        }
        Some(ready)
    }

    fn refresh_ahead(self: &Arc<Self>, asker: Asker<'_>) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let cell = Arc::clone(self);
        let (sandbox, plan_digest) = (asker.sandbox.to_owned(), asker.plan_digest.to_owned());
        tokio::spawn(async move {
            // A failure keeps the credential that is here: it may still work.
            let asker = Asker { sandbox: &sandbox, plan_digest: &plan_digest };
            let _ = cell.fetch(asker).await;
            cell.refreshing.store(false, Ordering::Release);
        });
    }

    /// The credential, resolved if need be. Single flight.
    pub(crate) async fn resolve(
        self: &Arc<Self>,
        asker: Asker<'_>,
    ) -> Result<Arc<Ready>, Arc<SourceError>> {
        if let Some(ready) = self.warm(asker) {
            return Ok(ready);
        }
        let mut failure = self.gate.lock().await;
        if let Some(ready) = self.warm(asker) {
            return Ok(ready);
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        if let Some(failure) = failure.as_ref()
            && failure.epoch == epoch
            && clock::now().duration_since(failure.at) < failure.life
        {
            return Err(Arc::clone(&failure.error));
        }
        match self.fetch(asker).await {
            Ok(ready) => {
                *failure = None;
                Ok(ready)
            }
            Err(error) => {
                // What is refused to one sandbox may be given to another.
                let refused = matches!(*error, SourceError::Refused(_));
                let at = clock::now();
                let life = error.retry_after().unwrap_or(FAILURE_LIFE).min(FAILURE_LIFE_MAX);
                let keep = Failure { at, life, epoch, error: Arc::clone(&error) };
                *failure = Some(keep).filter(|_| !refused);
                Err(error)
            }
        }
    }

    /// Fetches, again when what was fetched is out of date by the time it is here.
    async fn fetch(&self, asker: Asker<'_>) -> Result<Arc<Ready>, Arc<SourceError>> {
        for _ in 0..FETCHES_MAX {
            let epoch = self.epoch.load(Ordering::Acquire);
            let fetched = self.source.fetch(asker).await;
            self.count(&fetched);
            let Fetched { secret, life } = fetched.map_err(|error| self.failed(error))?;
            let version = self.versions.fetch_add(1, Ordering::AcqRel) + 1;
            let resolved_at = clock::now();
            let (refresh, ends_at) = (life.or(self.refresh), life.map(|life| resolved_at + life));
            let ready = Arc::new(Ready { secret, version, resolved_at, ends_at, refresh });
            self.ready.store(Some(Arc::clone(&ready)));
            // The store comes first: whoever forgets after this look sees what was stored.
            if self.epoch.load(Ordering::Acquire) == epoch {
                return Ok(ready);
            }
            self.invalidate(version);
        }
        let unsettled = "it changes faster than it can be fetched".to_owned();
        Err(Arc::new(SourceError::Unavailable(unsettled, None)))
    }

    fn count(&self, fetched: &Result<Fetched, SourceError>) {
        let result = if fetched.is_ok() { "ok" } else { "error" };
        let labels = [self.target.as_str(), result];
        self.metrics.credential_resolutions.with_label_values(&labels).inc();
    }

    fn failed(&self, error: SourceError) -> Arc<SourceError> {
        tracing::warn!(connection.id = self.connection, %error, "credential cannot be resolved");
        if matches!(error, SourceError::Refused(_)) {
            self.ready.store(None);
        }
        Arc::new(error)
    }

    /// Forgets whatever is here, and whatever is being fetched.
    pub(crate) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.ready.store(None);
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
    use async_trait::async_trait;
    use sallygate_compiler::snapshot::ValueSource;
    use tokio::sync::{Notify, mpsc};

    use super::*;
    use crate::credential::{Resolved, Unresolved, Wanted};

    /// Answers what it is told to, and says when it is asked.
    #[derive(Debug)]
    struct Scripted {
        asked: mpsc::UnboundedSender<String>,
        go: Notify,
        answers: std::sync::Mutex<Vec<Result<&'static str, Unresolved>>>,
    }

    #[async_trait]
    impl Resolver for Scripted {
        async fn resolve(&self, wanted: &Wanted) -> Result<Resolved, Unresolved> {
            self.asked.send(wanted.sandbox.clone()).unwrap();
            self.go.notified().await;
            let next = self.answers.lock().unwrap().remove(0);
            next.map(|text| Resolved::new(text.as_bytes().to_vec(), None))
        }
    }

    fn by(sandbox: &str) -> Asker<'_> {
        Asker { sandbox, plan_digest: "sha256:x" }
    }

    type Answers = Vec<Result<&'static str, Unresolved>>;

    fn scripted(answers: Answers) -> (Arc<Cell>, Arc<Scripted>, mpsc::UnboundedReceiver<String>) {
        let (asked, questions) = mpsc::unbounded_channel();
        let answers = std::sync::Mutex::new(answers);
        let resolver = Arc::new(Scripted { asked, go: Notify::new(), answers });
        let reference = CredentialReference {
            connection_id: "icn_1".into(),
            secret_type: "api_key".into(),
            slot_key: None,
            resolver_key: None,
            scope: serde_json::Map::new(),
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let as_resolver: Arc<dyn Resolver> = resolver.clone();
        let cell = Cell::resolved((reference, "t".into()), as_resolver, metrics);
        (Arc::new(cell), resolver, questions)
    }

    #[tokio::test]
    async fn what_was_fetched_before_it_was_forgotten_is_never_used() {
        let (cell, resolver, mut questions) = scripted(vec![Ok("old"), Ok("new")]);
        let asking = tokio::spawn({
            let cell = Arc::clone(&cell);
            async move { cell.resolve(by("sbx_1")).await.unwrap() }
        });
        assert_eq!(questions.recv().await.as_deref(), Some("sbx_1"));
        cell.forget();
        resolver.go.notify_one();
        questions.recv().await.unwrap();
        resolver.go.notify_one();
        assert_eq!(asking.await.unwrap().secret.expose(), b"new");
        assert_eq!(cell.warm(by("sbx_1")).unwrap().secret.expose(), b"new");
        cell.forget();
        assert!(cell.warm(by("sbx_1")).is_none());
    }

    #[tokio::test]
    async fn a_refusal_is_not_remembered_for_another_sandbox() {
        let refused = Unresolved::Refused("the sandbox has ended".into());
        let (cell, resolver, _questions) = scripted(vec![Err(refused), Ok("secret")]);
        resolver.go.notify_one();
        assert!(matches!(*cell.resolve(by("sbx_1")).await.unwrap_err(), SourceError::Refused(_)));
        resolver.go.notify_one();
        assert_eq!(cell.resolve(by("sbx_2")).await.unwrap().secret.expose(), b"secret");
    }

    #[tokio::test]
    async fn a_failure_is_answered_from_memory_until_something_changes() {
        let away = Unresolved::Unavailable { message: "away".into(), retry_after: None };
        let (cell, resolver, _questions) = scripted(vec![Err(away), Ok("secret")]);
        resolver.go.notify_one();
        for _ in 0..3 {
            let failure = cell.resolve(by("sbx_1")).await.unwrap_err();
            assert!(matches!(*failure, SourceError::Unavailable(..)));
        }
        cell.forget();
        resolver.go.notify_one();
        assert_eq!(cell.resolve(by("sbx_1")).await.unwrap().secret.expose(), b"secret");
    }

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
                    async move { cell.resolve(by("s")).await.unwrap().version }
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
        let first = cell.resolve(by("s")).await.unwrap();
        cell.invalidate(first.version + 1);
        assert!(cell.warm(by("s")).is_some());
        cell.invalidate(first.version);
        assert!(cell.warm(by("s")).is_none());
        assert_eq!(cell.resolve(by("s")).await.unwrap().version, 2);
        assert!(!format!("{cell:?}").contains("passphrase"));
    }
}

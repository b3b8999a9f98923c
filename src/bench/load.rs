//! One measured slice: a number of clients ask as fast as they are answered, for a fixed time.
//! Connections are opened and warmed up before the clock starts, so that no handshake is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::BenchOptions;
use super::client::{Client, Way};
use super::error::{BenchError, ClientError};
use super::stats::Latencies;
use super::usage;

const WARM_UP: Duration = Duration::from_millis(300);
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// What one slice counted.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) count: f64,
    pub(crate) seconds: f64,
    /// Of the process that was watched, if one was.
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) latencies: Latencies,
}

impl Slice {
    pub(crate) fn cpu_us_each(&self) -> Option<f64> {
        self.cpu_seconds.filter(|_| self.count > 0.0).map(|seconds| seconds * 1e6 / self.count)
    }
}

/// Progress that clients and the one who measures share.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: AtomicU8,
    count: AtomicU64,
}

/// Phases of `Progress`; it begins with nought, which is neither.
const MEASURING: u8 = 1;
const STOPPED: u8 = 2;

impl Progress {
    pub(crate) fn is_over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == STOPPED
    }

    /// Counts one thing done, and keeps how long it took unless this was before the clock started.
    pub(crate) fn add(&self, began: Instant, latencies_nanos: &mut Vec<u32>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.phase.load(Ordering::Relaxed) == MEASURING {
            let nanos = began.elapsed().as_nanos();
            latencies_nanos.push(u32::try_from(nanos).unwrap_or(u32::MAX));
        }
    }
}

/// Requests on keep-alive connections.
pub(crate) async fn requests(
    way: &Way,
    pid: Option<u32>,
    what: &str,
    options: &BenchOptions,
) -> Result<Slice, BenchError> {
    let mut opening = JoinSet::new();
    for _ in 0..options.connections {
        let way = way.clone();
        opening.spawn(async move { Client::open(&way).await });
    }
    let failed = |source| BenchError::Exchange { what: what.to_owned(), source };
    let mut clients = Vec::new();
    while let Some(client) = opening.join_next().await {
        clients.extend(flatten(client).map_err(failed)?.lanes(options.streams));
    }
    let progress = Arc::new(Progress::default());
    let mut running = JoinSet::new();
    let lanes = u32::try_from(clients.len()).unwrap_or(u32::MAX);
    let pause = options.rate.map(|rate| Duration::from_secs(1) * lanes / rate);
    for client in clients {
        running.spawn(ask_until_over(client, progress.clone(), pause));
    }
    watch(&progress, running, pid, what, options.seconds).await
}

/// Asks again at once, or, with a pause, that long after it asked last.
async fn ask_until_over(
    mut client: Client,
    progress: Arc<Progress>,
    pause: Option<Duration>,
) -> Result<Vec<u32>, ClientError> {
    let mut nanos = Vec::new();
    let mut due = Instant::now();
    while !progress.is_over() {
        if let Some(pause) = pause {
            due += pause;
            sleep_until(due).await;
        }
        let began = Instant::now();
        client.exchange().await?;
        progress.add(began, &mut nanos);
    }
    client.close().await;
    Ok(nanos)
}

/// Reads the counters at both ends of the measured time, then ends the clients.
pub(crate) async fn watch(
    progress: &Progress,
    mut running: JoinSet<Result<Vec<u32>, ClientError>>,
    pid: Option<u32>,
    what: &str,
    seconds: f64,
) -> Result<Slice, BenchError> {
    sleep(WARM_UP).await;
    progress.phase.store(MEASURING, Ordering::Relaxed);
    let began = Instant::now();
    let before = reading(progress, pid)?;
    sleep(Duration::from_secs_f64(seconds)).await;
    let after = reading(progress, pid)?;
    let seconds = began.elapsed().as_secs_f64();
    progress.phase.store(STOPPED, Ordering::Relaxed);
    let finish = async {
        let mut nanos = Vec::new();
        while let Some(client) = running.join_next().await {
            nanos.extend(flatten(client)?);
        }
        Ok(nanos)
    };
    let nanos = timeout(FINISH_WITHIN, finish)
        .await
        .map_err(|_| BenchError::Stuck { what: what.to_owned() })?
        .map_err(|source| BenchError::Exchange { what: what.to_owned(), source })?;
    Ok(Slice {
        count: after.0 - before.0,
        seconds,
        cpu_seconds: after.1.zip(before.1).map(|(after, before)| after - before),
        latencies: Latencies::new(nanos),
    })
}

/// How much was done, and the watched process's CPU seconds.
fn reading(progress: &Progress, pid: Option<u32>) -> Result<(f64, Option<f64>), BenchError> {
    let cpu = pid.map(usage::cpu).transpose()?.map(|time| time.as_secs_f64());
    let count = u32::try_from(progress.count.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    Ok((f64::from(count), cpu))
}

fn flatten<T>(
    joined: Result<Result<T, ClientError>, tokio::task::JoinError>,
) -> Result<T, ClientError> {
    joined.unwrap_or_else(|error| Err(ClientError::Io(std::io::Error::other(error))))
}

//! New connections: each does its handshakes in full, one request, and closes. With a name that was
//! seen before the leaf comes from the product's cache, with a new name it is minted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::BenchOptions;
use super::children::Children;
use super::client::{Client, Protocol, Through, Way};
use super::error::{BenchError, ClientError};
use super::fixture::{Fixture, OPEN_HOST};
use super::load::{self, Progress, Slice};
use super::rounds::progress;
use super::stats::{Ratio, median};

/// Enough to keep the proxy busy; more would only queue.
const WORKERS: u32 = 8;
/// These slices are dear in ports that stay in TIME_WAIT, so there are not more of them.
const ROUNDS_MAX: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Floor,
    LeafCached,
    LeafMinted,
}

impl Kind {
    const ALL: [Self; 3] = [Self::LeafCached, Self::Floor, Self::LeafMinted];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor: pingora reverse proxy",
            Self::LeafCached => "intercept, leaf from cache",
            Self::LeafMinted => "intercept, leaf minted",
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ConnectionFigures {
    pub(crate) kind: Kind,
    pub(crate) connections_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) cpu_us_per_connection: Option<f64>,
    pub(crate) ratio: Option<Ratio>,
}

pub(crate) async fn measure(
    options: &BenchOptions,
    fixture: &Fixture,
    children: &Children,
) -> Result<Vec<ConnectionFigures>, BenchError> {
    let names = Arc::new(AtomicU64::new(0));
    let mut slices = Vec::new();
    for round in 1..=options.rounds.min(ROUNDS_MAX) {
        for kind in Kind::ALL {
            progress(&format!("new connections, round {round}: {}", kind.name()));
            let (way, pid) = way(kind, fixture, children)?;
            let names = (kind == Kind::LeafMinted).then(|| names.clone());
            let shared = Arc::new(Progress::default());
            let mut running = JoinSet::new();
            for _ in 0..WORKERS {
                running.spawn(connect_until_over(way.clone(), names.clone(), shared.clone()));
            }
            let what = format!("new connections, {}", kind.name());
            let slice = load::watch(&shared, running, Some(pid), &what, options.seconds).await?;
            slices.push((kind, slice));
        }
    }
    progress("");
    Ok(Kind::ALL.map(|kind| figures(kind, &slices)).into())
}

fn way(kind: Kind, fixture: &Fixture, children: &Children) -> Result<(Way, u32), BenchError> {
    let (process, through, roots) = match kind {
        Kind::Floor => (&children.floor, Through::Nothing, fixture.upstream_roots()?),
        Kind::LeafCached | Kind::LeafMinted => {
            (children.product()?, Through::Connect, fixture.interception_roots()?)
        }
    };
    let way = Way::new(process.address, through, Protocol::H1, roots, fixture);
    Ok((way.to(OPEN_HOST, "/open"), process.pid()))
}

async fn connect_until_over(
    way: Way,
    names: Option<Arc<AtomicU64>>,
    progress: Arc<Progress>,
) -> Result<Vec<u32>, ClientError> {
    let mut nanos = Vec::new();
    while !progress.is_over() {
        let way = match &names {
            Some(names) => {
                let number = names.fetch_add(1, Ordering::Relaxed);
                way.to(&format!("n{number}.bench.test"), "/open")
            }
            None => way.clone(),
        };
        let began = Instant::now();
        let mut client = Client::open(&way).await?;
        client.exchange().await?;
        progress.add(began, &mut nanos);
        client.close().await;
    }
    Ok(nanos)
}

fn figures(kind: Kind, slices: &[(Kind, Slice)]) -> ConnectionFigures {
    let of_kind = |kind| slices.iter().filter(move |(of, _)| *of == kind).map(|(_, slice)| slice);
    let of = |figure: fn(&Slice) -> Option<f64>| median(of_kind(kind).filter_map(figure));
    let pairs = of_kind(kind).zip(of_kind(Kind::Floor));
    let ratio =
        Ratio::of(pairs.filter_map(|(ours, floor)| ours.cpu_us_each().zip(floor.cpu_us_each())));
    ConnectionFigures {
        kind,
        connections_per_second: of(|slice| Some(slice.count / slice.seconds)).unwrap_or(0.0),
        p50_us: of(|slice| Some(slice.latencies.percentile_us(50))).unwrap_or(0.0),
        p99_us: of(|slice| Some(slice.latencies.percentile_us(99))).unwrap_or(0.0),
        cpu_us_per_connection: of(Slice::cpu_us_each),
        ratio: ratio.filter(|_| kind != Kind::Floor),
    }
}

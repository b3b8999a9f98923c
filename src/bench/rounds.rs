//! Which modes are measured, in what order, and what their rounds amount to.

use std::io::Write;

use serde::Serialize;

use super::children::Children;
use super::client::{Protocol, Through, Way};
use super::error::BenchError;
use super::fixture::{Fixture, SECURED_HOST, TUNNEL_HOST};
use super::load::{self, Slice};
use super::stats::{Ratio, median};
use super::{BenchOptions, Measure};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Direct,
    Floor,
    Tunnel,
    Intercept,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Direct, Self::Tunnel, Self::Floor, Self::Intercept];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor: pingora reverse proxy",
            Self::Tunnel => "tunnel",
            Self::Intercept => "intercept + inject",
        }
    }

    fn is_ours(self) -> bool {
        match self {
            Self::Tunnel | Self::Intercept => true,
            Self::Direct | Self::Floor => false,
        }
    }
}

/// What `--only` leaves.
#[derive(Debug)]
pub(crate) struct Selection {
    only: Vec<Measure>,
}

impl Selection {
    pub(crate) fn of(only: &[Measure]) -> Self {
        Self { only: only.to_vec() }
    }

    pub(crate) fn memory(&self) -> bool {
        self.includes(Measure::Memory)
    }

    pub(crate) fn connections(&self) -> bool {
        self.includes(Measure::Connections)
    }

    /// Whether anything is measured that needs the product.
    pub(crate) fn product(&self) -> bool {
        let ours = |(mode, _): (Mode, Protocol)| mode.is_ours();
        self.memory() || self.connections() || self.cells().into_iter().any(ours)
    }

    /// What one round measures, in order. What is compared stands side by side.
    fn cells(&self) -> Vec<(Mode, Protocol)> {
        let all =
            Protocol::BOTH.into_iter().flat_map(|protocol| Mode::ALL.map(|mode| (mode, protocol)));
        all.filter(|(mode, protocol)| self.wants(*mode, *protocol)).collect()
    }

    fn wants(&self, mode: Mode, protocol: Protocol) -> bool {
        let intercept = match protocol {
            Protocol::H1 => Measure::H1,
            Protocol::H2 => Measure::H2,
        };
        match mode {
            Mode::Direct => self.includes(Measure::Direct),
            Mode::Tunnel => self.includes(Measure::Tunnel),
            Mode::Intercept => self.includes(intercept),
            Mode::Floor => {
                [Measure::Floor, Measure::Tunnel, intercept].into_iter().any(|m| self.includes(m))
            }
        }
    }

    fn includes(&self, measure: Measure) -> bool {
        self.only.is_empty() || self.only.contains(&measure)
    }
}

/// The figures of one mode over all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct ModeFigures {
    pub(crate) mode: Mode,
    pub(crate) protocol: Protocol,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) cpu_us_per_request: Option<f64>,
    pub(crate) cpu_share: Option<f64>,
    pub(crate) ratio: Option<Ratio>,
    rounds: Vec<Round>,
}

#[derive(Debug, Clone, Serialize)]
struct Round {
    requests: f64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us_per_request: Option<f64>,
}

impl Round {
    fn of(slice: &Slice) -> Self {
        Self {
            requests: slice.count,
            seconds: slice.seconds,
            p50_us: slice.latencies.percentile_us(50),
            p99_us: slice.latencies.percentile_us(99),
            cpu_us_per_request: slice.cpu_us_each(),
        }
    }
}

/// A mode that is being measured.
struct Cell {
    mode: Mode,
    protocol: Protocol,
    way: Way,
    pid: Option<u32>,
    rounds: Vec<Round>,
}

impl Cell {
    fn new(
        mode: Mode,
        protocol: Protocol,
        fixture: &Fixture,
        children: &Children,
    ) -> Result<Self, BenchError> {
        let upstream = children.upstream.address;
        let way = |address, through, roots| Way::new(address, through, protocol, roots, fixture);
        let roots = fixture.upstream_roots()?;
        let (way, pid) = match mode {
            Mode::Direct => (way(upstream, Through::Nothing, roots).to(TUNNEL_HOST, "/open"), None),
            Mode::Floor => {
                let way = way(children.floor.address, Through::Nothing, roots);
                (way.to(SECURED_HOST, "/open"), Some(children.floor.pid()))
            }
            Mode::Tunnel => {
                let product = children.product()?;
                let way = way(product.address, Through::Connect, roots);
                (way.to(TUNNEL_HOST, "/open"), Some(product.pid()))
            }
            Mode::Intercept => {
                let product = children.product()?;
                let way = way(product.address, Through::Connect, fixture.interception_roots()?);
                (way.to(SECURED_HOST, "/secured"), Some(product.pid()))
            }
        };
        Ok(Self { mode, protocol, way, pid, rounds: Vec::new() })
    }

    fn figures(&self, floor: Option<&Self>) -> ModeFigures {
        let of = |figure: fn(&Round) -> Option<f64>| median(self.rounds.iter().filter_map(figure));
        ModeFigures {
            mode: self.mode,
            protocol: self.protocol,
            requests_per_second: of(|round| Some(round.requests / round.seconds)).unwrap_or(0.0),
            p50_us: of(|round| Some(round.p50_us)).unwrap_or(0.0),
            p99_us: of(|round| Some(round.p99_us)).unwrap_or(0.0),
            cpu_us_per_request: of(|round| round.cpu_us_per_request),
            cpu_share: of(|round| {
                let cpu_us = round.cpu_us_per_request? * round.requests;
                Some(cpu_us / 1e6 / round.seconds)
            }),
            ratio: floor.filter(|_| self.mode.is_ours()).and_then(|floor| self.ratio(floor)),
            rounds: self.rounds.clone(),
        }
    }

    fn ratio(&self, floor: &Self) -> Option<Ratio> {
        let pairs = self.rounds.iter().zip(&floor.rounds);
        Ratio::of(
            pairs.filter_map(|(ours, floor)| ours.cpu_us_per_request.zip(floor.cpu_us_per_request)),
        )
    }
}

pub(crate) async fn measure(
    options: &BenchOptions,
    selection: &Selection,
    fixture: &Fixture,
    children: &Children,
) -> Result<Vec<ModeFigures>, BenchError> {
    let mut cells = Vec::new();
    for (mode, protocol) in selection.cells() {
        cells.push(Cell::new(mode, protocol, fixture, children)?);
    }
    for round in 1..=options.rounds {
        for cell in in_order(round, &mut cells) {
            progress(&format!("round {round}/{}: {}", options.rounds, what(cell)));
            let slice = load::requests(&cell.way, cell.pid, &what(cell), options).await?;
            cell.rounds.push(Round::of(&slice));
        }
    }
    progress("");
    let floor = |cell: &Cell| {
        cells.iter().find(|floor| floor.mode == Mode::Floor && floor.protocol == cell.protocol)
    };
    Ok(cells.iter().map(|cell| cell.figures(floor(cell))).collect())
}

/// Every other round runs backwards, so that a machine that slows down does not favour one mode.
fn in_order(round: u32, cells: &mut [Cell]) -> Vec<&mut Cell> {
    match round % 2 {
        0 => cells.iter_mut().rev().collect(),
        _ => cells.iter_mut().collect(),
    }
}

fn what(cell: &Cell) -> String {
    format!("{}, {}", cell.mode.name(), cell.protocol.name())
}

/// One line on stderr that is written over and over; nothing when nobody watches.
pub(crate) fn progress(line: &str) {
    let mut stderr = std::io::stderr();
    if std::io::IsTerminal::is_terminal(&stderr) {
        let _ = write!(stderr, "\r\x1b[K{line}");
        let _ = stderr.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_measured_unless_something_is_named() {
        let all = Selection::of(&[]);
        assert!(all.memory() && all.connections() && all.product());
        assert_eq!(all.cells().len(), 8);
    }

    #[test]
    fn a_mode_brings_the_floor_that_it_is_compared_with() {
        let only = Selection::of(&[Measure::H2]);
        let expected = [(Mode::Floor, Protocol::H2), (Mode::Intercept, Protocol::H2)];
        assert_eq!(only.cells(), expected);
        assert!(!only.memory() && !only.connections() && only.product());
    }

    #[test]
    fn the_product_is_not_started_for_what_does_not_need_it() {
        assert!(!Selection::of(&[Measure::Direct, Measure::Floor]).product());
        assert!(Selection::of(&[Measure::Memory]).product());
    }
}

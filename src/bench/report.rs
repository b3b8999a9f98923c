//! The report: tables for people, JSON for programs, and whether the targets were met. The targets
//! are the lines of `benches/BUDGETS.md`.

use std::fmt;

use serde::Serialize;

use super::BenchOptions;
use super::churn::ConnectionFigures;
use super::client::Protocol;
use super::error::BenchError;
use super::memory::MemoryFigures;
use super::rounds::{Mode, ModeFigures};
use super::stats::Ratio;

const INTERCEPTION_RATIO_MAX: f64 = 1.25;
const IDLE_BYTES_MAX: f64 = 40.0 * MEGABYTE;
const IDLE_CONNECTION_BYTES_MAX: f64 = 30.0 * KILOBYTE;
/// Below this share of its CPU, a proxy under full load was held up by something else.
const BUSY_SHARE: f64 = 0.9;
const MEGABYTE: f64 = 1024.0 * KILOBYTE;
const KILOBYTE: f64 = 1024.0;

#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    seconds: f64,
    rounds: u32,
    connections: u32,
    streams: u32,
    rate: Option<u32>,
    response_bytes: u32,
    idle_connections: u32,
    upstream: Protocol,
    pinned: bool,
}

impl Settings {
    pub(crate) fn of(options: &BenchOptions, pinned: bool) -> Self {
        Self {
            seconds: options.seconds,
            rounds: options.rounds,
            connections: options.connections,
            streams: options.streams,
            rate: options.rate,
            response_bytes: options.response_bytes,
            idle_connections: options.idle_connections,
            upstream: options.upstream,
            pinned,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    settings: Settings,
    modes: Vec<ModeFigures>,
    memory: Option<MemoryFigures>,
    new_connections: Vec<ConnectionFigures>,
    targets: Vec<Target>,
}

/// A figure that has a limit.
#[derive(Debug, Serialize)]
struct Target {
    name: String,
    limit: f64,
    measured: f64,
    met: bool,
    #[serde(skip)]
    unit: Unit,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Ratio,
    Megabytes,
    Kilobytes,
}

impl Report {
    pub(crate) fn new(
        settings: Settings,
        modes: Vec<ModeFigures>,
        memory: Option<MemoryFigures>,
        new_connections: Vec<ConnectionFigures>,
    ) -> Self {
        let mut targets: Vec<Target> = modes.iter().filter_map(Target::interception).collect();
        targets.extend(memory.iter().flat_map(Target::memory));
        Self { settings, modes, memory, new_connections, targets }
    }

    pub(crate) fn json(&self) -> Result<String, BenchError> {
        Ok(serde_json::to_string(self)?)
    }

    pub(crate) fn targets_met(&self) -> bool {
        self.targets.iter().all(|target| target.met)
    }
}

impl Target {
    fn new(name: String, limit: f64, measured: f64, unit: Unit) -> Self {
        Self { name, limit, measured, met: measured <= limit, unit }
    }

    fn interception(figures: &ModeFigures) -> Option<Self> {
        let ratio = figures.ratio.filter(|_| figures.mode == Mode::Intercept)?;
        let name = format!("interception + injection, {}: CPU / floor", figures.protocol.name());
        Some(Self::new(name, INTERCEPTION_RATIO_MAX, ratio.median, Unit::Ratio))
    }

    fn memory(figures: &MemoryFigures) -> Vec<Self> {
        let idle = f64::from(u32::try_from(figures.idle_bytes).unwrap_or(u32::MAX));
        let name = "resident memory, idle".to_owned();
        let mut targets = vec![Self::new(name, IDLE_BYTES_MAX, idle, Unit::Megabytes)];
        let ours = figures.connections.iter().filter(|figures| figures.process == "sallygate");
        targets.extend(ours.map(|figures| {
            let name = format!("per idle intercepted connection, {}", figures.protocol.name());
            let limit = IDLE_CONNECTION_BYTES_MAX;
            Self::new(name, limit, figures.bytes_each, Unit::Kilobytes)
        }));
        targets
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.settings)?;
        write_modes(f, &self.modes)?;
        if self.settings.rate.is_none() && self.settings.pinned {
            write_doubt(f, &self.modes)?;
        }
        if let Some(memory) = &self.memory {
            write_memory(f, memory)?;
        }
        write_connections(f, &self.new_connections)?;
        write_targets(f, &self.targets)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, rounds, connections, response_bytes, .. } = self;
        let rate = self.rate.map_or_else(String::new, |rate| format!(" {rate} requests/s,"));
        let pinned = if self.pinned { "the proxy pinned to one CPU" } else { "not pinned" };
        let upstream = self.upstream.name();
        write!(
            f,
            "{connections} connections,{rate} {response_bytes}-byte responses, upstream {upstream}, \
             medians of {rounds} rounds of {seconds} s, {pinned}"
        )
    }
}

fn write_modes(f: &mut fmt::Formatter<'_>, modes: &[ModeFigures]) -> fmt::Result {
    if modes.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "\n{:<30} {:<3} {:>9} {:>9} {:>9} {:>12} {:>6}  CPU / floor",
        "mode", "", "req/s", "p50", "p99", "CPU/request", "CPU"
    )?;
    for figures in modes {
        writeln!(
            f,
            "{:<30} {:<3} {:>9.0} {:>9} {:>9} {:>12} {:>6}  {}",
            figures.mode.name(),
            figures.protocol.name(),
            figures.requests_per_second,
            duration(figures.p50_us),
            duration(figures.p99_us),
            figures.cpu_us_per_request.map_or_else(dash, |us| format!("{us:.1} µs")),
            figures.cpu_share.map_or_else(dash, |share| format!("{:.0} %", share * 100.0)),
            ratio(figures.ratio),
        )?;
    }
    Ok(())
}

/// A proxy that is asked as much as it can answer uses all of its CPU, unless others use it too.
fn write_doubt(f: &mut fmt::Formatter<'_>, modes: &[ModeFigures]) -> fmt::Result {
    let shared = |figures: &ModeFigures| match figures.mode {
        Mode::Floor | Mode::Intercept => figures.cpu_share.is_some_and(|share| share < BUSY_SHARE),
        Mode::Direct | Mode::Tunnel => false,
    };
    match modes.iter().any(shared) {
        true => writeln!(f, "the proxy had to share its CPU: these figures are rough"),
        false => Ok(()),
    }
}

fn write_memory(f: &mut fmt::Formatter<'_>, memory: &MemoryFigures) -> fmt::Result {
    let idle = f64::from(u32::try_from(memory.idle_bytes).unwrap_or(u32::MAX)) / MEGABYTE;
    writeln!(f, "\n{:<44} {idle:>7.1} MB", "resident memory, idle")?;
    for figures in &memory.connections {
        let name = format!("per idle connection, {}, {}", figures.process, figures.protocol.name());
        writeln!(f, "{name:<44} {:>7.1} KB", figures.bytes_each / KILOBYTE)?;
    }
    Ok(())
}

fn write_connections(f: &mut fmt::Formatter<'_>, all: &[ConnectionFigures]) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "\n{:<34} {:>9} {:>9} {:>9} {:>14}  CPU / floor",
        "new connections", "conn/s", "p50", "p99", "CPU/connection"
    )?;
    for figures in all {
        writeln!(
            f,
            "{:<34} {:>9.0} {:>9} {:>9} {:>14}  {}",
            figures.kind.name(),
            figures.connections_per_second,
            duration(figures.p50_us),
            duration(figures.p99_us),
            figures.cpu_us_per_connection.map_or_else(dash, |us| format!("{us:.0} µs")),
            ratio(figures.ratio),
        )?;
    }
    Ok(())
}

fn write_targets(f: &mut fmt::Formatter<'_>, targets: &[Target]) -> fmt::Result {
    if !targets.is_empty() {
        writeln!(f)?;
    }
    for target in targets {
        let mark = if target.met { '✓' } else { '✗' };
        let measured = target.unit.format(target.measured);
        let limit = target.unit.format(target.limit);
        writeln!(f, "{mark} {:<46} {measured:>9}  (target ≤ {limit})", target.name)?;
    }
    Ok(())
}

impl Unit {
    fn format(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}×"),
            Self::Megabytes => format!("{:.1} MB", value / MEGABYTE),
            Self::Kilobytes => format!("{:.1} KB", value / KILOBYTE),
        }
    }
}

fn ratio(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(dash, |Ratio { median, least, most }| {
        format!("{median:.2}× ({least:.2}–{most:.2})")
    })
}

fn duration(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us:.0} µs"),
        us => format!("{:.2} ms", us / 1000.0),
    }
}

fn dash() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::memory::IdleConnection;

    fn memory(bytes_each: f64) -> MemoryFigures {
        let of = |process| IdleConnection { process, protocol: Protocol::H1, bytes_each };
        MemoryFigures { idle_bytes: 20 << 20, connections: vec![of("floor"), of("sallygate")] }
    }

    #[test]
    fn a_target_at_its_limit_is_met_and_above_it_is_not() {
        for (bytes_each, met) in [(30.0 * 1024.0, true), (30.0 * 1024.0 + 1.0, false)] {
            let targets = Target::memory(&memory(bytes_each));
            assert_eq!(targets.len(), 2, "the floor has no target");
            assert!(targets[0].met);
            assert_eq!(targets[1].met, met, "{bytes_each}");
        }
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(999.4), "999 µs");
        assert_eq!(duration(1234.0), "1.23 ms");
    }
}

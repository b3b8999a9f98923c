//! The processes of one run: upstream, floor and product. Each prints one JSON line when it is
//! ready, and none outlives the run.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;

use super::error::BenchError;
use super::fixture::Fixture;
use super::pin::Pinning;
use super::rounds::Selection;
use super::{BenchOptions, ChildRole};

const READY_WITHIN: Duration = Duration::from_secs(30);
const LOG_LINES: usize = 12;

#[derive(Debug)]
pub(crate) struct Children {
    pub(crate) upstream: ChildProcess,
    pub(crate) floor: ChildProcess,
    /// `None` when nothing was asked for that the product does.
    product: Option<ChildProcess>,
}

impl Children {
    pub(crate) fn start(
        fixture: &Fixture,
        options: &BenchOptions,
        pinning: &Pinning,
    ) -> Result<Self, BenchError> {
        let own = std::env::current_exe().map_err(BenchError::Io)?;
        let mut upstream = Command::new(&own);
        bench_child(&mut upstream, ChildRole::Upstream, fixture, options);
        let upstream = ChildProcess::start(upstream, "upstream", fixture.path())?;
        let mut floor = pinning.proxy_command(&own);
        bench_child(&mut floor, ChildRole::Floor, fixture, options);
        floor.args(["--upstream-address", &upstream.address.to_string()]);
        let floor = ChildProcess::start(floor, "floor", fixture.path())?;
        let binary = options.binary.clone().unwrap_or(own);
        let product = match Selection::of(&options.only).product() {
            true => Some(start_product(fixture, &binary, upstream.address, pinning)?),
            false => None,
        };
        Ok(Self { upstream, floor, product })
    }

    pub(crate) fn product(&self) -> Result<&ChildProcess, BenchError> {
        self.product.as_ref().ok_or(BenchError::Spawn {
            role: "product",
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        })
    }
}

fn bench_child(command: &mut Command, role: ChildRole, fixture: &Fixture, options: &BenchOptions) {
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    };
    command.args(["internal", "bench-child", &name(role.to_possible_value())]);
    command.arg("--directory").arg(fixture.path());
    command.args(["--upstream", &name(options.upstream.to_possible_value())]);
    command.args(["--response-bytes", &options.response_bytes.to_string()]);
}

fn start_product(
    fixture: &Fixture,
    binary: &Path,
    upstream: SocketAddr,
    pinning: &Pinning,
) -> Result<ChildProcess, BenchError> {
    fixture.write_product_configuration(upstream)?;
    let spawn = |source| BenchError::Spawn { role: "ca init", source };
    let output = Command::new(binary)
        .args(["ca", "init", "--dir"])
        .arg(fixture.path())
        .stdin(Stdio::null())
        .output()
        .map_err(spawn)?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(BenchError::NotReady { role: "ca init", log });
    }
    let mut command = pinning.proxy_command(binary);
    command.arg("proxy").arg("--config").arg(fixture.config_path());
    ChildProcess::start(command, "product", fixture.path())
}

/// A running child; dropping it ends it.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    process: Child,
    pub(crate) address: SocketAddr,
    /// Where its operator is answered, if it has one.
    pub(crate) admin: Option<SocketAddr>,
}

impl ChildProcess {
    fn start(
        mut command: Command,
        role: &'static str,
        directory: &Path,
    ) -> Result<Self, BenchError> {
        let spawn = |source| BenchError::Spawn { role, source };
        let log_path = directory.join(format!("{role}.log"));
        // The pipe stays open as long as this process lives: see `exit_with_parent`.
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log_path).map_err(spawn)?)
            .spawn()
            .map_err(spawn)?;
        let ready = process.stdout.take().and_then(ready_line);
        match ready.as_deref().and_then(parse_ready) {
            Some((address, admin)) => Ok(Self { process, address, admin }),
            None => {
                end(&mut process);
                Err(BenchError::NotReady { role, log: last_lines(&log_path) })
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// Ends this process when its standard input closes, which happens when the parent is gone.
pub(crate) fn exit_with_parent() {
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// Tells the parent where this child listens.
pub(crate) fn announce(address: SocketAddr) -> Result<(), BenchError> {
    let line = serde_json::json!({ "ready": true, "proxy": [address.to_string()] });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(BenchError::Io)
}

/// The first line; the rest is read and dropped, so that the child never blocks on a full pipe.
fn ready_line(stdout: ChildStdout) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver.recv_timeout(READY_WITHIN).ok()
}

/// The first listener, and that of the operator.
fn parse_ready(line: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let ready: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |pointer| ready.pointer(pointer)?.as_str()?.parse().ok();
    Some((address("/proxy/0")?, address("/admin")))
}

fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

fn last_lines(path: &PathBuf) -> String {
    let log = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LOG_LINES)).copied().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_line_names_the_first_listener() {
        let address = "127.0.0.1:8089".parse().unwrap();
        let line = r#"{"ready":true,"proxy":["127.0.0.1:8089"],"unix":[],"admin":null}"#;
        assert_eq!(parse_ready(line), Some((address, None)));
        let both = r#"{"ready":true,"proxy":["127.0.0.1:8089"],"admin":"127.0.0.1:8089"}"#;
        assert_eq!(parse_ready(both), Some((address, Some(address))));
        for line in ["", "{}", r#"{"proxy":[]}"#, r#"{"proxy":["nowhere"]}"#] {
            assert_eq!(parse_ready(line), None, "{line}");
        }
    }
}

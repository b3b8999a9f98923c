//! The proxy's process: started on port 0, watched from outside, never left behind.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A cold start on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

type Log = Arc<Mutex<Vec<u8>>>;

/// A running `sallygate proxy`.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdout: Log,
    stderr: Log,
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The control service's API, when the configuration has one.
    pub(crate) control: Option<SocketAddr>,
}

impl Process {
    /// Runs `sallygate proxy --config FILE` until it says that it is ready.
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_with(config, &[])
    }

    /// The same, with these variables.
    pub(crate) fn start_with(config: &Path, variables: &[(String, String)]) -> Self {
        Self::start_as(config, &[], variables)
    }

    /// The same, with arguments besides.
    pub(crate) fn start_as(
        config: &Path,
        arguments: &[&str],
        variables: &[(String, String)],
    ) -> Self {
        let mut child = sallygate()
            .args(["proxy", "--config"])
            .arg(config)
            .args(arguments)
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let (stdout, stderr) = (Log::default(), Log::default());
        let (line_sender, lines) = mpsc::channel();
        keep(child.stderr.take().expect("stderr is a pipe"), Arc::clone(&stderr), None);
        keep(
            child.stdout.take().expect("stdout is a pipe"),
            Arc::clone(&stdout),
            Some(line_sender),
        );
        let ready = match lines.recv_timeout(READY_WITHIN) {
            Ok(line) => line,
            Err(problem) => {
                child.kill().ok();
                let exit = child.wait();
                let ended = problem == RecvTimeoutError::Disconnected;
                let stderr = text(&stderr);
                panic!("the proxy is not ready; ended: {ended} ({exit:?}); stderr:\n{stderr}");
            }
        };
        let ready: Value = serde_json::from_str(&ready).expect("the ready line is JSON");
        assert_eq!(ready["ready"], true, "{ready}");
        let address = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let proxy = address(&ready["proxy"][0]).expect("an address of the proxy");
        let admin = address(&ready["admin"]).expect("an address of the admin listener");
        let control = address(&ready["control"]);
        Self { child, stdout, stderr, proxy, admin, control }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends `TERM`, `HUP`, …
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        Command::new("sh").args(["-c", &command]).status().expect("sh runs");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    pub(crate) fn stdout(&self) -> Vec<u8> {
        self.stdout.lock().expect("the reader lives").clone()
    }

    pub(crate) fn stderr(&self) -> Vec<u8> {
        self.stderr.lock().expect("the reader lives").clone()
    }

    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(self.proc("fd")).map_or(0, Iterator::count)
    }

    /// Resident memory now.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most that was resident since the last `reset_memory_peak`.
    pub(crate) fn memory_peak_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    pub(crate) fn reset_memory_peak(&self) {
        // proc(5): 5 resets the peak resident set size to the current value.
        std::fs::write(self.proc("clear_refs"), "5").expect("our own child's file");
    }

    /// A file of this process below `/proc`.
    pub(crate) fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).expect("the proxy lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.trim().strip_suffix(" kB"));
        value.and_then(|value| value.trim().parse().ok()).expect("a number of kB")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the proxy\n{}", text(&self.stderr));
        }
        self.kill();
    }
}

/// The binary under test, with an empty environment.
pub(crate) fn sallygate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn keep(stream: impl Read + Send + 'static, log: Log, lines: Option<mpsc::Sender<String>>) {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            log.lock().expect("no reader panicked").extend_from_slice(&line);
            if let Some(lines) = &lines {
                lines.send(String::from_utf8_lossy(&line).into_owned()).ok();
            }
            line.clear();
        }
    });
}

fn text(log: &Log) -> String {
    String::from_utf8_lossy(&log.lock().expect("the reader lives")).into_owned()
}

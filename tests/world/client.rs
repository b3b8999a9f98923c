//! Real clients in the place of a sandbox: an empty environment but for what a sandbox is given.

use aws_lc_rs::digest::{self, Context};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};
use tokio::sync::Notify;

use super::body::PseudoRandom;
use super::seen::hex;
use super::{RunningUpstream, RunningWorld};

/// How long a client may neither say nor take anything: what is silent for longer hangs. How long it
/// takes as a whole says nothing, for a gigabyte on a busy machine takes what it takes.
const SILENT_WITHIN: Duration = Duration::from_secs(120);

/// A program of `.venv`, which `tests/prepare` makes.
pub(crate) fn venv(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin").join(program);
    assert!(path.exists(), "`.venv/bin/{program}` is missing: run tests/prepare");
    path
}

/// A file of `tests/clients`.
pub(crate) fn clients(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(file)
}

/// A client to be run.
pub(crate) struct Client<'w> {
    world: &'w RunningWorld,
    command: Command,
    stdin: Option<PseudoRandom>,
    keep_stdout: bool,
}

/// What a client wrote, and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) stdout_bytes: u64,
    pub(crate) stdout_sha256: String,
}

impl<'w> Client<'w> {
    pub(crate) fn new(world: &'w RunningWorld, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.env_clear().envs(world.sandbox_environment()).current_dir(world.home());
        Self { world, command, stdin: None, keep_stdout: true }
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, names: &[&str]) -> Self {
        for name in names {
            self.command.env_remove(name);
        }
        self
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Feeds so many pseudo-random bytes to standard input.
    pub(crate) fn stdin_bytes(mut self, bytes: u64) -> Self {
        self.stdin = Some(PseudoRandom::new(bytes));
        self
    }

    /// Counts and hashes standard output instead of keeping it.
    pub(crate) fn hash_stdout_only(mut self) -> Self {
        self.keep_stdout = false;
        self
    }

    /// Opens the gate of `upstream` each time that standard output holds `marker` once more: the
    /// upstream sends a part only after the client has shown the one before.
    pub(crate) fn run_opening(self, upstream: &RunningUpstream, marker: &str) -> Outcome {
        let mut opened = 0;
        self.run_watching(|output| {
            let shown = output.matches(marker).count();
            (opened..shown).for_each(|_| upstream.open_gate());
            opened = shown;
        })
    }

    pub(crate) fn run(self) -> Outcome {
        self.run_watching(|_| ())
    }

    /// Calls `on_output` with all of standard output so far, each time that there is more.
    pub(crate) fn run_watching(self, on_output: impl FnMut(&str)) -> Outcome {
        let Self { world, mut command, stdin, keep_stdout } = self;
        let shown = format!("{:?}", command.as_std().get_program());
        command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let moved = Notify::new();
        let running = run(command, stdin, (keep_stdout, &moved), on_output);
        let outcome = world.runtime().block_on(unless_silent(running, &moved));
        let outcome = outcome.unwrap_or_else(|| panic!("{shown} hangs"));
        world.received(outcome.stdout.as_bytes());
        world.received(outcome.stderr.as_bytes());
        outcome
    }
}

/// The outcome of `running`, unless nothing has moved for too long.
async fn unless_silent<T>(running: impl Future<Output = T>, moved: &Notify) -> Option<T> {
    let mut running = pin!(running);
    loop {
        let step = async {
            tokio::select! {
                biased;
                outcome = &mut running => Some(outcome),
                () = moved.notified() => None,
            }
        };
        match tokio::time::timeout(SILENT_WITHIN, step).await {
            Ok(None) => {}
            Ok(outcome) => return outcome,
            Err(_) => return None,
        }
    }
}

async fn run(
    mut command: Command,
    stdin: Option<PseudoRandom>,
    (keep_stdout, moved): (bool, &Notify),
    mut on_output: impl FnMut(&str),
) -> Outcome {
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!("{command:?}: {error} (tests/prepare installs the clients)")
    });
    let input = child.stdin.take();
    let output = child.stdout.take().expect("stdout is a pipe");
    let errors = child.stderr.take().expect("stderr is a pipe");
    let mut digest = Context::new(&digest::SHA256);
    let (mut stdout, mut stdout_bytes, mut stderr) = (Vec::new(), 0, Vec::new());
    tokio::join!(
        feed(input, stdin, moved),
        read(output, |piece| {
            moved.notify_one();
            digest.update(piece);
            stdout_bytes += piece.len() as u64;
            if keep_stdout {
                stdout.extend_from_slice(piece);
                on_output(&String::from_utf8_lossy(&stdout));
            }
        }),
        read(errors, |piece| {
            moved.notify_one();
            stderr.extend_from_slice(piece);
        }),
    );
    Outcome {
        success: child.wait().await.is_ok_and(|status| status.success()),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        stdout_bytes,
        stdout_sha256: hex(digest.finish().as_ref()),
    }
}

async fn feed(input: Option<ChildStdin>, bytes: Option<PseudoRandom>, moved: &Notify) {
    let Some(mut input) = input else { return };
    for piece in bytes.into_iter().flatten() {
        if input.write_all(&piece).await.is_err() {
            return;
        }
        moved.notify_one();
    }
}

async fn read(mut stream: impl AsyncRead + Unpin, mut keep: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        keep(&buffer[..count]);
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert!(self.success, "the client failed\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn failed(self) -> Self {
        assert!(!self.success, "the client succeeded\n{self}");
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// Standard output as JSON values, one on each line.
    #[track_caller]
    pub(crate) fn steps(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}\n{self}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The values of `key` in the order of the steps that have it.
    #[track_caller]
    pub(crate) fn all(&self, key: &str) -> Vec<Value> {
        self.steps().iter().filter_map(|step| step.get(key).cloned()).collect()
    }

    /// The value of `key` in the first step that has it.
    #[track_caller]
    pub(crate) fn step(&self, key: &str) -> Value {
        let found = self.all(key).into_iter().next();
        found.unwrap_or_else(|| panic!("no step says `{key}`\n{self}"))
    }

    /// What the step says under `key` tells why it was refused.
    #[track_caller]
    pub(crate) fn step_shows_denial(&self, key: &str, code: &str) {
        assert_denial_in(&self.step(key).to_string(), code);
    }

    /// The user of this client can read why it was refused: the code and the decision's id.
    #[track_caller]
    pub(crate) fn shows_denial(&self, code: &str) {
        let shown = format!("{}\n{}", self.stdout, self.stderr);
        assert_denial_in(&shown, code);
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// `shown` names the denial's code and a decision.
#[track_caller]
pub(crate) fn assert_denial_in(shown: &str, code: &str) {
    assert!(shown.contains(code), "the code `{code}` is not shown:\n{shown}");
    let decision = shown.split("dec_").skip(1).any(|rest| {
        let id = rest.chars().take_while(char::is_ascii_alphanumeric).count();
        id >= 6
    });
    assert!(decision, "no decision id is shown:\n{shown}");
}

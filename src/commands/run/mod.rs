//! `sallygate run -- CMD`: a command behind the proxy, as a sandbox of its own.

mod denials;
mod forwarder;
mod home;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use sallygate_compiler::plan::Plan;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::client::{self, Admin, SESSION_SECONDS_MAX, SessionSandbox};
use crate::exit::{Failure, Outcome, failed};
use crate::place::Place;
use crate::running::Running;
use crate::{demo, environment, java_trust, placeholder_key, print, runtime};
use sallygate_control::sandbox_environment::{self, Entrance, TrustFiles};

use self::denials::Denials;
pub(crate) use self::forwarder::Forwarder;
use self::home::Home;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Profile of the policy that says what the command may do
    #[arg(long, value_name = "PROFILE", default_value = demo::PROFILE)]
    profile: String,
    #[command(flatten)]
    place: Place,
    /// Do not tell at the end what was refused
    #[arg(long, short)]
    quiet: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let dir = options.place.data_dir();
    let (running, admin) = client::connect(&dir)?;
    let dir = dir.canonicalize()?;
    runtime::block_on(session(options, &running, &admin, &dir))
}

/// What the session gives to the command.
struct Given<'g> {
    home: Option<&'g Home>,
    /// Variables, for clients that insist on a key.
    placeholders: Vec<(String, String)>,
}

async fn session(options: &Options, running: &Running, admin: &Admin, dir: &Path) -> Outcome {
    let plan = admin.call(Method::GET, &format!("/v1/plans/{}", options.profile), None).await?;
    let plan = Plan::from_json("the plan in force", plan.to_string().as_bytes())?;
    let sandbox = admin.mint(&options.profile, SESSION_SECONDS_MAX).await?;
    let given = placeholder_key::variables(dir, &plan, &sandbox.id);
    let outcome = match given.and_then(|g| Ok((g, Home::write(&plan, dir, &sandbox.id)?))) {
        Ok((placeholders, home)) => {
            let given = Given { home: home.as_ref(), placeholders };
            sandboxed(options, running, admin, (&sandbox, &given), dir).await
        }
        Err(failure) => Err(failure),
    };
    if let Err(error) = admin.revoke(&sandbox.id).await {
        print::talk(format_args!("sallygate: the session's sandbox was not revoked: {error}"));
    }
    outcome
}

async fn sandboxed(
    options: &Options,
    running: &Running,
    admin: &Admin,
    (sandbox, given): (&SessionSandbox, &Given<'_>),
    dir: &Path,
) -> Outcome {
    let proxy = running.entrance().ok_or_else(|| failed("the proxy has no TCP listener"))?;
    let mut denials = Denials::new(admin.tail().await?, &sandbox.id);
    let forwarder = Forwarder::open(proxy, &sandbox.authorization()).await?;
    let mut child = start(options, (&forwarder, given), dir)?;
    let status = tokio::select! {
        status = wait(&mut child) => status?,
        // The proxy went away: the command goes on, and what it asks fails.
        () = denials.collect() => wait(&mut child).await?,
    };
    if !options.quiet {
        denials.settle().await;
        denials.tell(&environment::program_name(), &options.place.as_options());
    }
    match exit_code(status) {
        0 => Ok(()),
        code => Err(Failure::Child(code)),
    }
}

/// The variables of a client that uses this forwarder.
pub(crate) fn variables(forwarder: SocketAddr, dir: &Path) -> Vec<(&'static str, String)> {
    let entrance =
        Entrance { host: forwarder.ip().to_string(), port: forwarder.port(), userinfo: None };
    let trust = TrustFiles::within(dir, java_trust::store(dir));
    let java = environment::java_tool_options();
    sandbox_environment::variables(&entrance, &trust, java.as_deref())
}

fn start(
    options: &Options,
    (forwarder, given): (&Forwarder, &Given<'_>),
    dir: &Path,
) -> Result<Child, Failure> {
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(Failure::Usage("no command is given".into()));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(home) = given.home {
        command.envs(home.variables());
    }
    command.envs(given.placeholders.iter().map(|(name, value)| (name, value)));
    // Behind those of the plan: nothing of it leads past the proxy.
    command.envs(variables(forwarder.address, dir));
    for name in sandbox_environment::LEADING_PAST {
        command.env_remove(name);
    }
    command.spawn().map_err(|error| {
        // As shells say it: 127 when it is not there, 126 when it cannot be run.
        print::talk(format_args!("sallygate: `{}`: {error}", program.display()));
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        Failure::Child(if missing { 127 } else { 126 })
    })
}

/// Waits for the child, and passes on what asks this process to end.
async fn wait(child: &mut Child) -> Result<ExitStatus, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let pass_on = |signal| {
        // A child that is gone needs no signal.
        let _ = pid.map(|pid| kill_process(pid, signal));
    };
    // What is typed at a terminal goes to the whole group, so the child has it already.
    let typed = std::io::stdin().is_terminal();
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = terminate.recv() => pass_on(Signal::TERM),
            _ = hangup.recv() => pass_on(Signal::HUP),
            _ = interrupt.recv() => if !typed { pass_on(Signal::INT) },
            _ = quit.recv() => if !typed { pass_on(Signal::QUIT) },
        }
    }
}

/// As shells say it: 128 and the number of the signal that ended it.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

//! `sallygate up`: a proxy with a demo, from nothing, and without the network.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use http::Method;

use crate::client::Admin;
use crate::commands::proxy;
use crate::configuration::{self, Configuration};
use crate::demo::{self, Line, Ports};
use crate::exit::{Failure, Outcome, failed};
use crate::running::{self, Running};
use crate::{environment, print, runtime};

const PROXY_PORT: u16 = 8089;
const ADMIN_PORT: u16 = 8090;
const CONTROL_PORT: u16 = 8091;
const READY_WITHIN: Duration = Duration::from_secs(30);
const LOG_LINES: usize = 12;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Data directory [default: $SALLYGATE_DATA_DIR, or .sallygate]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Stay in the foreground
    #[arg(long)]
    foreground: bool,
    /// Port for sandboxes, on 127.0.0.1 [default: what config.toml says, at first 8089]
    #[arg(long, value_name = "PORT")]
    proxy_port: Option<u16>,
    /// Port for the operator, on 127.0.0.1 [default: what config.toml says, at first 8090]
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    /// Port for the control service, on 127.0.0.1 [default: what config.toml says, at first 8091]
    #[arg(long, value_name = "PORT")]
    control_port: Option<u16>,
}

impl Options {
    fn directory(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(environment::data_dir)
    }

    /// What other commands need to find this installation.
    fn as_options(&self) -> String {
        let dir = self.dir.as_ref();
        dir.map_or_else(String::new, |dir| format!(" --dir {}", dir.display()))
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    let dir = options.directory();
    if let Some(running) = running::find(&dir) {
        print::data("already running\n");
        print_footer(&running, None, options);
        return Ok(());
    }
    let ports = Ports {
        proxy: options.proxy_port.unwrap_or(PROXY_PORT),
        admin: options.admin_port.unwrap_or(ADMIN_PORT),
        control: options.control_port.unwrap_or(CONTROL_PORT),
    };
    demo::write(&dir, ports)?;
    let config = dir.join("config.toml");
    let configuration = configuration::load(&config)?;
    let start = proxy::Options {
        config,
        listen: options.proxy_port.map(loopback),
        admin_listen: options.admin_port.map(loopback),
        control_listen: options.control_port.map(loopback),
        advertise: None,
        demo_echo: demo::is_there(&dir),
    };
    check_ports(&configuration, &start, options)?;
    if options.foreground {
        return foreground(&start, &dir, options);
    }
    let running = start_detached(&start, &dir)?;
    show(&running, &dir, options)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn foreground(start: &proxy::Options, dir: &Path, options: &Options) -> Outcome {
    let (dir, options) = (dir.to_path_buf(), options.clone());
    proxy::run_with(start, move |running| {
        // The demo is a client of this process, so it must not hold up its first thread.
        std::thread::spawn(move || {
            if let Err(error) = show(&running, &dir, &options) {
                print::talk(error);
            }
        });
    })
}

fn show(running: &Running, dir: &Path, options: &Options) -> Outcome {
    let lines = runtime::block_on(async {
        let admin = Admin::new(running.admin, dir)?;
        admin.call(Method::GET, "/readyz", None).await?;
        demo::measure(running, &admin, dir).await
    })?;
    let denied = lines.iter().flatten().filter(|line| !line.is_allowed());
    let why = denied.map(|line| line.decision.clone()).nth(1);
    match &lines {
        None => print::data(format_args!(
            "  no demo: policy.toml has no profile `{}` any more",
            demo::PROFILE
        )),
        Some(lines) => print_lines(lines),
    }
    print_footer(running, why, options);
    Ok(())
}

fn print_lines(lines: &[Line]) {
    let colored = environment::wants_color();
    for (at, line) in lines.iter().enumerate() {
        print::data(line.text(at + 1, colored));
    }
    print::data("");
}

fn print_footer(running: &Running, why: Option<String>, options: &Options) {
    let Running { admin, .. } = running;
    let entrance = running.entrance().map_or_else(String::new, |a| format!("http://{a}"));
    let (program, place) = (environment::program_name(), options.as_options());
    print::data(format_args!("  Proxy     {entrance}"));
    print::data(format_args!("  Metrics   http://{admin}/metrics"));
    if let Some(control) = running.control {
        print::data(format_args!("  Control   http://{control}/docs"));
    }
    print::data(format_args!("  Policy    {}", options.directory().join("policy.toml").display()));
    let host = demo::HOST;
    print::data(format_args!("  Try it    {program} run{place} -- curl https://{host}/headers"));
    let why = why.map_or_else(
        || format!("{program} tail{place} -f"),
        |decision| format!("{program} explain{place} {decision}"),
    );
    print::data(format_args!("  Why       {why}"));
    print::data(format_args!("  Stop      {program} down{place}"));
}

/// A port that somebody else has is said before anything is started.
fn check_ports(
    configuration: &Configuration,
    start: &proxy::Options,
    options: &Options,
) -> Outcome {
    let entrances = match start.listen {
        Some(address) => vec![address],
        None => configuration.proxy.listen.clone(),
    };
    let admin = start.admin_listen.unwrap_or(configuration.proxy.admin);
    let control = start.control_listen.or(configuration.control.listen);
    for address in entrances.into_iter().chain([admin]).chain(control) {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(taken(address, options));
            }
            Err(error) => {
                return Err(failed(format_args!("cannot listen on {address}: {error}")));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn taken(address: SocketAddr, options: &Options) -> Failure {
    let (program, place) = (environment::program_name(), options.as_options());
    Failure::Conflict(format!(
        "port {} of {} is taken by another program\n\
         choose others: {program} up{place} --proxy-port 18089 --admin-port 18090 --control-port 18091\n\
         (or edit `{}`)",
        address.port(),
        address.ip(),
        options.directory().join("config.toml").display()
    ))
}

/// Starts the proxy as a process that goes on when this one ends.
fn start_detached(start: &proxy::Options, dir: &Path) -> Result<Running, Failure> {
    let log_path = dir.join("sallygate.log");
    let log = OpenOptions::new().create(true).append(true).open(&log_path)?;
    let begin = log.metadata()?.len();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("proxy").arg("--config").arg(&start.config);
    let listeners = [
        ("--listen", start.listen),
        ("--admin-listen", start.admin_listen),
        ("--control-listen", start.control_listen),
    ];
    for (name, address) in listeners {
        if let Some(address) = address {
            command.arg(name).arg(address.to_string());
        }
    }
    if start.demo_echo {
        command.arg("--demo-echo");
    }
    // A group of its own: Ctrl-C and a closed terminal are not meant for it.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
    let mut child = command.spawn()?;
    let ready = child.stdout.take().and_then(first_line);
    match ready.and_then(|_| running::find(dir)) {
        Some(running) => Ok(running),
        None => Err(not_started(&mut child, &log_path, begin)),
    }
}

/// The line that says that requests are served.
fn first_line(stdout: ChildStdout) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        if BufReader::new(stdout).read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            // Nobody waits any more when the time was over before.
            let _ = sender.send(line);
        }
    });
    receiver.recv_timeout(READY_WITHIN).ok()
}

fn not_started(child: &mut Child, log_path: &Path, begin: u64) -> Failure {
    // It may have ended by itself already.
    let _ = child.kill();
    let _ = child.wait();
    let text = read_from(log_path, begin).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LOG_LINES));
    let last: String = last.map(|line| format!("\n  {line}")).collect();
    failed(format_args!("the proxy did not start; `{}` ends with{last}", log_path.display()))
}

fn read_from(path: &Path, begin: u64) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(64 * 1024).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

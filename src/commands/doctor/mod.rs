//! `sallygate doctor`: every client that is here, tried against an intercepted, a tunnelled and a
//! denied host.
//!
//! What a client did is not read from what it says but from where it was seen: at the proxy, and
//! at the upstream behind it. Only whether it shows the reason of a denial is read from its output.

mod clients;
mod world;

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::demo::{HOST, TUNNEL_HOST};
use crate::exit::{Failure, Outcome};
use crate::print::Format;
use crate::{environment, print, runtime};
use sallygate_control::sandbox_environment;

use self::clients::{CLIENTS, Client, SOURCES};
use self::world::World;

const DENIED_HOST: &str = "denied.test";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these, by name
    #[arg(value_name = "CLIENT")]
    clients: Vec<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What was seen of one client.
#[derive(Clone, Copy, Debug)]
struct Findings {
    /// It asked the proxy.
    proxy: bool,
    /// It accepted the proxy's certificate.
    trust: bool,
    /// It reached the upstream through a tunnel.
    tunnel: bool,
    /// It showed why something was refused.
    denial: bool,
}

impl Findings {
    fn all(self) -> bool {
        self.proxy && self.trust && self.tunnel && self.denial
    }

    fn fix(self, client: &Client) -> Option<&'static str> {
        match self {
            Self { proxy: false, .. } => Some(client.proxy_fix),
            Self { trust: false, .. } | Self { tunnel: false, .. } => Some(client.trust_fix),
            Self { denial: false, .. } => {
                Some("it hides the body of an answer: use `sallygate tail --denied`")
            }
            Self { denial: true, .. } => None,
        }
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    let known = |name: &String| CLIENTS.iter().any(|client| client.name == name);
    if let Some(unknown) = options.clients.iter().find(|name| !known(name)) {
        let names: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
        let message = format!("no client `{unknown}`; there are: {}", names.join(", "));
        return Err(Failure::NotFound(message));
    }
    runtime::block_on(examine(options))
}

async fn examine(options: &Options) -> Outcome {
    let world = World::start().await?;
    for (name, text) in SOURCES {
        std::fs::write(world.path().join(name), text)?;
    }
    if options.output == Format::Human {
        print::data("client           proxy  CA  tunnel  denial");
    }
    let (mut tried, mut unwell) = (0, 0);
    for client in CLIENTS.iter().filter(|client| is_wanted(client, options)) {
        if !is_usable(client).await {
            print::talk(format_args!("{:<16} not here", client.name));
            continue;
        }
        let findings = findings(client, &world).await;
        tried += 1;
        unwell += u32::from(!findings.all());
        show(client, findings, options.output);
    }
    match unwell {
        0 => Ok(()),
        n => Err(Failure::Failed(format!("{n} of {tried} clients need attention"))),
    }
}

fn is_wanted(client: &Client, options: &Options) -> bool {
    options.clients.is_empty() || options.clients.iter().any(|name| name == client.name)
}

async fn is_usable(client: &Client) -> bool {
    let Some(program) = environment::find_program(client.program) else { return false };
    if client.usable.is_empty() {
        return true;
    }
    let mut command = Command::new(program);
    command.args(client.usable).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ended = timeout(client.within, command.kill_on_drop(true).status()).await;
    ended.is_ok_and(|status| status.is_ok_and(|status| status.success()))
}

async fn findings(client: &Client, world: &World) -> Findings {
    // What the last client did late does not count for this one.
    world.forwarder.take_asked();
    let before = world.echo.answered();
    fetch(client, world, HOST).await;
    let proxy = world.forwarder.take_asked().iter().any(|line| line.contains(HOST));
    let intercepted = world.echo.answered();
    fetch(client, world, TUNNEL_HOST).await;
    let tunnelled = world.echo.answered();
    let output = fetch(client, world, DENIED_HOST).await;
    Findings {
        proxy,
        trust: intercepted > before,
        tunnel: tunnelled > intercepted,
        denial: output.contains("no_route") || output.contains("dec_"),
    }
}

/// Runs the client as a sandbox does, and gives what it wrote.
async fn fetch(client: &Client, world: &World, host: &str) -> String {
    let url = format!("https://{host}/anything");
    let dir = world.path().display().to_string();
    let filled = |text: &str| text.replace("{url}", &url).replace("{dir}", &dir);
    let mut command = Command::new(client.program);
    command.args(client.arguments.iter().map(|argument| filled(argument)));
    for name in sandbox_environment::LEADING_PAST {
        command.env_remove(name);
    }
    command.envs(world.variables.iter().map(|(name, value)| (name, value)));
    command.envs(client.variables.iter().map(|(name, value)| (name, filled(value))));
    command.current_dir(world.path()).stdin(Stdio::null()).kill_on_drop(true);
    match timeout(client.within, command.output()).await {
        Ok(Ok(output)) => {
            let (out, err) = (output.stdout, output.stderr);
            String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&err)
        }
        Ok(Err(_)) | Err(_) => String::new(),
    }
}

fn show(client: &Client, findings: Findings, format: Format) {
    let Findings { proxy, trust, tunnel, denial } = findings;
    let fix = findings.fix(client);
    if format == Format::Json {
        print::raw(format_args!(
            "{}\n",
            json!({
                "client": client.name, "proxy": proxy, "trust": trust, "tunnel": tunnel,
                "denial": denial, "fix": fix,
            })
        ));
        return;
    }
    let mark = |good: bool| if good { '✓' } else { '✗' };
    let (proxy, trust, tunnel, denial) = (mark(proxy), mark(trust), mark(tunnel), mark(denial));
    let row = format!("{:<16} {proxy:<6} {trust:<3} {tunnel:<7} {denial}", client.name);
    print::raw(row + "\n");
    if let Some(fix) = fix {
        print::raw(format_args!("                 → {fix}\n"));
    }
}

//! `sallygate control`: the control service alone, in the foreground.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sallygate_control::installation::Installation;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::ca::now;
use crate::commands::proxy::{claim, start_log};
use crate::control::{self, Start};
use crate::exit::{Outcome, failed};
use crate::running::Running;
use crate::{configuration, print};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    config: PathBuf,
    /// Listen here, instead of where `[control]` says
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Where it listens when nobody says.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8091);

pub(crate) fn run(options: &Options) -> Outcome {
    let settings = configuration::control(&options.config)?;
    start_log(&settings.log);
    let data_dir = settings.data_dir;
    Installation::open_or_create(&data_dir, now()).map_err(failed)?;
    let listen = options.listen.or(settings.control.listen).unwrap_or(LISTEN);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (registry, config) = (settings.registry, settings.control);
        let (data_dir, proxy) = (data_dir.as_path(), None);
        let start = Start { data_dir, listen, registry, config, proxy };
        let service = control::start(start).await?;
        let claim = claim(data_dir, &found(service.address(), &options.config));
        print::data(json!({ "ready": true, "control": service.address() }));
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        service.stop().await;
        drop(claim);
        Ok(())
    })
}

/// Where other commands find it: there is no proxy, so nobody connects to one.
fn found(control: SocketAddr, config: &Path) -> Running {
    Running {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        proxy: Vec::new(),
        unix: Vec::new(),
        admin: SocketAddr::from(([0, 0, 0, 0], 0)),
        control: Some(control),
        config: config.canonicalize().unwrap_or_else(|_| config.to_path_buf()),
        started_unix: sallygate_proxy::clock::wall_seconds(),
    }
}

//! `[control]`, `[oidc]` and `[webhooks]`: how the control service runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use sallygate_compiler::read::Table;
use sallygate_control::outbound::Reach;
use sallygate_definitions::Registry;

use super::{LogSettings, LoginSettings, address_at, login, reach};

/// How the control service runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlConfig {
    /// Where it listens; none: it does not run beside a proxy.
    pub(crate) listen: Option<SocketAddr>,
    /// Proxies in front of it.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// How people sign in.
    pub(crate) login: Option<LoginSettings>,
    /// What deliveries of webhooks may reach beyond public addresses.
    pub(crate) webhooks: Reach,
}

/// What a control service that runs alone needs of a configuration.
#[derive(Debug)]
pub(crate) struct ControlSettings {
    pub(crate) log: LogSettings,
    pub(crate) data_dir: PathBuf,
    pub(crate) control: ControlConfig,
    pub(crate) registry: Registry,
}

pub(super) fn settings(root: &mut Table<'_>, base: &Path) -> ControlConfig {
    let (listen, trusted_proxies) = listen(root);
    let login = login::settings(root, base);
    let webhooks = match root.table("webhooks") {
        Some(mut table) => {
            let reach = reach::settings(&mut table, base);
            table.finish();
            reach
        }
        None => Reach::default(),
    };
    ControlConfig { listen, trusted_proxies, login, webhooks }
}

/// There is a control service in this process when `[control]` says where to listen.
fn listen(root: &mut Table<'_>) -> (Option<SocketAddr>, Vec<IpNet>) {
    let Some(mut table) = root.table("control") else { return (None, Vec::new()) };
    let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = table.required_string("listen");
    if let Some(text) = &listen {
        address_at(&table, "listen", text, &mut address);
    }
    let trusted = reach::ranges(&mut table, "trusted_proxies");
    table.finish();
    (listen.map(|_| address), trusted)
}

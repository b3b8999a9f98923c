//! A private proxy for the check: its own directory, authority, policy and upstream, gone when the
//! check is over. Nothing of the installation is touched, and no packet leaves the machine.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sallygate_control::installation::Installation;
use sallygate_control::private_file::{self, Readers};
use tempfile::TempDir;

use crate::client::Admin;
use crate::commands::ca::now;
use crate::commands::run::{Forwarder, variables};
use crate::configuration;
use crate::demo::{self, Echo, Ports};
use crate::exit::{Failure, failed};

const SESSION_SECONDS: u64 = 3600;

/// A proxy in this process, and a sandbox's way to it.
pub(super) struct World {
    dir: TempDir,
    pub(super) echo: Echo,
    pub(super) forwarder: Forwarder,
    pub(super) variables: Vec<(&'static str, String)>,
    _proxy: sallygate_proxy::Running,
}

impl World {
    pub(super) async fn start() -> Result<Self, Failure> {
        let dir = TempDir::new()?;
        let path = dir.path().canonicalize()?;
        write(&path)?;
        let mut configuration = configuration::load(&path.join("config.toml"))?;
        let echo = Echo::start(&path).await?;
        echo.serve_target(&mut configuration.input);
        let input = configuration.input.clone();
        let reload = Arc::new(move || Ok(input.clone()));
        let proxy = sallygate_proxy::start(configuration.proxy, configuration.input, reload)
            .await
            .map_err(failed)?;
        let addresses = proxy.addresses.clone();
        let (Some(entrance), Some(operator)) = (addresses.proxy.first(), addresses.admin) else {
            return Err(failed("the proxy has no TCP listener"));
        };
        let admin = Admin::new(operator, &path)?;
        let sandbox = admin.mint(demo::PROFILE, SESSION_SECONDS).await?;
        let forwarder = Forwarder::open(*entrance, &sandbox.authorization()).await?;
        // Java's trust store takes seconds to make.
        let given = forwarder.address;
        let store = path.clone();
        let variables = tokio::task::spawn_blocking(move || variables(given, &store));
        let variables = variables.await.map_err(failed)?;
        Ok(Self { dir, echo, forwarder, variables, _proxy: proxy })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn write(path: &Path) -> Result<(), Failure> {
    let made = Installation::open_or_create(path, now()).map_err(failed)?;
    // One authority for both, so that every client needs one trust only: what is tunnelled is
    // answered by the upstream's own certificate.
    let copy = |from: &Path, to: &str, readers| {
        let content = fs::read(from)?;
        private_file::create(&path.join(to), &content, readers)
    };
    copy(&made.ca_key(), "echo-ca-key.pem", Readers::Owner)?;
    copy(&made.ca_certificate(), "echo-ca.pem", Readers::Everybody)?;
    fs::write(path.join("policy.toml"), include_str!("policy.toml"))?;
    demo::write(path, Ports { proxy: 0, admin: 0, control: 0 }).map(drop)
}

//! The demo's files in the data directory: written once, and never again.

use std::io;
use std::path::Path;

use sallygate_control::installation::Installation;
use sallygate_control::private_file::{self, Readers};
use sallygate_control::{authority, token};

use crate::commands::ca::now;
use crate::exit::{Failure, failed};

pub(super) const ECHO_CA: &str = "echo-ca.pem";
pub(super) const ECHO_CA_KEY: &str = "echo-ca-key.pem";
pub(super) const TOKEN: &str = "demo.token";

/// The ports that the configuration names at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) proxy: u16,
    pub(crate) admin: u16,
    pub(crate) control: u16,
}

/// Makes what is missing of an installation with the demo's policy.
pub(crate) fn write(dir: &Path, ports: Ports) -> Result<Installation, Failure> {
    let installation = Installation::open_or_create(dir, now()).map_err(failed)?;
    once(dir, "config.toml", Readers::Everybody, || Ok(config(ports)))?;
    once(dir, "policy.toml", Readers::Everybody, || Ok(include_str!("policy.toml").into()))?;
    once(dir, TOKEN, Readers::Owner, || token::mint("demo_").map_err(failed))?;
    if !dir.join(ECHO_CA).exists() {
        let made = authority::create("Sallygate demo upstream", now()).map_err(failed)?;
        let key = dir.join(ECHO_CA_KEY);
        // The key first: a certificate alone would be taken for a whole authority.
        private_file::replace(&key, made.key_pem.as_bytes(), Readers::Owner).map_err(failed)?;
        once(dir, ECHO_CA, Readers::Everybody, || Ok(made.certificate_pem.clone()))?;
    }
    Ok(installation)
}

/// Whether the demo's upstream was made here.
pub(crate) fn is_there(dir: &Path) -> bool {
    dir.join(ECHO_CA).exists()
}

fn config(ports: Ports) -> String {
    include_str!("config.toml")
        .replace("{proxy_port}", &ports.proxy.to_string())
        .replace("{admin_port}", &ports.admin.to_string())
        .replace("{control_port}", &ports.control.to_string())
}

fn once(
    dir: &Path,
    name: &str,
    readers: Readers,
    content: impl FnOnce() -> Result<String, Failure>,
) -> Result<(), Failure> {
    let path = dir.join(name);
    if path.exists() {
        return Ok(());
    }
    match private_file::create(&path, content()?.as_bytes(), readers) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed(format_args!("`{}`: {error}", path.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

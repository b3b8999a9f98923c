//! The demo: a policy and an upstream that show what the proxy does, without leaving the machine.

mod client;
mod echo;
mod files;
mod outcomes;

pub(crate) use echo::{Echo, TUNNEL_HOST};
pub(crate) use files::{Ports, is_there, write};
pub(crate) use outcomes::{Line, measure};

/// The profile that the demo's policy has.
pub(crate) const PROFILE: &str = "web";
/// The target that leads to the echo server.
pub(crate) const TARGET: &str = "echo";
/// The host of that target.
pub(crate) const HOST: &str = "echo.test";

//! What the hostile tests stand on: clients and upstreams that say exactly the bytes they are told,
//! and the real proxy between them. Nothing here repairs, retries or sleeps.

pub(crate) mod answer;
pub(crate) mod arena;
pub(crate) mod client;
pub(crate) mod corpus;
pub(crate) mod dns;
pub(crate) mod fetch;
pub(crate) mod gate;
pub(crate) mod h2;
pub(crate) mod invariants;
pub(crate) mod pki;
pub(crate) mod run;
pub(crate) mod scene;
pub(crate) mod stage;
pub(crate) mod stream;
pub(crate) mod tail;
pub(crate) mod untrusted;
pub(crate) mod upstream;

#[path = "../world/canary.rs"]
mod canary;
#[path = "../world/process.rs"]
mod process;

use std::time::Duration;

pub(crate) use canary::Canary;
pub(crate) use process::{Process, sallygate};

/// So long may anything take that ought to happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes as people read them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 700;
    let mut text = bytes[..bytes.len().min(SHOWN_BYTES_MAX)].escape_ascii().to_string();
    if bytes.len() > SHOWN_BYTES_MAX {
        text.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    text
}

/// Where `needle` begins in `bytes`, at `from` or behind.
pub(crate) fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(needle.len()).position(|window| window == needle).map(|at| at + from)
}

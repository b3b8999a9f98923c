//! git's smart HTTP: which service a request asks for, what a push would change, and what a fetch
//! wants.

mod fetch;
mod listing;
mod pkt;
mod push;

use super::{Reading, Unreadable};
use crate::block::GitService;
use crate::key::{HeaderValue, MatchKey};

pub use fetch::{Fetch, Want, read_fetch};
pub use listing::{Fate, Greeting, Listed, Sieve};
pub use pkt::error;
pub use push::{Progress, Push, read_push, refusal};

/// One command of a push: a reference, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefCommand {
    /// The full name.
    pub name: String,
    pub change: Change,
}

/// What becomes of a reference. A change of an existing one may rewind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Create,
    Move,
    Delete,
}

/// Whether a request belongs to smart HTTP, and to which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `GET …/info/refs?service=…`
    Discovery(GitService),
    /// `POST …/git-upload-pack` or `POST …/git-receive-pack`
    Service(GitService),
}

impl Asked {
    pub fn service(self) -> GitService {
        match self {
            Self::Discovery(service) | Self::Service(service) => service,
        }
    }
}

const SERVICES: [GitService; 2] = [GitService::UploadPack, GitService::ReceivePack];

/// What a request asks of git, exactly as git asks for it.
pub fn asks(key: &MatchKey<'_>) -> Option<Asked> {
    let (above, last) = key.target.path().rsplit_once('/')?;
    match key.method {
        "GET" if last == "refs" && above.ends_with("/info") => {
            let query = key.target.query()?;
            let asked = SERVICES
                .into_iter()
                .find(|service| query.strip_prefix("service=") == Some(service.program()));
            asked.map(Asked::Discovery)
        }
        "POST" => {
            let asked = SERVICES.into_iter().find(|service| last == service.program());
            asked.map(Asked::Service)
        }
        _ => None,
    }
}

/// What a lenient server could take a request for, when the service is to be denied.
pub fn may_ask(key: &MatchKey<'_>, service: GitService) -> Option<Asked> {
    let path = key.target.path().trim_end_matches('/').as_bytes();
    if ends_with(path, service.program()) && key.method != "OPTIONS" {
        return Some(Asked::Service(service));
    }
    let mut parts = path.rsplit(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let mut is = |name: &str| parts.next().is_some_and(|part| ends_with(part, name));
    if !is("refs") || !is("info") {
        return None;
    }
    let query = key.target.query().unwrap_or_default().as_bytes();
    let named = |service: GitService| {
        let name = service.program().as_bytes();
        query.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name))
    };
    // Without a service it is the old way of fetching; an escape may hide any.
    let plain = service == GitService::UploadPack && !named(GitService::ReceivePack);
    (plain || query.contains(&b'%') || named(service)).then_some(Asked::Discovery(service))
}

fn ends_with(path: &[u8], name: &str) -> bool {
    let at = path.len().checked_sub(name.len());
    let end = at.and_then(|at| path.get(at..)).unwrap_or_default();
    end.eq_ignore_ascii_case(name.as_bytes())
}

/// Whether `bytes` may be one component of a reference's name (git-check-ref-format).
pub fn is_component(bytes: &[u8]) -> bool {
    let forbidden = |byte: u8| byte <= b' ' || byte == 0x7f || b"~^:?*[\\/".contains(&byte);
    let pair = |pair: &[u8]| matches!(pair, b".." | b"@{");
    !bytes.is_empty()
        && !bytes.iter().any(|byte| forbidden(*byte))
        && !bytes.windows(2).any(pair)
        && !bytes.starts_with(b".")
        && !bytes.ends_with(b".")
        && !bytes.ends_with(b".lock")
}

/// The full name of a reference, if it may be one.
fn full_name(name: &[u8]) -> Option<&str> {
    let mut components = name.split(|byte| *byte == b'/');
    let full = components.next() == Some(b"refs") && name.len() > b"refs/".len();
    let name = (full && components.all(is_component)).then_some(name)?;
    std::str::from_utf8(name).ok()
}

/// SHA-1 or SHA-256, in lower-case hex.
fn is_object_id(text: &[u8]) -> bool {
    ObjectId::parse(text).is_some()
}

/// The name of an object: SHA-1 or SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId {
    /// A SHA-1 fills the first 20.
    bytes: [u8; 32],
    is_sha256: bool,
}

impl ObjectId {
    /// Reads it in lower-case hex.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let is_sha256 = match text.len() {
            40 => false,
            64 => true,
            _ => return None,
        };
        let digit = |byte: u8| crate::canonical::hex(byte).filter(|_| !byte.is_ascii_uppercase());
        let mut bytes = [0; 32];
        let (pairs, _) = text.as_chunks::<2>();
        for (slot, [high, low]) in bytes.iter_mut().zip(pairs) {
            *slot = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self { bytes, is_sha256 })
    }
}

/// Whether version 2 of the protocol is asked for, exactly as git asks for it.
pub fn asks_version_2(key: &MatchKey<'_>) -> bool {
    key.headers.value("git-protocol") == HeaderValue::One(b"version=2")
}

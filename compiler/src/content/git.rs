//! git's smart HTTP: which service a request asks for, and what a push would change.

use crate::block::GitService;
use crate::key::MatchKey;

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

//! git's smart HTTP: which service a request asks for, and what a push would change.

use super::{Reading, Unreadable};
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

/// What a push says before its pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Empty: git tries whether it may push.
    pub commands: Vec<RefCommand>,
    /// Whether the client understands a report about each reference.
    pub reports: bool,
    /// Whether the report is to be wrapped for multiplexing.
    pub sideband: bool,
}

impl Push {
    pub fn reading(&self) -> Reading<RefCommand> {
        if self.commands.is_empty() {
            return Reading::Nothing;
        }
        Reading::Items(self.commands.clone())
    }
}

/// How far the commands of a push have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Incomplete,
    /// Whole, in this many bytes; push options and the pack follow.
    Whole(Push, usize),
}

/// The commands of a `git-receive-pack` request (gitprotocol-pack, "Reference Update Request"), in
/// the bytes that are there so far. Signed pushes, which wrap the commands, are not read.
pub fn read_push(bytes: &[u8]) -> Result<Progress, Unreadable> {
    let mut push = Push { commands: Vec::new(), reports: false, sideband: false };
    let (mut rest, mut known) = (bytes, std::collections::HashSet::new());
    let mut is_first = true;
    loop {
        let (line, after) = match pkt_line(rest)? {
            Line::Incomplete => return Ok(Progress::Incomplete),
            Line::Flush(after) => return Ok(Progress::Whole(push, bytes.len() - after.len())),
            Line::Data(line, after) => (line, after),
        };
        rest = after;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if is_first && line.strip_prefix(b"shallow ").is_some_and(is_object_id) {
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == 0);
        let (text, capabilities) = (parts.next().unwrap_or_default(), parts.next());
        if let Some(capabilities) = capabilities.filter(|_| is_first) {
            let mut list = capabilities.split(|byte| *byte == b' ');
            push.reports = list.clone().any(|c| c == b"report-status" || c == b"report-status-v2");
            push.sideband = list.any(|c| c == b"side-band-64k");
        } else if capabilities.is_some() {
            return Err(Unreadable("capabilities stand on the first command only"));
        }
        is_first = false;
        let command = command(text)?;
        if !known.insert(command.name.clone()) {
            return Err(Unreadable("a push changes one reference twice"));
        }
        push.commands.push(command);
    }
}

/// `old new name`; an id of zeros stands for no object.
fn command(text: &[u8]) -> Result<RefCommand, Unreadable> {
    let unclear = Unreadable("a command of the push cannot be read");
    let mut parts = text.splitn(3, |byte| *byte == b' ');
    let (Some(old), Some(new), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(unclear);
    };
    if !is_object_id(old) || !is_object_id(new) || old.len() != new.len() {
        return Err(unclear);
    }
    let none = |id: &[u8]| id.iter().all(|byte| *byte == b'0');
    let change = match (none(old), none(new)) {
        (true, false) => Change::Create,
        (false, false) => Change::Move,
        (false, true) => Change::Delete,
        (true, true) => return Err(unclear),
    };
    let components = name.split(|byte| *byte == b'/');
    let full = name.starts_with(b"refs/") && components.clone().count() > 1;
    if !full || !components.into_iter().all(is_component) {
        return Err(unclear);
    }
    let name = String::from_utf8(name.to_vec()).map_err(|_| unclear)?;
    Ok(RefCommand { name, change })
}

/// SHA-1 or SHA-256, in lower-case hex.
fn is_object_id(text: &[u8]) -> bool {
    let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    matches!(text.len(), 40 | 64) && text.iter().all(hex)
}

enum Line<'b> {
    Incomplete,
    Flush(&'b [u8]),
    Data(&'b [u8], &'b [u8]),
}

/// One pkt-line (gitprotocol-common): four hex digits, which count themselves.
fn pkt_line(bytes: &[u8]) -> Result<Line<'_>, Unreadable> {
    let Some((digits, rest)) = bytes.split_at_checked(4) else { return Ok(Line::Incomplete) };
    let mut length = 0;
    for digit in digits {
        let digit = crate::canonical::hex(*digit).ok_or(Unreadable("a pkt-line has no length"))?;
        length = length << 4 | usize::from(digit);
    }
    if length == 0 {
        return Ok(Line::Flush(rest));
    }
    let length = length.checked_sub(4).filter(|length| *length > 0);
    let length = length.ok_or(Unreadable("a pkt-line has no business here"))?;
    Ok(rest
        .split_at_checked(length)
        .map_or(Line::Incomplete, |(data, after)| Line::Data(data, after)))
}

/// The answer to a push that was refused as a whole: each reference with the reason, and a message
/// for the person. `None`: the client asked for no report, or changes nothing.
pub fn refusal(push: &Push, reason: &str, message: &str) -> Option<Vec<u8>> {
    if !push.reports || push.commands.is_empty() {
        return None;
    }
    let mut report = pkt(b"unpack ok\n");
    for command in &push.commands {
        report.extend(pkt(format!("ng {} {reason}\n", command.name).as_bytes()));
    }
    report.extend_from_slice(b"0000");
    if !push.sideband {
        return Some(report);
    }
    let mut out = band(2, message.as_bytes());
    for piece in report.chunks(SIDEBAND_BYTES) {
        out.extend(band(1, piece));
    }
    out.extend_from_slice(b"0000");
    Some(out)
}

/// What one pkt-line of a `side-band-64k` stream carries.
const SIDEBAND_BYTES: usize = 65_515;

fn band(number: u8, data: &[u8]) -> Vec<u8> {
    let data = data.get(..SIDEBAND_BYTES).unwrap_or(data);
    pkt(&[&[number], data].concat())
}

fn pkt(data: &[u8]) -> Vec<u8> {
    let mut line = format!("{:04x}", data.len() + 4).into_bytes();
    line.extend_from_slice(data);
    line
}

//! What a push says before its pack, and the answer to one that is refused.

use std::collections::HashSet;

use super::pkt::{self, Line};
use super::{Change, Reading, RefCommand, Unreadable, full_name, is_object_id};

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
    let (mut rest, mut known) = (bytes, HashSet::new());
    let mut is_first = true;
    loop {
        let (line, after) = match pkt::line(rest)? {
            Line::Incomplete => return Ok(Progress::Incomplete),
            Line::Flush(after) => return Ok(Progress::Whole(push, bytes.len() - after.len())),
            Line::Delimiter(_) => return Err(pkt::MISPLACED),
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
    let name = full_name(name).ok_or(unclear)?.to_owned();
    Ok(RefCommand { name, change })
}

/// The answer to a push that was refused as a whole: each reference with the reason, and a message
/// for the person. `None`: the client asked for no report, or changes nothing.
pub fn refusal(push: &Push, reason: &str, message: &str) -> Option<Vec<u8>> {
    if !push.reports || push.commands.is_empty() {
        return None;
    }
    let mut report = pkt::data(b"unpack ok\n");
    for command in &push.commands {
        report.extend(pkt::data(format!("ng {} {reason}\n", command.name).as_bytes()));
    }
    report.extend_from_slice(b"0000");
    if !push.sideband {
        return Some(report);
    }
    let mut out = pkt::band(2, message.as_bytes());
    for piece in report.chunks(pkt::SIDEBAND_BYTES) {
        out.extend(pkt::band(1, piece));
    }
    out.extend_from_slice(b"0000");
    Some(out)
}

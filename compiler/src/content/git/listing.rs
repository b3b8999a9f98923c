//! The answers from which somebody learns what a repository has, with what is not theirs left out.

use super::pkt::{self, Line};
use super::{ObjectId, full_name};

/// A reference of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'l> {
    /// The full name; for `HEAD` that of the reference that it stands for.
    pub name: &'l str,
    /// What it points at, and what that peels to; nothing for one that is not born yet.
    pub ids: Vec<ObjectId>,
}

/// Lets through, of the answer to `ls-refs` (gitprotocol-v2), the references that somebody may see.
///
/// It holds at most one pkt-line. What it cannot read ends the answer with an error for git.
#[derive(Debug, Default)]
pub struct Sieve {
    held: Vec<u8>,
    is_over: bool,
}

/// What becomes of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Keep,
    Drop,
    /// There are more than anybody keeps account of.
    TooMany,
}

impl Sieve {
    /// The next bytes of the answer; what is let through of them.
    pub fn pass(&mut self, bytes: &[u8], decide: &mut dyn FnMut(&Listed<'_>) -> Fate) -> Vec<u8> {
        let mut out = Vec::new();
        if self.is_over {
            return out;
        }
        self.held.extend_from_slice(bytes);
        let mut held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        let end = loop {
            match pkt::line(rest) {
                Ok(Line::Incomplete) => break None,
                Ok(Line::Flush(_)) => break Some(b"0000".to_vec()),
                Ok(Line::Data(line, after)) => {
                    if let Err(end) = sift(line, decide, &mut out) {
                        break Some(end);
                    }
                    rest = after;
                }
                Ok(Line::Delimiter(_)) | Err(_) => break Some(pkt::error(UNCLEAR)),
            }
        };
        match end {
            None => {
                let left = rest.len();
                held.drain(..held.len() - left);
                self.held = held;
            }
            Some(end) => {
                out.extend(end);
                self.is_over = true;
            }
        }
        out
    }

    /// The end of the answer; what has to be said when it broke off.
    pub fn finish(&mut self) -> Vec<u8> {
        let broke_off = !std::mem::replace(&mut self.is_over, true);
        if broke_off {
            pkt::error("sallygate: the list of references broke off")
        } else {
            Vec::new()
        }
    }
}

const UNCLEAR: &str = "sallygate: the upstream's list of references cannot be read";

/// Adds a line to `out` if it may be seen; `Err` is with what the answer ends.
fn sift(
    line: &[u8],
    decide: &mut dyn FnMut(&Listed<'_>) -> Fate,
    out: &mut Vec<u8>,
) -> Result<(), Vec<u8>> {
    if line.starts_with(b"ERR ") {
        return Err(pkt::data(line));
    }
    let fate = match listed(line) {
        Said::Reference(listed) => decide(&listed),
        Said::Nobodys => Fate::Drop,
        Said::Unclear => return Err(pkt::error(UNCLEAR)),
    };
    match fate {
        Fate::Keep => out.extend(pkt::data(line)),
        Fate::Drop => {}
        Fate::TooMany => {
            return Err(pkt::error(
                "sallygate: the repository has more references than may be listed",
            ));
        }
    }
    Ok(())
}

enum Said<'l> {
    Reference(Listed<'l>),
    /// Under no name that a rule could be about.
    Nobodys,
    Unclear,
}

/// `id name [symref-target:name] [peeled:id]`, or `unborn` instead of the id.
fn listed(line: &[u8]) -> Said<'_> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.contains(&0) {
        // So older versions list, with more behind it.
        return Said::Unclear;
    }
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(id), Some(name)) = (parts.next(), parts.next()) else { return Said::Unclear };
    let mut ids = match (id, ObjectId::parse(id)) {
        (b"unborn", _) => Vec::new(),
        (_, Some(id)) => vec![id],
        (_, None) => return Said::Unclear,
    };
    let mut target = None;
    for attribute in parts {
        if let Some(name) = attribute.strip_prefix(b"symref-target:") {
            target = Some(name);
        } else if let Some(id) = attribute.strip_prefix(b"peeled:") {
            let Some(id) = ObjectId::parse(id) else { return Said::Unclear };
            ids.push(id);
        } else {
            return Said::Unclear;
        }
    }
    let name = if name == b"HEAD" { target } else { Some(name) };
    match name.and_then(full_name) {
        Some(name) => Said::Reference(Listed { name, ids }),
        None => Said::Nobodys,
    }
}

/// Lets an answer to discovery through only when it says nothing but that version 2 is spoken:
/// older versions list every reference there.
#[derive(Debug, Default)]
pub struct Greeting {
    held: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Spoken,
    Refused,
}

impl Greeting {
    /// The next bytes of the answer; what is let through of them.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self.state {
            State::Open => self.held.extend_from_slice(bytes),
            State::Spoken => return bytes.to_vec(),
            State::Refused => return Vec::new(),
        }
        match speaks_version_2(&self.held) {
            Some(true) => {
                self.state = State::Spoken;
                std::mem::take(&mut self.held)
            }
            Some(false) => self.refuse(),
            None => Vec::new(),
        }
    }

    /// The end of the answer; what has to be said when it told no version.
    pub fn finish(&mut self) -> Vec<u8> {
        if self.state == State::Open { self.refuse() } else { Vec::new() }
    }

    fn refuse(&mut self) -> Vec<u8> {
        self.held.clear();
        self.state = State::Refused;
        pkt::error(
            "sallygate: the upstream does not speak version 2 of git's protocol, which is needed to \
             tell references apart",
        )
    }
}

/// `None`: it cannot be told yet.
fn speaks_version_2(bytes: &[u8]) -> Option<bool> {
    let (line, after) = match pkt::line(bytes) {
        Ok(Line::Data(line, after)) => (line, after),
        Ok(Line::Incomplete) => return None,
        Ok(Line::Flush(_) | Line::Delimiter(_)) | Err(_) => return Some(false),
    };
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line != b"# service=git-upload-pack" {
        return Some(line == b"version 2");
    }
    let (flush, after) = after.split_at_checked(4)?;
    match pkt::line(after) {
        _ if flush != b"0000" => Some(false),
        Ok(Line::Data(line, _)) => Some(line.strip_suffix(b"\n").unwrap_or(line) == b"version 2"),
        Ok(Line::Incomplete) => None,
        Ok(Line::Flush(_) | Line::Delimiter(_)) | Err(_) => Some(false),
    }
}

//! What a request to `git-upload-pack` asks for, in version 2 of git's protocol (gitprotocol-v2).
//!
//! A fetch wants objects by their ids, and a server gives whatever it has: which references they
//! belong to is known from what was listed before, and to nobody who did not see that.

use super::pkt::{self, Line};
use super::{ObjectId, Unreadable, full_name};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// `ls-refs`: which references there are. What may be known of them is decided by the answer.
    List,
    /// `fetch`: empty when it only tells what it has.
    Wants(Vec<Want>),
}

/// What a fetch names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    Object(ObjectId),
    /// By its full name.
    Reference(String),
}

/// Reads a request as a whole. Whatever a server might read differently, or might give something
/// for that is not looked at here (`object-info`, `bundle-uri`, commands to come), is not read.
pub fn read_fetch(bytes: &[u8]) -> Result<Fetch, Unreadable> {
    let mut lines = Lines { rest: bytes };
    let command = lines.first()?;
    let mut capabilities = true;
    while capabilities {
        match lines.next()? {
            Part::Text(text) if text.starts_with(b"command=") => {
                return Err(Unreadable("a request has one command"));
            }
            Part::Text(_) => {}
            Part::Delimiter => capabilities = false,
            Part::End => return without_arguments(command),
        }
    }
    match command {
        b"ls-refs" => list(&mut lines),
        b"fetch" => wants(&mut lines),
        _ => Err(UNKNOWN),
    }
}

const UNKNOWN: Unreadable = Unreadable("only `ls-refs` and `fetch` are read");

fn without_arguments(command: &[u8]) -> Result<Fetch, Unreadable> {
    match command {
        b"ls-refs" => Ok(Fetch::List),
        b"fetch" => Ok(Fetch::Wants(Vec::new())),
        _ => Err(UNKNOWN),
    }
}

fn list(lines: &mut Lines<'_>) -> Result<Fetch, Unreadable> {
    loop {
        match lines.next()? {
            Part::Text(b"peel" | b"symrefs" | b"unborn") => {}
            Part::Text(text) if text.starts_with(b"ref-prefix ") => {}
            Part::Text(_) | Part::Delimiter => return Err(ARGUMENT),
            Part::End => return Ok(Fetch::List),
        }
    }
}

const ARGUMENT: Unreadable = Unreadable("an argument of the fetch is not known");

fn wants(lines: &mut Lines<'_>) -> Result<Fetch, Unreadable> {
    let mut wants = Vec::new();
    loop {
        let text = match lines.next()? {
            Part::Text(text) => text,
            Part::Delimiter => return Err(ARGUMENT),
            Part::End => return Ok(Fetch::Wants(wants)),
        };
        let (name, value) = match text.iter().position(|byte| *byte == b' ') {
            Some(at) => text.split_at(at),
            None => (text, &[][..]),
        };
        let value = value.strip_prefix(b" ");
        match (name, value) {
            (b"want", Some(id)) => {
                wants.push(Want::Object(ObjectId::parse(id).ok_or(ARGUMENT)?));
            }
            // Where a history is cut shows something of what it is cut at.
            (b"want-ref" | b"deepen-not", Some(name)) => {
                let unclear = Unreadable("a reference is not asked for by its full name");
                wants.push(Want::Reference(full_name(name).ok_or(unclear)?.to_owned()));
            }
            (b"have" | b"shallow", Some(id)) => {
                ObjectId::parse(id).ok_or(ARGUMENT)?;
            }
            (b"deepen" | b"deepen-since" | b"filter" | b"packfile-uris", Some(_))
            | (
                b"done" | b"thin-pack" | b"no-progress" | b"include-tag" | b"ofs-delta"
                | b"deepen-relative" | b"sideband-all" | b"wait-for-done",
                None,
            ) => {}
            _ => return Err(ARGUMENT),
        }
    }
}

enum Part<'b> {
    Text(&'b [u8]),
    Delimiter,
    /// The flush, and nothing behind it.
    End,
}

struct Lines<'b> {
    rest: &'b [u8],
}

impl<'b> Lines<'b> {
    fn first(&mut self) -> Result<&'b [u8], Unreadable> {
        let unclear = Unreadable("the fetch does not begin as version 2 of the protocol does");
        match self.next().map_err(|_| unclear)? {
            Part::Text(text) => text.strip_prefix(b"command=").ok_or(unclear),
            Part::Delimiter | Part::End => Err(unclear),
        }
    }

    fn next(&mut self) -> Result<Part<'b>, Unreadable> {
        match pkt::line(self.rest)? {
            Line::Incomplete => Err(Unreadable("the fetch breaks off")),
            Line::Flush([]) => Ok(Part::End),
            Line::Flush(_) => Err(Unreadable("something follows the fetch")),
            Line::Delimiter(after) => {
                self.rest = after;
                Ok(Part::Delimiter)
            }
            Line::Data(text, after) => {
                self.rest = after;
                Ok(Part::Text(text.strip_suffix(b"\n").unwrap_or(text)))
            }
        }
    }
}

//! Checks the hash chain of an audit log.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::log::hash;

/// What stands in for the hash before the first record.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How far back from the end of a file its last line begins at most.
const LINE_BYTES_MAX: u64 = 256 * 1024;

/// An intact log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Records in it.
    pub records: u64,
    /// Hash of the last one: pin it elsewhere, and a cut-off end can be told too.
    pub head: String,
}

/// Why a log is not intact.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The file cannot be read.
    #[error("the audit log cannot be read")]
    Read(#[from] std::io::Error),
    /// A line is not a record.
    #[error("line {line}: not an audit record")]
    Malformed {
        /// 1-based.
        line: u64,
    },
    /// A record was changed after it was written.
    #[error("line {line}: the record does not have the hash that it states")]
    Changed {
        /// 1-based.
        line: u64,
    },
    /// A record does not follow the one before it.
    #[error("line {line}: the record does not follow the one before it")]
    Broken {
        /// 1-based.
        line: u64,
    },
}

impl ChainError {
    /// The line at which the chain breaks.
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::Read(_) => None,
            Self::Malformed { line } | Self::Changed { line } | Self::Broken { line } => {
                Some(*line)
            }
        }
    }
}

/// Checks every record of the log at `path`.
pub fn verify(path: &Path) -> Result<Summary, ChainError> {
    let mut head = GENESIS.to_owned();
    let mut records = 0;
    for text in BufReader::new(File::open(path)?).lines() {
        let (text, line) = (text?, records + 1);
        let record = Record::read(&text).ok_or(ChainError::Malformed { line })?;
        if hash(record.chained.as_bytes()) != record.hash {
            return Err(ChainError::Changed { line });
        }
        if record.seq != line || record.prev != head {
            return Err(ChainError::Broken { line });
        }
        head = record.hash.to_owned();
        records = line;
    }
    Ok(Summary { records, head })
}

/// A line of the log, taken apart without parsing what was hashed: the bytes are the record.
struct Record<'a> {
    seq: u64,
    prev: &'a str,
    hash: &'a str,
    chained: String,
}

impl<'a> Record<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (body, hash) = text.strip_suffix("\"}")?.rsplit_once(",\"hash\":\"")?;
        let (seq, rest) = body.strip_prefix("{\"seq\":")?.split_once(",\"prev\":\"")?;
        let (prev, _) = rest.split_once('"')?;
        Some(Self { seq: seq.parse().ok()?, prev, hash, chained: format!("{body}}}") })
    }
}

/// Sequence number and hash of the last whole record; a torn line behind it is cut off.
pub(super) fn last(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((0, GENESIS.into())),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    if whole < tail.len() {
        file.set_len(start + whole as u64)?;
    }
    let text = String::from_utf8_lossy(tail.get(..whole).unwrap_or_default());
    match text.lines().last() {
        None => Ok((0, GENESIS.into())),
        Some(line) => {
            Record::read(line).map(|record| (record.seq, record.hash.to_owned())).ok_or_else(|| {
                std::io::Error::other("the audit log does not end with an audit record")
            })
        }
    }
}

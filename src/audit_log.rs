//! Reads records back from an audit log, from its end or as a whole.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use sallygate_compiler::canonical::Scheme;
use sallygate_proxy::record::Event;

use crate::exit::{Failure, failed};

/// How far back from the end of the log the last records are looked for.
const TAIL_BYTES: u64 = 8 * 1024 * 1024;

/// A record as it stands in the log, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) line: String,
    pub(crate) event: Event,
}

impl Recorded {
    /// `None` for a line that is no record.
    pub(crate) fn read(line: String) -> Option<Self> {
        let event: Event = serde_json::from_str(&line).ok()?;
        (!event.time.is_empty()).then_some(Self { line, event })
    }
}

/// Every record, one after the other.
pub(crate) fn records(path: &Path) -> Result<impl Iterator<Item = Recorded>, Failure> {
    let lines = BufReader::new(open(path)?).lines();
    Ok(lines.map_while(Result::ok).filter_map(Recorded::read))
}

/// Records near the end.
pub(crate) fn last_records(path: &Path) -> Result<impl Iterator<Item = Recorded>, Failure> {
    let mut file = open(path)?;
    let length = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).map_err(failed)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // A first line that is cut is no record, and is left out as such.
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    Ok(lines.into_iter().filter_map(Recorded::read))
}

/// The scheme of a recorded request: how it came tells it, and else its port.
pub(crate) fn scheme(event: &Event) -> Scheme {
    match (event.mode.as_str(), event.port) {
        ("absolute", _) | (_, 80) => Scheme::Http,
        _ => Scheme::Https,
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::NotFound(format!("`{}`: {error}", path.display())))
}

//! The file of the audit log: a chain of lines of which every one is whole, or not there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::verify::{self, GENESIS};

/// What is handed to the file at once.
const WRITE_BYTES: usize = 64 * 1024;

/// Where a log can be kept: a file, or what stands in for one whose disk is full.
pub(super) trait Volume: Write + Sized {
    /// Opens what is at `path` to append to it, or makes it.
    fn open(path: &Path) -> io::Result<Self>;
    /// How long it is.
    fn length(&self) -> io::Result<u64>;
    /// Cuts off what stands behind `length`.
    fn cut(&self, length: u64) -> io::Result<()>;
}

impl Volume for File {
    fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)
    }

    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// The chain, as far as it is in the file.
pub(super) struct Log<V> {
    path: PathBuf,
    file: V,
    length: u64,
    seq: u64,
    head: String,
    /// The lines that were written last.
    lines: Vec<u8>,
}

/// How much of what was to be appended is in the file.
pub(super) struct Appended {
    pub(super) bytes: usize,
    pub(super) records: usize,
}

impl<V: Volume> Log<V> {
    /// Takes the chain up where the file ends; half a line at its end is cut off.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (seq, head) = verify::last(path)?;
        let file = V::open(path)?;
        let length = file.length()?;
        Ok(Self { path: path.into(), file, length, seq, head, lines: Vec::new() })
    }

    /// After a failure: what the file holds is the truth, whatever became of it meanwhile.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let path = std::mem::take(&mut self.path);
        let fresh = Self::open(&path);
        self.path = path;
        *self = fresh?;
        Ok(())
    }

    /// Appends as many of `records`, each ended by a line feed, as are written at once. All of
    /// them are in the file then; after an error none is.
    pub(super) fn append(&mut self, records: &[u8]) -> io::Result<Appended> {
        let (mut seq, mut head) = (self.seq, self.head.clone());
        let mut appended = Appended { bytes: 0, records: 0 };
        self.lines.clear();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', records) {
            if self.lines.len() >= WRITE_BYTES {
                break;
            }
            let record = records.get(start..=end).unwrap_or_default();
            start = end + 1;
            head = link(&mut self.lines, seq + 1, &head, record.trim_ascii_end())?;
            seq += 1;
            appended.bytes += record.len();
            appended.records += 1;
        }
        if let Err(error) = self.file.write_all(&self.lines) {
            // Where even this fails, the next opening cuts off half a line; the whole ones before
            // it are then in the log twice, which is better than not at all.
            let _ = self.file.cut(self.length);
            return Err(error);
        }
        self.length += self.lines.len() as u64;
        (self.seq, self.head) = (seq, head);
        Ok(appended)
    }

    /// The lines of the last [`Log::append`].
    pub(super) fn written(&self) -> &[u8] {
        &self.lines
    }
}

/// Puts a record into the chain: what is hashed is its line without its own hash, which is returned.
fn link(lines: &mut Vec<u8>, seq: u64, previous: &str, record: &[u8]) -> io::Result<String> {
    let body = record.strip_prefix(b"{").and_then(|r| r.strip_suffix(b"}")).unwrap_or_default();
    let start = lines.len();
    write!(lines, "{{\"seq\":{seq},\"prev\":\"{previous}\",")?;
    lines.extend_from_slice(body);
    lines.push(b'}');
    let hash = hash(lines.get(start..).unwrap_or_default());
    lines.pop();
    writeln!(lines, ",\"hash\":\"{hash}\"}}")?;
    Ok(hash)
}

/// SHA-256 in hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| DIGITS.get(usize::from(n)).copied().map_or('0', char::from);
    let mut text = String::with_capacity(GENESIS.len());
    for byte in digest::digest(&digest::SHA256, bytes).as_ref() {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

//! The master key: in a file of mode 0600 beside the database, never in it. Without the file that
//! a database was sealed with nothing opens, and no other one is made in its place.
//!
//! One line per version: `1 <64 hex digits>`. The last line's version seals; all open.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::seal::{KEY_BYTES, Key};
use crate::private_file::{self, Readers};

/// Every version of the master key that is kept.
#[derive(Debug)]
pub struct MasterKeys {
    keys: BTreeMap<i64, Key>,
    newest: i64,
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error("the master key file `{path}`: {source}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read it.
    #[error("the master key file `{0}` may be read by others: its mode must be 0600")]
    Readable(PathBuf),
    /// The content is not repeated: it is the key.
    #[error("line {line} of the master key file `{path}` is not a version and 64 hex digits")]
    Line { path: PathBuf, line: usize },
    #[error("the master key file `{0}` holds no key")]
    Empty(PathBuf),
    #[error("the system has no randomness")]
    Randomness,
}

impl MasterKeyError {
    /// Stable: part of the interface.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "master_key_unreadable",
            Self::Readable(_) => "master_key_readable",
            Self::Line { .. } | Self::Empty(_) => "master_key_malformed",
            Self::Randomness => "no_randomness",
        }
    }
}

impl MasterKeys {
    /// Reads the file. A missing one is an error: see [`MasterKeys::create`].
    pub fn read(path: &Path) -> Result<Self, MasterKeyError> {
        let at = |source| MasterKeyError::File { path: path.into(), source };
        let metadata = std::fs::metadata(path).map_err(at)?;
        if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
            return Err(MasterKeyError::Readable(path.into()));
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(at)?);
        let mut keys = BTreeMap::new();
        for (line, at) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
            let malformed = || MasterKeyError::Line { path: path.into(), line: at };
            let key = parse(line).ok_or_else(malformed)?;
            if keys.insert(key.version(), key).is_some() {
                return Err(malformed());
            }
        }
        let newest = keys.keys().next_back().copied();
        let newest = newest.ok_or_else(|| MasterKeyError::Empty(path.into()))?;
        Ok(Self { keys, newest })
    }

    /// Makes a file with a first key. Refused when there is one.
    pub fn create(path: &Path) -> Result<Self, MasterKeyError> {
        let line = line(1)?;
        private_file::create(path, line.as_bytes(), Readers::Owner)
            .map_err(|source| MasterKeyError::File { path: path.into(), source })?;
        Self::read(path)
    }

    /// Adds a version to the file: what is sealed from now on is sealed with it.
    pub fn add_version(path: &Path) -> Result<Self, MasterKeyError> {
        let present = Self::read(path)?;
        let at = |source| MasterKeyError::File { path: path.into(), source };
        let mut text = Zeroizing::new(std::fs::read_to_string(path).map_err(at)?);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&line(present.newest + 1)?);
        private_file::replace(path, text.as_bytes(), Readers::Owner).map_err(at)?;
        Self::read(path)
    }

    pub(super) fn newest(&self) -> Option<&Key> {
        self.keys.get(&self.newest)
    }

    pub(super) fn version(&self, version: i64) -> Option<&Key> {
        self.keys.get(&version)
    }
}

fn parse(line: &str) -> Option<Key> {
    let (version, digits) = line.trim().split_once(' ')?;
    let version: i64 = version.parse().ok().filter(|version| *version > 0)?;
    let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
    if digits.len() != KEY_BYTES * 2 || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Key::new(version, &*bytes)
}

fn line(version: i64) -> Result<Zeroizing<String>, MasterKeyError> {
    let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
    rand::fill(&mut *bytes).map_err(|_| MasterKeyError::Randomness)?;
    let mut line = Zeroizing::new(format!("{version} "));
    for byte in bytes.iter() {
        // Writing into a string cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(text: &str) -> Result<MasterKeys, MasterKeyError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        MasterKeys::read(&path)
    }

    #[test]
    fn a_new_version_seals_and_the_old_ones_still_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let first = MasterKeys::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(MasterKeys::create(&path).is_err(), "a key is never replaced");
        let place = super::super::Place { table: "t", row: "r", column: "c" };
        let sealed = first.newest().unwrap().seal(place, b"x").unwrap();
        let second = MasterKeys::add_version(&path).unwrap();
        assert_eq!(second.newest().unwrap().version(), 2);
        assert_eq!(second.version(1).unwrap().open(place, &sealed).unwrap().expose(), b"x");
        assert!(second.newest().unwrap().open(place, &sealed).is_err());
    }

    #[test]
    fn what_is_no_key_file_is_refused_without_repeating_it() {
        let key = "ab".repeat(32);
        for (text, code) in [
            (String::new(), "master_key_malformed"),
            ("\n\n".to_owned(), "master_key_malformed"),
            (key.clone(), "master_key_malformed"),
            (format!("0 {key}"), "master_key_malformed"),
            (format!("-1 {key}"), "master_key_malformed"),
            (format!("x {key}"), "master_key_malformed"),
            (format!("1 {key}a"), "master_key_malformed"),
            (format!("1 {}zz", "ab".repeat(31)), "master_key_malformed"),
            (format!("1 {}ü", "ab".repeat(31)), "master_key_malformed"),
            (format!("1 {key}\n1 {key}"), "master_key_malformed"),
        ] {
            let refused = written(&text).unwrap_err();
            assert_eq!(refused.code(), code, "{text}");
            assert!(!format!("{refused} {refused:?}").contains("abab"), "{refused}");
        }
        assert!(written(&format!("1 {key}\n")).is_ok());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        MasterKeys::create(&path).unwrap();
        for mode in [0o640, 0o604, 0o666, 0o610] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = MasterKeys::read(&path).unwrap_err();
            assert_eq!(refused.code(), "master_key_readable", "{mode:o}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(MasterKeys::read(&path).unwrap_err().code(), "master_key_unreadable");
        assert!(!path.exists(), "no other key is made");
    }
}

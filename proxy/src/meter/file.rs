//! The budgets as a file in the data directory.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Key;
use super::account::Kept;

const VERSION: u32 = 1;
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why budgets cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The file cannot be read or written.
    #[error("cannot keep budgets in `{path}`: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error("`{path}` does not hold budgets: {reason}; remove it to begin all of them anew")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// By sandbox, then by route.
    budgets: BTreeMap<String, BTreeMap<String, Kept>>,
}

/// What an earlier process has kept; nothing when there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<(Key, Kept)>, BudgetError> {
    let content = |reason: String| BudgetError::Content { path: path.into(), reason };
    let at = |source| BudgetError::File { path: path.into(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(error)),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(at)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(content("it is too large".into()));
    }
    let document: Document = serde_json::from_slice(&bytes).map_err(|e| content(e.to_string()))?;
    if document.version != VERSION {
        return Err(content(format!("version {} is not known", document.version)));
    }
    let rows = document.budgets.into_iter().flat_map(|(sandbox, routes)| {
        let sandbox: std::sync::Arc<str> = sandbox.into();
        routes.into_iter().map(move |(route, kept)| ((sandbox.clone(), route.into()), kept))
    });
    Ok(rows.collect())
}

/// What is to be kept, in one order.
pub(super) fn render(kept: Vec<(Key, Kept)>) -> Vec<u8> {
    let mut document = Document { version: VERSION, budgets: BTreeMap::new() };
    for ((sandbox, route), kept) in kept {
        if kept != Kept::default() {
            let routes = document.budgets.entry(sandbox.to_string()).or_default();
            routes.insert(route.to_string(), kept);
        }
    }
    if document.budgets.is_empty() {
        return Vec::new();
    }
    // INVARIANT: strings and integers under string keys: writing them to memory does not fail.
    serde_json::to_vec(&document).unwrap_or_default()
}

/// Replaces the file, whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BudgetError> {
    let replace = || -> io::Result<()> {
        if bytes.is_empty() {
            return match std::fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let fresh = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    replace().map_err(|source| BudgetError::File { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_file_of_budgets_is_refused_and_a_missing_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("budgets.json");
        assert!(read(&path).unwrap().is_empty());
        let bad = [
            "",
            "{",
            "[]",
            "{}",
            r#"{"version":2,"budgets":{}}"#,
            r#"{"version":1,"budgets":{"a":{"b":{"uses":-1}}}}"#,
        ];
        for text in bad {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read(&path), Err(BudgetError::Content { .. })), "{text}");
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("budgets.json");
        let text = r#"{"version":1,"budgets":{"box":{"p/r":{"uses":{"total":3,"day":7,"today":1},"spend":{"total":0,"day":0,"today":0}}}}}"#;
        std::fs::write(&path, text).unwrap();
        let kept = read(&path).unwrap();
        assert_eq!(String::from_utf8(render(kept.clone())).unwrap(), text);
        write(&path, &render(kept.clone())).unwrap();
        assert_eq!(read(&path).unwrap(), kept);
    }
}

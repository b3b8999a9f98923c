//! Secrets that an operator puts in a directory beside the service, for documents that name them:
//! a document that is mailed, reviewed and kept holds none.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::credentials::Plaintext;

/// A longer one is no provider's.
const SECRET_BYTES_MAX: u64 = 32 * 1024;
const NAME_BYTES_MAX: usize = 64;

/// The directory; without one there is no such secret.
#[derive(Clone, Debug, Default)]
pub struct SecretFiles(Option<Arc<Path>>);

impl SecretFiles {
    pub fn within(directory: PathBuf) -> Self {
        Self(Some(directory.into()))
    }

    /// What the files of these names hold, without a line end behind it; or why it cannot be had.
    pub async fn read(
        &self,
        names: BTreeSet<String>,
    ) -> BTreeMap<String, Result<Plaintext, &'static str>> {
        let Some(directory) = self.0.clone() else {
            let none = |name| (name, Err("this service has no place for secret files"));
            return names.into_iter().map(none).collect();
        };
        let read = move || {
            let one = |name: String| {
                let secret = read(&directory, &name);
                (name, secret)
            };
            names.into_iter().map(one).collect()
        };
        // A thread that panicked read nothing.
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }
}

/// A name never leads out of the directory, except over a link that the operator made.
fn read(directory: &Path, name: &str) -> Result<Plaintext, &'static str> {
    if !is_name(name) {
        return Err("the name of a secret file has letters, digits, `.`, `_`, `-`, and no path");
    }
    let path = directory.join(name);
    // A pipe would be waited for.
    if !std::fs::metadata(&path).is_ok_and(|found| found.is_file()) {
        return Err("there is no such secret file");
    }
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(4096));
    let opened = std::fs::File::open(&path).map_err(|_| "the secret file cannot be opened")?;
    let mut limited = opened.take(SECRET_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(|_| "the secret file cannot be read")?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err("the secret file is too long");
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.is_empty() { Err("the secret file is empty") } else { Ok(Plaintext::new(text.into())) }
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('.')
        && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_plain_file_of_the_directory_is_read() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("secrets");
        std::fs::create_dir_all(directory.join("inner")).unwrap();
        std::fs::write(home.path().join("outside"), "x").unwrap();
        std::fs::write(directory.join(".hidden"), "x").unwrap();
        std::fs::write(directory.join("good"), "a secret\r\n").unwrap();
        std::fs::write(directory.join("empty"), "\n").unwrap();
        std::fs::write(directory.join("long"), vec![b'x'; 32 * 1024 + 1]).unwrap();
        let outside = home.path().join("outside").display().to_string();
        let long_name = "x".repeat(65);
        let wrong = [
            "",
            ".",
            "..",
            "../outside",
            "inner/../good",
            "inner",
            ".hidden",
            "empty",
            "long",
            "none",
            "good\0",
            "a b",
            &outside,
            &long_name,
        ];
        let names = wrong.into_iter().chain(["good"]).map(str::to_owned).collect();
        let mut found = SecretFiles::within(directory).read(names).await;
        assert_eq!(found.remove("good").unwrap().unwrap().expose(), b"a secret");
        assert_eq!(found.len(), wrong.len());
        assert!(found.values().all(Result::is_err), "{found:?}");
        let nowhere = SecretFiles::default().read(["good".to_owned()].into()).await;
        assert!(nowhere.values().all(Result::is_err));
    }
}

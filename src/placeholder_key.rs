//! The key that the placeholders of a data directory's sandboxes are made with: made when it is
//! needed first, and never again.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sallygate_compiler::plan::Plan;
use sallygate_control::private_file::{self, Readers};
use sallygate_definitions::placeholder::PlaceholderKey;
use sallygate_proxy::Input;

use crate::exit::{Failure, failed};

const FILE: &str = "placeholder.key";

/// Gives `input` the key, where some of its sandboxes have placeholders.
pub(crate) fn provide(data_dir: &Path, input: &mut Input) -> Result<(), Failure> {
    if input.plans.values().any(|plan| !plan.placeholders.is_empty()) {
        input.placeholder_key = Some(open_or_create(data_dir)?);
    }
    Ok(())
}

/// The variables that hold the placeholders of a sandbox that runs `plan`.
pub(crate) fn variables(
    data_dir: &Path,
    plan: &Plan,
    sandbox: &str,
) -> Result<Vec<(String, String)>, Failure> {
    if plan.placeholders.is_empty() {
        return Ok(Vec::new());
    }
    let key = open_or_create(data_dir)?;
    Ok(plan.placeholder_variables(&key, sandbox))
}

/// The key, made when there is none. Of two processes that make one, both have that of the first.
fn open_or_create(data_dir: &Path) -> Result<PlaceholderKey, Failure> {
    let path = data_dir.join(FILE);
    if let Some(key) = read(&path)? {
        return Ok(key);
    }
    let key = PlaceholderKey::generate().ok_or_else(|| failed("the system has no randomness"))?;
    let text = format!("{}\n", &*key.to_text());
    // Under a name of its own first: whoever reads meanwhile must not see half of it.
    let own: PathBuf = data_dir.join(format!("{FILE}.{}.new", std::process::id()));
    let wrong = |error: std::io::Error| failed(format_args!("`{}`: {error}", path.display()));
    let made = private_file::create(&own, text.as_bytes(), Readers::Owner);
    let linked = made.and_then(|()| std::fs::hard_link(&own, &path));
    // It is there under its name, or somebody was faster.
    let _ = std::fs::remove_file(&own);
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(&path)?.ok_or_else(|| wrong(error))
        }
        Err(error) => Err(wrong(error)),
    }
}

fn read(path: &Path) -> Result<Option<PlaceholderKey>, Failure> {
    let wrong = |why: &dyn std::fmt::Display| failed(format_args!("`{}`: {why}", path.display()));
    match std::fs::read_to_string(path) {
        Ok(text) => PlaceholderKey::from_text(&text).map(Some).map_err(|error| wrong(&error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = open_or_create(dir.path()).unwrap();
        assert_eq!(open_or_create(dir.path()).unwrap(), key);
        let path = dir.path().join(FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::write(&path, "not a key").unwrap();
        assert!(open_or_create(dir.path()).is_err());
        assert!(open_or_create(&dir.path().join("absent")).is_err());
    }
}

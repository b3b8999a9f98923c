//! What a plan gives to the programs of a sandbox: files in a home of the session, and variables.
//!
//! The home is a directory of the data directory that goes when the session ends: nothing of the
//! user's own is read by the program in its place, and nothing of it is overwritten.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use sallygate_compiler::plan::{Plan, RuntimeFile};

use crate::exit::{Failure, failed};

const SESSIONS: &str = "sessions";
const MODE: u32 = 0o600;

/// The home of one session. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    variables: Vec<(OsString, OsString)>,
}

impl Home {
    /// Writes what the plan has for the programs of `sandbox`; `None` when it has nothing.
    pub(super) fn write(
        plan: &Plan,
        data_dir: &Path,
        sandbox: &str,
    ) -> Result<Option<Self>, Failure> {
        if plan.runtime_clients.is_empty() {
            return Ok(None);
        }
        let sessions = data_dir.join(SESSIONS);
        let directory = sessions.join(sandbox);
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true).create(&sessions)?;
        private.recursive(false).create(&directory)?;
        let mut home = Self { directory, variables: Vec::new() };
        for client in &plan.runtime_clients {
            for file in &client.files {
                home.file(file)?;
            }
            for (name, value) in &client.env {
                home.variables.push((name.into(), value.into()));
            }
        }
        home.variables.push(("HOME".into(), home.directory.clone().into()));
        Ok(Some(home))
    }

    /// What the program finds in its environment, the home among it.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.variables.iter().map(|(name, value)| (name, value))
    }

    fn file(&self, file: &RuntimeFile) -> Result<(), Failure> {
        let wrong = |why: &dyn std::fmt::Display| {
            failed(format_args!("file `{}` of the plan: {why}", file.path))
        };
        let inside = inside(&file.path).ok_or_else(|| wrong(&"it lies outside of the home"))?;
        let path = self.directory.join(inside);
        let mode = match &file.mode {
            Some(digits) => u32::from_str_radix(digits, 8).map_err(|error| wrong(&error))? & 0o777,
            None => MODE,
        };
        if let Some(parent) = path.parent() {
            let made = DirBuilder::new().mode(0o700).recursive(true).create(parent);
            made.map_err(|error| wrong(&error))?;
        }
        let write = || {
            let mut open = OpenOptions::new();
            let mut written = open.write(true).create_new(true).mode(MODE).open(&path)?;
            written.write_all(file.content.as_bytes())?;
            written.set_permissions(Permissions::from_mode(mode))
        };
        write().map_err(|error| wrong(&error))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            let directory = self.directory.display();
            crate::print::talk(format_args!("sallygate: `{directory}` is left: {error}"));
        }
    }
}

/// A path of a plan as one below a home; a leading `~/` or `/` is that home.
fn inside(path: &str) -> Option<PathBuf> {
    let path = path.strip_prefix("~/").unwrap_or(path).trim_start_matches('/');
    let path = Path::new(path);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && path.components().next().is_some()).then(|| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_plan_lies_in_the_home_or_nowhere() {
        for (path, expected) in [
            (".codex/config.toml", Some(".codex/config.toml")),
            ("~/.claude.json", Some(".claude.json")),
            ("/workspace/.mcp.json", Some("workspace/.mcp.json")),
            ("a//b", Some("a//b")),
            ("", None),
            ("/", None),
            ("~/", None),
            ("..", None),
            ("../x", None),
            ("a/../../x", None),
            ("~/../x", None),
        ] {
            assert_eq!(inside(path), expected.map(PathBuf::from), "{path}");
        }
    }
}

//! Definitions that an operator adds: every `*.toml` in a directory beside the configuration.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use sallygate_compiler::diagnostic::Diagnostic;
use sallygate_compiler::read::Table;
use sallygate_compiler::source::SourceFile;
use sallygate_definitions::{DEFINITION_BYTES_MAX, Registry};

/// Where they are when `definitions_dir` says nothing.
pub(crate) const DEFAULT: &str = "integrations.d";

/// More files are a mistake, such as the wrong directory.
const FILES_MAX: usize = 1000;

/// The builtin definitions and those of the directory that `root` names. Problems go to the
/// table's document, each with its place in the definition's own file.
pub(crate) fn registry(root: &mut Table<'_>, base: &Path) -> Registry {
    let given = root.string("definitions_dir").map(|dir| dir.value);
    let dir = base.join(given.as_deref().unwrap_or(DEFAULT));
    let paths = match files(&dir) {
        Ok(paths) => paths,
        Err(error) if error.kind() == ErrorKind::NotFound && given.is_none() => Vec::new(),
        Err(error) => {
            let message = format!("`{}` cannot be read: {error}", dir.display());
            root.refuse("definitions_dir", "FILE_UNREADABLE", message);
            Vec::new()
        }
    };
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        match read(&path) {
            Ok(source) => sources.push(source),
            Err(unreadable) => root.report(unreadable),
        }
    }
    let (registry, found) = Registry::with_files(&sources);
    for diagnostic in found.0 {
        root.report(diagnostic);
    }
    registry
}

/// The definition files of `dir`, by name.
pub(crate) fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(io::Error::other(format!("it has more than {FILES_MAX} files")));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Reads one file, and of a file that is too long only so much that this can be said of it.
pub(crate) fn read(path: &Path) -> Result<SourceFile, Diagnostic> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let limit = u64::try_from(DEFINITION_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(
        |error| Diagnostic::error("FILE_UNREADABLE", format!("`{name}` cannot be read: {error}")),
    )?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile { name, text }),
        Err(_) => Err(Diagnostic::error("TOML_SYNTAX", format!("`{name}` is not UTF-8"))),
    }
}

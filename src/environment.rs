//! The one place where this program reads its environment.

use std::path::PathBuf;

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What a variable of the schema says: for showing it.
pub(crate) fn any(name: &str) -> Option<String> {
    variable(name)
}

/// The data directory: `SALLYGATE_DATA_DIR`, else `.sallygate` here.
pub(crate) fn data_dir() -> PathBuf {
    variable("SALLYGATE_DATA_DIR").map_or_else(|| PathBuf::from(".sallygate"), PathBuf::from)
}

/// Whether output may be coloured (<https://no-color.org>).
pub(crate) fn wants_color() -> bool {
    use std::io::IsTerminal;
    variable("NO_COLOR").is_none() && std::io::stdout().is_terminal()
}

/// Existing options of a Java virtual machine, to which ours are added.
pub(crate) fn java_tool_options() -> Option<String> {
    variable("JAVA_TOOL_OPTIONS")
}

/// Directories that programs are looked for in.
pub(crate) fn search_path() -> Vec<PathBuf> {
    variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The first program of this name on the search path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &PathBuf| {
        path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    search_path().into_iter().map(|dir| dir.join(name)).find(runs)
}

/// How to call this program from here: by its name where that finds it, else by its path.
pub(crate) fn program_name() -> String {
    let Ok(own) = std::env::current_exe() else { return "sallygate".into() };
    let same = |path: PathBuf| path.canonicalize().is_ok_and(|path| path == own);
    if find_program("sallygate").is_some_and(same) {
        return "sallygate".into();
    }
    let here =
        std::env::current_dir().ok().and_then(|dir| own.strip_prefix(dir).ok().map(PathBuf::from));
    here.unwrap_or(own).display().to_string()
}

/// Filter for log lines: `SALLYGATE_LOG`, in the syntax of tracing-subscriber's `EnvFilter`.
pub(crate) fn log_filter() -> Option<String> {
    variable("SALLYGATE_LOG")
}

/// Where the control service's database is: `DATABASE_URL`, which may hold a password, or what the
/// file says that `DATABASE_URL_FILE` names. What is said and cannot be had is not passed over: a
/// service with another database would be another service.
pub(crate) fn database_url() -> Result<Option<String>, String> {
    match (variable("DATABASE_URL"), variable("DATABASE_URL_FILE")) {
        (Some(_), Some(_)) => Err("`DATABASE_URL` and `DATABASE_URL_FILE` say two things".into()),
        (url, None) => Ok(url),
        (None, Some(path)) => {
            let read = std::fs::read_to_string(&path);
            let text = read.map_err(|error| format!("`DATABASE_URL_FILE`: `{path}`: {error}"))?;
            let url = text.trim().to_owned();
            if url.is_empty() {
                return Err(format!("`DATABASE_URL_FILE`: `{path}` is empty"));
            }
            Ok(Some(url))
        }
    }
}

/// What stands over the configuration file: every `SALLYGATE_…__…` that is set, in the order of
/// their names.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn overrides() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    let is_one = |(name, value): &(String, String)| {
        name.strip_prefix("SALLYGATE_").is_some_and(|rest| rest.contains("__")) && !value.is_empty()
    };
    let mut found: Vec<_> = std::env::vars_os().filter_map(text).filter(is_one).collect();
    found.sort();
    found
}

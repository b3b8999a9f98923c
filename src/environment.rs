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

/// Where the control service's database is: `DATABASE_URL`, which may hold a password.
pub(crate) fn database_url() -> Option<String> {
    variable("DATABASE_URL")
}

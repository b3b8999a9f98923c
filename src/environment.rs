//! The one place where this program reads its environment.

use std::path::PathBuf;

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
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

/// Filter for log lines: `SALLYGATE_LOG`, in the syntax of tracing-subscriber's `EnvFilter`.
pub(crate) fn log_filter() -> Option<String> {
    variable("SALLYGATE_LOG")
}

//! Output for people and programs: data on stdout, talk on stderr.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where the CLI prints")]

use std::fmt::Display;
use std::io::Write;

/// For whom a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    #[default]
    Human,
    /// JSON for programs
    Json,
}

/// A line of data.
pub(crate) fn data(line: impl Display) {
    println!("{line}");
}

/// Data without a line end; flushed, because it is being watched.
pub(crate) fn raw(text: impl Display) {
    print!("{text}");
    // A reader that went away is no reason to fail.
    let _ = std::io::stdout().flush();
}

/// A line of talk.
pub(crate) fn talk(line: impl Display) {
    eprintln!("{line}");
}

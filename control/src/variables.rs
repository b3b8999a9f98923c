//! Every variable of the environment that the program reads. `.env.example` and
//! `docs/ENVIRONMENT.md` are made from this; a test holds the code that reads them to it.

use std::fmt::Write;

/// A variable of the environment.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    /// What holds where it is not set; empty: nothing does.
    pub default: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Whether it may hold a secret.
    pub secret: bool,
}

const fn plain(name: &'static str, default: &'static str, about: &'static str) -> Variable {
    Variable { name, default, about, secret: false }
}

/// In the order of their names.
pub const VARIABLES: [Variable; 6] = [
    Variable {
        name: "DATABASE_URL",
        default: "",
        about: "Where the control service's database is: `postgres://user:password@host/database`. \
                Without it, `control.db` in the data directory.",
        secret: true,
    },
    plain(
        "JAVA_TOOL_OPTIONS",
        "",
        "Options of a Java virtual machine that `run` and `env` keep, and add theirs to.",
    ),
    plain("NO_COLOR", "", "Any value: no colours in what is written to a terminal."),
    plain("PATH", "", "Where `run` and `doctor` look for programs."),
    plain(
        "SALLYGATE_DATA_DIR",
        ".sallygate",
        "The data directory: keys, certificate authority, tokens, the embedded database.",
    ),
    plain(
        "SALLYGATE_LOG",
        "",
        "Which log lines are written, in the syntax of tracing's `EnvFilter`: `info`, \
         `sallygate_proxy=debug`. It overrides the level of the configuration.",
    ),
];

const NOTE: &str = "Made by `sallygate internal reference`; do not edit.";

/// `.env.example`: every variable, none of them set.
pub fn example() -> String {
    let mut text = format!("# {NOTE}\n# Copy it to `.env` and set what should differ.\n");
    for variable in VARIABLES {
        let secret = if variable.secret { " It may hold a secret." } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n# {}{secret}\n# {}={}\n",
            variable.about, variable.name, variable.default
        );
    }
    text
}

/// `docs/ENVIRONMENT.md`.
pub fn page() -> String {
    let mut text = format!(
        "<!-- {NOTE} -->\n\n# Environment\n\nEvery variable that `sallygate` reads. What stands in \
         the configuration besides is said by [its reference](reference/configuration.md); \
         credentials may be read from variables that the configuration names.\n\n\
         | variable | default | secret | what |\n| --- | --- | --- | --- |\n"
    );
    for Variable { name, default, about, secret } in VARIABLES {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let secret = if secret { "yes" } else { "no" };
        let _ = writeln!(text, "| `{name}` | {default} | {secret} | {about} |");
    }
    text
}

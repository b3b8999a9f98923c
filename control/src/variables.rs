//! Every variable of the environment that the program reads. `.env.example` and
//! `docs/ENVIRONMENT.md` are made from this; tests hold the code that reads them, and the keys of the
//! configuration, to it.

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
pub const VARIABLES: [Variable; 7] = [
    Variable {
        name: "DATABASE_URL",
        default: "",
        about: "Where the control service's database is: `postgres://user:password@host/database`. \
                Without it, `control.db` in the data directory.",
        secret: true,
    },
    plain("DATABASE_URL_FILE", "", "The file that says what `DATABASE_URL` would say."),
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

/// A key of the configuration that a variable stands over: `SALLYGATE_<TABLE>__<KEY>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub table: &'static str,
    pub key: &'static str,
    pub form: Form,
}

/// How a value is written in a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Text,
    /// `true` or `false`.
    Truth,
    Number,
    /// With commas between the items, or as an array of TOML.
    List,
}

impl Form {
    fn example(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Truth => "`true` or `false`",
            Self::Number => "number",
            Self::List => "list, with commas between",
        }
    }
}

impl Setting {
    pub fn variable(&self) -> String {
        format!("SALLYGATE_{}__{}", self.table, self.key).to_uppercase()
    }
}

const fn text(table: &'static str, key: &'static str) -> Setting {
    Setting { table, key, form: Form::Text }
}

const fn truth(table: &'static str, key: &'static str) -> Setting {
    Setting { table, key, form: Form::Truth }
}

const fn number(table: &'static str, key: &'static str) -> Setting {
    Setting { table, key, form: Form::Number }
}

const fn list(table: &'static str, key: &'static str) -> Setting {
    Setting { table, key, form: Form::List }
}

/// Every setting that has one value. Tables that have a name of somebody's choice, such as
/// `[targets.ID]`, and those that there are many of stand in the file alone.
pub const SETTINGS: &[Setting] = &[
    text("admin", "listen"),
    text("audit", "path"),
    truth("audit", "raw_path"),
    text("control", "listen"),
    list("control", "trusted_proxies"),
    list("dns", "servers"),
    number("limits", "audit_queue_records"),
    number("limits", "body_bytes_per_second"),
    number("limits", "body_grace_ms"),
    number("limits", "connections_max"),
    number("limits", "git_commands_bytes_max"),
    number("limits", "git_discard_bytes_max"),
    number("limits", "git_references_max"),
    number("limits", "h2_control_frames_max"),
    number("limits", "h2_header_list_bytes"),
    number("limits", "h2_streams_max"),
    number("limits", "handshake_ms"),
    number("limits", "head_bytes"),
    number("limits", "head_ms"),
    number("limits", "headers_max"),
    number("limits", "informational_max"),
    number("limits", "inspect_body_bytes_max"),
    number("limits", "keepalive_ms"),
    number("limits", "leaf_cache_entries"),
    number("limits", "linger_bytes"),
    number("limits", "sandbox_connections_max"),
    number("limits", "target_bytes"),
    number("limits", "tunnel_idle_ms"),
    number("limits", "upstream_idle_max"),
    number("limits", "write_stall_ms"),
    text("log", "format"),
    text("log", "level"),
    list("oidc", "allow_ranges"),
    text("oidc", "ca_file"),
    text("oidc", "client_id"),
    text("oidc", "client_secret_file"),
    text("oidc", "issuer"),
    text("oidc", "redirect_uri"),
    list("oidc", "scopes"),
    truth("proxy", "deny_in_tunnel"),
    number("proxy", "drain_seconds"),
    text("proxy", "egress_prefix"),
    list("proxy", "listen"),
    text("tls", "ca_cert"),
    text("tls", "ca_key"),
    list("webhooks", "allow_ranges"),
    text("webhooks", "ca_file"),
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
    let about = "Over what the configuration says of these keys; docs/reference/configuration.md says \
                 what they mean.\n# With _FILE after its name, a variable names the file that holds \
                 the value.";
    let _ = writeln!(text, "\n# {about}");
    for setting in SETTINGS {
        let _ = writeln!(text, "# {}=", setting.variable());
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
    text.push_str(
        "\n## Over the configuration\n\n`SALLYGATE_<TABLE>__<KEY>` stands over what the file says, \
         and an option of the command line over both: file, environment, command line. With `_FILE` \
         after its name, a variable names the file that holds the value. A variable of this form that \
         is none of these is an error. An empty one is as one that is not set. \
         `sallygate config show --origin` says where each value is from.\n\n\
         | variable | key | written as |\n| --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let (name, Setting { table, key, form }) = (setting.variable(), setting);
        let _ = writeln!(text, "| `{name}` | `{table}.{key}` | {} |", form.example());
    }
    text
}

//! Pages of the reference, made from the code that they describe.

use std::fmt::Write;
use std::path::PathBuf;

use clap::CommandFactory;
use sallygate_compiler::diagnostic::{CODES, CodeSpec};
use sallygate_control::{codes, compatibility, contracts, variables};
use sallygate_definitions::source::SourceFile;
use sallygate_definitions::{Definition, Registry, page};
use sallygate_proxy::limits::Limits;
use sallygate_proxy::{Code, Metrics};

use super::keys::{self, Key, Section};
use crate::exit::{Failure, Outcome, failed};
use crate::{Cli, print};

const NOTE: &str = "<!-- Made by `sallygate internal reference`; do not edit. -->\n\n";
const HELP_WIDTH: usize = 88;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the pages are
    #[arg(long, value_name = "DIR", default_value = "docs/reference")]
    dir: PathBuf,
    /// Write nothing; exit with 2 when a page is not what it would be
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut stale = Vec::new();
    for (name, page) in pages() {
        let path = options.dir.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == page) {
            continue;
        }
        if options.check {
            stale.push(path.display().to_string());
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap_or(&options.dir))?;
        std::fs::write(&path, page)
            .map_err(|error| failed(format_args!("`{}`: {error}", path.display())))?;
        print::talk(path.display());
    }
    if stale.is_empty() {
        return Ok(());
    }
    let message = format!("stale, run `sallygate internal reference`: {}", stale.join(", "));
    Err(Failure::Differs(message))
}

fn pages() -> Vec<(String, String)> {
    let fixed = [
        ("error-codes.md", error_codes()),
        ("api-error-codes.md", codes::page()),
        ("diagnostic-codes.md", diagnostic_codes()),
        ("limits.md", limits()),
        ("cli.md", cli()),
        ("metrics.md", metrics()),
        ("configuration.md", configuration()),
        ("policy.md", policy()),
        ("definition.schema.json", super::schema::definition()),
        ("plan.schema.json", super::schema::plan()),
        ("../ENVIRONMENT.md", variables::page()),
        ("../../.env.example", variables::example()),
        ("../../COMPATIBILITY_MATRIX.md", compatibility::page(&Registry::builtin())),
    ];
    let fixed = fixed.map(|(name, text)| (name.to_owned(), text));
    fixed.into_iter().chain(contracts()).chain(integrations()).collect()
}

/// The page about all contracts.
fn contracts() -> Option<(String, String)> {
    let entries = contracts::all(&Registry::builtin()).ok()?;
    Some(("../INTEGRATIONS.md".to_owned(), contracts::page(&entries)))
}

/// A page about each definition that comes with the program.
fn integrations() -> impl Iterator<Item = (String, String)> {
    Registry::builtin_files().iter().filter_map(|(name, text)| {
        let definition = Definition::read(&SourceFile::new(*name, *text)).ok()?;
        let path = format!("integrations/{}", page::file_name(&definition));
        Some((path, format!("{NOTE}{}", page::page(&definition, text))))
    })
}

/// A page with its title and first words.
fn page(title: &str, about: &str) -> String {
    format!("{NOTE}# {title}\n\n{about}\n\n")
}

/// A table with one line for each row.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.map(str::to_owned)) + &line(&head.map(|_| "---".to_owned()));
    for row in rows {
        text += &line(&row.map(|cell| cell.replace('|', "\\|")));
    }
    text
}

fn error_codes() -> String {
    let about = "The answers that the proxy makes itself. The code stands in the problem document, \
                 in the header `x-sallygate-code`, in the record and in the metrics. Codes are \
                 never renamed.";
    let rows = Code::ALL.iter().map(|code| {
        [
            format!("`{}`", code.as_str()),
            code.status().to_string(),
            code.summary().trim().to_owned(),
            format!("`{}`", code.next_step().as_str()),
        ]
    });
    page("Error codes", about) + &table(["code", "status", "meaning", "next step"], rows)
}

fn diagnostic_codes() -> String {
    let about = "What authors of configuration, policy, definitions and plans are told. The code \
                 stands in every output of `policy check`; `family.code` is what a definition says \
                 about its own bindings. Codes are never renamed.";
    let row = |spec: &CodeSpec| [format!("`{}`", spec.code), spec.summary.to_owned()];
    page("Diagnostic codes", about) + &table(["code", "meaning"], CODES.iter().map(row))
}

fn limits() -> String {
    let about = "Keys of `[limits]` in `config.toml`. The unit is the last word of each name.";
    let rows = Limits::SPECS.iter().map(|limit| {
        [
            format!("`{}`", limit.name),
            limit.default.to_string(),
            format!("{} to {}", limit.low, limit.high),
            limit.doc.trim().to_owned(),
        ]
    });
    page("Limits", about) + &table(["key", "default", "range", "meaning"], rows)
}

fn metrics() -> String {
    let about = "What `/metrics` of the operator's listener shows, in the text format of \
                 Prometheus. Labels have closed sets of values: never a host, a path, a sandbox \
                 or a user. A metric appears when it was counted for the first time.";
    let rows = Metrics::SPECS.iter().map(|metric| {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        [
            format!("`{}`", metric.name),
            metric.kind.as_str().to_owned(),
            labels.join(", "),
            metric.help.to_owned(),
        ]
    });
    page("Metrics", about) + &table(["name", "type", "labels", "meaning"], rows)
}

fn configuration() -> String {
    let about = "`config.toml` says how this process runs, and which targets and connections \
                 there are. Relative paths are relative to the file. Unknown keys are errors.";
    page("config.toml", about) + &sections(keys::CONFIGURATION)
}

fn policy() -> String {
    let about = "`policy.toml` says what is allowed, and to which sandboxes. A change is in force \
                 as soon as the file is saved. Unknown keys are errors.";
    page("policy.toml", about) + &sections(keys::POLICY)
}

fn sections(sections: &[Section]) -> String {
    let mut text = String::new();
    for Section { title, about, keys } in sections {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "## {title}\n\n{about}\n");
        let rows = keys.iter().map(|Key { name, kind, default, meaning }| {
            [format!("`{name}`"), (*kind).to_owned(), (*default).to_owned(), (*meaning).to_owned()]
        });
        text += &table(["key", "value", "default", "meaning"], rows);
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

fn cli() -> String {
    let about = "Data goes to standard output and talk to standard error. Exit codes: 0 ok, \
                 1 failure, 2 differences, 3 usage, 4 not found, 5 conflict, 6 not allowed, \
                 7 unavailable. `NO_COLOR` is respected.";
    let mut text = page("Command line", about);
    let mut command = Cli::command().term_width(HELP_WIDTH);
    // A built tree knows the full name of every subcommand.
    command.build();
    describe(&command, 2, &mut text);
    text.trim_end().to_owned() + "\n"
}

fn describe(command: &clap::Command, level: usize, text: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.clone().term_width(HELP_WIDTH).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    // Writing into a string cannot fail.
    let _ = write!(text, "{} {name}\n\n```text\n{}\n```\n\n", "#".repeat(level), help.join("\n"));
    let shown = |sub: &&clap::Command| !sub.is_hide_set() && sub.get_name() != "help";
    for sub in command.get_subcommands().filter(shown) {
        describe(sub, (level + 1).min(4), text);
    }
}

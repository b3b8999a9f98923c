//! `sallygate definition`: what integrations look like, and files of one's own.

use std::fs;
use std::path::{Path, PathBuf};

use sallygate_compiler::diagnostic::{Diagnostic, Diagnostics};
use sallygate_definitions::Registry;
use sallygate_definitions::scaffold::Scaffold;

use crate::exit::{Failure, Outcome, failed};
use crate::print::Format;
use crate::{diagnostics, integrations, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write the beginning of a definition, to be completed
    New(NewOptions),
    /// List every problem of definition files
    Check(CheckOptions),
    /// List the definitions that there are
    List(ListOptions),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewOptions {
    /// `family::variant`
    key: String,
    /// Where the provider's API is
    #[arg(long, value_name = "URL")]
    base_url: String,
    /// Where the file is written
    #[arg(long, value_name = "DIR", default_value = integrations::DEFAULT)]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckOptions {
    /// Definition files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListOptions {
    /// Where definitions of one's own are
    #[arg(long, value_name = "DIR", default_value = integrations::DEFAULT)]
    dir: PathBuf,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::New(options) => new(options),
        Command::Check(options) => check(options),
        Command::List(options) => list(options),
    }
}

fn new(options: &NewOptions) -> Outcome {
    let scaffold = Scaffold::new(&options.key, &options.base_url)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    if Registry::builtin().find(&options.key).is_some() {
        return Err(Failure::Conflict(format!("`{}` comes with sallygate", options.key)));
    }
    let path = options.dir.join(scaffold.file_name());
    fs::create_dir_all(&options.dir)?;
    let mut file = fs::File::create_new(&path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Failure::Conflict(format!("`{}` is there already", path.display()));
        }
        failed(format_args!("`{}`: {error}", path.display()))
    })?;
    std::io::Write::write_all(&mut file, scaffold.text().as_bytes())?;
    print::data(path.display());
    Ok(())
}

fn check(options: &CheckOptions) -> Outcome {
    let (registry, found) = read(&options.files);
    let own = registry.keys().count() - Registry::builtin().keys().count();
    match options.format {
        Format::Human if found.is_empty() => {
            print::data(format_args!("ok: {}", diagnostics::counted(own, "definition")));
        }
        Format::Human => print::raw(diagnostics::render(&found)),
        Format::Json => print::data(found.to_json()),
    }
    if found.has_errors() { Err(Failure::Told(1)) } else { Ok(()) }
}

fn list(options: &ListOptions) -> Outcome {
    let files = match integrations::files(&options.dir) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_default(&options.dir) => {
            Vec::new()
        }
        Err(error) => return Err(failed(format_args!("`{}`: {error}", options.dir.display()))),
    };
    let (registry, found) = read(&files);
    if !found.is_empty() {
        print::talk(diagnostics::render(&found).trim_end());
    }
    match options.format {
        Format::Human => {
            for definition in registry.iter() {
                let (key, kind) = (definition.key(), definition.kind.as_str());
                print::data(format_args!("{key:<36} {kind:<10} {}", definition.display_name));
            }
        }
        Format::Json => {
            let entry = |d: &sallygate_definitions::Definition| {
                serde_json::json!({"key": d.key(), "kind": d.kind.as_str(),
                    "displayName": d.display_name, "description": d.description})
            };
            let all: Vec<_> = registry.iter().map(entry).collect();
            print::data(serde_json::Value::Array(all));
        }
    }
    if found.has_errors() { Err(Failure::Told(1)) } else { Ok(()) }
}

fn is_default(dir: &Path) -> bool {
    dir == Path::new(integrations::DEFAULT)
}

/// The definitions that come with sallygate and those of `files`, and what is wrong with these.
fn read(files: &[PathBuf]) -> (Registry, Diagnostics) {
    let (mut sources, mut unreadable): (Vec<_>, Vec<Diagnostic>) = (Vec::new(), Vec::new());
    for path in files {
        match integrations::read(path) {
            Ok(source) => sources.push(source),
            Err(diagnostic) => unreadable.push(diagnostic),
        }
    }
    let (registry, mut found) = Registry::with_files(&sources);
    found.append(Diagnostics(unreadable));
    (registry, found.sorted())
}

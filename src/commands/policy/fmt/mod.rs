//! `sallygate policy fmt`: one way to write a policy. Comments stay, and so does the meaning.

mod comments;
mod layout;
mod order;

use std::path::{Path, PathBuf};

use sallygate_compiler::diagnostic::Diagnostics;

use crate::configuration;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Files [default: policy.toml and policy.test.toml beside the configuration]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write nothing; end with 2 when a file is written in another way
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut differing = 0usize;
    for path in files(options) {
        let source = configuration::source(&path)?;
        let formatted = format(&path, &source.text)?;
        if formatted == source.text {
            continue;
        }
        differing += 1;
        let shown = path.display();
        if options.check {
            print::data(format_args!("{shown}"));
        } else {
            replace(&path, &formatted)?;
            print::talk(format_args!("formatted {shown}"));
        }
    }
    match (options.check, differing) {
        (true, 1..) => Err(Failure::Told(2)),
        (true | false, _) => Ok(()),
    }
}

fn files(options: &Options) -> Vec<PathBuf> {
    if !options.files.is_empty() {
        return options.files.clone();
    }
    let config = options.place.config();
    let test = config.with_file_name("policy.test.toml");
    let policy = config.with_file_name("policy.toml");
    std::iter::once(policy).chain(test.exists().then_some(test)).collect()
}

/// Formats the text of a file. What cannot be read is an error with its place.
fn format(path: &Path, text: &str) -> Result<String, Failure> {
    let unreadable = |error: toml_edit::TomlError| syntax(path, text, &error);
    let mut document: toml_edit::DocumentMut = text.parse().map_err(unreadable)?;
    layout::document(&mut document);
    let formatted = document.to_string();
    // A file whose meaning would change is left as it is, whatever the reason.
    if meaning(&formatted) != meaning(text) {
        let message = format!("`{}` cannot be formatted without changing it", path.display());
        return Err(Failure::Failed(message));
    }
    Ok(formatted)
}

fn meaning(text: &str) -> Option<toml::Table> {
    text.parse().ok()
}

fn syntax(path: &Path, text: &str, error: &toml_edit::TomlError) -> Failure {
    let file = sallygate_compiler::source::SourceFile::new(path.display().to_string(), text);
    // The strict reader says it with place and help; it reads the same language.
    match sallygate_compiler::read::Document::parse(&file) {
        Err(found) => Failure::Diagnostics(found),
        Ok(_) => Failure::Diagnostics(Diagnostics(vec![
            sallygate_compiler::diagnostic::Diagnostic::error("TOML_SYNTAX", error.message()),
        ])),
    }
}

/// In one step, with the mode that the file had: a proxy that watches it never sees half of it.
fn replace(path: &Path, text: &str) -> Outcome {
    let mode = std::fs::metadata(path)?.permissions();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        format(Path::new("policy.toml"), text).unwrap_or_else(|failure| panic!("{failure}"))
    }

    #[test]
    fn a_policy_is_written_in_one_way() {
        let text = "# what is allowed\nversion=1\n\n\n\n[profiles.web] # the default\nunmatched='deny'\n\
             [[profiles.web.routes]]\nmethods=[ 'GET','POST' ]\n# where to\nhosts = [\"a.test\"]\n\
             name   =\"read\" # reads\n\n[[profiles.web.bindings]]\nconnection = \"c\"\n  id = \"b\"\n\
             routes = [{paths=[\"/a\"],name=\"x\"}]\n";
        insta::assert_snapshot!(formatted(text));
    }

    #[test]
    fn long_lists_stand_one_below_the_other_and_keep_their_comments() {
        let paths: Vec<String> = (0..12).map(|at| format!("\"/some/long/path/{at}\"")).collect();
        let text = format!(
            "[profiles.p]\nroutes = [\n# first\n{{ name = \"a\", hosts = [\"a.test\"] }}, # behind\n\
             {{ name = \"b\", hosts = [\"b.test\"], paths = [{}] }}\n# last\n]\n",
            paths.join(",")
        );
        insta::assert_snapshot!(formatted(&text));
    }

    #[test]
    fn what_is_formatted_stays_as_it_is() {
        for text in [
            "",
            "\n\n",
            "# only a comment",
            "a = 1 # x\n# end\n",
            "a.b.c = 1\na.b.d = [1, 2, # two\n 3]\n",
            "a = '''\nx\ny'''\n",
            "[a]\n[a.b]\n[[a.c]]\n[[a.c.d]]\nx = {}\n",
            "x = [[1,2],[3]]\ny = 1_000\nz = 0x10\nw = 2027-01-01T00:00:00Z\n",
            "a = [ \"x\" # one\n , \"y\" ]\n",
            "'quoted key' = 1\n\"\" = 2\n",
        ] {
            let once = formatted(text);
            assert_eq!(formatted(&once), once, "{text}");
            assert_eq!(meaning(&once), meaning(text), "{text}");
            for comment in ["# only a comment", "# x", "# end", "# two", "# one"] {
                assert_eq!(once.contains(comment), text.contains(comment), "{text} {once}");
            }
        }
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_place() {
        for text in ["a = ", "[a\n", "a = 1\na = 2\n", "= 1", "a = \"\u{0}\""] {
            let refused = format(Path::new("policy.toml"), text);
            assert!(matches!(refused, Err(Failure::Diagnostics(_))), "{text}: {refused:?}");
        }
    }
}

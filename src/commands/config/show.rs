//! `sallygate config show`: every setting with where it is from. What may be a secret is not shown.

use std::ops::Range;
use std::path::Path;

use sallygate_control::variables::VARIABLES;
use serde_json::{Value as Json, json};
use toml_edit::{Document, Item, Table, Value};

use super::docs;
use crate::configuration::{Given, Overrides};
use crate::exit::{Failure, Outcome, failed};
use crate::place::Place;
use crate::print::Format;
use crate::{configuration, environment, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Say where each is from
    #[arg(long)]
    origin: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A setting that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    key: String,
    value: String,
    origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Environment,
    /// The variable that stands over the file.
    Variable(String),
    /// The line of the file.
    Line(usize),
    Default,
}

pub(super) fn run(options: &Options) -> Outcome {
    let path = options.place.config();
    let found = configuration::check(&path);
    if found.has_errors() {
        return Err(Failure::Diagnostics(found));
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| failed(format_args!("`{}`: {error}", path.display())))?;
    let (overrides, _) = Overrides::of_environment();
    let mut settings = of_environment();
    settings.extend(over(of_file(&text)?, overrides.given()));
    let said: Vec<String> = settings.iter().map(|setting| setting.key.clone()).collect();
    settings.extend(defaults(&said));
    match options.output {
        Format::Json => {
            let all: Vec<Json> = settings.iter().map(|setting| setting.json(&path)).collect();
            print::data(json!({ "settings": all }));
        }
        Format::Human => settings.iter().for_each(|setting| {
            let Setting { key, value, .. } = setting;
            match options.origin {
                true => print::data(format_args!("{key} = {value}  # {}", setting.origin(&path))),
                false => print::data(format_args!("{key} = {value}")),
            }
        }),
    }
    Ok(())
}

impl Setting {
    fn origin(&self, path: &Path) -> String {
        match &self.origin {
            Origin::Environment => "environment".to_owned(),
            Origin::Variable(name) => format!("environment {name}"),
            Origin::Line(line) => format!("{}:{line}", path.display()),
            Origin::Default => "default".to_owned(),
        }
    }

    fn json(&self, path: &Path) -> Json {
        json!({ "key": self.key, "value": self.value, "origin": self.origin(path) })
    }
}

fn of_environment() -> Vec<Setting> {
    let set = VARIABLES.iter().filter_map(|variable| {
        let value = environment::any(variable.name)?;
        let value = if variable.secret { "••••".to_owned() } else { format!("{value:?}") };
        Some(Setting { key: variable.name.to_owned(), value, origin: Origin::Environment })
    });
    // Where programs are is nothing that this one is set to.
    set.filter(|setting| setting.key != "PATH").collect()
}

/// What the file says, with what stands over it.
fn over(mut settings: Vec<Setting>, given: &[Given]) -> Vec<Setting> {
    for Given { variable, setting, value } in given {
        let key = format!("{}.{}", setting.table, setting.key);
        let (value, origin) = (format!("{value:?}"), Origin::Variable(variable.clone()));
        let new = Setting { key, value, origin };
        match settings.iter_mut().find(|known| known.key == new.key) {
            Some(known) => *known = new,
            None => settings.push(new),
        }
    }
    settings
}

/// Every value of the file, in its order.
fn of_file(text: &str) -> Result<Vec<Setting>, Failure> {
    let document = Document::parse(text).map_err(|error| failed(error.message()))?;
    let mut settings = Vec::new();
    table(("", text), document.as_table(), &mut settings);
    settings.sort_by_key(|setting| match setting.origin {
        Origin::Line(line) => line,
        Origin::Environment | Origin::Variable(_) | Origin::Default => 0,
    });
    Ok(settings)
}

fn table((prefix, text): (&str, &str), of: &Table, settings: &mut Vec<Setting>) {
    for (name, item) in of {
        let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        match item {
            Item::None => {}
            Item::Table(inner) => table((&key, text), inner, settings),
            Item::ArrayOfTables(tables) => {
                for (at, inner) in tables.iter().enumerate() {
                    table((&format!("{key}[{at}]"), text), inner, settings);
                }
            }
            Item::Value(value) => settings.push(setting(key, value, text)),
        }
    }
}

fn setting(key: String, value: &Value, text: &str) -> Setting {
    let line = |span: Range<usize>| {
        let before = text.as_bytes().get(..span.start).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    };
    let origin = value.span().map_or(Origin::Line(1), |span| Origin::Line(line(span)));
    let written = value.span().and_then(|span| text.get(span)).unwrap_or_default();
    // A value that is written over many lines is one.
    let value = written.split_whitespace().collect::<Vec<_>>().join(" ");
    Setting { key, value, origin }
}

/// What holds where nothing is said: of tables that have a key which must be there, only where it
/// is.
fn defaults(said: &[String]) -> Vec<Setting> {
    let is_said = |name: &String| said.iter().any(|key| key == name);
    let is_there = |title: &str| {
        let table = format!("{}.", title.trim_matches(['[', ']']));
        said.iter().any(|key| key.starts_with(&table))
    };
    let holds = docs::all().filter(|(name, section, key)| {
        let needed = section.keys.iter().any(|key| key.default == "required");
        let many = section.title.starts_with("[[") || section.title.contains("ID");
        let known = !["", "required"].contains(&key.default) && !is_said(name);
        known && !many && (!needed || is_there(section.title))
    });
    let default = |(key, _, of): (String, _, &crate::commands::internal::keys::Key)| Setting {
        key,
        value: of.default.replace('`', ""),
        origin: Origin::Default,
    };
    holds.map(default).collect()
}

#[cfg(test)]
mod tests {
    use sallygate_control::variables::SETTINGS;

    use super::*;

    const FILE: &str = "data_dir = \".\"\n\n[proxy]\n# where\nlisten = [\n  \"127.0.0.1:1\",\n  \
                        \"127.0.0.1:2\",\n]\n[[proxy.unix]]\npath = \"a\"\nsandbox = \"s\"\n\
                        [control]\nlisten = \"127.0.0.1:3\"\n";

    #[test]
    fn every_value_has_its_line() {
        let settings = of_file(FILE).unwrap();
        let shown: Vec<_> = settings
            .iter()
            .map(|it| (it.key.as_str(), it.value.as_str(), it.origin.clone()))
            .collect();
        assert_eq!(
            shown,
            [
                ("data_dir", "\".\"", Origin::Line(1)),
                ("proxy.listen", "[ \"127.0.0.1:1\", \"127.0.0.1:2\", ]", Origin::Line(5)),
                ("proxy.unix[0].path", "\"a\"", Origin::Line(10)),
                ("proxy.unix[0].sandbox", "\"s\"", Origin::Line(11)),
                ("control.listen", "\"127.0.0.1:3\"", Origin::Line(13)),
            ]
        );
    }

    #[test]
    fn what_a_variable_says_stands_over_the_file() {
        let given = |table: &'static str, key: &'static str| {
            let setting = SETTINGS.iter().find(|s| s.table == table && s.key == key).unwrap();
            Given { variable: setting.variable(), setting: *setting, value: "x".to_owned() }
        };
        let given = [given("control", "listen"), given("admin", "listen")];
        let settings = over(of_file(FILE).unwrap(), &given);
        let shown = |key: &str| {
            let found: Vec<_> = settings.iter().filter(|setting| setting.key == key).collect();
            assert_eq!(found.len(), 1);
            (found[0].value.clone(), found[0].origin(Path::new("c.toml")))
        };
        let of = |name: &str| ("\"x\"".to_owned(), format!("environment {name}"));
        assert_eq!(shown("control.listen"), of("SALLYGATE_CONTROL__LISTEN"));
        assert_eq!(shown("admin.listen"), of("SALLYGATE_ADMIN__LISTEN"));
        assert_eq!(shown("data_dir").1, "c.toml:1");
    }

    #[test]
    fn a_default_holds_where_nothing_is_said() {
        let said = |text: &str| {
            let settings = of_file(text).unwrap();
            let said: Vec<String> = settings.into_iter().map(|it| it.key).collect();
            defaults(&said).into_iter().map(|it| it.key).collect::<Vec<_>>()
        };
        let all = said("");
        for key in ["data_dir", "proxy.listen", "admin.listen", "audit.raw_path"] {
            assert!(all.iter().any(|known| known == key), "{key}");
        }
        for key in ["control.listen", "control.trusted_proxies", "oidc.scopes", "proxy.unix.path"] {
            assert!(!all.iter().any(|known| known == key), "{key}");
        }
        let with = said(FILE);
        assert!(with.iter().any(|key| key == "control.trusted_proxies"));
        assert!(!with.iter().any(|key| key == "data_dir" || key == "proxy.listen"));
    }
}

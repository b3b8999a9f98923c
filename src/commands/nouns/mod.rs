//! `target`, `connection`, `profile`, `sandbox`, `webhook`, `fleet`: what the control service has, over
//! its API.

mod connect;
pub(crate) mod connection;
pub(crate) mod fleet;
pub(crate) mod profile;
pub(crate) mod sandbox;
pub(crate) mod target;
pub(crate) mod webhook;

use std::io::Read;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Map, Value, json};

use crate::client::{self, Admin};
use crate::exit::{Failure, Outcome, failed};
use crate::place::Place;
use crate::print::Format;
use crate::{print, runtime};

/// A body that is read from a file has at most so many bytes, as the API has it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the control service is, and how it is shown.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    place: Place,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A thing that is named by its id or key.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct One {
    /// Its id or key
    id: String,
    #[command(flatten)]
    common: Common,
}

/// One request.
struct Request<'r> {
    method: Method,
    path: String,
    body: Option<&'r Value>,
}

impl Common {
    fn control(&self) -> Result<Admin, Failure> {
        client::control(&self.place.data_dir())
    }

    fn call(&self, request: Request<'_>) -> Result<Value, Failure> {
        let control = self.control()?;
        runtime::block_on(control.call(request.method, &request.path, request.body))
    }

    /// Asks, and shows the answer as one row.
    fn show(&self, request: Request<'_>, columns: &[&str]) -> Outcome {
        let answer = self.call(request)?;
        self.show_value(&answer, columns);
        Ok(())
    }

    fn show_value(&self, answer: &Value, columns: &[&str]) {
        match self.output {
            Format::Json => print::data(answer),
            Format::Human if answer.is_null() => {}
            Format::Human => print::data(row(answer, columns)),
        }
    }

    /// Asks for a list, piece by piece, and shows each item as one row.
    fn list(&self, path: &str, columns: &[&str]) -> Outcome {
        let control = self.control()?;
        let items = runtime::block_on(all(&control, path))?;
        match self.output {
            Format::Json => print::data(json!({ "items": items })),
            Format::Human => items.iter().for_each(|item| print::data(row(item, columns))),
        }
        Ok(())
    }
}

async fn all(control: &Admin, path: &str) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    let mut next = format!("{path}?limit=200");
    loop {
        let page = control.call(Method::GET, &next, None).await?;
        items.extend(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
        let Some(cursor) = page.get("nextCursor").and_then(Value::as_str) else {
            return Ok(items);
        };
        next = format!("{path}?limit=200&cursor={cursor}");
    }
}

/// The named fields of an object, side by side; those that are absent are left out.
fn row(item: &Value, columns: &[&str]) -> String {
    let text = |column: &&str| {
        let value = item.get(*column)?;
        Some(value.as_str().map_or_else(|| value.to_string(), plain))
    };
    columns.iter().filter_map(text).collect::<Vec<_>>().join("  ")
}

/// What a person wrote, without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// An id or key as a segment of a path: whatever else it is, the API knows no such thing.
fn segment(id: &str) -> Result<&str, Failure> {
    let fine =
        !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if fine { Ok(id) } else { Err(Failure::Usage(format!("`{id}` is no id and no key"))) }
}

/// A JSON object from a file, or from standard input for `-`.
fn object(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = read(path)?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("`{}`: {error}", path.display())))
}

pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let at = |error| failed(format_args!("`{}`: {error}", path.display()));
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(at)?;
    } else {
        let file = std::fs::File::open(path).map_err(at)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(at)?;
    }
    Ok(text)
}

/// `FIELD=FILE`: a secret is never an argument, where every process of the machine reads it.
fn secrets(given: &[(String, PathBuf)]) -> Result<Value, Failure> {
    let mut secrets = Map::new();
    for (field, path) in given {
        let text = read(path)?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        secrets.insert(field.clone(), json!(secret.strip_suffix('\r').unwrap_or(secret)));
    }
    Ok(Value::Object(secrets))
}

fn secret_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((field, path)) if !field.is_empty() && !path.is_empty() => {
            Ok((field.to_owned(), PathBuf::from(path)))
        }
        Some(_) | None => Err("it is `FIELD=FILE`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_what_is_there_and_nothing_that_a_terminal_obeys() {
        let item = json!({ "id": "x", "displayName": "a\u{1b}[31mb", "enabled": true });
        assert_eq!(row(&item, &["id", "none", "enabled", "displayName"]), "x  true  a[31mb");
    }

    #[test]
    fn only_an_id_becomes_part_of_a_path() {
        for wrong in ["", "a/b", "..", "a?b", "a%2f", "a b", "\u{e4}"] {
            assert!(segment(wrong).is_err(), "{wrong}");
        }
        assert!(segment("icn_01ABC-x").is_ok());
    }

    #[test]
    fn a_secret_is_named_by_its_file() {
        assert_eq!(secret_file("token=a=b"), Ok(("token".to_owned(), PathBuf::from("a=b"))));
        for wrong in ["token", "=file", "token=", ""] {
            assert!(secret_file(wrong).is_err(), "{wrong}");
        }
    }
}

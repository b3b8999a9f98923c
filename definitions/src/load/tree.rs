//! A TOML document as a JSON value, and back from a path in the value to a place in the file.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::limits::{ARRAY_ITEMS_MAX, DEFINITION_DEPTH_MAX};
use crate::read::Document;
use crate::schema::{About, Path, Problem, Step};

/// The document as a value; limits are kept and what JSON does not have is refused.
pub(super) fn to_json(document: &Document<'_>) -> Result<Value, Vec<Problem>> {
    let mut found = Vec::new();
    let value = table(document.tree().get_ref(), &Path::default(), &mut found);
    if found.is_empty() { Ok(value) } else { Err(found) }
}

/// Where the key or the value at `path` stands; what is missing stands where its table does.
pub(super) fn span(document: &Document<'_>, path: &Path, key: bool) -> Range<usize> {
    let root = document.tree();
    let (mut span, mut node) = (0..0, None);
    for (at, step) in path.0.iter().enumerate() {
        let is_last = at + 1 == path.0.len();
        let inner = match (step, node) {
            (Step::Key(name), None) => entry(root.get_ref(), name),
            (Step::Key(name), Some(node)) => table_of(node).and_then(|table| entry(table, name)),
            (Step::Index(index), Some(node)) => {
                item(node, *index).map(|inner| (inner.span(), inner))
            }
            (Step::Index(_), None) => None,
        };
        let Some((key_span, inner)) = inner else { return span };
        span = if is_last && key { key_span } else { inner.span() };
        node = Some(inner);
    }
    span
}

type Node<'d> = Spanned<DeValue<'d>>;

fn entry<'n, 'd>(table: &'n DeTable<'d>, name: &str) -> Option<(Range<usize>, &'n Node<'d>)> {
    let found = table.iter().find(|(key, _)| key.get_ref() == name);
    found.map(|(key, node)| (key.span(), node))
}

fn table_of<'n, 'd>(node: &'n Node<'d>) -> Option<&'n DeTable<'d>> {
    node.get_ref().as_table()
}

fn item<'n, 'd>(node: &'n Node<'d>, index: usize) -> Option<&'n Node<'d>> {
    node.get_ref().as_array()?.get(index)
}

fn table(table: &DeTable<'_>, path: &Path, found: &mut Vec<Problem>) -> Value {
    if !within(table.len(), path, found) {
        return Value::Null;
    }
    let mut object = Map::new();
    for (key, node) in table {
        let name = key.get_ref().to_string();
        let inner = value(node, &path.key(&name), found);
        object.insert(name, inner);
    }
    Value::Object(object)
}

fn value(node: &Node<'_>, path: &Path, found: &mut Vec<Problem>) -> Value {
    match node.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Value::Number(number.into()),
            Err(_) => refuse("BAD_VALUE", path, "does not fit 64 bits", found),
        },
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            match number {
                Some(number) => Value::Number(number),
                None => refuse("BAD_VALUE", path, "is not a finite number", found),
            }
        }
        DeValue::Datetime(_) => {
            refuse("WRONG_TYPE", path, "is a date or time, which a definition does not have", found)
        }
        DeValue::Array(items) => {
            if !within(items.len(), path, found) {
                return Value::Null;
            }
            let each = |(at, node)| value(node, &path.index(at), found);
            Value::Array(items.iter().enumerate().map(each).collect())
        }
        DeValue::Table(inner) => table(inner, path, found),
    }
}

fn within(count: usize, path: &Path, found: &mut Vec<Problem>) -> bool {
    if path.0.len() > DEFINITION_DEPTH_MAX {
        let message = format!("is nested more than {DEFINITION_DEPTH_MAX} deep");
        refuse("DEFINITION_TOO_DEEP", path, &message, found);
        return false;
    }
    if count > ARRAY_ITEMS_MAX {
        let message = format!("has {count} entries, more than {ARRAY_ITEMS_MAX}");
        refuse("DEFINITION_TOO_MANY", path, &message, found);
        return false;
    }
    true
}

fn refuse(code: &'static str, path: &Path, message: &str, found: &mut Vec<Problem>) -> Value {
    let message = format!("`{path}` {message}");
    found.push(Problem { code, path: path.clone(), about: About::Value, message, help: None });
    Value::Null
}

//! A value of any shape, for those who check it against a schema of their own.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::de::DeValue;

use super::{Node, Table};
use crate::diagnostic::{Diagnostic, Place};

/// A value may be nested this deep.
const DEPTH_MAX: usize = 32;

/// A value, and where in the file each part of it stands, by its path from the value: empty for
/// the value itself, `a.b[0]` below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Located {
    pub value: Value,
    pub places: BTreeMap<String, Place>,
}

impl<'d> Table<'d> {
    /// The table at `key` as a value. What JSON does not have is reported and left out.
    pub fn value(&mut self, key: &str) -> Option<Located> {
        let node = self.known(key)?;
        let field = self.field(key);
        if !node.get_ref().is_table() {
            return self.wrong_type(node, &field, "a table");
        }
        let mut reader = Reader { table: self, field, places: BTreeMap::new() };
        let value = reader.value(node, String::new(), 0).unwrap_or_default();
        Some(Located { value, places: reader.places })
    }
}

struct Reader<'t, 'd> {
    table: &'t Table<'d>,
    field: String,
    places: BTreeMap<String, Place>,
}

impl Reader<'_, '_> {
    fn value(&mut self, node: &Node<'_>, path: String, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return self.refuse(node.span(), &path, "LIMIT_EXCEEDED", "is nested too deep");
        }
        self.places.insert(path.clone(), self.place(node.span(), &path));
        match node.get_ref() {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(number) => Some(Value::Number(number.into())),
                    Err(_) => self.refuse(node.span(), &path, "BAD_VALUE", "does not fit 64 bits"),
                }
            }
            DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Some(Value::Number(number)),
                None => self.refuse(node.span(), &path, "BAD_VALUE", "is not a finite number"),
            },
            DeValue::Datetime(datetime) => Some(Value::String(datetime.to_string())),
            DeValue::Array(items) => {
                let items = items
                    .iter()
                    .enumerate()
                    .filter_map(|(at, item)| self.value(item, format!("{path}[{at}]"), depth + 1));
                Some(Value::Array(items.collect()))
            }
            DeValue::Table(table) => {
                let mut object = Map::new();
                for (key, node) in table {
                    let name = key.get_ref().to_string();
                    let inner = joined(&path, &name);
                    if let Some(value) = self.value(node, inner, depth + 1) {
                        object.insert(name, value);
                    }
                }
                Some(Value::Object(object))
            }
        }
    }

    fn place(&self, span: Range<usize>, path: &str) -> Place {
        let field = match path {
            "" => self.field.clone(),
            path => format!("{}.{path}", self.field),
        };
        self.table.document.place(span, &field)
    }

    fn refuse(
        &self,
        span: Range<usize>,
        path: &str,
        code: &'static str,
        is: &str,
    ) -> Option<Value> {
        let place = self.place(span, path);
        let message = format!("`{}` {is}", place.field);
        self.table.report(Diagnostic::error(code, message).at(place));
        None
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::read::Document;
    use crate::source::SourceFile;

    #[test]
    fn a_value_keeps_its_shape_and_the_places_of_its_parts() {
        let file =
            SourceFile::new("c.toml", "[t]\nconfig = { a = [1, \"x\"], b = { c = true } }\n");
        let document = Document::parse(&file).unwrap();
        let mut root = document.root();
        let mut table = root.table("t").unwrap();
        let located = table.value("config").unwrap();
        assert_eq!(located.value, json!({"a": [1, "x"], "b": {"c": true}}));
        let paths: Vec<&str> = located.places.keys().map(String::as_str).collect();
        assert_eq!(paths, ["", "a", "a[0]", "a[1]", "b", "b.c"]);
        let place = &located.places["a[1]"];
        assert_eq!((place.line, place.column), (2, 20));
        assert_eq!(place.field, "t.config.a[1]");
    }

    #[test]
    fn what_json_does_not_have_is_reported() {
        for (text, code) in [
            ("c = { a = nan }", "BAD_VALUE"),
            ("c = { a = 99999999999999999999 }", "BAD_VALUE"),
            ("c = 1", "WRONG_TYPE"),
            (&format!("c = {{ a = {}{} }}", "[".repeat(40), "]".repeat(40)), "LIMIT_EXCEEDED"),
        ] {
            let file = SourceFile::new("c.toml", text);
            let document = Document::parse(&file).unwrap();
            document.root().value("c");
            assert_eq!(document.into_diagnostics().0[0].code, code, "{text}");
        }
    }
}

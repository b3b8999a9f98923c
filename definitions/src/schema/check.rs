//! Checks a value against a schema and finds everything that is wrong with it.

use serde_json::{Map, Value};

use super::choice::{Choices, choices};
use super::format::Format;
use super::path::Path;
use crate::read::suggestion;

/// A value may be nested this deep; what is deeper is refused, not followed.
const DEPTH_MAX: usize = 64;

/// Something that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: &'static str,
    pub path: Path,
    /// Whether the problem is about the key at `path` or about its value.
    pub about: About,
    pub message: String,
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Key,
    Value,
}

/// Checks `value`, which is called `path`, against `schema`; `$ref` leads into `schema` itself.
pub fn check(schema: &Value, value: &Value, path: Path) -> Vec<Problem> {
    let mut checker = Checker { root: schema, found: Vec::new() };
    checker.value(schema, value, &path);
    checker.found
}

struct Checker<'s> {
    root: &'s Value,
    found: Vec<Problem>,
}

impl<'s> Checker<'s> {
    fn value(&mut self, schema: &'s Value, value: &Value, path: &Path) {
        if path.0.len() > DEPTH_MAX {
            return self.report("LIMIT_EXCEEDED", path, "is nested too deep".to_owned());
        }
        let Some(schema) = self.resolve(schema) else { return };
        match choices(self.root, schema) {
            Choices::None => {}
            Choices::Words(words) => return self.word(&words, value, path),
            Choices::Tagged { tag, variants } => {
                if let Some(variant) = self.variant(tag, &variants, value, path) {
                    self.value(variant, value, path);
                }
                return;
            }
        }
        if !self.of_type(schema, value, path) {
            return;
        }
        if let Some(constant) = schema.get("const").filter(|constant| *constant != value) {
            self.report("BAD_VALUE", path, format!("must be {constant}"));
        }
        match value {
            Value::Object(object) => self.object(schema, object, path),
            Value::Array(items) => self.array(schema, items, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number, path),
            Value::Bool(_) | Value::Null => {}
        }
    }

    /// Follows `$ref`; `None` for a schema that says nothing.
    fn resolve(&self, schema: &'s Value) -> Option<&'s Map<String, Value>> {
        super::choice::resolve(self.root, schema)
    }

    fn of_type(&mut self, schema: &Map<String, Value>, value: &Value, path: &Path) -> bool {
        let Some(wanted) = schema.get("type").and_then(Value::as_str) else { return true };
        let right = match wanted {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            _ => false,
        };
        if !right {
            let message = format!("must be {}, not {}", with_article(wanted), kind_of(value));
            self.report("WRONG_TYPE", path, message);
        }
        right
    }

    fn word(&mut self, words: &[&str], value: &Value, path: &Path) {
        let Some(text) = value.as_str() else {
            let message = format!("must be a string, not {}", kind_of(value));
            return self.report("WRONG_TYPE", path, message);
        };
        if words.contains(&text) {
            return;
        }
        let help = suggestion(text, words.iter().copied());
        let help = help.map(|near| format!("did you mean `{near}`?"));
        let message = format!("is `{}`, which is not one of {}", clip(text), words.join(", "));
        self.push("BAD_VALUE", path, About::Value, message, help);
    }

    fn variant(
        &mut self,
        tag: &str,
        variants: &[(&str, &'s Value)],
        value: &Value,
        path: &Path,
    ) -> Option<&'s Value> {
        let Some(object) = value.as_object() else {
            let message = format!("must be a table, not {}", kind_of(value));
            self.report("WRONG_TYPE", path, message);
            return None;
        };
        let Some(given) = object.get(tag) else {
            self.missing(tag, path);
            return None;
        };
        let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
        self.word(&names, given, &path.key(tag));
        let given = given.as_str()?;
        variants.iter().find(|(name, _)| *name == given).map(|(_, variant)| *variant)
    }

    fn object(&mut self, schema: &'s Map<String, Value>, value: &Map<String, Value>, path: &Path) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let known = |key: &str| properties.and_then(|properties| properties.get(key));
        let required = schema.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if !value.contains_key(key) {
                self.missing(key, path);
            }
        }
        let others = schema.get("additionalProperties");
        for (key, inner) in value {
            match (known(key), others) {
                (Some(schema), _) => self.value(schema, inner, &path.key(key)),
                (None, Some(Value::Bool(false))) => self.unknown(key, properties, path),
                (None, Some(schema)) => self.value(schema, inner, &path.key(key)),
                (None, None) => {}
            }
        }
    }

    fn unknown(&mut self, key: &str, properties: Option<&Map<String, Value>>, path: &Path) {
        let names: Vec<&str> =
            properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let help = match suggestion(key, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "there are no fields here".to_owned(),
            None => format!("known fields: {}", names.join(", ")),
        };
        let (path, message) = (path.key(key), "is an unknown field".to_owned());
        self.push("UNKNOWN_FIELD", &path, About::Key, message, Some(help));
    }

    fn missing(&mut self, key: &str, path: &Path) {
        self.report("MISSING_FIELD", &path.key(key), "is missing".to_owned());
    }

    fn array(&mut self, schema: &'s Map<String, Value>, items: &[Value], path: &Path) {
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        self.bounds(schema, ("minItems", "maxItems"), count, ("item", path));
        let unique = schema.get("uniqueItems").and_then(Value::as_bool).unwrap_or(false);
        if unique && items.iter().enumerate().any(|(at, i)| items.iter().take(at).any(|j| i == j)) {
            self.report("BAD_VALUE", path, "has an item twice".to_owned());
        }
        if let Some(schema) = schema.get("items") {
            for (at, item) in items.iter().enumerate() {
                self.value(schema, item, &path.index(at));
            }
        }
    }

    fn text(&mut self, schema: &Map<String, Value>, text: &str, path: &Path) {
        let count = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        self.bounds(schema, ("minLength", "maxLength"), count, ("character", path));
        let format = schema.get("format").and_then(Value::as_str).and_then(Format::find);
        if let Some(format) = format.filter(|format| !format.admits(text)) {
            let message = format!("is `{}`, which is not {}", clip(text), format.describe());
            self.report("BAD_VALUE", path, message);
        }
    }

    fn bounds(
        &mut self,
        schema: &Map<String, Value>,
        (min, max): (&str, &str),
        count: u64,
        (unit, path): (&str, &Path),
    ) {
        if let Some(least) = schema.get(min).and_then(Value::as_u64).filter(|n| count < *n) {
            self.report("BAD_VALUE", path, format!("must have at least {least} {unit}(s)"));
        }
        if let Some(most) = schema.get(max).and_then(Value::as_u64).filter(|n| count > *n) {
            self.report("BAD_VALUE", path, format!("must have at most {most} {unit}(s)"));
        }
    }

    fn number(&mut self, schema: &Map<String, Value>, n: &serde_json::Number, path: &Path) {
        let bound = |key| schema.get(key).and_then(Value::as_f64);
        let Some(value) = n.as_f64() else { return };
        if let Some(least) = bound("minimum").filter(|least| value < *least) {
            self.report("BAD_VALUE", path, format!("must be at least {least}"));
        }
        if let Some(most) = bound("maximum").filter(|most| value > *most) {
            self.report("BAD_VALUE", path, format!("must be at most {most}"));
        }
    }

    fn report(&mut self, code: &'static str, path: &Path, message: String) {
        self.push(code, path, About::Value, message, None);
    }

    fn push(
        &mut self,
        code: &'static str,
        path: &Path,
        about: About,
        message: String,
        help: Option<String>,
    ) {
        let name = if path.0.is_empty() { "the value".into() } else { format!("`{path}`") };
        let message = format!("{name} {message}");
        self.found.push(Problem { code, path: path.clone(), about, message, help });
    }
}

/// So much of what an author wrote that a message stays a line.
fn clip(text: &str) -> String {
    let mut short: String = text.chars().take(64).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn with_article(schema_type: &str) -> &'static str {
    match schema_type {
        "object" => "a table",
        "array" => "an array",
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "a boolean",
        _ => "nothing",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a float",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    }
}

//! Brings a configuration into the one form that is stored, compared and compiled.

use serde_json::{Map, Value};

use super::config::{ConfigSchema, Normalise, SchemaType};

impl ConfigSchema {
    /// `value` with defaults and in normal form. What has the wrong type stays as it is, for the
    /// check to find.
    pub fn normalised(&self, value: Value) -> Value {
        let value = match (self.r#type, value) {
            (SchemaType::Object, Value::Object(object)) => Value::Object(self.object(object)),
            (SchemaType::Array, Value::Array(items)) => match &self.items {
                Some(inner) => items.into_iter().map(|item| inner.normalised(item)).collect(),
                None => Value::Array(items),
            },
            (_, value) => value,
        };
        self.normalise.iter().fold(value, |value, step| step.apply(value))
    }

    fn object(&self, mut object: Map<String, Value>) -> Map<String, Value> {
        for (name, schema) in &self.properties {
            let given = object.remove(name).or_else(|| schema.default.clone());
            if let Some(value) = given {
                object.insert(name.clone(), schema.normalised(value));
            }
        }
        object
    }
}

impl Normalise {
    fn apply(self, value: Value) -> Value {
        match (self, value) {
            (Self::Trim, Value::String(text)) => text.trim().into(),
            (Self::Lowercase, Value::String(text)) => text.to_ascii_lowercase().into(),
            (Self::Url, Value::String(text)) => url(&text).into(),
            (Self::Dedupe, Value::Array(items)) => dedupe(items),
            (Self::Sort, Value::Array(items)) => sort(items),
            (_, other) => other,
        }
    }
}

fn url(text: &str) -> String {
    let text = text.trim().trim_end_matches(|c: char| c == '/' || c.is_whitespace());
    let after_scheme = text.find("://").map_or(0, |at| at + 3);
    let authority = text.get(after_scheme..).and_then(|rest| rest.find('/'));
    let end = authority.map_or(text.len(), |at| after_scheme + at);
    let (origin, path) = text.split_at_checked(end).unwrap_or((text, ""));
    format!("{}{path}", origin.to_ascii_lowercase())
}

fn dedupe(items: Vec<Value>) -> Value {
    // Items may be objects, which have no order: strings are by far the most, and are hashed.
    let mut seen = std::collections::BTreeSet::new();
    items.into_iter().filter(|item| seen.insert(item.to_string())).collect()
}

fn sort(mut items: Vec<Value>) -> Value {
    if items.iter().all(Value::is_string) {
        items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    Value::Array(items)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn schema() -> ConfigSchema {
        serde_json::from_value(json!({
            "properties": {
                "url": {"type": "string", "format": "uri", "x-normalize": ["url"],
                        "default": "https://Api.test/"},
                "names": {"type": "array", "items": {"type": "string", "x-normalize": ["trim"]},
                          "x-normalize": ["dedupe", "sort"]},
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_configuration_has_one_form() {
        for (given, expected) in [
            (json!({}), json!({"url": "https://api.test"})),
            (json!({"url": " HTTPS://A.test/V1// "}), json!({"url": "https://a.test/V1"})),
            (
                json!({"names": ["b", " a", "b "]}),
                json!({"url": "https://api.test", "names": ["a", "b"]}),
            ),
        ] {
            assert_eq!(schema().admit(&given, "config").unwrap(), expected);
        }
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        for given in [
            json!({"url": 1}),
            json!({"url": ""}),
            json!({"names": "a"}),
            json!([]),
            json!({"names": [1, 1]}),
            json!({"other": 1}),
            json!(null),
        ] {
            assert!(schema().admit(&given, "config").is_err(), "{given}");
        }
    }

    proptest! {
        #[test]
        fn what_is_normal_stays_the_same(url in "\\PC{0,24}", names in prop::collection::vec("[ a-cé]{0,3}", 0..6)) {
            let once = schema().normalised(json!({"url": url, "names": names}));
            prop_assert_eq!(schema().normalised(once.clone()), once);
        }
    }
}

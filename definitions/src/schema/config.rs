//! The schemas that a definition carries: for targets, their secrets, bindings and connections.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::format::Format;
use super::path::Path;
use super::{Problem, check};

/// One schema. Objects are closed: what is not a property is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigSchema {
    /// An object when nothing is said.
    #[serde(default)]
    pub r#type: SchemaType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Taken when the property is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,

    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, ConfigSchema>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,

    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<ConfigSchema>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_items: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_items: Option<bool>,

    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub r#enum: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,

    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,

    /// What is done to a value before it is checked.
    #[serde(rename = "x-normalize", default, skip_serializing_if = "Vec::is_empty")]
    pub normalise: Vec<Normalise>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SchemaType {
    #[default]
    Object,
    Array,
    String,
    Integer,
    Boolean,
}

/// A change that keeps what a value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Normalise {
    /// White space at both ends of a string is dropped.
    Trim,
    /// ASCII letters of a string become small.
    Lowercase,
    /// White space and slashes at the end of a URL are dropped; scheme and host become small.
    Url,
    /// An item of an array that is there already is dropped.
    Dedupe,
    /// Items of an array that are strings stand in code-point order.
    Sort,
}

impl Default for ConfigSchema {
    /// An object that has nothing.
    fn default() -> Self {
        Self {
            r#type: SchemaType::Object,
            title: None,
            description: None,
            default: None,
            properties: BTreeMap::new(),
            required: Vec::new(),
            items: None,
            min_items: None,
            max_items: None,
            unique_items: None,
            r#enum: Vec::new(),
            format: None,
            min_length: None,
            max_length: None,
            minimum: None,
            maximum: None,
            normalise: Vec::new(),
        }
    }
}

impl ConfigSchema {
    /// The same as JSON Schema 2020-12, with every object closed.
    pub fn to_json(&self) -> Value {
        let mut schema = self.inner_json();
        if let Some(object) = schema.as_object_mut() {
            let dialect = json!("https://json-schema.org/draft/2020-12/schema");
            object.insert("$schema".to_owned(), dialect);
        }
        schema
    }

    fn inner_json(&self) -> Value {
        let mut schema = serde_json::to_value(self).unwrap_or_default();
        let Some(object) = schema.as_object_mut() else { return schema };
        if let Some(items) = &self.items {
            object.insert("items".to_owned(), items.inner_json());
        }
        if self.r#type == SchemaType::Object {
            let inner = |(name, schema): (&String, &Self)| (name.clone(), schema.inner_json());
            let properties = self.properties.iter().map(inner).collect();
            object.insert("properties".to_owned(), Value::Object(properties));
            object.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        schema
    }

    /// Normalises `value`, fills in defaults, and checks the result; `name` is what the value is
    /// called in messages.
    pub fn admit(&self, value: &Value, name: &str) -> Result<Value, Vec<Problem>> {
        let value = self.normalised(value.clone());
        let found = check(&self.to_json(), &value, Path::of(&[name]));
        if found.is_empty() { Ok(value) } else { Err(found) }
    }

    /// The schema at a dotted path below this one, through the items of arrays.
    pub fn find(&self, keys: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = keys.split_first() else { return Some(self) };
        self.properties.get(*first)?.find(rest)
    }
}

//! The schemas that a definition carries: each is one that can be kept, and that says one thing.

use crate::contract::Definition;
use crate::load::limits::{SCHEMA_DEPTH_MAX, SCHEMA_PROPERTIES_MAX};
use crate::schema::{About, ConfigSchema, Path, Problem, SchemaType};

use super::invalid;

pub(super) fn check(definition: &Definition, found: &mut Vec<Problem>) {
    for (name, schema) in [
        ("targetConfigSchema", &definition.target_config_schema),
        ("targetSecretSchema", &definition.target_secret_schema),
        ("bindingConfigSchema", &definition.binding_config_schema),
        ("connectionConfigSchema", &definition.connection_config_schema),
    ] {
        let path = Path::of(&[name]);
        if schema.r#type != SchemaType::Object {
            invalid(found, &path.key("type"), "must be `object`");
        }
        let mut walk = Walk { found: &mut *found, properties: 0 };
        walk.schema(schema, &path, 0);
        if walk.properties > SCHEMA_PROPERTIES_MAX {
            let message = format!("`{path}` has more than {SCHEMA_PROPERTIES_MAX} properties");
            let (code, about, help) = ("SCHEMA_TOO_LARGE", About::Value, None);
            found.push(Problem { code, path, about, message, help });
        }
    }
}

struct Walk<'f> {
    found: &'f mut Vec<Problem>,
    properties: usize,
}

impl Walk<'_> {
    fn schema(&mut self, schema: &ConfigSchema, path: &Path, depth: usize) {
        if depth > SCHEMA_DEPTH_MAX {
            let message = format!("`{path}` is more than {SCHEMA_DEPTH_MAX} schemas deep");
            let (code, about, path) = ("SCHEMA_TOO_DEEP", About::Value, path.clone());
            self.found.push(Problem { code, path, about, message, help: None });
            return;
        }
        self.keywords(schema, path);
        self.properties += schema.properties.len();
        for name in schema.required.iter().filter(|name| !schema.properties.contains_key(*name)) {
            let message = format!("names `{name}`, which is not one of the properties");
            invalid(self.found, &path.key("required"), &message);
        }
        for (name, inner) in &schema.properties {
            self.schema(inner, &path.key("properties").key(name), depth + 1);
        }
        if let Some(items) = &schema.items {
            self.schema(items, &path.key("items"), depth + 1);
        }
        if let Some(default) = &schema.default {
            for problem in schema.admit(default, "default").err().into_iter().flatten() {
                let message = format!("is not a value of its schema: {}", problem.message);
                invalid(self.found, &path.key("default"), &message);
            }
        }
    }

    /// A keyword that means nothing for the type is a mistake, not a decoration.
    fn keywords(&mut self, schema: &ConfigSchema, path: &Path) {
        use SchemaType::{Array, Integer, Object, String};
        let given = [
            ("properties", !schema.properties.is_empty(), Object),
            ("required", !schema.required.is_empty(), Object),
            ("items", schema.items.is_some(), Array),
            ("minItems", schema.min_items.is_some(), Array),
            ("maxItems", schema.max_items.is_some(), Array),
            ("uniqueItems", schema.unique_items.is_some(), Array),
            ("enum", !schema.r#enum.is_empty(), String),
            ("format", schema.format.is_some(), String),
            ("minLength", schema.min_length.is_some(), String),
            ("maxLength", schema.max_length.is_some(), String),
            ("minimum", schema.minimum.is_some(), Integer),
            ("maximum", schema.maximum.is_some(), Integer),
        ];
        for (keyword, is_given, wanted) in given {
            if is_given && schema.r#type != wanted {
                let message = format!("means nothing for the type {:?}", schema.r#type);
                invalid(self.found, &path.key(keyword), &message.to_lowercase());
            }
        }
        if schema.r#type == Array && schema.items.is_none() {
            invalid(self.found, &path.key("items"), "must be given for an array");
        }
        let bounds = [
            ("minItems", schema.min_items.map(i64::from), schema.max_items.map(i64::from)),
            ("minLength", schema.min_length.map(i64::from), schema.max_length.map(i64::from)),
            ("minimum", schema.minimum, schema.maximum),
        ];
        for (keyword, least, most) in bounds {
            if least.zip(most).is_some_and(|(least, most)| least > most) {
                invalid(self.found, &path.key(keyword), "is more than the greatest allowed");
            }
        }
    }
}

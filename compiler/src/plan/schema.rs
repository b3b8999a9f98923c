//! The JSON Schema of plans: made from the types that read them, so that it says what they do.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{Plan, SCHEMA_VERSION};

/// The JSON Schema 2020-12 of plan files.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Plan>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), json!("Sallygate plan"));
    }
    if let Some(version) = schema.pointer_mut("/properties/schemaVersion") {
        *version = json!({"const": SCHEMA_VERSION});
    }
    schema
}

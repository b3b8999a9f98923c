//! How a configuration is asked for. Rendering only: the schema stays the truth.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::route::Conditions;

/// Fields in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    pub fields: Vec<FormField>,
}

/// One property of the schema, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FormField {
    /// A property of the schema that the form belongs to.
    pub name: String,
    pub label: String,
    #[serde(default)]
    pub widget: Widget,
    #[serde(default)]
    pub help: Option<String>,
    /// With `resourcePicker`: the key of a resource definition.
    #[serde(default)]
    pub resource: Option<String>,
    /// With `select`.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// The field is shown only when the form's other fields are so.
    #[serde(default)]
    pub when: Conditions,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Widget {
    #[default]
    Text,
    Hidden,
    Select,
    Textarea,
    Secret,
    ResourcePicker,
}

/// A value that a `select` offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Choice {
    pub value: String,
    pub label: String,
    /// The choice is offered only when the form's other fields are so.
    #[serde(default)]
    pub when: Conditions,
}

//! What must hold between the fields of a binding, its connection and its target.
//!
//! Each rule is data: the data path, the dashboard and the compiler need no code of a definition.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::route::Conditions;

/// A rule, and the issue `family.code` that breaking it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// `a-z`, `0-9` and `_`.
    pub code: String,
    /// The field of the binding that the issue is about.
    pub field: String,
    /// Shown to whoever wrote the binding.
    pub safe_message: String,
    /// The rule counts only for such a binding.
    #[serde(default)]
    pub when: Conditions,
    pub require: Requirement,
}

/// Values are named as in templates: `target.models`, `connection.login`, `binding.model`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum Requirement {
    /// `when` never holds.
    Never {},
    /// At least one of these is there, and is neither empty nor false.
    AnyOf { fields: Vec<String> },
    /// At most one of these is there.
    AtMostOneOf { fields: Vec<String> },
    /// The field, or each of its items, stands in a list; a list that is not there allows all.
    In {
        list: String,
        /// The list has objects, of which this property counts.
        #[serde(default)]
        by: Option<String>,
    },
    /// The field stands in a property of the list's object that another field selects.
    InSelected { list: String, by: String, selected: String, property: String },
}

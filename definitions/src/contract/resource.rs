//! What a connection gives access to, and how the provider lists it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of thing, such as repositories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceDefinition {
    pub key: String,
    pub display_name: String,
    /// How `listConnectionResources` gets them.
    #[serde(default)]
    pub list: Option<ResourceListing>,
}

/// One request to the provider, repeated by page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceListing {
    /// The name of an origin.
    pub origin: String,
    /// Relative to the origin's base URL, with a query.
    pub path: String,
    /// Where the list stands in the answer, as a JSON Pointer.
    #[serde(default)]
    pub items: String,
    /// Where an item's id and its name stand in it.
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub paging: Paging,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Paging {
    #[default]
    None,
    /// RFC 8288 `rel="next"`.
    LinkHeader,
    /// `?page=1`, until a page is empty.
    PageNumber,
}

//! The `graphql` block: kinds of operation and their top-level fields.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problem, apart, one_or_many, refuse_empty};
use crate::content::graphql::{Selection, is_name};

/// Conditions on a GraphQL request.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GraphqlBlock {
    /// `None`: any.
    #[serde(
        default,
        deserialize_with = "one_or_many::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "one_or_many::Form<Operation>")]
    pub operation: Option<Vec<Operation>>,
    /// Top-level fields by their own names, not by alias. `None`: any.
    #[serde(
        default,
        deserialize_with = "one_or_many::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "one_or_many::Form<String>")]
    pub fields: Option<Vec<String>>,
}

/// What a GraphQL operation does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    Query,
    Mutation,
    Subscription,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

impl GraphqlBlock {
    pub fn holds(&self, selection: &Selection) -> bool {
        self.operation.as_ref().is_none_or(|listed| listed.contains(&selection.operation))
            && self.fields.as_ref().is_none_or(|listed| listed.contains(&selection.field))
    }

    pub(super) fn problems(&self, found: &mut Vec<Problem>) {
        refuse_empty(self.operation.as_deref(), "operation", found);
        refuse_empty(self.fields.as_deref(), "fields", found);
        for text in self.fields.iter().flatten().filter(|text| !is_name(text.as_bytes())) {
            let message = format!("`{text}` is not the name of a field");
            found.push(Problem { field: "fields", message });
        }
    }

    pub(super) fn is_disjoint(&self, other: &Self) -> bool {
        apart(self.operation.as_deref(), other.operation.as_deref())
            || apart(self.fields.as_deref(), other.fields.as_deref())
    }

    pub(super) fn witness(&self) -> String {
        let operation = self.operation.iter().flatten().next().copied();
        let field = self.fields.iter().flatten().next().map_or("x", String::as_str);
        format!("{} {{ {field} }}", operation.unwrap_or(Operation::Query).as_str())
    }
}

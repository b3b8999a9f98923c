//! The `mcp` block: JSON-RPC methods, and the tools that may be called.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{all_apart, any_matches};
use super::{NamePattern, Problem, one_or_many, refuse_empty};
use crate::content::json_rpc::Call;

/// The method whose `params.name` says which tool is called.
pub(crate) const TOOLS_CALL: &str = "tools/call";

/// Conditions on a JSON-RPC request.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct McpBlock {
    /// Names of methods, with an optional final `*`. `None`: any, or `tools/call` when `tools` is
    /// given. A response, which has no method, is inside only where any method is, or `*`.
    #[serde(
        default,
        deserialize_with = "one_or_many::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "one_or_many::Form<String>")]
    pub method: Option<Vec<String>>,
    /// Which tools `tools/call` may call, with an optional final `*`. `None`: any.
    #[serde(
        default,
        deserialize_with = "one_or_many::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "one_or_many::Form<String>")]
    pub tools: Option<Vec<String>>,
}

impl McpBlock {
    pub fn holds(&self, call: &Call) -> bool {
        if !self.has_method(&call.method) {
            return false;
        }
        match (&self.tools, call.method == TOOLS_CALL) {
            (Some(tools), true) => call.tool.as_ref().is_some_and(|tool| any_matches(tools, tool)),
            (Some(_), false) | (None, _) => true,
        }
    }

    fn has_method(&self, method: &str) -> bool {
        match (&self.method, &self.tools) {
            (Some(methods), _) => any_matches(methods, method),
            (None, Some(_)) => method == TOOLS_CALL,
            (None, None) => true,
        }
    }

    pub(super) fn problems(&self, found: &mut Vec<Problem>) {
        refuse_empty(self.method.as_deref(), "method", found);
        refuse_empty(self.tools.as_deref(), "tools", found);
        for (field, list) in [("method", &self.method), ("tools", &self.tools)] {
            let bad = list.iter().flatten().filter(|text| NamePattern::parse(text).is_none());
            for text in bad {
                let message = format!("`{text}`: a name may have a `*` at its end only");
                found.push(Problem { field, message });
            }
        }
        if self.tools.is_some() && !self.has_method(TOOLS_CALL) {
            let message = format!("`tools` is about `{TOOLS_CALL}`, which `method` does not list");
            found.push(Problem { field: "tools", message });
        }
    }

    pub(super) fn is_disjoint(&self, other: &Self) -> bool {
        let tools = match (&self.tools, &other.tools) {
            (Some(a), Some(b)) => all_apart(a, b),
            (None, _) | (_, None) => false,
        };
        let (any, call) = ([String::from("*")], [TOOLS_CALL.to_owned()]);
        let methods = |block: &Self| match (&block.method, &block.tools) {
            (Some(methods), _) => methods.clone(),
            (None, Some(_)) => call.to_vec(),
            (None, None) => any.to_vec(),
        };
        let (a, b) = (methods(self), methods(other));
        if !tools {
            return all_apart(&a, &b);
        }
        // With no tool in common they meet only in other methods.
        let other_than_calls = |list: Vec<String>| -> Vec<String> {
            list.into_iter().filter(|method| method != TOOLS_CALL).collect()
        };
        all_apart(&other_than_calls(a), &other_than_calls(b))
    }

    pub(super) fn witness(&self) -> String {
        let first = |list: &Option<Vec<String>>| {
            let text = list.iter().flatten().find_map(|text| NamePattern::parse(text))?;
            Some(text.witness().to_owned()).filter(|text| !text.is_empty())
        };
        match (first(&self.method), first(&self.tools)) {
            (Some(method), Some(tool)) if method == TOOLS_CALL => format!("{method} {tool}"),
            (Some(method), _) => method,
            (None, Some(tool)) => format!("{TOOLS_CALL} {tool}"),
            (None, None) => "ping".to_owned(),
        }
    }
}

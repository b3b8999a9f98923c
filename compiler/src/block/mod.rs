//! Protocol blocks: conditions on what a request says inside its protocol.
//!
//! The content of a request is a non-empty, finite set of items. A route that allows takes a
//! request when *all* of them are inside its block; a route that denies takes it when *any* is, or
//! when the content cannot be read. Which items a block holds is decided here and nowhere else.

mod git;
mod graphql;
mod grpc;
mod mcp;
mod name;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::Action;

pub use git::{GitBlock, GitService, GitUpdate, RefPattern};
pub use graphql::{GraphqlBlock, Operation};
pub use grpc::GrpcBlock;
pub use mcp::McpBlock;
pub(crate) use mcp::TOOLS_CALL;
pub use name::NamePattern;

/// The one protocol that a match looks into.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Block {
    Git(GitBlock),
    Graphql(GraphqlBlock),
    Mcp(McpBlock),
    Grpc(GrpcBlock),
}

/// Something in a block that would be ignored, or could never match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field of the block, as both JSON and TOML spell it.
    pub field: &'static str,
    pub message: String,
}

impl Block {
    /// The key under which a match carries it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Git(_) => "git",
            Self::Graphql(_) => "graphql",
            Self::Mcp(_) => "mcp",
            Self::Grpc(_) => "grpc",
        }
    }

    /// Everything that is wrong with the block in a route with this action.
    pub fn problems(&self, action: Action) -> Vec<Problem> {
        let mut found = Vec::new();
        match self {
            Self::Git(block) => block.problems(action, &mut found),
            Self::Graphql(block) => block.problems(&mut found),
            Self::Mcp(block) => block.problems(&mut found),
            Self::Grpc(block) => block.problems(&mut found),
        }
        found
    }

    /// Whether no request can have all of its content inside both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Git(a), Self::Git(b)) => a.is_disjoint(b),
            (Self::Graphql(a), Self::Graphql(b)) => a.is_disjoint(b),
            (Self::Mcp(a), Self::Mcp(b)) => a.is_disjoint(b),
            (Self::Grpc(a), Self::Grpc(b)) => a.is_disjoint(b),
            // A GET may ask for references and carry a `query` at once.
            (Self::Git(_), Self::Graphql(_)) | (Self::Graphql(_), Self::Git(_)) => false,
            // Told apart by method, content type, or the fields of the body.
            (Self::Git(_), Self::Mcp(_) | Self::Grpc(_))
            | (Self::Graphql(_), Self::Mcp(_) | Self::Grpc(_))
            | (Self::Mcp(_), Self::Git(_) | Self::Graphql(_) | Self::Grpc(_))
            | (Self::Grpc(_), Self::Git(_) | Self::Graphql(_) | Self::Mcp(_)) => true,
        }
    }

    /// A request's content inside the block, in words, for witnesses.
    pub fn witness(&self) -> String {
        let words = match self {
            Self::Git(block) => block.witness(),
            Self::Graphql(block) => block.witness(),
            Self::Mcp(block) => block.witness(),
            Self::Grpc(block) => block.witness(),
        };
        format!("{}: {words}", self.as_str())
    }
}

/// One string, or a list of them: both are the same.
pub(crate) mod one_or_many {
    use schemars::JsonSchema;
    use serde::{Deserialize, Deserializer};

    #[derive(Deserialize, JsonSchema)]
    #[serde(untagged, expecting = "a string or a list of strings")]
    pub(crate) enum Form<T> {
        Many(Vec<T>),
        One(T),
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
    where
        T: Deserialize<'de> + Ord,
        D: Deserializer<'de>,
    {
        let mut list = match Form::deserialize(deserializer)? {
            Form::Many(list) => list,
            Form::One(one) => vec![one],
        };
        list.sort_unstable();
        list.dedup();
        Ok(Some(list))
    }
}

/// Whether two lists, of which `None` means everything, have nothing in common.
fn apart<T: PartialEq>(a: Option<&[T]>, b: Option<&[T]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => !a.iter().any(|item| b.contains(item)),
        (None, _) | (_, None) => false,
    }
}

fn refuse_empty<T>(list: Option<&[T]>, field: &'static str, found: &mut Vec<Problem>) {
    if list.is_some_and(<[T]>::is_empty) {
        let message = format!("`{field}` lists at least one; leave it out for any");
        found.push(Problem { field, message });
    }
}

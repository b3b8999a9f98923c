//! What a request says inside its protocol, read from bytes that somebody else fetched.
//!
//! The readers are pure, bounded and total: any bytes give items or a reason, never a panic. What
//! two servers might read differently has no items: policy must know what the upstream will see.

pub mod git;
pub mod graphql;
pub mod grpc;
pub mod json_rpc;

mod place;

use git::RefCommand;
use graphql::Selection;
use json_rpc::Call;

pub(crate) use place::{Told, told};

/// What has to be read before a block can decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Inspection {
    /// The commands in front of a push's pack.
    GitCommands,
    /// A GraphQL request, from the body or, with GET, from the query.
    Graphql,
    /// A JSON-RPC message or batch.
    JsonRpc,
}

impl Inspection {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitCommands => "git commands",
            Self::Graphql => "graphql",
            Self::JsonRpc => "json-rpc",
        }
    }
}

/// What is known of one kind of content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reading<T> {
    #[default]
    Unread,
    /// Not of the protocol, or not clearly: an allowing route does not take it, a denying one does.
    Unreadable,
    /// INVARIANT: never empty.
    Items(Vec<T>),
}

impl<T> Reading<T> {
    /// A reader's result, of which the reason goes elsewhere.
    pub fn of(read: Result<Vec<T>, Unreadable>) -> Self {
        match read {
            Ok(items) if !items.is_empty() => Self::Items(items),
            Ok(_) | Err(_) => Self::Unreadable,
        }
    }
}

/// All that is known of the content of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub git: Reading<RefCommand>,
    pub graphql: Reading<Selection>,
    pub json_rpc: Reading<Call>,
}

impl Content {
    /// Nothing has been read yet.
    pub const UNREAD: Self =
        Self { git: Reading::Unread, graphql: Reading::Unread, json_rpc: Reading::Unread };
}

/// Why content has no items: safe to be told to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub &'static str);

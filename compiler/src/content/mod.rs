//! What a request says inside its protocol, read from bytes that somebody else fetched.
//!
//! The readers are pure, bounded and total: any bytes give items or a reason, never a panic. What
//! two servers might read differently has no items: policy must know what the upstream will see.

pub mod git;
pub mod graphql;
pub mod grpc;
pub mod json_rpc;

mod json;
mod place;

use git::RefCommand;
use graphql::Selection;
use json_rpc::Call;

use crate::key::MatchKey;

pub(crate) use place::{Told, told};

/// What has to be read before a block can decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Inspection {
    /// The commands in front of a push's pack.
    GitCommands,
    /// What a fetch wants.
    GitWants,
    /// A GraphQL request, from the body or, with GET, from the query.
    Graphql,
    /// A JSON-RPC message or batch.
    JsonRpc,
}

impl Inspection {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitCommands => "git commands",
            Self::GitWants => "git wants",
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
    /// Of the protocol, and asks for nothing yet: git tries so whether it may push, and asks what
    /// there is to fetch.
    Nothing,
    /// INVARIANT: never empty.
    Items(Vec<T>),
}

impl<T> Reading<T> {
    pub(crate) fn is_readable(&self) -> bool {
        match self {
            Self::Nothing | Self::Items(_) => true,
            Self::Unread | Self::Unreadable => false,
        }
    }

    pub(crate) fn forget_unreadable(&mut self) {
        if matches!(self, Self::Unreadable) {
            *self = Self::Unread;
        }
    }

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
    /// Full names of the references that a fetch is about.
    pub wants: Reading<String>,
    pub graphql: Reading<Selection>,
    pub json_rpc: Reading<Call>,
}

impl Content {
    /// Nothing has been read yet.
    pub const UNREAD: Self = Self {
        git: Reading::Unread,
        wants: Reading::Unread,
        graphql: Reading::Unread,
        json_rpc: Reading::Unread,
    };

    /// Of no protocol.
    pub const UNREADABLE: Self = Self {
        git: Reading::Unreadable,
        wants: Reading::Unreadable,
        graphql: Reading::Unreadable,
        json_rpc: Reading::Unreadable,
    };
}

/// Reads a GraphQL request that stands where it can be read.
pub fn read_graphql(key: &MatchKey<'_>, body: &[u8]) -> Result<Vec<Selection>, Unreadable> {
    if key.method == "GET" {
        return graphql::read_query(key.target.query().unwrap_or_default());
    }
    if graphql::is_shadowed(key.target.query()) {
        return Err(Unreadable("the URL has parameters that belong into the body"));
    }
    if place::is_document(key) { graphql::read_document(body) } else { graphql::read_json(body) }
}

/// Form decoding: an escape that is none, or bytes that are no text, have no clear reading.
fn form_decoded(text: &str) -> Result<String, Unreadable> {
    let unclear = Unreadable("a parameter is not encoded as it should be");
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(crate::canonical::hex).ok_or(unclear);
                digit()? << 4 | digit()?
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| unclear)
}

/// Why content has no items: safe to be told to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub &'static str);

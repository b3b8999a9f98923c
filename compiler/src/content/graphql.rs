//! Executable GraphQL documents: which top-level fields an operation asks for.

use crate::block::Operation;

/// One top-level field of the operation that would be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub operation: Operation,
    /// By its own name, not by its alias.
    pub field: String,
}

/// Whether `bytes` are a name of the GraphQL language.
pub fn is_name(bytes: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    bytes.iter().all(inner) && bytes.first().is_some_and(|first| !first.is_ascii_digit())
}

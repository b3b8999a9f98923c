//! The nouns of the control service, over the store: one file each.
//!
//! Every function works in a transaction that its caller began, so that a change, its audit entry
//! and what must be told of it happen together or not at all. Nothing here knows of HTTP.

pub mod approval;
pub mod audit;
pub(crate) mod check;
pub mod connection;
mod error;
mod idempotency;
pub mod organisation;
mod page;
pub mod profile;
pub mod proxy;
pub mod repository;
pub mod resolve;
pub mod resource;
pub mod sandbox;
pub mod setup;
pub mod target;
pub mod token;

pub use error::{DomainError, Fault, Issue};
pub use idempotency::{Once, PriorAnswer};
pub use page::{Page, PageOf};

use crate::id::{Id, IdKind};

/// In whose name something is done, and when.
#[derive(Clone, Debug)]
pub struct Act {
    /// The id of an API token, or `operator`.
    pub actor: String,
    pub now_ms: i64,
}

impl Act {
    pub(crate) fn new_id(&self, kind: IdKind) -> Result<Id, DomainError> {
        Id::new(kind, self.now_ms).map_err(|_| DomainError::randomness())
    }
}

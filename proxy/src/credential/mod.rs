//! Credentials on their last few metres: where they come from, and the cells that hold them.
//!
//! A secret is in exactly two places: the cell that resolved it, and the header of the one
//! upstream request that it is injected into. Nothing here implements `Display` for it.

mod cell;
mod identity;
mod injection;
mod resolver;
mod source;

pub(crate) use cell::{Asker, Cell, Ready};
pub(crate) use identity::Identity;
pub(crate) use injection::{Presented, ReadyInjection, Swap};
pub use resolver::{Resolved, Resolver, Unresolved, Wanted};
pub(crate) use source::SourceError;

use zeroize::Zeroizing;

/// The bytes of a credential. Wiped when dropped; never printed.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

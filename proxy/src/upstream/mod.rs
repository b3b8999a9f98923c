//! The way to an upstream: its name resolved by us, its addresses checked, its peer built.

mod destination;
mod dial;
mod guard;
mod resolve;

pub(crate) use destination::Destination;
pub(crate) use dial::{Grouping, addresses, connect, peer};
pub(crate) use guard::OwnListeners;
pub(crate) use resolve::Resolver;

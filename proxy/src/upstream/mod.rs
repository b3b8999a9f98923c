//! The way to an upstream: its name resolved by us, its addresses checked, its peer built.

mod destination;
mod dial;
mod guard;
mod journey;
mod outgoing;
mod pool;
mod race;
mod resolve;
mod wire;

pub(crate) use destination::Destination;
pub(crate) use dial::{Grouping, Place, addresses, connect};
pub(crate) use guard::OwnListeners;
pub(crate) use journey::Journey;
pub(crate) use pool::{Pool, Protocol};
pub(crate) use resolve::Resolver;

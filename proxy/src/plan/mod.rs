//! Plans in force: what each sandbox may do now, swapped as a whole.

mod active;
mod layer;
mod placeholders;
mod retired;
mod sandbox;
pub(crate) mod signed;
mod store;

pub(crate) use active::{ActivePlan, ActiveRoute};
pub use layer::{Applied, Handle, Layer};
pub(crate) use sandbox::{ConnectionCount, Sandbox, Token};
pub(crate) use store::Generation;
pub use store::{Input, MintError, Minted, PublishError, Store};

//! What happened: one event per exchange, written off the data path.

mod audit;
mod event;
mod line;
mod log;
mod text;
mod verify;

pub(crate) use audit::Recorder;
pub use event::{Durations, Event};
pub(crate) use text::{AddressText, Timestamp};
pub use verify::{ChainError, Summary, verify};

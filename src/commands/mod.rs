//! One file per command.

pub(crate) mod audit;
pub(crate) mod ca;
pub(crate) mod proxy;

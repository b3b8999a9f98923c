//! Integration definitions, and the strict reader for everything that people write in TOML.
//!
//! A definition is data: a file says what an integration looks like, and a registry holds them
//! by their key. This crate is pure: no I/O, no clock, no network.

pub mod definition;
pub mod diagnostic;
pub mod read;
pub mod registry;
pub mod source;

pub use definition::{Definition, Origin, RouteTemplate};
pub use registry::Registry;

//! Integration definitions, and the strict reader for everything that people write in TOML.
//!
//! A definition is data: a file says what an integration looks like, a registry holds definitions
//! by their key, and [`Definition::expand`] says what a binding of one gives. This crate is pure:
//! no I/O, no clock, no network.

pub mod contract;
pub mod diagnostic;
pub mod expand;
mod load;
pub mod page;
pub mod placeholder;
pub mod read;
pub mod registry;
pub mod scaffold;
pub mod schema;
pub mod sigv4;
pub mod source;
pub mod template;
pub mod webhook;

pub use contract::{Definition, Kind};
pub use expand::{Expanded, Inputs, Issue};
pub use load::{
    ARRAY_ITEMS_MAX, DEFINITION_BYTES_MAX, DEFINITION_DEPTH_MAX, SCHEMA_DEPTH_MAX,
    SCHEMA_PROPERTIES_MAX, file_schema,
};
pub use registry::Registry;

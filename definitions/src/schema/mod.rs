//! JSON Schema 2020-12, as much of it as definitions need, and strict.
//!
//! One checker serves twice: it checks a definition file against the schema that is made from the
//! contract's types, and a configuration against the schema that a definition carries. There are
//! no regular expressions and no remote references, so no schema can be slow or reach out.

mod check;
mod choice;
mod config;
mod format;
mod normalise;
mod path;

pub use check::{About, Problem, check};
pub use config::{ConfigSchema, Normalise, SchemaType};
pub use format::Format;
pub use path::{Path, Step};

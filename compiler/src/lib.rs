//! From what people write to what the data path asks: Snapshot → Plan → RouteTable.
//!
//! Pure: no tokio, no sockets, no clock, no file I/O. Matching exists once, in [`table`], and the
//! canonical form of requests once, in [`canonical`]; every tool and the data path use the same.

pub mod address;
pub mod canonical;
pub mod key;
pub mod pattern;

pub mod block;
pub mod content;

pub mod plan;
pub mod table;

pub mod analysis;
pub mod explain;

mod compile;
pub mod profile;
pub mod snapshot;
pub mod suggest;

pub use compile::{Compilation, Compiled, check_binding, compile, compile_files};
pub use sallygate_definitions::{diagnostic, read, source};

//! What holds for any bytes from outside: nothing panics, and the promises below are kept.
//!
//! Each target is one function of bytes, so that the same promise is tried by libFuzzer, which
//! looks for new inputs, and by `tests/seeds.rs`, which runs in the gate. A broken promise is a
//! failed assertion: that is how a fuzzer learns of it.

mod definition;
mod fetch;
mod graphql;
mod json_rpc;
mod plan;
mod policy;
mod push;
mod request;

pub use definition::definition;
pub use fetch::fetch;
pub use graphql::graphql;
pub use json_rpc::json_rpc;
pub use plan::plan;
pub use policy::policy;
pub use push::push;
pub use request::request;

use sallygate_compiler::diagnostic::Diagnostics;

/// One target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. A test compares this list with the programs and the seeds.
pub const TARGETS: [Target; 8] = [
    ("definition", definition),
    ("fetch", fetch),
    ("graphql", graphql),
    ("json_rpc", json_rpc),
    ("plan", plan),
    ("policy", policy),
    ("push", push),
    ("request", request),
];

/// Every diagnostic points into the text that it is about.
#[track_caller]
fn check_places(found: &Diagnostics, file: &str, text: &str) {
    for diagnostic in &found.0 {
        assert!(!diagnostic.code.is_empty() && !diagnostic.message.is_empty(), "says nothing");
        let Some(place) = diagnostic.place.as_ref().filter(|place| place.file == file) else {
            continue;
        };
        let span = &place.span;
        assert!(span.start <= span.end && span.end <= text.len(), "{place} is outside the text");
        assert!(text.is_char_boundary(span.start), "{place} is inside a character");
    }
}

//! Proxies in processes of their own, as far as that can be seen without a data plane: over a real
//! socket, on both databases.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails where what it relies on is not there"
)]

mod admission;
mod approvals;
mod away;
mod bootstrap;
mod canary;
mod credentials;
mod party;
mod telling;

#[path = "../scene/mod.rs"]
#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
#[path = "../world/mod.rs"]
mod world;

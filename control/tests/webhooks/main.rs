//! Webhooks, in and out, on both databases.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test fails where what it relies on is not there"
)]

mod faults;
mod inbox;
mod incoming;
#[path = "../killed/mod.rs"]
mod killed;
mod manage;
mod outgoing;
mod providers;
mod receiver;
#[expect(dead_code, reason = "every test file uses its part of the scene")]
#[path = "../scene/mod.rs"]
mod scene;
mod stage;
#[path = "../world/mod.rs"]
mod world;

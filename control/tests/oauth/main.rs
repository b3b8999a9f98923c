//! What is done at OpenID and OAuth providers, against a real one (`oidc-provider`), on both
//! databases: one program, so that the provider starts once.

mod connect;
#[path = "../killed/mod.rs"]
mod killed;
mod login;
mod provider;
#[expect(dead_code, reason = "every test file uses its part of the scene")]
#[path = "../scene/mod.rs"]
mod scene;
mod tokens;
#[path = "../world/mod.rs"]
mod world;

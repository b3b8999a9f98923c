//! What is done at OpenID and OAuth providers, against a real one (`oidc-provider`), on both
//! databases: one program, so that the provider starts once.

mod login;
mod provider;
mod tokens;
#[path = "../world/mod.rs"]
mod world;

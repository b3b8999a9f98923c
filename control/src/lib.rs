//! What an installation consists of: its data directory, its keys, its certificate authority; and
//! what the control service keeps: a store, and a vault for the secrets in it.
//!
//! A first start creates what is missing and never replaces what is there. It must not know
//! anything of requests: the proxy only reads what is written here.

pub mod api;
pub mod authority;
pub mod bundle;
pub mod clock;
pub mod codes;
pub mod compatibility;
pub mod connect;
pub mod contracts;
pub mod credentials;
pub mod domain;
pub mod feed;
pub mod fleet;
mod github;
pub mod id;
pub mod installation;
pub mod ledger;
pub mod login;
pub mod oauth;
pub mod outbound;
pub mod pages;
pub mod placeholders;
pub mod private_file;
mod provider;
pub mod renewal;
mod resolver;
pub mod resources;
pub mod sandbox_environment;
pub mod secret_files;
pub mod service;
pub mod signing;
pub mod store;
pub mod token;
pub mod transfer;
pub mod variables;
pub mod webhook;

/// What the service calls itself.
pub const SERVICE: &str = "sallygate-control";

//! What an installation consists of: its data directory, its keys, its certificate authority.
//!
//! A first start creates what is missing and never replaces what is there. It must not know
//! anything of requests: the proxy only reads what is written here.

pub mod authority;
pub mod bundle;
pub mod installation;
pub mod private_file;
pub mod token;

//! The one canonical form of authorities and request targets.
//!
//! The bytes that were matched are the bytes that are sent upstream. Whatever has two readings is
//! refused, never repaired.

mod authority;
mod base_url;
mod target;

pub use authority::{Authority, Host, HostError, Scheme, authority, host};
pub use base_url::{BaseUrl, BaseUrlError, base_url};
pub use target::{PathError, Target, target};

pub(crate) use target::hex;

//! OAuth 2.0 as page after page of the standards has it: authorization code with PKCE (RFC 6749,
//! RFC 7636), refresh with rotation, client credentials, device authorization (RFC 8628),
//! revocation (RFC 7009) and discovery (RFC 8414).
//!
//! The token endpoint is spoken to by code of our own instead of a library's: codes and tokens stay
//! in buffers that are wiped, a device is asked about once per poll instead of in a loop, and what
//! a provider says of an error is never repeated, because some repeat the token in it.

mod attempt;
mod authorize;
mod client;
mod device;
mod discovery;
mod error;
mod grant;
mod keep;
mod pkce;
mod provider;
mod refresh;
mod tokens;

pub use attempt::{Attempt, Begin, Owner};
pub use authorize::authorization_url;
pub use client::OAuthClient;
pub(crate) use client::failure;
pub use device::DeviceStarted;
pub use discovery::Discovered;
pub use error::OAuthError;
pub use grant::Grant;
pub(crate) use keep::{ACCESS, REFRESH, keep_token};
pub use keep::{KeepFor, keep_tokens};
pub use pkce::Verifier;
pub use provider::{ClientIdentity, Provider, ProviderError};
pub use refresh::{Due, Refreshed, Refresher};
pub use tokens::Tokens;

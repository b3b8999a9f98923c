//! Deliveries of webhooks: whether they are the provider's, and what they say.
//!
//! Sans I/O: whoever receives a delivery hands it in with the secrets and the time. What a
//! definition says about verification and fields is carried out here, for every provider the same.
//! A payload is read only after [`Verifier::verify`] has said yes, with one exception: the value
//! that names the connection whose secrets are tried.

mod delivery;
mod event;
mod form;
mod hmac;
mod secret;
mod standard;
mod time;
mod token;
mod verify;

pub use delivery::{Delivery, Transport, VerifiedDelivery};
pub use event::{Event, Incoming, Unreadable};
pub use secret::WebhookSecret;
pub use standard::sign;
pub use verify::{Check, Legacy, Refusal};

/// A longer body is none that a provider sends: GitHub's limit of 25 MB is the largest documented.
pub const DELIVERY_BYTES_MAX: usize = 25 << 20;
/// Seconds that a delivery may be away from now where nothing else is said, as Standard Webhooks
/// and Slack have it.
pub const TOLERANCE_SECONDS: u32 = 300;

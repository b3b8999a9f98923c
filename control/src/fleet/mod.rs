//! The proxy's side of a control service in another process: its key, the way there, what it was
//! told and lent, kept for when nobody answers.
//!
//! It must never send a credential or a key anywhere, and asks only over verified TLS or on this
//! machine.

mod held;
mod identity;
mod kept;
mod lease;
mod link;
mod remote;
mod token;
mod wire;

pub use held::{ApprovalTold, AskBody, ClaimBody, Claimed, Ruled, Ruling};
pub use identity::{Identity, IdentityError};
pub use link::{Link, LinkError, Unreached};
pub use remote::{Remote, Resolution, Unresolved, Unruled};
pub use token::{TokenError, claimed, sign, verify};
pub use wire::{AckBody, EnrollBody, Enrolled, ResolveAnswer, ResolveBody};

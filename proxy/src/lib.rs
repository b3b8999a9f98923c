//! The data plane: from a sandbox's connection to an upstream's answer.
//!
//! It identifies the sandbox, matches each request against that sandbox's plan, refuses what the
//! plan does not allow, puts the credential on at the last moment, forwards streaming, and records
//! what happened. It must never compile policy, keep anything but plans and cells, or send a byte
//! that no [`request`] step has authorized.

mod approval;
mod changes;
pub mod clock;
pub mod config;
mod credential;
mod denial;
mod id;
pub mod limits;
mod listings;
mod meter;
mod metrics;

mod stream;

mod listener;

mod plan;

mod request;

mod upstream;

pub mod record;

mod admin;
mod server;

pub use approval::{Approval, Approver, Held, Ruling, Standing, Unruled};
pub use credential::{Resolved, Resolver, Unresolved, Wanted};
pub use denial::{Code, Denial, NextStep};
pub use id::ExchangeId;
pub use listener::AuthorityError;
pub use meter::BudgetError;
pub use metrics::{MetricKind, MetricSpec, Metrics};
pub use plan::{Applied, Handle, Input, Layer, MintError, Minted, PublishError, Store};
pub use server::{Addresses, Reload, Running, StartError, start};

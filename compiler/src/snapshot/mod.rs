//! All inputs of one compilation, as of one moment: the operator's targets and connections, and
//! the policy. Read strictly; whatever is wrong is listed with its place.
//!
//! Nothing here is a secret: of credentials there is only where they come from.

mod assertion;
mod block;
mod limits;
mod policy;
mod route;
mod targets;

pub use assertion::AssertionSource;
pub use policy::{Binding, BoundRoute, Policy, Profile, Sandbox, SandboxSpec, read_policy};
pub use route::RouteSource;
pub use targets::{
    Connection, ConnectionSource, Target, TargetInjection, Targets, ValueSource, read_targets,
};

use crate::read::Table;

/// Whether `id` can stand in a route id, a metric and a log line as it is.
fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !id.is_empty() && id.len() <= 128 && id.bytes().all(allowed)
}

fn required_id(table: &mut Table<'_>, key: &str) -> Option<String> {
    let id = table.required_string(key)?.value;
    if is_id(&id) {
        return Some(id);
    }
    table.refuse(key, "BAD_VALUE", bad_id(&id));
    None
}

fn bad_id(id: &str) -> String {
    format!("`{id}` is not an id: 1 to 128 letters, digits, `-`, `_` and `.`")
}

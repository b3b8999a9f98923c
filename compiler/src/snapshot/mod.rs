//! All inputs of one compilation, as of one moment: the operator's targets, the connections to
//! them, and one version of a profile.
//!
//! A [`Snapshot`] is the same whether it was read from files or from a store; what was read from
//! files knows its places. Files are read strictly, and whatever is wrong is listed with its
//! place. Nothing here is a secret: of credentials there are only names.

mod assertion;
mod block;
mod config;
mod connection;
mod limits;
mod places;
mod policy;
mod presented;
mod profile;
mod route;
mod target;
mod token;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use assertion::AssertionSource;
pub use config::{ConnectionSource, SecretName, Targets, ValueSource, read_targets};
pub use connection::{Connection, ConnectionStatus};
pub use places::Places;
pub use policy::{Policy, Sandbox, SandboxSpec, read_policy};
pub use profile::{Binding, BoundRoute, Profile, RouteName};
pub use route::RouteSource;
pub use target::{Target, TargetInjection, TargetPlaceholder, TargetUpstream};
pub use token::{FormerToken, MoreTokens, SIGNED_AUDIENCE, SIGNED_ISSUER, Signer};

use crate::read::Table;

/// Everything that the plan of one profile version is made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    pub organization_id: String,
    /// By key.
    pub targets: BTreeMap<String, Target>,
    /// By id.
    pub connections: BTreeMap<String, Connection>,
    pub profile: Profile,
    /// Targets and connections whose mistakes were reported when they were read: what uses them
    /// has no plan, and is not reported for it.
    #[serde(skip)]
    pub broken: BTreeSet<String>,
}

/// Whether `id` can stand in a route id, a metric and a log line as it is.
pub(crate) fn is_id(id: &str) -> bool {
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

pub(crate) fn bad_id(id: &str) -> String {
    format!("`{id}` is not an id: 1 to 128 letters, digits, `-`, `_` and `.`")
}

//! What sandboxes are given for credentials. Never the credential, and not the placeholder either:
//! each sandbox has its own.

use std::collections::BTreeSet;

use sallygate_definitions::placeholder::{Known, Owner, PlaceholderKey, Shape, is_variable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CredentialReference, Plan};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// The placeholder of a secret of a connection. However a route narrows the secret, it is the same.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placeholder {
    pub connection_id: String,
    pub secret_type: String,
    #[serde(default)]
    pub slot_key: Option<String>,
    /// What it looks like, such as `ghp_{alphanumeric:36}`.
    pub shape: String,
    /// Variables of the sandbox's environment that hold it. In order, and each in one list only.
    #[serde(default)]
    pub env: Vec<String>,
}

impl Placeholder {
    /// Whether it stands for this credential.
    pub fn stands_for(&self, credential: &CredentialReference) -> bool {
        self.connection_id == credential.connection_id
            && self.secret_type == credential.secret_type
            && self.slot_key == credential.slot_key
    }

    fn name(&self) -> (&str, &str, Option<&str>) {
        (&self.connection_id, &self.secret_type, self.slot_key.as_deref())
    }
}

impl Plan {
    /// The placeholders of a sandbox that runs this plan, in the order of [`Plan::placeholders`].
    pub fn known_placeholders(&self, key: &PlaceholderKey, sandbox: &str) -> Vec<Known> {
        let known = |placeholder: &Placeholder| {
            let owner = Owner {
                organization: &self.organization_id,
                sandbox,
                connection: &placeholder.connection_id,
                secret_type: &placeholder.secret_type,
                slot: placeholder.slot_key.as_deref(),
            };
            // A plan with a malformed shape was refused when it was loaded.
            Shape::parse(&placeholder.shape).ok().map(|shape| Known::new(key, &owner, &shape))
        };
        self.placeholders.iter().filter_map(known).collect()
    }

    /// The variables that hold the placeholders of a sandbox, in the order of the plan.
    pub fn placeholder_variables(
        &self,
        key: &PlaceholderKey,
        sandbox: &str,
    ) -> Vec<(String, String)> {
        let known = self.known_placeholders(key, sandbox);
        let of = |(placeholder, known): (&Placeholder, Known)| {
            let text = String::from_utf8_lossy(known.text()).into_owned();
            placeholder.env.iter().map(move |name| (name.clone(), text.clone())).collect::<Vec<_>>()
        };
        self.placeholders.iter().zip(known).flat_map(of).collect()
    }
}

/// What is wrong with the placeholders of a ready plan.
pub(super) fn check(plan: &Plan) -> Diagnostics {
    let mut found = Diagnostics::new();
    let mut refuse = |message: String| found.push(Diagnostic::error("INVALID_PLAN", message));
    let names: Vec<_> = plan.placeholders.iter().map(Placeholder::name).collect();
    if !names.is_sorted_by(|a, b| a < b) {
        refuse("placeholders stand in order, each once".to_owned());
    }
    let mut variables = BTreeSet::new();
    for placeholder in &plan.placeholders {
        let connection = &placeholder.connection_id;
        if let Err(error) = Shape::parse(&placeholder.shape) {
            refuse(format!("the shape of the placeholder of `{connection}` {error}"));
        }
        if !plan.credentials.iter().any(|credential| placeholder.stands_for(credential)) {
            refuse(format!("the placeholder of `{connection}` stands for no credential"));
        }
        for name in &placeholder.env {
            if !is_variable(name) {
                refuse(format!("`{}` is no variable for a placeholder", name.escape_debug()));
            } else if !variables.insert(name) {
                refuse(format!("two placeholders are in the variable `{name}`"));
            }
        }
    }
    found
}

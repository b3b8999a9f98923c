//! The placeholders of a plan: one for every secret that its routes present and that somebody says
//! what it looks like, or that is presented in the place of one.

use std::collections::BTreeMap;

use sallygate_definitions::contract::injection::Presentation;
use sallygate_definitions::expand::ExpandedInjection;
use sallygate_definitions::placeholder::{DEFAULT_SHAPE, Shape, is_variable};

use super::Compiler;
use super::draft::Bound;
use crate::diagnostic::Diagnostic;
use crate::plan::{CredentialReference, Placeholder};

/// A placeholder that a binding gives, before it is known whether a route needs its credential.
pub(super) struct Drafted {
    placeholder: Placeholder,
    binding: String,
}

impl Compiler<'_> {
    /// Notes the placeholder of a secret that is presented.
    pub(super) fn placeholder(&mut self, bound: &Bound<'_>, inject: &ExpandedInjection) {
        let said = bound.definition.placeholders.iter().find(|rule| {
            rule.secret_type == inject.secret_type && rule.slot_key == inject.slot_key
        });
        let is_swapped = matches!(inject.present, Presentation::Placeholder { .. });
        let own = bound.target.placeholder.as_ref();
        if said.is_none() && own.is_none() && !is_swapped {
            return;
        }
        let shape = own.and_then(|own| own.shape.clone()).or_else(|| said.map(|s| s.shape.clone()));
        let env = own.and_then(|own| own.env.clone()).or_else(|| said.map(|s| s.env.clone()));
        let mut env = env.unwrap_or_default();
        if env.is_empty() && is_swapped {
            // Nobody could send what nobody is given.
            env.push(variable(&bound.binding.connection, inject.slot_key.as_deref()));
        }
        env.sort_unstable();
        env.dedup();
        let shape = shape.unwrap_or_else(|| DEFAULT_SHAPE.to_owned());
        if let Err(error) = Shape::parse(&shape) {
            let message = format!("the shape `{shape}` of a placeholder {error}");
            return self.refuse(bound.binding, "", "INVALID_TARGET_CONFIG", message);
        }
        let mut is_good = |name: &String| {
            let good = is_variable(name);
            if !good {
                let message = format!("`{}` is no variable for a placeholder", name.escape_debug());
                self.refuse(bound.binding, "", "INVALID_TARGET_CONFIG", message);
            }
            good
        };
        env.retain(|name| is_good(name));
        let placeholder = Placeholder {
            connection_id: bound.binding.connection.clone(),
            secret_type: inject.secret_type.as_str().to_owned(),
            slot_key: inject.slot_key.clone(),
            shape,
            env,
        };
        self.placeholders.push(Drafted { placeholder, binding: bound.binding.id.clone() });
    }

    /// Those whose credential is in the plan, in order. A variable that several want is that of the
    /// first: a warning says so.
    pub(super) fn placeholders(&mut self, credentials: &[CredentialReference]) -> Vec<Placeholder> {
        let mut drafted = std::mem::take(&mut self.placeholders);
        let is_needed = |drafted: &Drafted| {
            credentials.iter().any(|credential| drafted.placeholder.stands_for(credential))
        };
        drafted.retain(is_needed);
        drafted.sort_by(|a, b| (&a.placeholder, &a.binding).cmp(&(&b.placeholder, &b.binding)));
        let secret = |drafted: &Drafted| Placeholder {
            shape: String::new(),
            env: Vec::new(),
            ..drafted.placeholder.clone()
        };
        drafted.dedup_by(|again, first| secret(again) == secret(first));
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        let mut shared = Vec::new();
        for Drafted { placeholder, binding } in &mut drafted {
            placeholder.env.retain(|name| match owners.get(name) {
                None => {
                    owners.insert(name.clone(), placeholder.connection_id.clone());
                    true
                }
                Some(owner) => {
                    let message = format!(
                        "the variable `{name}` holds the placeholder of connection `{owner}`, not \
                         that of `{}`",
                        placeholder.connection_id
                    );
                    let warning = Diagnostic::warning("PLACEHOLDER_HIDDEN", message);
                    shared.push(warning.about(binding.as_str(), ""));
                    false
                }
            });
        }
        for warning in shared {
            self.report(warning);
        }
        drafted.into_iter().map(|drafted| drafted.placeholder).collect()
    }
}

/// The variable of a placeholder that nobody named one for.
fn variable(connection: &str, slot: Option<&str>) -> String {
    let word = |text: &str| -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        text.chars().map(letter).collect()
    };
    let slot = slot.map_or_else(String::new, |slot| format!("_{}", word(slot)));
    format!("SALLYGATE_{}{slot}", word(connection))
}

//! Placeholders: each of a secret that there is, of a shape that can be one, in variables of its own.

use std::collections::BTreeSet;

use super::invalid;
use crate::contract::Definition;
use crate::contract::method::ConnectionMethod;
use crate::contract::placeholder::PlaceholderRule;
use crate::placeholder::{Shape, is_variable};
use crate::schema::{Path, Problem};

pub(super) fn check(definition: &Definition, found: &mut Vec<Problem>) {
    let mut secrets = BTreeSet::new();
    for (at, rule) in definition.placeholders.iter().enumerate() {
        let path = Path::of(&["placeholders"]).index(at);
        if !has_secret(definition, rule) {
            invalid(found, &path.key("secretType"), "is a secret that no method has");
        }
        if !secrets.insert((rule.secret_type, &rule.slot_key)) {
            invalid(
                found,
                &path.key("secretType"),
                "is of a secret that has a placeholder already",
            );
        }
        if let Err(error) = Shape::parse(&rule.shape) {
            invalid(found, &path.key("shape"), &error.to_string());
        }
        let mut variables = BTreeSet::new();
        for (at, name) in rule.env.iter().enumerate() {
            let path = path.key("env").index(at);
            if !is_variable(name) {
                invalid(found, &path, "is not the name of a variable for a placeholder");
            } else if !variables.insert(name) {
                invalid(found, &path, &format!("is `{name}`, which stands there already"));
            }
        }
    }
}

/// Whether some method ends with this secret, or some origin presents it.
fn has_secret(definition: &Definition, rule: &PlaceholderRule) -> bool {
    let asked = definition.connection_methods.iter().any(|method| match method {
        ConnectionMethod::Form { fields, .. } => fields
            .iter()
            .any(|field| field.secret_type == rule.secret_type && field.slot_key == rule.slot_key),
        ConnectionMethod::Oauth2AuthorizationCode { .. }
        | ConnectionMethod::Oauth2ClientCredentials { .. }
        | ConnectionMethod::Redirect { .. }
        | ConnectionMethod::DeviceAuthorization { .. } => {
            method.secret() == (rule.secret_type, rule.slot_key.as_deref())
        }
    });
    let origins = definition.compile_binding.origins.iter();
    asked
        || origins.flat_map(|origin| &origin.inject).any(|inject| {
            inject.secret_type == rule.secret_type && inject.slot_key == rule.slot_key
        })
}

//! Usage: where it is told, on routes that have answers, and with prices where there are budgets.

use std::collections::BTreeSet;

use super::invalid;
use crate::contract::Definition;
use crate::contract::route::Action;
use crate::expand::usage::{ASSUMED, BUDGET, PRICES};
use crate::schema::{Path, Problem};

pub(super) fn check(definition: &Definition, found: &mut Vec<Problem>) {
    for (at, route) in definition.compile_binding.routes.iter().enumerate() {
        let path = Path::of(&["compileBinding", "routes"]).index(at).key("usage");
        if route.usage && definition.usage.is_none() {
            invalid(found, &path, "needs the definition's `usage`");
        }
        if route.usage && route.action == Action::Deny {
            invalid(found, &path, "is about answers, and a deny has none");
        }
    }
    let Some(rule) = &definition.usage else { return };
    let path = Path::of(&["usage"]);
    if rule.methods.is_empty() {
        invalid(found, &path.key("methods"), "names no method");
    }
    pointers(&rule.model, &path.key("model"), found);
    let mut kinds = BTreeSet::new();
    for (at, tokens) in rule.tokens.iter().enumerate() {
        let path = path.key("tokens").index(at);
        if !kinds.insert(tokens.kind) {
            invalid(found, &path.key("kind"), "stands there already");
        }
        let outer = |kind| {
            kind != tokens.kind
                && rule.tokens.iter().any(|other| other.kind == kind && other.within.is_none())
        };
        if tokens.within.is_some_and(|kind| !outer(kind)) {
            invalid(found, &path.key("within"), "is no other kind that is within none");
        }
        pointers(&tokens.pointers, &path.key("pointers"), found);
    }
    if kinds.is_empty() {
        invalid(found, &path.key("tokens"), "names no kind");
    }
    budget(definition, found);
}

/// A budget without prices or without an assumption could not be kept by anybody.
fn budget(definition: &Definition, found: &mut Vec<Problem>) {
    let binding = &definition.binding_config_schema.properties;
    if !binding.contains_key(BUDGET) {
        return;
    }
    if !definition.target_config_schema.properties.contains_key(PRICES) {
        let path = Path::of(&["targetConfigSchema", "properties", PRICES]);
        invalid(found, &path, "must be there for the budgets of bindings");
    }
    if !binding.contains_key(ASSUMED) {
        let path = Path::of(&["bindingConfigSchema", "properties", ASSUMED]);
        invalid(found, &path, "must be there for the budgets of bindings");
    }
}

fn pointers(list: &[String], path: &Path, found: &mut Vec<Problem>) {
    if list.is_empty() {
        invalid(found, path, "names no place");
    }
    for (at, pointer) in list.iter().enumerate() {
        if !pointer.starts_with('/') || pointer.ends_with('/') || pointer.contains("//") {
            invalid(found, &path.index(at), "is not a JSON pointer");
        }
    }
}

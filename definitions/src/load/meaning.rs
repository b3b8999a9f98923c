//! What the shape of a definition cannot say: that its parts fit one another.

mod contracts;
mod forms;
mod names;
mod placeholders;
mod schemas;
mod templates;
mod usage;

use serde_json::Value;

use crate::contract::Definition;
use crate::schema::{About, Path, Problem};

/// Everything about a definition of the right shape that does not fit.
pub(super) fn check(definition: &Definition) -> Vec<Problem> {
    let mut found = Vec::new();
    schemas::check(definition, &mut found);
    forms::check(definition, &mut found);
    names::check(definition, &mut found);
    templates::check(definition, &mut found);
    contracts::check(definition, &mut found);
    placeholders::check(definition, &mut found);
    usage::check(definition, &mut found);
    found
}

/// Blank identity and metadata, which is checked even when the rest has the wrong shape.
pub(super) fn identity(value: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    for field in ["familyId", "variantId", "displayName", "description", "logoKey"] {
        let Some(text) = value.get(field).and_then(Value::as_str) else { continue };
        let path = Path::of(&[field]);
        if text.trim().is_empty() {
            invalid(&mut found, &path, "is blank");
        } else if field.ends_with("Id") && !is_identity(text) {
            invalid(&mut found, &path, "has other characters than `a-z`, `0-9` and `-`");
        }
    }
    found
}

/// A part of a key: what may stand in one without being quoted.
fn is_identity(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(allowed)
}

/// `message` follows the name of the field.
fn invalid(found: &mut Vec<Problem>, path: &Path, message: &str) {
    let message = format!("`{path}` {message}");
    let (code, path) = ("INVALID_DEFINITION", path.clone());
    found.push(Problem { code, path, about: About::Value, message, help: None });
}

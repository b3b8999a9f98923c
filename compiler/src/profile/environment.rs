//! Variables of a sandbox's environment.

use std::collections::BTreeMap;

use super::Speaker;
use crate::diagnostic::Diagnostics;

/// A variable that says where to send requests belongs to whoever starts the sandbox: a binding
/// that could set one could lead the sandbox past the proxy.
fn is_proxy(key: &str) -> bool {
    key.to_ascii_lowercase().ends_with("_proxy")
}

pub(super) fn check(
    env: &BTreeMap<String, String>,
    field: &str,
    speaker: Speaker<'_>,
    found: &mut Diagnostics,
) {
    for (key, value) in env {
        let problem = if key.trim().is_empty() {
            "has no name".to_owned()
        } else if key.contains(['=', '\0']) {
            format!("`{}` has a name that no variable can have", key.escape_debug())
        } else if is_proxy(key) {
            format!("`{key}` says where to send requests, which no binding may")
        } else if value.contains('\0') {
            format!("`{key}` has a value that no variable can have")
        } else {
            continue;
        };
        found.push(speaker.conflict(field, format!("a variable {problem}")));
    }
}

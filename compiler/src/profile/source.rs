//! Repositories that a sandbox begins with: one for each path.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Contribution, Speaker};
use crate::diagnostic::Diagnostics;
use crate::plan::WorkspaceSource;

const CODE: &str = "WORKSPACE_SOURCE_CONFLICT";
const FIELD: &str = "workspaceSources";

pub(super) fn merge(
    contributions: &[Contribution],
    found: &mut Diagnostics,
) -> Vec<WorkspaceSource> {
    let mut merged: BTreeMap<&str, (&str, &WorkspaceSource)> = BTreeMap::new();
    for Contribution { binding_id, workspace_sources, .. } in contributions {
        let speaker = Speaker { binding: binding_id, code: CODE };
        for source in workspace_sources {
            for (name, value) in [("path", &source.path), ("origin", &source.origin)] {
                if value.trim().is_empty() {
                    let message = format!("a workspace source has no {name}");
                    found.push(speaker.conflict(FIELD, message));
                }
            }
            // `a` and `a/` are one directory.
            match merged.entry(source.path.trim_end_matches('/')) {
                Entry::Vacant(entry) => drop(entry.insert((binding_id, source))),
                Entry::Occupied(entry) => {
                    let message = format!("two workspace sources have the path `{}`", source.path);
                    let first = format!("the first is of binding `{}`", entry.get().0);
                    found.push(speaker.conflict(FIELD, message).related(first, None));
                }
            }
        }
    }
    merged.into_values().map(|(_, source)| source.clone()).collect()
}

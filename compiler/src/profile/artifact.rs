//! Tools in the sandbox: the same one from two bindings is one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Contribution, Speaker, environment};
use crate::diagnostic::Diagnostics;
use crate::plan::Artifact;

const CODE: &str = "ARTIFACT_CONFLICT";
const FIELD: &str = "artifacts";

pub(super) fn merge(contributions: &[Contribution], found: &mut Diagnostics) -> Vec<Artifact> {
    let mut merged: BTreeMap<&str, (&str, &Artifact)> = BTreeMap::new();
    for Contribution { binding_id, artifacts, .. } in contributions {
        let speaker = Speaker { binding: binding_id, code: CODE };
        for artifact in artifacts {
            check(artifact, speaker, found);
            match merged.entry(&artifact.key) {
                Entry::Vacant(entry) => drop(entry.insert((binding_id, artifact))),
                Entry::Occupied(entry) if entry.get().1 == artifact => {}
                Entry::Occupied(entry) => {
                    let what = format!("artifact `{}`", artifact.key);
                    found.push(speaker.differs(FIELD, &what, entry.get().0));
                }
            }
        }
    }
    merged.into_values().map(|(_, artifact)| artifact.clone()).collect()
}

fn check(artifact: &Artifact, speaker: Speaker<'_>, found: &mut Diagnostics) {
    let key = &artifact.key;
    if key.trim().is_empty() {
        found.push(speaker.conflict(FIELD, "an artifact has no key".to_owned()));
    }
    environment::check(&artifact.env, FIELD, speaker, found);
    if artifact.install.is_empty() {
        let message = format!("artifact `{key}` has no command that installs it");
        found.push(speaker.conflict(FIELD, message));
    }
    for install in &artifact.install {
        if install.command.trim().is_empty() {
            let message = format!("artifact `{key}` is installed by a command without a name");
            found.push(speaker.conflict(FIELD, message));
        }
        if install.args.is_empty() || install.args.iter().any(String::is_empty) {
            let message = format!("artifact `{key}` is installed by a command without arguments");
            found.push(speaker.conflict(FIELD, message));
        }
    }
}

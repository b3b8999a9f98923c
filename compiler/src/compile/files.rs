//! `config.toml` and `policy.toml` → plans: one snapshot, and one compilation, for each profile.

use std::collections::BTreeMap;

use sallygate_definitions::Registry;

use super::{Compiled, compile, with_suggestion};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::plan::Plan;
use crate::snapshot::{ConnectionSource, Policy, Profile, SandboxSpec, Snapshot, Targets};

/// Whose everything is that stands in files.
const ORGANIZATION: &str = "local";

/// What came of the files. A profile with errors has no plan.
#[derive(Clone, Debug, Default)]
pub struct Compilation {
    /// By profile.
    pub plans: BTreeMap<String, Plan>,
    pub sandboxes: Vec<SandboxSpec>,
    pub connections: Vec<ConnectionSource>,
    pub diagnostics: Diagnostics,
}

/// Compiles every profile of `policy`.
pub fn compile_files(targets: &Targets, policy: &Policy, registry: &Registry) -> Compilation {
    let mut compilation =
        Compilation { connections: targets.sources.clone(), ..Compilation::default() };
    let mut snapshot = targets.snapshot(&Profile::default());
    for (id, profile) in &policy.profiles {
        snapshot.profile.clone_from(profile);
        let Compiled { plan, diagnostics } = compile(&snapshot, registry);
        compilation.plans.extend(plan.map(|plan| (id.clone(), plan)));
        compilation.diagnostics.append(diagnostics);
    }
    sandboxes(policy, &mut compilation);
    compilation.diagnostics = compilation.diagnostics.sorted();
    compilation
}

impl Targets {
    /// All inputs of one compilation of `profile`.
    pub fn snapshot(&self, profile: &Profile) -> Snapshot {
        Snapshot {
            organization_id: ORGANIZATION.to_owned(),
            targets: self.targets.clone(),
            connections: self.connections.clone(),
            profile: profile.clone(),
            broken: self.broken.clone(),
        }
    }
}

fn sandboxes(policy: &Policy, compiled: &mut Compilation) {
    let mut known: BTreeMap<&str, &Place> = BTreeMap::new();
    for sandbox in &policy.sandboxes {
        let spec = &sandbox.spec;
        if let Some(first) = known.get(spec.id.as_str()) {
            let message = format!("two sandboxes have the id `{}`", spec.id);
            let diagnostic = Diagnostic::error("DUPLICATE_SANDBOX", message);
            let place = Some((*first).clone());
            let diagnostic = diagnostic.at(sandbox.place.clone()).related("the first", place);
            compiled.diagnostics.push(diagnostic);
            continue;
        }
        known.insert(&spec.id, &sandbox.place);
        if !policy.profiles.contains_key(&spec.profile) {
            let message =
                format!("sandbox `{}` has an unknown profile `{}`", spec.id, spec.profile);
            let diagnostic = Diagnostic::error("UNKNOWN_PROFILE", message);
            let names = policy.profiles.keys().map(String::as_str);
            let diagnostic = diagnostic.at(sandbox.place.clone());
            compiled.diagnostics.push(with_suggestion(diagnostic, &spec.profile, names));
            continue;
        }
        compiled.sandboxes.push(spec.clone());
    }
    compiled.sandboxes.sort_by(|a, b| a.id.cmp(&b.id));
}

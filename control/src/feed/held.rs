//! What a proxy was told, all of it.

use std::collections::{BTreeMap, BTreeSet};

use sallygate_compiler::snapshot::{FormerToken, MoreTokens, SandboxSpec, Signer};
use sallygate_definitions::placeholder::PlaceholderKey;
use serde::{Deserialize, Serialize};

use super::InForce;
use super::canary::{plan_key, runs_ahead};
use super::message::{ProfileTold, SandboxTold};

/// What a proxy was told, up to `resume`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Held {
    /// From where the telling goes on; `None`: from the beginning.
    pub resume: Option<String>,
    profiles: BTreeMap<String, ProfileTold>,
    sandboxes: BTreeMap<String, SandboxTold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) placeholder_key: Option<PlaceholderKey>,
}

impl Held {
    pub(super) fn profile(&mut self, told: ProfileTold) {
        if told.plan.is_none() && told.canary.is_none() {
            self.profiles.remove(&told.id);
        } else {
            self.profiles.insert(told.id.clone(), told);
        }
    }

    pub(super) fn sandbox(&mut self, told: SandboxTold) {
        self.sandboxes.insert(told.id.clone(), told);
    }

    /// Whether one of them was there.
    pub(super) fn end(&mut self, sandboxes: &[String]) -> bool {
        sandboxes.iter().filter(|id| self.sandboxes.remove(*id).is_some()).count() > 0
    }

    pub(super) fn drop_expired(&mut self, now_ms: i64) {
        let now = now_ms.div_euclid(1000);
        self.sandboxes.retain(|_, sandbox| sandbox.expires_unix.is_none_or(|at| at > now));
    }

    /// Every connection whose credentials the plans use.
    pub fn connections(&self) -> Vec<String> {
        let connections = self.profiles.values().flat_map(|profile| profile.targets.keys());
        connections.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What shall be in force.
    pub fn in_force(&self) -> InForce {
        let placeholder_key = self.placeholder_key.clone();
        let mut in_force = InForce { placeholder_key, ..InForce::default() };
        for (id, told) in &self.profiles {
            in_force.targets.extend(told.targets.clone());
            if let Some(plan) = &told.plan {
                in_force.plans.insert(id.clone(), (*plan.0).clone());
            }
            if let Some(canary) = &told.canary {
                in_force.plans.insert(plan_key(id), (*canary.plan.0).clone());
            }
        }
        in_force.sandboxes = self.sandboxes.values().map(|told| self.spec(told)).collect();
        in_force
    }

    fn spec(&self, told: &SandboxTold) -> SandboxSpec {
        let canary = self.profiles.get(&told.profile).and_then(|profile| profile.canary.as_ref());
        let ahead = canary.is_some_and(|canary| runs_ahead(&told.id, canary.percent));
        SandboxSpec {
            id: told.id.clone(),
            profile: if ahead { plan_key(&told.profile) } else { told.profile.clone() },
            token_sha256: Some(told.token_sha256),
            sources: told.sources.clone(),
            expires_unix: told.expires_unix,
            more: more(told),
        }
    }
}

/// What proves a sandbox besides its token.
fn more(told: &SandboxTold) -> MoreTokens {
    let former = told
        .former
        .as_ref()
        .map(|former| FormerToken { sha256: former.token_sha256, until_unix: former.until_unix });
    let signer = told.signer.as_ref().map(|signer| Signer {
        public_key: signer.public_key,
        generation: signer.generation,
        former_until_unix: signer.former_until_unix,
    });
    MoreTokens { former, signer }
}

//! Agents that can be asked to work: each by a client and an endpoint that exist.

use std::collections::BTreeSet;

use super::{Contribution, Speaker};
use crate::diagnostic::Diagnostics;
use crate::plan::{AgentRuntime, RuntimeClient};

const CODE: &str = "AGENT_RUNTIME_CONFLICT";
const FIELD: &str = "agentRuntimes";

pub(super) fn merge(
    contributions: &[Contribution],
    clients: &[RuntimeClient],
    found: &mut Diagnostics,
) -> Vec<AgentRuntime> {
    let mut keys = BTreeSet::new();
    let mut merged = Vec::new();
    for Contribution { binding_id, agent_runtimes, .. } in contributions {
        let speaker = Speaker { binding: binding_id, code: CODE };
        for runtime in agent_runtimes {
            check(runtime, clients, speaker, found);
            if keys.insert((&runtime.binding_id, &runtime.runtime_key)) {
                merged.push(runtime.clone());
            } else {
                let message = format!("two agent runtimes have the key `{}`", runtime.runtime_key);
                found.push(speaker.conflict(FIELD, message));
            }
        }
    }
    merged.sort_by(|a, b| (&a.binding_id, &a.runtime_key).cmp(&(&b.binding_id, &b.runtime_key)));
    merged
}

fn check(
    runtime: &AgentRuntime,
    clients: &[RuntimeClient],
    speaker: Speaker<'_>,
    found: &mut Diagnostics,
) {
    let AgentRuntime { runtime_key: key, client_id, endpoint_key, .. } = runtime;
    if key.trim().is_empty() {
        found.push(speaker.conflict(FIELD, "an agent runtime has no key".to_owned()));
    }
    let Some(client) = clients.iter().find(|client| client.client_id == *client_id) else {
        let message =
            format!("agent runtime `{key}` is of a client `{client_id}` that there is not");
        return found.push(speaker.conflict(FIELD, message));
    };
    if !client.endpoints.iter().any(|endpoint| endpoint.endpoint_key == *endpoint_key) {
        let message = format!(
            "agent runtime `{key}` is at an endpoint `{endpoint_key}` that client `{client_id}` \
             has not"
        );
        found.push(speaker.conflict(FIELD, message));
    }
}

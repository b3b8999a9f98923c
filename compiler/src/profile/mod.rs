//! What the bindings of one profile give a sandbox besides routes, put together.
//!
//! Each binding is sound by itself; here it is decided whether all of them can stand together.
//! Everything that is wrong is reported, and the order in which bindings come changes nothing.

mod agent;
mod artifact;
mod client;
mod environment;
mod mcp;
mod source;

use sallygate_definitions::contract::mcp::{McpConfig, McpServer};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::{AgentRuntime, Artifact, Plan, RuntimeClient, WorkspaceSource};

/// What one binding gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contribution {
    pub binding_id: String,
    pub artifacts: Vec<Artifact>,
    pub runtime_clients: Vec<RuntimeClient>,
    pub agent_runtimes: Vec<AgentRuntime>,
    pub workspace_sources: Vec<WorkspaceSource>,
    pub mcp_servers: Vec<McpServer>,
    /// Where the agent of this binding keeps its map of MCP servers.
    pub mcp_config: Option<McpConfig>,
}

/// What all bindings of a profile give together. Each list is sorted by its key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assembly {
    pub artifacts: Vec<Artifact>,
    pub workspace_sources: Vec<WorkspaceSource>,
    pub runtime_clients: Vec<RuntimeClient>,
    pub agent_runtimes: Vec<AgentRuntime>,
}

/// Puts the contributions together: first the MCP servers into the agents' files, then all.
pub fn assemble(mut contributions: Vec<Contribution>) -> (Assembly, Diagnostics) {
    contributions.sort_by(|a, b| a.binding_id.cmp(&b.binding_id));
    let mut found = Diagnostics::new();
    mcp::write_servers(&mut contributions, &mut found);
    let runtime_clients = client::merge(&contributions, &mut found);
    let assembly = Assembly {
        artifacts: artifact::merge(&contributions, &mut found),
        workspace_sources: source::merge(&contributions, &mut found),
        agent_runtimes: agent::merge(&contributions, &runtime_clients, &mut found),
        runtime_clients,
    };
    (assembly, found)
}

/// What keeps these parts of a ready plan from standing together: the same rules.
pub(crate) fn check(plan: &Plan) -> Diagnostics {
    let contribution = Contribution {
        binding_id: "plan".to_owned(),
        artifacts: plan.artifacts.clone(),
        runtime_clients: plan.runtime_clients.clone(),
        agent_runtimes: plan.agent_runtimes.clone(),
        workspace_sources: plan.workspace_sources.clone(),
        ..Contribution::default()
    };
    let (assembly, mut found) = assemble(vec![contribution]);
    let same = assembly.artifacts == plan.artifacts
        && assembly.runtime_clients == plan.runtime_clients
        && assembly.agent_runtimes == plan.agent_runtimes
        && assembly.workspace_sources == plan.workspace_sources;
    if !same && !found.has_errors() {
        let message = "artifacts, clients, runtimes and sources stand in order, each once";
        found.push(Diagnostic::error("INVALID_PLAN", message));
    }
    found
}

/// Who said it, and which rule it is about.
#[derive(Clone, Copy, Debug)]
struct Speaker<'s> {
    binding: &'s str,
    code: &'static str,
}

impl Speaker<'_> {
    fn conflict(&self, field: &str, message: String) -> Diagnostic {
        Diagnostic::error(self.code, message).about(self.binding, field)
    }

    /// Two bindings that differ in `what`.
    fn differs(&self, field: &str, what: &str, first: &str) -> Diagnostic {
        let message = format!("{what} is already there with other content");
        self.conflict(field, message).related(format!("the first is of binding `{first}`"), None)
    }
}

#[cfg(test)]
mod tests;

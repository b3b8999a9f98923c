//! What a binding of a definition gives: pure, and the same for the same inputs.
//!
//! Values are checked against the definition's schemas first, then its rules are, and then
//! templates are filled in. Either everything comes out or only issues do: half of a binding is
//! never enforced.

mod base_url;
mod condition;
mod fill;
mod narrow;
mod origin;
mod protocol;
mod route;
mod rules;
mod secrets;
pub(crate) mod usage;

use serde_json::{Map, Value};

use crate::contract::Definition;
use crate::contract::injection::{Clear, Presentation};
use crate::contract::mcp::McpServer;
use crate::contract::method::SecretType;
use crate::contract::route::{Action, Condition, Protocol, RouteLimits};
use crate::contract::runtime::{AgentRuntime, Artifact, RuntimeClient, WorkspaceSource};
use crate::diagnostic::Severity;
use crate::schema::{ConfigSchema, Problem};
use crate::template::Scope;

pub use narrow::{BROAD_GRANT, broad_grant};
use origin::BoundOrigin;
pub(crate) use protocol::lists as protocol_lists;
pub use usage::ExpandedUsage;

/// A binding may give so many paths in all of its routes.
pub const EXPANDED_PATHS_MAX: usize = 20_000;

/// What a definition is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'i> {
    pub target_config: &'i Value,
    /// The id of the connection's method; `None` for a definition that has no methods.
    pub connection_method: Option<&'i str>,
    pub connection_config: &'i Value,
    pub binding_config: &'i Value,
}

/// What a binding gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expanded {
    /// By name.
    pub origins: Vec<ExpandedOrigin>,
    pub routes: Vec<ExpandedRoute>,
    /// What is counted of the routes that say so.
    pub usage: Option<ExpandedUsage>,
    pub artifacts: Vec<Artifact>,
    pub runtime_clients: Vec<RuntimeClient>,
    pub agent_runtimes: Vec<AgentRuntime>,
    pub workspace_sources: Vec<WorkspaceSource>,
    pub mcp_servers: Vec<McpServer>,
    /// Grants that are broader than a binding should need.
    pub warnings: Vec<Issue>,
}

/// An origin that is bound.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpandedOrigin {
    pub name: String,
    /// In normal form, without trailing slash.
    pub base_url: String,
    pub inject: Vec<ExpandedInjection>,
    pub clear: Clear,
}

/// A route that is bound.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpandedRoute {
    pub name: String,
    pub action: Action,
    pub reason: Option<String>,
    /// The name of the origin, and its base URL in normal form, without trailing slash.
    pub origin: String,
    pub base_url: String,
    /// `None`: any.
    pub methods: Option<Vec<String>>,
    /// Path patterns below the host: the base URL's path is part of them. Sorted.
    pub paths: Vec<String>,
    pub headers: Vec<Condition>,
    pub query: Vec<Condition>,
    pub allow_encoded_slash: bool,
    pub allow_empty_segments: bool,
    pub protocol: Option<Protocol>,
    pub inject: Vec<ExpandedInjection>,
    pub clear: Clear,
    pub limits: RouteLimits,
    pub usage: bool,
}

/// A secret, and how it is presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandedInjection {
    pub secret_type: SecretType,
    pub slot_key: Option<String>,
    /// The key of the custom resolver; `None`: the default one.
    pub resolver_key: Option<String>,
    /// What narrows the secret to the binding.
    pub scope: Map<String, Value>,
    pub present: Presentation,
}

/// Something that is wrong with what a definition is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// `INVALID_BINDING_CONFIG` and the like, or `family.code` for what the definition says.
    pub code: String,
    pub severity: Severity,
    /// `bindingConfig.repositories[0]`
    pub field: String,
    /// Holds nothing but names, and values that the author of the binding wrote.
    pub safe_message: String,
}

impl Issue {
    fn error(code: impl Into<String>, field: impl Into<String>, message: String) -> Self {
        let (code, field, severity) = (code.into(), field.into(), Severity::Error);
        Self { code, severity, field, safe_message: message }
    }
}

impl Definition {
    /// What a binding gives, or everything that is wrong with it.
    pub fn expand(&self, inputs: &Inputs<'_>) -> Result<Expanded, Vec<Issue>> {
        let method = inputs.connection_method.and_then(|id| self.method(id));
        let target = self.admit_target(inputs.target_config);
        let connection = self.admit_connection(inputs.connection_method, inputs.connection_config);
        let binding = admit(
            &self.binding_config_schema,
            inputs.binding_config,
            ("INVALID_BINDING_CONFIG", "bindingConfig"),
        );
        let (target, connection, binding) = match (&target, &connection, &binding) {
            (Ok(target), Ok(connection), Ok(binding)) => (target, connection, binding),
            (target, connection, binding) => {
                let issues = [target, connection, binding].map(|r| r.as_ref().err());
                return Err(issues.into_iter().flatten().flatten().cloned().collect());
            }
        };
        let mut issues = Vec::new();
        let scope = Scope { target, connection, binding, item: None };
        rules::check(self, &scope, &mut issues);
        if !issues.is_empty() {
            return Err(issues);
        }
        let mut expansion = Expansion { definition: self, method, scope, issues };
        let expanded = expansion.run();
        if expansion.issues.is_empty() { Ok(expanded) } else { Err(expansion.issues) }
    }

    /// The configuration of a target in normal form, or what is wrong with it.
    pub fn admit_target(&self, config: &Value) -> Result<Value, Vec<Issue>> {
        admit(&self.target_config_schema, config, ("INVALID_TARGET_CONFIG", "targetConfig"))
    }

    /// The configuration of a connection in normal form, or what is wrong with it and with the
    /// method that it was made by.
    pub fn admit_connection(
        &self,
        method: Option<&str>,
        config: &Value,
    ) -> Result<Value, Vec<Issue>> {
        let names = ("INVALID_CONNECTION_CONFIG", "connectionConfig");
        let admitted = admit(&self.connection_config_schema, config, names);
        let known = match method {
            Some(id) => self.method(id).is_some(),
            None => self.connection_methods.is_empty(),
        };
        if known {
            return admitted;
        }
        let mut issues = vec![self.unknown_method(method)];
        issues.extend(admitted.err().into_iter().flatten());
        Err(issues)
    }

    fn unknown_method(&self, given: Option<&str>) -> Issue {
        let known: Vec<&str> = self.connection_methods.iter().map(|method| method.id()).collect();
        let message = match (given, known.as_slice()) {
            (Some(given), []) => format!("`{given}` is not a method: `{}` has none", self.key()),
            (Some(given), known) => {
                format!("`{given}` is not a connection method: there is {}", known.join(", "))
            }
            (None, known) => format!("a connection has a method, one of {}", known.join(", ")),
        };
        Issue::error("UNKNOWN_CONNECTION_METHOD", "connectionMethod", message)
    }
}

fn admit(
    schema: &ConfigSchema,
    value: &Value,
    (code, name): (&str, &str),
) -> Result<Value, Vec<Issue>> {
    let issues = |found: Vec<Problem>| found.into_iter().map(|p| issue(code, p)).collect();
    schema.admit(value, name).map_err(issues)
}

fn issue(code: &str, problem: Problem) -> Issue {
    let message = match problem.help {
        Some(help) => format!("{}; {help}", problem.message),
        None => problem.message,
    };
    Issue::error(code, problem.path.to_string(), message)
}

/// One expansion under way.
struct Expansion<'e> {
    definition: &'e Definition,
    method: Option<&'e crate::contract::method::ConnectionMethod>,
    scope: Scope<'e>,
    issues: Vec<Issue>,
}

impl Expansion<'_> {
    fn run(&mut self) -> Expanded {
        let compile = &self.definition.compile_binding;
        let origins = self.origins();
        let routes = self.routes(&origins);
        let warnings = self.broad_grants(&routes);
        let usage = self.usage();
        Expanded {
            artifacts: self.fill(&compile.artifacts),
            runtime_clients: self.fill(&compile.runtime_clients),
            agent_runtimes: self.fill(&compile.agent_runtimes),
            workspace_sources: self.fill(&compile.workspace_sources),
            mcp_servers: self.fill(&self.definition.mcp),
            origins: origins.values().map(BoundOrigin::to_expanded).collect(),
            routes,
            usage,
            warnings,
        }
    }

    /// An issue of the definition's own: `family.code`.
    fn refuse(&mut self, code: &str, field: impl Into<String>, message: String) {
        let code = format!("{}.{code}", self.definition.family_id);
        self.issues.push(Issue::error(code, field, message));
    }
}

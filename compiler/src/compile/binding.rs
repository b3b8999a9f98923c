//! One binding: whether it may be, and what its definition gives for it.

use sallygate_definitions::contract::binding::Permission;
use sallygate_definitions::contract::method::{ConnectionMethod, SecretType};
use sallygate_definitions::expand::{ExpandedInjection, ExpandedOrigin};
use sallygate_definitions::{Expanded, Inputs, Issue};

use super::draft::Bound;
use super::{Compiler, with_suggestion};
use crate::canonical::Scheme;
use crate::diagnostic::Diagnostic;
use crate::plan::AgentRuntime;
use crate::profile::Contribution;
use crate::snapshot::{Binding, Connection, ConnectionStatus, Target, TargetInjection};

impl<'s> Compiler<'s> {
    /// Every binding, in code-point order of id.
    pub(super) fn bindings(&mut self) {
        let mut bindings: Vec<&'s Binding> = self.snapshot.profile.bindings.iter().collect();
        // Of two with one id, the first is the same one however they come.
        bindings.sort_by_cached_key(|binding| {
            let start = binding.places.find("").map(|place| place.span.start);
            let rest = match start {
                Some(_) => String::new(),
                None => serde_json::to_string(binding).unwrap_or_default(),
            };
            (binding.id.clone(), start, rest)
        });
        for same in bindings.chunk_by(|a, b| a.id == b.id) {
            let Some((first, rest)) = same.split_first() else { continue };
            for again in rest {
                let message = format!("two bindings have the id `{}`", again.id);
                let mut diagnostic = Diagnostic::error("DUPLICATE_BINDING", message);
                diagnostic.place = again.places.find("").cloned();
                diagnostic = diagnostic.related("the first", first.places.find("").cloned());
                self.found.push(diagnostic.about(&again.id, ""));
            }
            self.binding(first);
        }
    }

    fn binding(&mut self, binding: &'s Binding) {
        if !crate::snapshot::is_id(&binding.id) || binding.id == super::POLICY_BINDING {
            let message = crate::snapshot::bad_id(&binding.id);
            self.refuse(binding, "id", "BAD_VALUE", message);
        }
        let Some((connection, target)) = self.connected(binding) else { return };
        self.permitted(binding, connection, target);
        let definition = match self.registry.require(&target.definition) {
            Ok(definition) => definition,
            Err(diagnostic) => return self.report(diagnostic.about(&binding.id, "target")),
        };
        if let Some(kind) = binding.kind.filter(|kind| *kind != definition.kind) {
            let (given, meant) = (kind.as_str(), definition.kind.as_str());
            let message =
                format!("the binding says `{given}`, and `{}` is `{meant}`", target.definition);
            self.refuse(binding, "kind", "KIND_MISMATCH", message);
        }
        let mut issues = definition.target_secret_issues(&target.secrets);
        if let (Some(method), Some(present)) = (&connection.method, &connection.credentials) {
            issues.extend(definition.credential_issues(method, present));
        }
        let expanded = definition.expand(&Inputs {
            target_config: &target.config,
            connection_method: connection.method.as_deref(),
            connection_config: &connection.config,
            binding_config: &binding.config,
        });
        match expanded {
            Ok(mut expanded) => {
                issues.append(&mut expanded.warnings);
                self.issues(binding, issues);
                let method = connection.method.as_deref().and_then(|id| definition.method(id));
                let usage = expanded.usage.take();
                let origins = expanded.origins.drain(..);
                let origins = origins.map(|o| presented(o, target, method)).collect();
                let bound = Bound { binding, connection, target, definition, origins, usage };
                self.expanded(&bound, expanded);
            }
            Err(found) => {
                issues.extend(found);
                self.issues(binding, issues);
            }
        }
    }

    /// What the binding is bound to; `None` when it is bound to nothing.
    fn connected(&mut self, binding: &Binding) -> Option<(&'s Connection, &'s Target)> {
        let snapshot = self.snapshot;
        let Some(connection) = snapshot.connections.get(&binding.connection) else {
            if snapshot.broken.contains(&binding.connection) {
                self.sound = false;
                return None;
            }
            let message = format!(
                "binding `{}` uses a connection `{}` that there is not",
                binding.id, binding.connection
            );
            let diagnostic = Diagnostic::error("UNKNOWN_CONNECTION", message);
            let names = snapshot.connections.keys().map(String::as_str);
            let diagnostic = with_suggestion(diagnostic, &binding.connection, names);
            self.report(diagnostic.about(&binding.id, "connection"));
            return None;
        };
        let owner = connection.organization_id.as_ref();
        if owner.is_some_and(|owner| *owner != snapshot.organization_id) {
            let message =
                format!("connection `{}` belongs to another organisation", binding.connection);
            self.refuse(binding, "connection", "CONNECTION_MISMATCH", message);
        }
        let target = snapshot.targets.get(&connection.target);
        if target.is_none() {
            if snapshot.broken.contains(&connection.target) {
                self.sound = false;
                return None;
            }
            let message = format!(
                "connection `{}` is to a target `{}` that there is not",
                binding.connection, connection.target
            );
            self.refuse(binding, "connection", "CONNECTION_MISMATCH", message);
        }
        Some((connection, target?))
    }

    fn permitted(&mut self, binding: &Binding, connection: &Connection, target: &Target) {
        if !target.enabled {
            let message = format!("target `{}` is disabled", connection.target);
            self.refuse(binding, "connection", "TARGET_DISABLED", message);
        }
        match connection.status {
            ConnectionStatus::Active => {}
            ConnectionStatus::Error | ConnectionStatus::Revoked => {
                let status = connection.status.as_str();
                let message =
                    format!("connection `{}` is not active: {status}", binding.connection);
                self.refuse(binding, "connection", "CONNECTION_NOT_ACTIVE", message);
            }
        }
    }

    fn issues(&mut self, binding: &Binding, issues: Vec<Issue>) {
        for Issue { code, severity, field, safe_message } in issues {
            let mut diagnostic = Diagnostic::error(code, safe_message);
            diagnostic.severity = severity;
            self.report(diagnostic.about(&binding.id, field));
        }
    }

    fn expanded(&mut self, bound: &Bound<'s>, expanded: Expanded) {
        let Bound { binding, definition, .. } = bound;
        for origin in &bound.origins {
            self.cleartext(binding, bound.target, origin);
        }
        self.routes_of(bound, &expanded.routes);
        let runtime =
            |runtime: sallygate_definitions::contract::runtime::AgentRuntime| AgentRuntime {
                binding_id: binding.id.clone(),
                runtime_key: runtime.runtime_key,
                client_id: runtime.client_id,
                endpoint_key: runtime.endpoint_key,
            };
        self.contributions.push(Contribution {
            binding_id: binding.id.clone(),
            artifacts: expanded.artifacts,
            runtime_clients: expanded.runtime_clients,
            agent_runtimes: expanded.agent_runtimes.into_iter().map(runtime).collect(),
            workspace_sources: expanded.workspace_sources,
            mcp_servers: expanded.mcp_servers,
            mcp_config: definition.mcp_config.clone(),
        });
    }

    fn cleartext(&mut self, binding: &Binding, target: &Target, origin: &ExpandedOrigin) {
        let is_clear = origin.base_url.starts_with(&format!("{}://", Scheme::Http.as_str()));
        if is_clear && !origin.inject.is_empty() && target.cleartext == Permission::Refuse {
            let message = format!(
                "the credential for `{}` would be sent over clear-text HTTP",
                origin.base_url
            );
            self.refuse(binding, "targetConfig.baseUrl", "CLEARTEXT_CREDENTIAL", message);
        }
    }

    pub(super) fn refuse(
        &mut self,
        binding: &Binding,
        field: &str,
        code: &'static str,
        message: String,
    ) {
        self.report(Diagnostic::error(code, message).about(&binding.id, field));
    }
}

/// The origin as the operator has the credential presented there.
fn presented(
    origin: ExpandedOrigin,
    target: &Target,
    method: Option<&ConnectionMethod>,
) -> ExpandedOrigin {
    let inject = match &target.inject {
        TargetInjection::Definition => origin.inject,
        TargetInjection::Nothing => Vec::new(),
        TargetInjection::Instead(present) => {
            let secret = method.map_or((SecretType::ApiKey, None), ConnectionMethod::secret);
            vec![ExpandedInjection {
                secret_type: secret.0,
                slot_key: secret.1.map(str::to_owned),
                resolver_key: method.and_then(|m| m.resolver()).map(str::to_owned),
                // However it is presented, it is as narrow as the definition has it.
                scope: origin.inject.first().map(|i| i.scope.clone()).unwrap_or_default(),
                present: present.clone(),
            }]
        }
    };
    ExpandedOrigin { inject, ..origin }
}

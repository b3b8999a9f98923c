//! The routes of a binding.

use std::collections::BTreeMap;

use super::origin::BoundOrigin;
use super::{EXPANDED_PATHS_MAX, ExpandedRoute, Expansion, condition};
use crate::contract::method::ConnectionMethod;
use crate::contract::route::{Action, RouteTemplate};
use crate::template::{Filter, Template};

impl<'e> Expansion<'e> {
    /// Every route whose condition holds and that has a path. A list without items gives none: a
    /// route is never broader because less was bound.
    pub(super) fn routes(
        &mut self,
        origins: &BTreeMap<&'e str, BoundOrigin<'e>>,
    ) -> Vec<ExpandedRoute> {
        let mut routes = Vec::new();
        let mut room = EXPANDED_PATHS_MAX;
        for template in self.wanted() {
            let Some(origin) = find(origins, template) else { continue };
            let Some(protocol) = self.protocol(template) else { continue };
            let paths = self.paths(template, &origin.path);
            if paths.len() > room {
                let message = format!("the binding has more than {EXPANDED_PATHS_MAX} paths");
                self.refuse("too_many_paths", "bindingConfig", message);
                return Vec::new();
            }
            room -= paths.len();
            if !paths.is_empty() {
                routes.push(ExpandedRoute { protocol, ..expanded(template, origin, paths) });
            }
        }
        routes
    }

    /// The routes that are there for this binding and this method of connection.
    pub(super) fn wanted(&self) -> Vec<&'e RouteTemplate> {
        let routes = self.definition.compile_binding.routes.iter();
        routes.filter(|route| self.is_wanted(route)).collect()
    }

    fn is_wanted(&self, template: &RouteTemplate) -> bool {
        let methods = &template.connection_methods;
        let of_method = |method: &ConnectionMethod| methods.iter().any(|id| id == method.id());
        condition::holds(&template.when, self.scope.binding)
            && (methods.is_empty() || self.method.is_some_and(of_method))
    }

    fn paths(&mut self, template: &RouteTemplate, below: &str) -> Vec<String> {
        let scopes = self.scopes(template.for_each.as_deref());
        let mut paths = Vec::with_capacity(scopes.len() * template.paths.len());
        for text in &template.paths {
            let Ok(parsed) = Template::parse(text) else { continue };
            for scope in &scopes {
                match parsed.render(scope, Filter::Segment) {
                    Ok(path) => paths.push(join(below, &path)),
                    Err(error) => {
                        let message = format!("route `{}`: {error}", template.name);
                        self.refuse("template_value", "bindingConfig", message);
                    }
                }
            }
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

/// The origin of a route; `None` when it has issues, which are reported.
fn find<'o, 'e>(
    origins: &'o BTreeMap<&str, BoundOrigin<'e>>,
    template: &RouteTemplate,
) -> Option<&'o BoundOrigin<'e>> {
    match &template.origin {
        Some(name) => origins.get(name.as_str()),
        None => origins.values().next(),
    }
}

fn join(below: &str, path: &str) -> String {
    if below.is_empty() { path.to_owned() } else { format!("{below}{path}") }
}

fn expanded(
    template: &RouteTemplate,
    origin: &BoundOrigin<'_>,
    paths: Vec<String>,
) -> ExpandedRoute {
    let inject = match template.action {
        Action::Allow | Action::Hold => origin.inject.clone(),
        Action::Deny => Vec::new(),
    };
    ExpandedRoute {
        name: template.name.clone(),
        action: template.action,
        reason: template.reason.clone(),
        origin: origin.origin.name.clone(),
        base_url: origin.base_url.clone(),
        methods: template.methods.clone(),
        paths,
        headers: template.headers.clone(),
        query: template.query.clone(),
        allow_encoded_slash: template.allow_encoded_slash,
        allow_empty_segments: template.allow_empty_segments,
        protocol: None,
        inject,
        clear: origin.origin.clear.clone(),
        limits: template.limits.clone(),
        usage: template.usage,
    }
}

//! The origins of a binding: their base URLs, and the credential that is presented there.

use std::collections::BTreeMap;

use super::{ExpandedInjection, ExpandedOrigin, Expansion, base_url};
use crate::contract::binding::Origin;
use crate::contract::injection::{InjectionRule, Presentation};
use crate::contract::route::RouteTemplate;
use crate::template::{Filter, Template};

/// An origin that is bound.
pub(super) struct BoundOrigin<'e> {
    pub(super) origin: &'e Origin,
    pub(super) base_url: String,
    /// The path of the base URL; empty for the whole host.
    pub(super) path: String,
    pub(super) inject: Vec<ExpandedInjection>,
}

impl BoundOrigin<'_> {
    pub(super) fn to_expanded(&self) -> ExpandedOrigin {
        ExpandedOrigin {
            name: self.origin.name.clone(),
            base_url: self.base_url.clone(),
            inject: self.inject.clone(),
            clear: self.origin.clear.clone(),
        }
    }
}

impl<'e> Expansion<'e> {
    /// The origins by name; those with issues are not there. An origin that no route needs may
    /// lack what it is made of, and is left out then.
    pub(super) fn origins(&mut self) -> BTreeMap<&'e str, BoundOrigin<'e>> {
        let mut bound = BTreeMap::new();
        let wanted = self.wanted();
        for origin in &self.definition.compile_binding.origins {
            let is_of = |route: &&RouteTemplate| {
                route.origin.as_ref().is_none_or(|name| *name == origin.name)
            };
            if !wanted.iter().any(is_of) && self.lacks_values(origin) {
                continue;
            }
            if let Some(base_url) = self.base_url(origin) {
                let path = path_of(&base_url).to_owned();
                let inject = self.injections(origin);
                bound.insert(origin.name.as_str(), BoundOrigin { origin, base_url, path, inject });
            }
        }
        bound
    }

    fn lacks_values(&self, origin: &Origin) -> bool {
        let there = |text: &str| {
            let template = Template::parse(text).ok();
            template.is_some_and(|t| t.references().all(|name| name.find(&self.scope).is_some()))
        };
        let can_present = |rule: &InjectionRule| match &rule.present {
            Presentation::Basic { username, .. } => username.as_deref().is_none_or(there),
            Presentation::Header { header, .. } => there(header),
            Presentation::AwsSigv4 { service, region, presigned } => {
                there(service) && there(region) && presigned.as_deref().is_none_or(there)
            }
            Presentation::Bearer {}
            | Presentation::Query { .. }
            | Presentation::Cookie { .. }
            | Presentation::Path {}
            | Presentation::Placeholder { .. }
            | Presentation::ClientCertificate {} => true,
        };
        !there(&origin.base_url) || !origin.inject.iter().all(can_present)
    }

    fn base_url(&mut self, origin: &Origin) -> Option<String> {
        let field = base_url_field(origin);
        let rendered = Template::parse(&origin.base_url)
            .and_then(|template| template.render(&self.scope, Filter::Raw));
        let url = match rendered {
            Ok(url) => url,
            Err(error) => {
                self.refuse("template_value", field, error.to_string());
                return None;
            }
        };
        let checked = base_url::check(&url, origin);
        checked
            .map_err(|issue| {
                let message = format!("the base URL of `{}` {}", origin.name, issue.describe());
                self.refuse(issue.code(), field, message);
            })
            .ok()
    }

    /// What the connection's method presents here. The slots of one method may each have a rule:
    /// the first rule for a slot counts.
    fn injections(&mut self, origin: &Origin) -> Vec<ExpandedInjection> {
        let Some(method) = self.method else { return Vec::new() };
        let is_for = |rule: &&InjectionRule| {
            let methods = &rule.connection_methods;
            methods.is_empty() || methods.iter().any(|id| id == method.id())
        };
        let mut inject: Vec<ExpandedInjection> = Vec::new();
        for rule in origin.inject.iter().filter(is_for) {
            let same = |i: &ExpandedInjection| {
                i.secret_type == rule.secret_type && i.slot_key == rule.slot_key
            };
            if inject.iter().any(same) {
                continue;
            }
            let Some(present) = self.filled_in(&rule.present, "targetConfig") else { continue };
            let Some(scope) = self.narrowed(&rule.scope) else { continue };
            inject.push(ExpandedInjection {
                secret_type: rule.secret_type,
                slot_key: rule.slot_key.clone(),
                resolver_key: method.resolver().map(str::to_owned),
                scope,
                present,
            });
        }
        inject
    }
}

/// The field of the target that a base URL comes from, for an issue to point at.
fn base_url_field(origin: &Origin) -> String {
    let template = Template::parse(&origin.base_url).ok();
    let first = template.as_ref().and_then(|template| template.references().next());
    first.map_or_else(
        || "targetConfig".to_owned(),
        |reference| reference.to_string().replacen("target.", "targetConfig.", 1),
    )
}

fn path_of(base_url: &str) -> &str {
    let rest = base_url.split_once("://").map_or("", |(_, rest)| rest);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("")
}

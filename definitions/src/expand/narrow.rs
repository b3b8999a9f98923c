//! Narrow by default: a credential for a whole host is seen by whoever compiles it.

use super::{ExpandedRoute, Expansion, Issue};
use crate::contract::route::Action;
use crate::diagnostic::Severity;

pub const BROAD_GRANT: &str = "BROAD_GRANT";

/// Whether a route gives a credential to everything on a host.
pub fn broad_grant(route: &ExpandedRoute) -> bool {
    let allows = match route.action {
        Action::Allow => true,
        Action::Deny | Action::Hold => false,
    };
    allows && !route.inject.is_empty() && route.paths.iter().any(|path| path == "/**")
}

impl Expansion<'_> {
    /// A warning for each broad route. Who asked for it by an option of the binding is told so by
    /// the option's name: it stays visible in every compilation.
    pub(super) fn broad_grants(&self, routes: &[ExpandedRoute]) -> Vec<Issue> {
        let templates = &self.definition.compile_binding.routes;
        let asked = |route: &ExpandedRoute| {
            let template = templates.iter().find(|template| template.name == route.name);
            template.and_then(|template| template.broad_option.as_deref())
        };
        let warning = |route: &ExpandedRoute| {
            let name = &route.name;
            let whole =
                format!("route `{name}` gives the credential to all of `{}`", route.base_url);
            let (field, message) = match asked(route) {
                Some(option) => {
                    (format!("bindingConfig.{option}"), format!("{whole}, as `{option}` asks"))
                }
                None => ("bindingConfig".to_owned(), whole),
            };
            let (code, severity) = (BROAD_GRANT.to_owned(), Severity::Warning);
            Issue { code, severity, field, safe_message: message }
        };
        let is_broad = |route: &&ExpandedRoute| broad_grant(route) || asked(route).is_some();
        routes.iter().filter(is_broad).map(warning).collect()
    }
}

//! Checks a plan, indexes it, and says everything that is wrong with it.

use std::sync::Arc;

use super::build::{Builder, Built};
use super::check::Checker;
use super::{RouteIndex, RouteTable};
use crate::analysis;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::plan::{Match, Plan};

/// A diagnostic about routes of a plan, which do not know where they were written.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) diagnostic: Diagnostic,
    /// The route that it is about.
    pub(crate) route: Option<RouteIndex>,
    /// The other one, and what it has to do with the first.
    pub(crate) other: Option<(RouteIndex, String)>,
    /// The assertion that it is about.
    pub(crate) assertion: Option<usize>,
}

impl Finding {
    pub(crate) fn about_plan(diagnostic: Diagnostic) -> Self {
        Self { diagnostic, route: None, other: None, assertion: None }
    }

    pub(crate) fn about(route: RouteIndex, diagnostic: Diagnostic) -> Self {
        Self { diagnostic, route: Some(route), other: None, assertion: None }
    }

    pub(crate) fn about_assertion(at: usize, diagnostic: Diagnostic) -> Self {
        Self { diagnostic, route: None, other: None, assertion: Some(at) }
    }

    /// For whoever knows no places.
    pub(super) fn into_diagnostic(self) -> Diagnostic {
        match self.other {
            Some((_, message)) => self.diagnostic.related(message, None),
            None => self.diagnostic,
        }
    }
}

impl RouteTable {
    /// The table, if the plan is sound, and all that is to be said about it.
    pub fn build_with_warnings(plan: Arc<Plan>) -> (Option<RouteTable>, Diagnostics) {
        let (table, findings) = Self::analyse(plan);
        let found = Diagnostics(findings.into_iter().map(Finding::into_diagnostic).collect());
        (table.filter(|_| !found.has_errors()), found.sorted())
    }

    /// The table, if one can be made, and everything that was found.
    pub(crate) fn analyse(plan: Arc<Plan>) -> (Option<RouteTable>, Vec<Finding>) {
        let mut checker = Checker::new(&plan);
        let parsed = checker.routes();
        let (mut findings, methods) = (checker.findings, checker.methods);
        // Routes with errors would only lead to more of them.
        if findings.iter().any(|finding| finding.diagnostic.severity == Severity::Error) {
            return (None, findings);
        }
        let Some(built) = Builder::new(&plan, &parsed).build(methods) else {
            let message = "the plan names too many combinations of hosts, ports and paths";
            let diagnostic = Diagnostic::error("LIMIT_EXCEEDED", message);
            return (None, vec![Finding::about_plan(diagnostic)]);
        };
        findings.append(&mut analysis::findings(&plan, &parsed));
        let looks = |m: &Match| !m.headers.is_empty() || m.block.is_some();
        let uses_headers = plan.egress_routes.iter().any(|route| looks(&route.r#match));
        let Built { index, trie, decisions, .. } = built;
        (Some(RouteTable { plan, index, trie, decisions, uses_headers }), findings)
    }
}

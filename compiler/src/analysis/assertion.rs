//! Whether the assertions of a plan hold, each against all requests at once.

use super::decide::Decided;
use super::explore::Explorer;
use super::facts::Spot;
use super::outcome::Outcome;
use super::product::{Ask, Pair, Side};
use super::tree::Tree;
use super::witness::Witness;
use crate::canonical::Host;
use crate::diagnostic::Diagnostic;
use crate::pattern::HostPattern;
use crate::plan::{
    Action, Assertion, Clear, CredentialOnly, Injection, Limits, Match, Plan, Route, Timeouts,
    Unmatched, Upstream,
};
use crate::table::{Checker, Finding};

/// More are not proved one after the other.
const ASSERTIONS_MAX: usize = 1000;

/// Every assertion that does not hold, or that says nothing that can be checked.
pub(super) fn violations(tree: &Tree<'_>, findings: &mut Vec<Finding>) {
    let plan = tree.plan();
    if plan.assertions.len() > ASSERTIONS_MAX {
        let message = format!("a plan has at most {ASSERTIONS_MAX} assertions");
        findings.push(Finding::about_plan(Diagnostic::error("LIMIT_EXCEEDED", message)));
        return;
    }
    for (at, assertion) in plan.assertions.iter().enumerate() {
        let found = check(tree, assertion).into_iter();
        findings.extend(found.map(|diagnostic| Finding::about_assertion(at, diagnostic)));
    }
}

fn check(tree: &Tree<'_>, assertion: &Assertion) -> Vec<Diagnostic> {
    let set = as_plan(tree.plan(), assertion);
    let mut checker = Checker::new(&set);
    let parsed = checker.routes();
    if !checker.findings.is_empty() {
        let name = assertion.as_str();
        let bad = |finding: Finding| {
            let message = format!("assertion `{name}`: {}", finding.diagnostic.message);
            Diagnostic { message, ..finding.diagnostic }
        };
        return checker.findings.into_iter().map(bad).collect();
    }
    let marked = Tree::new(&set, &parsed);
    let pair = match assertion {
        Assertion::Never(wanted) | Assertion::Only(wanted) if wanted.ports.is_some() => {
            Pair::new(tree, &marked)
        }
        Assertion::Never(_) | Assertion::Only(_) | Assertion::CredentialOnly(_) => {
            Pair::new(tree, &marked).new_at_every_port()
        }
    };
    let mut search = Search { tree, assertion, hosts: hosts(assertion), found: None };
    for place in pair.places() {
        pair.ask(&place, &mut search);
        if search.is_done() {
            break;
        }
    }
    search.found.map(|found| violation(tree, assertion, &found)).into_iter().collect()
}

/// The set of an assertion as the only route of a plan: a deny takes all that may be in a set, an
/// allow only what surely is. Without `ports` it is about every port, as [`check`] has it asked.
fn as_plan(plan: &Plan, assertion: &Assertion) -> Plan {
    let everything = |wanted: &Match| {
        let paths =
            if wanted.paths.is_empty() { vec!["/**".to_owned()] } else { wanted.paths.clone() };
        Match { paths, allow_encoded_slash: true, allow_empty_segments: true, ..wanted.clone() }
    };
    let (action, wanted) = match assertion {
        Assertion::Never(wanted) => (Action::Deny, everything(wanted)),
        Assertion::Only(wanted) => (Action::Allow, everything(wanted)),
        Assertion::CredentialOnly(CredentialOnly { hosts, .. }) => {
            (Action::Allow, everything(&Match { hosts: hosts.clone(), ..Match::default() }))
        }
    };
    let route = Route {
        route_id: assertion.as_str().to_owned(),
        binding_id: String::new(),
        action,
        reason: None,
        r#match: wanted,
        upstream: Upstream::default(),
        inject: Vec::new(),
        clear: Clear::default(),
        limits: Limits::default(),
        usage: None,
        timeouts: Timeouts::default(),
    };
    let organization_id = plan.organization_id.clone();
    Plan {
        schema_version: plan.schema_version,
        digest: String::new(),
        organization_id,
        sandbox_profile_id: plan.sandbox_profile_id.clone(),
        version: plan.version,
        unmatched: Unmatched::Deny,
        image: None,
        egress_routes: vec![route],
        credentials: Vec::new(),
        placeholders: Vec::new(),
        artifacts: Vec::new(),
        workspace_sources: Vec::new(),
        runtime_clients: Vec::new(),
        agent_runtimes: Vec::new(),
        assertions: Vec::new(),
    }
}

fn hosts(assertion: &Assertion) -> Vec<HostPattern> {
    let texts = match assertion {
        Assertion::CredentialOnly(only) => only.hosts.as_slice(),
        Assertion::Never(_) | Assertion::Only(_) => &[],
    };
    texts.iter().filter_map(|text| HostPattern::parse(text).ok()).collect()
}

struct Search<'s, 'p> {
    tree: &'s Tree<'p>,
    assertion: &'s Assertion,
    /// Of `credentialOnly`.
    hosts: Vec<HostPattern>,
    found: Option<Found>,
}

struct Found {
    /// `None`: there is too much to go through, so nothing is proved.
    witness: Option<Witness>,
    by: Option<u32>,
}

impl Search<'_, '_> {
    fn is_violated(&self, host: &Host, old: &Decided, set: &Decided) -> bool {
        match self.assertion {
            Assertion::Never(_) => old.outcome.lets_out() && set.outcome == Outcome::Deny,
            Assertion::Only(_) => old.outcome.lets_out() && set.outcome != Outcome::Allow,
            Assertion::CredentialOnly(only) => {
                let carries = |at| self.carries(at, &only.credential);
                let named = self.hosts.iter().any(|pattern| pattern.matches(host));
                old.outcome.lets_out() && !named && old.route.is_some_and(carries)
            }
        }
    }

    fn carries(&self, at: u32, connection: &str) -> bool {
        let plan = self.tree.plan();
        let is = |credential: usize| {
            plan.credentials.get(credential).is_some_and(|c| c.connection_id == connection)
        };
        let route = self.tree.route(at);
        route.is_some_and(|r| r.inject.iter().flat_map(Injection::credentials).any(is))
    }
}

impl<'p> Ask<'p> for Search<'_, '_> {
    type Answer = ();

    fn spot(&mut self, spot: &Spot, old: Side<'_, 'p>, set: Side<'_, 'p>) -> Vec<()> {
        if self.is_done() {
            return Vec::new();
        }
        let mut explorer = Explorer::new(spot, old, set);
        let violated = |old: &Decided, set: &Decided| self.is_violated(&spot.host, old, set);
        let leaf = explorer.leaves(1, &violated).pop();
        self.found = match leaf {
            Some(leaf) => {
                Some(Found { witness: Some(leaf.facts.witness(spot)), by: leaf.old.route })
            }
            None if !explorer.is_complete() => Some(Found { witness: None, by: None }),
            None => None,
        };
        Vec::new()
    }

    fn skips(&self, _old: Side<'_, 'p>, set: Side<'_, 'p>) -> bool {
        match self.assertion {
            Assertion::Never(_) => set.state.is_empty(),
            Assertion::Only(_) | Assertion::CredentialOnly(_) => false,
        }
    }

    fn is_done(&self) -> bool {
        self.found.is_some()
    }
}

fn violation(tree: &Tree<'_>, assertion: &Assertion, found: &Found) -> Diagnostic {
    let Some(witness) = &found.witness else {
        let message = format!(
            "assertion `{}` is not proved: too many conditions meet at one path",
            assertion.as_str()
        );
        return Diagnostic::error("ASSERTION_VIOLATED", message);
    };
    let route = found.by.and_then(|at| tree.route(at));
    let by = route.map_or_else(
        || "what no route matches is passed through".to_owned(),
        |route| format!("route `{}` does", route.route_id),
    );
    let what = match assertion {
        Assertion::Never(_) => "lets out what must never be let out".to_owned(),
        Assertion::Only(_) => "lets out what is outside the set".to_owned(),
        Assertion::CredentialOnly(only) => {
            format!("takes credential `{}` to another host", only.credential)
        }
    };
    let message = format!("assertion `{}`: the profile {what}; {by}", assertion.as_str());
    Diagnostic::error("ASSERTION_VIOLATED", message).witness(witness.to_string())
}

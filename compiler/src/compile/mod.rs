//! Snapshot → Plan. Every problem of every binding is found, none hides the next, and the same
//! inputs give the same bytes.
//!
//! Each binding is checked and expanded by its definition; what all of them give is put together;
//! and then the routes are analysed as a whole. What writes bindings asks the same functions, so
//! that a write accepts only what compiles.

mod binding;
mod credential;
mod draft;
mod files;
mod finding;
mod placeholder;
mod usage;

use std::sync::Arc;

use sallygate_definitions::Registry;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::{Assertion, Plan, SCHEMA_VERSION};
use crate::profile::{Assembly, Contribution, assemble};
use crate::read::suggestion;
use crate::snapshot::{AssertionSource, Snapshot};
use crate::table::RouteTable;

use draft::Drafted;
pub use files::{Compilation, compile_files};

/// The binding id of routes that stand in a profile by themselves.
pub(crate) const POLICY_BINDING: &str = "policy";

/// What came of one compilation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// There is none when something is wrong.
    pub plan: Option<Plan>,
    /// In order: by place for what was read from files, else by binding.
    pub diagnostics: Diagnostics,
}

/// Compiles the profile of `snapshot`.
pub fn compile(snapshot: &Snapshot, registry: &Registry) -> Compiled {
    let mut compiler = Compiler {
        snapshot,
        registry,
        routes: Vec::new(),
        contributions: Vec::new(),
        placeholders: Vec::new(),
        found: Diagnostics::new(),
        sound: !snapshot.profile.broken,
    };
    let plan = compiler.compile();
    let whole = compiler.sound && !compiler.found.has_errors();
    let plan = whole.then_some(plan);
    Compiled { plan, diagnostics: compiler.found.sorted() }
}

/// What `binding` brings: everything that is wrong with it, and what would be wrong with the
/// rest of the profile because of it.
pub fn check_binding(snapshot: &Snapshot, registry: &Registry, binding: &str) -> Diagnostics {
    let mut without = snapshot.clone();
    without.profile.bindings.retain(|other| other.id != binding);
    let before = compile(&without, registry).diagnostics;
    let is_about =
        |found: &Diagnostic| found.subject.as_ref().is_some_and(|s| s.binding == binding);
    let mut found = compile(snapshot, registry).diagnostics;
    found.0.retain(|diagnostic| is_about(diagnostic) || !before.0.contains(diagnostic));
    found
}

struct Compiler<'s> {
    snapshot: &'s Snapshot,
    registry: &'s Registry,
    routes: Vec<Drafted<'s>>,
    contributions: Vec<Contribution>,
    placeholders: Vec<placeholder::Drafted>,
    found: Diagnostics,
    /// False when a problem that was reported before keeps the plan from being whole.
    sound: bool,
}

impl<'s> Compiler<'s> {
    fn compile(&mut self) -> Plan {
        let profile = &self.snapshot.profile;
        self.bindings();
        for source in &profile.routes {
            self.free_route(source);
        }
        let contributions = std::mem::take(&mut self.contributions);
        let (Assembly { artifacts, workspace_sources, runtime_clients, agent_runtimes }, found) =
            assemble(contributions);
        for diagnostic in found.0 {
            self.report(diagnostic);
        }
        self.sort();
        let (egress_routes, credentials) = self.credentials();
        let placeholders = self.placeholders(&credentials);
        let mut plan = Plan {
            schema_version: SCHEMA_VERSION,
            digest: String::new(),
            organization_id: self.snapshot.organization_id.clone(),
            sandbox_profile_id: profile.id.clone(),
            version: profile.version,
            unmatched: profile.unmatched,
            image: profile.image.clone(),
            egress_routes,
            credentials,
            placeholders,
            artifacts,
            workspace_sources,
            runtime_clients,
            agent_runtimes,
            assertions: self.assertions(),
        };
        plan.seal();
        let plan = Arc::new(plan);
        let (_, findings) = RouteTable::analyse(Arc::clone(&plan));
        for finding in findings {
            let placed = self.place(finding);
            self.found.push(placed);
        }
        Arc::unwrap_or_clone(plan)
    }

    /// The profile's assertions, in an order of their own; a credential that there is not is a
    /// mistake, not a proof.
    fn assertions(&mut self) -> Vec<Assertion> {
        let mut assertions = Vec::new();
        for AssertionSource { assertion, place } in self.assertion_sources() {
            assertions.push(assertion.clone());
            let Assertion::CredentialOnly(only) = assertion else { continue };
            let known = &self.snapshot.connections;
            if !known.contains_key(&only.credential)
                && !self.snapshot.broken.contains(&only.credential)
            {
                let message = format!("there is no connection `{}`", only.credential);
                let mut diagnostic = Diagnostic::error("UNKNOWN_CONNECTION", message);
                diagnostic.place.clone_from(place);
                let names = known.keys().map(String::as_str);
                self.found.push(with_suggestion(diagnostic, &only.credential, names));
            }
        }
        assertions
    }

    /// As they stand in the plan: the order in which they are written changes nothing.
    fn assertion_sources(&self) -> Vec<&'s AssertionSource> {
        let mut sources: Vec<&'s AssertionSource> =
            self.snapshot.profile.assertions.iter().collect();
        sources.sort_by_cached_key(|a| serde_json::to_string(&a.assertion).unwrap_or_default());
        sources
    }
}

fn with_suggestion<'n>(
    mut diagnostic: Diagnostic,
    word: &str,
    names: impl Iterator<Item = &'n str>,
) -> Diagnostic {
    diagnostic.help = suggestion(word, names).map(|near| format!("did you mean `{near}`?"));
    diagnostic
}

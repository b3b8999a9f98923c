//! Targets and policy → plans. Every problem of every profile is found, none hides the next, and
//! the same inputs give the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::canonical::BaseUrl;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::pattern::{HostPattern, PathPattern};
use crate::plan::{
    Assertion, CredentialReference, Injection, Limits, Match, Plan, Route, SCHEMA_VERSION,
    Timeouts, Upstream,
};
use crate::read::suggestion;
use crate::snapshot::{
    AssertionSource, Binding, BoundRoute, ConnectionSource, Policy, Profile, RouteSource,
    SandboxSpec, Target, Targets,
};
use crate::table::{Finding, RouteTable};

/// The binding id of routes that stand in a profile by themselves.
pub(crate) const POLICY_BINDING: &str = "policy";

/// What came of one compilation. A profile with errors has no plan.
#[derive(Clone, Debug, Default)]
pub struct Compilation {
    /// By profile.
    pub plans: BTreeMap<String, Plan>,
    pub sandboxes: Vec<SandboxSpec>,
    pub connections: Vec<ConnectionSource>,
    pub diagnostics: Diagnostics,
}

/// Compiles every profile of `policy`.
pub fn compile(targets: &Targets, policy: &Policy) -> Compilation {
    let mut compiled = Compilation {
        connections: targets.connections.values().map(|c| c.source.clone()).collect(),
        ..Compilation::default()
    };
    for (id, profile) in &policy.profiles {
        let (routes, found, sound) = (Vec::new(), Diagnostics::new(), profile.sound);
        let mut compiler = ProfileCompiler { targets, routes, found, sound };
        let plan = compiler.compile(id, profile);
        if compiler.sound && !compiler.found.has_errors() {
            compiled.plans.insert(id.clone(), plan);
        }
        compiled.diagnostics.append(compiler.found);
    }
    sandboxes(policy, &mut compiled);
    compiled.diagnostics = compiled.diagnostics.sorted();
    compiled
}

fn sandboxes(policy: &Policy, compiled: &mut Compilation) {
    let mut known: BTreeMap<&str, &Place> = BTreeMap::new();
    for sandbox in &policy.sandboxes {
        let spec = &sandbox.spec;
        if let Some(first) = known.get(spec.id.as_str()) {
            let message = format!("two sandboxes have the id `{}`", spec.id);
            let diagnostic = Diagnostic::error("DUPLICATE_SANDBOX", message);
            let place = Some((*first).clone());
            let diagnostic = diagnostic.at(sandbox.place.clone()).related("the first", place);
            compiled.diagnostics.push(diagnostic);
            continue;
        }
        known.insert(&spec.id, &sandbox.place);
        if !policy.profiles.contains_key(&spec.profile) {
            let message =
                format!("sandbox `{}` has an unknown profile `{}`", spec.id, spec.profile);
            let diagnostic = Diagnostic::error("UNKNOWN_PROFILE", message);
            let names = policy.profiles.keys().map(String::as_str);
            let diagnostic = diagnostic.at(sandbox.place.clone());
            compiled.diagnostics.push(with_suggestion(diagnostic, &spec.profile, names));
            continue;
        }
        compiled.sandboxes.push(spec.clone());
    }
    compiled.sandboxes.sort_by(|a, b| a.id.cmp(&b.id));
}

/// A route with what the plan does not say: where it was written, and by which connection it
/// gets its credential.
struct Drafted<'s> {
    route: Route,
    place: &'s Place,
    connection: Option<(&'s str, &'s Target)>,
    sound: bool,
}

struct ProfileCompiler<'s> {
    targets: &'s Targets,
    routes: Vec<Drafted<'s>>,
    found: Diagnostics,
    /// False when a problem that was reported before keeps the plan from being whole.
    sound: bool,
}

impl<'s> ProfileCompiler<'s> {
    fn compile(&mut self, id: &str, profile: &'s Profile) -> Plan {
        self.bindings(profile);
        for source in &profile.routes {
            self.free_route(source);
        }
        self.sort();
        let (routes, credentials) = self.credentials();
        let mut plan = Plan {
            schema_version: SCHEMA_VERSION,
            digest: String::new(),
            organization_id: "local".to_owned(),
            sandbox_profile_id: id.to_owned(),
            version: 1,
            unmatched: profile.unmatched,
            image: None,
            egress_routes: routes,
            credentials,
            artifacts: Vec::new(),
            workspace_sources: Vec::new(),
            runtime_clients: Vec::new(),
            agent_runtimes: Vec::new(),
            assertions: self.assertions(profile),
        };
        plan.seal();
        let plan = Arc::new(plan);
        let (_, findings) = RouteTable::analyse(Arc::clone(&plan));
        for finding in findings {
            self.found.push(self.place(profile, finding));
        }
        Arc::unwrap_or_clone(plan)
    }

    /// The profile's assertions; a credential that there is not is a mistake, not a proof.
    fn assertions(&mut self, profile: &Profile) -> Vec<Assertion> {
        for AssertionSource { assertion, place } in &profile.assertions {
            let Assertion::CredentialOnly(only) = assertion else { continue };
            let known = &self.targets.connections;
            if !known.contains_key(&only.credential)
                && !self.targets.broken.contains(&only.credential)
            {
                let message = format!("there is no connection `{}`", only.credential);
                let diagnostic = Diagnostic::error("UNKNOWN_CONNECTION", message);
                let names = known.keys().map(String::as_str);
                let diagnostic = diagnostic.at(place.clone());
                self.found.push(with_suggestion(diagnostic, &only.credential, names));
            }
        }
        profile.assertions.iter().map(|source| source.assertion.clone()).collect()
    }

    fn bindings(&mut self, profile: &'s Profile) {
        let mut bindings: Vec<&Binding> = profile.bindings.iter().collect();
        bindings.sort_by(|a, b| (&a.id, a.place.span.start).cmp(&(&b.id, b.place.span.start)));
        for same in bindings.chunk_by(|a, b| a.id == b.id) {
            let mut same = same.iter();
            let Some(first) = same.next() else { continue };
            for again in same {
                let message = format!("two bindings have the id `{}`", again.id);
                let diagnostic = Diagnostic::error("DUPLICATE_BINDING", message);
                let diagnostic = diagnostic.at(again.place.clone());
                self.found.push(diagnostic.related("the first", Some(first.place.clone())));
            }
            self.binding(first);
        }
    }

    fn binding(&mut self, binding: &'s Binding) {
        let Some(connection) = self.targets.connections.get(&binding.connection) else {
            if self.targets.broken.contains(&binding.connection) {
                self.sound = false;
                return;
            }
            let message = format!(
                "binding `{}` uses a connection `{}` that there is not",
                binding.id, binding.connection
            );
            let diagnostic = Diagnostic::error("UNKNOWN_CONNECTION", message);
            let names = self.targets.connections.keys().map(String::as_str);
            let diagnostic = diagnostic.at(binding.connection_place.clone());
            self.found.push(with_suggestion(diagnostic, &binding.connection, names));
            return;
        };
        let Some(target) = self.targets.targets.get(&connection.source.target) else {
            // Whoever read the connection reported it.
            self.sound = false;
            return;
        };
        let bound = Bound { binding, connection: &binding.connection, target };
        match &binding.routes {
            Some(routes) if routes.is_empty() => {
                let message = format!("binding `{}` has no routes", binding.id);
                self.found.push(Diagnostic::error("BAD_VALUE", message).at(binding.place.clone()));
            }
            Some(routes) => routes.iter().for_each(|route| self.bound_route(&bound, route)),
            None if target.templates.is_empty() => {
                let message = format!("binding `{}` needs `routes`", binding.id);
                let help = format!("`{}` has no routes of its own", target.definition);
                let diagnostic = Diagnostic::error("MISSING_FIELD", message);
                self.found.push(diagnostic.at(binding.place.clone()).help(help));
            }
            None => {
                for template in &target.templates {
                    self.template(&bound, &template.name, &binding.place);
                }
            }
        }
    }

    fn bound_route(&mut self, bound: &Bound<'s>, route: &'s BoundRoute) {
        match route {
            BoundRoute::Named(name, place) => self.template(bound, name, place),
            BoundRoute::Inline(source) => {
                let base = &bound.target.base_url;
                let paths = source.paths.iter().map(|path| path.under(&base.path));
                let wanted = Match { paths: texts(paths), ..matching(source) };
                let effect = (source.limits.clone(), source.timeouts);
                let mut route = bound.route(&source.name, wanted, effect);
                route.action = source.action;
                route.reason.clone_from(&source.reason);
                let deny = source.action == crate::plan::Action::Deny;
                let connection = (!deny).then_some((bound.connection, bound.target));
                let (place, sound) = (&source.place, source.sound);
                self.routes.push(Drafted { route, place, connection, sound });
            }
        }
    }

    fn template(&mut self, bound: &Bound<'s>, name: &str, place: &'s Place) {
        let templates = &bound.target.templates;
        let Some(template) = templates.iter().find(|template| template.name == name) else {
            let message = format!("`{}` has no route `{name}`", bound.target.definition);
            let diagnostic = Diagnostic::error("BAD_VALUE", message).at(place.clone());
            let names = templates.iter().map(|template| template.name.as_str());
            self.found.push(with_suggestion(diagnostic, name, names));
            return;
        };
        let base = &bound.target.base_url;
        let paths = template.paths.iter().filter_map(|path| PathPattern::parse(path).ok());
        let wanted = Match {
            paths: texts(paths.map(|path| path.under(&base.path))),
            methods: template.methods.clone(),
            ..Match::default()
        };
        let limits = Limits {
            max_request_bytes: template.limits.max_request_bytes,
            requests_per_minute: template.limits.requests_per_minute,
            concurrency: template.limits.concurrency,
            ..Limits::default()
        };
        let route = bound.route(name, wanted, (limits, Timeouts::default()));
        let connection = Some((bound.connection, bound.target));
        self.routes.push(Drafted { route, place, connection, sound: true });
    }

    fn free_route(&mut self, source: &'s RouteSource) {
        let mut upstream = Upstream::default();
        if let Some((name, place)) = &source.target {
            match self.targets.targets.get(name) {
                // Where the request goes is what the route's hosts say.
                Some(target) => upstream = Upstream { base_url: None, ..target.upstream.clone() },
                None if self.targets.broken.contains(name) => self.sound = false,
                None => {
                    let message = format!("there is no target `{name}`");
                    let diagnostic = Diagnostic::error("UNKNOWN_TARGET", message).at(place.clone());
                    let names = self.targets.targets.keys().map(String::as_str);
                    self.found.push(with_suggestion(diagnostic, name, names));
                }
            }
        }
        let route = Route {
            route_id: format!("{POLICY_BINDING}/{}", source.name),
            binding_id: POLICY_BINDING.to_owned(),
            action: source.action,
            reason: source.reason.clone(),
            r#match: matching(source),
            upstream,
            inject: Vec::new(),
            clear: crate::plan::Clear::default(),
            limits: source.limits.clone(),
            timeouts: source.timeouts,
        };
        let (place, sound) = (&source.place, source.sound);
        self.routes.push(Drafted { route, place, connection: None, sound });
    }

    /// Routes by id; of several with one id only the first stays. Those that were reported while
    /// they were read go, so that nothing is reported twice.
    fn sort(&mut self) {
        let key = |drafted: &Drafted<'_>| drafted.place.span.start;
        let by_id = |a: &Drafted<'_>, b: &Drafted<'_>| {
            a.route.route_id.cmp(&b.route.route_id).then(key(a).cmp(&key(b)))
        };
        self.routes.sort_by(by_id);
        let found = &mut self.found;
        self.routes.dedup_by(|again, first| {
            let same = again.route.route_id == first.route.route_id;
            if same {
                let message = format!("two routes have the id `{}`", again.route.route_id);
                let diagnostic = Diagnostic::error("DUPLICATE_ROUTE", message);
                let diagnostic = diagnostic.at(again.place.clone());
                found.push(diagnostic.related("the first", Some(first.place.clone())));
            }
            same
        });
        self.routes.retain(|drafted| drafted.sound);
    }

    /// The routes with their injections, and the credential table that these refer to.
    fn credentials(&self) -> (Vec<Route>, Vec<CredentialReference>) {
        let injecting = |drafted: &Drafted<'s>| {
            drafted.connection.filter(|(_, target)| target.inject.is_some()).map(|(id, _)| id)
        };
        let mut ids: Vec<&str> = self.routes.iter().filter_map(injecting).collect();
        ids.sort_unstable();
        ids.dedup();
        let inject = |drafted: &Drafted<'s>| {
            let (id, target) = drafted.connection?;
            let inject = target.inject.clone()?;
            let credential = ids.binary_search(&id).ok()?;
            Some(Injection {
                kind: inject.kind,
                header: inject.header,
                template: inject.template,
                parameter: inject.parameter,
                username: inject.username,
                credential,
            })
        };
        let route = |drafted: &Drafted<'s>| {
            let inject = inject(drafted).into_iter().collect();
            Route { inject, ..drafted.route.clone() }
        };
        let routes = self.routes.iter().map(route).collect();
        (routes, ids.iter().map(|id| reference(id)).collect())
    }

    fn place(&self, profile: &Profile, finding: Finding) -> Diagnostic {
        let place = |index: crate::table::RouteIndex| {
            let at = usize::try_from(index.0).ok()?;
            self.routes.get(at).map(|drafted| drafted.place.clone())
        };
        let mut diagnostic = finding.diagnostic;
        let assertion = finding.assertion.and_then(|at| profile.assertions.get(at));
        let assertion = assertion.map(|assertion| assertion.place.clone());
        diagnostic.place = assertion.or_else(|| finding.route.and_then(place));
        match finding.other {
            Some((route, message)) => diagnostic.related(message, place(route)),
            None => diagnostic,
        }
    }
}

/// A binding with what it is bound to.
struct Bound<'s> {
    binding: &'s Binding,
    connection: &'s str,
    target: &'s Target,
}

impl Bound<'_> {
    /// An allowing route to the target's origin.
    fn route(&self, name: &str, wanted: Match, (limits, timeouts): (Limits, Timeouts)) -> Route {
        let BaseUrl { scheme, authority, .. } = &self.target.base_url;
        let host = HostPattern::Exact(authority.host.as_str().to_owned());
        let ports = (authority.port != scheme.default_port()).then(|| vec![authority.port]);
        let (scheme, hosts) = (*scheme, vec![host.to_string()]);
        Route {
            route_id: format!("{}/{name}", self.binding.id),
            binding_id: self.binding.id.clone(),
            action: crate::plan::Action::Allow,
            reason: None,
            r#match: Match { scheme, hosts, ports, ..wanted },
            upstream: self.target.upstream.clone(),
            inject: Vec::new(),
            clear: self.target.clear.clone(),
            limits,
            timeouts,
        }
    }
}

fn reference(connection: &str) -> CredentialReference {
    CredentialReference {
        connection_id: connection.to_owned(),
        secret_type: "value".to_owned(),
        slot_key: None,
        resolver_key: None,
        scope: serde_json::Map::new(),
    }
}

fn matching(source: &RouteSource) -> Match {
    Match {
        scheme: source.scheme,
        hosts: source.hosts.iter().map(ToString::to_string).collect(),
        ports: source.ports.clone(),
        paths: texts(source.paths.iter().cloned()),
        methods: source.methods.clone(),
        headers: source.headers.clone(),
        query: source.query.clone(),
        allow_encoded_slash: source.allow_encoded_slash,
        allow_empty_segments: source.allow_empty_segments,
        block: source.block.clone(),
    }
}

fn texts(paths: impl Iterator<Item = PathPattern>) -> Vec<String> {
    let mut texts: Vec<String> = paths.map(|path| path.to_string()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn with_suggestion<'n>(
    mut diagnostic: Diagnostic,
    word: &str,
    names: impl Iterator<Item = &'n str>,
) -> Diagnostic {
    diagnostic.help = suggestion(word, names).map(|near| format!("did you mean `{near}`?"));
    diagnostic
}

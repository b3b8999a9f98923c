//! Routes while they are still known by where they were written and what they present.

use sallygate_definitions::Definition;
use sallygate_definitions::contract::route as contract;
use sallygate_definitions::expand::{ExpandedOrigin, ExpandedRoute, ExpandedUsage};

use super::credential::{Presented, cleared};
use super::{Compiler, POLICY_BINDING, usage, with_suggestion};
use crate::block::{self, Block, GitBlock, GraphqlBlock, GrpcBlock, McpBlock};
use crate::canonical::base_url;
use crate::diagnostic::{Diagnostic, Place, Subject};
use crate::pattern::{HostPattern, PathPattern};
use crate::plan::{Action, Clear, Condition, Limits, Match, Route, Timeouts, Upstream};
use crate::snapshot::{
    Binding, BoundRoute, Connection, RouteName, RouteSource, Target, bad_id, is_id,
};

/// A route with what the plan does not say: where it was written, and what it presents.
pub(super) struct Drafted<'s> {
    pub(super) route: Route,
    pub(super) inject: Vec<Presented>,
    pub(super) subject: Subject,
    pub(super) place: Option<&'s Place>,
    /// Known by its name only: what is wrong with it was reported.
    pub(super) broken: bool,
}

/// A binding with what it is bound to.
pub(super) struct Bound<'s> {
    pub(super) binding: &'s Binding,
    pub(super) connection: &'s Connection,
    pub(super) target: &'s Target,
    pub(super) definition: &'s Definition,
    pub(super) origins: Vec<ExpandedOrigin>,
    pub(super) usage: Option<ExpandedUsage>,
}

impl<'s> Compiler<'s> {
    /// The routes of a binding: those that it asks for, or all that its definition gives.
    pub(super) fn routes_of(&mut self, bound: &Bound<'s>, given: &[ExpandedRoute]) {
        let binding = bound.binding;
        let definition = &bound.target.definition;
        match &binding.routes {
            Some(routes) if routes.is_empty() => {
                let message = format!("binding `{}` has no routes", binding.id);
                self.refuse(binding, "", "BAD_VALUE", message);
            }
            Some(routes) => {
                for route in routes {
                    match route {
                        BoundRoute::Named(name) => self.named(bound, given, name),
                        BoundRoute::Inline(source) => self.inline(bound, source),
                    }
                }
            }
            None if bound.definition.compile_binding.routes.is_empty() => {
                let message = format!("binding `{}` needs `routes`", binding.id);
                let help = format!("`{definition}` has no routes of its own");
                let diagnostic = Diagnostic::error("MISSING_FIELD", message).help(help);
                self.report(diagnostic.about(&binding.id, ""));
            }
            None => {
                for route in given {
                    self.given(bound, route, binding.places.find(""));
                }
            }
        }
    }

    /// A route of the definition that the binding asks for by its name.
    fn named(&mut self, bound: &Bound<'s>, given: &[ExpandedRoute], wanted: &'s RouteName) {
        let RouteName { name, place } = wanted;
        if let Some(route) = given.iter().find(|route| route.name == *name) {
            return self.given(bound, route, place.as_ref());
        }
        let templates = &bound.definition.compile_binding.routes;
        let definition = &bound.target.definition;
        let mut diagnostic = if templates.iter().any(|template| template.name == *name) {
            let message = format!("`{definition}` gives no route `{name}` for this configuration");
            let mut names: Vec<&str> = given.iter().map(|route| route.name.as_str()).collect();
            names.sort_unstable();
            let help = format!("it gives: {}", names.join(", "));
            Diagnostic::error("BAD_VALUE", message).help(help)
        } else {
            let message = format!("`{definition}` has no route `{name}`");
            let names = templates.iter().map(|template| template.name.as_str());
            with_suggestion(Diagnostic::error("BAD_VALUE", message), name, names)
        };
        diagnostic.place.clone_from(place);
        self.report(diagnostic.about(&bound.binding.id, "routes"));
    }

    fn given(&mut self, bound: &Bound<'s>, given: &ExpandedRoute, place: Option<&'s Place>) {
        let Some(origin) = bound.origins.iter().find(|origin| origin.name == given.origin) else {
            return;
        };
        let block = match given.protocol.as_ref().map(block).transpose() {
            Ok(block) => block,
            Err(message) => {
                let message = format!("route `{}`: {message}", given.name);
                return self.refuse(bound.binding, "", "INVALID_DEFINITION", message);
            }
        };
        let conditions = |list: &[contract::Condition]| sorted(list.iter().map(condition));
        let wanted = Match {
            paths: sorted(given.paths.iter().map(|path| canonical_path(path, ""))),
            methods: given.methods.as_ref().map(|methods| sorted(methods.iter().cloned())),
            headers: conditions(&given.headers),
            query: conditions(&given.query),
            allow_encoded_slash: given.allow_encoded_slash,
            allow_empty_segments: given.allow_empty_segments,
            block,
            ..Match::default()
        };
        let limits = Limits {
            max_request_bytes: given.limits.max_request_bytes,
            requests_per_minute: given.limits.requests_per_minute,
            concurrency: given.limits.concurrency,
            ..Limits::default()
        };
        let written = Written {
            name: &given.name,
            action: action(given.action),
            reason: given.reason.clone(),
            wanted,
            limits,
            usage: given.usage,
            timeouts: Timeouts::default(),
        };
        self.bound_route(bound, origin, written, place);
    }

    fn inline(&mut self, bound: &Bound<'s>, source: &'s RouteSource) {
        self.name(source, &bound.binding.id);
        let Some(origin) = self.origin(bound, source) else { return };
        let below = base_url(&origin.base_url).map_or_else(|_| String::new(), |url| url.path);
        let paths = source.r#match.paths.iter().map(|path| canonical_path(path, &below));
        let wanted = Match { paths: sorted(paths), ..source.r#match.clone() };
        let written = Written {
            name: &source.name,
            action: source.action,
            reason: source.reason.clone(),
            wanted,
            limits: source.limits.clone(),
            // What is not the definition's own may be anything, and so may what it costs.
            usage: true,
            timeouts: source.timeouts,
        };
        let place = source.places.find("");
        self.bound_route(bound, origin, written, place);
        if let Some(drafted) = self.routes.last_mut() {
            drafted.broken = source.broken;
        }
    }

    /// A name is part of the route's id, which stands in records and metrics as it is.
    fn name(&mut self, source: &RouteSource, binding: &str) {
        if !source.broken && !is_id(&source.name) {
            let diagnostic = Diagnostic::error("BAD_VALUE", bad_id(&source.name));
            self.report(diagnostic.about(binding, "routes"));
        }
    }

    /// The origin that a route of the binding's own is at.
    fn origin<'b>(
        &mut self,
        bound: &'b Bound<'s>,
        source: &RouteSource,
    ) -> Option<&'b ExpandedOrigin> {
        let names = || bound.origins.iter().map(|origin| origin.name.as_str());
        let (code, message) = match (&source.origin, bound.origins.as_slice()) {
            (None, [only]) => return Some(only),
            (None, several) => {
                let message = format!(
                    "route `{}` needs an `origin`: `{}` has {}",
                    source.name,
                    bound.target.definition,
                    several.len()
                );
                ("MISSING_FIELD", message)
            }
            (Some(name), all) => match all.iter().find(|origin| origin.name == *name) {
                Some(origin) => return Some(origin),
                None => {
                    let definition = &bound.target.definition;
                    ("BAD_VALUE", format!("`{definition}` has no origin `{name}`"))
                }
            },
        };
        let list: Vec<&str> = names().collect();
        let help = format!("origins: {}", list.join(", "));
        let mut diagnostic = Diagnostic::error(code, message).help(help);
        diagnostic.place = source.places.find("origin").cloned();
        let field = format!("routes.{}", source.name);
        self.report(diagnostic.about(&bound.binding.id, field));
        None
    }

    /// A route to an origin of the target, with its credential.
    fn bound_route(
        &mut self,
        bound: &Bound<'s>,
        origin: &ExpandedOrigin,
        written: Written<'_>,
        place: Option<&'s Place>,
    ) {
        let binding = bound.binding;
        let url = match base_url(&origin.base_url) {
            Ok(url) => url,
            Err(error) => {
                let message = format!("base URL `{}`: {error}", origin.base_url);
                return self.refuse(binding, "targetConfig", "INVALID_TARGET_CONFIG", message);
            }
        };
        let host = HostPattern::Exact(url.authority.host.as_str().to_owned());
        let port = url.authority.port;
        let wanted = Match {
            scheme: url.scheme,
            hosts: vec![host.to_string()],
            ports: (port != url.scheme.default_port()).then(|| vec![port]),
            ..written.wanted
        };
        let inject = match written.action {
            Action::Allow | Action::Hold => self.injections(bound, origin),
            Action::Deny | Action::Tunnel => Vec::new(),
        };
        let counted = bound
            .usage
            .as_ref()
            .filter(|_| written.usage && matches!(written.action, Action::Allow | Action::Hold));
        let budget = counted.and_then(|counted| counted.budget.as_ref()).map(usage::spend);
        let limits = Limits { spend: written.limits.spend.clone().or(budget), ..written.limits };
        let route = Route {
            route_id: format!("{}/{}", binding.id, written.name),
            binding_id: binding.id.clone(),
            action: written.action,
            reason: written.reason,
            r#match: wanted,
            upstream: Upstream {
                base_url: Some(url.to_string()),
                ..upstream(bound.target, &bound.connection.target)
            },
            inject: Vec::new(),
            clear: cleared(bound.target, origin),
            limits: self.limited(written.action, limits),
            usage: counted.map(|counted| usage::usage(counted, &binding.connection)),
            timeouts: written.timeouts,
        };
        let subject =
            Subject { binding: binding.id.clone(), field: format!("routes.{}", written.name) };
        self.routes.push(Drafted { route, inject, subject, place, broken: false });
    }

    /// A route of the profile's own, without a credential.
    pub(super) fn free_route(&mut self, source: &'s RouteSource) {
        let snapshot = self.snapshot;
        let mut reached = Upstream::default();
        let subject = Subject {
            binding: POLICY_BINDING.to_owned(),
            field: format!("routes.{}", source.name),
        };
        if let Some(name) = &source.target {
            match snapshot.targets.get(name) {
                // Where the request goes is what the route's hosts say.
                Some(target) => reached = upstream(target, name),
                None if snapshot.broken.contains(name) => self.sound = false,
                None => {
                    let message = format!("there is no target `{name}`");
                    let mut diagnostic = Diagnostic::error("UNKNOWN_TARGET", message);
                    diagnostic.place = source.places.find("target").cloned();
                    let names = snapshot.targets.keys().map(String::as_str);
                    let diagnostic = with_suggestion(diagnostic, name, names);
                    self.report(diagnostic.about(&subject.binding, &subject.field));
                }
            }
        }
        self.name(source, POLICY_BINDING);
        let paths = source.r#match.paths.iter().map(|path| canonical_path(path, ""));
        let route = Route {
            route_id: format!("{POLICY_BINDING}/{}", source.name),
            binding_id: POLICY_BINDING.to_owned(),
            action: source.action,
            reason: source.reason.clone(),
            r#match: Match { paths: sorted(paths), ..source.r#match.clone() },
            upstream: reached,
            inject: Vec::new(),
            clear: Clear::default(),
            limits: self.limited(source.action, source.limits.clone()),
            usage: None,
            timeouts: source.timeouts,
        };
        let (place, broken) = (source.places.find(""), source.broken);
        self.routes.push(Drafted { route, inject: Vec::new(), subject, place, broken });
    }

    /// The limits of a route, with the profile's where it says nothing.
    fn limited(&self, action: Action, own: Limits) -> Limits {
        match action {
            Action::Allow | Action::Hold => own.or(&self.snapshot.profile.limits),
            Action::Deny | Action::Tunnel => own,
        }
    }

    /// Routes by id; of several with one id only the first stays. Those that were reported while
    /// they were read go, so that nothing is reported twice.
    pub(super) fn sort(&mut self) {
        self.routes.sort_by_cached_key(|drafted| {
            let start = drafted.place.map(|place| place.span.start);
            let rest = match start {
                Some(_) => String::new(),
                None => serde_json::to_string(&drafted.route).unwrap_or_default(),
            };
            (drafted.route.route_id.clone(), start, rest)
        });
        let found = &mut self.found;
        self.routes.dedup_by(|again, first| {
            let same = again.route.route_id == first.route.route_id;
            if same {
                let message = format!("two routes have the id `{}`", again.route.route_id);
                let mut diagnostic = Diagnostic::error("DUPLICATE_ROUTE", message);
                diagnostic.place = again.place.cloned();
                diagnostic.subject = Some(again.subject.clone());
                found.push(diagnostic.related("the first", first.place.cloned()));
            }
            same
        });
        self.routes.retain(|drafted| !drafted.broken);
    }
}

/// What a route says of itself, whoever wrote it.
struct Written<'w> {
    name: &'w str,
    action: Action,
    reason: Option<String>,
    wanted: Match,
    limits: Limits,
    usage: bool,
    timeouts: Timeouts,
}

fn upstream(target: &Target, key: &str) -> Upstream {
    let settings = &target.upstream;
    let mut allow_ranges = settings.allow_ranges.clone();
    allow_ranges.sort_unstable();
    allow_ranges.dedup();
    Upstream {
        base_url: None,
        target: Some(key.to_owned()),
        ca_pem: settings.ca_pem.clone(),
        addresses: settings.addresses.clone(),
        allow_ranges,
    }
}

/// The path below `below` in its one form. One that has none stays as it is, for the table to
/// refuse it.
fn canonical_path(text: &str, below: &str) -> String {
    match PathPattern::parse(text) {
        Ok(path) => path.under(below).to_string(),
        Err(_) => text.to_owned(),
    }
}

fn action(action: contract::Action) -> Action {
    match action {
        contract::Action::Allow => Action::Allow,
        contract::Action::Deny => Action::Deny,
        contract::Action::Hold => Action::Hold,
    }
}

fn condition(condition: &contract::Condition) -> Condition {
    let contract::Condition { name, equals, present } = condition.clone();
    Condition { name, equals, present }
}

/// A definition's look into a protocol, as the table has it.
fn block(protocol: &contract::Protocol) -> Result<Block, &'static str> {
    let some = |list: &[String]| (!list.is_empty()).then(|| sorted(list.iter().cloned()));
    Ok(match protocol {
        contract::Protocol::Git { service, refs, update } => Block::Git(GitBlock {
            service: match service {
                Some(contract::GitService::UploadPack) => block::GitService::UploadPack,
                Some(contract::GitService::ReceivePack) => block::GitService::ReceivePack,
                None => return Err("`git` needs its `service`"),
            },
            refs: some(refs),
            update: (!update.is_empty()).then(|| sorted(update.iter().map(git_update))),
        }),
        contract::Protocol::Graphql { operation, fields } => Block::Graphql(GraphqlBlock {
            operation: operation.map(|operation| {
                vec![match operation {
                    contract::GraphqlOperation::Query => block::Operation::Query,
                    contract::GraphqlOperation::Mutation => block::Operation::Mutation,
                }]
            }),
            fields: some(fields),
        }),
        contract::Protocol::Mcp { methods, tools } => {
            Block::Mcp(McpBlock { method: some(methods), tools: some(tools) })
        }
        contract::Protocol::Grpc { service, method } => Block::Grpc(GrpcBlock {
            service: Some(vec![service.clone()]),
            method: method.clone().map(|m| vec![m]),
        }),
    })
}

fn git_update(update: &contract::GitUpdate) -> block::GitUpdate {
    match update {
        contract::GitUpdate::Create => block::GitUpdate::Create,
        contract::GitUpdate::Update => block::GitUpdate::Update,
        contract::GitUpdate::Delete => block::GitUpdate::Delete,
        contract::GitUpdate::Force => block::GitUpdate::Force,
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

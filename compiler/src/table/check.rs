//! Reads the routes of a plan strictly: whatever would be ignored, or could never match, is an
//! error here and not a surprise later.

use std::collections::HashSet;

use foldhash::fast::FixedState;
use sallygate_definitions::sigv4::Scope;

use super::analyse::Finding;
use super::decide::{ANY, METHODS_MAX};
use super::{RouteIndex, is_searched};
use crate::block::Problem;
use crate::canonical::{self, Scheme};
use crate::diagnostic::Diagnostic;
use crate::pattern::{HostPattern, PathPattern};
use crate::plan::{
    Action, Condition, Injection, InjectionKind, Limits, Plan, Route, Signing, credential_segment,
};

pub(super) const ROUTES_MAX: usize = 1_000_000;

/// The largest integer that has one canonical form: RFC 8785 writes numbers as doubles.
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Headers that belong to the connection or to the proxy: no credential goes there.
const HEADERS_RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A route whose patterns have been read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) ports: Vec<u16>,
    pub(crate) ports_listed: bool,
    pub(crate) paths: Vec<PathPattern>,
    pub(crate) methods: u64,
    pub(crate) conditions: usize,
}

/// Collects what is wrong with the routes of one plan.
#[derive(Debug)]
pub(crate) struct Checker<'p> {
    plan: &'p Plan,
    pub(crate) methods: Vec<Box<str>>,
    pub(crate) findings: Vec<Finding>,
    ids: HashSet<&'p str, FixedState>,
}

impl<'p> Checker<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Self {
        Self { plan, methods: Vec::new(), findings: Vec::new(), ids: HashSet::default() }
    }

    pub(crate) fn routes(&mut self) -> Vec<Parsed> {
        let routes = &self.plan.egress_routes;
        if routes.len() > ROUTES_MAX {
            let message = format!("a plan has at most {ROUTES_MAX} routes, not {}", routes.len());
            self.findings.push(Finding::about_plan(Diagnostic::error("LIMIT_EXCEEDED", message)));
            return Vec::new();
        }
        routes.iter().zip(0u32..).map(|(route, at)| self.route(route, RouteIndex(at))).collect()
    }

    fn route(&mut self, route: &'p Route, index: RouteIndex) -> Parsed {
        if !self.ids.insert(&route.route_id) {
            self.refuse(index, "DUPLICATE_ROUTE", "another route has the same id");
        }
        let wanted = &route.r#match;
        let hosts = self.hosts(route, index);
        let paths = self.paths(route, index);
        let methods = self.methods(wanted.methods.as_deref(), index);
        if wanted.ports.as_ref().is_some_and(|ports| ports.is_empty() || ports.contains(&0)) {
            self.refuse(index, "BAD_VALUE", "`ports` lists at least one port, from 1 to 65535");
        }
        for condition in &wanted.headers {
            self.condition(condition, index);
            if !is_token(&condition.name) || condition.name.bytes().any(|b| b.is_ascii_uppercase())
            {
                let message = format!("`{}` is not a lower-case header name", condition.name);
                self.refuse(index, "BAD_VALUE", message);
            }
        }
        wanted.query.iter().for_each(|condition| self.condition(condition, index));
        self.action(route, index);
        self.block(route, index);
        let mut places = HashSet::new();
        for injection in &route.inject {
            self.injection(route, injection, index);
            if !places.insert(injection.place()) {
                self.refuse(index, "BAD_VALUE", "two credentials go into one place");
            }
        }
        let ports = wanted.ports.clone();
        Parsed {
            hosts,
            ports_listed: ports.is_some(),
            ports: ports.unwrap_or_else(|| vec![wanted.scheme.default_port()]),
            paths,
            methods,
            conditions: wanted.headers.len()
                + wanted.query.len()
                + usize::from(wanted.block.is_some()),
        }
    }

    fn hosts(&mut self, route: &Route, index: RouteIndex) -> Vec<HostPattern> {
        let mut hosts = Vec::with_capacity(route.r#match.hosts.len());
        if route.r#match.hosts.is_empty() {
            self.refuse(index, "BAD_VALUE", "`hosts` lists at least one host");
        }
        for text in &route.r#match.hosts {
            match HostPattern::parse(text) {
                Ok(HostPattern::Any) if !route.inject.is_empty() => {
                    self.refuse(index, "WILDCARD_CREDENTIAL", "`*` never goes with a credential");
                }
                Ok(pattern) => hosts.push(pattern),
                Err(error) => {
                    let message = format!("host `{text}`: {error}");
                    self.refuse(index, "HOST_NOT_CANONICAL", message);
                }
            }
        }
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    fn paths(&mut self, route: &Route, index: RouteIndex) -> Vec<PathPattern> {
        let wanted = &route.r#match;
        let searched = is_searched(route.action) && route.action != Action::Deny;
        let mut paths = Vec::with_capacity(wanted.paths.len());
        if wanted.paths.is_empty() {
            self.refuse(index, "BAD_VALUE", "`paths` lists at least one path");
        }
        for text in &wanted.paths {
            match PathPattern::parse(text) {
                Ok(path) => {
                    if let Some(field) = missing_permission(route, &path).filter(|_| searched) {
                        let message = format!("path `{text}` never matches without `{field}`");
                        self.refuse(index, "BAD_VALUE", message);
                    }
                    paths.push(path);
                }
                Err(error) => {
                    let message = format!("path `{text}`: {error}");
                    self.refuse(index, "PATH_NOT_CANONICAL", message);
                }
            }
        }
        paths
    }

    fn methods(&mut self, methods: Option<&[String]>, index: RouteIndex) -> u64 {
        let Some(methods) = methods else { return ANY };
        if methods.is_empty() {
            self.refuse(index, "EMPTY_METHODS", "`methods` lists at least one method");
        }
        let mut bits = 0;
        for method in methods {
            if !is_token(method) {
                self.refuse(index, "BAD_VALUE", format!("`{method}` is not a method"));
            }
            bits |= self.method_bit(method, index);
        }
        bits
    }

    fn method_bit(&mut self, method: &str, index: RouteIndex) -> u64 {
        let known = self.methods.iter().position(|known| **known == *method);
        let bit = known.unwrap_or(self.methods.len());
        if bit >= METHODS_MAX {
            let message = format!("a plan lists at most {METHODS_MAX} different methods");
            self.refuse(index, "LIMIT_EXCEEDED", message);
            return 0;
        }
        if known.is_none() {
            self.methods.push(method.into());
        }
        1 << bit
    }

    fn condition(&mut self, condition: &Condition, index: RouteIndex) {
        if condition.name.is_empty() || condition.equals.is_some() == condition.present.is_some() {
            let message = "a condition has a `name` and either `equals` or `present`";
            self.refuse(index, "BAD_VALUE", message);
        }
    }

    fn action(&mut self, route: &Route, index: RouteIndex) {
        let wanted = &route.r#match;
        let carries = !route.inject.is_empty();
        match route.action {
            Action::Allow | Action::Hold => {}
            Action::Deny if carries => {
                self.refuse(index, "BAD_VALUE", "a deny carries no credential");
            }
            Action::Deny => {}
            Action::Tunnel => {
                let narrow = wanted.paths.iter().any(|path| path != "/**")
                    || wanted.methods.is_some()
                    || !wanted.headers.is_empty()
                    || !wanted.query.is_empty()
                    || wanted.block.is_some();
                if narrow || carries || wanted.scheme != Scheme::Https {
                    let message = "a tunnel is about hosts and ports only: what goes through it \
                                   is not seen";
                    self.refuse(index, "BAD_VALUE", message);
                }
            }
        }
        if let Some(url) = &route.upstream.base_url
            && let Err(error) = canonical::base_url(url)
        {
            self.refuse(index, "BAD_VALUE", format!("base URL `{url}`: {error}"));
        }
        let limits = &route.limits;
        let timeouts = &route.timeouts;
        let integers = [
            limits.max_request_bytes,
            limits.requests.map(|rate| rate.count),
            limits.bytes_out.map(|rate| rate.count),
            limits.uses.map(|uses| uses.limit),
            limits.spend.as_ref().map(|spend| spend.limit_micros),
            timeouts.first_byte_ms,
            Some(timeouts.connect_ms),
            Some(timeouts.idle_ms),
            timeouts.approval_ms,
        ];
        if integers.into_iter().flatten().any(|integer| integer > INTEGER_MAX) {
            self.refuse(index, "BAD_VALUE", format!("an integer is at most {INTEGER_MAX}"));
        }
        if route.action == Action::Tunnel && *limits != Limits::default() {
            self.refuse(index, "BAD_VALUE", "a tunnel is not counted: it has no limits");
        }
        for problem in limits.problems() {
            self.refuse(index, "BAD_VALUE", problem);
        }
        self.usage(route, index);
    }

    fn usage(&mut self, route: &Route, index: RouteIndex) {
        let budget = route.limits.spend.as_ref().is_some_and(|spend| spend.prices.is_empty());
        let priced = route.usage.as_ref().is_some_and(|usage| !usage.prices.is_empty());
        if budget && !priced {
            self.refuse(index, "BAD_VALUE", "a budget needs `prices`");
        }
        let Some(usage) = &route.usage else { return };
        if !matches!(route.action, Action::Allow | Action::Hold) {
            self.refuse(index, "BAD_VALUE", "only what is allowed has answers with usage");
        }
        for problem in usage.problems() {
            self.refuse(index, "BAD_VALUE", problem);
        }
    }

    fn block(&mut self, route: &Route, index: RouteIndex) {
        let Some(block) = &route.r#match.block else { return };
        for Problem { field, message } in block.problems(route.action) {
            self.refuse(index, "BAD_VALUE", format!("`{}.{field}`: {message}", block.as_str()));
        }
    }

    /// Whatever is said and would not be carried out is refused: a credential that goes elsewhere
    /// than its author thinks is worse than none.
    fn injection(&mut self, route: &Route, injection: &Injection, index: RouteIndex) {
        let Injection { kind, header, template, parameter, username, cookie, signing, .. } =
            injection;
        let known = self.plan.credentials.len();
        for credential in [Some(injection.credential), injection.username_credential] {
            if let Some(credential) = credential.filter(|credential| *credential >= known) {
                let message = format!("there is no credential {credential}");
                self.refuse(index, "BAD_VALUE", message);
            }
        }
        let complete = match kind {
            InjectionKind::Bearer | InjectionKind::Basic => true,
            InjectionKind::Header => header.is_some(),
            InjectionKind::Query => parameter.as_ref().is_some_and(|p| !p.is_empty()),
            InjectionKind::Cookie => cookie.as_ref().is_some_and(|name| is_token(name)),
            InjectionKind::Path => credential_segment(&route.r#match.paths).is_some(),
            InjectionKind::Placeholder => {
                let credential = self.plan.credentials.get(injection.credential);
                let has =
                    |credential| self.plan.placeholders.iter().any(|p| p.stands_for(credential));
                let places = &injection.places;
                credential.is_none_or(has)
                    && !places.is_empty()
                    && places.is_sorted_by(|a, b| a < b)
            }
            InjectionKind::AwsSigv4 => signing.as_ref().is_some_and(can_sign),
            InjectionKind::ClientCertificate => route.r#match.scheme == Scheme::Https,
        };
        if !complete {
            let what = match kind {
                InjectionKind::Path => "one segment `{credential}`, the same one in every path",
                InjectionKind::Cookie => "the name of its cookie",
                InjectionKind::Placeholder => "a placeholder in the plan, and its places in order",
                InjectionKind::AwsSigv4 => "the names of a service and a region",
                InjectionKind::ClientCertificate => "`https`: there is no other handshake",
                InjectionKind::Bearer
                | InjectionKind::Basic
                | InjectionKind::Header
                | InjectionKind::Query => "its header or parameter",
            };
            self.refuse(index, "BAD_VALUE", format!("`{}` needs {what}", kind.as_str()));
        }
        let in_header = match kind {
            InjectionKind::Bearer | InjectionKind::Basic | InjectionKind::Header => true,
            InjectionKind::Query
            | InjectionKind::Cookie
            | InjectionKind::Path
            | InjectionKind::Placeholder
            | InjectionKind::AwsSigv4
            | InjectionKind::ClientCertificate => false,
        };
        let names_user = username.is_some() || injection.username_credential.is_some();
        let stray = header.is_some() && !in_header
            || template.is_some() && *kind != InjectionKind::Header
            || parameter.is_some() && *kind != InjectionKind::Query
            || cookie.is_some() && *kind != InjectionKind::Cookie
            || !injection.places.is_empty() && *kind != InjectionKind::Placeholder
            || signing.is_some() && *kind != InjectionKind::AwsSigv4
            || names_user && *kind != InjectionKind::Basic
            || username.is_some() && injection.username_credential.is_some();
        if stray {
            let message = format!("`{}` says more than it does", kind.as_str());
            self.refuse(index, "BAD_VALUE", message);
        }
        if header.as_ref().is_some_and(|name| !is_injectable(name)) {
            self.refuse(index, "BAD_VALUE", "no credential goes into that header");
        }
        if template.as_ref().is_some_and(|t| t.matches("{value}").count() != 1) {
            self.refuse(index, "BAD_VALUE", "a template holds `{value}` exactly once");
        }
    }

    fn refuse(&mut self, index: RouteIndex, code: &'static str, message: impl AsRef<str>) {
        let id = usize::try_from(index.0).ok().and_then(|at| self.plan.egress_routes.get(at));
        let id = id.map_or("", |route| route.route_id.as_str());
        let message = format!("route `{id}`: {}", message.as_ref());
        self.findings.push(Finding::about(index, Diagnostic::error(code, message)));
    }
}

/// Whether the names are such that a signature cannot be one for something else.
fn can_sign(signing: &Signing) -> bool {
    const ANY_TIME: &str = "20150830T123600Z";
    Scope::new(ANY_TIME, &signing.region, &signing.service).is_ok()
}

/// Whether `name` is a lower-case header that a credential may be put into.
pub(crate) fn is_injectable(name: &str) -> bool {
    let lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    is_token(name) && lower && !HEADERS_RESERVED.contains(&name)
}

fn missing_permission(route: &Route, path: &PathPattern) -> Option<&'static str> {
    if path.needs_encoded_slash() && !route.r#match.allow_encoded_slash {
        return Some("allow_encoded_slash");
    }
    let empty = path.needs_empty_segment() && !route.r#match.allow_empty_segments;
    empty.then_some("allow_empty_segments")
}

/// An RFC 9110 token: what methods and header names are made of.
pub(crate) fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

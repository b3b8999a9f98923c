//! What is wrong with a plan as a whole: routes that contradict each other, and routes that can
//! never win. Decided exactly, on the structure that the data path uses, not by sampling.

use std::collections::HashSet;
use std::sync::Arc;

use super::build::{Builder, Built, Placed, kind_and_name};
use super::check::{Checker, Parsed};
use super::decide::{ANY, Decisions};
use super::index::Level;
use super::trie::{Node, Trie};
use super::{RouteIndex, RouteTable};
use crate::diagnostic::{Diagnostic, Severity};
use crate::pattern::{PathPattern, Segment};
use crate::plan::{Action, Condition, Match, Plan, Route};

/// More routes at one path, told apart by method and conditions alone, are not looked through on
/// the data path.
const DECISIONS_MAX: usize = 1024;

/// A diagnostic about routes of a plan, which do not know where they were written.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) diagnostic: Diagnostic,
    /// The route that it is about.
    pub(crate) route: Option<RouteIndex>,
    /// The other one, and what it has to do with the first.
    pub(crate) other: Option<(RouteIndex, String)>,
}

impl Finding {
    pub(super) fn about_plan(diagnostic: Diagnostic) -> Self {
        Self { diagnostic, route: None, other: None }
    }

    pub(super) fn about(route: RouteIndex, diagnostic: Diagnostic) -> Self {
        Self { diagnostic, route: Some(route), other: None }
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
        let mut analysis = Analysis {
            plan: &plan,
            parsed: &parsed,
            built: &built,
            findings: Vec::new(),
            seen: HashSet::new(),
        };
        analysis.leaves();
        analysis.tunnels();
        analysis.denied();
        findings.append(&mut analysis.findings);
        let looks = |m: &Match| !m.headers.is_empty() || m.block.is_some();
        let uses_headers = plan.egress_routes.iter().any(|route| looks(&route.r#match));
        let Built { index, trie, decisions, .. } = built;
        (Some(RouteTable { plan, index, trie, decisions, uses_headers }), findings)
    }
}

struct Analysis<'p> {
    plan: &'p Plan,
    parsed: &'p [Parsed],
    built: &'p Built,
    findings: Vec<Finding>,
    /// Pairs that were reported; they meet again at every other path that they share.
    seen: HashSet<(u32, u32)>,
}

impl<'p> Analysis<'p> {
    fn route(&self, at: u32) -> Option<(&'p Route, &'p Parsed)> {
        let at = usize::try_from(at).ok()?;
        Some((self.plan.egress_routes.get(at)?, self.parsed.get(at)?))
    }

    /// Routes are equal in host, port and path exactly when they stand at one leaf.
    fn leaves(&mut self) {
        for leaf in self.built.placed.chunk_by(|a, b| (a.node, a.tail) == (b.node, b.tail)) {
            if let Some(placed) = leaf.get(DECISIONS_MAX) {
                let message = format!("more than {DECISIONS_MAX} routes stand at one path");
                let diagnostic = Diagnostic::error("LIMIT_EXCEEDED", message);
                let route = RouteIndex(placed.decision.route);
                self.findings.push(Finding::about(route, diagnostic));
                continue;
            }
            for (at, second) in leaf.iter().enumerate() {
                for first in leaf.iter().take(at) {
                    self.pair(first, second);
                }
            }
        }
    }

    fn pair(&mut self, first: &Placed, second: &Placed) {
        let listed = |placed: &Placed| placed.decision.methods != ANY;
        let methods = first.decision.methods & second.decision.methods;
        let equal = listed(first) == listed(second) && first.conditions == second.conditions;
        if methods == 0 || !equal {
            return;
        }
        let pair = (self.route(first.decision.route), self.route(second.decision.route));
        let (Some((a, _)), Some((b, _))) = pair else { return };
        if a.action != Action::Deny && !same_effect(self.plan, a, b) {
            let pair = (first.decision.route, second.decision.route);
            if !contradict(&a.r#match, &b.r#match) && self.seen.insert(pair) {
                self.conflict(first, second, methods);
            }
            return;
        }
        let pair = (first.decision.route, second.decision.route);
        let covered = second.decision.methods & !first.decision.methods == 0;
        if covered
            && same_conditions(&a.r#match, &b.r#match)
            && covers_everywhere(a, b)
            && self.seen.insert(pair)
        {
            self.shadowed(second.decision.route, first.decision.route, "equal in precedence");
        }
    }

    fn conflict(&mut self, first: &Placed, second: &Placed, methods: u64) {
        let (a, b) = (first.decision.route, second.decision.route);
        let (Some((left, _)), Some((right, _))) = (self.route(a), self.route(b)) else { return };
        let message = format!(
            "routes `{}` and `{}` match the same requests with the same precedence, and differ \
             in what they do",
            left.route_id, right.route_id
        );
        let diagnostic = Diagnostic::error("ROUTE_CONFLICT", message)
            .help("make one of them narrower, or give both the same effect")
            .witness(self.witness(first, second, methods));
        let other = Some((RouteIndex(a), format!("route `{}` is here", left.route_id)));
        self.findings.push(Finding { diagnostic, route: Some(RouteIndex(b)), other });
    }

    /// A request that both routes match.
    fn witness(&self, first: &Placed, second: &Placed, methods: u64) -> String {
        let known = &self.built.decisions.methods;
        let bit = usize::try_from(methods.trailing_zeros()).unwrap_or(0);
        let mut url = self.place(first).unwrap_or_default();
        let matches =
            [first, second].map(|p| self.route(p.decision.route).map(|(r, _)| &r.r#match));
        let matches: Vec<&Match> = matches.into_iter().flatten().collect();
        let blocks = matches.iter().filter_map(|m| m.block.as_ref());
        let contents: String = blocks.map(|block| format!(" [{}]", block.witness())).collect();
        let usual = if contents.is_empty() { "GET" } else { "POST" };
        let method = known.get(bit).filter(|_| methods != ANY).map_or(usual, |m| &**m);
        let present = |c: &Condition| (c.present == Some(true)).then(|| "1".to_owned());
        let value = |c: &Condition| c.equals.clone().or_else(|| present(c));
        let conditions = |pick: fn(&Match) -> &Vec<Condition>| {
            let mut all: Vec<&Condition> = matches.iter().flat_map(|m| pick(m)).collect();
            all.sort_by_key(|c| (&c.name, c.equals.is_none()));
            all.dedup_by_key(|c| &c.name);
            all.into_iter().filter_map(|c| Some((c.name.clone(), value(c)?))).collect::<Vec<_>>()
        };
        for ((name, value), at) in conditions(|m| &m.query).iter().zip(0..) {
            let (name, value) = (escaped(name), escaped(value));
            url.push_str(&format!("{}{name}={value}", if at == 0 { "?" } else { "&" }));
        }
        let headers = conditions(|m| &m.headers);
        let headers: String = headers.iter().map(|(n, v)| format!(" ({n}: {v})")).collect();
        format!("{method} {url}{headers}{contents}")
    }

    fn place(&self, placed: &Placed) -> Option<String> {
        let (route, parsed) = self.route(placed.decision.route)?;
        let host = parsed.hosts.get(usize::try_from(placed.host).ok()?)?.witness();
        let path = parsed.paths.get(usize::try_from(placed.path).ok()?)?.witness();
        let scheme = route.r#match.scheme;
        let listed = placed.port != scheme.default_port();
        let port = if listed { format!(":{}", placed.port) } else { String::new() };
        Some(format!("{scheme}://{host}{port}{path}"))
    }

    /// What goes through a tunnel is not seen, so nothing narrower can be said about its host.
    fn tunnels(&mut self) {
        let mut seen = HashSet::new();
        for (key, (level, _)) in self.built.levels.iter().filter(|(_, (l, _))| l.tunnel().is_some())
        {
            let (kind, name) = kind_and_name(&key.host);
            let index = &self.built.index;
            let Some(entry) = index.pattern(key.scheme, kind, name, key.port) else { continue };
            for other in index.levels(entry) {
                for item in index.items.get(other.item_range()).unwrap_or_default() {
                    let Some((route, parsed)) = self.route(item.route) else { continue };
                    let same_host = parsed.hosts.contains(&key.host);
                    let clash = match route.action {
                        Action::Allow | Action::Hold => same_host,
                        Action::Deny => !is_total(route, parsed),
                        Action::Tunnel => false,
                    };
                    if clash && seen.insert((level.tunnel, item.route)) {
                        self.findings.push(tunnel_conflict(self.plan, level.tunnel, item.route));
                    }
                }
            }
        }
    }

    /// Routes of which every request is denied.
    fn denied(&mut self) {
        let any_deny = self.plan.egress_routes.iter().any(|r| r.action == Action::Deny);
        if !any_deny {
            return;
        }
        for at in 0..u32::try_from(self.plan.egress_routes.len()).unwrap_or(0) {
            let Some((route, parsed)) = self.route(at) else { continue };
            if route.action == Action::Deny {
                continue;
            }
            if let Some(deny) = self.denied_everywhere(route, parsed) {
                self.shadowed(at, deny, "and a deny always wins");
            }
        }
    }

    /// The first of the denies that together leave nothing of a route.
    fn denied_everywhere(&self, route: &Route, parsed: &Parsed) -> Option<u32> {
        let Built { index, trie, decisions, .. } = self.built;
        let mut first = None;
        for host in &parsed.hosts {
            for port in &parsed.ports {
                let (kind, name) = kind_and_name(host);
                let entry = index.pattern(route.r#match.scheme, kind, name, *port)?;
                for path in &parsed.paths {
                    let cover = Cover { trie, decisions, methods: parsed.methods };
                    let roots = index.levels(entry).iter().filter_map(Level::deny_root);
                    let denied = roots.into_iter().find_map(|root| cover.path(root, path));
                    first = first.or(denied);
                    denied?;
                }
            }
        }
        first
    }

    fn shadowed(&mut self, route: u32, by: u32, why: &str) {
        let (Some((route_data, _)), Some((by_data, _))) = (self.route(route), self.route(by))
        else {
            return;
        };
        let message = format!(
            "route `{}` can never win: `{}` matches everything that it matches, {why}",
            route_data.route_id, by_data.route_id
        );
        let diagnostic = Diagnostic::warning("UNREACHABLE_ROUTE", message);
        let other = Some((RouteIndex(by), format!("route `{}` is here", by_data.route_id)));
        self.findings.push(Finding { diagnostic, route: Some(RouteIndex(route)), other });
    }
}

/// Whether one unconditional deny takes all that a pattern matches.
struct Cover<'b> {
    trie: &'b Trie,
    decisions: &'b Decisions,
    methods: u64,
}

impl Cover<'_> {
    fn path(&self, root: u32, path: &PathPattern) -> Option<u32> {
        self.below(self.trie.root(root)?, path.segments(), path.has_tail())
    }

    fn below(&self, node: &Node, segments: &[Segment], tail: bool) -> Option<u32> {
        if let Some(found) = self.list(node.tail) {
            return Some(found);
        }
        let Some((segment, rest)) = segments.split_first() else {
            return if tail { None } else { self.list(node.end) };
        };
        let found = self.trie.along(node, segments);
        let found = found.and_then(|(child, rest)| self.below(child, rest, tail));
        let empty = matches!(segment, Segment::Literal(text) if text.is_empty());
        let parameter = self.trie.parameter(node).filter(|_| !empty);
        found.or_else(|| self.below(parameter?, rest, tail))
    }

    fn list(&self, start: u32) -> Option<u32> {
        let covers = |methods: u64| self.methods & !methods == 0;
        let mut list = self.decisions.at(start);
        list.find(|d| !d.conditional && covers(d.methods)).map(|d| d.route)
    }
}

/// As it stands in a query.
fn escaped(text: &str) -> String {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape =
        |byte: u8| if fine(byte) { char::from(byte).into() } else { format!("%{byte:02X}") };
    text.bytes().map(escape).collect()
}

fn tunnel_conflict(plan: &Plan, tunnel: u32, other: u32) -> Finding {
    let id = |at: u32| {
        let route = usize::try_from(at).ok().and_then(|at| plan.egress_routes.get(at));
        route.map_or("", |route| route.route_id.as_str())
    };
    let message = format!(
        "route `{}` names a host that `{}` tunnels: what goes through a tunnel is not seen",
        id(other),
        id(tunnel)
    );
    let diagnostic = Diagnostic::error("ROUTE_CONFLICT", message)
        .help("drop one of the two, or give them different hosts or ports");
    let related = Some((RouteIndex(tunnel), format!("route `{}` is here", id(tunnel))));
    Finding { diagnostic, route: Some(RouteIndex(other)), other: related }
}

fn is_total(route: &Route, parsed: &Parsed) -> bool {
    let everything = |path: &PathPattern| path.has_tail() && path.segments().is_empty();
    route.r#match.methods.is_none() && parsed.conditions == 0 && parsed.paths.iter().any(everything)
}

/// Whether it makes no difference which of the two takes a request.
fn same_effect(plan: &Plan, a: &Route, b: &Route) -> bool {
    let reference = |at: usize| plan.credentials.get(at);
    let injections = a.inject.len() == b.inject.len()
        && a.inject.iter().zip(&b.inject).all(|(x, y)| {
            let mut same = x.clone();
            same.credential = y.credential;
            same == *y && reference(x.credential) == reference(y.credential)
        });
    injections
        && (a.action, &a.upstream, &a.clear) == (b.action, &b.upstream, &b.clear)
        && (&a.limits, a.timeouts) == (&b.limits, b.timeouts)
}

/// Whether no request can meet the conditions of both.
fn contradict(a: &Match, b: &Match) -> bool {
    let clash = |x: &Condition, y: &Condition| {
        x.name == y.name
            && match (&x.equals, &y.equals) {
                (Some(x), Some(y)) => x != y,
                (Some(_), None) => y.present == Some(false),
                (None, Some(_)) => x.present == Some(false),
                (None, None) => x.present != y.present,
            }
    };
    let any =
        |xs: &[Condition], ys: &[Condition]| xs.iter().any(|x| ys.iter().any(|y| clash(x, y)));
    let blocks = match (&a.block, &b.block) {
        (Some(a), Some(b)) => a.is_disjoint(b),
        (None, _) | (_, None) => false,
    };
    any(&a.headers, &b.headers) || any(&a.query, &b.query) || blocks
}

fn same_conditions(a: &Match, b: &Match) -> bool {
    (&a.headers, &a.query, &a.block) == (&b.headers, &b.query, &b.block)
}

/// Whether `a` names every place that `b` names; both name the one where they met.
fn covers_everywhere(a: &Route, b: &Route) -> bool {
    let (a, b) = (&a.r#match, &b.r#match);
    let all = |xs: &[String], ys: &[String]| ys.iter().all(|y| xs.contains(y));
    a.scheme == b.scheme
        && a.ports == b.ports
        && all(&a.hosts, &b.hosts)
        && all(&a.paths, &b.paths)
        && (a.allow_encoded_slash || !b.allow_encoded_slash)
        && (a.allow_empty_segments || !b.allow_empty_segments)
}

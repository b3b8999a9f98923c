//! A plan of any size, and requests spread over all of it: what every figure about matching is
//! measured on.
//!
//! The routes are like those of bound repositories: a hundred of them to each host, one in ten
//! under a wildcard host. Requests are spread, so that a table that is only fast from the first
//! cache lines would show.

use sallygate_compiler::canonical::{self, Host, HostError, Scheme};
use sallygate_compiler::diagnostic::Diagnostics;
use sallygate_compiler::key::{MatchKey, NoHeaders};
use sallygate_compiler::plan::{Match, Plan, Route};
use sallygate_compiler::table::{RouteTable, Verdict};

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// A route of an exact host.
    Exact,
    /// A route of a wildcard host.
    Wildcard,
    /// A host that routes name, and no route.
    Miss,
}

impl Case {
    pub(crate) const ALL: [Self; 3] = [Self::Exact, Self::Wildcard, Self::Miss];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Wildcard => "wildcard",
            Self::Miss => "miss",
        }
    }
}

/// A request as it comes off the wire; the host was canonicalised with its connection.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) method: String,
    pub(crate) target: String,
}

impl Request {
    /// To the default port of `https`.
    pub(crate) fn new(host: &str, method: &str, target: String) -> Result<Self, HostError> {
        let (scheme, host) = (Scheme::Https, canonical::host(host.as_bytes())?);
        Ok(Self { scheme, host, port: scheme.default_port(), method: method.to_owned(), target })
    }

    /// All that a decision takes: the target is canonicalised, the route found. `None` for a
    /// target that is not canonical.
    #[inline]
    pub(crate) fn decide(&self, table: &RouteTable) -> Option<Verdict> {
        let target = canonical::target(self.target.as_bytes()).ok()?;
        Some(table.find(&MatchKey {
            scheme: self.scheme,
            host: &self.host,
            port: self.port,
            method: &self.method,
            target: &target,
            headers: &NoHeaders,
        }))
    }
}

const ONE_ROUTE: &str = r#"{"schemaVersion":1,"organizationId":"o","sandboxProfileId":"p",
    "version":1,"egressRoutes":[{"routeId":"b/r","bindingId":"b",
    "match":{"hosts":["a.test"],"paths":["/"],"methods":["GET","POST"]}}]}"#;

/// The plan with this many routes. It has no digest: that is for plans that are put in force.
pub(crate) fn plan(routes: usize) -> Result<Plan, Diagnostics> {
    let mut plan = Plan::from_json("one route", ONE_ROUTE.as_bytes())?;
    let route = |first: &Route, at: usize| {
        let (hosts, paths) = (vec![host_pattern(at, routes)], vec![path_pattern(at)]);
        let wanted = Match { hosts, paths, ..first.r#match.clone() };
        Route { route_id: format!("b/{at:07}"), r#match: wanted, ..first.clone() }
    };
    plan.digest.clear();
    let one = std::mem::take(&mut plan.egress_routes);
    plan.egress_routes =
        one.iter().flat_map(|first| (0..routes).map(|at| route(first, at))).collect();
    Ok(plan)
}

/// `count` requests that meet `case` in the plan with this many routes.
pub(crate) fn requests(routes: usize, case: Case, count: usize) -> Result<Vec<Request>, HostError> {
    let wanted: Vec<usize> =
        (0..routes).filter(|at| is_wildcard(*at) == (case == Case::Wildcard)).collect();
    let request = |at: usize| {
        let host = host_pattern(at, routes).replace("**.", "a.b.");
        let path = match case {
            Case::Exact | Case::Wildcard => path(at),
            Case::Miss => path(at).replace("/repos/acme/project", "/repos/other/project"),
        };
        Request::new(&host, "GET", path)
    };
    // A large prime: neighbours in the sequence are no neighbours in the plan.
    let spread = (0..count).filter_map(|n| wanted.get(n * 7919 % wanted.len().max(1)));
    spread.map(|at| request(*at)).collect()
}

fn is_wildcard(at: usize) -> bool {
    at % 10 == 9
}

fn host_pattern(at: usize, routes: usize) -> String {
    let hosts = (routes / 100).max(1);
    let host = at % hosts;
    if is_wildcard(at) { format!("**.wild-{host}.test") } else { format!("api-{host}.test") }
}

fn path_pattern(at: usize) -> String {
    let below = match at % 3 {
        0 => "issues",
        1 => "pulls/{number}",
        _ => "contents/**",
    };
    format!("/repos/acme/project-{at}/{below}")
}

fn path(at: usize) -> String {
    let path = path_pattern(at).replace("{number}", "4711").replace("**", "src/main.rs");
    format!("{path}?per_page=100")
}

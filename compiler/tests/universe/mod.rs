//! A universe small enough to be gone through: every kind of request that the routes made here
//! can tell apart is one of its requests.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file uses a part of what is shared here"
)]

use std::sync::OnceLock;

use proptest::prelude::*;
use sallygate_compiler::canonical::{self, Scheme};
use sallygate_compiler::key::{HeaderValue, Headers, MatchKey};
use sallygate_compiler::plan::{
    Action, Clear, Condition, CredentialReference, Injection, InjectionKind, Limits, Match, Plan,
    Route, Timeouts, Unmatched, Upstream,
};
use sallygate_compiler::table::{HostClass, RouteIndex, RouteTable, Verdict};

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) scheme: Scheme,
    pub(crate) host: &'static str,
    pub(crate) port: u16,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) query: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

impl Headers for Request {
    fn value(&self, name: &str) -> HeaderValue<'_> {
        let mut values = self.headers.iter().filter(|(named, _)| *named == name);
        match (values.next(), values.next()) {
            (None, _) => HeaderValue::None,
            (Some((_, value)), None) => HeaderValue::One(value.as_bytes()),
            (Some(_), Some(_)) => HeaderValue::Many,
        }
    }
}

impl Request {
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&MatchKey<'_>) -> T) -> T {
        let host = canonical::host(self.host.as_bytes()).unwrap();
        let target = format!("{}{}", self.path, self.query);
        let target = canonical::target(target.as_bytes()).unwrap();
        ask(&MatchKey {
            scheme: self.scheme,
            host: &host,
            port: self.port,
            method: self.method,
            target: &target,
            headers: self,
        })
    }

    pub(crate) fn verdict(&self, table: &RouteTable) -> Verdict {
        self.ask(|key| table.find(key))
    }

    pub(crate) fn outcome(&self, table: &RouteTable) -> String {
        Judge::new(table).outcome(self).to_string()
    }
}

/// A table whose effects are written out once.
pub(crate) struct Judge<'t> {
    table: &'t RouteTable,
    effects: Vec<String>,
}

/// What is done to a request: how it is called, and what its route does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome<'t>(pub(crate) &'static str, pub(crate) &'t str);

impl std::fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}{}", self.0, if self.1.is_empty() { "" } else { " " }, self.1)
    }
}

impl<'t> Judge<'t> {
    pub(crate) fn new(table: &'t RouteTable) -> Self {
        let effect =
            |route: &Route| format!("{:?} {:?} {:?}", route.inject, route.limits, route.timeouts);
        Self { table, effects: table.plan().egress_routes.iter().map(effect).collect() }
    }

    pub(crate) fn outcome(&self, request: &Request) -> Outcome<'_> {
        let host = canonical::host(request.host.as_bytes()).unwrap();
        let tls = request.scheme == Scheme::Https;
        let connect = tls.then(|| self.table.host_class(&host, request.port));
        self.outcome_of(connect, request.verdict(self.table))
    }

    fn outcome_of(&self, connect: Option<HostClass>, verdict: Verdict) -> Outcome<'_> {
        let effect = |index: RouteIndex| {
            self.effects.get(usize::try_from(index.0).unwrap()).unwrap().as_str()
        };
        if let Some(HostClass::Tunnel(route)) = connect {
            return Outcome("tunnel", effect(route));
        }
        match verdict {
            Verdict::Allow(route) => Outcome("allow", effect(route)),
            Verdict::Hold(route) => Outcome("hold", effect(route)),
            Verdict::Deny(_) => Outcome("deny", ""),
            Verdict::NoRoute { .. } => Outcome("no_route", ""),
            Verdict::Passthrough => Outcome("passthrough", ""),
            Verdict::Inspect(_) => unreachable!("no route here has a block"),
        }
    }
}

/// All that is done to a request, as text.
pub(crate) fn outcome(table: &RouteTable, connect: Option<HostClass>, verdict: Verdict) -> String {
    Judge::new(table).outcome_of(connect, verdict).to_string()
}

/// Paths of up to four segments: those that patterns name, one that none does, and all forms.
fn paths() -> &'static [String] {
    static PATHS: OnceLock<Vec<String>> = OnceLock::new();
    PATHS.get_or_init(|| {
        let any = ["", "a", "b", "z", "z%2Fz"];
        let (named, forms) = (["a", "b", "z"], ["", "z", "z%2Fz"]);
        let mut paths = Vec::new();
        for first in any {
            paths.push(format!("/{first}"));
            for second in any {
                paths.push(format!("/{first}/{second}"));
                paths.extend(any.iter().map(|third| format!("/{first}/{second}/{third}")));
            }
        }
        for (first, second) in named.iter().flat_map(|f| named.iter().map(move |s| (f, s))) {
            for (third, fourth) in forms.iter().flat_map(|t| forms.iter().map(move |f| (t, f))) {
                paths.push(format!("/{first}/{second}/{third}/{fourth}"));
            }
        }
        paths
    })
}

/// Every request of the universe.
pub(crate) fn requests() -> Vec<Request> {
    let origins =
        [(Scheme::Https, 443), (Scheme::Https, 8443), (Scheme::Https, 9000), (Scheme::Http, 80)];
    let queries = ["", "?q=1", "?q=z", "?q=1&q=z", "?q=z&q=z"];
    let headers: [&[(&str, &str)]; 4] =
        [&[], &[("h", "1")], &[("h", "z")], &[("h", "1"), ("h", "1")]];
    let mut all = Vec::new();
    for (scheme, port) in origins {
        for host in ["x.t", "z.t", "z.z.t", "other", "127.0.0.1"] {
            for path in paths() {
                for method in ["GET", "PUT", "ZZZ"] {
                    for query in queries {
                        for headers in headers {
                            let headers = headers.to_vec();
                            all.push(Request { scheme, host, port, method, path, query, headers });
                        }
                    }
                }
            }
        }
    }
    all
}

fn some(all: &[&'static str], most: usize) -> impl Strategy<Value = Vec<String>> + use<> {
    proptest::sample::subsequence(all.to_vec(), 1..=most)
        .prop_map(|list| list.into_iter().map(str::to_owned).collect())
}

fn condition(name: &'static str) -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just((Some("1".to_owned()), None)),
        any::<bool>().prop_map(|present| (None, Some(present))),
    ]
    .prop_map(move |(equals, present)| Condition { name: name.into(), equals, present })
}

const PATTERNS: [&str; 14] = [
    "/",
    "/**",
    "/a",
    "/a/",
    "/a/**",
    "/{x}",
    "/{x}/**",
    "/a/b",
    "/a/{y}",
    "/{x}/b",
    "/{x}/{y}",
    "/a/b/**",
    "/{x}/{y}/**",
    "/{x}/",
];

pub(crate) fn pattern() -> impl Strategy<Value = Match> {
    let ports = proptest::sample::subsequence(vec![443_u16, 8443], 1..3);
    (
        (
            prop_oneof![6 => Just(Scheme::Https), 1 => Just(Scheme::Http)],
            some(&["x.t", "*.t", "**.t", "*"], 2),
            proptest::option::weighted(0.2, ports),
            some(&PATTERNS, 3),
            proptest::option::weighted(0.5, some(&["GET", "PUT"], 2)),
        ),
        proptest::option::weighted(0.25, condition("h")),
        proptest::option::weighted(0.25, condition("q")),
        proptest::bool::weighted(0.25),
        proptest::bool::weighted(0.25),
    )
        .prop_map(|((scheme, hosts, ports, paths, methods), h, q, slash, empty)| Match {
            scheme,
            hosts,
            ports: ports.filter(|_| scheme == Scheme::Https),
            paths,
            methods,
            headers: h.into_iter().collect(),
            query: q.into_iter().collect(),
            allow_encoded_slash: slash,
            allow_empty_segments: empty,
            block: None,
        })
}

/// Routes that may deny, hold and carry a credential, with one of `limits` limits.
pub(crate) fn routes(most: usize, limits: u32) -> impl Strategy<Value = Vec<Route>> {
    let action = prop_oneof![
        8 => Just(Action::Allow),
        2 => Just(Action::Deny),
        1 => Just(Action::Hold),
        1 => Just(Action::Tunnel),
    ];
    let one = (action, pattern(), 1..=limits, proptest::bool::weighted(0.2));
    proptest::collection::vec(one, 1..=most).prop_map(|routes| {
        let routes = routes.into_iter().enumerate();
        routes
            .map(|(at, (action, wanted, limit, bound))| route(at, action, wanted, (limit, bound)))
            .collect()
    })
}

pub(crate) fn route(
    at: usize,
    action: Action,
    wanted: Match,
    (limit, bound): (u32, bool),
) -> Route {
    let wild = wanted.hosts.iter().any(|host| host == "*");
    let carries = bound && !wild && wanted.scheme == Scheme::Https;
    let carries = carries && matches!(action, Action::Allow | Action::Hold);
    let tunnel = Match {
        hosts: wanted.hosts.clone(),
        ports: wanted.ports.clone(),
        paths: vec!["/**".into()],
        ..Match::default()
    };
    let limits = Limits { concurrency: Some(limit), ..Limits::default() };
    Route {
        route_id: format!("b/{at:02}"),
        binding_id: "b".into(),
        action,
        reason: None,
        r#match: if action == Action::Tunnel { tunnel } else { wanted },
        upstream: Upstream::default(),
        inject: if carries { vec![bearer()] } else { Vec::new() },
        clear: Clear::default(),
        limits,
        usage: None,
        timeouts: Timeouts::default(),
    }
}

fn bearer() -> Injection {
    Injection { kind: InjectionKind::Bearer, ..Injection::default() }
}

pub(crate) fn unmatched() -> impl Strategy<Value = Unmatched> {
    prop_oneof![3 => Just(Unmatched::Deny), 1 => Just(Unmatched::Passthrough)]
}

pub(crate) fn plan(routes: Vec<Route>, unmatched: Unmatched) -> Plan {
    let mut plan = Plan {
        schema_version: 1,
        digest: String::new(),
        organization_id: "o".into(),
        sandbox_profile_id: "p".into(),
        version: 1,
        unmatched,
        image: None,
        egress_routes: routes,
        credentials: vec![CredentialReference {
            connection_id: "c".into(),
            secret_type: "value".into(),
            slot_key: None,
            resolver_key: None,
            scope: serde_json::Map::new(),
        }],
        placeholders: Vec::new(),
        artifacts: Vec::new(),
        workspace_sources: Vec::new(),
        runtime_clients: Vec::new(),
        agent_runtimes: Vec::new(),
        assertions: Vec::new(),
    };
    plan.seal();
    plan
}

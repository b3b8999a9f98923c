//! What the builtin definitions let through: for every route of every definition a request that is
//! allowed, and three near it that are not. The requests are made from the routes, so a route that
//! is added is asked about without being named here.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic in a helper fails the test"
)]

mod bindings;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use bindings::{BINDINGS, Bound, NEIGHBOURS};
use sallygate_compiler::canonical::{self, Scheme};
use sallygate_compiler::content::git::{Change, RefCommand};
use sallygate_compiler::content::graphql::Selection;
use sallygate_compiler::content::json_rpc::Call;
use sallygate_compiler::content::{Content, Reading};
use sallygate_compiler::key::MatchKey;
use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::{RouteTable, Verdict};
use sallygate_definitions::contract::route::{Action, Protocol};
use sallygate_definitions::expand::{BROAD_GRANT, ExpandedRoute};
use sallygate_definitions::{Expanded, Inputs, Registry};
use serde_json::{Value, json};

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::builtin);

fn expand(bound: &Bound) -> Expanded {
    let parse = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let (target, connection, binding) =
        (parse(bound.target), parse(bound.connection), parse(bound.binding));
    let definition = REGISTRY.require(bound.key).unwrap();
    let expanded = definition.expand(&Inputs {
        target_config: &target,
        connection_method: bound.method,
        connection_config: &connection,
        binding_config: &binding,
    });
    expanded.unwrap_or_else(|issues| panic!("{} {}: {issues:?}", bound.key, bound.binding))
}

/// `scheme://host[:port]` of a base URL.
fn authority(base_url: &str) -> (Scheme, &str) {
    let (scheme, rest) = base_url.split_once("://").unwrap();
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    (scheme, rest.split('/').next().unwrap())
}

fn block(protocol: &Protocol) -> (&'static str, Value) {
    let list = |items: &[String]| if items.is_empty() { Value::Null } else { json!(items) };
    match protocol {
        Protocol::Git { service, refs, update: _ } => {
            ("git", json!({"service": service, "refs": list(refs)}))
        }
        Protocol::Graphql { operation, fields } => {
            ("graphql", json!({"operation": operation, "fields": list(fields)}))
        }
        Protocol::Mcp { methods, tools } => {
            ("mcp", json!({"method": list(methods), "tools": list(tools)}))
        }
        Protocol::Grpc { service, method } => {
            ("grpc", json!({"service": service, "method": method}))
        }
    }
}

fn route(route: &ExpandedRoute) -> Value {
    let (scheme, host) = authority(&route.base_url);
    let authority = canonical::authority(host.as_bytes(), Some(scheme.default_port())).unwrap();
    let mut wanted = json!({
        "scheme": if scheme == Scheme::Http { "http" } else { "https" },
        "hosts": [authority.host.to_string()], "ports": [authority.port],
        "paths": route.paths, "methods": route.methods,
        "headers": route.headers, "query": route.query,
        "allowEncodedSlash": route.allow_encoded_slash,
    });
    if let Some((name, mut block)) = route.protocol.as_ref().map(block) {
        block.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        wanted[name] = block;
    }
    let action = match route.action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Hold => "hold",
    };
    // Which credential is injected does not matter here, but whether one is: it makes a host managed.
    let credential = |_| json!({"kind": "bearer", "credential": 0});
    let inject: Vec<Value> = route.inject.first().map(credential).into_iter().collect();
    json!({"routeId": format!("b/{}", route.name), "bindingId": "b", "action": action,
           "match": wanted, "inject": inject})
}

fn table(expanded: &Expanded) -> RouteTable {
    let routes: Vec<Value> = expanded.routes.iter().map(route).collect();
    let plan = json!({"schemaVersion": 1, "organizationId": "o", "sandboxProfileId": "p",
        "version": 1, "egressRoutes": routes,
        "credentials": [{"connectionId": "c", "secretType": "api_key"}]});
    let plan = Plan::from_json("plan.json", plan.to_string().as_bytes()).unwrap();
    RouteTable::build(Arc::new(plan)).unwrap()
}

/// One request, with what its body says.
struct Request {
    scheme: Scheme,
    authority: String,
    method: String,
    target: String,
    content: Content,
}

impl Request {
    /// A request that the route takes, at one of its paths.
    fn of(route: &ExpandedRoute, path: &str) -> Self {
        let (scheme, host) = authority(&route.base_url);
        let segment = |segment: &str| match segment {
            "**" => "x".to_owned(),
            name if name.starts_with('{') => "x".to_owned(),
            literal => literal.to_owned(),
        };
        let path: Vec<String> = path.split('/').map(segment).collect();
        let query: Vec<String> = route
            .query
            .iter()
            .map(|q| format!("{}={}", q.name, q.equals.clone().unwrap_or_default()))
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        Self {
            scheme,
            authority: host.to_owned(),
            method: route.methods.as_ref().map_or("GET".to_owned(), |methods| methods[0].clone()),
            target: format!("{}{query}", path.join("/")),
            content: route.protocol.as_ref().map(content).unwrap_or_default(),
        }
    }

    fn verdict(&self, table: &RouteTable) -> Verdict {
        let port = self.scheme.default_port();
        let authority = canonical::authority(self.authority.as_bytes(), Some(port)).unwrap();
        let target = canonical::target(self.target.as_bytes()).unwrap();
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        let key = MatchKey {
            scheme: self.scheme,
            host: &authority.host,
            port: authority.port,
            method: &self.method,
            target: &target,
            headers: &headers,
        };
        table.find_read(&key, &self.content)
    }

    fn is_allowed(&self, table: &RouteTable) -> bool {
        matches!(self.verdict(table), Verdict::Allow(_) | Verdict::Inspect(_))
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}{} {:?}", self.method, self.authority, self.target, self.content)
    }
}

/// What a body says that is inside the block.
fn content(protocol: &Protocol) -> Content {
    let first =
        |list: &[String]| list.first().map_or("x".to_owned(), |text| text.replace('*', "x"));
    let mut content = Content::default();
    match protocol {
        Protocol::Git { refs, .. } => {
            let name = if refs.is_empty() { "refs/heads/x".to_owned() } else { first(refs) };
            let name = name.replace("xx", "x");
            content.git = Reading::Items(vec![RefCommand { name, change: Change::Create }]);
        }
        Protocol::Graphql { operation, fields } => {
            let operation = operation.map_or(json!("query"), |operation| json!(operation));
            let operation = serde_json::from_value(operation).unwrap();
            let field = first(fields);
            content.graphql = Reading::Items(vec![Selection { operation, field }]);
        }
        Protocol::Mcp { methods, tools } => {
            let method = first(methods);
            let tool = (method == "tools/call").then(|| first(tools));
            content.json_rpc = Reading::Items(vec![Call { method, tool }]);
        }
        Protocol::Grpc { .. } => {}
    }
    content
}

/// The same request for what stands beside what is bound; `None` where everything is bound.
fn neighbour(route: &ExpandedRoute, path: &str) -> Option<Request> {
    let pair = NEIGHBOURS.iter().find(|(own, _)| path.contains(own));
    let path = match pair {
        Some((own, other)) => path.replacen(own, other, 1),
        None => {
            let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
            let is_literal = |s: &String| !s.is_empty() && s != "**" && !s.starts_with('{');
            match segments.iter().rposition(is_literal) {
                Some(at) => segments[at].push('x'),
                None if path == "/**" => return None,
                None => segments.extend(["y".to_owned(), "y".to_owned(), "y".to_owned()]),
            }
            segments.join("/")
        }
    };
    Some(Request::of(route, &path))
}

/// The request with another method that no route of the binding has there.
fn other_method(route: &ExpandedRoute, path: &str, table: &RouteTable) -> Option<Request> {
    let own = route.methods.as_ref()?;
    let other = |method: &&str| !own.iter().any(|known| known == method);
    ["DELETE", "PUT", "POST", "PATCH", "OPTIONS"].into_iter().filter(other).find_map(|method| {
        let request = Request { method: method.to_owned(), ..Request::of(route, path) };
        (!request.is_allowed(table)).then_some(request)
    })
}

#[test]
fn every_route_allows_what_it_is_for_and_nothing_near_it() {
    let mut asked = 0;
    for bound in BINDINGS {
        let expanded = expand(bound);
        let table = table(&expanded);
        for route in expanded.routes.iter().filter(|route| route.action == Action::Allow) {
            let name = format!("{} `{}` of {}", bound.key, route.name, bound.binding);
            for path in &route.paths {
                let own = Request::of(route, path);
                assert!(own.is_allowed(&table), "{name} refuses {own}");
                let mut denied = Vec::new();
                match neighbour(route, path) {
                    Some(request) => denied.push(request),
                    None => assert_eq!(expanded.warnings[0].code, BROAD_GRANT, "{name}"),
                }
                match other_method(route, path, &table) {
                    Some(request) => denied.push(request),
                    None => assert!(route.methods.is_none(), "{name} has every method"),
                }
                for authority in ["other.test".to_owned(), format!("x.{}", own.authority)] {
                    denied.push(Request { authority, ..Request::of(route, path) });
                }
                for request in denied {
                    assert!(!request.is_allowed(&table), "{name} allows {request}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 1000, "only {asked} requests were asked about");
}

#[test]
fn what_is_denied_by_name_stays_denied_inside_what_is_bound() {
    let mut asked = 0;
    for bound in BINDINGS {
        let expanded = expand(bound);
        let table = table(&expanded);
        for route in expanded.routes.iter().filter(|route| route.action == Action::Deny) {
            for path in &route.paths {
                for method in ["GET", "POST", "PUT", "DELETE"] {
                    let request = Request { method: method.to_owned(), ..Request::of(route, path) };
                    let verdict = request.verdict(&table);
                    assert!(matches!(verdict, Verdict::Deny(_)), "{} allows {request}", bound.key);
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 50, "only {asked} requests were asked about");
}

/// Requests that read although their method does not say so. What a request of LFS asks for is told
/// where objects lie, and only PUT puts one there; Slack's clients send every method by POST.
const READS_BY_POST: [(&str, &str); 5] = [
    ("github", "lfs-batch"),
    ("gitlab", "lfs-batch"),
    ("gitea", "lfs-batch"),
    ("slack", "read"),
    ("linear", "queries"),
];

#[test]
fn a_binding_for_reading_has_safe_methods_and_fetches() {
    for bound in BINDINGS.iter().filter(|bound| bound.grant == bindings::Grant::Read) {
        for route in expand(bound).routes.iter().filter(|route| route.action == Action::Allow) {
            let is_safe = |method: &String| matches!(method.as_str(), "GET" | "HEAD");
            let safe = route.methods.as_ref().is_some_and(|methods| methods.iter().all(is_safe));
            let reads = match &route.protocol {
                Some(Protocol::Git { service, .. }) => json!(service) == json!("upload-pack"),
                Some(Protocol::Graphql { operation, .. }) => json!(operation) == json!("query"),
                Some(Protocol::Mcp { .. } | Protocol::Grpc { .. }) | None => false,
            };
            let family = bound.key.split("::").next().unwrap();
            let named = READS_BY_POST.contains(&(family, route.name.as_str()));
            let pushes =
                route.query.iter().any(|q| q.equals.as_deref() == Some("git-receive-pack"));
            assert!((safe && !pushes) || reads || named, "{} `{}`", bound.key, route.name);
        }
    }
}

#[test]
fn every_route_of_every_definition_is_asked_about() {
    let mut bound = BTreeSet::new();
    for binding in BINDINGS {
        let routes = expand(binding).routes;
        bound.extend(routes.into_iter().map(|route| format!("{} {}", binding.key, route.name)));
    }
    for definition in REGISTRY.iter() {
        let key = definition.key();
        assert!(BINDINGS.iter().any(|bound| bound.key == key), "{key} is not bound");
        for route in &definition.compile_binding.routes {
            let name = format!("{key} {}", route.name);
            assert!(bound.contains(&name), "{name} is in no binding");
        }
    }
}

#[test]
fn a_push_changes_only_the_references_that_are_bound() {
    let binding = Bound {
        key: "github::github-cloud",
        method: Some("token"),
        target: "{}",
        connection: "{}",
        binding: r#"{"repositories": ["octo/hello"], "access": "write", "pushRefs": ["refs/heads/agent/**"]}"#,
        grant: bindings::Grant::Write,
    };
    let expanded = expand(&binding);
    let table = table(&expanded);
    let push = expanded.routes.iter().find(|route| route.name == "push").unwrap();
    for (references, allowed) in [
        (&["refs/heads/agent/a"][..], true),
        (&["refs/heads/agent/a", "refs/heads/agent/b/c"], true),
        (&["refs/heads/main"], false),
        (&["refs/heads/agent"], false),
        (&["refs/heads/agent/a", "refs/heads/main"], false),
        (&["refs/tags/v1"], false),
        (&["refs/heads/agentx/a"], false),
    ] {
        let command = |name: &&str| RefCommand { name: (*name).to_owned(), change: Change::Create };
        let git = Reading::Items(references.iter().map(command).collect());
        let content = Content { git, ..Content::default() };
        let request = Request { content, ..Request::of(push, &push.paths[0]) };
        assert_eq!(request.is_allowed(&table), allowed, "{references:?}");
    }
}

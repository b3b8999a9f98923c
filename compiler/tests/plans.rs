//! Plans as JSON: strict on the way in, canonical on the way out.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use sallygate_compiler::canonical;
use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::{HostClass, RouteIndex, RouteTable};

const CREDENTIALS: &str = r#""credentials":[{"connectionId":"c","secretType":"api_key"}]"#;

fn plan(routes: &str) -> String {
    format!(
        "{{\"schemaVersion\":1,\"organizationId\":\"o\",\"sandboxProfileId\":\"p\",\"version\":3,\n\
         \"egressRoutes\":[{routes}],\n{CREDENTIALS}}}"
    )
}

fn route(id: &str, rest: &str) -> String {
    format!("{{\"routeId\":\"{id}\",\"bindingId\":\"b\",{rest}}}")
}

fn table(routes: &[String]) -> Result<RouteTable, String> {
    let text = plan(&routes.join(",\n"));
    let plan = Plan::from_json("plan.json", text.as_bytes()).map_err(|found| found.to_string())?;
    RouteTable::build(Arc::new(plan)).map_err(|found| found.to_string())
}

#[test]
fn a_plan_survives_json_unchanged() {
    let full = r#""action":"allow","reason":"r","match":{"scheme":"http","hosts":["a.test"],
      "ports":[8080],"paths":["/a"],"pathPrefixes":["/v1"],"methods":["GET"],
      "headers":[{"name":"x","equals":"1"}],"query":[{"name":"y","present":false}],
      "allowEncodedSlash":true,"allowEmptySegments":true},
      "upstream":{"baseUrl":"http://a.test:8080","target":"t","caPem":"pem",
      "addresses":["127.0.0.1:1","[::1]:2"],"allowRanges":["127.0.0.0/8"]},
      "inject":[{"kind":"header","header":"x-key","template":"token {value}","credential":0}],
      "clear":{"headers":["authorization","x-key"],"query":["key"]},
      "limits":{"maxRequestBytes":1,"requestsPerMinute":2,"concurrency":3},
      "timeouts":{"connectMs":1,"firstByteMs":2,"idleMs":3}"#;
    let text = plan(&route("b/1", full));
    let first = Plan::from_json("plan.json", text.as_bytes()).unwrap();
    let json = first.to_canonical_json();
    let second = Plan::from_json("plan.json", json.as_bytes()).unwrap();
    assert_eq!(first, second);
    assert_eq!(json, second.to_canonical_json());
    assert_eq!(first.egress_routes[0].r#match.paths, ["/a", "/v1/**"]);
    let address: IpAddr = first.egress_routes[0].upstream.addresses[0].ip();
    assert!(address.is_loopback());
    insta::assert_snapshot!(json);
}

#[test]
fn a_plan_with_another_digest_is_refused() {
    let sealed = Plan::from_json("plan.json", plan("").as_bytes()).unwrap().to_canonical_json();
    let changed = sealed.replace("\"version\":3", "\"version\":4");
    assert!(Plan::from_json("plan.json", sealed.as_bytes()).is_ok());
    let found = Plan::from_json("plan.json", changed.as_bytes()).unwrap_err();
    assert_eq!(found.0[0].code, "DIGEST_MISMATCH");
}

#[test]
fn what_is_not_a_plan_is_refused_with_its_place() {
    let matched = r#""match":{"hosts":["a.test"],"paths":["/"]}"#;
    let mut all = String::new();
    for text in [
        String::new(),
        "{\"schemaVersion\":1,\n\"digest\":}".to_owned(),
        plan("").replace(":1,", ":2,"),
        plan("").replace("\"version\"", "\"versions\""),
        plan("").replace(":3", ":9007199254740993"),
        plan(&route("b/1", &matched.replace("paths", "path"))),
        plan(&route("b/1", &matched.replace("\"paths\"", "\"git\":{},\"paths\""))),
        plan(&route("b/1", &format!("{matched},\"action\":\"redirect\""))),
        plan(&route("b/1", &format!("{matched},\"inject\":[{{\"kind\":\"dummy\"}}]"))),
    ] {
        let found = Plan::from_json("plan.json", text.as_bytes()).unwrap_err();
        assert!(found.has_errors());
        all.push_str(&found.to_string());
    }
    insta::assert_snapshot!(all);
}

#[test]
fn every_problem_of_the_routes_is_listed() {
    let matched = r#""match":{"hosts":["a.test"],"paths":["/"]}"#;
    let routes = [
        route("b/ok", matched),
        route("b/ok", matched),
        route("b/hosts", r#""match":{"hosts":["*a.test","a..b","ü"],"paths":["/**"]}"#),
        route("b/none", r#""match":{"hosts":[],"ports":[],"methods":[]}"#),
        route(
            "b/paths",
            r#""match":{"hosts":["a.test"],"paths":["a","/..","/*","/a%2fb","/a//b"]}"#,
        ),
        route("b/method", r#""match":{"hosts":["a.test"],"paths":["/m"],"methods":["G ET"]}"#),
        route(
            "b/conditions",
            r#""match":{"hosts":["a.test"],"paths":["/c"],"headers":[{"name":"X-A","equals":"1"},
               {"name":"y"}],"query":[{"name":"z","equals":"1","present":true}]}"#,
        ),
        route(
            "b/any",
            r#""match":{"hosts":["*"],"paths":["/**"]},"inject":[{"kind":"bearer","credential":0}]"#,
        ),
        route(
            "b/inject",
            &format!(
                r#"{matched},"inject":[{{"kind":"header","header":"host","credential":1}},
               {{"kind":"query","credential":0}},
               {{"kind":"header","header":"x","template":"none","credential":0}}]"#
            ),
        ),
        route(
            "b/deny",
            &format!(r#"{matched},"action":"deny","inject":[{{"kind":"bearer","credential":0}}]"#),
        ),
        route("b/tunnel", &format!(r#"{matched},"action":"tunnel""#)),
        route("b/url", &format!(r#"{matched},"upstream":{{"baseUrl":"ftp://x"}}"#)),
        route("b/limits", &format!(r#"{matched},"limits":{{"concurrency":0}}"#)),
        route("b/integers", &format!(r#"{matched},"timeouts":{{"idleMs":9007199254740993}}"#)),
    ];
    insta::assert_snapshot!(table(&routes).unwrap_err());
}

#[test]
fn too_many_methods_or_routes_at_one_path_are_refused() {
    let methods: Vec<String> = (0..64).map(|n| format!("\"M{n}\"")).collect();
    let text = format!(
        r#""match":{{"hosts":["a.test"],"paths":["/"],"methods":[{}]}}"#,
        methods.join(",")
    );
    assert!(table(&[route("b/1", &text)]).unwrap_err().contains("LIMIT_EXCEEDED"));
    let routes: Vec<String> = (0..1100)
        .map(|n| {
            let condition = format!(r#"{{"name":"x","equals":"{n}"}}"#);
            let matched = format!(r#""hosts":["a.test"],"paths":["/"],"headers":[{condition}]"#);
            route(&format!("b/{n}"), &format!("\"match\":{{{matched}}}"))
        })
        .collect();
    assert!(table(&routes).unwrap_err().contains("LIMIT_EXCEEDED"));
}

#[test]
fn a_connect_is_tunnelled_only_where_nothing_needs_to_be_seen() {
    let routes = [
        route(
            "b/1",
            r#""action":"tunnel","match":{"hosts":["t.test","**.u.test"],"paths":["/**"]}"#,
        ),
        route("b/2", r#""match":{"hosts":["i.test","i.u.test"],"paths":["/a"]}"#),
        route("b/3", r#""action":"deny","match":{"hosts":["d.u.test"],"paths":["/a"]}"#),
        route("b/4", r#""match":{"scheme":"http","hosts":["h.test"],"paths":["/a"]}"#),
    ];
    let table = table(&routes).unwrap();
    for (authority, expected) in [
        ("t.test:443", HostClass::Tunnel(RouteIndex(0))),
        ("x.u.test:443", HostClass::Tunnel(RouteIndex(0))),
        ("y.x.u.test:443", HostClass::Tunnel(RouteIndex(0))),
        ("t.test:22", HostClass::Unknown),
        ("u.test:443", HostClass::Unknown),
        ("i.test:443", HostClass::Intercept),
        ("i.u.test:443", HostClass::Intercept),
        ("d.u.test:443", HostClass::Intercept),
        ("h.test:80", HostClass::Intercept),
        ("h.test:443", HostClass::Unknown),
        ("other.test:443", HostClass::Unknown),
    ] {
        let authority = canonical::authority(authority.as_bytes(), None).unwrap();
        let class = table.host_class(&authority.host, authority.port);
        assert_eq!(class, expected, "{authority}");
    }
}

#[test]
fn passing_through_ends_where_a_route_names_the_host() {
    let inject = r#""inject":[{"kind":"bearer","credential":0}]"#;
    let routes = [
        route("b/1", &format!(r#""match":{{"hosts":["*.m.test"],"paths":["/a"]}},{inject}"#)),
        route("b/2", r#""match":{"hosts":["n.test"],"paths":["/a"]}"#),
    ];
    let text = plan(&routes.join(",")).replacen('{', "{\"unmatched\":\"passthrough\",", 1);
    let plan = Plan::from_json("plan.json", text.as_bytes()).unwrap();
    let table = RouteTable::build(Arc::new(plan)).unwrap();
    for (authority, expected) in [
        ("a.m.test:443", HostClass::Intercept),
        ("a.m.test:22", HostClass::Unknown),
        ("m.test:443", HostClass::Passthrough),
        ("n.test:443", HostClass::Intercept),
        ("n.test:22", HostClass::Passthrough),
        ("other.test:443", HostClass::Passthrough),
    ] {
        let authority = canonical::authority(authority.as_bytes(), None).unwrap();
        let class = table.host_class(&authority.host, authority.port);
        assert_eq!(class, expected, "{authority}");
    }
}

#[test]
fn a_tunnel_beside_a_route_that_must_see_is_a_conflict() {
    let tunnel = r#""action":"tunnel","match":{"hosts":["**.t.test"],"paths":["/**"]}"#;
    for (other, conflict) in [
        (r#""match":{"hosts":["**.t.test"],"paths":["/a"]}"#, true),
        (r#""match":{"hosts":["**.t.test"],"ports":[443],"paths":["/a"]}"#, true),
        (r#""action":"hold","match":{"hosts":["**.t.test"],"paths":["/a"]}"#, true),
        (r#""action":"deny","match":{"hosts":["**.t.test"],"paths":["/a"]}"#, true),
        (r#""action":"deny","match":{"hosts":["*"],"paths":["/**"],"methods":["PUT"]}"#, true),
        (r#""action":"deny","match":{"hosts":["*"],"paths":["/**"]}"#, false),
        (r#""match":{"hosts":["a.t.test"],"paths":["/a"]}"#, false),
        (r#""match":{"hosts":["*"],"paths":["/a"]}"#, false),
        (r#""match":{"hosts":["**.t.test"],"ports":[8443],"paths":["/a"]}"#, false),
        (r#""match":{"hosts":["t.test"],"paths":["/a"]}"#, false),
    ] {
        let built = table(&[route("b/1", tunnel), route("b/2", other)]);
        let found = built.err().unwrap_or_default();
        assert_eq!(found.contains("ROUTE_CONFLICT"), conflict, "{other}: {found}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_loading_panic(bytes: Vec<u8>, tail in "[\\[\\]{}:,\"a-z0-9]{0,40}") {
        let _ = Plan::from_json("x", &bytes);
        let text = plan("").replacen('3', &tail, 1);
        let _ = Plan::from_json("x", text.as_bytes());
    }

    #[test]
    fn no_pattern_makes_building_panic(host in "\\PC{0,12}", path in "/[*{}/a%2.?]{0,12}") {
        let (host, path) = (host.replace(['"', '\\'], ""), path.replace(['"', '\\'], ""));
        let matched = format!(r#""match":{{"hosts":["{host}"],"paths":["{path}"]}}"#);
        let _ = table(&[route("b/1", &matched)]);
    }
}

//! Protocol blocks in plans, in policies and in the table.

#![expect(clippy::unwrap_used, reason = "a panic in a helper fails the test")]

use std::sync::Arc;

use sallygate_compiler::block::Block;
use sallygate_compiler::canonical::{self, Scheme};
use sallygate_compiler::content::git::{Change, RefCommand};
use sallygate_compiler::content::{Content, Inspection, Reading};
use sallygate_compiler::key::MatchKey;
use sallygate_compiler::plan::{Action, Plan};
use sallygate_compiler::table::{Miss, RouteTable, Verdict};
use serde_json::{Value, json};

fn plan(routes: &[Value]) -> Plan {
    let route = |(at, wanted): (usize, &Value)| {
        let (mut wanted, action) = (wanted.clone(), wanted["action"].clone());
        let fields = wanted.as_object_mut().unwrap();
        fields.remove("action");
        fields.entry("hosts").or_insert(json!(["host.test"]));
        fields.entry("paths").or_insert(json!(["/**"]));
        let action = if action.is_null() { json!("allow") } else { action };
        json!({"routeId": format!("b/{at}"), "bindingId": "b", "action": action, "match": wanted})
    };
    let routes: Vec<Value> = routes.iter().enumerate().map(route).collect();
    let text = json!({"schemaVersion": 1, "organizationId": "o", "sandboxProfileId": "p",
        "version": 1, "egressRoutes": routes});
    Plan::from_json("plan.json", text.to_string().as_bytes()).unwrap()
}

fn table(routes: &[Value]) -> RouteTable {
    RouteTable::build(Arc::new(plan(routes))).unwrap()
}

/// `METHOD /path`, with headers.
struct Request(&'static str, &'static [(&'static str, &'static str)]);

fn find(table: &RouteTable, request: &Request, content: &Content) -> Verdict {
    let (method, target) = request.0.split_once(' ').unwrap();
    let authority = canonical::authority(b"host.test", Some(443)).unwrap();
    let target = canonical::target(target.as_bytes()).unwrap();
    let mut headers = http::HeaderMap::new();
    for (name, value) in request.1 {
        headers.append(*name, value.parse().unwrap());
    }
    let key = MatchKey {
        scheme: Scheme::Https,
        host: &authority.host,
        port: 443,
        method,
        target: &target,
        headers: &headers,
    };
    table.find_read(&key, content)
}

fn commands(list: &[(&str, Change)]) -> Content {
    let command =
        |(name, change): &(&str, Change)| RefCommand { name: (*name).to_owned(), change: *change };
    Content { git: Reading::Items(list.iter().map(command).collect()), ..Content::UNREAD }
}

fn outcome(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow(route) => format!("allow {}", route.0),
        Verdict::Hold(route) => format!("hold {}", route.0),
        Verdict::Deny(route) => format!("deny {}", route.0),
        Verdict::NoRoute { reason: Miss::Content, .. } => "no_route content".to_owned(),
        Verdict::NoRoute { .. } => "no_route".to_owned(),
        Verdict::Passthrough => "passthrough".to_owned(),
        Verdict::Inspect(kind) => format!("inspect {}", kind.as_str()),
    }
}

const PUSH: Request = Request("POST /acme/app.git/git-receive-pack", &[]);

#[test]
fn a_block_survives_json_and_one_string_is_a_list() {
    for (written, kept) in [
        (
            json!({"git": {"service": "receive-pack", "refs": "refs/heads/x", "update": "create"}}),
            json!({"git": {"service": "receive-pack", "refs": ["refs/heads/x"], "update": ["create"]}}),
        ),
        (
            json!({"graphql": {"operation": ["query", "query"]}}),
            json!({"graphql": {"operation": ["query"]}}),
        ),
        (json!({"mcp": {"tools": ["b", "a"]}}), json!({"mcp": {"tools": ["a", "b"]}})),
        (json!({"grpc": {}}), json!({"grpc": {}})),
    ] {
        let plan = plan(&[written]);
        let value: Value = serde_json::from_str(&plan.to_canonical_json()).unwrap();
        let block = kept.as_object().unwrap().iter().next().unwrap();
        assert_eq!(&value["egressRoutes"][0]["match"][block.0], block.1);
        assert_eq!(Plan::from_json("again", plan.to_canonical_json().as_bytes()).unwrap(), plan);
    }
}

#[test]
fn what_is_no_block_is_refused_when_the_plan_is_read() {
    for wanted in [
        json!({"git": {"service": "upload-pack"}, "mcp": {}}),
        json!({"git": {}}),
        json!({"git": {"service": "archive"}}),
        json!({"git": {"service": "receive-pack", "branch": "main"}}),
        json!({"git": {"service": "receive-pack", "update": "rewind"}}),
        json!({"graphql": {"operation": "Query"}}),
        json!({"graphql": {"fields": 1}}),
        json!({"mcp": {"tool": "x"}}),
        json!({"grpc": {"service": {"a": 1}}}),
    ] {
        let mut wanted = wanted;
        wanted["hosts"] = json!(["host.test"]);
        let text = json!({"schemaVersion": 1, "organizationId": "o", "sandboxProfileId": "p",
            "version": 1, "egressRoutes": [{"routeId": "b/r", "bindingId": "b", "match": wanted}]});
        let read = Plan::from_json("plan.json", text.to_string().as_bytes());
        assert!(read.is_err(), "{wanted}");
    }
}

#[test]
fn a_block_that_could_not_mean_what_it_says_is_refused() {
    for (action, block, field) in [
        (Action::Allow, json!({"git": {"service": "upload-pack", "refs": ["main"]}}), "refs"),
        (Action::Deny, json!({"git": {"service": "upload-pack", "refs": ["HEAD"]}}), "refs"),
        (Action::Allow, json!({"git": {"service": "upload-pack", "update": ["create"]}}), "update"),
        (Action::Allow, json!({"git": {"service": "receive-pack", "refs": []}}), "refs"),
        (Action::Allow, json!({"git": {"service": "receive-pack", "refs": ["main"]}}), "refs"),
        (Action::Allow, json!({"git": {"service": "receive-pack", "refs": ["refs"]}}), "refs"),
        (
            Action::Allow,
            json!({"git": {"service": "receive-pack", "refs": ["refs/heads/f*"]}}),
            "refs",
        ),
        (Action::Allow, json!({"git": {"service": "receive-pack", "refs": ["refs/**/x"]}}), "refs"),
        (Action::Allow, json!({"git": {"service": "receive-pack", "refs": ["refs//x"]}}), "refs"),
        (
            Action::Allow,
            json!({"git": {"service": "receive-pack", "refs": ["refs/heads/.."]}}),
            "refs",
        ),
        (
            Action::Allow,
            json!({"git": {"service": "receive-pack", "update": ["update"]}}),
            "update",
        ),
        (Action::Hold, json!({"git": {"service": "receive-pack", "update": ["force"]}}), "update"),
        (Action::Deny, json!({"graphql": {"operation": []}}), "operation"),
        (Action::Allow, json!({"graphql": {"fields": ["a.b"]}}), "fields"),
        (Action::Allow, json!({"graphql": {"fields": ["1a"]}}), "fields"),
        (Action::Allow, json!({"mcp": {"tools": ["a*b"]}}), "tools"),
        (Action::Allow, json!({"mcp": {"method": [""]}}), "method"),
        (Action::Allow, json!({"mcp": {"method": ["tools/list"], "tools": ["a"]}}), "tools"),
        (Action::Allow, json!({"grpc": {"service": ["a/b"]}}), "service"),
        (Action::Allow, json!({"grpc": {"method": ["a.b"]}}), "method"),
    ] {
        let read: Block = serde_json::from_value(block.clone()).unwrap();
        let fields: Vec<_> = read.problems(action).into_iter().map(|p| p.field).collect();
        assert_eq!(fields, [field], "{block}");
    }
    let fine = [
        json!({"git": {"service": "receive-pack", "refs": ["refs/heads/*", "refs/**"]}}),
        json!({"git": {"service": "receive-pack", "update": ["update", "force", "create"]}}),
        json!({"mcp": {"method": ["tools/*"], "tools": ["get_*"]}}),
        json!({"grpc": {"service": ["a.b.C"], "method": ["D"]}}),
    ];
    for block in fine {
        let read: Block = serde_json::from_value(block.clone()).unwrap();
        assert_eq!(read.problems(Action::Allow), [], "{block}");
    }
    // Forbidding one of the two is possible: it forbids both.
    let one = json!({"git": {"service": "receive-pack", "update": ["force"]}});
    let read: Block = serde_json::from_value(one).unwrap();
    assert_eq!(read.problems(Action::Deny), []);
}

#[test]
fn a_push_is_inside_when_every_command_is_and_denied_when_any_is() {
    let feature = json!({"git": {"service": "receive-pack", "refs": ["refs/heads/feature/**"],
        "update": ["create", "update", "force"]}});
    let table = table(&[feature]);
    assert_eq!(outcome(find(&table, &PUSH, &Content::UNREAD)), "inspect git commands");
    for (content, expected) in [
        (commands(&[("refs/heads/feature/a", Change::Create)]), "allow 0"),
        (commands(&[("refs/heads/feature/a/b", Change::Move)]), "allow 0"),
        (commands(&[("refs/heads/feature/a", Change::Delete)]), "no_route content"),
        (commands(&[("refs/heads/feature", Change::Create)]), "no_route content"),
        (commands(&[("refs/heads/featured/a", Change::Create)]), "no_route content"),
        (commands(&[("refs/heads/main", Change::Move)]), "no_route content"),
        (
            commands(&[
                ("refs/heads/feature/a", Change::Create),
                ("refs/heads/main", Change::Move),
            ]),
            "no_route content",
        ),
        (commands(&[]), "no_route content"),
        (Content { git: Reading::Unreadable, ..Content::UNREAD }, "no_route content"),
    ] {
        assert_eq!(outcome(find(&table, &PUSH, &content)), expected, "{content:?}");
    }
}

#[test]
fn a_denied_push_is_denied_on_doubt() {
    let deny = json!({"action": "deny", "git": {"service": "receive-pack",
        "refs": ["refs/heads/main"], "update": ["force", "delete"]}});
    let table = table(&[json!({}), deny]);
    for (request, content, expected) in [
        (PUSH, Content::UNREAD, "inspect git commands"),
        (PUSH, Content { git: Reading::Unreadable, ..Content::UNREAD }, "deny 1"),
        (PUSH, commands(&[("refs/heads/main", Change::Move)]), "deny 1"),
        (PUSH, commands(&[("refs/heads/main", Change::Create)]), "allow 0"),
        (
            PUSH,
            commands(&[("refs/heads/x", Change::Create), ("refs/heads/main", Change::Delete)]),
            "deny 1",
        ),
        (Request("POST /a/GIT-Receive-Pack", &[]), Content::UNREAD, "inspect git commands"),
        (Request("PUT /a/git-receive-pack", &[]), Content::UNREAD, "inspect git commands"),
        (Request("GET /a/info/refs?service=git-receive-pack", &[]), Content::UNREAD, "allow 0"),
        (Request("POST /a/git-upload-pack", &[]), Content::UNREAD, "allow 0"),
    ] {
        assert_eq!(
            outcome(find(&table, &request, &content)),
            expected,
            "{} {content:?}",
            request.0
        );
    }
}

#[test]
fn a_fetch_only_route_takes_no_form_of_push() {
    let table = table(&[json!({"git": {"service": "upload-pack"}})]);
    for (request, expected) in [
        ("GET /a.git/info/refs?service=git-upload-pack", "allow 0"),
        ("POST /a.git/git-upload-pack", "allow 0"),
        ("GET /a.git/info/refs?service=git-receive-pack", "no_route content"),
        (
            "GET /a.git/info/refs?service=git-upload-pack&service=git-receive-pack",
            "no_route content",
        ),
        (
            "GET /a.git/info/refs?service=git-receive-pack&service=git-upload-pack",
            "no_route content",
        ),
        ("GET /a.git/info/refs?service=git%2dupload-pack", "no_route content"),
        ("GET /a.git/info/refs", "no_route content"),
        ("POST /a.git/git-receive-pack", "no_route content"),
        ("POST /a.git/%67it-receive-pack", "no_route content"),
        ("POST /a.git/Git-Upload-Pack", "no_route content"),
        ("PUT /a.git/git-upload-pack", "no_route content"),
        ("GET /a.git/git-upload-pack", "no_route content"),
        ("GET /a.git/HEAD", "no_route content"),
        ("POST /a.git//git-upload-pack", "no_route"),
    ] {
        assert_eq!(
            outcome(find(&table, &Request(request, &[]), &Content::UNREAD)),
            expected,
            "{request}"
        );
    }
}

#[test]
fn a_denied_service_is_denied_however_it_is_asked_for() {
    let table = table(&[
        json!({"allowEmptySegments": true, "allowEncodedSlash": true}),
        json!({"action": "deny", "git": {"service": "receive-pack"}}),
    ]);
    for (request, expected) in [
        ("GET /a.git/info/refs?service=git-receive-pack", "deny 1"),
        ("GET /a.git/info/refs?x=1&service=git-receive-pack", "deny 1"),
        ("GET /a.git/info/refs?service=GIT-receive-pack", "deny 1"),
        ("GET /a.git/info//refs?service=git-receive-pack", "deny 1"),
        ("GET /a.git/INFO/refs/?service=git%2Dreceive-pack", "deny 1"),
        ("POST /a.git/git-receive-pack", "deny 1"),
        ("POST /a.git/git-receive-pack/", "deny 1"),
        ("POST /a.git//git-receive-pack", "deny 1"),
        ("POST /a.git%2Fgit-receive-pack", "deny 1"),
        ("POST /a.git/%67it-receive-pack", "deny 1"),
        ("GET /a.git/info/refs?service=git-upload-pack", "allow 0"),
        ("POST /a.git/git-upload-pack", "allow 0"),
        ("GET /a.git/HEAD", "allow 0"),
    ] {
        assert_eq!(
            outcome(find(&table, &Request(request, &[]), &Content::UNREAD)),
            expected,
            "{request}"
        );
    }
}

#[test]
fn a_grpc_call_is_told_by_path_and_content_type() {
    let grpc = json!({"grpc": {"service": "test.Gate", "method": ["Upper", "Echo"]}});
    let table = table(&[grpc, json!({"action": "deny", "grpc": {"method": "Echo"}})]);
    const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc")];
    for (request, expected) in [
        (Request("POST /test.Gate/Upper", GRPC), "allow 0"),
        (
            Request("POST /test.Gate/Upper", &[("content-type", "application/grpc+proto")]),
            "allow 0",
        ),
        (
            Request("POST /test.Gate/Upper", &[("content-type", "application/grpc-web")]),
            "no_route content",
        ),
        (Request("POST /test.Gate/Upper", &[]), "no_route content"),
        (Request("GET /test.Gate/Upper", GRPC), "no_route content"),
        (Request("POST /test.Gate/upper", GRPC), "no_route content"),
        (Request("POST /test.Gates/Upper", GRPC), "no_route content"),
        (Request("POST /x/test.Gate/Upper", GRPC), "no_route content"),
        (Request("POST /test.Gate/Upper/", GRPC), "no_route content"),
        (Request("POST /test.Gate/Echo", GRPC), "deny 1"),
        (Request("POST /test.Gate/Echo", &[]), "deny 1"),
    ] {
        let found = find(&table, &request, &Content::UNREAD);
        assert_eq!(outcome(found), expected, "{} {:?}", request.0, request.1);
    }
}

#[test]
fn a_route_with_a_block_goes_before_the_same_without() {
    let table = table(&[
        json!({}),
        json!({"action": "hold", "graphql": {"operation": "mutation"}}),
        json!({"paths": ["/x/**"], "mcp": {"tools": "get_*"}}),
    ]);
    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
    for (request, expected) in [
        (Request("POST /graphql", JSON), "inspect graphql"),
        (Request("POST /x/mcp", JSON), "inspect json-rpc"),
        (Request("GET /graphql", &[]), "allow 0"),
        (Request("GET /graphql?query={a}", &[]), "inspect graphql"),
        (Request("POST /graphql", &[("content-type", "multipart/form-data")]), "allow 0"),
        (Request("DELETE /x/mcp", &[]), "allow 0"),
    ] {
        assert_eq!(outcome(find(&table, &request, &Content::UNREAD)), expected, "{}", request.0);
    }
    assert_eq!(Inspection::JsonRpc.as_str(), "json-rpc");
}

#[test]
fn a_denied_protocol_is_denied_when_it_comes_in_a_form_that_is_not_read() {
    let table = table(&[
        json!({}),
        json!({"action": "deny", "paths": ["/graphql"], "graphql": {"operation": "mutation"}}),
        json!({"action": "deny", "paths": ["/mcp"], "mcp": {"tools": "delete_*"}}),
    ]);
    const JSON: (&str, &str) = ("content-type", "application/json");
    for (request, expected) in [
        (Request("POST /graphql", &[JSON]), "inspect graphql"),
        (
            Request("POST /graphql", &[("content-type", "application/json; charset=utf-8")]),
            "inspect graphql",
        ),
        (
            Request("POST /graphql", &[("content-type", "application/json; charset=utf-16")]),
            "deny 1",
        ),
        (Request("POST /graphql", &[("content-type", "multipart/form-data")]), "deny 1"),
        (Request("POST /graphql", &[]), "deny 1"),
        (Request("POST /graphql", &[JSON, JSON]), "deny 1"),
        (Request("POST /graphql", &[JSON, ("content-encoding", "gzip")]), "deny 1"),
        (Request("PUT /graphql", &[JSON]), "deny 1"),
        (Request("GET /graphql?extensions={}", &[]), "inspect graphql"),
        (Request("GET /graphql", &[]), "allow 0"),
        (Request("GET /graphql", &[("upgrade", "websocket")]), "deny 1"),
        (Request("GET /graphql", &[("content-length", "9")]), "deny 1"),
        (Request("GET /graphql", &[("content-length", "0")]), "allow 0"),
        (Request("GET /graphql", &[("x-http-method-override", "POST")]), "deny 1"),
        (Request("DELETE /graphql", &[("transfer-encoding", "chunked")]), "deny 1"),
        (Request("GET /mcp", &[("upgrade", "websocket")]), "deny 2"),
        (Request("POST /mcp", &[JSON, ("content-length", "9")]), "inspect json-rpc"),
        (Request("POST /mcp", &[JSON]), "inspect json-rpc"),
        (Request("POST /mcp", &[("content-type", "text/plain")]), "deny 2"),
        (Request("PATCH /mcp", &[JSON]), "deny 2"),
        (Request("GET /mcp", &[]), "allow 0"),
        (Request("DELETE /mcp", &[]), "allow 0"),
        (Request("POST /other", &[JSON]), "allow 0"),
    ] {
        let found = find(&table, &request, &Content::UNREAD);
        assert_eq!(outcome(found), expected, "{} {:?}", request.0, request.1);
    }
}

#[test]
fn blocks_that_meet_conflict_and_blocks_that_do_not_meet_stand_side_by_side() {
    let inject = |block: Value, name: &str| {
        let mut block = block;
        block["hosts"] = json!(["host.test"]);
        block["paths"] = json!(["/**"]);
        let action = if name == "a" { "allow" } else { "hold" };
        json!({"routeId": format!("b/{name}"), "bindingId": "b", "action": action, "match": block})
    };
    for (a, b, conflict) in [
        (
            json!({"graphql": {"operation": "query"}}),
            json!({"graphql": {"operation": "mutation"}}),
            false,
        ),
        (json!({"graphql": {"operation": "query"}}), json!({"graphql": {"fields": "a"}}), true),
        (json!({"graphql": {"fields": "a"}}), json!({"graphql": {"fields": ["a", "b"]}}), true),
        (json!({"graphql": {}}), json!({"mcp": {}}), false),
        (json!({"graphql": {}}), json!({"git": {"service": "upload-pack"}}), true),
        (json!({"mcp": {"tools": "a*"}}), json!({"mcp": {"tools": "b*"}}), false),
        (json!({"mcp": {"tools": "a*"}}), json!({"mcp": {"tools": "ab"}}), true),
        (
            json!({"mcp": {"method": "tools/*", "tools": "a"}}),
            json!({"mcp": {"method": "tools/*", "tools": "b"}}),
            true,
        ),
        (json!({"mcp": {"method": "initialize"}}), json!({"mcp": {"tools": "b"}}), false),
        (json!({"grpc": {"service": "a"}}), json!({"grpc": {"method": "b"}}), true),
        (json!({"grpc": {"service": "a"}}), json!({"grpc": {"service": "b"}}), false),
        (
            json!({"git": {"service": "upload-pack"}}),
            json!({"git": {"service": "receive-pack"}}),
            false,
        ),
        (
            json!({"git": {"service": "receive-pack", "refs": "refs/heads/a"}}),
            json!({"git": {"service": "receive-pack", "refs": "refs/heads/b"}}),
            true,
        ),
    ] {
        let text = json!({"schemaVersion": 1, "organizationId": "o", "sandboxProfileId": "p",
            "version": 1, "egressRoutes": [inject(a.clone(), "a"), inject(b.clone(), "b")]});
        let plan = Plan::from_json("plan.json", text.to_string().as_bytes()).unwrap();
        let built = RouteTable::build(Arc::new(plan));
        let codes: Vec<_> = built
            .err()
            .map(|found| found.0.iter().map(|d| d.code.clone()).collect())
            .unwrap_or_default();
        let expected: &[&str] = if conflict { &["ROUTE_CONFLICT"] } else { &[] };
        assert_eq!(codes, expected, "{a} {b}");
    }
}

const FETCH: Request = Request("POST /a.git/git-upload-pack", &[("git-protocol", "version=2")]);

fn wants(list: &[&str]) -> Content {
    let names = list.iter().map(|name| (*name).to_owned()).collect();
    Content { wants: Reading::Items(names), ..Content::UNREAD }
}

#[test]
fn a_fetch_is_allowed_when_all_that_it_wants_is_inside() {
    let table =
        table(&[json!({"git": {"service": "upload-pack", "refs": ["refs/heads/feature/**"]}})]);
    for (content, expected) in [
        (Content::UNREAD, "inspect git wants"),
        (Content { wants: Reading::Nothing, ..Content::UNREAD }, "allow 0"),
        (wants(&["refs/heads/feature/a"]), "allow 0"),
        (wants(&["refs/heads/feature/a", "refs/heads/feature/b/c"]), "allow 0"),
        (wants(&["refs/heads/feature/a", "refs/heads/main"]), "no_route content"),
        (wants(&["refs/heads/feature"]), "no_route content"),
        (wants(&["HEAD"]), "no_route content"),
        (wants(&[]), "no_route content"),
        (Content { wants: Reading::Unreadable, ..Content::UNREAD }, "no_route content"),
    ] {
        assert_eq!(outcome(find(&table, &FETCH, &content)), expected, "{content:?}");
    }
    const V2: &[(&str, &str)] = &[("git-protocol", "version=2")];
    for (request, expected) in [
        (Request("GET /a.git/info/refs?service=git-upload-pack", V2), "allow 0"),
        (Request("GET /a.git/info/refs?service=git-upload-pack", &[]), "no_route content"),
        (
            Request(
                "GET /a.git/info/refs?service=git-upload-pack",
                &[("git-protocol", "version=1")],
            ),
            "no_route content",
        ),
        (
            Request(
                "GET /a.git/info/refs?service=git-upload-pack",
                &[("git-protocol", "version=2"), ("git-protocol", "version=0")],
            ),
            "no_route content",
        ),
        (Request("GET /a.git/info/refs", V2), "no_route content"),
        (Request("POST /a.git/git-upload-pack", &[]), "no_route content"),
        (Request("POST /a.git/Git-upload-pack", V2), "no_route content"),
        (Request("POST /a.git/git-receive-pack", V2), "no_route content"),
    ] {
        let found = outcome(find(&table, &request, &wants(&["refs/heads/feature/a"])));
        assert_eq!(found, expected, "{} {:?}", request.0, request.1);
    }
}

#[test]
fn a_denied_fetch_is_denied_on_doubt() {
    let deny = json!({"action": "deny",
        "git": {"service": "upload-pack", "refs": ["refs/heads/secret"]}});
    let table = table(&[json!({}), deny]);
    const V2: &[(&str, &str)] = &[("git-protocol", "version=2")];
    for (request, content, expected) in [
        (FETCH, Content::UNREAD, "inspect git wants"),
        (FETCH, Content { wants: Reading::Nothing, ..Content::UNREAD }, "allow 0"),
        (FETCH, Content { wants: Reading::Unreadable, ..Content::UNREAD }, "deny 1"),
        (FETCH, wants(&["refs/heads/main"]), "allow 0"),
        (FETCH, wants(&["refs/heads/main", "refs/heads/secret"]), "deny 1"),
        (Request("POST /a/git-upload-pack", &[]), wants(&["refs/heads/main"]), "deny 1"),
        (Request("POST /a/GIT-upload-pack", V2), Content::UNREAD, "inspect git wants"),
        (Request("GET /a/info/refs?service=git-upload-pack", V2), Content::UNREAD, "allow 0"),
        (Request("GET /a/info/refs?service=git-upload-pack", &[]), Content::UNREAD, "deny 1"),
        (Request("GET /a/info/refs", V2), Content::UNREAD, "deny 1"),
        (Request("GET /a/info/refs?service=git-receive-pack", &[]), Content::UNREAD, "allow 0"),
        (Request("POST /a/git-receive-pack", &[]), Content::UNREAD, "allow 0"),
    ] {
        let found = outcome(find(&table, &request, &content));
        assert_eq!(found, expected, "{} {content:?}", request.0);
    }
}

//! The table decides requests with content as the specification says.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a specification is to be read; a panic in it fails the test"
)]

mod specification;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sallygate_compiler::analysis::diff;
use sallygate_compiler::block::{
    Block, GitBlock, GitService, GitUpdate, GraphqlBlock, GrpcBlock, McpBlock, Operation,
};
use sallygate_compiler::canonical::{self, Scheme};
use sallygate_compiler::content::git::{Change, RefCommand};
use sallygate_compiler::content::graphql::Selection;
use sallygate_compiler::content::json_rpc::Call;
use sallygate_compiler::content::{Content, Reading};
use sallygate_compiler::key::MatchKey;
use sallygate_compiler::plan::{Action, Match, Plan};
use sallygate_compiler::table::{RouteTable, Verdict};
use specification::{Fields, Request, specification};

fn find(table: &RouteTable, request: &Request) -> Verdict {
    let host = canonical::host(request.host.as_bytes()).unwrap();
    let target = canonical::target(request.target.as_bytes()).unwrap();
    let headers = Fields(&request.headers);
    let key = MatchKey {
        scheme: request.scheme,
        host: &host,
        port: request.port,
        method: &request.method,
        target: &target,
        headers: &headers,
    };
    table.find_read(&key, &request.content)
}

fn some<T: Clone + std::fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    subsequence(all.to_vec(), 1..=all.len())
}

fn texts(all: &[&str]) -> impl Strategy<Value = Option<Vec<String>>> + use<> {
    let all: Vec<String> = all.iter().map(|text| (*text).to_owned()).collect();
    proptest::option::of(some(&all))
}

fn git() -> impl Strategy<Value = Block> {
    // `update` and `force` go together, or the block is refused.
    let updates = prop_oneof![
        Just(vec![GitUpdate::Create]),
        Just(vec![GitUpdate::Delete]),
        Just(vec![GitUpdate::Create, GitUpdate::Update, GitUpdate::Force]),
        Just(vec![GitUpdate::Update, GitUpdate::Delete, GitUpdate::Force]),
    ];
    let refs = texts(&["refs/heads/main", "refs/heads/*", "refs/heads/f/**", "refs/**"]);
    let receive = (refs, proptest::option::of(updates)).prop_map(|(refs, update)| GitBlock {
        service: GitService::ReceivePack,
        refs,
        update,
    });
    let refs = texts(&["refs/heads/main", "refs/heads/*", "refs/heads/f/**", "refs/tags/**"]);
    let upload =
        refs.prop_map(|refs| GitBlock { service: GitService::UploadPack, refs, update: None });
    prop_oneof![3 => receive, 2 => upload].prop_map(Block::Git)
}

fn graphql() -> impl Strategy<Value = Block> {
    let operation = proptest::option::of(some(&[Operation::Query, Operation::Mutation]));
    (operation, texts(&["viewer", "node"]))
        .prop_map(|(operation, fields)| Block::Graphql(GraphqlBlock { operation, fields }))
}

fn mcp() -> impl Strategy<Value = Block> {
    let with_tools = (
        proptest::option::of(Just(vec!["tools/call".to_owned(), "tools/list".to_owned()])),
        texts(&["read", "write*"]),
    );
    let without = texts(&["tools/list", "tools/*", "ping", "*"]).prop_map(|method| (method, None));
    prop_oneof![with_tools, without]
        .prop_map(|(method, tools)| Block::Mcp(McpBlock { method, tools }))
}

fn grpc() -> impl Strategy<Value = Block> {
    (texts(&["pkg.S", "pkg.T"]), texts(&["Get", "Put"]))
        .prop_map(|(service, method)| Block::Grpc(GrpcBlock { service, method }))
}

fn wanted() -> impl Strategy<Value = Match> {
    let block = prop_oneof![git(), graphql(), mcp(), grpc()];
    let paths = some(&["/**", "/acme/**", "/acme/app/git-receive-pack", "/{one}", "/pkg.S/{m}"]);
    let methods = proptest::option::weighted(0.3, some(&["GET", "POST"]));
    (proptest::option::weighted(0.8, block), paths, methods).prop_map(|(block, paths, methods)| {
        let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
        Match {
            hosts: vec!["x.test".to_owned()],
            paths: owned(paths),
            methods: methods.map(owned),
            block,
            ..Match::default()
        }
    })
}

fn reading<T: Clone + std::fmt::Debug + 'static>(
    items: impl Strategy<Value = T>,
) -> impl Strategy<Value = Reading<T>> {
    prop_oneof![
        1 => Just(Reading::Unreadable),
        6 => proptest::collection::vec(items, 1..4).prop_map(Reading::Items),
    ]
}

fn commands() -> impl Strategy<Value = Reading<RefCommand>> {
    let names =
        ["refs/heads/main", "refs/heads/x", "refs/heads/f/x", "refs/heads/f", "refs/tags/1"];
    let change = select(vec![Change::Create, Change::Move, Change::Delete]);
    let command = (select(names.to_vec()), change)
        .prop_map(|(name, change)| RefCommand { name: name.to_owned(), change });
    prop_oneof![5 => reading(command), 1 => Just(Reading::Nothing)]
}

fn wants() -> impl Strategy<Value = Reading<String>> {
    let names =
        ["refs/heads/main", "refs/heads/x", "refs/heads/f/x", "refs/heads/f", "refs/tags/1"];
    let name = select(names.to_vec()).prop_map(str::to_owned);
    prop_oneof![5 => reading(name), 1 => Just(Reading::Nothing)]
}

fn selections() -> impl Strategy<Value = Reading<Selection>> {
    let operation = select(vec![Operation::Query, Operation::Mutation, Operation::Subscription]);
    reading(
        (operation, select(vec!["viewer", "node", "other"]))
            .prop_map(|(operation, field)| Selection { operation, field: field.to_owned() }),
    )
}

fn calls() -> impl Strategy<Value = Reading<Call>> {
    let tools = ["read", "write", "write_all", "other"];
    let call = prop_oneof![
        select(tools.to_vec()).prop_map(|tool| ("tools/call", Some(tool.to_owned()))),
        select(vec!["tools/list", "ping", "", "tools/call"]).prop_map(|method| (method, None)),
    ];
    reading(call.prop_map(|(method, tool)| Call { method: method.to_owned(), tool }))
}

/// Heads that tell clearly of which protocol they are, and some that are of none.
const HEADS: [(&str, &str, &str); 17] = [
    ("POST", "/acme/app/git-receive-pack", "application/x-git-receive-pack-request"),
    ("POST", "/other/git-receive-pack", ""),
    ("POST", "/acme/app/git-upload-pack", ""),
    ("GET", "/acme/app/info/refs?service=git-receive-pack", ""),
    ("GET", "/acme/app/info/refs?service=git-upload-pack", ""),
    ("POST", "/graphql", "application/json"),
    ("POST", "/acme/graphql", "application/json"),
    ("POST", "/graphql", "text/plain"),
    ("GET", "/graphql?query=x", ""),
    ("GET", "/graphql", ""),
    ("DELETE", "/graphql", ""),
    ("POST", "/pkg.S/Get", "application/grpc"),
    ("POST", "/pkg.S/Put", "application/grpc+proto"),
    ("POST", "/pkg.T/Get", "application/grpc"),
    ("POST", "/pkg.S/Get", "application/json"),
    ("POST", "/pkg.S/Get/x", "application/grpc"),
    ("GET", "/pkg.S/Get", ""),
];

fn request() -> impl Strategy<Value = Request> {
    let version = select(vec![None, Some("version=2"), Some("version=1")]);
    let contents = (commands(), wants(), selections(), calls());
    (select(HEADS.to_vec()), version, contents).prop_map(
        |((method, target, kind), version, (git, wants, graphql, json_rpc))| Request {
            scheme: Scheme::Https,
            host: "x.test".to_owned(),
            port: 443,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: [("content-type", Some(kind)), ("git-protocol", version)]
                .into_iter()
                .filter_map(|(name, value)| {
                    let value = value.filter(|value| !value.is_empty())?;
                    Some((name.to_owned(), vec![value.to_owned()]))
                })
                .collect(),
            content: Content { git, wants, graphql, json_rpc },
        },
    )
}

fn plan(routes: Vec<(Action, Match)>) -> Plan {
    let empty = r#"{"schemaVersion":1,"organizationId":"o","sandboxProfileId":"p","version":1,
        "egressRoutes":[{"routeId":"b/r","bindingId":"b","match":{"hosts":["x"]}}]}"#;
    let mut plan = Plan::from_json("plan", empty.as_bytes()).unwrap();
    let first = plan.egress_routes.pop().unwrap();
    let routes = routes.into_iter().enumerate().map(|(at, (action, wanted))| {
        let mut route = first.clone();
        (route.route_id, route.action, route.r#match) = (format!("b/{at:02}"), action, wanted);
        route
    });
    plan.egress_routes = routes.collect();
    plan.seal();
    plan
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_a_request_says_inside_its_protocol_decides_as_the_specification_says(
        routes in proptest::collection::vec(
            (prop_oneof![3 => Just(Action::Allow), 2 => Just(Action::Deny)], wanted()), 1..8),
        requests in proptest::collection::vec(request(), 24),
    ) {
        let plan = plan(routes);
        // All allow to the same effect, so nothing conflicts.
        let table = RouteTable::build(Arc::new(plan.clone())).unwrap();
        for request in requests {
            let (found, expected) = (find(&table, &request), specification(&plan, &request));
            prop_assert_eq!(found, expected, "{:?} {:#?}", request, plan.egress_routes);
        }
    }
}

/// One kind of content at a time, every item alone and every pair; what cannot be read, and nothing.
fn contents() -> Vec<Content> {
    let mut all = vec![Content::UNREADABLE];
    let mut push = |content: Content| all.push(content);
    let names =
        ["refs/heads/main", "refs/heads/x", "refs/heads/f/x", "refs/heads/f", "refs/tags/1"];
    let changes = [Change::Create, Change::Move, Change::Delete];
    let commands = names
        .iter()
        .flat_map(|name| changes.map(|change| RefCommand { name: (*name).to_owned(), change }));
    for git in readings(&commands.collect::<Vec<_>>()).into_iter().chain([Reading::Nothing]) {
        push(Content { git, ..Content::UNREADABLE });
    }
    for wants in readings(&names.map(str::to_owned)).into_iter().chain([Reading::Nothing]) {
        push(Content { wants, ..Content::UNREADABLE });
    }
    let operations = [Operation::Query, Operation::Mutation, Operation::Subscription];
    let selections = operations.into_iter().flat_map(|operation| {
        ["viewer", "node", "other"].map(|field| Selection { operation, field: field.to_owned() })
    });
    for graphql in readings(&selections.collect::<Vec<_>>()) {
        push(Content { graphql, ..Content::UNREADABLE });
    }
    let call = |method: &str, tool: Option<&str>| Call {
        method: method.to_owned(),
        tool: tool.map(str::to_owned),
    };
    let tools = ["read", "write", "write_all", "other"].map(|tool| call("tools/call", Some(tool)));
    let others = ["tools/list", "tools/call", "tools/x", "ping", ""].map(|m| call(m, None));
    for json_rpc in readings(&[&tools[..], &others[..]].concat()) {
        push(Content { json_rpc, ..Content::UNREADABLE });
    }
    all
}

fn readings<T: Clone>(items: &[T]) -> Vec<Reading<T>> {
    let pairs = items.iter().enumerate().flat_map(|(at, first)| {
        items.iter().take(at + 1).map(move |second| vec![first.clone(), second.clone()])
    });
    pairs.map(Reading::Items).chain([Reading::Unreadable]).collect()
}

/// The heads that tell clearly, and those that only a denying route understands.
fn heads() -> Vec<Request> {
    let disguised = [
        ("POST", "/acme/app/GIT-receive-pack", ""),
        ("PUT", "/acme/app/git-receive-pack", ""),
        ("POST", "/acme/app/git-receive-pack/", ""),
        ("POST", "/acme/app/git-upload-pack/", ""),
        ("GET", "/acme/app/Info/refs?service=git-receive-pack", ""),
        ("GET", "/acme/app/info/refs?service=git%2Dreceive-pack", ""),
        ("GET", "/acme/app/info/refs", ""),
        ("GET", "/acme/app/info/refs?x=git-upload-pack", ""),
        ("POST", "/graphql", "application/json; charset=latin1"),
        ("PUT", "/graphql", "application/json"),
        ("HEAD", "/graphql?query=x", ""),
        ("OPTIONS", "/graphql", ""),
        ("POST", "/acme/graphql", "application/graphql"),
        ("PUT", "/pkg.S/Get", "application/grpc"),
    ];
    let mut all = Vec::new();
    for (method, target, kind) in HEADS.into_iter().chain(disguised) {
        for more in [
            None,
            Some(("upgrade", "h2c")),
            Some(("content-encoding", "gzip")),
            Some(("git-protocol", "version=2")),
        ] {
            // It is about fetches only.
            if more.is_some_and(|(name, _)| name == "git-protocol") && !target.contains("upload") {
                continue;
            }
            let mut headers: Vec<(String, Vec<String>)> = Vec::new();
            if !kind.is_empty() {
                headers.push(("content-type".to_owned(), vec![kind.to_owned()]));
            }
            headers.extend(more.map(|(name, value)| (name.to_owned(), vec![value.to_owned()])));
            all.push(Request {
                scheme: Scheme::Https,
                host: "x.test".to_owned(),
                port: 443,
                method: method.to_owned(),
                target: target.to_owned(),
                headers,
                content: Content::UNREAD,
            });
        }
    }
    all
}

/// What a request becomes once all that was asked for is read: one kind only ever is.
fn decided(table: &RouteTable, request: &Request, content: &Content) -> Verdict {
    find(table, &Request { content: content.clone(), ..request.clone() })
}

#[test]
fn a_plan_with_calls_of_any_service_differs_from_one_without() {
    let any = |service: Option<&str>| Match {
        hosts: vec!["x.test".to_owned()],
        paths: vec!["/**".to_owned()],
        block: Some(Block::Grpc(GrpcBlock {
            service: service.map(|name| vec![name.to_owned()]),
            method: None,
        })),
        ..Match::default()
    };
    let table = |routes| RouteTable::build(Arc::new(plan(routes))).unwrap();
    let none = table(Vec::new());
    for (service, path) in [(None, "/*/*"), (Some("pkg.S"), "/pkg.S/*")] {
        let some = table(vec![(Action::Allow, any(service))]);
        let found = diff(&some, &none);
        assert!(found.complete);
        let paths: Vec<&str> = found.regions.iter().map(|region| region.path.as_str()).collect();
        assert_eq!(paths, [path]);
        assert!(diff(&some, &some).regions.is_empty());
    }
}

fn is_like(a: Verdict, b: Verdict) -> bool {
    let word = |verdict| match verdict {
        Verdict::Allow(_) => "allow",
        Verdict::Hold(_) => "hold",
        Verdict::Deny(_) => "deny",
        Verdict::NoRoute { .. } => "no_route",
        Verdict::Passthrough => "passthrough",
        Verdict::Inspect(_) => "inspect",
    };
    word(a) == word(b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn plans_with_blocks_differ_exactly_where_the_diff_says(
        first in proptest::collection::vec(
            (prop_oneof![3 => Just(Action::Allow), 2 => Just(Action::Deny)], wanted()), 1..4),
        second in proptest::collection::vec(
            (prop_oneof![3 => Just(Action::Allow), 2 => Just(Action::Deny)], wanted()), 0..2),
    ) {
        // The later plan has the routes of the earlier one but the first, and some more.
        let changed: Vec<_> = first.iter().skip(1).cloned().chain(second).collect();
        let (Ok(old), Ok(new)) = (
            RouteTable::build(Arc::new(plan(first))),
            RouteTable::build(Arc::new(plan(changed))),
        ) else {
            return Ok(());
        };
        let found = diff(&old, &new);
        prop_assert!(found.complete);
        for region in &found.regions {
            let (was, is) = (region.witness.verdict(&old), region.witness.verdict(&new));
            prop_assert!(!is_like(was.unwrap(), is.unwrap()), "{} {}", region, region.witness);
        }
        let contents = contents();
        for request in heads() {
            for content in &contents {
                let (was, is) =
                    (decided(&old, &request, content), decided(&new, &request, content));
                if !is_like(was, is) {
                    prop_assert!(!found.regions.is_empty(), "missed {:?} {:?}", request, content);
                }
            }
        }
    }
}

fn taken_by(verdict: Verdict) -> Option<usize> {
    match verdict {
        Verdict::Allow(route) | Verdict::Hold(route) | Verdict::Deny(route) => {
            usize::try_from(route.0).ok()
        }
        Verdict::NoRoute { .. } | Verdict::Passthrough | Verdict::Inspect(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_route_with_a_block_that_wins_somewhere_is_not_called_unreachable(
        routes in proptest::collection::vec(
            (prop_oneof![1 => Just(Action::Allow), 2 => Just(Action::Deny)], wanted()), 1..6),
    ) {
        let plan = plan(routes);
        let (table, found) = RouteTable::build_with_warnings(Arc::new(plan.clone()));
        let Some(table) = table else { return Ok(()) };
        let contents = contents();
        let heads = heads();
        let winners: std::collections::BTreeSet<usize> =
            heads.iter().flat_map(|head| contents.iter().map(move |c| (head, c)))
                .filter_map(|(head, content)| taken_by(decided(&table, head, content)))
                .collect();
        for at in winners {
            let id = &plan.egress_routes[at].route_id;
            let start = format!("route `{id}` can never win");
            let warned = found.iter().any(|d| d.message.starts_with(&start));
            prop_assert!(!warned, "{} {:#?}", &found, plan.egress_routes);
        }
    }
}

#[test]
fn a_deny_that_only_another_spelling_reaches_is_not_called_unreachable() {
    let git = |service| Block::Git(GitBlock { service, refs: None, update: None });
    let deny = |paths: &[&str], block| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let hosts = vec!["x.test".to_owned()];
        (Action::Deny, Match { hosts, paths, block, ..Match::default() })
    };
    let (push, fetch) = (GitService::ReceivePack, GitService::UploadPack);
    let exact = ["/{owner}/git-upload-pack", "/{owner}/GIT-UPLOAD-PACK", "/info/refs"];
    for (paths, block, reachable) in [
        (&["/{owner}/{service}"][..], git(fetch), true),
        (&["/{owner}/{service}"], git(push), true),
        (&["/info/{service}"], git(fetch), true),
        // No spelling is one of those.
        (&["/{owner}/nothing"], git(fetch), false),
        (&["/nothing/here"], git(push), false),
    ] {
        let plan = plan(vec![deny(&exact, None), deny(paths, Some(block))]);
        let found = RouteTable::build_with_warnings(Arc::new(plan)).1;
        let warned = found.iter().any(|d| d.message.starts_with("route `b/01` can never win"));
        assert_eq!(!warned, reachable, "{paths:?} {found}");
    }
}

//! Plans as JSON: what is written is read again as the same plan, and the schema that is published
//! decides as the reader does.

use std::collections::BTreeMap;

use boon::{Compiler, SchemaIndex, Schemas};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sallygate_compiler::block::{
    Block, GitBlock, GitService, GitUpdate, GraphqlBlock, GrpcBlock, McpBlock, Operation,
};
use sallygate_compiler::canonical::Scheme;
use sallygate_compiler::plan::{
    Action, AgentRuntime, Artifact, Assertion, Clear, Condition, CredentialOnly,
    CredentialReference, Image, Injection, InjectionKind, InstallCommand, Limits, Match,
    ModelPrice, Period, Placeholder, Plan, PresignedUrls, Price, Rate, Readiness, Route,
    RuntimeClient, RuntimeEndpoint, RuntimeFile, RuntimeProcess, SCHEMA_VERSION, Signing, Spend,
    StopPolicy, Timeouts, TokenKind, Tokens, Unmatched, Upstream, Usage, Uses, WorkspaceSource,
    schema,
};
use sallygate_definitions::contract::injection::PlaceholderPlace;
use serde_json::{Value, json};

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z\u{e9}\u{4e16}\u{1f600}\"\\\\/\u{7f} -]{0,8}"
}

fn condition() -> impl Strategy<Value = Condition> {
    (text(), any::<bool>(), text()).prop_map(|(name, is_equal, value)| Condition {
        name,
        equals: is_equal.then_some(value),
        present: (!is_equal).then_some(true),
    })
}

fn block() -> impl Strategy<Value = Block> {
    let names = || vec!["a".to_owned(), "b*".to_owned()];
    select(vec![
        Block::Git(GitBlock {
            service: GitService::ReceivePack,
            refs: Some(names()),
            update: Some(vec![GitUpdate::Create, GitUpdate::Delete]),
        }),
        Block::Git(GitBlock { service: GitService::UploadPack, refs: None, update: None }),
        Block::Graphql(GraphqlBlock {
            operation: Some(vec![Operation::Query]),
            fields: Some(names()),
        }),
        Block::Mcp(McpBlock { method: Some(names()), tools: Some(names()) }),
        Block::Grpc(GrpcBlock { service: Some(names()), method: None }),
    ])
}

fn wanted() -> impl Strategy<Value = Match> {
    let lists = (
        subsequence(vec!["*.test".to_owned(), "a.test".to_owned()], 0..=2),
        subsequence(vec!["/**".to_owned(), "/a/{b}".to_owned()], 0..=2),
        proptest::option::of(subsequence(vec!["GET".to_owned(), "POST".to_owned()], 0..=2)),
        proptest::option::of(proptest::collection::vec(any::<u16>(), 0..3)),
    );
    let conditions = || proptest::collection::vec(condition(), 0..2);
    let looks = (conditions(), conditions(), proptest::option::of(block()));
    (lists, looks, any::<[bool; 3]>()).prop_map(
        |((hosts, paths, methods, ports), (headers, query, block), [clear, slash, empty])| Match {
            scheme: if clear { Scheme::Http } else { Scheme::Https },
            hosts,
            ports,
            paths,
            methods,
            headers,
            query,
            allow_encoded_slash: slash,
            allow_empty_segments: empty,
            block,
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    let rate = || proptest::option::of((any::<u32>(), any::<u32>()));
    (rate(), rate(), proptest::option::of(any::<u32>()), any::<[bool; 3]>()).prop_map(
        |(requests, bytes_out, small, [uses, spend, day])| {
            let rate = |(count, seconds)| Rate { count: u64::from(count), seconds };
            let per = if day { Period::Day } else { Period::Total };
            let prices = vec![Price { pointer: "/usage/total".to_owned(), micros: 3 }];
            Limits {
                max_request_bytes: small.map(u64::from),
                requests_per_minute: small,
                concurrency: small,
                requests: requests.map(rate),
                bytes_out: bytes_out.map(rate),
                uses: uses.then_some(Uses { limit: 7, per }),
                spend: spend.then_some(Spend { limit_micros: 5, per, assumed_micros: 2, prices }),
            }
        },
    )
}

fn usage() -> Usage {
    let pointers = || vec!["/usage/in".to_owned()];
    let tokens = |kind, within| Tokens { kind, pointers: pointers(), within };
    Usage {
        connection_id: "c".into(),
        methods: vec!["POST".into()],
        model: vec!["/model".into()],
        tokens: vec![
            tokens(TokenKind::Input, None),
            tokens(TokenKind::CachedInput, Some(TokenKind::Input)),
        ],
        prices: vec![ModelPrice {
            model: "m*".into(),
            input_micros_per_million: 1,
            cached_input_micros_per_million: 2,
            cache_write_micros_per_million: 3,
            output_micros_per_million: 4,
        }],
    }
}

fn injection() -> impl Strategy<Value = Injection> {
    let kinds = vec![
        InjectionKind::Bearer,
        InjectionKind::Basic,
        InjectionKind::Header,
        InjectionKind::Query,
        InjectionKind::Cookie,
        InjectionKind::Path,
        InjectionKind::Placeholder,
        InjectionKind::AwsSigv4,
        InjectionKind::ClientCertificate,
    ];
    let word = || proptest::option::of(text());
    (select(kinds), word(), word(), word(), proptest::option::of(0..9_usize), 0..9_usize).prop_map(
        |(kind, header, template, parameter, username_credential, credential)| Injection {
            kind,
            header: header.clone(),
            signing: template.clone().map(|region| Signing {
                service: region.clone(),
                region,
                presigned: if credential > 4 {
                    PresignedUrls::Resign
                } else {
                    PresignedUrls::Refuse
                },
            }),
            template,
            parameter: parameter.clone(),
            username: header,
            username_credential,
            cookie: parameter,
            places: match credential % 3 {
                0 => Vec::new(),
                1 => vec![PlaceholderPlace::Header],
                _ => vec![PlaceholderPlace::Query, PlaceholderPlace::Body],
            },
            credential,
        },
    )
}

fn route() -> impl Strategy<Value = Route> {
    let actions = vec![Action::Allow, Action::Deny, Action::Tunnel, Action::Hold];
    let effect = (select(actions), proptest::option::of(text()), limits());
    let inject = proptest::collection::vec(injection(), 0..2);
    (text(), effect, wanted(), inject, any::<bool>()).prop_map(
        |(route_id, (action, reason, limits), wanted, inject, full)| {
            let names = |name: &str| if full { vec![name.to_owned()] } else { Vec::new() };
            let address = "127.0.0.1:1".parse().ok().filter(|_| full);
            let range = "10.0.0.0/8".parse().ok().filter(|_| full);
            Route {
                binding_id: route_id.clone(),
                route_id,
                action,
                reason,
                r#match: wanted,
                upstream: Upstream {
                    base_url: full.then(|| "https://a.test".to_owned()),
                    target: full.then(|| "t".to_owned()),
                    ca_pem: full.then(|| "pem\n".to_owned()),
                    addresses: address.into_iter().collect(),
                    allow_ranges: range.into_iter().collect(),
                },
                inject,
                clear: Clear {
                    headers: names("authorization"),
                    query: names("key"),
                    cookies: names("session"),
                },
                limits,
                usage: full.then(usage),
                timeouts: Timeouts {
                    first_byte_ms: full.then_some(9),
                    approval_ms: full.then_some(8),
                    ..Timeouts::default()
                },
            }
        },
    )
}

fn client() -> RuntimeClient {
    let env = || BTreeMap::from([("HOME_OF".to_owned(), "x".to_owned())]);
    let process = |key: &str, readiness| RuntimeProcess {
        process_key: key.to_owned(),
        command: "serve".to_owned(),
        args: vec!["--now".to_owned()],
        env: env(),
        readiness,
        stop: StopPolicy::default(),
    };
    let url = "http://127.0.0.1:1/".to_owned();
    RuntimeClient {
        client_id: "client".to_owned(),
        env: env(),
        files: vec![RuntimeFile {
            file_id: "config".to_owned(),
            path: "/etc/client".to_owned(),
            mode: Some("0644".to_owned()),
            content: "# a\n".to_owned(),
        }],
        processes: vec![
            process("http", Readiness::Http { url, expected_status: 200, timeout_ms: 1 }),
            process("none", Readiness::None {}),
        ],
        endpoints: vec![RuntimeEndpoint {
            endpoint_key: "app".to_owned(),
            process_key: "http".to_owned(),
            url: "ws://127.0.0.1:1".to_owned(),
        }],
    }
}

fn artifact(key: &str) -> Artifact {
    let command = InstallCommand { command: "install".to_owned(), args: vec![key.to_owned()] };
    let env = BTreeMap::from([(format!("{}_HOME", key.to_uppercase()), "/x".to_owned())]);
    Artifact { key: key.to_owned(), env, install: vec![command] }
}

fn assertions(wanted: Match) -> Vec<Assertion> {
    let only = CredentialOnly { credential: "c".to_owned(), hosts: vec!["a.test".to_owned()] };
    vec![Assertion::Never(wanted.clone()), Assertion::Only(wanted), Assertion::CredentialOnly(only)]
}

fn plan() -> impl Strategy<Value = Plan> {
    let parts = (
        subsequence(vec![artifact("one"), artifact("two")], 0..=2),
        any::<[bool; 2]>(),
        subsequence(vec!["a".to_owned(), "b".to_owned()], 0..=2),
    );
    let routes = proptest::collection::vec(route(), 0..3);
    (text(), 0..=(1_u64 << 53) - 1, routes, parts, wanted()).prop_map(
        |(id, version, egress_routes, (artifacts, [client_too, more], sources), asked)| {
            let runtime = AgentRuntime {
                binding_id: "b".to_owned(),
                runtime_key: "r".to_owned(),
                client_id: "client".to_owned(),
                endpoint_key: "app".to_owned(),
            };
            let image = Image { source: "base".to_owned(), image_ref: id.clone() };
            let credential = CredentialReference {
                connection_id: id.clone(),
                secret_type: "api_key".to_owned(),
                slot_key: more.then(|| "s".to_owned()),
                resolver_key: more.then(|| "k".to_owned()),
                scope: serde_json::Map::from_iter([("any".to_owned(), json!([1, null, "x"]))]),
            };
            let source = |path: String| WorkspaceSource {
                origin: format!("https://a.test/{path}.git"),
                reference: more.then(|| "main".to_owned()),
                path,
            };
            let placeholder = Placeholder {
                connection_id: credential.connection_id.clone(),
                secret_type: credential.secret_type.clone(),
                slot_key: credential.slot_key.clone(),
                shape: "ghp_{alphanumeric:36}".to_owned(),
                env: vec!["A".to_owned(), "B_2".to_owned()],
            };
            let mut plan = Plan {
                schema_version: SCHEMA_VERSION,
                digest: String::new(),
                organization_id: id.clone(),
                sandbox_profile_id: id,
                version,
                unmatched: if more { Unmatched::Passthrough } else { Unmatched::Deny },
                image: more.then_some(image),
                egress_routes,
                credentials: vec![credential],
                placeholders: if more { vec![placeholder] } else { Vec::new() },
                artifacts,
                workspace_sources: sources.into_iter().map(source).collect(),
                agent_runtimes: if client_too && more { vec![runtime] } else { Vec::new() },
                runtime_clients: if client_too { vec![client()] } else { Vec::new() },
                assertions: if more { assertions(asked) } else { Vec::new() },
            };
            plan.seal();
            plan
        },
    )
}

/// The published schema, compiled by somebody else's code.
struct Published {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Published {
    #[expect(clippy::unwrap_used, reason = "a schema that does not compile fails every test")]
    fn new() -> Self {
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.add_resource("plan.json", schema()).unwrap();
        let index = compiler.compile("plan.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn admits(&self, value: &Value) -> bool {
        self.schemas.validate(value, self.index).is_ok()
    }
}

/// JSON pointers to everything below `value`.
fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(inner, format!("{at}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                pointers(inner, format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found.push(at);
}

/// A value of another type.
fn another(value: &Value) -> Value {
    match value {
        Value::Null => json!(["x"]),
        Value::Bool(_) => json!("true"),
        Value::Number(_) => json!("1"),
        Value::String(_) => json!(true),
        Value::Array(_) => json!({"0": 1}),
        Value::Object(_) => json!(7),
    }
}

fn reads(value: &Value) -> bool {
    Plan::from_json("plan.json", value.to_string().as_bytes()).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_plan_is_read_as_it_was_written(plan in plan()) {
        let json = plan.to_canonical_json();
        let again = Plan::from_json("plan.json", json.as_bytes());
        prop_assert_eq!(again.as_ref(), Ok(&plan));
        prop_assert_eq!(again.unwrap().to_canonical_json(), json);
    }

    #[test]
    fn the_schema_admits_a_plan_and_decides_about_its_mutations_as_the_reader_does(
        plan in plan(),
        choice in any::<prop::sample::Index>(),
    ) {
        let published = Published::new();
        let mut value = serde_json::to_value(&plan).unwrap();
        prop_assert!(published.admits(&value), "{value}");
        // Without a digest a plan gets the one that it has.
        value["digest"] = json!("");
        prop_assert!(published.admits(&value) && reads(&value));
        let mut places = Vec::new();
        pointers(&value, String::new(), &mut places);
        let place = &places[choice.index(places.len())];

        let mut typed = value.clone();
        let target = typed.pointer_mut(place).unwrap();
        *target = another(target);
        prop_assert_eq!(published.admits(&typed), reads(&typed), "{} {}", place, typed);

        let mut wider = value;
        if let Some(object) = wider.pointer_mut(place).unwrap().as_object_mut() {
            object.insert("zzUnknown".to_owned(), json!(1));
            prop_assert_eq!(published.admits(&wider), reads(&wider), "{} {}", place, wider);
        }
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let published = Published::new();
    let whole = json!({"schemaVersion": 1, "organizationId": "o", "sandboxProfileId": "p",
                       "version": 1, "egressRoutes": []});
    assert!(published.admits(&whole) && reads(&whole));
    let change = |key: &str, value: Value| {
        let mut changed = whole.clone();
        changed[key] = value;
        changed
    };
    let mut less = whole.clone();
    less.as_object_mut().unwrap().remove("egressRoutes");
    for wrong in [
        json!([]),
        json!(null),
        less,
        change("schemaVersion", json!(2)),
        change("schemaVersion", json!("1")),
        change("version", json!(-1)),
        change("version", json!(1.5)),
        change("unmatched", json!("allow")),
        change("image", json!({"source": "base"})),
        change("plan", json!({})),
        change("egressRoutes", json!([{}])),
        change("egressRoutes", json!([{"routeId": "b/r", "bindingId": "b", "match": {}}])),
        change("credentials", json!([{"connectionId": "c"}])),
        change("assertions", json!([{"never": {"hosts": []}, "only": {"hosts": []}}])),
        change("assertions", json!([{"always": {"hosts": []}}])),
        change("runtimeClients", json!([{"clientId": "c", "processes": [{"processKey": "p"}]}])),
    ] {
        assert!(!published.admits(&wrong), "{wrong}");
        assert!(!reads(&wrong), "{wrong}");
    }
}

//! What a store hands over is compiled as what stands in files is: every check of a binding, with
//! the binding and the field that it is about.

use std::collections::BTreeSet;

use sallygate_compiler::diagnostic::Diagnostics;
use sallygate_compiler::snapshot::{
    Binding, BoundRoute, Connection, ConnectionStatus, Profile, RouteName, Snapshot, Target,
};
use sallygate_compiler::{check_binding, compile};
use sallygate_definitions::source::SourceFile;
use sallygate_definitions::{Kind, Registry};
use serde_json::{Value, json};

/// A definition with everything that a check can be about.
const ACME: &str = r#"
familyId = "acme"
variantId = "all"
kind = "agent"
displayName = "Acme"
description = "Everything."
logoKey = "acme"
[targetConfigSchema.properties.baseUrl]
type = "string"
format = "uri"
default = "https://acme.test"
[targetSecretSchema]
required = ["appKey"]
[targetSecretSchema.properties.appKey]
type = "string"
[connectionConfigSchema.properties.site]
type = "string"
[bindingConfigSchema.properties.tool]
type = "string"
enum = ["one", "two", "none", "other"]
default = "none"
[[connectionMethods]]
kind = "form"
id = "token"
label = "Token"
fields = [{ name = "token", label = "Token", secretType = "api_key" }]
[[validateBindingWriteContext]]
code = "other_tool"
field = "tool"
safeMessage = "this tool is another's"
when = { tool = "other" }
require = { kind = "never" }
[[compileBinding.origins]]
name = "api"
baseUrl = "{{target.baseUrl}}"
cleartext = "allow"
inject = [{ secretType = "api_key", present = { kind = "bearer" } }]
[[compileBinding.routes]]
name = "read"
methods = ["GET"]
paths = ["/items/{id}"]
"#;

fn registry() -> Registry {
    let (registry, found) = Registry::with_files(&[SourceFile::new("acme.toml", ACME)]);
    assert_eq!(found.to_string(), "");
    registry
}

/// One binding of each of two connections; everything about it is right.
fn snapshot() -> Snapshot {
    let mut target = Target::new("acme::all");
    target.secrets.insert("appKey".to_owned());
    let token = || Some("token".to_owned());
    let mut connection = Connection::new("acme", token());
    connection.credentials = Some(BTreeSet::from(["token".to_owned()]));
    let mut profile = Profile { id: "sbp_1".to_owned(), version: 7, ..Profile::default() };
    profile.bindings.push(Binding::new("ibd_a", "icn_a", json!({})));
    profile.bindings.push(Binding::new("ibd_e", "icn_e", json!({})));
    Snapshot {
        organization_id: "org_1".to_owned(),
        targets: [("acme".to_owned(), target), ("echo".to_owned(), Target::new("demo::echo"))]
            .into(),
        connections: [
            ("icn_a".to_owned(), connection),
            ("icn_e".to_owned(), Connection::new("echo", token())),
        ]
        .into(),
        profile,
        ..Snapshot::default()
    }
}

#[expect(clippy::unwrap_used, reason = "`snapshot` has it")]
fn target(snapshot: &mut Snapshot) -> &mut Target {
    snapshot.targets.get_mut("acme").unwrap()
}

#[expect(clippy::unwrap_used, reason = "`snapshot` has it")]
fn connection(snapshot: &mut Snapshot) -> &mut Connection {
    snapshot.connections.get_mut("icn_a").unwrap()
}

#[expect(clippy::indexing_slicing, reason = "`snapshot` has it")]
fn binding(snapshot: &mut Snapshot) -> &mut Binding {
    &mut snapshot.profile.bindings[0]
}

fn told(found: &Diagnostics) -> Vec<(String, String, String)> {
    let subject = |d: &sallygate_compiler::diagnostic::Diagnostic| {
        d.subject.clone().map(|s| (s.binding, s.field)).unwrap_or_default()
    };
    found.iter().map(|d| (d.code.to_string(), subject(d).0, subject(d).1)).collect()
}

#[test]
fn a_snapshot_without_files_becomes_a_plan() {
    let compiled = compile(&snapshot(), &registry());
    assert_eq!(compiled.diagnostics.to_string(), "");
    let plan = compiled.plan.unwrap();
    assert_eq!((plan.organization_id.as_str(), plan.version), ("org_1", 7));
    let ids: Vec<&str> = plan.egress_routes.iter().map(|r| r.route_id.as_str()).collect();
    assert_eq!(ids, ["ibd_a/read", "ibd_e/inspect", "ibd_e/read", "ibd_e/write"]);
}

type Change = fn(&mut Snapshot);

#[test]
fn every_check_of_a_binding_has_its_code_and_its_field() {
    let registry = registry();
    let cases: &[(&str, &str, Change)] = &[
        ("UNKNOWN_CONNECTION", "connection", |s| binding(s).connection = "icn_b".to_owned()),
        ("CONNECTION_MISMATCH", "connection", |s| {
            connection(s).organization_id = Some("org_2".to_owned());
        }),
        ("CONNECTION_MISMATCH", "connection", |s| connection(s).target = "gone".to_owned()),
        ("TARGET_DISABLED", "connection", |s| target(s).enabled = false),
        ("CONNECTION_NOT_ACTIVE", "connection", |s| {
            connection(s).status = ConnectionStatus::Revoked;
        }),
        ("CONNECTION_NOT_ACTIVE", "connection", |s| {
            connection(s).status = ConnectionStatus::Error;
        }),
        ("DEFINITION_NOT_FOUND", "target", |s| target(s).definition = "acme::al".to_owned()),
        ("KIND_MISMATCH", "kind", |s| binding(s).kind = Some(Kind::Git)),
        ("INVALID_TARGET_CONFIG", "targetConfig.x", |s| target(s).config = json!({"x": 1})),
        ("INVALID_TARGET_CONFIG", "targetConfig", |s| target(s).config = Value::Null),
        ("INVALID_TARGET_SECRETS", "targetSecrets.appKey", |s| target(s).secrets.clear()),
        ("INVALID_TARGET_SECRETS", "targetSecrets.key", |s| {
            target(s).secrets.insert("key".to_owned());
        }),
        ("INVALID_CONNECTION_CONFIG", "connectionConfig.site", |s| {
            connection(s).config = json!({"site": 1});
        }),
        ("INVALID_CONNECTION_CONFIG", "connectionCredentials.token", |s| {
            connection(s).credentials = Some(BTreeSet::new());
        }),
        ("UNKNOWN_CONNECTION_METHOD", "connectionMethod", |s| connection(s).method = None),
        ("INVALID_BINDING_CONFIG", "bindingConfig.tool", |s| {
            binding(s).config = json!({"tool": "three"});
        }),
        ("acme.other_tool", "bindingConfig.tool", |s| {
            binding(s).config = json!({"tool": "other"});
        }),
        ("acme.base_url_private_address", "targetConfig.baseUrl", |s| {
            target(s).config = json!({"baseUrl": "https://127.0.0.1"});
        }),
        ("CLEARTEXT_CREDENTIAL", "targetConfig.baseUrl", |s| {
            target(s).config = json!({"baseUrl": "http://acme.test"});
        }),
        ("BAD_VALUE", "routes", |s| {
            let name = RouteName { name: "reed".to_owned(), place: None };
            binding(s).routes = Some(vec![BoundRoute::Named(name)]);
        }),
        ("BAD_VALUE", "id", |s| binding(s).id = "policy".to_owned()),
        ("BAD_VALUE", "id", |s| binding(s).id = "a/b".to_owned()),
        ("DUPLICATE_BINDING", "", |s| {
            let again = binding(s).clone();
            s.profile.bindings.push(again);
        }),
    ];
    for (code, field, change) in cases {
        let mut snapshot = snapshot();
        change(&mut snapshot);
        let id = snapshot.profile.bindings[0].id.clone();
        let compiled = compile(&snapshot, &registry);
        let expected = [((*code).to_owned(), id.clone(), (*field).to_owned())];
        assert_eq!(told(&compiled.diagnostics), expected, "{}", compiled.diagnostics);
        assert_eq!(compiled.plan, None, "{code}");
        // Writing the binding says the same; writing the other one is not hindered by it.
        assert_eq!(check_binding(&snapshot, &registry, &id), compiled.diagnostics);
        assert_eq!(check_binding(&snapshot, &registry, "ibd_e").to_string(), "", "{code}");
    }
}

#[test]
fn what_is_nearly_wrong_compiles() {
    let registry = registry();
    let neighbours: &[Change] = &[
        |s| connection(s).organization_id = Some("org_1".to_owned()),
        |s| s.targets.get_mut("echo").unwrap().enabled = true,
        |s| binding(s).kind = Some(Kind::Agent),
        |s| target(s).config = json!({"baseUrl": "https://other.test/v1"}),
        |s| {
            target(s).config = json!({"baseUrl": "http://acme.test"});
            target(s).cleartext = sallygate_definitions::contract::binding::Permission::Allow;
        },
        |s| connection(s).config = json!({"site": "x"}),
        |s| connection(s).credentials = None,
        |s| binding(s).config = json!({"tool": "two"}),
        |s| {
            let name = RouteName { name: "read".to_owned(), place: None };
            binding(s).routes = Some(vec![BoundRoute::Named(name)]);
        },
        // What is not bound hinders nothing.
        |s| {
            target(s).enabled = false;
            s.profile.bindings.remove(0);
        },
    ];
    for (at, change) in neighbours.iter().enumerate() {
        let mut snapshot = snapshot();
        change(&mut snapshot);
        let compiled = compile(&snapshot, &registry);
        assert_eq!(compiled.diagnostics.to_string(), "", "{at}");
        assert!(compiled.plan.is_some(), "{at}");
    }
}

#[test]
fn no_problem_hides_another_and_they_come_by_binding() {
    let mut snapshot = snapshot();
    target(&mut snapshot).enabled = false;
    target(&mut snapshot).secrets.clear();
    connection(&mut snapshot).status = ConnectionStatus::Revoked;
    binding(&mut snapshot).kind = Some(Kind::Git);
    binding(&mut snapshot).config = json!({"tool": 1, "tol": 2});
    snapshot.profile.bindings.insert(0, Binding::new("ibd_z", "gone", json!({})));
    let found = compile(&snapshot, &registry()).diagnostics;
    insta::assert_snapshot!(found);
}

#[test]
fn a_snapshot_survives_json() {
    let snapshot = snapshot();
    let json = serde_json::to_string(&snapshot).unwrap();
    let again: Snapshot = serde_json::from_str(&json).unwrap();
    assert_eq!(again, snapshot);
    let route = json!({
        "id": "b", "connection": "c",
        "routes": ["read", {"name": "own", "match": {"hosts": [], "paths": ["/x"]}}],
    });
    let binding: Binding = serde_json::from_value(route).unwrap();
    let routes = binding.routes.unwrap();
    assert!(matches!(&routes[..], [BoundRoute::Named(_), BoundRoute::Inline(_)]));
    assert!(
        serde_json::from_value::<Binding>(json!({"id": "b", "connection": "c", "x": 1})).is_err()
    );
}

//! What bindings of the builtin definitions give, and what they never give.
#![cfg(test)]

use std::sync::LazyLock;

use proptest::prelude::*;
use sallygate_definitions::contract::injection::Presentation;
use sallygate_definitions::contract::route::{Action, Protocol};
use sallygate_definitions::contract::usage::BudgetPeriod;
use sallygate_definitions::expand::{ExpandedRoute, broad_grant};
use sallygate_definitions::source::SourceFile;
use sallygate_definitions::{Definition, Expanded, Inputs, Issue, Registry};
use serde_json::{Value, json};

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::builtin);

fn definition(key: &str) -> &'static Definition {
    REGISTRY.require(key).unwrap()
}

struct Bound {
    key: &'static str,
    method: Option<&'static str>,
    target: Value,
    connection: Value,
}

const NONE: fn() -> Value = || json!({});

impl Bound {
    fn github() -> Self {
        let (target, connection) = (NONE(), NONE());
        Self { key: "github::github-cloud", method: Some("token"), target, connection }
    }

    fn openai(target: Value) -> Self {
        let connection = NONE();
        Self { key: "openai::openai-default", method: Some("api-key"), target, connection }
    }

    fn to(&self, binding: &Value) -> Result<Expanded, Vec<Issue>> {
        definition(self.key).expand(&Inputs {
            target_config: &self.target,
            connection_method: self.method,
            connection_config: &self.connection,
            binding_config: binding,
        })
    }

    fn codes(&self, binding: &Value) -> Vec<(String, String)> {
        let issues = self.to(binding).err().unwrap_or_default();
        issues.into_iter().map(|issue| (issue.code, issue.field)).collect()
    }
}

fn summary(routes: &[ExpandedRoute]) -> String {
    let line = |route: &ExpandedRoute| {
        let methods = route.methods.as_ref().map_or("*".to_owned(), |m| m.join(","));
        let query: Vec<String> = route
            .query
            .iter()
            .map(|q| format!("?{}={}", q.name, q.equals.clone().unwrap_or_default()))
            .collect();
        let inject: Vec<String> = route.inject.iter().map(|i| format!("{:?}", i.present)).collect();
        let paths = route.paths.join("\n    ");
        format!(
            "{} {:?} {} {methods} {} {}\n    {paths}\n",
            route.name,
            route.action,
            route.base_url,
            query.join("&"),
            inject.join(" + ")
        )
    };
    routes.iter().map(line).collect()
}

#[test]
fn a_repository_bound_for_reading_gives_safe_methods_and_fetching() {
    let bound = Bound::github().to(&json!({"repositories": ["octo/hello"]})).unwrap();
    assert!(bound.warnings.is_empty());
    insta::assert_snapshot!(summary(&bound.routes));
    let sources: Vec<&str> = bound.workspace_sources.iter().map(|s| s.origin.as_str()).collect();
    assert_eq!(sources, ["https://github.com/octo/hello.git"]);
}

#[test]
fn a_repository_bound_for_writing_gives_no_administration_of_it() {
    let binding = json!({"repositories": ["octo/hello", " octo/hello", "a/b"], "access": "write"});
    let bound = Bound::github().to(&binding).unwrap();
    insta::assert_snapshot!(summary(&bound.routes));
}

#[test]
fn graphql_is_asked_for_by_name_and_seen_by_whoever_compiles() {
    for (access, graphql, name) in
        [("read", "read", "graphql-read"), ("write", "write", "graphql-write")]
    {
        let binding = json!({"repositories": ["o/r"], "access": access, "graphql": graphql});
        let bound = Bound::github().to(&binding).unwrap();
        let of_graphql = |r: &&ExpandedRoute| r.paths.iter().any(|path| path == "/graphql");
        let names: Vec<&str> =
            bound.routes.iter().filter(of_graphql).map(|r| r.name.as_str()).collect();
        assert_eq!(names, [name]);
        assert_eq!(bound.warnings.len(), 1);
        assert_eq!(bound.warnings[0].code, "BROAD_GRANT");
        assert_eq!(bound.warnings[0].field, "bindingConfig.graphql");
    }
}

/// Lists that a binding fills, and routes that are there for one method of connection only.
#[test]
fn a_list_of_a_binding_fills_a_block_and_never_empties_it() {
    let linear = |method, binding: &Value| {
        let (key, target, connection) = ("linear::linear-default", NONE(), NONE());
        Bound { key, method: Some(method), target, connection }.to(binding).unwrap().routes
    };
    let routes = linear("oauth", &json!({"queries": ["teams", "issue", "teams"]}));
    let Some(Protocol::Graphql { fields, .. }) = &routes[0].protocol else { panic!("{routes:?}") };
    assert_eq!(fields, &["issue", "teams"]);
    assert_eq!(routes.len(), 1, "{routes:?}");

    let text = include_str!("../integrations/linear/linear-default.toml");
    let text = text.replace("minItems = 1\nmaxItems = 200", "maxItems = 200");
    let loose = Definition::read(&SourceFile::new("linear.toml", text)).unwrap();
    let expanded = loose.expand(&Inputs {
        target_config: &NONE(),
        connection_method: Some("oauth"),
        connection_config: &NONE(),
        binding_config: &json!({"queries": []}),
    });
    assert_eq!(expanded.unwrap().routes, [], "an empty list is not every field");
}

#[test]
fn a_credential_is_presented_as_the_method_of_the_connection_wants() {
    let header = |header: &str, template: Option<&str>| Presentation::Header {
        header: header.into(),
        template: template.map(str::to_owned),
    };
    let basic = |username: &str| Presentation::Basic {
        username: Some(username.into()),
        username_from: None,
    };
    let (mail, cloud) = (json!({"email": "a@b.test"}), json!({"cloudId": "c"}));
    let site = json!({"siteBaseUrl": "https://acme.test"});
    let own = json!({"baseUrl": "https://own.test", "webhookHeader": "X-Own "});
    let gitea = json!({"baseUrl": "https://git.test"});
    let (none, jira) = (NONE(), json!({"jira": "read"}));
    let projects = json!({"projects": ["g/p"]});
    let repositories = json!({"repositories": ["o/r"]});
    let hooks = json!({"webhooks": ["a"]});
    for (key, method, configurations, expected) in [
        ("linear::linear-default", "api-key", [&none, &none, &none], header("authorization", None)),
        ("linear::linear-default", "oauth", [&none, &none, &none], Presentation::Bearer {}),
        (
            "gitlab::gitlab-default",
            "token",
            [&none, &none, &projects],
            header("private-token", None),
        ),
        ("gitlab::gitlab-default", "oauth", [&none, &none, &projects], Presentation::Bearer {}),
        (
            "gitea::gitea-default",
            "token",
            [&gitea, &none, &repositories],
            header("authorization", Some("token {value}")),
        ),
        ("gitea::gitea-default", "oauth", [&gitea, &none, &repositories], Presentation::Bearer {}),
        ("atlassian::atlassian-default", "api-token", [&site, &mail, &jira], basic("a@b.test")),
        ("atlassian::atlassian-default", "oauth", [&site, &cloud, &jira], Presentation::Bearer {}),
        (
            "anthropic::anthropic-default",
            "api-key",
            [&none, &none, &none],
            header("x-api-key", None),
        ),
        (
            "anthropic::anthropic-default",
            "oauth-token",
            [&none, &none, &none],
            Presentation::Bearer {},
        ),
        ("n8n::n8n-default", "webhook-header", [&own, &none, &hooks], header("x-own", None)),
        ("n8n::n8n-default", "webhook-jwt", [&own, &none, &hooks], Presentation::Bearer {}),
        (
            "n8n::n8n-default",
            "webhook-basic",
            [&own, &none, &hooks],
            Presentation::Basic { username: None, username_from: None },
        ),
    ] {
        let [target, connection, binding] = configurations.map(Clone::clone);
        let bound = Bound { key, method: Some(method), target, connection }.to(&binding).unwrap();
        let presented: Vec<&Presentation> =
            bound.routes[0].inject.iter().map(|inject| &inject.present).collect();
        assert_eq!(presented, [&expected], "{key} {method}");
    }
}

#[test]
fn a_binding_that_lacks_what_a_credential_needs_is_refused() {
    let (key, target) = ("atlassian::atlassian-default", json!({"siteBaseUrl": "https://a.test"}));
    for (method, missing) in [("api-token", "email"), ("oauth", "cloudId")] {
        let (target, connection) = (target.clone(), NONE());
        let bound = Bound { key, method: Some(method), target, connection };
        let issues = bound.to(&json!({"jira": "read"})).unwrap_err();
        assert!(issues.iter().any(|i| i.safe_message.contains(missing)), "{method}: {issues:?}");
    }
}

#[test]
fn a_binding_that_cannot_be_has_the_documented_issue() {
    let mut github = Bound::github();
    github.connection = json!({"repositories": ["octo/hello"]});
    for (binding, code, field) in [
        (json!({}), "github.nothing_granted", "bindingConfig.repositories"),
        (json!({"repositories": []}), "github.nothing_granted", "bindingConfig.repositories"),
        (
            json!({"repositories": ["octo/other"]}),
            "github.repository_not_accessible",
            "bindingConfig.repositories",
        ),
        (
            json!({"repositories": ["octo/hello"], "graphql": "write"}),
            "github.graphql_exceeds_access",
            "bindingConfig.graphql",
        ),
        (
            json!({"repositories": ["octo"]}),
            "INVALID_BINDING_CONFIG",
            "bindingConfig.repositories[0]",
        ),
        (
            json!({"repositories": ["octo/.."]}),
            "INVALID_BINDING_CONFIG",
            "bindingConfig.repositories[0]",
        ),
        (
            json!({"repositories": ["octo/*"]}),
            "INVALID_BINDING_CONFIG",
            "bindingConfig.repositories[0]",
        ),
        (
            json!({"repositories": ["octo/{repo}"]}),
            "INVALID_BINDING_CONFIG",
            "bindingConfig.repositories[0]",
        ),
        (
            json!({"repositories": ["octo/a%2fb"]}),
            "INVALID_BINDING_CONFIG",
            "bindingConfig.repositories[0]",
        ),
        (
            json!({"repositories": "octo/hello"}),
            "INVALID_BINDING_CONFIG",
            "bindingConfig.repositories",
        ),
        (
            json!({"repositories": ["octo/hello"], "access": "admin"}),
            "INVALID_BINDING_CONFIG",
            "bindingConfig.access",
        ),
        (json!({"repos": ["octo/hello"]}), "INVALID_BINDING_CONFIG", "bindingConfig.repos"),
        (json!([]), "INVALID_BINDING_CONFIG", "bindingConfig"),
    ] {
        let found = github.codes(&binding);
        assert!(found.contains(&(code.to_owned(), field.to_owned())), "{binding}: {found:?}");
    }
}

#[test]
fn a_method_is_one_of_the_definition() {
    for (key, method) in [
        ("github::github-cloud", None),
        ("github::github-cloud", Some("Token")),
        ("openai::openai-default", Some("token")),
    ] {
        let bound = Bound { key, method, target: NONE(), connection: NONE() };
        let found = bound.codes(&json!({"repositories": ["o/r"]}));
        assert_eq!(found[0].0, "UNKNOWN_CONNECTION_METHOD", "{key} {method:?}");
    }
}

#[test]
fn a_base_url_of_a_target_is_under_every_path() {
    for (url, base, path) in [
        (None, "https://api.openai.com/v1", "/v1/**"),
        (Some("https://Llm.test/openai/v1/"), "https://llm.test/openai/v1", "/openai/v1/**"),
        (Some("https://llm.test:8443"), "https://llm.test:8443", "/**"),
    ] {
        let target = url.map_or(json!({}), |url| json!({"baseUrl": url}));
        let bound = Bound::openai(target).to(&json!({})).unwrap();
        let api = &bound.routes[0];
        assert_eq!((api.base_url.as_str(), api.paths[0].as_str()), (base, path));
        assert_eq!(api.inject[0].present, Presentation::Bearer {});
        assert_eq!(broad_grant(api), path == "/**");
        assert_eq!(bound.warnings.len(), usize::from(path == "/**"));
        assert!(bound.routes[1].inject.is_empty(), "a denied request has no credential");
    }
}

#[test]
fn a_base_url_that_cannot_be_has_the_documented_issue() {
    for (url, code) in [
        ("http://llm.test/v1", "openai.base_url_cleartext"),
        ("https://127.0.0.1/v1", "openai.base_url_private_address"),
        ("https://10.0.0.1", "openai.base_url_private_address"),
        ("https://[::1]:8443", "openai.base_url_private_address"),
        ("https://localhost", "openai.base_url_private_address"),
        ("https://0x7f.1", "openai.base_url_invalid"),
        ("https://llm.test/a/../b", "openai.base_url_invalid"),
        ("https://llm.test/a%2fb", "openai.base_url_invalid"),
        ("https://llm.test?x", "INVALID_TARGET_CONFIG"),
        ("https://u@llm.test", "INVALID_TARGET_CONFIG"),
        ("llm.test", "INVALID_TARGET_CONFIG"),
        ("", "INVALID_TARGET_CONFIG"),
    ] {
        let found = Bound::openai(json!({"baseUrl": url})).codes(&json!({}));
        assert_eq!(found, [(code.to_owned(), "targetConfig.baseUrl".to_owned())], "{url}");
    }
}

#[test]
fn a_model_is_one_that_the_target_offers() {
    let openai = Bound::openai(json!({"models": [{"id": "m", "reasoning": ["low", "high"]}]}));
    for (binding, expected) in [
        (json!({"model": "m", "reasoning": "low"}), &[][..]),
        (json!({"model": "m"}), &[]),
        (json!({}), &[]),
        (json!({"model": "n"}), &["openai.model_not_offered"]),
        (json!({"model": "m", "reasoning": "max"}), &["openai.reasoning_not_offered"]),
        (
            json!({"model": "n", "reasoning": "low"}),
            &["openai.model_not_offered", "openai.reasoning_not_offered"],
        ),
        (json!({"reasoning": "low"}), &["openai.reasoning_not_offered"]),
        (json!({"model": ""}), &["INVALID_BINDING_CONFIG"]),
    ] {
        let codes: Vec<String> = openai.codes(&binding).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, expected, "{binding}");
    }
}

#[test]
fn a_budget_needs_the_prices_of_the_target_and_a_price_all_that_it_is_of() {
    let price = json!({"model": "m*", "inputMicrosPerMillion": 1, "outputMicrosPerMillion": 2});
    let with = |price: Value| json!({"prices": [price]});
    let budget = json!({"budgetMicros": 5, "budgetPer": "day", "assumedMicros": 3});
    let bound = Bound::openai(with(price.clone())).to(&budget).unwrap();
    let usage = bound.usage.unwrap();
    assert_eq!(usage.prices[0].cached_input_micros_per_million, None);
    let found = usage.budget.map(|budget| (budget.limit_micros, budget.per, budget.assumed_micros));
    assert_eq!(found, Some((5, BudgetPeriod::Day, 3)));
    let without = Bound::openai(json!({})).to(&json!({})).unwrap();
    assert!(without.usage.unwrap().budget.is_none(), "what is not asked for is counted only");
    let names = |bound: &Expanded| -> Vec<String> {
        bound.routes.iter().filter(|r| r.action == Action::Deny).map(|r| r.name.clone()).collect()
    };
    assert_eq!(names(&Bound::openai(json!({})).to(&json!({})).unwrap()), ["administration"]);
    let denied = Bound::openai(with(price.clone())).to(&budget).unwrap();
    assert_eq!(names(&denied), ["administration", "unpriced"]);

    let missing = ("openai.budget_without_prices".to_owned(), "bindingConfig.budgetMicros".into());
    for target in [json!({}), json!({"prices": []}), json!({"models": [{"id": "m"}]})] {
        let codes = Bound::openai(target.clone()).codes(&budget);
        assert_eq!(codes, std::slice::from_ref(&missing), "{target}");
    }
    let target = Bound::openai(with(price.clone()));
    for binding in [
        json!({"budgetMicros": 0}),
        json!({"budgetMicros": -1}),
        json!({"budgetMicros": "5"}),
        json!({"budgetMicros": 1.5}),
        json!({"budgetMicros": 5, "budgetPer": "week"}),
        json!({"budgetMicros": 5, "assumedMicros": 0}),
        json!({"budgetMicros": 5, "assumedMicros": 1_000_000_000_001_i64}),
        json!({"budget": 5}),
    ] {
        let codes: Vec<String> = target.codes(&binding).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["INVALID_BINDING_CONFIG"], "{binding}");
    }
    for (field, value) in [
        ("model", json!("")),
        ("model", json!(null)),
        ("inputMicrosPerMillion", json!(-1)),
        ("inputMicrosPerMillion", json!(0.5)),
        ("outputMicrosPerMillion", json!(null)),
        ("outputMicrosPerMillion", json!(1_000_000_000_001_i64)),
        ("currency", json!("EUR")),
    ] {
        let mut price = price.clone();
        price[field] = value.clone();
        let codes = Bound::openai(with(price)).codes(&json!({}));
        assert!(codes.iter().all(|(code, _)| code == "INVALID_TARGET_CONFIG"), "{codes:?}");
        assert!(!codes.is_empty(), "{field} {value}");
    }
}

#[test]
fn every_builtin_definition_gives_no_more_by_default_than_it_warns_of() {
    for definition in REGISTRY.iter() {
        let method = definition.connection_methods.first().map(|method| method.id());
        let expanded = definition.expand(&Inputs {
            target_config: &json!({}),
            connection_method: method,
            connection_config: &json!({}),
            binding_config: &json!({}),
        });
        let Ok(expanded) = expanded else { continue };
        let broad: Vec<&ExpandedRoute> =
            expanded.routes.iter().filter(|route| broad_grant(route)).collect();
        assert!(broad.is_empty(), "{} gives {broad:?} by default", definition.key());
    }
}

proptest! {
    /// The paths of a binding name its repositories and nothing beside them.
    #[test]
    fn no_repository_name_reaches_another(name in "[a-zA-Z0-9._/%{}*-]{1,16}") {
        let Ok(bound) = Bound::github().to(&json!({"repositories": [name.clone()]})) else {
            return Ok(());
        };
        for route in bound.routes.iter().filter(|route| route.name != "account") {
            for path in &route.paths {
                let own = [format!("/repos/{name}/"), format!("/{name}/"), format!("/{name}.git/")];
                prop_assert!(own.iter().any(|own| path.starts_with(own)), "{path}");
                prop_assert!(!path.contains("/../") && !path.contains('%'), "{path}");
            }
        }
    }

    #[test]
    fn no_configuration_makes_it_panic(text in "\\PC{0,24}", flag: bool, number: i64) {
        for binding in [json!({"repositories": [text, flag]}), json!({"access": number}), json!(number)] {
            let _ = Bound::github().to(&binding);
            let _ = Bound::openai(json!({"baseUrl": text, "models": [binding]})).to(&binding);
        }
    }
}

//! A definition whose parts do not fit one another is refused, with the place of each misfit.
#![cfg(test)]

use sallygate_definitions::Definition;
use sallygate_definitions::source::SourceFile;

const BASE: &str = r#"
familyId = "acme"
variantId = "cloud"
kind = "connector"
displayName = "Acme"
description = "Things at Acme."
logoKey = "acme"

[targetConfigSchema.properties.baseUrl]
type = "string"
format = "uri"

[bindingConfigSchema.properties.access]
type = "string"
enum = ["read", "write"]

[bindingConfigSchema.properties.projects]
type = "array"
items = { type = "string", format = "slug" }

[[bindingConfigForm.fields]]
name = "access"
label = "Access"
widget = "select"
choices = [{ value = "read", label = "Read" }]

[[connectionMethods]]
kind = "form"
id = "token"
label = "Token"
fields = [{ name = "t", label = "T", secretType = "api_key" }]

[[compileBinding.origins]]
name = "api"
baseUrl = "{{target.baseUrl}}"
inject = [{ secretType = "api_key", present = { kind = "bearer" } }]

[[compileBinding.routes]]
name = "read"
forEach = "binding.projects"
methods = ["GET"]
paths = ["/p/{{item}}/**"]
"#;

fn codes(text: &str) -> Vec<(String, String)> {
    let read = Definition::read(&SourceFile::new("acme.toml", text));
    let found = read.err().map(|found| found.0).unwrap_or_default();
    let field = |d: &sallygate_definitions::diagnostic::Diagnostic| {
        (d.code.to_string(), d.place.as_ref().map(|place| place.field.clone()).unwrap_or_default())
    };
    found.iter().map(field).collect()
}

#[test]
fn a_definition_whose_parts_fit_is_read() {
    assert_eq!(codes(BASE), []);
}

#[test]
fn what_is_replaced_by_something_that_does_not_fit_is_refused_at_its_place() {
    for (part, other, field) in [
        ("name = \"access\"", "name = \"acess\"", "bindingConfigForm.fields[0].name"),
        ("value = \"read\",", "value = \"raed\",", "bindingConfigForm.fields[0].choices[0].value"),
        ("widget = \"select\"", "widget = \"text\"", "bindingConfigForm.fields[0].choices"),
        (
            "widget = \"select\"\nchoices = [{ value = \"read\", label = \"Read\" }]",
            "widget = \"resourcePicker\"\nresource = \"projects\"",
            "bindingConfigForm.fields[0].resource",
        ),
        ("{{target.baseUrl}}", "{{target.url}}", "compileBinding.origins[0].baseUrl"),
        ("{{target.baseUrl}}", "{{item}}", "compileBinding.origins[0].baseUrl"),
        ("{{target.baseUrl}}", "{{target.baseUrl", "compileBinding.origins[0].baseUrl"),
        ("/p/{{item}}/**", "/p/{{item.id}}/**", "compileBinding.routes[0].paths[0]"),
        ("/p/{{item}}/**", "/p/{{binding.projects}}", "compileBinding.routes[0].paths[0]"),
        ("/p/{{item}}/**", "p/{{item}}/**", "compileBinding.routes[0].paths[0]"),
        ("[\"/p/{{item}}/**\"]", "[]", "compileBinding.routes[0].paths"),
        (
            "forEach = \"binding.projects\"",
            "forEach = \"binding.access\"",
            "compileBinding.routes[0].forEach",
        ),
        ("methods = [\"GET\"]", "methods = []", "compileBinding.routes[0].methods"),
        ("methods = [\"GET\"]", "methods = [\"get\"]", "compileBinding.routes[0].methods[0]"),
        ("methods = [\"GET\"]", "origin = \"web\"", "compileBinding.routes[0].origin"),
        (
            "methods = [\"GET\"]",
            "when = { access = \"admin\" }",
            "compileBinding.routes[0].when.access",
        ),
        ("methods = [\"GET\"]", "when = { level = 1 }", "compileBinding.routes[0].when.level"),
        ("methods = [\"GET\"]", "broadOption = \"all\"", "compileBinding.routes[0].broadOption"),
        ("methods = [\"GET\"]", "query = [{ name = \"q\" }]", "compileBinding.routes[0]"),
        (
            "methods = [\"GET\"]",
            "connectionMethods = [\"oauth\"]",
            "compileBinding.routes[0].connectionMethods[0]",
        ),
        (
            "methods = [\"GET\"]",
            "protocol = { kind = \"mcp\", tools = [\"{{binding.tools}}\"] }",
            "compileBinding.routes[0].protocol",
        ),
        (
            "methods = [\"GET\"]",
            "protocol = { kind = \"mcp\", tools = [\"x-{{binding.projects}}\"] }",
            "compileBinding.routes[0].protocol",
        ),
        (
            "present = { kind = \"bearer\" }",
            "present = { kind = \"header\", header = \"{{target.header}}\" }",
            "compileBinding.origins[0].inject[0].present.header",
        ),
        (
            "inject = [{",
            "inject = [{ connectionMethods = [\"oauth\"],",
            "compileBinding.origins[0].inject[0].connectionMethods[0]",
        ),
        (
            "inject = [{ secretType = \"api_key\"",
            "inject = [{ secretType = \"password\"",
            "compileBinding.origins[0].inject[0].secretType",
        ),
        (
            "label = \"Token\"",
            "label = \"Token\"\nresolver = \"app\"",
            "connectionMethods[0].resolver",
        ),
        (
            "format = \"slug\" }",
            "format = \"slug\", minimum = 1 }",
            "bindingConfigSchema.properties.projects.items.minimum",
        ),
        (
            "format = \"uri\"",
            "default = \"x\"\nformat = \"uri\"",
            "targetConfigSchema.properties.baseUrl.default",
        ),
        (
            "[bindingConfigSchema.properties.access]",
            "[bindingConfigSchema]\nrequired = [\"acces\"]\n[bindingConfigSchema.properties.access]",
            "bindingConfigSchema.required",
        ),
    ] {
        assert!(BASE.contains(part), "{part}");
        let found = codes(&BASE.replacen(part, other, 1));
        let expected = ("INVALID_DEFINITION".to_owned(), field.to_owned());
        assert!(found.contains(&expected), "{other}: {found:?}");
    }
}

fn refused(cases: &[(&str, &str)]) {
    for (added, field) in cases {
        let found = codes(&format!("{BASE}\n{added}\n"));
        let expected = ("INVALID_DEFINITION".to_owned(), (*field).to_owned());
        assert!(found.contains(&expected), "{added}: {found:?}");
    }
}

const USAGE: &str = "[usage]\nmethods = [\"POST\"]\nmodel = [\"/model\"]\ntokens = [{ kind = \"input\", pointers = [\"/usage/in\"] }, { kind = \"cachedInput\", within = \"input\", pointers = [\"/usage/c\"] }]";

#[test]
fn usage_that_nobody_could_count_is_refused_at_its_place() {
    let route = "[[compileBinding.routes]]\nname = \"ask\"\npaths = [\"/ask\"]\nusage = true\n";
    assert_eq!(codes(&format!("{BASE}\n{USAGE}\n{route}")), []);
    refused(&[(route, "compileBinding.routes[1].usage")]);
    let denied = format!("{USAGE}\n{route}action = \"deny\"");
    refused(&[(&denied, "compileBinding.routes[1].usage")]);
    for (part, other, field) in [
        ("[\"POST\"]", "[]", "usage.methods"),
        ("[\"/model\"]", "[]", "usage.model"),
        ("\"/model\"", "\"model\"", "usage.model[0]"),
        ("\"/usage/in\"", "\"/usage//in\"", "usage.tokens[0].pointers[0]"),
        ("[\"/usage/in\"]", "[]", "usage.tokens[0].pointers"),
        ("\"cachedInput\"", "\"input\"", "usage.tokens[1].kind"),
        ("within = \"input\"", "within = \"output\"", "usage.tokens[1].within"),
        ("within = \"input\"", "within = \"cachedInput\"", "usage.tokens[1].within"),
    ] {
        assert!(USAGE.contains(part), "{part}");
        refused(&[(&USAGE.replacen(part, other, 1), field)]);
    }
    let budget =
        format!("{USAGE}\n[bindingConfigSchema.properties.budgetMicros]\ntype = \"integer\"\n");
    refused(&[
        (&budget, "targetConfigSchema.properties.prices"),
        (&budget, "bindingConfigSchema.properties.assumedMicros"),
    ]);
}

#[test]
fn what_is_added_and_does_not_fit_is_refused_at_its_place() {
    refused(&[
        (
            "[[compileBinding.routes]]\nname = \"read\"\npaths = [\"/\"]",
            "compileBinding.routes[1].name",
        ),
        (
            "[[compileBinding.routes]]\nname = \"a b\"\npaths = [\"/\"]",
            "compileBinding.routes[1].name",
        ),
        (
            "[[compileBinding.origins]]\nname = \"b\"\nbaseUrl = \"https://b.test\"",
            "compileBinding.routes[0].origin",
        ),
        (
            "[[connectionMethods]]\nkind = \"redirect\"\nid = \"app\"\nlabel = \"App\"",
            "connectionMethods[1].kind",
        ),
        (
            "[[connectionMethods]]\nkind = \"deviceAuthorization\"\nid = \"token\"\nlabel = \"D\"",
            "connectionMethods[1].id",
        ),
        (
            "[mcpConfig]\nclientId = \"c\"\nfileId = \"f\"\nformat = \"toml\"\npath = [\"m\"]",
            "mcpConfig.clientId",
        ),
        (
            "[mcpConfig]\nclientId = \"c\"\nfileId = \"f\"\nformat = \"toml\"\npath = [\"__proto__\"]",
            "mcpConfig.path",
        ),
        (
            "[[validateBindingWriteContext]]\ncode = \"Bad\"\nfield = \"access\"\nsafeMessage = \"m\"\nrequire = { kind = \"never\" }",
            "validateBindingWriteContext[0].code",
        ),
        (
            "[[validateBindingWriteContext]]\ncode = \"b\"\nfield = \"projects\"\nsafeMessage = \"m\"\nrequire = { kind = \"in\", list = \"connection.projects\" }",
            "validateBindingWriteContext[0].require.list",
        ),
        (
            "[[contracts]]\ndirection = \"outbound\"\ntype = \"mcp\"\nsurface = \" \"\nauth = \"a\"\nstability = \"stable\"\nversioning = \"v\"\nowner = \"o\"",
            "contracts[0].surface",
        ),
        (
            "[[mcp]]\ngive = { id = \"m\", name = \"m\", transport = { kind = \"http\", url = \"{{target.mcp}}\" } }",
            "mcp[0].give.transport.url",
        ),
    ]);
}

#[test]
fn webhooks_that_do_not_fit_are_refused_at_their_place() {
    refused(&[
        (
            "[webhookSource]\nownership = \"target\"\nrouting = \"path\"\nlifecycle = \"implicit\"",
            "webhookHandler",
        ),
        (
            "[[supportedWebhookEvents]]\neventType = \"e\"\nproviderEventType = \"e\"\ndisplayName = \"E\"\ncategory = \"C\"",
            "supportedWebhookEvents",
        ),
        (
            "[webhookSource]\nownership = \"target\"\nrouting = \"path\"\nlifecycle = \"implicit\"\n[webhookHandler]\nverify = { kind = \"staticToken\", headers = [\"a b\"] }",
            "webhookHandler.verify",
        ),
        (
            "[webhookSource]\nownership = \"target\"\nrouting = \"path\"\nlifecycle = \"implicit\"\n[webhookHandler]\nverify = { kind = \"hmacSha256\", header = \"x\", encoding = \"hex\", signed = \"timestampDotBody\" }",
            "webhookHandler.verify.timestamp",
        ),
        (
            "[webhookSource]\nownership = \"target\"\nrouting = \"path\"\nlifecycle = \"implicit\"\n[webhookHandler]\nverify = { kind = \"firstPresent\", of = [{ kind = \"slackV0\" }] }",
            "webhookHandler.verify.of",
        ),
        (
            "[webhookSource]\nownership = \"target\"\nrouting = \"path\"\nlifecycle = \"implicit\"\n[webhookHandler]\nverify = { kind = \"firstPresent\", of = [{ kind = \"slackV0\" }, { kind = \"staticToken\", headers = [] }] }",
            "webhookHandler.verify.of[1].headers",
        ),
    ]);
}

#[test]
fn a_schema_beyond_the_limits_has_a_code_of_its_own() {
    let properties: String = (0..129)
        .map(|n| format!("[connectionConfigSchema.properties.p{n}]\ntype = \"string\"\n"))
        .collect();
    let path = ".properties.a".repeat(8);
    let deep = format!("[connectionConfigSchema{path}]\ntype = \"string\"\n");
    for (added, code) in [(properties, "SCHEMA_TOO_LARGE"), (deep, "SCHEMA_TOO_DEEP")] {
        let found = codes(&format!("{BASE}\n{added}"));
        assert!(found.iter().any(|(found, _)| found == code), "{code}: {found:?}");
    }
}

#[test]
fn a_schema_has_no_keyword_that_is_not_kept() {
    for keyword in [
        "pattern = \"^(a+)+$\"",
        "\"$ref\" = \"https://x.test/s\"",
        "anyOf = []",
        "additionalProperties = true",
    ] {
        let text = format!("{BASE}\n[connectionConfigSchema.properties.x]\n{keyword}\n");
        assert_eq!(
            codes(&text).first().map(|(code, _)| code.clone()).as_deref(),
            Some("UNKNOWN_FIELD"),
            "{keyword}"
        );
    }
}

#[test]
fn a_definition_names_the_client_of_its_targets() {
    const OAUTH: &str = r#"
[[connectionMethods]]
kind = "oauth2AuthorizationCode"
id = "oauth"
label = "OAuth"

[oauth2AuthorizationCode]
authorizationUrl = "{{target.baseUrl}}/authorize"
tokenUrl = "{{target.baseUrl}}/token"
"#;
    let properties = |names: &[(&str, &str)]| {
        let property = |(schema, name): &(&str, &str)| {
            format!("[{schema}.properties.{name}]\ntype = \"string\"\n")
        };
        names.iter().map(property).collect::<String>()
    };
    let all = [
        ("targetConfigSchema", "clientId"),
        ("targetConfigSchema", "redirectUri"),
        ("targetSecretSchema", "clientSecret"),
    ];
    let whole = format!("{BASE}{OAUTH}{}", properties(&all));
    assert_eq!(codes(&whole), []);
    for missing in 0..all.len() {
        let some: Vec<_> = all.iter().enumerate().filter(|(at, _)| *at != missing).collect();
        let some: Vec<_> = some.into_iter().map(|(_, name)| *name).collect();
        let found = codes(&format!("{BASE}{OAUTH}{}", properties(&some)));
        let kind = ("INVALID_DEFINITION".to_owned(), "connectionMethods[1].kind".to_owned());
        assert_eq!(found, [kind], "{missing}");
    }
    let unknown = whole.replace("{{target.baseUrl}}/token", "{{target.url}}/token");
    let place = ("INVALID_DEFINITION".to_owned(), "oauth2AuthorizationCode.tokenUrl".to_owned());
    assert_eq!(codes(&unknown), [place]);
}

#[test]
fn a_secret_is_narrowed_by_what_a_binding_has() {
    let rule = "secretType = \"api_key\", present";
    let narrowed = |scope: &str| {
        codes(&BASE.replace(rule, &format!("secretType = \"api_key\", scope = {scope}, present")))
    };
    assert_eq!(
        narrowed(r#"{ projects = "{{binding.projects}}", access = "{{binding.access}}" }"#),
        []
    );
    let field = "compileBinding.origins[0].inject[0].scope";
    for (scope, at) in [
        (r#"{ projects = "{{binding.none}}" }"#, "projects"),
        (r#"{ projects = "all of {{binding.projects}}" }"#, "projects"),
        (r#"{ deep = { access = "{{binding.acess}}" } }"#, "deep.access"),
    ] {
        let place = ("INVALID_DEFINITION".to_owned(), format!("{field}.{at}"));
        assert_eq!(narrowed(scope), [place], "{scope}");
    }
}

#[test]
fn a_placeholder_is_of_a_secret_that_there_is_and_looks_like_something() {
    let with =
        |rules: &str| {
            codes(&BASE.replace(
                "[[compileBinding.origins]]",
                &format!("{rules}\n[[compileBinding.origins]]"),
            ))
        };
    let rule = |more: &str| format!("[[placeholders]]\nsecretType = \"api_key\"\n{more}\n");
    let shape = rule("shape = \"ak_{alphanumeric:36}\"\nenv = [\"ACME_KEY\", \"ACME_TOKEN\"]");
    for fine in [shape.as_str(), &rule(""), &rule("shape = \"{hex:36}\"")] {
        assert_eq!(with(fine), [], "{fine}");
    }
    for (rules, field) in [
        (rule("").replace("api_key", "password"), "placeholders[0].secretType"),
        (rule("slotKey = \"other\""), "placeholders[0].secretType"),
        (format!("{}{}", rule(""), rule("")), "placeholders[1].secretType"),
        (rule("shape = \"ak_{alphanumeric:35}\""), "placeholders[0].shape"),
        (rule("shape = \"ak {alphanumeric:36}\""), "placeholders[0].shape"),
        (rule("shape = \"\""), "placeholders[0].shape"),
        (rule("env = [\"1KEY\"]"), "placeholders[0].env[0]"),
        (rule("env = [\"A\", \"A=B\"]"), "placeholders[0].env[1]"),
        (rule("env = [\"https_proxy\"]"), "placeholders[0].env[0]"),
        (rule("env = [\"A\", \"A\"]"), "placeholders[0].env[1]"),
    ] {
        let expected = [("INVALID_DEFINITION".to_owned(), field.to_owned())];
        assert_eq!(with(&rules), expected, "{rules}");
    }
    for rules in [rule("shap = \"x\""), rule("env = \"A\"")] {
        assert!(!with(&rules).is_empty(), "{rules}");
    }
}

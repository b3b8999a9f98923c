//! The page of the documentation about a definition, made from the definition.

use std::fmt::Write;

use crate::contract::Definition;
use crate::contract::binding::Origin;
use crate::contract::injection::Presentation;
use crate::contract::method::ConnectionMethod;
use crate::contract::route::{Action, Conditions, Protocol, RouteTemplate};
use crate::contract::webhook::Verifier;
use crate::schema::{ConfigSchema, SchemaType};

/// Where a definition's page is, below the directory of such pages.
pub fn file_name(definition: &Definition) -> String {
    format!("{}.{}.md", definition.family_id, definition.variant_id)
}

/// The page, in Markdown. `source` is the definition's file, for the comment that it begins with.
pub fn page(definition: &Definition, source: &str) -> String {
    let Definition { display_name, description, kind, .. } = definition;
    let mut text = format!(
        "# {display_name}\n\n{description}\n\n| | |\n| --- | --- |\n| key | `{}` |\n| kind | {} |\n\n",
        definition.key(),
        kind.as_str()
    );
    methods(definition, &mut text);
    for (title, schema) in [
        ("Target", &definition.target_config_schema),
        ("Connection", &definition.connection_config_schema),
        ("Binding", &definition.binding_config_schema),
    ] {
        properties(title, schema, &mut text);
    }
    origins(definition, &mut text);
    placeholders(definition, &mut text);
    routes(definition, &mut text);
    webhooks(definition, &mut text);
    contracts(definition, &mut text);
    notes(source, &mut text);
    text.trim_end().to_owned() + "\n"
}

/// A table; what stands in a cell cannot end it.
fn table<const N: usize>(
    title: &str,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    text: &mut String,
) {
    let line = |cells: &[String; N]| format!("| {} |\n", cells.join(" | "));
    let rows: String = rows
        .map(|row| line(&row.map(|cell| cell.replace('|', "\\|").replace('\n', " "))))
        .collect();
    if rows.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "## {title}\n\n{}{}",
        line(&head.map(str::to_owned)),
        line(&head.map(|_| "---".to_owned()))
    );
    text.push_str(&rows);
    text.push('\n');
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn codes<T: AsRef<str>>(list: &[T]) -> String {
    list.iter().map(|text| code(text.as_ref())).collect::<Vec<_>>().join(", ")
}

fn methods(definition: &Definition, text: &mut String) {
    let rows = definition.connection_methods.iter().map(|method| {
        let (label, asks) = match method {
            ConnectionMethod::Form { label, fields, .. } => {
                let field = |f: &crate::contract::method::SecretField| {
                    let optional = if f.optional { " (optional)" } else { "" };
                    format!("{}{optional}", code(&f.name))
                };
                (label, fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
            ConnectionMethod::Oauth2AuthorizationCode { label, .. } => {
                let scopes =
                    definition.oauth2_authorization_code.as_ref().map(|o| codes(&o.scopes));
                (label, format!("consent to {}", scopes.unwrap_or_default()))
            }
            ConnectionMethod::Oauth2ClientCredentials { label, .. } => {
                (label, "the client's secret".into())
            }
            ConnectionMethod::Redirect { label, .. } => (label, "a redirect".into()),
            ConnectionMethod::DeviceAuthorization { label, .. } => {
                (label, "a code on a device".into())
            }
        };
        [code(method.id()), label.clone(), asks]
    });
    table("Connecting", ["method", "", "asks for"], rows, text);
}

fn properties(title: &str, schema: &ConfigSchema, text: &mut String) {
    let rows = schema.properties.iter().map(|(name, property)| {
        let default = property.default.as_ref().map(|value| code(&value.to_string()));
        let required = schema.required.contains(name).then(|| "required".to_owned());
        [
            code(name),
            value_of(property),
            required.or(default).unwrap_or_default(),
            property.description.clone().unwrap_or_default(),
        ]
    });
    table(title, ["property", "value", "default", "meaning"], rows, text);
}

fn value_of(schema: &ConfigSchema) -> String {
    if !schema.r#enum.is_empty() {
        return schema
            .r#enum
            .iter()
            .map(|value| code(&value.to_string()))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let plain = match schema.r#type {
        SchemaType::Object => "table",
        SchemaType::Array => {
            return format!(
                "list of {}",
                schema.items.as_deref().map_or_else(String::new, value_of)
            );
        }
        SchemaType::String => "string",
        SchemaType::Integer => "integer",
        SchemaType::Boolean => "boolean",
    };
    match schema.format.and_then(|format| serde_json::to_value(format).ok()) {
        Some(format) => format.as_str().unwrap_or(plain).to_owned(),
        None => plain.to_owned(),
    }
}

fn origins(definition: &Definition, text: &mut String) {
    let rows = definition
        .compile_binding
        .origins
        .iter()
        .map(|origin| [code(&origin.name), code(&origin.base_url), presented(origin)]);
    table("Origins", ["origin", "base URL", "credential"], rows, text);
}

fn presented(origin: &Origin) -> String {
    let rule = |rule: &crate::contract::injection::InjectionRule| {
        let how = match &rule.present {
            Presentation::Bearer {} => "bearer".to_owned(),
            Presentation::Basic { username: Some(user), .. } => {
                format!("basic, user {}", code(user))
            }
            Presentation::Basic { username_from: Some(user), .. } => {
                format!("basic, user {}", code(user.secret_type.as_str()))
            }
            Presentation::Basic { username: None, username_from: None } => "basic".to_owned(),
            Presentation::Header { header, template } => {
                let template = template.as_ref().map(|t| format!(" as {}", code(t)));
                format!("header {}{}", code(header), template.unwrap_or_default())
            }
            Presentation::Query { parameter } => format!("query {}", code(parameter)),
            Presentation::Cookie { name } => format!("cookie {}", code(name)),
            Presentation::Path {} => "in the path".to_owned(),
            Presentation::Placeholder { .. } => "in place of a placeholder".to_owned(),
            Presentation::AwsSigv4 { .. } => "Signature Version 4".to_owned(),
            Presentation::ClientCertificate {} => "client certificate".to_owned(),
        };
        match rule.connection_methods.as_slice() {
            [] => how,
            methods => format!("{}: {how}", codes(methods)),
        }
    };
    match origin.inject.as_slice() {
        [] => "none".to_owned(),
        rules => rules.iter().map(rule).collect::<Vec<_>>().join("; "),
    }
}

fn placeholders(definition: &Definition, text: &mut String) {
    let rows = definition.placeholders.iter().map(|rule| {
        let slot = rule.slot_key.as_ref().map(|slot| format!(" {}", code(slot)));
        let secret = format!("{}{}", code(rule.secret_type.as_str()), slot.unwrap_or_default());
        [secret, code(&rule.shape), codes(&rule.env)]
    });
    table("Placeholders", ["secret", "looks like", "in the variables"], rows, text);
}

fn routes(definition: &Definition, text: &mut String) {
    let rows = definition.compile_binding.routes.iter().map(|route| {
        let methods = route.methods.as_ref().map_or("any".to_owned(), |methods| methods.join(" "));
        [
            code(&route.name),
            route.origin.as_ref().map_or_else(String::new, |name| code(name)),
            methods,
            codes(&route.paths),
            remarks(route),
        ]
    });
    table("Routes", ["route", "origin", "methods", "paths", ""], rows, text);
    if !definition.mcp.is_empty() {
        let rows = definition
            .mcp
            .iter()
            .map(|server| [code(&server.give.name), format!("with {}", conditions(&server.when))]);
        table("MCP servers", ["name", "there"], rows, text);
    }
}

fn conditions(when: &Conditions) -> String {
    match when.is_empty() {
        true => "every binding".to_owned(),
        false => when
            .iter()
            .map(|(name, value)| code(&format!("{name} = {value}")))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// When a route is there, and what else is about it.
fn remarks(route: &RouteTemplate) -> String {
    let mut remarks = Vec::new();
    match route.action {
        Action::Allow => {}
        Action::Deny => remarks.push("**denied**".to_owned()),
        Action::Hold => remarks.push("waits for an approval".to_owned()),
    }
    if !route.when.is_empty() {
        remarks.push(format!("with {}", conditions(&route.when)));
    }
    if !route.connection_methods.is_empty() {
        remarks.push(format!("connected by {}", codes(&route.connection_methods)));
    }
    if let Some(list) = &route.for_each {
        remarks.push(format!("for each of {}", code(list)));
    }
    remarks.extend(route.protocol.as_ref().map(looks_at));
    let broad = route.broad_option.as_ref();
    remarks.extend(broad.map(|option| format!("a broad grant, asked for by {}", code(option))));
    remarks.join("; ")
}

fn looks_at(protocol: &Protocol) -> String {
    let list = |name: &str, items: &[String]| match items {
        [] => String::new(),
        items => format!(", {name} {}", codes(items)),
    };
    match protocol {
        Protocol::Git { service, refs, .. } => {
            let service = serde_json::to_value(service).ok();
            let service = service.as_ref().and_then(|s| s.as_str()).unwrap_or("any service");
            format!("git {service}{}", list("references", refs))
        }
        Protocol::Graphql { operation, fields } => {
            let operation = serde_json::to_value(operation).ok();
            let operation = operation.as_ref().and_then(|o| o.as_str()).unwrap_or("operation");
            format!("GraphQL {operation}{}", list("fields", fields))
        }
        Protocol::Mcp { methods, tools } => {
            format!("MCP{}{}", list("methods", methods), list("tools", tools))
        }
        Protocol::Grpc { service, .. } => format!("gRPC {}", code(service)),
    }
}

fn webhooks(definition: &Definition, text: &mut String) {
    let Some(handler) = &definition.webhook_handler else { return };
    let _ = write!(text, "## Webhooks\n\nA delivery is proven by {}.\n\n", proof(&handler.verify));
    let rows = definition.supported_webhook_events.iter().map(|event| {
        [code(&event.event_type), code(&event.provider_event_type), event.display_name.clone()]
    });
    table("Events", ["event", "at the provider", ""], rows, text);
}

fn proof(verifier: &Verifier) -> String {
    match verifier {
        Verifier::HmacSha256 { header, fallback_headers, .. } => {
            let names: Vec<&str> =
                std::iter::once(header).chain(fallback_headers).map(String::as_str).collect();
            format!("an HMAC-SHA256 in {}", codes(&names))
        }
        Verifier::StandardWebhooks { .. } => "a signature of Standard Webhooks".to_owned(),
        Verifier::SlackV0 { .. } => "a v0 signature in `X-Slack-Signature`".to_owned(),
        Verifier::StaticToken { headers, legacy_query, .. } => {
            let legacy = legacy_query
                .as_ref()
                .map(|name| format!(", or for now in the query as {}", code(name)));
            format!("the shared secret in {}{}", codes(headers), legacy.unwrap_or_default())
        }
        Verifier::FirstPresent { of } => {
            of.iter().map(proof).collect::<Vec<_>>().join(", or where there is none by ")
        }
    }
}

fn contracts(definition: &Definition, text: &mut String) {
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let rows = definition.contracts.iter().map(|contract| {
        [
            word(serde_json::to_value(contract.direction)),
            word(serde_json::to_value(contract.r#type)),
            contract.surface.clone(),
            contract.auth.clone(),
            word(serde_json::to_value(contract.stability)),
            contract.versioning.clone(),
        ]
    });
    let head = ["direction", "type", "surface", "auth", "stability", "version"];
    table("Surfaces", head, rows, text);
}

/// The comment that the file begins with: facts, and where they come from.
fn notes(source: &str, text: &mut String) {
    let lines = source.lines().map_while(|line| line.strip_prefix('#'));
    let notes: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    if !notes.is_empty() {
        let _ = write!(text, "## From the file\n\n{}\n", notes.join("\n"));
    }
}

//! Names: each stands for one thing, and what is named is there.

use std::collections::BTreeSet;

use super::invalid;
use crate::contract::Definition;
use crate::contract::binding::Origin;
use crate::contract::method::{ConnectionMethod, CredentialResolver};
use crate::contract::route::RouteTemplate;
use crate::read::suggestion;
use crate::schema::{Path, Problem};

pub(super) fn check(definition: &Definition, found: &mut Vec<Problem>) {
    unique_names(definition, found);
    let compile = Path::of(&["compileBinding"]);
    for (at, route) in definition.compile_binding.routes.iter().enumerate() {
        let path = compile.key("routes").index(at);
        origin_of(definition, route, &path, found);
        for (at, id) in route.connection_methods.iter().enumerate() {
            let ids = definition.connection_methods.iter().map(ConnectionMethod::id);
            known(id, ids, &path.key("connectionMethods").index(at), found);
        }
    }
    for (at, origin) in definition.compile_binding.origins.iter().enumerate() {
        methods_of(definition, origin, &compile.key("origins").index(at), found);
    }
    for (at, resource) in definition.resource_definitions.iter().enumerate() {
        if let Some(listing) = &resource.list {
            let path = Path::of(&["resourceDefinitions"]).index(at).key("list").key("origin");
            known(&listing.origin, origins(definition), &path, found);
        }
    }
    resolvers(definition, found);
    mcp_config(definition, found);
}

fn unique_names(definition: &Definition, found: &mut Vec<Problem>) {
    let compile = &definition.compile_binding;
    let routes = compile.routes.iter().map(|route| route.name.as_str());
    unique(routes, &["compileBinding", "routes"], "name", found);
    unique(origins(definition), &["compileBinding", "origins"], "name", found);
    let methods = definition.connection_methods.iter().map(ConnectionMethod::id);
    unique(methods, &["connectionMethods"], "id", found);
    let resources = definition.resource_definitions.iter().map(|r| r.key.as_str());
    unique(resources, &["resourceDefinitions"], "key", found);
    let events = definition.supported_webhook_events.iter().map(|e| e.event_type.as_str());
    unique(events, &["supportedWebhookEvents"], "eventType", found);
    let servers = definition.mcp.iter().map(|server| server.give.id.as_str());
    unique(servers, &["mcp"], "give.id", found);
}

fn unique<'n>(
    names: impl Iterator<Item = &'n str>,
    list: &[&str],
    field: &str,
    found: &mut Vec<Problem>,
) {
    let mut seen = BTreeSet::new();
    for (at, name) in names.enumerate() {
        let path = field.split('.').fold(Path::of(list).index(at), |path, key| path.key(key));
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || !name.bytes().all(allowed) {
            invalid(found, &path, "is a name of letters, digits, `.`, `_` and `-`");
        } else if !seen.insert(name) {
            invalid(found, &path, &format!("is `{name}`, which stands there already"));
        }
    }
}

fn origins(definition: &Definition) -> impl Iterator<Item = &str> {
    definition.compile_binding.origins.iter().map(|origin| origin.name.as_str())
}

fn origin_of(
    definition: &Definition,
    route: &RouteTemplate,
    path: &Path,
    found: &mut Vec<Problem>,
) {
    let count = definition.compile_binding.origins.len();
    match &route.origin {
        Some(name) => known(name, origins(definition), &path.key("origin"), found),
        None if count == 1 => {}
        None => {
            let message = format!("must be given: the definition has {count} origins");
            invalid(found, &path.key("origin"), &message);
        }
    }
}

/// Each method of an injection is there, and has the secret that is injected.
fn methods_of(definition: &Definition, origin: &Origin, path: &Path, found: &mut Vec<Problem>) {
    let ids = || definition.connection_methods.iter().map(ConnectionMethod::id);
    for (at, rule) in origin.inject.iter().enumerate() {
        let path = path.key("inject").index(at);
        for (at, id) in rule.connection_methods.iter().enumerate() {
            known(id, ids(), &path.key("connectionMethods").index(at), found);
        }
        let meant = |method: &&ConnectionMethod| {
            let listed = &rule.connection_methods;
            listed.is_empty() || listed.iter().any(|id| id == method.id())
        };
        for method in definition.connection_methods.iter().filter(meant) {
            let ConnectionMethod::Form { id, fields, .. } = method else { continue };
            let same = |field: &crate::contract::method::SecretField| {
                field.secret_type == rule.secret_type && field.slot_key == rule.slot_key
            };
            if !fields.iter().any(same) {
                let message = format!("is a secret that the method `{id}` does not ask for");
                invalid(found, &path.key("secretType"), &message);
            }
        }
    }
}

fn resolvers(definition: &Definition, found: &mut Vec<Problem>) {
    let keys = || {
        definition.credential_resolvers.iter().filter_map(|resolver| match resolver {
            CredentialResolver::Custom { key } => Some(key.as_str()),
            CredentialResolver::Default {} => None,
        })
    };
    for (at, method) in definition.connection_methods.iter().enumerate() {
        let path = Path::of(&["connectionMethods"]).index(at);
        if let Some(resolver) = method.resolver() {
            known(resolver, keys(), &path.key("resolver"), found);
        }
        let (section, there) = match method {
            ConnectionMethod::Form { .. } => continue,
            ConnectionMethod::Oauth2AuthorizationCode { .. } => {
                ("oauth2AuthorizationCode", definition.oauth2_authorization_code.is_some())
            }
            ConnectionMethod::Oauth2ClientCredentials { .. } => {
                ("oauth2ClientCredentials", definition.oauth2_client_credentials.is_some())
            }
            ConnectionMethod::Redirect { .. } => {
                ("redirectHandler", definition.redirect_handler.is_some())
            }
            ConnectionMethod::DeviceAuthorization { .. } => {
                ("deviceAuthorization", definition.device_authorization.is_some())
            }
        };
        if !there {
            let message = format!("needs `{section}`, which the definition does not have");
            invalid(found, &path.key("kind"), &message);
        }
        client(definition, method, &path.key("kind"), found);
    }
    if let Some(handler) = &definition.redirect_handler {
        known(&handler.resolver, keys(), &Path::of(&["redirectHandler", "resolver"]), found);
    }
}

/// A target says who we are at its provider, always by the same names.
fn client(
    definition: &Definition,
    method: &ConnectionMethod,
    path: &Path,
    found: &mut Vec<Problem>,
) {
    let consents = match method {
        ConnectionMethod::Form { .. } => return,
        ConnectionMethod::Oauth2AuthorizationCode { .. } | ConnectionMethod::Redirect { .. } => {
            Some("redirectUri")
        }
        ConnectionMethod::Oauth2ClientCredentials { .. }
        | ConnectionMethod::DeviceAuthorization { .. } => None,
    };
    let config = &definition.target_config_schema.properties;
    let of_config = ["clientId"].into_iter().chain(consents);
    let config = of_config.filter(|name| !config.contains_key(*name));
    let secrets = &definition.target_secret_schema.properties;
    let secrets = ["clientSecret"].into_iter().filter(|name| !secrets.contains_key(*name));
    let missing = config
        .map(|name| ("targetConfigSchema", name))
        .chain(secrets.map(|name| ("targetSecretSchema", name)));
    for (schema, name) in missing {
        invalid(found, path, &format!("needs `{schema}.properties.{name}`"));
    }
}

fn mcp_config(definition: &Definition, found: &mut Vec<Problem>) {
    let Some(config) = &definition.mcp_config else { return };
    let clients = || definition.compile_binding.runtime_clients.iter().map(|client| &client.give);
    let ids = clients().map(|client| client.client_id.as_str());
    known(&config.client_id, ids, &Path::of(&["mcpConfig", "clientId"]), found);
    let of_client = clients().filter(|client| client.client_id == config.client_id);
    let files = of_client.flat_map(|client| &client.files).map(|file| file.file_id.as_str());
    known(&config.file_id, files, &Path::of(&["mcpConfig", "fileId"]), found);
    let path = Path::of(&["mcpConfig", "path"]);
    let forbidden = ["__proto__", "constructor", "prototype", ""];
    if config.path.is_empty() || config.path.iter().any(|key| forbidden.contains(&key.as_str())) {
        invalid(
            found,
            &path,
            "is at least one key, and none of `__proto__`, `constructor`, `prototype`",
        );
    }
}

/// `name` is one of `names`.
pub(super) fn known<'n>(
    name: &str,
    names: impl Iterator<Item = &'n str>,
    path: &Path,
    found: &mut Vec<Problem>,
) {
    let names: Vec<&str> = names.collect();
    if names.contains(&name) {
        return;
    }
    invalid(found, path, &format!("is `{name}`, which there is not"));
    let help = match suggestion(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "there are none".to_owned(),
        None => format!("there is {}", names.join(", ")),
    };
    if let Some(last) = found.last_mut() {
        last.help = Some(help);
    }
}

//! Templates, conditions and routes: what they name is there, so that expansion finds it.

use serde_json::{Value, json};

use super::invalid;
use super::names::known;
use crate::contract::Definition;
use crate::contract::route::{Condition, Conditions, RouteTemplate, Templated};
use crate::contract::rule::Requirement;
use crate::expand::protocol_lists;
use crate::schema::{ConfigSchema, Path, Problem, SchemaType};
use crate::template::{Reference, Source, Template};

pub(super) fn check(definition: &Definition, found: &mut Vec<Problem>) {
    let mut checker = Checker { definition, found };
    let compile = &definition.compile_binding;
    let path = Path::of(&["compileBinding"]);
    for (at, origin) in compile.origins.iter().enumerate() {
        let path = path.key("origins").index(at);
        checker.text(&origin.base_url, None, &path.key("baseUrl"));
        for (at, rule) in origin.inject.iter().enumerate() {
            let value = serde_json::to_value(&rule.present).unwrap_or_default();
            let path = path.key("inject").index(at);
            checker.texts(&value, None, &path.key("present"));
            for (key, value) in &rule.scope {
                checker.scope(value, &path.key("scope").key(key));
            }
        }
    }
    for (at, route) in compile.routes.iter().enumerate() {
        checker.route(route, &path.key("routes").index(at));
    }
    checker.templated(&compile.artifacts, &path.key("artifacts"));
    checker.templated(&compile.runtime_clients, &path.key("runtimeClients"));
    checker.templated(&compile.agent_runtimes, &path.key("agentRuntimes"));
    checker.templated(&compile.workspace_sources, &path.key("workspaceSources"));
    checker.templated(&definition.mcp, &Path::of(&["mcp"]));
    checker.providers();
    checker.rules();
}

/// Properties of `schema`, each with a value that it can have, or whether it is given where it may be
/// left out.
pub(super) fn conditions(
    conditions: &Conditions,
    schema: &ConfigSchema,
    path: &Path,
    found: &mut Vec<Problem>,
) {
    for (name, wanted) in conditions {
        let path = path.key(name);
        let Some(property) = schema.properties.get(name) else {
            known(name, schema.properties.keys().map(String::as_str), &path, found);
            continue;
        };
        let any = wanted.as_array().map_or(std::slice::from_ref(wanted), Vec::as_slice);
        let optional = property.default.is_none() && !schema.required.contains(name);
        let given = |value: &Value| optional && value.is_boolean();
        let admits = |value: &Value| given(value) || property.admit(value, "value").is_ok();
        if any.is_empty() || !any.iter().all(admits) {
            invalid(found, &path, "is not a value that the property can have");
        }
    }
}

struct Checker<'d, 'f> {
    definition: &'d Definition,
    found: &'f mut Vec<Problem>,
}

impl<'d> Checker<'d, '_> {
    fn route(&mut self, route: &RouteTemplate, path: &Path) {
        conditions(&route.when, self.schema(Source::Binding), &path.key("when"), self.found);
        let item = self.list(route.for_each.as_deref(), &path.key("forEach"));
        if route.paths.is_empty() {
            invalid(self.found, &path.key("paths"), "must have at least one path");
        }
        for (at, text) in route.paths.iter().enumerate() {
            let path = path.key("paths").index(at);
            self.text(text, item, &path);
            if !text.starts_with('/') {
                invalid(self.found, &path, "must begin with `/`");
            }
        }
        if route.methods.as_ref().is_some_and(Vec::is_empty) {
            let message = "must list at least one method; leave it out for any";
            invalid(self.found, &path.key("methods"), message);
        }
        for (at, method) in route.methods.iter().flatten().enumerate() {
            if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
                let path = path.key("methods").index(at);
                invalid(self.found, &path, "must be a method, in capital letters");
            }
        }
        let one_of =
            |condition: &Condition| condition.equals.is_some() != condition.present.is_some();
        if !route.headers.iter().chain(&route.query).all(one_of) {
            invalid(self.found, path, "has a condition without exactly one of `equals`, `present`");
        }
        self.protocol(route, &path.key("protocol"));
        if let Some(option) = &route.broad_option {
            let names = self.schema(Source::Binding).properties.keys().map(String::as_str);
            known(option, names, &path.key("broadOption"), self.found);
        }
    }

    /// The texts of a block are templates, or stand for a list of texts.
    fn protocol(&mut self, route: &RouteTemplate, path: &Path) {
        let Some(mut protocol) = route.protocol.clone() else { return };
        for text in protocol_lists(&mut protocol).into_iter().flatten() {
            let parsed = Template::parse(text).ok();
            let list = parsed.as_ref().and_then(Template::sole_reference);
            let schema = list.and_then(|list| self.find(list, None));
            let is_texts = |schema: &ConfigSchema| {
                let items = schema.items.as_deref().map(|items| items.r#type);
                schema.r#type == SchemaType::Array && items == Some(SchemaType::String)
            };
            if !schema.is_some_and(is_texts) {
                self.text(text, None, path);
            }
        }
    }

    fn templated<T: serde::Serialize>(&mut self, templates: &[Templated<T>], path: &Path) {
        for (at, template) in templates.iter().enumerate() {
            let path = path.index(at);
            conditions(&template.when, self.schema(Source::Binding), &path.key("when"), self.found);
            let item = self.list(template.for_each.as_deref(), &path.key("forEach"));
            let value = serde_json::to_value(&template.give).unwrap_or_default();
            self.texts(&value, item, &path.key("give"));
        }
    }

    fn texts(&mut self, value: &Value, item: Option<&'d ConfigSchema>, path: &Path) {
        match value {
            Value::String(text) => self.text(text, item, path),
            Value::Array(items) => {
                for (at, inner) in items.iter().enumerate() {
                    self.texts(inner, item, &path.index(at));
                }
            }
            Value::Object(object) => {
                for (key, inner) in object {
                    self.texts(inner, item, &path.key(key));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A text that is one reference may name a list.
    fn scope(&mut self, value: &Value, path: &Path) {
        if let Value::Object(object) = value {
            return object.iter().for_each(|(key, value)| self.scope(value, &path.key(key)));
        }
        let Value::String(text) = value else { return self.texts(value, None, path) };
        let parsed = Template::parse(text).ok();
        let list = parsed.as_ref().and_then(Template::sole_reference);
        let is_list = list.and_then(|list| self.find(list, None));
        if !is_list.is_some_and(|schema| schema.r#type == SchemaType::Array) {
            self.text(text, None, path);
        }
    }

    /// What OAuth and other redirects say of the provider.
    fn providers(&mut self) {
        let definition = self.definition;
        let sections = [
            ("oauth2AuthorizationCode", json!(definition.oauth2_authorization_code)),
            ("oauth2ClientCredentials", json!(definition.oauth2_client_credentials)),
            ("deviceAuthorization", json!(definition.device_authorization)),
            ("redirectHandler", json!(definition.redirect_handler)),
        ];
        for (name, section) in sections {
            self.texts(&section, None, &Path::of(&[name]));
        }
    }

    fn text(&mut self, text: &str, item: Option<&ConfigSchema>, path: &Path) {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => return invalid(self.found, path, &format!("has a template: {error}")),
        };
        for reference in template.references() {
            let scalar = self.find(reference, item).is_some_and(|schema| match schema.r#type {
                SchemaType::String | SchemaType::Integer | SchemaType::Boolean => true,
                SchemaType::Object | SchemaType::Array => false,
            });
            if !scalar {
                let message = format!("names `{reference}`, which no schema has as one value");
                invalid(self.found, path, &message);
            }
        }
    }

    /// The schema of the items of a list.
    fn list(&mut self, name: Option<&str>, path: &Path) -> Option<&'d ConfigSchema> {
        let name = name?;
        let schema = Reference::parse(name).ok().and_then(|list| self.find(&list, None));
        let items = schema.and_then(|schema| schema.items.as_deref());
        if items.is_none() {
            invalid(self.found, path, &format!("is `{name}`, which no schema has as an array"));
        }
        items
    }

    fn rules(&mut self) {
        for (at, rule) in self.definition.validate_binding_write_context.iter().enumerate() {
            let path = Path::of(&["validateBindingWriteContext"]).index(at);
            let binding = self.schema(Source::Binding);
            let names = || binding.properties.keys().map(String::as_str);
            let is_code = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if rule.code.is_empty() || !rule.code.bytes().all(is_code) {
                invalid(self.found, &path.key("code"), "is of `a-z`, `0-9` and `_`");
            }
            known(&rule.field, names(), &path.key("field"), self.found);
            conditions(&rule.when, binding, &path.key("when"), self.found);
            let path = path.key("require");
            match &rule.require {
                Requirement::Never {} => {}
                Requirement::AnyOf { fields } | Requirement::AtMostOneOf { fields } => {
                    for (at, field) in fields.iter().enumerate() {
                        known(field, names(), &path.key("fields").index(at), self.found);
                    }
                }
                Requirement::In { list, by } => {
                    let items = self.list(Some(list), &path.key("list"));
                    self.property(items, by.as_deref(), &path.key("by"));
                }
                Requirement::InSelected { list, by, selected, property } => {
                    let items = self.list(Some(list), &path.key("list"));
                    self.property(items, Some(by), &path.key("by"));
                    self.property(items, Some(property), &path.key("property"));
                    self.text(&format!("{{{{{selected}}}}}"), None, &path.key("selected"));
                }
            }
        }
    }

    fn property(&mut self, items: Option<&ConfigSchema>, name: Option<&str>, path: &Path) {
        let (Some(items), Some(name)) = (items, name) else { return };
        known(name, items.properties.keys().map(String::as_str), path, self.found);
    }

    fn find<'s>(
        &self,
        reference: &Reference,
        item: Option<&'s ConfigSchema>,
    ) -> Option<&'s ConfigSchema>
    where
        'd: 's,
    {
        let root = match reference.source {
            Source::Item => item?,
            Source::Target | Source::Connection | Source::Binding => self.schema(reference.source),
        };
        let keys: Vec<&str> = reference.keys.iter().map(String::as_str).collect();
        root.find(&keys)
    }

    fn schema(&self, source: Source) -> &'d ConfigSchema {
        match source {
            Source::Target => &self.definition.target_config_schema,
            Source::Connection => &self.definition.connection_config_schema,
            Source::Binding | Source::Item => &self.definition.binding_config_schema,
        }
    }
}

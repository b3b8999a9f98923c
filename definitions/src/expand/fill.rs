//! Fills in the templates of everything that is not a route.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Expansion, condition};
use crate::contract::route::Templated;
use crate::template::{Filter, Reference, Scope, Template, TemplateError};

impl<'e> Expansion<'e> {
    /// What `templates` give under the binding: each whose condition holds, for each item.
    pub(super) fn fill<T>(&mut self, templates: &[Templated<T>]) -> Vec<T>
    where
        T: Serialize + DeserializeOwned,
    {
        let mut given = Vec::new();
        for template in templates {
            if !condition::holds(&template.when, self.scope.binding) {
                continue;
            }
            for scope in self.scopes(template.for_each.as_deref()) {
                match filled_in(&template.give, &scope) {
                    Ok(filled) => given.push(filled),
                    Err(message) => self.refuse("template_value", "bindingConfig", message),
                }
            }
        }
        given
    }

    /// One thing with its templates filled in; `None` when that has issues, which are reported.
    pub(super) fn filled_in<T>(&mut self, give: &T, field: &str) -> Option<T>
    where
        T: Serialize + DeserializeOwned,
    {
        filled_in(give, &self.scope)
            .map_err(|message| self.refuse("template_value", field, message))
            .ok()
    }

    /// What narrows a secret under the binding; `None` when that has issues, which are reported.
    pub(super) fn narrowed(&mut self, scope: &Map<String, Value>) -> Option<Map<String, Value>> {
        let narrow = |(key, value): (&String, &Value)| {
            value_of(value, &self.scope).map(|value| (key.clone(), value))
        };
        let narrowed: Result<_, TemplateError> = scope.iter().map(narrow).collect();
        narrowed
            .map_err(|error| self.refuse("template_value", "bindingConfig", error.to_string()))
            .ok()
    }

    /// The scope for each item of the list, or the one scope when there is no list.
    pub(super) fn scopes(&self, for_each: Option<&str>) -> Vec<Scope<'e>> {
        let Some(list) = for_each else { return vec![self.scope] };
        // A test of the definition proved that it is a reference.
        let items = Reference::parse(list).ok().and_then(|list| list.find(&self.scope));
        let items = items.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().map(|item| Scope { item: Some(item), ..self.scope }).collect()
    }
}

fn filled_in<T>(give: &T, scope: &Scope<'_>) -> Result<T, String>
where
    T: Serialize + DeserializeOwned,
{
    let value = serde_json::to_value(give).map_err(|error| error.to_string())?;
    let value = fill(value, scope).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Every string in `value` as a template; keys stay as they are.
fn fill(value: Value, scope: &Scope<'_>) -> Result<Value, TemplateError> {
    match value {
        Value::String(text) => {
            Template::parse(&text)?.render(scope, Filter::Raw).map(Value::String)
        }
        Value::Array(items) => items.into_iter().map(|item| fill(item, scope)).collect(),
        Value::Object(object) => {
            let inner = object.into_iter().map(|(key, value)| Ok((key, fill(value, scope)?)));
            inner.collect::<Result<_, _>>().map(Value::Object)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value),
    }
}

/// As [`fill`], but a text that is one reference is the value itself.
fn value_of(value: &Value, scope: &Scope<'_>) -> Result<Value, TemplateError> {
    match value {
        Value::String(text) => match Template::parse(text)?.sole_reference() {
            Some(reference) => {
                let found = reference.find(scope).cloned();
                found.ok_or_else(|| TemplateError::Missing(reference.to_string()))
            }
            None => fill(value.clone(), scope),
        },
        Value::Array(items) => items.iter().map(|item| value_of(item, scope)).collect(),
        Value::Object(object) => {
            let inner =
                object.iter().map(|(key, value)| Ok((key.clone(), value_of(value, scope)?)));
            inner.collect::<Result<_, _>>().map(Value::Object)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

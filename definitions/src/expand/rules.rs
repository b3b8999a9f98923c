//! The rules of a definition about what it is bound to.

use serde_json::Value;

use super::{Issue, condition};
use crate::contract::Definition;
use crate::contract::rule::{Requirement, Rule};
use crate::template::{Reference, Scope};

/// Every rule that is broken, as an issue `family.code`.
pub(super) fn check(definition: &Definition, scope: &Scope<'_>, issues: &mut Vec<Issue>) {
    for rule in &definition.validate_binding_write_context {
        if condition::holds(&rule.when, scope.binding) && !kept(rule, scope) {
            let code = format!("{}.{}", definition.family_id, rule.code);
            let field = format!("bindingConfig.{}", rule.field);
            issues.push(Issue::error(code, field, rule.safe_message.clone()));
        }
    }
}

fn kept(rule: &Rule, scope: &Scope<'_>) -> bool {
    let given = |fields: &[String]| {
        fields.iter().filter(|field| is_given(scope.binding.get(field.as_str()))).count()
    };
    match &rule.require {
        Requirement::Never {} => false,
        Requirement::AnyOf { fields } => given(fields) > 0,
        Requirement::AtMostOneOf { fields } => given(fields) <= 1,
        Requirement::In { list, by } => {
            let Some(list) = find(list, scope) else { return true };
            let Some(value) = scope.binding.get(&rule.field) else { return true };
            let has = |value: &Value| list.iter().any(|item| named(item, by.as_deref()) == value);
            value.as_array().map_or_else(|| has(value), |values| values.iter().all(has))
        }
        Requirement::InSelected { list, by, selected, property } => {
            let Some(list) = find(list, scope) else { return true };
            let Some(value) = scope.binding.get(&rule.field) else { return true };
            let selected = Reference::parse(selected).ok().and_then(|name| name.find(scope));
            let Some(selected) = selected else { return false };
            let object = list.iter().find(|item| named(item, Some(by)) == selected);
            let allowed = object.and_then(|object| object.get(property));
            allowed.and_then(Value::as_array).is_some_and(|allowed| allowed.contains(value))
        }
    }
}

fn find<'v>(list: &str, scope: &Scope<'v>) -> Option<&'v Vec<Value>> {
    Reference::parse(list).ok()?.find(scope)?.as_array()
}

fn named<'v>(item: &'v Value, by: Option<&str>) -> &'v Value {
    match by {
        Some(property) => item.get(property).unwrap_or(&Value::Null),
        None => item,
    }
}

fn is_given(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(object)) => !object.is_empty(),
        Some(Value::Bool(true) | Value::Number(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn broken(require: Value, field: &str, binding: &Value) -> bool {
        let rule = serde_json::from_value(
            json!({"code": "c", "field": field, "safeMessage": "m", "require": require}),
        );
        let target = json!({"models": [{"id": "a", "efforts": ["low"]}, {"id": "b"}]});
        let connection = json!({"repositories": ["o/r"]});
        let scope = Scope { target: &target, connection: &connection, binding, item: None };
        !kept(&rule.unwrap(), &scope)
    }

    #[test]
    fn a_rule_is_kept_or_broken() {
        let any = json!({"kind": "anyOf", "fields": ["repositories", "all"]});
        let most = json!({"kind": "atMostOneOf", "fields": ["repositories", "all"]});
        let accessible = json!({"kind": "in", "list": "connection.repositories"});
        let unknown = json!({"kind": "in", "list": "connection.nothing"});
        let model = json!({"kind": "in", "list": "target.models", "by": "id"});
        let effort = json!({"kind": "inSelected", "list": "target.models", "by": "id",
                            "selected": "binding.model", "property": "efforts"});
        for (require, field, binding, expected) in [
            (&any, "repositories", json!({"repositories": ["o/r"]}), false),
            (&any, "repositories", json!({"all": true}), false),
            (&any, "repositories", json!({}), true),
            (&any, "repositories", json!({"repositories": [], "all": false}), true),
            (&most, "all", json!({"all": true}), false),
            (&most, "all", json!({"all": true, "repositories": ["o/r"]}), true),
            (&accessible, "repositories", json!({"repositories": ["o/r"]}), false),
            (&accessible, "repositories", json!({}), false),
            (&accessible, "repositories", json!({"repositories": ["o/r", "o/x"]}), true),
            (&unknown, "repositories", json!({"repositories": ["o/x"]}), false),
            (&model, "model", json!({"model": "a"}), false),
            (&model, "model", json!({"model": "c"}), true),
            (&model, "model", json!({"model": "A"}), true),
            (&effort, "effort", json!({"model": "a", "effort": "low"}), false),
            (&effort, "effort", json!({"model": "a"}), false),
            (&effort, "effort", json!({"model": "a", "effort": "high"}), true),
            (&effort, "effort", json!({"model": "b", "effort": "low"}), true),
            (&effort, "effort", json!({"effort": "low"}), true),
            (&json!({"kind": "never"}), "x", json!({}), true),
        ] {
            assert_eq!(broken(require.clone(), field, &binding), expected, "{require} {binding}");
        }
    }
}

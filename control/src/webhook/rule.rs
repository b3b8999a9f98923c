//! A trigger's rule: which events, and what is done. It is stored as it was written, and read again
//! whenever an event comes: one that cannot be read affects itself alone.

use serde_json::{Map, Value as Json};

use super::filter::Filter;
use super::inbox::Recipient;
use super::template::Template;
use crate::domain::Issue;

const EVENT_TYPES_MAX: usize = 100;
const EVENT_TYPE_BYTES_MAX: usize = 200;
const REASON_BYTES_MAX: usize = 200;

/// A rule that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Empty: of every type. `family.event.*` is of every action.
    event_types: Vec<String>,
    filter: Option<Filter>,
    pub action: Action,
}

/// What is done with an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It is sent to an endpoint.
    Deliver { endpoint: String, template: Option<Template> },
    /// It is put where sandboxes find it.
    Sandbox { recipient: Recipient, template: Option<Template> },
    /// What its connection gives access to is asked for anew.
    RefreshResources,
    /// Its connection is no longer used.
    ConnectionError { reason: String },
}

impl Rule {
    /// Reads `{ "eventTypes": […], "filter": …, "action": … }`, with everything that is wrong.
    pub fn parse(rule: &Map<String, Json>) -> Result<Self, Vec<Issue>> {
        let mut issues = unknown(rule, "", &["eventTypes", "filter", "action"]);
        let event_types = event_types(rule.get("eventTypes"), &mut issues);
        let filter = rule.get("filter").filter(|filter| !filter.is_null());
        let filter = filter.and_then(|filter| {
            Filter::parse(filter, "filter").map_err(|found| issues.extend(found)).ok()
        });
        let action = action(rule.get("action"), &mut issues);
        match action {
            Some(action) if issues.is_empty() => Ok(Self { event_types, filter, action }),
            Some(_) | None => Err(issues),
        }
    }

    pub fn matches(&self, event: &Json) -> bool {
        let kind = event.get("eventType").and_then(Json::as_str).unwrap_or_default();
        let is_type = |wanted: &String| match wanted.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => kind == wanted,
        };
        let of_type = self.event_types.is_empty() || self.event_types.iter().any(is_type);
        of_type && self.filter.as_ref().is_none_or(|filter| filter.matches(event))
    }
}

fn wrong(issues: &mut Vec<Issue>, field: &str, message: impl Into<String>) {
    issues.push(Issue::new("INVALID_RULE", field, message));
}

fn unknown(map: &Map<String, Json>, field: &str, known: &[&str]) -> Vec<Issue> {
    let unknown = map.keys().filter(|key| !known.contains(&key.as_str()));
    let issue = |key: &String| {
        let at = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
        Issue::new("UNKNOWN_FIELD", at, format!("there is no `{key}` here"))
    };
    unknown.map(issue).collect()
}

fn event_types(value: Option<&Json>, issues: &mut Vec<Issue>) -> Vec<String> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Vec::new() };
    let Some(items) = value.as_array().filter(|items| items.len() <= EVENT_TYPES_MAX) else {
        wrong(issues, "eventTypes", format!("it is a list of at most {EVENT_TYPES_MAX} texts"));
        return Vec::new();
    };
    let mut types = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fine = |text: &&str| {
            let name = text.strip_suffix(".*").unwrap_or(text);
            (1..=EVENT_TYPE_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
        };
        match item.as_str().filter(fine) {
            Some(text) => types.push(text.to_owned()),
            None => wrong(
                issues,
                &format!("eventTypes[{at}]"),
                "a type is letters, digits, `.`, `_` and `-`, and may end in `.*`",
            ),
        }
    }
    types
}

fn action(value: Option<&Json>, issues: &mut Vec<Issue>) -> Option<Action> {
    let Some(map) = value.and_then(Json::as_object) else {
        wrong(issues, "action", "it is an object with a `type`");
        return None;
    };
    match map.get("type").and_then(Json::as_str) {
        Some("deliver") => deliver(map, issues),
        Some("deliverToSandbox") => to_sandbox(map, issues),
        Some("refreshResources") => {
            issues.extend(unknown(map, "action", &["type"]));
            Some(Action::RefreshResources)
        }
        Some("connectionError") => {
            issues.extend(unknown(map, "action", &["type", "reason"]));
            let fine = |text: &&str| {
                (1..=REASON_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
            };
            let reason = map.get("reason").and_then(Json::as_str).filter(fine);
            if reason.is_none() {
                let message = format!("`reason` is 1 to {REASON_BYTES_MAX} bytes of text");
                wrong(issues, "action.reason", message);
            }
            reason.map(|reason| Action::ConnectionError { reason: reason.to_owned() })
        }
        Some(_) | None => {
            let message =
                "it is `deliver`, `deliverToSandbox`, `refreshResources` or `connectionError`";
            wrong(issues, "action.type", message);
            None
        }
    }
}

fn template(map: &Map<String, Json>, issues: &mut Vec<Issue>) -> Option<Template> {
    let template = map.get("template").filter(|template| !template.is_null());
    template.and_then(|template| {
        Template::parse(template, "action.template").map_err(|found| issues.extend(found)).ok()
    })
}

fn to_sandbox(map: &Map<String, Json>, issues: &mut Vec<Issue>) -> Option<Action> {
    issues.extend(unknown(map, "action", &["type", "sandboxId", "profileId", "template"]));
    let template = template(map, issues);
    let id = |name: &str| map.get(name).filter(|id| !id.is_null()).map(Json::as_str);
    let recipient = match (id("sandboxId"), id("profileId")) {
        (Some(Some(id)), None) => Recipient::Sandbox(id.to_owned()),
        (None, Some(Some(id))) => Recipient::Profile(id.to_owned()),
        _ => {
            let message =
                "it has the id of a sandbox in `sandboxId`, or of a profile in `profileId`";
            wrong(issues, "action.sandboxId", message);
            return None;
        }
    };
    Some(Action::Sandbox { recipient, template })
}

fn deliver(map: &Map<String, Json>, issues: &mut Vec<Issue>) -> Option<Action> {
    issues.extend(unknown(map, "action", &["type", "endpointId", "template"]));
    let template = template(map, issues);
    let Some(endpoint) = map.get("endpointId").and_then(Json::as_str) else {
        wrong(issues, "action.endpointId", "`endpointId` is the id of an endpoint");
        return None;
    };
    Some(Action::Deliver { endpoint: endpoint.to_owned(), template })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(rule: &Json) -> Result<Rule, Vec<Issue>> {
        Rule::parse(rule.as_object().unwrap())
    }

    #[test]
    fn a_rule_is_about_its_types_and_its_filter() {
        let action = json!({ "type": "deliver", "endpointId": "whe_1" });
        let event = json!({ "eventType": "github.issues.opened", "payload": { "n": 1 } });
        let exists = |path: &str| json!({ "exists": { "path": path } });
        for (types, filter, expected) in [
            (json!([]), json!(null), true),
            (json!(["github.issues.opened"]), json!(null), true),
            (json!(["x", "github.issues.*"]), exists("payload.n"), true),
            (json!(["github.issues"]), json!(null), false),
            (json!(["github.issue.*"]), json!(null), false),
            (json!(["github.issues.*"]), exists("payload.m"), false),
        ] {
            let rule = json!({ "eventTypes": types, "filter": filter, "action": action });
            assert_eq!(parsed(&rule).unwrap().matches(&event), expected, "{rule}");
        }
    }

    #[test]
    fn everything_that_is_wrong_with_a_rule_is_said_at_once() {
        let rule = json!({
            "eventTypes": ["a b", 1],
            "filter": { "all": [{ "eq": {} }, { "exists": { "path": "x" } }] },
            "action": { "type": "deliver", "template": "{{x}}", "other": 1 },
            "more": true,
        });
        let fields: Vec<String> =
            parsed(&rule).unwrap_err().into_iter().map(|issue| issue.field).collect();
        assert_eq!(
            fields,
            [
                "more",
                "eventTypes[0]",
                "eventTypes[1]",
                "filter.all[0].eq",
                "filter.all[1].exists.path",
                "action.other",
                "action.template",
                "action.endpointId",
            ]
        );
        for (action, field) in [
            (json!(null), "action"),
            (json!({ "type": "call" }), "action.type"),
            (json!({ "type": "connectionError" }), "action.reason"),
            (json!({ "type": "connectionError", "reason": "" }), "action.reason"),
            (json!({ "type": "deliver", "endpointId": 1 }), "action.endpointId"),
            (json!({ "type": "deliverToSandbox" }), "action.sandboxId"),
            (json!({ "type": "deliverToSandbox", "sandboxId": 1 }), "action.sandboxId"),
            (
                json!({ "type": "deliverToSandbox", "sandboxId": "a", "profileId": "b" }),
                "action.sandboxId",
            ),
            (json!({ "type": "refreshResources", "kind": "x" }), "action.kind"),
        ] {
            let issues = parsed(&json!({ "action": action })).unwrap_err();
            assert_eq!(issues[0].field, field, "{action}");
        }
    }
}

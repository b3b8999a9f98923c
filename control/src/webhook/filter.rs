//! Which events a trigger is about: `all`, `any`, `not`, `eq`, `in`, `contains`, `startsWith`,
//! `endsWith`, `exists` over dotted paths.
//!
//! A comparison with what is absent is false, and nothing is converted: `1` is not `"1"`.

use serde_json::{Map, Value as Json};

use super::path::EventPath;
use crate::domain::Issue;

/// Deeper conditions are nobody's intention.
const DEPTH_MAX: usize = 8;
const CONDITIONS_MAX: usize = 64;
const VALUES_MAX: usize = 100;

/// A condition on an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Eq(EventPath, Json),
    In(EventPath, Vec<Json>),
    /// A part of a text, or an item of a list.
    Contains(EventPath, Json),
    StartsWith(EventPath, String),
    EndsWith(EventPath, String),
    Exists(EventPath),
}

impl Filter {
    /// Reads a condition, with everything that is wrong with it.
    pub fn parse(condition: &Json, field: &str) -> Result<Self, Vec<Issue>> {
        let mut reading = Reading { issues: Vec::new(), conditions: 0 };
        let filter = reading.condition(condition, field, 1);
        match filter {
            Some(filter) if reading.issues.is_empty() => Ok(filter),
            Some(_) | None => Err(reading.issues),
        }
    }

    pub fn matches(&self, event: &Json) -> bool {
        let text = |path: &EventPath| path.find(event).and_then(Json::as_str);
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(event)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(event)),
            Self::Not(filter) => !filter.matches(event),
            Self::Eq(path, value) => path.find(event) == Some(value),
            Self::In(path, values) => path.find(event).is_some_and(|found| values.contains(found)),
            Self::Contains(path, value) => match (path.find(event), value) {
                (Some(Json::Array(items)), value) => items.contains(value),
                (Some(Json::String(text)), Json::String(part)) => text.contains(part),
                _ => false,
            },
            Self::StartsWith(path, start) => text(path).is_some_and(|t| t.starts_with(start)),
            Self::EndsWith(path, end) => text(path).is_some_and(|t| t.ends_with(end)),
            Self::Exists(path) => path.find(event).is_some(),
        }
    }
}

/// A condition while it is read.
struct Reading {
    issues: Vec<Issue>,
    conditions: usize,
}

impl Reading {
    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.issues.push(Issue::new("INVALID_FILTER", field, message));
    }

    fn condition(&mut self, value: &Json, field: &str, depth: usize) -> Option<Filter> {
        self.conditions += 1;
        if depth > DEPTH_MAX || self.conditions > CONDITIONS_MAX {
            // Said once, and not read any further.
            if self.conditions <= CONDITIONS_MAX + 1 {
                let message =
                    format!("a filter has at most {CONDITIONS_MAX} conditions, {DEPTH_MAX} deep");
                self.wrong(field, message);
            }
            return None;
        }
        let single = value.as_object().filter(|map| map.len() == 1).and_then(|m| m.iter().next());
        let Some((name, inner)) = single else {
            self.wrong(
                field,
                "a condition is an object with one of `all`, `any`, `not`, `eq`, \
                               `in`, `contains`, `startsWith`, `endsWith`, `exists`",
            );
            return None;
        };
        let field = format!("{field}.{name}");
        match name.as_str() {
            "all" => self.conditions(inner, &field, depth).map(Filter::All),
            "any" => self.conditions(inner, &field, depth).map(Filter::Any),
            "not" => self.condition(inner, &field, depth + 1).map(|f| Filter::Not(Box::new(f))),
            "eq" => self.compared(inner, &field, "value").and_then(|(path, value)| {
                self.scalar(value, &format!("{field}.value")).map(|v| Filter::Eq(path, v))
            }),
            "in" => self.one_of(inner, &field),
            "contains" => self.compared(inner, &field, "value").and_then(|(path, value)| {
                self.scalar(value, &format!("{field}.value")).map(|v| Filter::Contains(path, v))
            }),
            "startsWith" => self.text(inner, &field).map(|(p, t)| Filter::StartsWith(p, t)),
            "endsWith" => self.text(inner, &field).map(|(p, t)| Filter::EndsWith(p, t)),
            "exists" => self.exists(inner, &field),
            _ => {
                self.wrong(&field, format!("there is no condition `{name}`"));
                None
            }
        }
    }

    fn conditions(&mut self, value: &Json, field: &str, depth: usize) -> Option<Vec<Filter>> {
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            self.wrong(field, "it is a list of conditions, and not empty");
            return None;
        };
        let mut filters = Vec::new();
        for (at, item) in items.iter().enumerate() {
            filters.extend(self.condition(item, &format!("{field}[{at}]"), depth + 1));
        }
        Some(filters)
    }

    /// `{ "path": …, "<key>": … }` and nothing else.
    fn compared<'v>(
        &mut self,
        value: &'v Json,
        field: &str,
        key: &str,
    ) -> Option<(EventPath, &'v Json)> {
        let map = self.object(value, field, &["path", key])?;
        let Some(compared) = map.get(key) else {
            self.wrong(field, format!("it has `path` and `{key}`"));
            return None;
        };
        Some((self.path(map, field)?, compared))
    }

    fn object<'v>(
        &mut self,
        value: &'v Json,
        field: &str,
        known: &[&str],
    ) -> Option<&'v Map<String, Json>> {
        let Some(map) = value.as_object() else {
            self.wrong(field, format!("it is an object with `{}`", known.join("`, `")));
            return None;
        };
        let unknown: Vec<&String> = map.keys().filter(|k| !known.contains(&k.as_str())).collect();
        for key in &unknown {
            self.wrong(&format!("{field}.{key}"), format!("there is no `{key}` here"));
        }
        unknown.is_empty().then_some(map)
    }

    fn path(&mut self, map: &Map<String, Json>, field: &str) -> Option<EventPath> {
        let field = format!("{field}.path");
        let Some(text) = map.get("path").and_then(Json::as_str) else {
            self.wrong(&field, "`path` is a text");
            return None;
        };
        EventPath::parse(text, &field).map_err(|issue| self.issues.push(issue)).ok()
    }

    fn scalar(&mut self, value: &Json, field: &str) -> Option<Json> {
        if value.is_string() || value.is_number() || value.is_boolean() {
            return Some(value.clone());
        }
        self.wrong(field, "it is a text, a number, or true or false");
        None
    }

    fn one_of(&mut self, value: &Json, field: &str) -> Option<Filter> {
        let (path, values) = self.compared(value, field, "values")?;
        let fine = |items: &&Vec<Json>| (1..=VALUES_MAX).contains(&items.len());
        let Some(items) = values.as_array().filter(fine) else {
            self.wrong(field, format!("`values` is a list of 1 to {VALUES_MAX}"));
            return None;
        };
        let mut read = Vec::new();
        for (at, item) in items.iter().enumerate() {
            read.extend(self.scalar(item, &format!("{field}.values[{at}]")));
        }
        Some(Filter::In(path, read))
    }

    fn text(&mut self, value: &Json, field: &str) -> Option<(EventPath, String)> {
        let (path, value) = self.compared(value, field, "value")?;
        let Some(text) = value.as_str() else {
            self.wrong(&format!("{field}.value"), "it is a text");
            return None;
        };
        Some((path, text.to_owned()))
    }

    fn exists(&mut self, value: &Json, field: &str) -> Option<Filter> {
        let map = self.object(value, field, &["path"])?;
        self.path(map, field).map(Filter::Exists)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Json {
        json!({
            "eventType": "github.issues.opened",
            "payload": { "n": 1, "s": "abc", "list": ["x", 2], "yes": true, "none": null },
        })
    }

    #[test]
    fn a_condition_is_true_or_it_is_not() {
        for (condition, expected) in [
            (json!({ "eq": { "path": "payload.n", "value": 1 } }), true),
            (json!({ "eq": { "path": "payload.n", "value": "1" } }), false),
            (json!({ "eq": { "path": "payload.yes", "value": true } }), true),
            (json!({ "eq": { "path": "payload.absent", "value": 1 } }), false),
            (json!({ "in": { "path": "payload.s", "values": ["x", "abc"] } }), true),
            (json!({ "in": { "path": "payload.s", "values": ["ab"] } }), false),
            (json!({ "contains": { "path": "payload.s", "value": "b" } }), true),
            (json!({ "contains": { "path": "payload.list", "value": 2 } }), true),
            (json!({ "contains": { "path": "payload.list", "value": "2" } }), false),
            (json!({ "contains": { "path": "payload.n", "value": 1 } }), false),
            (json!({ "startsWith": { "path": "eventType", "value": "github." } }), true),
            (json!({ "endsWith": { "path": "eventType", "value": ".closed" } }), false),
            (json!({ "exists": { "path": "payload.list.1" } }), true),
            (json!({ "exists": { "path": "payload.none" } }), false),
            (json!({ "not": { "exists": { "path": "payload.absent" } } }), true),
        ] {
            let filter = Filter::parse(&condition, "filter").unwrap();
            assert_eq!(filter.matches(&event()), expected, "{condition}");
            let not = Filter::Not(Box::new(filter.clone()));
            let (all, any) = (Filter::All(vec![filter.clone()]), Filter::Any(vec![filter.clone()]));
            assert_eq!((all.matches(&event()), any.matches(&event())), (expected, expected));
            assert_ne!(not.matches(&event()), expected, "{condition}");
            let mixed = vec![filter.clone(), not.clone()];
            assert!(!Filter::All(mixed.clone()).matches(&event()), "{condition}");
            assert!(Filter::Any(mixed).matches(&event()), "{condition}");
        }
    }

    #[test]
    fn what_is_no_condition_is_said_with_its_place() {
        let mut deep = json!({ "exists": { "path": "payload.a" } });
        for _ in 0..DEPTH_MAX {
            deep = json!({ "not": deep });
        }
        let one = json!({ "exists": { "path": "payload.a" } });
        let many = json!({ "any": vec![one.clone(); CONDITIONS_MAX] });
        for (condition, field) in [
            (json!(null), "filter"),
            (json!({}), "filter"),
            (json!([]), "filter"),
            (json!({ "all": [], "any": [] }), "filter"),
            (json!({ "all": [] }), "filter.all"),
            (json!({ "all": {} }), "filter.all"),
            (json!({ "matches": {} }), "filter.matches"),
            (json!({ "eq": { "path": "payload.a" } }), "filter.eq"),
            (json!({ "eq": { "path": "payload.a", "value": [] } }), "filter.eq.value"),
            (json!({ "eq": { "path": "payload.a", "value": null } }), "filter.eq.value"),
            (json!({ "eq": { "path": 1, "value": 1 } }), "filter.eq.path"),
            (json!({ "eq": { "path": "a", "value": 1 } }), "filter.eq.path"),
            (json!({ "eq": { "path": "payload.a", "value": 1, "x": 1 } }), "filter.eq.x"),
            (json!({ "in": { "path": "payload.a", "values": [] } }), "filter.in"),
            (json!({ "in": { "path": "payload.a", "values": [{}] } }), "filter.in.values[0]"),
            (
                json!({ "startsWith": { "path": "payload.a", "value": 1 } }),
                "filter.startsWith.value",
            ),
            (json!({ "exists": "payload.a" }), "filter.exists"),
            (json!({ "any": [one, { "not": [] }] }), "filter.any[1].not"),
            (deep, "filter.not.not.not.not.not.not.not.not"),
        ] {
            let issues = Filter::parse(&condition, "filter").unwrap_err();
            let fields: Vec<&str> = issues.iter().map(|i| i.field.as_str()).collect();
            assert_eq!(fields, [field], "{condition}: {issues:?}");
        }
        assert_eq!(Filter::parse(&many, "filter").unwrap_err().len(), 1, "said once");
    }
}

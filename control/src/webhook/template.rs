//! What a trigger sends: JSON whose texts have values of the event between `{{` and `}}`.
//!
//! Strict: what is absent is an error and never an empty text. A text that is nothing but one place
//! becomes the value itself, of whatever type; between other text only texts, numbers and truth.

use serde_json::{Map, Value as Json};

use super::path::EventPath;
use crate::domain::Issue;

const DEPTH_MAX: usize = 8;
const NODES_MAX: usize = 256;

/// A template that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    Fixed(Json),
    Text(Vec<Piece>),
    List(Vec<Template>),
    Object(Vec<(String, Template)>),
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Text(String),
    Value(EventPath),
}

/// Why an event does not fit a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    #[error("the event has no `{0}`")]
    Absent(String),
    #[error("`{0}` is no text, number or truth, and stands within a text")]
    NotText(String),
}

impl Template {
    pub fn parse(value: &Json, field: &str) -> Result<Self, Vec<Issue>> {
        let mut reading = Reading { issues: Vec::new(), nodes: 0 };
        let template = reading.value(value, field, 1);
        match template {
            Some(template) if reading.issues.is_empty() => Ok(template),
            Some(_) | None => Err(reading.issues),
        }
    }

    pub fn fill(&self, event: &Json) -> Result<Json, Unfilled> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Text(pieces) => filled(pieces, event),
            Self::List(items) => {
                let items = items.iter().map(|item| item.fill(event));
                Ok(Json::Array(items.collect::<Result<_, _>>()?))
            }
            Self::Object(fields) => {
                let fill = |(key, value): &(String, Self)| Ok((key.clone(), value.fill(event)?));
                Ok(Json::Object(fields.iter().map(fill).collect::<Result<Map<_, _>, _>>()?))
            }
        }
    }
}

fn filled(pieces: &[Piece], event: &Json) -> Result<Json, Unfilled> {
    let find =
        |path: &EventPath| path.find(event).ok_or_else(|| Unfilled::Absent(path.to_string()));
    if let [Piece::Value(path)] = pieces {
        return find(path).cloned();
    }
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(fixed) => text.push_str(fixed),
            Piece::Value(path) => match find(path)? {
                Json::String(value) => text.push_str(value),
                value @ (Json::Number(_) | Json::Bool(_)) => text.push_str(&value.to_string()),
                Json::Null | Json::Array(_) | Json::Object(_) => {
                    return Err(Unfilled::NotText(path.to_string()));
                }
            },
        }
    }
    Ok(Json::String(text))
}

/// A template while it is read.
struct Reading {
    issues: Vec<Issue>,
    nodes: usize,
}

impl Reading {
    fn value(&mut self, value: &Json, field: &str, depth: usize) -> Option<Template> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            if self.nodes <= NODES_MAX + 1 {
                let message =
                    format!("a template has at most {NODES_MAX} values, {DEPTH_MAX} deep");
                self.issues.push(Issue::new("INVALID_TEMPLATE", field, message));
            }
            return None;
        }
        match value {
            Json::String(text) => self.text(text, field).map(Template::Text),
            Json::Array(items) => {
                let mut read = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    read.extend(self.value(item, &format!("{field}[{at}]"), depth + 1));
                }
                Some(Template::List(read))
            }
            Json::Object(fields) => {
                let mut read = Vec::new();
                for (key, value) in fields {
                    let value = self.value(value, &format!("{field}.{key}"), depth + 1);
                    read.extend(value.map(|value| (key.clone(), value)));
                }
                Some(Template::Object(read))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => Some(Template::Fixed(value.clone())),
        }
    }

    fn text(&mut self, text: &str, field: &str) -> Option<Vec<Piece>> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((path, after)) = after.split_once("}}") else {
                let message = "`{{` has no `}}`";
                self.issues.push(Issue::new("INVALID_TEMPLATE", field, message));
                return None;
            };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            match EventPath::parse(path.trim(), field) {
                Ok(path) => pieces.push(Piece::Value(path)),
                Err(issue) => {
                    self.issues.push(issue);
                    return None;
                }
            }
            rest = after;
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Some(pieces)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_has_the_values_of_the_event() {
        let event =
            json!({ "eventType": "a.b", "payload": { "n": 7, "o": { "x": [1] }, "s": "t" } });
        for (template, expected) in [
            (json!("{{payload.n}}"), json!(7)),
            (json!("{{ payload.o }}"), json!({ "x": [1] })),
            (json!("no {{payload.n}} of {{eventType}}"), json!("no 7 of a.b")),
            (
                json!({ "a": ["{{payload.s}}", 1, null, true, ""] }),
                json!({ "a": ["t", 1, null, true, ""] }),
            ),
            (json!("a }} b"), json!("a }} b")),
        ] {
            let filled = Template::parse(&template, "t").unwrap().fill(&event);
            assert_eq!(filled, Ok(expected), "{template}");
        }
        for (template, expected) in [
            ("{{payload.none}}", Unfilled::Absent("payload.none".to_owned())),
            ("x {{payload.none}}", Unfilled::Absent("payload.none".to_owned())),
            ("x {{payload.o}}", Unfilled::NotText("payload.o".to_owned())),
        ] {
            let filled = Template::parse(&json!(template), "t").unwrap().fill(&event);
            assert_eq!(filled, Err(expected), "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_where_it_is_wrong() {
        let mut deep = json!("x");
        for _ in 0..DEPTH_MAX {
            deep = json!([deep]);
        }
        for (template, field) in [
            (json!("{{payload.a"), "t"),
            (json!("{{}}"), "t"),
            (json!("{{other}}"), "t"),
            (json!({ "a": [1, "{{payload.a b}}"] }), "t.a[1]"),
            (deep, "t[0][0][0][0][0][0][0][0]"),
            (json!(vec![0; NODES_MAX]), "t[255]"),
        ] {
            let issues = Template::parse(&template, "t").unwrap_err();
            assert_eq!((issues.len(), issues[0].field.as_str()), (1, field), "{template}");
        }
    }
}

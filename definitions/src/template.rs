//! Texts with `{{…}}` in them: how a definition names what it will be bound to.
//!
//! `{{binding.repositories}}`, `{{item.name | segment}}`. The syntax differs from the `{param}` of
//! path patterns on purpose: one is filled in when a binding is expanded, the other when a request
//! is matched. What is filled into a path can never become more than it is: a `/`, `{` or `*` of a
//! value is escaped, and a value that would be a dot segment is refused.

use std::fmt;

use serde_json::Value;

/// Where values come from.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'v> {
    pub target: &'v Value,
    pub connection: &'v Value,
    pub binding: &'v Value,
    pub item: Option<&'v Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Target,
    Connection,
    Binding,
    Item,
}

/// A value by name, such as `binding.access`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub source: Source,
    pub keys: Vec<String>,
}

/// How a value is written into its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// As it is.
    Raw,
    /// One path segment; what is not unreserved is escaped.
    Segment,
    /// Path segments with `/` between them.
    Path,
    /// The last of the segments.
    Last,
    /// All but the last of the segments: where a sibling stands.
    Parent,
    /// A quoted string, right in JSON and in TOML.
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Reference, Option<Filter>),
}

/// Why a text is not a template, or a template has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    Unclosed,
    Reference(String),
    Filter(String),
    Missing(String),
    NotScalar(String),
    NotASegment(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => f.write_str("`{{` is not closed by `}}`"),
            Self::Reference(text) => write!(
                f,
                "`{text}` is not a value: it begins with `target.`, `connection.`, `binding.` or \
                 is `item`"
            ),
            Self::Filter(text) => {
                write!(f, "`{text}` is not one of raw, segment, path, last, parent, json")
            }
            Self::Missing(name) => write!(f, "`{name}` has no value"),
            Self::NotScalar(name) => write!(f, "`{name}` is not a string, integer or boolean"),
            Self::NotASegment(name) => write!(f, "`{name}` cannot stand in a path"),
        }
    }
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let wrong = || TemplateError::Reference(text.chars().take(64).collect());
        let mut keys = text.split('.');
        let source = match keys.next() {
            Some("target") => Source::Target,
            Some("connection") => Source::Connection,
            Some("binding") => Source::Binding,
            Some("item") => Source::Item,
            Some(_) | None => return Err(wrong()),
        };
        let keys: Vec<String> = keys.map(str::to_owned).collect();
        let is_name = |key: &String| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        };
        let whole = source != Source::Item && keys.is_empty();
        if whole || !keys.iter().all(is_name) {
            return Err(wrong());
        }
        Ok(Self { source, keys })
    }

    /// The value in `scope`, if it is there.
    pub fn find<'v>(&self, scope: &Scope<'v>) -> Option<&'v Value> {
        let root = match self.source {
            Source::Target => scope.target,
            Source::Connection => scope.connection,
            Source::Binding => scope.binding,
            Source::Item => scope.item?,
        };
        self.keys.iter().try_fold(root, |value, key| value.get(key))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::Target => "target",
            Source::Connection => "connection",
            Source::Binding => "binding",
            Source::Item => "item",
        })?;
        self.keys.iter().try_for_each(|key| write!(f, ".{key}"))
    }
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            parts.push(Part::Text(before.to_owned()));
            let (inner, after) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
            parts.push(value(inner)?);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self { parts })
    }

    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(reference, _) => Some(reference),
            Part::Text(_) => None,
        })
    }

    /// The reference that the whole text is, without anything around it.
    pub fn sole_reference(&self) -> Option<&Reference> {
        match self.parts.as_slice() {
            [Part::Value(reference, None)] => Some(reference),
            _ => None,
        }
    }

    /// The text, with `filter` for values that name none.
    pub fn render(&self, scope: &Scope<'_>, filter: Filter) -> Result<String, TemplateError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Value(reference, own) => {
                    text.push_str(&render(reference, own.unwrap_or(filter), scope)?);
                }
            }
        }
        Ok(text)
    }
}

fn value(inner: &str) -> Result<Part, TemplateError> {
    let (name, filter) = match inner.split_once('|') {
        Some((name, filter)) => (name, Some(filter.trim())),
        None => (inner, None),
    };
    let filter = match filter {
        None => None,
        Some("raw") => Some(Filter::Raw),
        Some("segment") => Some(Filter::Segment),
        Some("path") => Some(Filter::Path),
        Some("last") => Some(Filter::Last),
        Some("parent") => Some(Filter::Parent),
        Some("json") => Some(Filter::Json),
        Some(other) => return Err(TemplateError::Filter(other.chars().take(64).collect())),
    };
    Ok(Part::Value(Reference::parse(name.trim())?, filter))
}

fn render(
    reference: &Reference,
    filter: Filter,
    scope: &Scope<'_>,
) -> Result<String, TemplateError> {
    let value =
        reference.find(scope).ok_or_else(|| TemplateError::Missing(reference.to_string()))?;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(TemplateError::NotScalar(reference.to_string()));
        }
    };
    let bad = || TemplateError::NotASegment(reference.to_string());
    match filter {
        Filter::Raw => Ok(text),
        Filter::Json => Ok(Value::String(text).to_string()),
        Filter::Segment => segment(&text).ok_or_else(bad),
        Filter::Path => {
            let segments: Option<Vec<String>> = text.split('/').map(segment).collect();
            segments.map(|segments| segments.join("/")).ok_or_else(bad)
        }
        Filter::Parent => {
            let text = text.trim_end_matches('/');
            text.rsplit_once('/').map(|(parent, _)| parent.to_owned()).ok_or_else(bad)
        }
        Filter::Last => text.rsplit('/').next().and_then(segment).ok_or_else(bad),
    }
}

/// `text` as one path segment in canonical form: unreserved bytes (RFC 3986 §2.3) as they are.
fn segment(text: &str) -> Option<String> {
    if matches!(text, "" | "." | "..") {
        return None;
    }
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else if byte.is_ascii_control() || byte == b'\\' {
            // The canonicaliser refuses these in requests, so no request could ever match.
            return None;
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(escaped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn render_with(text: &str, item: &Value, filter: Filter) -> Result<String, TemplateError> {
        let none = json!({});
        let scope = Scope { target: &none, connection: &none, binding: &none, item: Some(item) };
        Template::parse(text)?.render(&scope, filter)
    }

    #[test]
    fn a_value_stands_in_a_path_as_what_it_is() {
        for (text, item, expected) in [
            ("/repos/{{item | path}}/**", json!("o/r"), Some("/repos/o/r/**")),
            ("/projects/{{item}}/**", json!("g/p"), Some("/projects/g%2Fp/**")),
            ("/x/{{ item.id }}", json!({"id": 7}), Some("/x/7")),
            ("/x/{{item}}", json!("{a}*"), Some("/x/%7Ba%7D%2A")),
            ("/x/{param}/{{item | last}}", json!("a/b"), Some("/x/{param}/b")),
            ("{{item | parent}}/b", json!("https://h.test/a/v3/"), Some("https://h.test/a/b")),
            ("{{item | parent}}/b", json!("a"), None),
            ("/x/{{item | path}}", json!("a/../b"), None),
            ("/x/{{item | path}}", json!("a//b"), None),
            ("/x/{{item}}", json!(".."), None),
            ("/x/{{item}}", json!(""), None),
            ("/x/{{item}}", json!("a\\b"), None),
            ("/x/{{item}}", json!("a\nb"), None),
            ("/x/{{item}}", json!(["a"]), None),
            ("/x/{{item}}", json!(null), None),
            ("/x/{{item.no}}", json!({"id": 7}), None),
            ("/x/{{target.no}}", json!(1), None),
        ] {
            let rendered = render_with(text, &item, Filter::Segment).ok();
            assert_eq!(rendered.as_deref(), expected, "{text} {item}");
        }
    }

    #[test]
    fn what_is_not_a_template_is_refused() {
        for text in [
            "{{",
            "{{item",
            "{{}}",
            "{{x.y}}",
            "{{target}}",
            "{{binding.}}",
            "{{item | upper}}",
            "{{item||raw}}",
            "{{ item . x }}",
            "{{binding.a b}}",
            "{{{item}}}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_segment(value in "\\PC{0,12}") {
            if let Ok(path) = render_with("/a/{{item}}/b", &json!(value), Filter::Segment) {
                let inner: Vec<&str> = path.split('/').collect();
                prop_assert_eq!(inner.len(), 4);
                let bad = inner[2].contains(['*', '{', '}', '?', '#']);
                prop_assert!(!bad);
                prop_assert!(!["", ".", ".."].contains(&inner[2]));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[{}a-z.| \u{e9}]{0,40}") {
            let _ = Template::parse(&text);
        }
    }
}

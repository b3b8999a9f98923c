//! The map of servers in a JSON file. Only the bytes of the map change: all others, with their
//! order and their white space, stay.

use std::fmt;
use std::ops::Range;

use sallygate_definitions::contract::mcp::{McpServer, McpTransport};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// `text` with the map at `path` replaced, or why it cannot be.
pub(super) fn replace(
    text: &str,
    path: &[String],
    servers: &[McpServer],
) -> Result<String, String> {
    let whole: &RawValue =
        serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    let mut here = whole.get();
    let mut map = Value::Object(entries(servers));
    for (at, part) in path.iter().enumerate() {
        let span = span_in(text, here);
        let object: Object<'_> = serde_json::from_str(here)
            .map_err(|_| format!("holds something else than an object above `{part}`"))?;
        let mut same = object.0.iter().filter(|(key, _)| key == part);
        match (same.next(), same.next()) {
            (Some((_, value)), None) => here = value.get(),
            (Some(_), Some(_)) => return Err(format!("holds `{part}` twice")),
            (None, _) => {
                for outer in path.iter().skip(at + 1).rev() {
                    map = json!({ outer.as_str(): map });
                }
                let member = Member { depth: at, key: part, map: &map, alone: object.0.is_empty() };
                return Ok(inserted(text, &span, &member));
            }
        }
    }
    if serde_json::from_str::<Object<'_>>(here).is_err() {
        return Err("holds something else than an object where the map should be".to_owned());
    }
    let span = span_in(text, here);
    let (before, after) = around(text, &span);
    Ok(format!("{before}{}{after}", indented(&map, path.len())))
}

/// A member that is new in an object.
struct Member<'m> {
    /// How deep the object is.
    depth: usize,
    key: &'m str,
    map: &'m Value,
    /// Whether the object had none before.
    alone: bool,
}

/// A new member at the end of the object at `span`.
fn inserted(text: &str, span: &Range<usize>, member: &Member<'_>) -> String {
    let inside = span.start..span.end.saturating_sub(1);
    let (before, after) = around(text, &inside);
    let object = text.get(inside.clone()).unwrap_or_default().trim_end();
    let comma = if member.alone { "" } else { "," };
    let (margin, key) = ("  ".repeat(member.depth), Value::from(member.key));
    let map = indented(member.map, member.depth + 1);
    format!("{before}{object}{comma}\n{margin}  {key}: {map}\n{margin}{after}")
}

/// `map` over several lines, as it stands `depth` objects deep. Strings have no line ends in JSON.
fn indented(map: &Value, depth: usize) -> String {
    format!("{map:#}").replace('\n', &format!("\n{}", "  ".repeat(depth)))
}

fn around<'t>(text: &'t str, span: &Range<usize>) -> (&'t str, &'t str) {
    let before = text.get(..span.start).unwrap_or_default();
    (before, text.get(span.end..).unwrap_or_default())
}

/// Where `part`, which is a slice of `text`, stands in it.
fn span_in(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

/// The members of an object as they stand.
struct Object<'t>(Vec<(String, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Object<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((key, value));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn entries(servers: &[McpServer]) -> Map<String, Value> {
    servers.iter().map(|server| (server.name.clone(), entry(&server.transport))).collect()
}

fn entry(transport: &McpTransport) -> Value {
    let (mut entry, texts, key) = match transport {
        McpTransport::Http { url, headers } => (json!({"url": url}), headers, "httpHeaders"),
        McpTransport::Stdio { command, args, env } => {
            let mut entry = json!({"command": command});
            if let (false, Some(fields)) = (args.is_empty(), entry.as_object_mut()) {
                fields.insert("args".to_owned(), json!(args));
            }
            (entry, env, "env")
        }
    };
    if let (false, Some(fields)) = (texts.is_empty(), entry.as_object_mut()) {
        fields.insert(key.to_owned(), json!(texts));
    }
    entry
}

//! `enum` and `oneOf`: a closed set of words, or of objects that a tag tells apart.

use serde_json::{Map, Value};

/// A chain of references longer than this leads nowhere.
const REFERENCES_MAX: usize = 16;

/// What a value may be one of.
pub(super) enum Choices<'s> {
    None,
    Words(Vec<&'s str>),
    Tagged { tag: &'s str, variants: Vec<(&'s str, &'s Value)> },
}

/// Follows `$ref`; `None` for a schema that says nothing.
pub(super) fn resolve<'s>(
    root: &'s Value,
    mut schema: &'s Value,
) -> Option<&'s Map<String, Value>> {
    for _ in 0..REFERENCES_MAX {
        let object = schema.as_object()?;
        match object.get("$ref").and_then(Value::as_str) {
            None => return Some(object),
            Some("#") => schema = root,
            Some(reference) => schema = root.pointer(reference.strip_prefix('#')?)?,
        }
    }
    None
}

pub(super) fn choices<'s>(root: &'s Value, schema: &'s Map<String, Value>) -> Choices<'s> {
    if let Some(words) = words(schema) {
        return Choices::Words(words);
    }
    let Some(variants) = schema.get("oneOf").and_then(Value::as_array) else {
        return Choices::None;
    };
    let resolved: Vec<(&Value, &Map<String, Value>)> =
        variants.iter().filter_map(|v| resolve(root, v).map(|object| (v, object))).collect();
    let all: Option<Vec<Vec<&str>>> = resolved.iter().map(|(_, object)| words(object)).collect();
    if let Some(all) = all {
        return Choices::Words(all.concat());
    }
    tagged(&resolved)
}

fn words(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![word]);
    }
    let words: Vec<&str> =
        schema.get("enum")?.as_array()?.iter().filter_map(Value::as_str).collect();
    (!words.is_empty()).then_some(words)
}

/// The first property that is a constant in the first variant is the tag of all.
fn tagged<'s>(variants: &[(&'s Value, &'s Map<String, Value>)]) -> Choices<'s> {
    let constant = |object: &'s Map<String, Value>, tag: &str| {
        object.get("properties")?.get(tag)?.get("const")?.as_str()
    };
    let first = variants.first().and_then(|(_, object)| object.get("properties")?.as_object());
    let is_tag = |(_, property): &(&'s String, &'s Value)| property.get("const").is_some();
    let Some((tag, _)) = first.into_iter().flatten().find(is_tag) else { return Choices::None };
    let named = |(schema, object): &(&'s Value, &'s Map<String, Value>)| {
        constant(object, tag).map(|name| (name, *schema))
    };
    Choices::Tagged { tag, variants: variants.iter().filter_map(named).collect() }
}

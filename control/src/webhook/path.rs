//! Dotted paths into an event: `payload.issue.labels.0.name`.

use serde_json::Value as Json;

use crate::domain::Issue;

const SEGMENTS_MAX: usize = 16;
const SEGMENT_BYTES_MAX: usize = 64;

/// What an event has besides its payload.
const FIELDS: [&str; 9] = [
    "eventId",
    "eventType",
    "providerEventType",
    "externalEventId",
    "externalDeliveryId",
    "occurredAt",
    "sourceOrderKey",
    "connectionId",
    "targetKey",
];
const PAYLOAD: &str = "payload";

/// A way to a value of an event. Names and numbers, where a number is a place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPath(Vec<String>);

impl EventPath {
    /// Reads a path; `field` is where it stands in what was sent.
    pub fn parse(text: &str, field: &str) -> Result<Self, Issue> {
        let wrong = |message: String| Issue::new("INVALID_PATH", field, message);
        let segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        let fine = |segment: &String| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            (1..=SEGMENT_BYTES_MAX).contains(&segment.len()) && segment.bytes().all(allowed)
        };
        if segments.len() > SEGMENTS_MAX || !segments.iter().all(fine) {
            let message = format!(
                "a path is up to {SEGMENTS_MAX} names of letters, digits, `_` and `-`, with dots \
                 between them"
            );
            return Err(wrong(message));
        }
        match segments.as_slice() {
            [first, ..] if first == PAYLOAD => Ok(Self(segments)),
            [only] if FIELDS.contains(&only.as_str()) => Ok(Self(segments)),
            _ => {
                let fields = FIELDS.join("`, `");
                Err(wrong(format!("a path begins with `payload`, or is one of `{fields}`")))
            }
        }
    }

    /// What stands there; `null` is nothing.
    pub fn find<'e>(&self, event: &'e Json) -> Option<&'e Json> {
        let found = self.0.iter().try_fold(event, |value, segment| match value {
            Json::Object(map) => map.get(segment),
            Json::Array(items) => items.get(segment.parse::<usize>().ok()?),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
        });
        found.filter(|value| !value.is_null())
    }
}

impl std::fmt::Display for EventPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_to_what_is_there() {
        let event = json!({ "eventType": "a.b", "payload": { "a": [{ "b-c": 1 }], "n": null } });
        let found = |text: &str| EventPath::parse(text, "f").unwrap().find(&event).cloned();
        assert_eq!(found("payload.a.0.b-c"), Some(json!(1)));
        assert_eq!(found("eventType"), Some(json!("a.b")));
        for absent in ["payload.a.1", "payload.a.x", "payload.a.0.b-c.d", "payload.n", "targetKey"]
        {
            assert_eq!(found(absent), None, "{absent}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let long = format!("payload.{}", "x".repeat(65));
        let deep = format!("payload{}", ".x".repeat(16));
        for wrong in
            ["", ".", "payload.", "payload..a", "other", "eventType.x", "payload.a b", &long, &deep]
        {
            assert_eq!(EventPath::parse(wrong, "f").unwrap_err().code, "INVALID_PATH", "{wrong}");
        }
    }
}

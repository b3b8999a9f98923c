//! JSON that every reader reads alike: no key twice, nothing behind the end.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Unreadable;

/// A JSON value, as far as anybody here looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    /// A number or a boolean.
    Scalar,
    Text(String),
    List(Vec<Json>),
    Object(Fields),
}

/// The fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, Json)>);

impl Json {
    /// Reads a whole document. Nesting is bounded by the parser's own limit of 128.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(bytes)
            .map_err(|_| Unreadable("the body is not JSON, or has a key twice"))
    }
}

impl Fields {
    /// The field with exactly this name. Some servers ignore case, and some fold letters outside
    /// of ASCII: where a key could be taken for this one, there is no clear answer.
    pub(super) fn field(&self, name: &str) -> Result<Option<&Json>, Unreadable> {
        let other = |key: &str| !key.is_ascii() || key.eq_ignore_ascii_case(name);
        if self.0.iter().any(|(key, _)| key != name && other(key)) {
            return Err(Unreadable("a key of the body can be read in two ways"));
        }
        Ok(self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Scalar)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let (mut fields, mut known) = (Vec::new(), HashSet::new());
        while let Some((name, value)) = access.next_entry::<String, Json>()? {
            if !known.insert(name.clone()) {
                return Err(A::Error::custom("a key twice"));
            }
            fields.push((name, value));
        }
        Ok(Json::Object(Fields(fields)))
    }
}

//! Integration contracts: every surface that crosses a boundary, as data beside the code.
//!
//! Ours stand in `control/contracts/`; those of the providers in their definitions. `/contractz`,
//! `docs/INTEGRATIONS.md` and the listing on the command line are made from them, and tests hold
//! them to what is served and to what exists.

mod page;

use std::collections::BTreeMap;

use sallygate_definitions::Registry;
use sallygate_definitions::contract::surface::{Contract, Stability};
use serde::Serialize;
use serde_json::{Map, Value as Json};

pub use page::page;

/// The version of the documents that are made from contracts.
pub const SCHEMA_VERSION: u32 = 1;

const FILES: [(&str, &str); 3] = [
    ("api.toml", include_str!("../../contracts/api.toml")),
    ("discovery.toml", include_str!("../../contracts/discovery.toml")),
    ("inside.toml", include_str!("../../contracts/inside.toml")),
];

/// A contract with its name.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Unique: `targets`, or `family::variant/1` for the first one of a definition.
    pub id: String,
    /// `sallygate`, or the definition.
    pub source: String,
    #[serde(flatten)]
    pub contract: Contract,
}

/// Why the entries of this program cannot be read: it is built wrong.
#[derive(Debug, thiserror::Error)]
#[error("`control/contracts/{file}`: {source}")]
pub struct Unreadable {
    file: &'static str,
    #[source]
    source: toml::de::Error,
}

/// The entries of Sallygate itself, by id.
pub fn own() -> Result<Vec<Entry>, Unreadable> {
    let mut entries = Vec::new();
    for (file, text) in FILES {
        let read: BTreeMap<String, Contract> =
            toml::from_str(text).map_err(|source| Unreadable { file, source })?;
        let entry = |(id, contract)| Entry { id, source: OWN.to_owned(), contract };
        entries.extend(read.into_iter().map(entry));
    }
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}

/// What the entries of Sallygate itself have as their source.
pub const OWN: &str = "sallygate";

/// The entries of these definitions, in their order.
pub fn of_definitions(registry: &Registry) -> Vec<Entry> {
    let mut entries = Vec::new();
    for definition in registry.iter() {
        let source = definition.key();
        for (at, contract) in definition.contracts.iter().enumerate() {
            let (id, contract) = (format!("{source}/{}", at + 1), contract.clone());
            entries.push(Entry { id, source: source.clone(), contract });
        }
    }
    entries
}

/// Every entry there is: ours first.
pub fn all(registry: &Registry) -> Result<Vec<Entry>, Unreadable> {
    let mut entries = own()?;
    entries.extend(of_definitions(registry));
    Ok(entries)
}

impl Entry {
    /// As JSON, without what it does not say.
    pub fn to_json(&self) -> Json {
        let value = serde_json::to_value(self).unwrap_or_default();
        let Json::Object(fields) = value else { return value };
        let said = |value: &Json| match value {
            Json::Null => false,
            Json::Array(items) => !items.is_empty(),
            Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => true,
        };
        Json::Object(fields.into_iter().filter(|(_, value)| said(value)).collect::<Map<_, _>>())
    }

    /// Whether it is a route of this service that exists.
    pub fn is_served(&self) -> bool {
        let it = &self.contract;
        it.surface.starts_with('/') && it.stability != Stability::Planned
    }

    /// Whether this is about `path`, a path of the API: it is the surface, or below it.
    pub fn covers(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.contract.surface.as_str());
        self.contract.surface.starts_with('/')
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// One line: what it is called, which way it goes, whether it holds, and where it is.
impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let it = &self.contract;
        let (direction, stability) = (word(&it.direction), word(&it.stability));
        write!(f, "{:<36} {direction:<13} {stability:<12} {}", self.id, it.surface)
    }
}

/// The word that stands in the data.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surface_covers_itself_and_what_is_below() {
        let targets = own().unwrap().into_iter().find(|entry| entry.id == "targets").unwrap();
        assert!(targets.covers("/v1/integration/targets"));
        assert!(targets.covers("/v1/integration/targets/{targetKey}"));
        assert!(!targets.covers("/v1/integration/targets-of-others"));
        assert!(!targets.covers("/v1"));
        assert!(targets.to_json().get("trigger").is_none());
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<String> =
            all(&Registry::builtin()).unwrap().into_iter().map(|entry| entry.id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}

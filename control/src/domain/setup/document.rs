//! A setup as it is written, and what can be said of it without looking at what there is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::{FileSecrets, ITEMS_MAX};
use crate::credentials::Plaintext;
use crate::domain::{DomainError, Issue, check};

/// A whole setup.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The same setup has the same id each time: by it, its connections are found again.
    pub id: String,
    pub targets: Vec<TargetItem>,
    pub connections: Vec<ConnectionItem>,
    pub profiles: Vec<ProfileItem>,
}

/// The name of a file in the place where an operator puts secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference(pub String);

/// Secrets by the name of their field.
pub(super) type References = BTreeMap<String, SecretReference>;

#[derive(Clone, Debug, PartialEq)]
pub struct TargetItem {
    pub key: String,
    pub definition: String,
    pub display_name: String,
    pub enabled: bool,
    pub config: Json,
    pub options: Map<String, Json>,
    pub secrets: BTreeMap<String, SecretReference>,
}

/// A connection by a form: others need a person.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionItem {
    pub key: String,
    pub target_key: String,
    pub method: Option<String>,
    pub display_name: String,
    pub config: Json,
    pub secrets: BTreeMap<String, SecretReference>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ProfileItem {
    pub name: String,
    pub policy: Map<String, Json>,
    pub bindings: Vec<BindingItem>,
    pub publish: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BindingItem {
    /// `None`: that of its connection.
    pub id: Option<String>,
    /// The key of a connection of the document, or the id of one that is there.
    pub connection: String,
    pub kind: Option<String>,
    pub config: Json,
    pub routes: Option<Json>,
}

impl Document {
    /// Every file that is named.
    pub fn files(&self) -> BTreeSet<String> {
        let targets = self.targets.iter().flat_map(|item| item.secrets.values());
        let connections = self.connections.iter().flat_map(|item| item.secrets.values());
        targets.chain(connections).map(|reference| reference.0.clone()).collect()
    }

    pub(super) fn check(&self) -> Result<(), DomainError> {
        check::key("id", &self.id)?;
        let mut issues = Vec::new();
        let targets = self.targets.iter().map(|item| item.key.as_str());
        issues.extend(unique("targets", "key", targets));
        let connections = self.connections.iter().map(|item| item.key.as_str());
        issues.extend(unique("connections", "key", connections));
        let profiles = self.profiles.iter().map(|item| item.name.as_str());
        issues.extend(unique("profiles", "name", profiles));
        if issues.is_empty() { Ok(()) } else { Err(DomainError::invalid(issues)) }
    }
}

/// What stands twice, or is too much.
fn unique<'n>(
    list: &str,
    field: &str,
    names: impl ExactSizeIterator<Item = &'n str>,
) -> Vec<Issue> {
    if names.len() > ITEMS_MAX {
        let message = format!("a setup has at most {ITEMS_MAX} {list}");
        return vec![Issue::new("LIMIT_EXCEEDED", list, message)];
    }
    let (mut seen, mut issues) = (BTreeSet::new(), Vec::new());
    for (at, name) in names.enumerate().filter(|(_, name)| !seen.insert(*name)) {
        let message = format!("`{name}` stands twice");
        issues.push(Issue::new("DUPLICATE_KEY", format!("{list}[{at}].{field}"), message));
    }
    issues
}

/// The secrets that are referred to, or an issue for each that is not there.
pub(super) fn secrets(
    references: &References,
    files: &FileSecrets,
) -> Result<BTreeMap<String, Plaintext>, DomainError> {
    let (mut found, mut issues) = (BTreeMap::new(), Vec::new());
    for (name, SecretReference(file)) in references {
        match files.get(file).unwrap_or(&Err("there is no such file")) {
            Ok(secret) => drop(found.insert(name.clone(), secret.clone())),
            Err(why) => {
                let field = format!("secrets.{name}.file");
                issues.push(Issue::new("SECRET_UNREADABLE", field, *why));
            }
        }
    }
    if issues.is_empty() { Ok(found) } else { Err(DomainError::invalid(issues)) }
}

/// Those that differ from what is there.
pub(super) fn different(
    wanted: BTreeMap<String, Plaintext>,
    there: &BTreeMap<String, Plaintext>,
) -> BTreeMap<String, Plaintext> {
    let same = |name: &String, secret: &Plaintext| {
        there.get(name).is_some_and(|there| there.expose() == secret.expose())
    };
    wanted.into_iter().filter(|(name, secret)| !same(name, secret)).collect()
}

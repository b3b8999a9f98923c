//! Targets: an operator's deployments of definitions. Users connect only to enabled ones.

use std::collections::BTreeMap;

use sallygate_compiler::snapshot::Target as Compiled;
use sallygate_definitions::schema::ConfigSchema;
use sallygate_definitions::{Definition, Registry};
use serde_json::{Map, Value as Json, json};

use super::audit::{self, Change};
use super::{Act, DomainError, Fault, Issue, Page, PageOf, check, profile};
use crate::credentials::{INSTALLATION, Place, Plaintext, Sealed, Vault};
use crate::store::{Row, StoreError, Topic, Transaction, fetch_optional, tell};
use crate::values;
use crate::webhook::{self, WebhookOptions};

/// A deployment, without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub key: String,
    pub definition: String,
    pub display_name: String,
    pub enabled: bool,
    pub config: Json,
    /// How it is reached, and how credentials are presented where the definition does not say:
    /// `cleartext`, `inject`, `placeholder`, `clear`, `upstream`, as the compiler reads them.
    pub options: Map<String, Json>,
    pub secrets: Vec<SecretView>,
    pub revision: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// What is shown of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretView {
    pub name: String,
    pub fingerprint: String,
    pub revision: i64,
    pub updated_ms: i64,
}

/// What an operator says about a target.
#[derive(Clone, Debug)]
pub struct Put<'p> {
    pub key: &'p str,
    pub definition: &'p str,
    pub display_name: &'p str,
    pub enabled: Enabled,
    pub config: &'p Json,
    pub options: &'p Map<String, Json>,
    /// `None` takes a secret away; those that are not named stay.
    pub secrets: &'p BTreeMap<String, Option<Plaintext>>,
    /// Only when the target is at this revision.
    pub if_revision: Option<i64>,
}

/// Whether users may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    Yes,
    No,
}

impl Target {
    /// Everything that is wrong with it, as its definition is now.
    pub fn problems(&self, registry: &Registry) -> Vec<Issue> {
        let Some(definition) = registry.find(&self.definition) else {
            let message = format!("there is no definition `{}`", self.definition);
            return vec![Issue::new("DEFINITION_NOT_FOUND", "definition", message)];
        };
        let mut issues = config_issues(definition, &self.config);
        let has = |name: &String| self.secrets.iter().any(|secret| secret.name == *name);
        let missing = definition.target_secret_schema.required.iter().filter(|name| !has(name));
        issues.extend(missing.map(|name| {
            let message = format!("the secret `{name}` is missing");
            Issue::new("INVALID_TARGET_SECRETS", format!("secrets.{name}"), message)
        }));
        issues
    }

    /// As it is audited and shown: secrets are fingerprints.
    fn shown(&self) -> Json {
        let secrets: BTreeMap<_, _> =
            self.secrets.iter().map(|s| (s.name.as_str(), s.fingerprint.as_str())).collect();
        json!({
            "definition": self.definition,
            "displayName": self.display_name,
            "enabled": self.enabled,
            "config": self.config,
            "options": self.options,
            "secrets": secrets,
        })
    }

    /// As the compiler reads it.
    pub fn to_compile(&self) -> Result<Compiled, DomainError> {
        let secrets: Vec<_> = self.secrets.iter().map(|secret| secret.name.as_str()).collect();
        let base = (self.definition.as_str(), self.enabled);
        compiled(base, &self.config, (&self.options, &secrets)).map_err(|_| {
            DomainError::new(Fault::Internal, "target_malformed", "a stored target is malformed")
        })
    }
}

fn compiled(
    (definition, enabled): (&str, bool),
    config: &Json,
    (options, secrets): (&Map<String, Json>, &[&str]),
) -> Result<Compiled, serde_path_to_error::Error<serde_json::Error>> {
    let mut all = options.clone();
    // The compiler has nothing to do with what comes in.
    all.remove(webhook::OPTION);
    all.insert("definition".to_owned(), json!(definition));
    all.insert("enabled".to_owned(), json!(enabled));
    all.insert("config".to_owned(), config.clone());
    all.insert("secrets".to_owned(), json!(secrets));
    serde_path_to_error::deserialize(Json::Object(all))
}

/// What of the options the compiler would not read.
fn option_issues(put: &Put<'_>) -> Vec<Issue> {
    let known = ["cleartext", "inject", "placeholder", "clear", "upstream", webhook::OPTION];
    let unknown = put.options.keys().filter(|key| !known.contains(&key.as_str()));
    let mut issues: Vec<Issue> = unknown
        .map(|key| {
            let message = format!("a target has no `{key}`");
            Issue::new("UNKNOWN_FIELD", format!("options.{key}"), message)
        })
        .collect();
    if let Err((field, message)) = WebhookOptions::of(put.options) {
        issues.push(Issue::new("INVALID_TARGET_OPTIONS", format!("options.{field}"), message));
    }
    let enabled = put.enabled == Enabled::Yes;
    if let Err(error) = compiled((put.definition, enabled), put.config, (put.options, &[])) {
        let (field, message) = (format!("options.{}", error.path()), error.inner().to_string());
        issues.push(Issue::new("INVALID_TARGET_OPTIONS", field, message));
    }
    issues
}

fn config_issues(definition: &Definition, config: &Json) -> Vec<Issue> {
    let admitted = definition.target_config_schema.admit(config, "config");
    let problems = admitted.err().unwrap_or_default().into_iter();
    problems.map(|p| Issue::new("INVALID_TARGET_CONFIG", p.path.to_string(), p.message)).collect()
}

/// Creates or replaces a target.
pub async fn put(
    transaction: &mut dyn Transaction,
    (act, registry, vault): (&Act, &Registry, &Vault),
    put: Put<'_>,
) -> Result<Target, DomainError> {
    check::key("targetKey", put.key)?;
    check::name("displayName", put.display_name)?;
    let before = find_optional(transaction, put.key).await?;
    check_revision(before.as_ref().map(|t| t.revision), put.if_revision)?;
    let definition = registry.find(put.definition).ok_or_else(|| unknown(put.definition))?;
    if let Some(before) = before.as_ref().filter(|before| before.definition != put.definition) {
        let message = format!(
            "target `{}` is one of `{}`; another definition needs a target of its own",
            put.key, before.definition
        );
        return Err(DomainError::conflict("definition_differs", message));
    }
    let mut issues = config_issues(definition, put.config);
    issues.extend(option_issues(&put));
    issues.extend(secret_issues(&definition.target_secret_schema, put.secrets));
    if !issues.is_empty() {
        return Err(DomainError::invalid(issues));
    }
    write(transaction, act, &put, before.as_ref()).await?;
    for (name, secret) in put.secrets {
        write_secret(transaction, (act, vault), (put.key, name), secret.as_ref()).await?;
    }
    let after = find(transaction, put.key).await?;
    let change = Change {
        organisation: None,
        action: "target.put",
        subject: put.key,
        before: before.as_ref().map(Target::shown),
        after: Some(after.shown()),
    };
    audit::record(transaction, act, change).await?;
    changed(transaction, act, put.key).await?;
    profile::republish(transaction, (act, registry), (put.key, put.enabled)).await?;
    Ok(after)
}

fn unknown(definition: &str) -> DomainError {
    let message = format!("there is no definition `{definition}`");
    DomainError::invalid(vec![Issue::new("DEFINITION_NOT_FOUND", "definition", message)])
}

/// Fails when the caller looked at another revision than there is.
pub(crate) fn check_revision(there: Option<i64>, wanted: Option<i64>) -> Result<(), DomainError> {
    match wanted {
        Some(wanted) if there != Some(wanted) => Err(DomainError::stale()),
        Some(_) | None => Ok(()),
    }
}

fn secret_issues(
    schema: &ConfigSchema,
    secrets: &BTreeMap<String, Option<Plaintext>>,
) -> Vec<Issue> {
    let issue = |name: &str, message: String| {
        Issue::new("INVALID_TARGET_SECRETS", format!("secrets.{name}"), message)
    };
    let mut issues = Vec::new();
    for (name, secret) in secrets {
        let Some(property) = schema.properties.get(name) else {
            issues.push(issue(name, format!("the definition has no secret `{name}`")));
            continue;
        };
        let Some(secret) = secret else { continue };
        let text = String::from_utf8_lossy(secret.expose()).into_owned();
        // What the schema says about the value may repeat it, so it is not passed on.
        if property.admit(&Json::String(text), name).is_err() {
            issues.push(issue(name, format!("`{name}` is not as the definition wants it")));
        }
    }
    issues
}

async fn write(
    transaction: &mut dyn Transaction,
    act: &Act,
    put: &Put<'_>,
    before: Option<&Target>,
) -> Result<(), DomainError> {
    let sql = "INSERT INTO targets (target_key, definition, display_name, enabled, config, \
               revision, created_at, updated_at, options) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8) \
               ON CONFLICT (target_key) DO UPDATE SET display_name = $3, enabled = $4, \
               config = $5, revision = $6, updated_at = $7, options = $8";
    let revision = before.map_or(1, |before| before.revision + 1);
    let values = values![
        put.key,
        put.definition,
        put.display_name,
        put.enabled == Enabled::Yes,
        put.config.to_string(),
        revision,
        act.now_ms,
        Json::Object(put.options.clone()).to_string(),
    ];
    transaction.execute(sql, values).await?;
    Ok(())
}

async fn write_secret(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    (key, name): (&str, &str),
    secret: Option<&Plaintext>,
) -> Result<(), DomainError> {
    let Some(secret) = secret else {
        let sql = "DELETE FROM target_secrets WHERE target_key = $1 AND name = $2";
        transaction.execute(sql, values![key, name]).await?;
        return Ok(());
    };
    let row = format!("{key}/{name}");
    let sealed = vault.seal(transaction, INSTALLATION, place(&row), secret).await?;
    let sql = "INSERT INTO target_secrets (target_key, name, key_version, ciphertext, \
               fingerprint, revision, updated_at) VALUES ($1, $2, $3, $4, $5, 1, $6) \
               ON CONFLICT (target_key, name) DO UPDATE SET key_version = $3, ciphertext = $4, \
               fingerprint = $5, revision = target_secrets.revision + 1, updated_at = $6";
    let Sealed { key_version, ciphertext } = sealed;
    let values = values![key, name, key_version, ciphertext, secret.fingerprint(), act.now_ms];
    transaction.execute(sql, values).await?;
    Ok(())
}

/// The secrets of a target, opened, by name.
pub async fn open_secrets(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    target: &Target,
) -> Result<BTreeMap<String, Plaintext>, DomainError> {
    let sql = "SELECT name, key_version, ciphertext FROM target_secrets WHERE target_key = $1";
    let mut opened = BTreeMap::new();
    for mut row in transaction.fetch(sql, values![&target.key]).await? {
        let name = row.text()?;
        let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
        let row = format!("{}/{name}", target.key);
        opened.insert(name, vault.open(transaction, INSTALLATION, place(&row), &sealed).await?);
    }
    Ok(opened)
}

fn place(row: &str) -> Place<'_> {
    Place { table: "target_secrets", row, column: "ciphertext" }
}

/// Lets users connect, or ends that: nobody gets credentials for a disabled target.
pub async fn set_enabled(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    (key, enabled): (&str, Enabled),
    if_revision: Option<i64>,
) -> Result<Target, DomainError> {
    let before = find(transaction, key).await?;
    check_revision(Some(before.revision), if_revision)?;
    let wanted = enabled == Enabled::Yes;
    if before.enabled == wanted {
        return Ok(before);
    }
    let sql = "UPDATE targets SET enabled = $2, revision = revision + 1, updated_at = $3 \
               WHERE target_key = $1";
    transaction.execute(sql, values![key, wanted, act.now_ms]).await?;
    let after = find(transaction, key).await?;
    let change = Change {
        organisation: None,
        action: if wanted { "target.enable" } else { "target.disable" },
        subject: key,
        before: Some(before.shown()),
        after: Some(after.shown()),
    };
    audit::record(transaction, act, change).await?;
    changed(transaction, act, key).await?;
    profile::republish(transaction, (act, registry), (key, enabled)).await?;
    Ok(after)
}

async fn changed(
    transaction: &mut dyn Transaction,
    act: &Act,
    key: &str,
) -> Result<(), DomainError> {
    let payload = json!({ "targetKey": key });
    Ok(tell(transaction, (Topic::Invalidated, None), &payload, act.now_ms).await?)
}

pub async fn find(transaction: &mut dyn Transaction, key: &str) -> Result<Target, DomainError> {
    find_optional(transaction, key).await?.ok_or_else(|| DomainError::not_found("target"))
}

async fn find_optional(
    transaction: &mut dyn Transaction,
    key: &str,
) -> Result<Option<Target>, DomainError> {
    let sql = "SELECT target_key, definition, display_name, enabled, config, options, \
               revision, created_at, updated_at FROM targets WHERE target_key = $1";
    let Some(row) = fetch_optional(transaction, sql, values![key]).await? else { return Ok(None) };
    let mut target = target(row)?;
    target.secrets = secrets(transaction, key).await?;
    Ok(Some(target))
}

pub async fn list(
    transaction: &mut dyn Transaction,
    page: &Page,
) -> Result<PageOf<Target>, DomainError> {
    let sql = "SELECT target_key, definition, display_name, enabled, config, options, \
               revision, created_at, updated_at FROM targets WHERE target_key > $1 \
               ORDER BY target_key LIMIT $2";
    let rows = transaction.fetch(sql, values![&page.after, page.fetch()]).await?;
    let mut items = rows.into_iter().map(target).collect::<Result<Vec<_>, _>>()?;
    for target in &mut items {
        target.secrets = secrets(transaction, &target.key).await?;
    }
    Ok(page.cut(items, |target: &Target| target.key.clone()))
}

async fn secrets(
    transaction: &mut dyn Transaction,
    key: &str,
) -> Result<Vec<SecretView>, DomainError> {
    let sql = "SELECT name, fingerprint, revision, updated_at FROM target_secrets \
               WHERE target_key = $1 ORDER BY name";
    let view = |mut row: Row| {
        Ok(SecretView {
            name: row.text()?,
            fingerprint: row.text()?,
            revision: row.integer()?,
            updated_ms: row.integer()?,
        })
    };
    let rows = transaction.fetch(sql, values![key]).await?;
    rows.into_iter().map(view).collect()
}

fn target(mut row: Row) -> Result<Target, StoreError> {
    Ok(Target {
        key: row.text()?,
        definition: row.text()?,
        display_name: row.text()?,
        enabled: row.truth()?,
        config: serde_json::from_str(&row.text()?).map_err(|_| StoreError::Shape)?,
        options: serde_json::from_str(&row.text()?).map_err(|_| StoreError::Shape)?,
        secrets: Vec::new(),
        revision: row.integer()?,
        created_ms: row.integer()?,
        updated_ms: row.integer()?,
    })
}

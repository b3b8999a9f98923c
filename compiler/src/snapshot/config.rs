//! `[targets]` and `[connections]` of `config.toml`: what the operator says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ipnet::IpNet;
use sallygate_definitions::contract::binding::Permission;
use sallygate_definitions::contract::injection::Clear;
use sallygate_definitions::contract::method::{ConnectionMethod, SecretField};
use sallygate_definitions::{Definition, Issue, Registry};
use serde_json::Value;

use super::target::nothing;
use super::{
    Connection, ConnectionStatus, Places, Target, TargetInjection, TargetUpstream, bad_id, is_id,
};
use crate::canonical::{Scheme, base_url};
use crate::diagnostic::Diagnostic;
use crate::plan::CredentialReference;
use crate::read::{Spanned, Table, suggestion};
use crate::table::is_injectable;

/// The operator's targets and connections.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// By key.
    pub targets: BTreeMap<String, Target>,
    /// By id.
    pub connections: BTreeMap<String, Connection>,
    /// Where each connection's value comes from, in order of their ids.
    pub sources: Vec<ConnectionSource>,
    /// Keys and ids of targets and connections with errors: known, so that what refers to them is
    /// not reported for it.
    pub(crate) broken: BTreeSet<String>,
}

/// Where a connection's value comes from. Never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSource {
    pub id: String,
    pub target: String,
    /// Which secret of the connection it is; `None`: the only one, whatever it is called.
    pub secret: Option<SecretName>,
    pub value: ValueSource,
    pub refresh_seconds: Option<u64>,
}

/// A secret of a connection, as references in plans name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName {
    pub secret_type: String,
    pub slot_key: Option<String>,
}

impl ConnectionSource {
    /// Whether this is what `reference` means.
    pub fn provides(&self, reference: &CredentialReference) -> bool {
        let is_named = |name: &SecretName| {
            name.secret_type == reference.secret_type && name.slot_key == reference.slot_key
        };
        self.id == reference.connection_id && self.secret.as_ref().is_none_or(is_named)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSource {
    Env(String),
    File(String),
    Command(Vec<String>),
}

/// Reads `[targets]` and `[connections]` of `config.toml`; problems go to the table's document.
/// `ca_file` gives the content of a file that a target names: this crate does no I/O.
pub fn read_targets(
    root: &mut Table<'_>,
    registry: &Registry,
    ca_file: &dyn Fn(&str) -> Result<String, String>,
) -> Targets {
    let mut read = Targets::default();
    for (id, table) in named(root, "targets") {
        let reader = TargetReader { table, registry, ca_file };
        if let Some(target) = reader.read(&id) {
            read.targets.insert(id, target);
        } else {
            read.broken.insert(id);
        }
    }
    for (id, table) in named(root, "connections") {
        match connection(&id, table, &read, registry) {
            Some((connection, mut sources)) => {
                read.connections.insert(id, connection);
                read.sources.append(&mut sources);
            }
            None => drop(read.broken.insert(id)),
        }
    }
    read
}

/// The entries of a table of tables whose keys are ids.
fn named<'d>(root: &mut Table<'d>, key: &str) -> Vec<(String, Table<'d>)> {
    let Some(mut table) = root.table(key) else { return Vec::new() };
    let mut entries = Vec::new();
    for (id, inner) in table.entries() {
        if is_id(&id.value) {
            entries.push((id.value, inner));
        } else {
            inner.report(Diagnostic::error("BAD_VALUE", bad_id(&id.value)).at(inner.place()));
        }
    }
    entries
}

pub(super) struct TargetReader<'d, 'c> {
    pub(super) table: Table<'d>,
    registry: &'c Registry,
    ca_file: &'c dyn Fn(&str) -> Result<String, String>,
}

impl TargetReader<'_, '_> {
    fn read(mut self, id: &str) -> Option<Target> {
        let problems = self.table.problems();
        let definition = self.definition();
        let mut places = Places::default();
        places.add("", self.table.place());
        let config = self.config(definition.as_ref(), &mut places);
        let inject = self.injection();
        let placeholder = self.placeholder();
        let clear = self.clear();
        let upstream = self.upstream();
        let enabled = self.table.boolean("enabled").is_none_or(|enabled| enabled.value);
        let allowed = self.table.boolean("allow_cleartext").is_some_and(|b| b.value);
        let cleartext = if allowed { Permission::Allow } else { Permission::Refuse };
        let presents = match &inject {
            Some(TargetInjection::Definition) => {
                definition.as_ref().is_some_and(|d| d.fixed_presentation().is_some())
            }
            Some(TargetInjection::Instead(_)) => true,
            Some(TargetInjection::Nothing) | None => false,
        };
        let is_clear = is_cleartext(definition.as_ref(), &config);
        if presents && is_clear && cleartext == Permission::Refuse {
            self.refuse_cleartext(id);
        }
        if self.table.problems() == problems
            && let Some(Err(issues)) = definition.as_ref().map(|d| d.admit_target(&config))
        {
            report(&self.table, &places, issues);
        }
        let document = self.table.finish();
        if document.problems() > problems {
            return None;
        }
        let (definition, secrets) = (definition?.key(), BTreeSet::new());
        let inject = inject?;
        Some(Target {
            definition,
            enabled,
            config,
            secrets,
            cleartext,
            inject,
            placeholder,
            clear,
            upstream,
            places,
        })
    }

    fn definition(&mut self) -> Option<Definition> {
        let key = self.table.required_string("definition")?.value;
        match self.registry.require(&key) {
            Ok(definition) => Some(definition.clone()),
            Err(diagnostic) => {
                self.table.report(diagnostic.at(self.table.place_of("definition")));
                None
            }
        }
    }

    /// What is under `config`, with `base_url` as a spelling of its `baseUrl`.
    fn config(&mut self, definition: Option<&Definition>, places: &mut Places) -> Value {
        let mut config = nothing();
        if let Some(located) = self.table.value("config") {
            places.add_below("targetConfig", located.places);
            config = located.value;
        }
        let given = self.table.string("base_url");
        let Some(fields) = config.as_object_mut() else { return config };
        if let Some(text) = given {
            if fields.contains_key("baseUrl") {
                let message = "`base_url` and `config.baseUrl` say the same: write one";
                self.table.refuse("base_url", "BAD_VALUE", message);
            }
            places.add("targetConfig.baseUrl", self.table.place_of("base_url"));
            match base_url(&text.value) {
                Ok(url) => {
                    fields.insert("baseUrl".to_owned(), Value::String(url.to_string()));
                }
                Err(error) => {
                    let message = format!("base URL `{}`: {error}", text.value);
                    self.table.refuse("base_url", "BAD_VALUE", message);
                }
            }
        } else if definition.is_some_and(needs_base_url)
            && !fields.contains_key("baseUrl")
            && !self.table.contains("base_url")
        {
            self.table.missing("base_url");
        }
        config
    }

    fn refuse_cleartext(&self, id: &str) {
        let message = format!("target `{id}` would send its credential over clear-text HTTP");
        let help = "use https, or set `allow_cleartext = true` for a loopback test server";
        let diagnostic = Diagnostic::error("CLEARTEXT_CREDENTIAL", message);
        self.table.report(diagnostic.at(self.table.place_of("base_url")).help(help));
    }

    fn clear(&mut self) -> Clear {
        let mut clear = Clear::default();
        for name in self.table.strings("clear_headers").unwrap_or_default() {
            let lower = name.value.to_ascii_lowercase();
            if is_injectable(&lower) {
                clear.headers.push(lower);
            } else {
                let message = format!("`{}` is not a header for credentials", name.value);
                self.table.refuse("clear_headers", "BAD_VALUE", message);
            }
        }
        let query = self.table.strings("clear_query").unwrap_or_default();
        clear.query.extend(query.into_iter().map(|name| name.value));
        let cookies = self.table.strings("clear_cookies").unwrap_or_default();
        clear.cookies.extend(cookies.into_iter().map(|name| name.value));
        clear
    }

    fn upstream(&mut self) -> TargetUpstream {
        let ca_pem = self.table.string("ca_file").and_then(|path| {
            let content = (self.ca_file)(&path.value);
            if let Err(error) = &content {
                let message = format!("CA file `{}`: {error}", path.value);
                self.table.refuse("ca_file", "BAD_VALUE", message);
            }
            content.ok()
        });
        let mut addresses: Vec<SocketAddr> =
            parsed(&mut self.table, "addresses", "an address with a port");
        addresses.dedup();
        let mut allow_ranges: Vec<IpNet> =
            parsed(&mut self.table, "allow_ranges", "an address range, such as `127.0.0.0/8`");
        allow_ranges.sort_unstable();
        allow_ranges.dedup();
        TargetUpstream { ca_pem, addresses, allow_ranges }
    }
}

fn needs_base_url(definition: &Definition) -> bool {
    let schema = &definition.target_config_schema;
    schema.required.iter().any(|name| name == "baseUrl") && definition.default_base_url().is_none()
}

fn is_cleartext(definition: Option<&Definition>, config: &Value) -> bool {
    let given = config.get("baseUrl").and_then(Value::as_str);
    let url = given.or_else(|| definition.and_then(|d| d.default_base_url()));
    url.and_then(|url| base_url(url).ok()).is_some_and(|url| url.scheme == Scheme::Http)
}

/// Reports what a definition says about a part of the file.
fn report(table: &Table<'_>, places: &Places, issues: Vec<Issue>) {
    for Issue { code, severity, field, safe_message } in issues {
        let mut diagnostic = Diagnostic::error(code, safe_message);
        diagnostic.severity = severity;
        diagnostic.place = places.find(&field).cloned();
        table.report(diagnostic);
    }
}

/// A list of texts that stand for something.
pub(super) fn parsed<T: std::str::FromStr>(
    table: &mut Table<'_>,
    key: &str,
    wanted: &str,
) -> Vec<T> {
    let texts = table.strings(key).unwrap_or_default();
    let mut values = Vec::with_capacity(texts.len());
    for Spanned { value, .. } in texts {
        match value.parse() {
            Ok(parsed) => values.push(parsed),
            Err(_) => table.refuse(key, "BAD_VALUE", format!("`{value}` is not {wanted}")),
        }
    }
    values
}

fn connection(
    id: &str,
    mut table: Table<'_>,
    read: &Targets,
    registry: &Registry,
) -> Option<(Connection, Vec<ConnectionSource>)> {
    let (problems, targets) = (table.problems(), &read.targets);
    let target = table.required_string("target").map(|target| target.value);
    let known = |id: &String| targets.contains_key(id) || read.broken.contains(id);
    if let Some(target) = target.as_ref().filter(|target| !known(target)) {
        let message = format!("connection `{id}` is to a target `{target}` that there is not");
        let place = table.place_of("target");
        let mut diagnostic = Diagnostic::error("UNKNOWN_TARGET", message).at(place);
        diagnostic.help = suggestion(target, targets.keys().map(String::as_str))
            .map(|near| format!("did you mean `{near}`?"));
        table.report(diagnostic);
    }
    let definition = target.as_ref().and_then(|target| targets.get(target));
    let definition = definition.and_then(|target| registry.find(&target.definition));
    let mut places = Places::default();
    let method = method(&mut table, definition);
    places.add("", table.place());
    places.add("connectionMethod", table.place_of("method"));
    places.add("connectionCredentials", table.place_of("credentials"));
    let config = table.value("config").map_or_else(nothing, |located| {
        places.add_below("connectionConfig", located.places);
        located.value
    });
    if let Some(definition) = definition
        && let Err(issues) = definition.admit_connection(method.as_deref(), &config)
    {
        report(&table, &places, issues);
    }
    let statuses = [ConnectionStatus::Active, ConnectionStatus::Error, ConnectionStatus::Revoked];
    let statuses = statuses.map(|status| (status.as_str(), status));
    let status = table.choice("status", &statuses).unwrap_or_default();
    let form = definition.zip(method.as_deref()).and_then(|(d, id)| d.method(id));
    let values = values(&mut table, form);
    let refresh = table.integer("refresh_seconds", 1..=31_536_000);
    let refresh_seconds = refresh.and_then(|seconds| u64::try_from(seconds.value).ok());
    let given: Option<BTreeSet<String>> = form.map(|_| values.keys().cloned().collect());
    if let (Some(definition), Some(method), Some(given), true) =
        (definition, &method, &given, table.problems() == problems)
    {
        report(&table, &places, definition.credential_issues(method, given));
    }
    if table.finish().problems() > problems {
        return None;
    }
    let target = target?;
    let source = |(secret, value)| ConnectionSource {
        id: id.to_owned(),
        target: target.clone(),
        secret,
        value,
        refresh_seconds,
    };
    let sources = values.into_values().map(source).collect();
    let connection = Connection::new(target.clone(), method);
    Some((Connection { status, config, credentials: given, places, ..connection }, sources))
}

/// Where the secrets of a connection come from, by their names. A value that is given without a
/// name is the first secret of the method, and the only one.
fn values(
    table: &mut Table<'_>,
    method: Option<&ConnectionMethod>,
) -> BTreeMap<String, (Option<SecretName>, ValueSource)> {
    let mut fields: &[SecretField] = &[];
    if let Some(ConnectionMethod::Form { fields: asked, .. }) = method {
        fields = asked;
    }
    let Some(mut credentials) = table.table("credentials") else {
        let name = fields.first().map_or_else(String::new, |field| field.name.clone());
        return value(table).map(|value| (name, (None, value))).into_iter().collect();
    };
    for key in VALUES {
        if table.contains(key) {
            let message = format!("`{key}` and `credentials` say the same: write one");
            table.refuse(key, "BAD_VALUE", message);
            table.skip(key);
        }
    }
    let mut values = BTreeMap::new();
    for (name, mut inner) in credentials.entries() {
        let value = value(&mut inner);
        inner.finish();
        let field = fields.iter().find(|field| field.name == name.value);
        let secret = field.map(|field| SecretName {
            secret_type: field.secret_type.as_str().to_owned(),
            slot_key: field.slot_key.clone(),
        });
        values.extend(value.map(|value| (name.value, (secret, value))));
    }
    values
}

const VALUES: [&str; 3] = ["value_env", "value_file", "value_command"];

/// The method that is named, or the only form that there is: a file holds no consent.
fn method(table: &mut Table<'_>, definition: Option<&Definition>) -> Option<String> {
    let given = table.string("method").map(|method| method.value);
    let is_form = |method: &&ConnectionMethod| matches!(method, ConnectionMethod::Form { .. });
    let methods = definition.map(|definition| definition.connection_methods.as_slice());
    let mut forms = methods.unwrap_or_default().iter().filter(is_form);
    let only = forms.next().filter(|_| forms.next().is_none()).map(|form| form.id().to_owned());
    given.or(only)
}

fn value(table: &mut Table<'_>) -> Option<ValueSource> {
    let variable = table.string("value_env").map(|text| ValueSource::Env(text.value));
    let file = table.string("value_file").map(|text| ValueSource::File(text.value));
    let command = table
        .strings("value_command")
        .map(|words| ValueSource::Command(words.into_iter().map(|word| word.value).collect()));
    if matches!(&command, Some(ValueSource::Command(words)) if words.is_empty()) {
        table.refuse("value_command", "BAD_VALUE", "`value_command` names a program");
    }
    if VALUES.iter().filter(|key| table.contains(key)).count() != 1 {
        let message = "a connection has exactly one of `value_env`, `value_file`, `value_command`";
        table.report(Diagnostic::error("BAD_VALUE", message).at(table.place()));
        return None;
    }
    variable.or(file).or(command)
}

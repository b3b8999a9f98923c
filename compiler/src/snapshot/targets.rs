//! `[targets]` and `[connections]` of `config.toml`: what the operator says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ipnet::IpNet;
use sallygate_definitions::Registry;
use sallygate_definitions::contract::injection::Presentation;
use sallygate_definitions::contract::route::RouteTemplate;

use super::{bad_id, is_id};
use crate::canonical::{BaseUrl, Scheme, base_url};
use crate::diagnostic::{Diagnostic, Place};
use crate::plan::{Clear, InjectionKind, Upstream};
use crate::read::{Spanned, Table, suggestion};
use crate::table::is_injectable;

/// The operator's targets and connections.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    pub targets: BTreeMap<String, Target>,
    pub connections: BTreeMap<String, Connection>,
    /// Ids of targets and connections with errors: known, so that what refers to them is not
    /// reported for it.
    pub(crate) broken: BTreeSet<String>,
}

/// An operator's deployment of a definition.
#[derive(Clone, Debug)]
pub struct Target {
    pub definition: String,
    pub base_url: BaseUrl,
    pub inject: Option<TargetInjection>,
    /// What a route of this target clears when it injects nothing.
    pub clear: Clear,
    pub upstream: Upstream,
    /// The routes that the definition gives; empty when bindings bring their own.
    pub templates: Vec<RouteTemplate>,
}

/// How a target's credential is presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetInjection {
    pub kind: InjectionKind,
    pub header: Option<String>,
    pub template: Option<String>,
    pub parameter: Option<String>,
    pub username: Option<String>,
}

/// An authenticated relationship to a target.
#[derive(Clone, Debug)]
pub struct Connection {
    pub source: ConnectionSource,
    pub place: Place,
}

/// Where a connection's value comes from. Never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSource {
    pub id: String,
    pub target: String,
    pub value: ValueSource,
    pub refresh_seconds: Option<u64>,
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
        if let Some(connection) = connection(id.clone(), table, &read) {
            read.connections.insert(id, connection);
        } else {
            read.broken.insert(id);
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

struct TargetReader<'d, 'c> {
    table: Table<'d>,
    registry: &'c Registry,
    ca_file: &'c dyn Fn(&str) -> Result<String, String>,
}

impl TargetReader<'_, '_> {
    fn read(mut self, id: &str) -> Option<Target> {
        let definition = self.definition();
        let base_url = self.base_url(definition.as_ref());
        let inject = self.injection(definition.as_ref());
        let clear = self.clear(inject.as_ref().ok().and_then(Option::as_ref));
        let upstream = self.upstream(id, base_url.as_ref());
        let allowed = self.table.boolean("allow_cleartext").is_some_and(|b| b.value);
        let clear_text = base_url.as_ref().is_some_and(|url| url.scheme == Scheme::Http);
        if clear_text && !allowed && matches!(inject, Ok(Some(_))) {
            let message = format!("target `{id}` would send its credential over clear-text HTTP");
            let help = "use https, or set `allow_cleartext = true` for a loopback test server";
            let place = self.table.place_of("base_url");
            let diagnostic = Diagnostic::error("CLEARTEXT_CREDENTIAL", message);
            self.table.report(diagnostic.at(place).help(help));
        }
        self.table.finish();
        let definition = definition?;
        Some(Target {
            definition: definition.key(),
            base_url: base_url?,
            inject: inject.ok()?,
            clear,
            upstream,
            templates: definition.fixed_routes().cloned().collect(),
        })
    }

    fn definition(&mut self) -> Option<sallygate_definitions::Definition> {
        let key = self.table.required_string("definition")?.value;
        match self.registry.require(&key) {
            Ok(definition) => Some(definition.clone()),
            Err(diagnostic) => {
                self.table.report(diagnostic.at(self.table.place_of("definition")));
                None
            }
        }
    }

    fn base_url(
        &mut self,
        definition: Option<&sallygate_definitions::Definition>,
    ) -> Option<BaseUrl> {
        let default = definition.and_then(|d| d.default_base_url()).map(str::to_owned);
        let text = match (self.table.string("base_url"), default) {
            (Some(text), _) => text.value,
            (None, Some(default)) => default,
            (None, None) => {
                // Which definition is meant is not known, so neither is whether it has one.
                if definition.is_some() && !self.table.contains("base_url") {
                    self.table.missing("base_url");
                }
                return None;
            }
        };
        let parsed = base_url(&text);
        if let Err(error) = &parsed {
            let message = format!("base URL `{text}`: {error}");
            self.table.refuse("base_url", "BAD_VALUE", message);
        }
        parsed.ok()
    }

    /// `Err` when it was reported.
    fn injection(
        &mut self,
        definition: Option<&sallygate_definitions::Definition>,
    ) -> Result<Option<TargetInjection>, ()> {
        let choices = [
            ("none", None),
            ("bearer", Some(InjectionKind::Bearer)),
            ("basic", Some(InjectionKind::Basic)),
            ("header", Some(InjectionKind::Header)),
            ("query", Some(InjectionKind::Query)),
        ];
        let default = match definition.and_then(|d| d.fixed_presentation()) {
            Some(Presentation::Bearer {}) => Some(InjectionKind::Bearer),
            Some(Presentation::Basic { username: None }) => Some(InjectionKind::Basic),
            _ => None,
        };
        let given = self.table.contains("inject");
        let chosen = self.table.choice("inject", &choices);
        let kind = if given { chosen.ok_or(())? } else { default };
        let header = self.only_with("header", kind == Some(InjectionKind::Header));
        let template = self.only_with("template", kind == Some(InjectionKind::Header));
        let parameter = self.only_with("parameter", kind == Some(InjectionKind::Query));
        let username = self.only_with("username", kind == Some(InjectionKind::Basic));
        let Some(kind) = kind else { return Ok(None) };
        let header = match kind {
            InjectionKind::Bearer | InjectionKind::Basic => Some("authorization".to_owned()),
            InjectionKind::Header => Some(self.header(header)?),
            InjectionKind::Query => None,
        };
        if kind == InjectionKind::Query && parameter.as_ref().is_none_or(String::is_empty) {
            self.table.missing("parameter");
            return Err(());
        }
        if template.as_ref().is_some_and(|t| t.matches("{value}").count() != 1) {
            let message = "a template holds `{value}` exactly once";
            self.table.refuse("template", "BAD_VALUE", message);
        }
        Ok(Some(TargetInjection { kind, header, template, parameter, username }))
    }

    fn header(&self, given: Option<String>) -> Result<String, ()> {
        let Some(given) = given else {
            self.table.missing("header");
            return Err(());
        };
        let name = given.to_ascii_lowercase();
        if !is_injectable(&name) {
            let message = format!("no credential goes into a header `{given}`");
            self.table.refuse("header", "BAD_VALUE", message);
            return Err(());
        }
        Ok(name)
    }

    fn only_with(&mut self, key: &str, meant: bool) -> Option<String> {
        let value = self.table.string(key)?;
        if !meant {
            let message = format!("`{key}` means nothing with this `inject`");
            self.table.refuse(key, "BAD_VALUE", message);
        }
        Some(value.value)
    }

    fn clear(&mut self, inject: Option<&TargetInjection>) -> Clear {
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
        if let Some(inject) = inject {
            clear.headers.push("authorization".to_owned());
            clear.headers.extend(inject.header.clone());
            clear.query.extend(inject.parameter.clone());
        }
        for list in [&mut clear.headers, &mut clear.query] {
            list.sort_unstable();
            list.dedup();
        }
        clear
    }

    fn upstream(&mut self, id: &str, base_url: Option<&BaseUrl>) -> Upstream {
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
        let base_url = base_url.map(ToString::to_string);
        Upstream { base_url, target: Some(id.to_owned()), ca_pem, addresses, allow_ranges }
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

fn connection(id: String, mut table: Table<'_>, read: &Targets) -> Option<Connection> {
    let (place, targets) = (table.place(), &read.targets);
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
    let value = value(&mut table);
    let refresh = table.integer("refresh_seconds", 1..=31_536_000);
    let refresh_seconds = refresh.and_then(|seconds| u64::try_from(seconds.value).ok());
    table.finish();
    let source = ConnectionSource { id, target: target?, value: value?, refresh_seconds };
    Some(Connection { source, place })
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
    let keys = ["value_env", "value_file", "value_command"];
    if keys.iter().filter(|key| table.contains(key)).count() != 1 {
        let message = "a connection has exactly one of `value_env`, `value_file`, `value_command`";
        table.report(Diagnostic::error("BAD_VALUE", message).at(table.place()));
        return None;
    }
    variable.or(file).or(command)
}

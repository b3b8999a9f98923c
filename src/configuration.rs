//! Reads `config.toml` and what it points to. Every problem in every file is reported at once.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sallygate_compiler::diagnostic::{Diagnostic, Diagnostics};
use sallygate_compiler::plan::Plan;
use sallygate_compiler::read::{Document, Spanned, Table};
use sallygate_compiler::snapshot::{self, Policy, Targets, ValueSource};
use sallygate_compiler::source::SourceFile;
use sallygate_compiler::{Compilation, compile_files};
use sallygate_definitions::Registry;
use sallygate_proxy::Input;
use sallygate_proxy::config::ProxyConfig;

use crate::integrations;

mod control;
mod login;
mod overrides;
mod proxy;
mod reach;

pub(crate) use control::{ControlConfig, ControlSettings};
pub(crate) use login::LoginSettings;
pub(crate) use overrides::{Given, Overrides};

/// Everything that configuration files say.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) proxy: ProxyConfig,
    pub(crate) log: LogSettings,
    pub(crate) data_dir: PathBuf,
    pub(crate) input: Input,
    /// As it was written, with the place of everything.
    pub(crate) policy: Policy,
    /// How the control service runs, when it runs here.
    pub(crate) control: ControlConfig,
    /// The definitions that there are.
    pub(crate) registry: Registry,
    /// What bindings bind.
    pub(crate) targets: Targets,
    /// Warnings; errors would have kept the configuration from being made.
    pub(crate) warnings: Diagnostics,
}

/// How this process logs.
#[derive(Clone, Debug)]
pub(crate) struct LogSettings {
    pub(crate) json: bool,
    pub(crate) level: String,
}

/// Where policy comes from.
#[derive(Debug)]
enum PolicySource {
    /// A `policy.toml`, compiled here.
    File(PathBuf),
    /// Ready plans by profile, with the policy file for its sandboxes.
    Plans(Vec<(Spanned<String>, PathBuf)>, PathBuf),
}

struct Settings {
    proxy: ProxyConfig,
    log: LogSettings,
    data_dir: PathBuf,
    policy: PolicySource,
    targets: Targets,
    registry: Registry,
    control: ControlConfig,
}

/// Reads the configuration file at `path`, the policy, and the files that both name.
pub(crate) fn load(path: &Path) -> Result<Configuration, Diagnostics> {
    let mut found = Diagnostics::new();
    let settings = match read(path, &mut found) {
        Ok(settings) => settings,
        Err(unreadable) => {
            found.append(unreadable);
            return Err(found.sorted());
        }
    };
    let (mut input, policy) = input(&settings, &mut found);
    if found.has_errors() {
        return Err(found.sorted());
    }
    let base = path.parent().unwrap_or(Path::new(""));
    for connection in &mut input.connections {
        if let ValueSource::File(file) = &mut connection.value {
            *file = base.join(&*file).display().to_string();
        }
    }
    let Settings { proxy, log, data_dir, control, registry, targets, .. } = settings;
    let warnings = found.sorted();
    Ok(Configuration { proxy, log, data_dir, input, policy, control, registry, targets, warnings })
}

/// What the file at `path` says, with the environment over it.
fn read(path: &Path, found: &mut Diagnostics) -> Result<Settings, Diagnostics> {
    let file = source(path)?;
    let (overrides, wrong) = Overrides::of_environment();
    found.append(wrong);
    let document = Document::parse_over(&file, overrides.overs())?;
    let settings = settings(&document, path.parent().unwrap_or(Path::new("")));
    found.append(document.into_diagnostics());
    Ok(settings)
}

/// Everything that is wrong with the configuration file at `path`; the policy is not read.
pub(crate) fn check(path: &Path) -> Diagnostics {
    let mut found = Diagnostics::new();
    if let Err(unreadable) = read(path, &mut found) {
        found.append(unreadable);
    }
    found.sorted()
}

/// Reads the configuration file at `path`, but not the policy: a control service has its own.
pub(crate) fn control(path: &Path) -> Result<ControlSettings, Diagnostics> {
    let mut found = Diagnostics::new();
    let settings = read(path, &mut found)?;
    if found.has_errors() {
        return Err(found.sorted());
    }
    let Settings { log, data_dir, control, registry, .. } = settings;
    Ok(ControlSettings { log, data_dir, control, registry })
}

fn input(settings: &Settings, found: &mut Diagnostics) -> (Input, Policy) {
    let (PolicySource::File(path) | PolicySource::Plans(_, path)) = &settings.policy;
    let file = match source(path) {
        Ok(file) => file,
        Err(unreadable) => {
            found.append(unreadable);
            return (Input::default(), Policy::default());
        }
    };
    let policy = snapshot::read_policy(&file, found);
    let Compilation { mut plans, sandboxes, connections, diagnostics } =
        compile_files(&settings.targets, &policy, &settings.registry);
    found.append(diagnostics);
    if let PolicySource::Plans(named, _) = &settings.policy {
        plans = ready_plans(named, found);
    }
    (Input { plans, sandboxes, connections, placeholder_key: None }, policy)
}

fn ready_plans(
    named: &[(Spanned<String>, PathBuf)],
    found: &mut Diagnostics,
) -> BTreeMap<String, Plan> {
    let mut plans = BTreeMap::new();
    for (profile, path) in named {
        match fs::read(path).map_err(|e| unreadable(path, &e)) {
            Err(unreadable) => found.append(unreadable),
            Ok(bytes) => match Plan::from_json(&path.display().to_string(), &bytes) {
                Ok(plan) => {
                    plans.insert(profile.value.clone(), plan);
                }
                Err(wrong) => found.append(wrong),
            },
        }
    }
    plans
}

/// The data directory of the configuration at `path`, whatever else may be wrong with it.
pub(crate) fn data_dir(path: &Path) -> PathBuf {
    let table = raw(path);
    let given = table.get("data_dir").and_then(toml::Value::as_str);
    within(path.parent().unwrap_or(Path::new("")), given.unwrap_or("."))
}

/// Where that configuration puts the audit log.
pub(crate) fn audit_path(path: &Path) -> PathBuf {
    let table = raw(path);
    let audit = table.get("audit").and_then(|audit| audit.get("path"));
    let given = audit.and_then(toml::Value::as_str).map(str::to_owned);
    match Overrides::of_environment().0.text("audit", "path").or(given) {
        Some(given) => path.parent().unwrap_or(Path::new("")).join(given),
        None => data_dir(path).join("audit.jsonl"),
    }
}

fn raw(path: &Path) -> toml::Table {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.parse().unwrap_or_default()
}

/// `path` as seen from `base`, without a `.` in the middle.
fn within(base: &Path, path: &str) -> PathBuf {
    if path == "." && !base.as_os_str().is_empty() { base.into() } else { base.join(path) }
}

/// Reads a file for diagnostics that point into it.
pub(crate) fn source(path: &Path) -> Result<SourceFile, Diagnostics> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|e| unreadable(path, &e))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile { name, text }),
        Err(_) => Err(Diagnostic::error("TOML_SYNTAX", format!("`{name}` is not UTF-8")).into()),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostics {
    let message = format!("`{}` cannot be read: {error}", path.display());
    Diagnostic::error("FILE_UNREADABLE", message).into()
}

fn settings(document: &Document<'_>, base: &Path) -> Settings {
    let mut root = document.root();
    let at = |path: &str| base.join(path);
    let data_dir = within(base, &text(&mut root, "data_dir", "."));
    let policy_path = at(&text(&mut root, "policy", "policy.toml"));
    let policy = match root.table("plans") {
        None => PolicySource::File(policy_path),
        Some(mut plans) => {
            let named =
                plans.string_entries().into_iter().map(|(name, path)| (name, at(&path.value)));
            PolicySource::Plans(named.collect(), policy_path)
        }
    };
    let proxy = proxy::settings(&mut root, base, &data_dir);
    let log = log_settings(&mut root);
    let control = control::settings(&mut root, base);
    let read_ca = |path: &str| fs::read_to_string(base.join(path)).map_err(|e| e.to_string());
    let registry = integrations::registry(&mut root, base);
    let targets = snapshot::read_targets(&mut root, &registry, &read_ca);
    root.finish();
    Settings { proxy, log, data_dir, policy, targets, registry, control }
}

fn log_settings(root: &mut Table<'_>) -> LogSettings {
    let mut settings = LogSettings { json: false, level: "info".into() };
    if let Some(mut table) = root.table("log") {
        settings.json =
            table.choice("format", &[("human", false), ("json", true)]).unwrap_or(false);
        let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
        settings.level = table.choice("level", &levels).unwrap_or("info").into();
        table.finish();
    }
    settings
}

fn text(table: &mut Table<'_>, key: &str, default: &str) -> String {
    table.string(key).map_or_else(|| default.to_owned(), |s| s.value)
}

fn file(table: &mut Table<'_>, key: &str, base: &Path, into: &mut PathBuf) {
    if let Some(path) = table.string(key) {
        *into = base.join(path.value);
    }
}

fn addresses(table: &Table<'_>, key: &str, texts: &[Spanned<String>]) -> Vec<SocketAddr> {
    let mut list = Vec::new();
    for text in texts {
        let mut address = SocketAddr::from(([0, 0, 0, 0], 0));
        if address_at(table, key, text, &mut address) {
            list.push(address);
        }
    }
    list
}

fn address_at(table: &Table<'_>, key: &str, text: &Spanned<String>, into: &mut SocketAddr) -> bool {
    match text.value.parse() {
        Ok(address) => {
            *into = address;
            true
        }
        Err(_) => {
            let message =
                format!("`{}` is not an address and port such as `127.0.0.1:8089`", text.value);
            table.refuse_at(key, text.span.clone(), "BAD_VALUE", message);
            false
        }
    }
}

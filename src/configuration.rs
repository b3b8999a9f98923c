//! Reads `config.toml` and what it points to. Every problem in every file is reported at once.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use sallygate_compiler::diagnostic::{Diagnostic, Diagnostics};
use sallygate_compiler::plan::Plan;
use sallygate_compiler::read::{Document, Spanned, Table};
use sallygate_compiler::snapshot::{self, Policy, Targets, ValueSource};
use sallygate_compiler::source::SourceFile;
use sallygate_compiler::{Compilation, compile_files};
use sallygate_definitions::Registry;
use sallygate_proxy::Input;
use sallygate_proxy::config::{CaFiles, ProxyConfig, UnixListen};
use sallygate_proxy::limits::{LimitSpec, Limits};

use crate::integrations;

mod login;

pub(crate) use login::LoginSettings;

/// Everything that configuration files say.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) proxy: ProxyConfig,
    pub(crate) log: LogSettings,
    pub(crate) data_dir: PathBuf,
    pub(crate) input: Input,
    /// As it was written, with the place of everything.
    pub(crate) policy: Policy,
    /// Where the control service listens, when it runs here.
    pub(crate) control: Option<SocketAddr>,
    /// Proxies in front of the control service.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// How people sign in at the control service.
    pub(crate) login: Option<LoginSettings>,
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
    control: Option<SocketAddr>,
    trusted_proxies: Vec<IpNet>,
    login: Option<LoginSettings>,
}

/// Reads the configuration file at `path`, the policy, and the files that both name.
pub(crate) fn load(path: &Path) -> Result<Configuration, Diagnostics> {
    let mut found = Diagnostics::new();
    let settings = source(path).and_then(|file| {
        let document = Document::parse(&file)?;
        let settings = settings(&document, path.parent().unwrap_or(Path::new("")));
        found.append(document.into_diagnostics());
        Ok(settings)
    });
    let settings = match settings {
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
    let Settings { proxy, log, data_dir, control, trusted_proxies, .. } = settings;
    let Settings { login, registry, targets, .. } = settings;
    let warnings = found.sorted();
    Ok(Configuration {
        proxy,
        log,
        data_dir,
        input,
        policy,
        control,
        trusted_proxies,
        login,
        registry,
        targets,
        warnings,
    })
}

/// What the control service needs of a configuration.
#[derive(Debug)]
pub(crate) struct ControlSettings {
    pub(crate) log: LogSettings,
    pub(crate) data_dir: PathBuf,
    pub(crate) control: Option<SocketAddr>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) login: Option<LoginSettings>,
    pub(crate) registry: Registry,
}

/// Everything that is wrong with the configuration file at `path`; the policy is not read.
pub(crate) fn check(path: &Path) -> Diagnostics {
    let read = source(path).and_then(|file| {
        let document = Document::parse(&file)?;
        drop(settings(&document, path.parent().unwrap_or(Path::new(""))));
        Ok(document.into_diagnostics())
    });
    read.unwrap_or_else(|unreadable| unreadable).sorted()
}

/// Reads the configuration file at `path`, but not the policy: a control service has its own.
pub(crate) fn control(path: &Path) -> Result<ControlSettings, Diagnostics> {
    let file = source(path)?;
    let document = Document::parse(&file)?;
    let settings = settings(&document, path.parent().unwrap_or(Path::new("")));
    let found = document.into_diagnostics();
    if found.has_errors() {
        return Err(found.sorted());
    }
    let Settings { log, data_dir, control, trusted_proxies, login, registry, .. } = settings;
    Ok(ControlSettings { log, data_dir, control, trusted_proxies, login, registry })
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
    match audit.and_then(toml::Value::as_str) {
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
    let proxy = proxy_settings(&mut root, base, &data_dir);
    let log = log_settings(&mut root);
    let (control, trusted_proxies) = control_listen(&mut root);
    let login = login::settings(&mut root, base);
    let read_ca = |path: &str| fs::read_to_string(base.join(path)).map_err(|e| e.to_string());
    let registry = integrations::registry(&mut root, base);
    let targets = snapshot::read_targets(&mut root, &registry, &read_ca);
    root.finish();
    Settings { proxy, log, data_dir, policy, targets, registry, control, trusted_proxies, login }
}

fn proxy_settings(root: &mut Table<'_>, base: &Path, data_dir: &Path) -> ProxyConfig {
    let mut config = ProxyConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 8089))],
        unix: Vec::new(),
        admin: SocketAddr::from(([127, 0, 0, 1], 8090)),
        egress_prefix: "egress".into(),
        deny_in_tunnel: true,
        drain_seconds: 30,
        ca: CaFiles { certificate: data_dir.join("ca.pem"), key: data_dir.join("ca-key.pem") },
        audit: data_dir.join("audit.jsonl"),
        budgets: data_dir.join("budgets.json"),
        raw_path: false,
        dns: Vec::new(),
        operator_token: fs::read_to_string(data_dir.join("operator.token"))
            .unwrap_or_default()
            .trim()
            .into(),
        limits: Limits::default(),
    };
    if let Some(mut table) = root.table("proxy") {
        proxy_table(&mut table, base, &mut config);
        table.finish();
    }
    if let Some(mut table) = root.table("admin") {
        if let Some(address) = table.string("listen") {
            address_at(&table, "listen", &address, &mut config.admin);
        }
        table.finish();
    }
    if let Some(mut table) = root.table("tls") {
        file(&mut table, "ca_cert", base, &mut config.ca.certificate);
        file(&mut table, "ca_key", base, &mut config.ca.key);
        table.finish();
    }
    if let Some(mut table) = root.table("audit") {
        file(&mut table, "path", base, &mut config.audit);
        config.raw_path = table.boolean("raw_path").is_some_and(|raw| raw.value);
        table.finish();
    }
    if let Some(mut table) = root.table("dns") {
        let servers = table.strings("servers").unwrap_or_default();
        config.dns = addresses(&table, "servers", &servers);
        table.finish();
    }
    if let Some(mut table) = root.table("limits") {
        limits(&mut table, &mut config.limits);
        table.finish();
    }
    config
}

fn proxy_table(table: &mut Table<'_>, base: &Path, config: &mut ProxyConfig) {
    if let Some(listen) = table.strings("listen") {
        config.listen = addresses(table, "listen", &listen);
    }
    if let Some(prefix) = table.string("egress_prefix") {
        let is_segment = |p: &str| {
            !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if is_segment(&prefix.value) {
            config.egress_prefix = prefix.value;
        } else {
            table.refuse_at(
                "egress_prefix",
                prefix.span,
                "BAD_VALUE",
                "`egress_prefix` is one path segment of letters, digits, `-`, `_` and `.`",
            );
        }
    }
    if let Some(deny) = table.boolean("deny_in_tunnel") {
        config.deny_in_tunnel = deny.value;
    }
    if let Some(seconds) = table.integer("drain_seconds", 0..=3600) {
        config.drain_seconds = seconds.value.unsigned_abs();
    }
    for mut socket in table.tables("unix") {
        let (path, sandbox) = (socket.required_string("path"), socket.required_string("sandbox"));
        if let (Some(path), Some(sandbox)) = (path, sandbox) {
            config.unix.push(UnixListen { path: base.join(path.value), sandbox: sandbox.value });
        }
        socket.finish();
    }
}

/// `[control]`: there is a control service in this process when it says where to listen.
fn control_listen(root: &mut Table<'_>) -> (Option<SocketAddr>, Vec<IpNet>) {
    let Some(mut table) = root.table("control") else { return (None, Vec::new()) };
    let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = table.required_string("listen");
    if let Some(text) = &listen {
        address_at(&table, "listen", text, &mut address);
    }
    let trusted = login::ranges(&mut table, "trusted_proxies");
    table.finish();
    (listen.map(|_| address), trusted)
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

fn limits(table: &mut Table<'_>, limits: &mut Limits) {
    for LimitSpec { name, low, high, .. } in Limits::SPECS {
        let bound = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        if let Some(value) = table.integer(name, bound(*low)..=bound(*high)) {
            limits.set(name, value.value.unsigned_abs());
        }
    }
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

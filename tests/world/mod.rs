//! A whole world for one test: real upstreams with a private CA, the real proxy in front of them,
//! and real clients as sandboxes. Everything listens on port 0 of loopback, every secret is random,
//! and `check_invariants` ends a test by looking for what must never happen.
//!
//! The proxy is a black box here: what is known of it are its files, its ready line, its admin
//! listener and its audit log.

mod admin;
mod answers;
mod aws_server;
mod body;
mod canary;
mod client;
mod endpoints;
mod git_server;
mod grpc_server;
mod index;
mod invariants;
mod openai;
mod process;
mod seen;
mod tls;
mod upstream;
mod wait;
mod websocket;

pub(crate) use admin::AdminAnswer;
pub(crate) use body::PseudoRandom;
pub(crate) use client::{Client, Outcome, assert_denial_in, clients, venv};
pub(crate) use invariants::is_denial;
pub(crate) use process::{Process, sallygate};
pub(crate) use seen::{Seen, sha256};
pub(crate) use upstream::{Inject, RunningUpstream, Service, Upstream};
pub(crate) use wait::{eventually, holds_within};

use canary::Canary;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use tls::PrivateCa;
use tokio::runtime::Runtime;

/// A server in another process reports what it saw with a delay.
const REPORTED_WITHIN: Duration = Duration::from_secs(2);
/// What a control service opens to PostgreSQL at most.
const DATABASE_CONNECTIONS: usize = 16;

/// The sandbox that every world has.
pub(crate) const SANDBOX: &str = "sbx_e2e";

/// A world to be started.
#[derive(Debug, Default)]
pub(crate) struct World {
    upstreams: Vec<Upstream>,
    bindings: Vec<(String, String)>,
    definitions: Vec<&'static str>,
    config: String,
    policy: String,
    variables: Vec<(String, String)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts this server, and makes a target and a connection of its name.
    pub(crate) fn upstream(mut self, upstream: Upstream) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// Binds the connection of this name as `ibd_<name>`; `routes` are TOML inline tables.
    pub(crate) fn allow(mut self, name: &str, routes: &str) -> Self {
        self.bindings.push((name.to_owned(), routes.to_owned()));
        self
    }

    /// A definition beside the builtin ones.
    pub(crate) fn definition(mut self, toml: &'static str) -> Self {
        self.definitions.push(toml);
        self
    }

    /// More of config.toml: targets, connections, limits.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self
    }

    /// More of policy.toml: routes of profile `web`, sandboxes.
    pub(crate) fn policy(mut self, toml: &str) -> Self {
        self.policy.push_str(toml);
        self
    }

    /// A variable of the proxy's process.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn start(self) -> RunningWorld {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let runtime = Runtime::new().expect("a runtime");
        let directory = TempDir::new().expect("a temporary directory");
        for part in ["data/secrets", "data/integrations.d", "home", "servers"] {
            std::fs::create_dir_all(directory.path().join(part)).expect("a writable directory");
        }
        let data = directory.path().join("data");
        let created = sallygate().args(["ca", "init", "--dir"]).arg(&data).output();
        let created = created.expect("the binary runs");
        assert!(created.status.success(), "ca init: {}", String::from_utf8_lossy(&created.stderr));

        for (at, definition) in self.definitions.iter().enumerate() {
            let path = data.join(format!("integrations.d/{at}.toml"));
            std::fs::write(path, definition).expect("a writable directory");
        }
        let token = Canary::token();
        let upstreams = self.start_upstreams(&runtime, directory.path());
        let policy = self.policy_toml(&token);
        std::fs::write(data.join("policy.toml"), &policy).expect("a writable directory");
        let config = self.config_toml(&upstreams);
        std::fs::write(data.join("config.toml"), config).expect("a writable directory");
        let process = Process::start_with(&data.join("config.toml"), &self.variables);
        // As many connections to its database as a service needed at once stay open.
        let database = self.variables.iter().any(|(name, _)| name == "DATABASE_URL");
        let open_files = process.open_files() + if database { DATABASE_CONNECTIONS } else { 0 };
        RunningWorld {
            runtime,
            process,
            upstreams,
            token,
            policy,
            open_files,
            received: Mutex::default(),
            directory,
        }
    }

    fn start_upstreams(&self, runtime: &Runtime, directory: &Path) -> Vec<RunningUpstream> {
        let ca = PrivateCa::new();
        let data = directory.join("data");
        std::fs::write(data.join("upstream-ca.pem"), ca.pem()).expect("a writable directory");
        let start = |upstream: &Upstream| {
            let leaf = ca.issue(&upstream.host());
            let starting = upstream.clone().start(&leaf, directory);
            let running = runtime.block_on(starting);
            let secret = data.join("secrets").join(&upstream.name);
            std::fs::write(secret, running.secret()).expect("a writable directory");
            running
        };
        self.upstreams.iter().map(start).collect()
    }

    fn config_toml(&self, upstreams: &[RunningUpstream]) -> String {
        let mut toml = String::from(
            "[proxy]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [tls]\nca_cert = \"ca.pem\"\nca_key = \"ca-key.pem\"\n[audit]\npath = \"audit.jsonl\"\n",
        );
        for running in upstreams {
            let Upstream { name, inject, connection, .. } = &running.plan;
            let address = running.address;
            let target = running.plan.target_toml();
            write!(
                toml,
                "[targets.{name}]\n{target}\n\
                 ca_file = \"upstream-ca.pem\"\naddresses = [\"{address}\"]\n\
                 allow_ranges = [\"127.0.0.0/8\"]\n",
            )
            .expect("writing to a string");
            if !matches!(inject, Inject::None) {
                writeln!(toml, "[connections.{name}]\ntarget = \"{name}\"\n{connection}")
                    .expect("writing to a string");
            }
        }
        toml + &self.config
    }

    fn policy_toml(&self, token: &Canary) -> String {
        let mut toml = String::from("version = 1\n[profiles.web]\nunmatched = \"deny\"\n");
        for (name, routes) in &self.bindings {
            write!(
                toml,
                "[[profiles.web.bindings]]\nid = \"ibd_{name}\"\nconnection = \"{name}\"\n\
                 routes = [\n{routes}\n]\n"
            )
            .expect("writing to a string");
        }
        let digest = sha256(token.value().as_bytes());
        write!(
            toml,
            "{}\n[[sandboxes]]\nid = \"{SANDBOX}\"\nprofile = \"web\"\n\
             token_sha256 = \"{digest}\"\n",
            self.policy
        )
        .expect("writing to a string");
        toml
    }
}

/// A world that runs until it is dropped or `check_invariants` ends it.
#[derive(Debug)]
pub(crate) struct RunningWorld {
    process: Process,
    upstreams: Vec<RunningUpstream>,
    token: Canary,
    policy: String,
    /// What may be open when nothing is under way.
    open_files: usize,
    /// All that a client wrote: what the sandbox got to see.
    received: Mutex<Vec<u8>>,
    // After what uses them: fields are dropped in this order.
    runtime: Runtime,
    directory: TempDir,
}

impl RunningWorld {
    pub(crate) fn upstream(&self, name: &str) -> &RunningUpstream {
        let found = self.upstreams.iter().find(|upstream| upstream.plan.name == name);
        found.expect("the world has this upstream")
    }

    /// This upstream saw requests for these paths, in this order, and no others.
    #[track_caller]
    pub(crate) fn assert_saw(&self, name: &str, paths: &[&str]) {
        let upstream = self.upstream(name);
        let mut seen = Vec::new();
        let same = holds_within(&self.runtime, REPORTED_WITHIN, || {
            seen = upstream.seen().into_iter().map(|seen| seen.path).collect();
            seen == paths
        });
        assert!(same, "{} saw {seen:?}, not {paths:?}", upstream.plan.host());
    }

    /// Ends the process and starts it again, on other ports.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.process = Process::start(&self.data().join("config.toml"));
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The proxy's address with the identity of the sandbox in it.
    pub(crate) fn proxy_url(&self) -> String {
        format!("http://{SANDBOX}:{}@{}", self.token.value(), self.process.proxy)
    }

    /// Where a client in base-URL mode finds a route of the binding of this name.
    pub(crate) fn egress_url(&self, name: &str, route: &str) -> String {
        format!("http://{}/egress/ibd_{name}/{route}", self.process.proxy)
    }

    /// Our CA alone, for variables that add to what a client trusts.
    pub(crate) fn ca_pem(&self) -> PathBuf {
        self.data().join("ca.pem")
    }

    /// The system's roots and our CA, for variables that replace what a client trusts.
    pub(crate) fn ca_bundle(&self) -> PathBuf {
        self.data().join("ca-bundle.pem")
    }

    /// The sandbox's home and working directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A program in the place of the sandbox.
    pub(crate) fn client(&self, program: impl AsRef<OsStr>) -> Client<'_> {
        Client::new(self, program)
    }

    /// A script of `tests/clients` with the Python or the Node of `.venv`.
    pub(crate) fn script(&self, file: &str) -> Client<'_> {
        let program = if file.ends_with(".py") { "python" } else { "node" };
        self.client(venv(program)).arg(clients(file))
    }

    /// Every variable that a sandbox is given, and nothing of ours.
    pub(crate) fn sandbox_environment(&self) -> Vec<(String, String)> {
        let proxy = self.proxy_url();
        let bundle = self.ca_bundle().display().to_string();
        let ca = self.ca_pem().display().to_string();
        let home = self.home().display().to_string();
        let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
        let local = "localhost,127.0.0.1,::1";
        let mut variables = vec![
            ("PATH", path.as_str()),
            ("HOME", &home),
            ("LANG", "C.UTF-8"),
            ("NO_PROXY", local),
            ("no_proxy", local),
            ("NODE_USE_ENV_PROXY", "1"),
            ("NODE_EXTRA_CA_CERTS", &ca),
            ("DENO_CERT", &ca),
        ];
        let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
        variables.extend(proxies.map(|name| (name, proxy.as_str())));
        variables.extend(BUNDLE_VARIABLES.map(|name| (name, bundle.as_str())));
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// What `sallygate env` gives a sandbox of the policy, placeholders among it.
    pub(crate) fn environment_of(&self, sandbox: &str) -> BTreeMap<String, String> {
        let file = self.data_file("sandbox.token");
        std::fs::write(&file, self.token.value()).expect("a writable directory");
        let mut env = sallygate();
        env.args(["env", "--format", "json", "--sandbox", sandbox, "--dir"]);
        env.arg(self.data_file("")).arg("--token-file").arg(&file);
        let output = env.output().expect("the binary runs");
        std::fs::remove_file(&file).expect("a file");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Remembers what a sandbox got to see.
    pub(crate) fn received(&self, bytes: &[u8]) {
        self.received.lock().expect("no client panicked").extend_from_slice(bytes);
    }

    /// The audit log so far.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.data().join("audit.jsonl")).unwrap_or_default();
        // The last line may be half written.
        let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
        let parse = |line| serde_json::from_str(line).expect("an audit line is JSON");
        complete.lines().map(parse).collect()
    }

    /// The first audit line that `is_it`, as soon as it is written.
    pub(crate) fn audit_line(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually(&self.runtime, what, Duration::from_secs(10), || {
            found = self.audit().into_iter().find(&is_it);
            found.is_some()
        });
        found.expect("it was found")
    }

    pub(crate) fn metrics(&self) -> String {
        admin::ask(self.process.admin, "GET", "/metrics", None, "").body
    }

    /// Asks the admin listener as the operator.
    pub(crate) fn operator(&self, method: &str, path: &str, body: &str) -> AdminAnswer {
        let token = std::fs::read_to_string(self.data().join("operator.token"));
        let token = token.expect("the proxy made operator.token");
        admin::ask(self.process.admin, method, path, Some(token.trim()), body)
    }

    /// Where the control service listens.
    pub(crate) fn control_address(&self) -> std::net::SocketAddr {
        self.process.control.expect("the configuration has [control]")
    }

    /// Asks the control service as the operator.
    pub(crate) fn control(&self, (method, path): (&str, &str), body: &str) -> AdminAnswer {
        let token = std::fs::read_to_string(self.data().join("operator.token"));
        let token = token.expect("the proxy made operator.token");
        admin::ask(self.control_address(), method, path, Some(token.trim()), body)
    }

    /// A file of the data directory.
    pub(crate) fn data_file(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// policy.toml as it was at the start.
    pub(crate) fn policy(&self) -> &str {
        &self.policy
    }

    /// Replaces policy.toml and has it loaded.
    pub(crate) fn reload(&self, policy: &str) -> AdminAnswer {
        std::fs::write(self.data().join("policy.toml"), policy).expect("a writable directory");
        self.operator("POST", "/v1/reload", "{}")
    }
}

/// Variables that replace what a client trusts.
const BUNDLE_VARIABLES: [&str; 12] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "npm_config_cafile",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "NIX_SSL_CERT_FILE",
    "BUNDLE_SSL_CA_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
];

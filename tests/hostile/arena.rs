//! The real binary between hostile clients and hostile upstreams: configuration, secrets, process.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;

use super::client::{Client, Tls};
use super::tail::Tail;
use super::{Canary, Process, sallygate};

/// The sandbox that everything is asked by, unless a case says otherwise.
pub(crate) const SANDBOX: &str = "sbx_a";

/// A target of config.toml.
#[derive(Default)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) base_url: String,
    pub(crate) address: Option<SocketAddr>,
    /// The CA that its certificate must chain to, in PEM.
    pub(crate) ca: String,
    /// A bearer credential; then `routes` are those of its binding.
    pub(crate) secret: Option<Canary>,
    /// The credential comes in the place of its placeholder, which is in this variable.
    pub(crate) placeholder: Option<&'static str>,
    /// TOML inline tables.
    pub(crate) routes: String,
    /// More lines of the target's table.
    pub(crate) extra: String,
    /// The ranges that it may use although they are refused by default; all of loopback when empty.
    pub(crate) ranges: &'static [&'static str],
}

impl Target {
    /// `https://<name>.test` at `address`, with a credential and these routes.
    pub(crate) fn bound(name: &'static str, address: SocketAddr, ca: &str, routes: &str) -> Self {
        Self {
            secret: Some(Canary::credential()),
            routes: routes.to_owned(),
            ..Self::open(name, address, ca)
        }
    }

    /// `https://<name>.test` at `address`, without a credential.
    pub(crate) fn open(name: &'static str, address: SocketAddr, ca: &str) -> Self {
        Self {
            name,
            base_url: format!("https://{name}.test"),
            address: Some(address),
            ca: ca.to_owned(),
            ..Self::default()
        }
    }
}

/// What to start.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) targets: Vec<Target>,
    /// Lines of `[limits]`.
    pub(crate) limits: String,
    /// More of config.toml and of policy.toml.
    pub(crate) config: String,
    pub(crate) policy: String,
    /// The environment of the proxy.
    pub(crate) variables: Vec<(String, String)>,
}

/// A sandbox's token; the bound one belongs to an address that no test has.
pub(crate) struct Token {
    pub(crate) sandbox: &'static str,
    pub(crate) secret: Canary,
    extra: &'static str,
}

/// A running proxy.
pub(crate) struct Arena {
    pub(crate) process: Process,
    pub(crate) tail: Tail,
    pub(crate) targets: Vec<Target>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) open_files: usize,
    pub(crate) memory_kib: u64,
    // After the process: fields are dropped in this order.
    directory: TempDir,
}

impl Arena {
    pub(crate) fn start(setup: Setup) -> Self {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let directory = TempDir::new().expect("a temporary directory");
        Self::start_in(directory, |_| setup)
    }

    /// As `start`, for setups that need to see the interception authority first.
    pub(crate) fn start_in(
        directory: TempDir,
        setup: impl FnOnce(&std::path::Path) -> Setup,
    ) -> Self {
        let at = |file: &str| directory.path().join(file);
        let made = sallygate().args(["ca", "init", "--dir"]).arg(directory.path()).output();
        let made = made.expect("the binary runs");
        assert!(made.status.success(), "ca init: {}", String::from_utf8_lossy(&made.stderr));
        let setup = setup(directory.path());
        let tokens = tokens();
        for target in &setup.targets {
            std::fs::write(at(&format!("{}-ca.pem", target.name)), &target.ca).expect("a file");
            if let Some(secret) = &target.secret {
                std::fs::write(at(&format!("{}.secret", target.name)), secret.value())
                    .expect("a file");
            }
        }
        std::fs::write(at("policy.toml"), policy(&setup, &tokens)).expect("a file");
        std::fs::write(at("config.toml"), config(&setup)).expect("a file");
        let process = Process::start_with(&at("config.toml"), &setup.variables);
        let operator = std::fs::read_to_string(at("operator.token")).expect("an operator token");
        let tail = Tail::follow(process.admin, operator.trim());
        let (open_files, memory_kib) = (process.open_files(), process.memory_kib());
        let targets = setup.targets;
        Self { process, tail, targets, tokens, open_files, memory_kib, directory }
    }

    /// What a sandbox is given in this variable.
    pub(crate) fn given(&self, sandbox: &str, variable: &str) -> String {
        let mut env = sallygate();
        env.args(["env", "--format", "json", "--sandbox", sandbox, "--token-file", "-", "--dir"]);
        env.arg(self.directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = env.spawn().expect("the binary runs");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(self.token(sandbox).value().as_bytes()).expect("it reads");
        drop(input);
        let output = child.wait_with_output().expect("the binary runs");
        let env: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        env[variable].as_str().expect("the variable is set").to_owned()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn token(&self, sandbox: &str) -> &Canary {
        let found = self.tokens.iter().find(|token| token.sandbox == sandbox);
        &found.expect("one of the sandboxes").secret
    }

    /// `Proxy-Authorization: Basic …` as a whole line.
    pub(crate) fn auth(&self, sandbox: &str) -> String {
        format!("Proxy-Authorization: Basic {}\r\n", self.basic(sandbox))
    }

    pub(crate) fn basic(&self, sandbox: &str) -> String {
        STANDARD.encode(format!("{sandbox}:{}", self.token(sandbox).value()))
    }

    /// What policy.toml holds of a token.
    pub(crate) fn token_hash(&self, sandbox: &str) -> String {
        hash(self.token(sandbox))
    }

    /// The credential of a target.
    pub(crate) fn secret(&self, target: &str) -> &Canary {
        let found = self.targets.iter().find(|candidate| candidate.name == target);
        found.and_then(|target| target.secret.as_ref()).expect("a target with a credential")
    }

    /// TLS that trusts the interception authority.
    pub(crate) fn tls(&self, name: &str, alpn: &[&str]) -> Tls {
        Tls::new(&self.file("ca.pem"), name, alpn)
    }

    /// A client inside an intercepted tunnel to `https://<host>`.
    pub(crate) fn inside(&self, host: &str, alpn: &str) -> Client {
        let mut client = Client::connect(self.process.proxy);
        let opened = client.open_tunnel(&format!("{host}:443"), &self.auth(SANDBOX));
        assert!(opened.is_ok(), "no tunnel to {host}: {opened:?}");
        client.into_tls(&self.tls(host, &[alpn])).expect("an intercepted tunnel")
    }

    /// One whole request to `https://<host><path>`: the status of the answer.
    pub(crate) fn fetch(&self, host: &str, path: &str) -> u16 {
        let mut client = self.inside(host, "http/1.1");
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        client.answer(false).map_or(0, |answer| answer.status)
    }

    pub(crate) fn metrics(&self) -> Vec<u8> {
        let mut admin = Client::connect(self.process.admin);
        let host = self.process.admin;
        admin.send(format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        admin.answer(false).expect("the admin listener answers").body
    }
}

fn tokens() -> Vec<Token> {
    let token = |sandbox, extra| Token { sandbox, secret: Canary::token(), extra };
    vec![
        token(SANDBOX, ""),
        token("sbx_b", ""),
        token("sbx_expired", "expires = \"2020-01-01T00:00:00Z\"\n"),
        token("sbx_bound", "sources = [\"10.9.8.7/32\"]\n"),
    ]
}

fn config(setup: &Setup) -> String {
    let mut toml = String::from(
        "[proxy]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [audit]\nraw_path = true\n[log]\nlevel = \"trace\"\n",
    );
    write!(toml, "[limits]\n{}\n", setup.limits).expect("writing to a string");
    for target in &setup.targets {
        let Target { name, base_url, extra, .. } = target;
        let inject = match (&target.secret, target.placeholder) {
            (None, _) => "inject = \"none\"".to_owned(),
            (Some(_), None) => "inject = \"bearer\"".to_owned(),
            (Some(_), Some(variable)) => format!(
                "inject = \"placeholder\"\nplaceholder = \"ghp_{{alphanumeric:36}}\"\n\
                 placeholder_env = [\"{variable}\"]"
            ),
        };
        let ranges = if target.ranges.is_empty() { &["127.0.0.0/8"] } else { target.ranges };
        write!(
            toml,
            "[targets.{name}]\ndefinition = \"generic::http-api\"\nbase_url = \"{base_url}\"\n\
             {inject}\nallow_ranges = {ranges:?}\n{extra}\n"
        )
        .expect("writing to a string");
        if let Some(address) = target.address {
            writeln!(toml, "addresses = [\"{address}\"]").expect("writing to a string");
        }
        if !target.ca.is_empty() {
            writeln!(toml, "ca_file = \"{name}-ca.pem\"").expect("writing to a string");
        }
        if target.secret.is_some() {
            write!(
                toml,
                "[connections.{name}]\ntarget = \"{name}\"\nvalue_file = \"{name}.secret\"\n"
            )
            .expect("writing to a string");
        }
    }
    toml + &setup.config
}

fn policy(setup: &Setup, tokens: &[Token]) -> String {
    let mut toml = String::from("version = 1\n[profiles.web]\nunmatched = \"deny\"\n");
    for target in setup.targets.iter().filter(|target| target.secret.is_some()) {
        write!(
            toml,
            "[[profiles.web.bindings]]\nid = \"ibd_{0}\"\nconnection = \"{0}\"\nroutes = [\n{1}\n]\n",
            target.name, target.routes
        )
        .expect("writing to a string");
    }
    toml.push_str(&setup.policy);
    for Token { sandbox, secret, extra } in tokens {
        let hash = hash(secret);
        write!(
            toml,
            "\n[[sandboxes]]\nid = \"{sandbox}\"\nprofile = \"web\"\ntoken_sha256 = \"{hash}\"\n{extra}"
        )
        .expect("writing to a string");
    }
    toml
}

fn hash(token: &Canary) -> String {
    let hash = digest::digest(&digest::SHA256, token.value().as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

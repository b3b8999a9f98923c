//! Real TLS servers on loopback, each with one host name, that record what they see and serve only
//! requests which carry exactly the credential that the proxy was given for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::answers::{self, Answers};
use super::body::{Answer, json};
use super::canary::Canary;
use super::seen::{Record, Seen, sha256};
use super::tls::Leaf;
use super::{aws_server, endpoints, git_server, grpc_server, index, openai};

/// How the proxy must present the credential.
#[derive(Debug, Clone)]
pub(crate) enum Inject {
    None,
    Bearer,
    Basic {
        username: String,
    },
    Header(String),
    /// A header that says `token <value>`.
    Token(String),
    Query(String),
    Cookie(String),
    /// The first segment of the path.
    Path,
    /// Wherever the client puts its placeholder: what was seen is for the test to judge.
    Placeholder,
    /// Basic for git, bearer below `/api/`.
    GitHub,
    /// Signature Version 4, which the server itself checks.
    Aws,
}

/// What an upstream serves.
#[derive(Debug, Clone)]
pub(crate) enum Service {
    /// Echo, downloads, uploads, streams, WebSocket: see `endpoints.rs`.
    Http,
    /// OpenAI's API: see `openai.rs`.
    OpenAi,
    /// The bare repositories below this directory.
    Git(PathBuf),
    /// The same, and an echo below `/api/`.
    GitHub(PathBuf),
    /// A `PyPI` "simple" index and an npm registry of the files in this directory.
    Packages(PathBuf),
    /// A grpcio server, `tests/clients/grpc_server.py`.
    Grpc,
    /// What is written down.
    Answers(Answers),
    /// The named service of AWS in `eu-west-1`, `tests/clients/aws_server.py`.
    Aws(&'static str),
}

/// An upstream to be started, at `https://<name>.test`.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) inject: Inject,
    pub(crate) base_path: String,
    /// What the connection says besides its target.
    pub(crate) connection: String,
    host: Option<&'static str>,
    target: Option<&'static str>,
    service: Service,
    alpn: Vec<&'static str>,
}

impl Upstream {
    pub(crate) fn new(name: &str, service: Service) -> Self {
        Self {
            name: name.to_owned(),
            inject: Inject::Bearer,
            base_path: String::new(),
            connection: format!("value_file = \"secrets/{name}\""),
            host: None,
            target: None,
            service,
            alpn: vec!["h2", "http/1.1"],
        }
    }

    pub(crate) fn inject(mut self, inject: Inject) -> Self {
        self.inject = inject;
        self
    }

    /// The path of the target's base URL: `/v1`.
    pub(crate) fn base_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.base_path);
        self
    }

    /// Another host than `<name>.test`.
    pub(crate) fn at(mut self, host: &'static str) -> Self {
        self.host = Some(host);
        self
    }

    /// The target in its own words: its definition and its configuration.
    pub(crate) fn target(mut self, toml: &'static str) -> Self {
        self.target = Some(toml);
        self
    }

    /// The connection in its own words: its credentials.
    pub(crate) fn connection(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.connection);
        self
    }

    pub(crate) fn target_toml(&self) -> String {
        if let Some(own) = self.target {
            return own.to_owned();
        }
        let inject = match &self.inject {
            Inject::None | Inject::Aws => "inject = \"none\"".to_owned(),
            Inject::Bearer | Inject::GitHub => "inject = \"bearer\"".to_owned(),
            Inject::Basic { username } => {
                format!("inject = \"basic\"\nusername = \"{username}\"")
            }
            Inject::Header(header) => format!("inject = \"header\"\nheader = \"{header}\""),
            Inject::Token(header) => {
                format!(
                    "inject = \"header\"\nheader = \"{header}\"\ntemplate = \"token {{value}}\""
                )
            }
            Inject::Query(name) => format!("inject = \"query\"\nparameter = \"{name}\""),
            Inject::Cookie(name) => format!("inject = \"cookie\"\ncookie = \"{name}\""),
            Inject::Path => "inject = \"path\"".to_owned(),
            Inject::Placeholder => "inject = \"placeholder\"".to_owned(),
        };
        format!(
            "definition = \"generic::http-api\"\nbase_url = \"https://{}{}\"\n{inject}",
            self.host(),
            self.base_path
        )
    }

    /// Offers these protocols only; none at all is what a server without ALPN does.
    pub(crate) fn alpn(mut self, protocols: &[&'static str]) -> Self {
        self.alpn = protocols.to_vec();
        self
    }

    pub(crate) fn host(&self) -> String {
        self.host.map_or_else(|| format!("{}.test", self.name), str::to_owned)
    }

    pub(crate) async fn start(self, leaf: &Leaf, directory: &std::path::Path) -> RunningUpstream {
        let state = Arc::new(State {
            canary: Canary::credential(),
            host: self.host(),
            record: Record::default(),
            gate: Semaphore::new(0),
            inject: self.inject.clone(),
            service: self.service.clone(),
        });
        let (address, server) = match self.service {
            Service::Grpc => grpc_server::start(Arc::clone(&state), leaf, directory).await,
            Service::Aws(service) => {
                aws_server::start((Arc::clone(&state), service), leaf, directory).await
            }
            Service::Http
            | Service::OpenAi
            | Service::Git(_)
            | Service::GitHub(_)
            | Service::Packages(_)
            | Service::Answers(_) => {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
                let address = listener.local_addr().expect("a bound address");
                let acceptor = TlsAcceptor::from(leaf.server_config(&self.alpn));
                (address, tokio::spawn(accept(listener, acceptor, Arc::clone(&state))))
            }
        };
        RunningUpstream { plan: self, address, state, server }
    }
}

/// A listening upstream.
#[derive(Debug)]
pub(crate) struct RunningUpstream {
    pub(crate) plan: Upstream,
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl RunningUpstream {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.record.all()
    }

    /// Every request carried the credential, and nothing else in its place.
    #[track_caller]
    pub(crate) fn assert_always_authenticated(&self) {
        let seen = self.seen();
        assert!(!seen.is_empty(), "{} saw nothing", self.plan.host());
        let without = seen.iter().find(|seen| !self.state.authenticates(seen));
        assert!(without.is_none(), "without the credential: {without:?}");
    }

    pub(crate) fn canary(&self) -> &Canary {
        &self.state.canary
    }

    /// The credential as the proxy is given it.
    pub(crate) fn secret(&self) -> String {
        if matches!(self.plan.inject, Inject::Aws) {
            return aws_server::session(self.canary());
        }
        self.canary().value().to_owned()
    }

    /// Lets one waiting response go on by one part.
    pub(crate) fn open_gate(&self) {
        self.state.gate.add_permits(1);
    }

    /// Closes the listener and every connection.
    pub(crate) fn stop(&self) {
        self.server.abort();
    }
}

/// What all connections of an upstream share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) canary: Canary,
    pub(crate) host: String,
    pub(crate) record: Record,
    gate: Semaphore,
    inject: Inject,
    service: Service,
}

impl State {
    /// Waits until the test opens the gate, which it does when the part before has come through.
    pub(crate) async fn pass_gate(&self) {
        self.gate.acquire().await.expect("the gate is never taken away").forget();
    }

    /// Where a credential is expected, and the exact value there.
    pub(crate) fn expected_header(&self) -> Option<(String, String)> {
        let value = self.canary.value();
        match &self.inject {
            Inject::None
            | Inject::Query(_)
            | Inject::Cookie(_)
            | Inject::Path
            | Inject::Placeholder
            | Inject::GitHub
            | Inject::Aws => None,
            Inject::Bearer => Some(self.bearer()),
            Inject::Basic { username } => Some(self.basic(username)),
            Inject::Header(name) => Some((name.clone(), value.to_owned())),
            Inject::Token(name) => Some((name.clone(), format!("token {value}"))),
        }
    }

    fn bearer(&self) -> (String, String) {
        ("authorization".to_owned(), format!("Bearer {}", self.canary.value()))
    }

    fn basic(&self, username: &str) -> (String, String) {
        let encoded = STANDARD.encode(format!("{username}:{}", self.canary.value()));
        ("authorization".to_owned(), format!("Basic {encoded}"))
    }

    /// The one place of a request's header that `authenticates` looks at.
    fn wanted_header(&self, seen: &Seen) -> Option<(String, String)> {
        match &self.inject {
            Inject::GitHub if seen.path.starts_with("/api/") => Some(self.bearer()),
            Inject::GitHub => Some(self.basic("x-access-token")),
            Inject::Cookie(name) => {
                let cookies = ["a=1".to_owned(), format!("{name}={}", self.canary.value())];
                Some(("cookie".to_owned(), cookies.join("; ")))
            }
            Inject::None
            | Inject::Bearer
            | Inject::Basic { .. }
            | Inject::Header(_)
            | Inject::Token(_)
            | Inject::Query(_)
            | Inject::Path
            | Inject::Placeholder
            | Inject::Aws => self.expected_header(),
        }
    }

    /// True if the request carries the credential, once and nothing else in its place.
    pub(crate) fn authenticates(&self, seen: &Seen) -> bool {
        if let Some((name, value)) = self.wanted_header(seen) {
            let given: Vec<&str> = seen
                .headers
                .iter()
                .filter(|(key, _)| *key == name)
                .map(|(_, v)| v.as_str())
                .collect();
            return given == [value];
        }
        if matches!(self.inject, Inject::Aws) {
            return seen.problem.is_none();
        }
        if matches!(self.inject, Inject::Path) {
            let segment = seen.path.split('/').nth(1).unwrap_or_default();
            return percent_decode(segment) == self.canary.value().as_bytes();
        }
        if let Inject::Query(name) = &self.inject {
            let query = seen.path.split_once('?').map_or("", |(_, query)| query);
            let prefix = format!("{name}=");
            let given: Vec<&str> =
                query.split('&').filter_map(|pair| pair.strip_prefix(&prefix)).collect();
            return given.len() == 1 && percent_decode(given[0]) == self.canary.value().as_bytes();
        }
        true
    }

    /// `text` with the credential replaced by its digest: an upstream that echoes a secret would
    /// hand it to the sandbox, and the test is that the proxy does not.
    pub(crate) fn mask(&self, text: &str) -> String {
        match self.canary.trace_in(text.as_bytes()) {
            Some(_) => format!("sha256:{}", sha256(text.as_bytes())),
            None => text.to_owned(),
        }
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    stream.set_nodelay(true).ok();
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(request, state).await) }
    });
    // A connection that breaks is the peer's affair: what matters is in the record.
    if h2 {
        let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.adaptive_window(true).serve_connection(io, service).await.ok();
    } else {
        let http = hyper::server::conn::http1::Builder::new();
        http.serve_connection(io, service).with_upgrades().await.ok();
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Answer {
    let entry = state.record.open(&request);
    if !state.authenticates(&entry.seen()) {
        let problem = json!({ "error": { "message": "the upstream got no valid credential" } });
        let mut answer = json(StatusCode::UNAUTHORIZED, &problem);
        let challenge = "Basic realm=\"upstream\"".parse().expect("a header value");
        answer.headers_mut().insert("www-authenticate", challenge);
        return answer;
    }
    match state.service.clone() {
        Service::Http => endpoints::answer(request, entry, state).await,
        Service::OpenAi => openai::answer(request, entry, state).await,
        Service::GitHub(_) if request.uri().path().starts_with("/api/") => {
            endpoints::echo_any(request, entry, &state).await
        }
        Service::Git(root) | Service::GitHub(root) => {
            git_server::answer(request, entry, root).await
        }
        Service::Packages(root) => index::answer(&request, &state, &root),
        Service::Answers(answers) => answers::answer(request, entry, answers).await,
        Service::Grpc | Service::Aws(_) => unreachable!("served by another process"),
    }
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    std::iter::from_fn(|| {
        let byte = bytes.next()?;
        if byte != b'%' {
            return Some(byte);
        }
        let digits = [bytes.next()?, bytes.next()?];
        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
    })
    .collect()
}

//! The arena that the corpus is played in: the hosts, routes and listeners that its files name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

use super::arena::{Arena, SANDBOX, Setup, Target};
use super::corpus::File;
use super::dns::{Dns, Reply};
use super::pki::PrivateCa;
use super::untrusted::{self, Untrusted};
use super::upstream::{After, Answer, Upstream, ok, plain};

/// What the proxy is bound to send only there.
pub(crate) const HOST: &str = "alpha.test";

/// What another sandbox asks for behind every case. The upstream closes then, so that the next case
/// finds no connection that this one left behind.
pub(crate) const OTHERS: &str = "/r/others";

const ALPHA_ROUTES: &str = r#"
  { name = "read", methods = ["GET", "HEAD", "OPTIONS"], paths = ["/get", "/r/**", "/items/{id}"] },
  { name = "write", methods = ["POST", "PUT", "DELETE"], paths = ["/post"] },
  { name = "small", methods = ["POST"], paths = ["/small"], max_request_bytes = 100 },
  { name = "rare", methods = ["GET"], paths = ["/rare"], requests_per_minute = 1 },
  { name = "projects", methods = ["GET"], paths = ["/projects/{id}/branches"], allow_encoded_slash = true },
  { name = "empty", methods = ["GET"], paths = ["/empty/**"], allow_empty_segments = true },
  { name = "socket", methods = ["GET"], paths = ["/ws"] },
"#;

/// Addresses that belong to nobody (RFC 4193 §3.2.2 has them drawn at random).
const NOWHERE: &str = "fd5a:11a7:6a7e::/48";

const UNTRUSTED_ROUTES: &str = r#"{ name = "all", connect_ms = 1000 },"#;

const POLICY: &str = r#"
[[profiles.web.routes]]
name = "no-secrets"
action = "deny"
hosts = ["alpha.test"]
paths = ["/items/secret", "/r/admin/**"]
reason = "the administration is for people"
[[profiles.web.routes]]
name = "clear"
scheme = "http"
hosts = ["clear.test"]
target = "clear"
[[profiles.web.routes]]
name = "one-label"
hosts = ["*.wild.test"]
target = "wild"
[[profiles.web.routes]]
name = "many-labels"
hosts = ["**.deep.wild.test"]
target = "wild"
[[profiles.web.routes]]
name = "pass"
action = "tunnel"
hosts = ["tunnel.test"]
target = "tunnel"
[[profiles.web.routes]]
name = "resolved"
hosts = ["**.ssrf.test", "*.internal", "*.localhost", "printer.local"]
ports = [443, PORT]
connect_ms = 500
[[profiles.web.routes]]
name = "literals"
hosts = ["127.0.0.1", "169.254.169.254"]
ports = [443, PORT]
connect_ms = 500
[[profiles.web.routes]]
name = "pass-resolved"
action = "tunnel"
hosts = ["*.pass.test"]
ports = [PORT]
connect_ms = 500
[[profiles.web.routes]]
name = "allowed-range"
hosts = ["**.rebind.test"]
ports = [PORT]
target = "rebind"
connect_ms = 500
"#;

/// Deadlines that a test can wait for. The idle time stays as it is, longer than a test waits: no
/// connection may end for being idle that ought to be ended for what it says.
const LIMITS: &str = "head_ms = 1000\nhandshake_ms = 1000\nbody_grace_ms = 1000\n\
                      h2_control_frames_max = 300\n";

/// Everything that runs while a file of the corpus is played.
pub(crate) struct Stage {
    pub(crate) arena: Arena,
    /// By the name of the target.
    pub(crate) upstreams: Vec<(&'static str, Upstream)>,
    /// Listens where no request may ever lead.
    pub(crate) decoy: Upstream,
    pub(crate) dns: Dns,
    scripts: Scripts,
    /// By sandbox: what it is given.
    dummies: Mutex<HashMap<String, String>>,
}

fn none(_: &PrivateCa, _: &PrivateCa) -> Vec<Untrusted> {
    Vec::new()
}

/// Raw answers of the upstream by the path that they are given for.
type Scripts = Arc<Mutex<HashMap<String, (Vec<u8>, After)>>>;

impl Stage {
    /// The stage that a file of the corpus is played on.
    pub(crate) fn of(file: &File) -> Self {
        Self::start_with(&file.limits, if file.untrusted { untrusted::upstreams } else { none })
    }

    pub(crate) fn start(limits: &str) -> Self {
        Self::start_with(limits, none)
    }

    fn start_with(limits: &str, more: fn(&PrivateCa, &PrivateCa) -> Vec<Untrusted>) -> Self {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let ca = PrivateCa::new();
        let scripts = Scripts::default();
        let decoy = Upstream::listen("127.0.0.1", None, ok());
        let port = decoy.address.port();
        let tls = |hosts: &[&str]| Upstream::tls(ca.server(hosts), scripted(&scripts));
        let alpha = tls(&["alpha.test"]);
        let beta = tls(&["beta.test"]);
        let swap = tls(&["swap.test"]);
        let wild = tls(&["*.wild.test", "*.deep.wild.test", "*.b.deep.wild.test"]);
        let tunnel = tls(&["tunnel.test"]);
        let clear = Upstream::listen("127.0.0.1", None, scripted(&scripts));
        // The same port as the decoy's on another address: what rebinding would swap.
        let twin = twin(&ca, port, scripted(&scripts));
        let dns = Dns::start(zone);
        let open = |name, upstream: &Upstream| Target::open(name, upstream.address, ca.pem());
        let mut targets = vec![
            Target {
                extra: "clear_headers = [\"x-api-key\"]\nclear_query = [\"access_token\"]".into(),
                ..Target::bound("alpha", alpha.address, ca.pem(), ALPHA_ROUTES)
            },
            Target::bound("beta", beta.address, ca.pem(), "{ name = \"all\" },"),
            Target {
                placeholder: Some("SWAP_TOKEN"),
                ..Target::bound("swap", swap.address, ca.pem(), "{ name = \"all\" },")
            },
            open("wild", &wild),
            open("tunnel", &tunnel),
            Target {
                base_url: "http://clear.test".into(),
                ca: String::new(),
                ..open("clear", &clear)
            },
            // 127.0.0.2 and nothing else of loopback, and a network that nobody is in.
            Target { address: None, ranges: &["127.0.0.2/32", NOWHERE], ..open("rebind", &wild) },
        ];
        let config = format!("[dns]\nservers = [\"{}\"]\n", dns.address);
        let mut upstreams = vec![
            ("alpha", alpha),
            ("beta", beta),
            ("swap", swap),
            ("wild", wild),
            ("tunnel", tunnel),
            ("clear", clear),
            ("rebind", twin),
        ];
        let directory = TempDir::new().expect("a temporary directory");
        let arena = Arena::start_in(directory, |data| {
            let read = |file: &str| std::fs::read_to_string(data.join(file)).expect("a file");
            let interception = PrivateCa::of(&read("ca.pem"), &read("ca-key.pem"));
            for Untrusted { name, host, ca: own, upstream } in more(&ca, &interception) {
                let trusted = own.as_deref().unwrap_or(ca.pem());
                targets.push(Target {
                    base_url: format!("https://{host}"),
                    ..Target::bound(name, upstream.address, trusted, UNTRUSTED_ROUTES)
                });
                upstreams.push((name, upstream));
            }
            let policy = POLICY.replace("PORT", &port.to_string());
            let limits = format!("{LIMITS}{limits}");
            Setup { targets, limits, config, policy, ..Setup::default() }
        });
        let stage = Self { arena, upstreams, decoy, dns, scripts, dummies: Mutex::default() };
        let own = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Upstream: yes\r\n\r\nok\n";
        stage.script(OTHERS, own.into(), After::Close);
        stage
    }

    /// Has the upstreams answer `path` with these bytes.
    pub(crate) fn script(&self, path: &str, answer: Vec<u8>, after: After) {
        self.scripts.lock().expect("no upstream panicked").insert(path.to_owned(), (answer, after));
    }

    /// The value of a placeholder in a case.
    pub(crate) fn placeholder(&self, name: &str) -> Option<String> {
        let arena = &self.arena;
        Some(match name {
            "auth" => arena.auth(SANDBOX),
            "host" => HOST.to_owned(),
            "port" => self.decoy.address.port().to_string(),
            "proxy" => arena.process.proxy.to_string(),
            "proxy port" => arena.process.proxy.port().to_string(),
            "admin" => arena.process.admin.to_string(),
            "admin port" => arena.process.admin.port().to_string(),
            _ => match name.split_once(' ')? {
                ("auth", sandbox) => arena.auth(sandbox),
                ("basic", sandbox) => arena.basic(sandbox),
                ("token", sandbox) => arena.token(sandbox).value().to_owned(),
                ("swapped", sandbox) => encoded(SANDBOX, arena.token(sandbox).value()),
                ("twice", sandbox) => {
                    encoded(arena.token(sandbox).value(), arena.token(sandbox).value())
                }
                ("short", sandbox) => {
                    let mut token = arena.token(sandbox).value().to_owned();
                    token.pop();
                    token
                }
                ("hash", sandbox) => arena.token_hash(sandbox),
                (dummy, sandbox) if dummy.starts_with("dummy") => self.dummy(dummy, sandbox)?,
                ("secret-percent", target) => percent_encoded(arena.secret(target).value()),
                ("secret-basic", target) => encoded("sally", arena.secret(target).value()),
                ("secret", target) => arena.secret(target).value().to_owned(),
                ("name", address) => name_of(address.parse().ok()?),
                _ => return None,
            },
        })
    }
}

impl Stage {
    /// The placeholder of a sandbox, in a spelling.
    fn dummy(&self, spelling: &str, sandbox: &str) -> Option<String> {
        let given = || self.arena.given(sandbox, "SWAP_TOKEN");
        let mut dummies = self.dummies.lock().expect("no case panicked");
        let dummy = dummies.entry(sandbox.to_owned()).or_insert_with(given);
        let (front, back) = dummy.split_at(9);
        Some(match spelling {
            "dummy" => dummy.clone(),
            "dummy-basic" => encoded("sally", dummy),
            "dummy-percent" => dummy.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            "dummy-json" => dummy.bytes().map(|byte| format!("\\\\u{byte:04x}")).collect(),
            "dummy-label" => dummy.replace('_', "-"),
            "dummy-front" => front.to_owned(),
            "dummy-back" => back.to_owned(),
            "dummy-rest" => dummy.split_at(4).1.to_owned(),
            _ => return None,
        })
    }
}

/// As it stands in a query.
fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

fn encoded(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

/// Answers as the scripts say, and 200 where they say nothing.
fn scripted(scripts: &Scripts) -> Answer {
    let scripts = Arc::clone(scripts);
    Arc::new(move |connection, request| {
        let script = scripts.lock().expect("no case panicked").get(&request.path()).cloned();
        match script {
            None => plain(connection, request),
            Some((answer, after)) => {
                connection.send(&answer);
                after
            }
        }
    })
}

/// A TLS upstream at 127.0.0.2 with this port.
fn twin(ca: &PrivateCa, port: u16, answer: Answer) -> Upstream {
    let address = SocketAddr::from(([127, 0, 0, 2], port));
    Upstream::listen_at(address, Some(ca.server(&["*.rebind.test"])), answer)
}

/// A name that resolves to `address`: the address in hexadecimal.
fn name_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("a{:08x}.ssrf.test", u32::from(v4)),
        IpAddr::V6(v6) => format!("b{:032x}.ssrf.test", u128::from(v6)),
    }
}

/// What the name server says: loopback for all that it does not know, as a hostile one would.
fn zone(name: &str, times: usize) -> Reply {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let allowed = IpAddr::from([127, 0, 0, 2]);
    let nowhere = IpAddr::from([0xfd5a, 0x11a7, 0x6a7e, 0, 0, 0, 0, 1]);
    let first = name.split('.').next().unwrap_or_default();
    match first {
        "missing" => return Reply::NoSuchName,
        "broken" => return Reply::ServFail,
        "alias" => return Reply::Alias("internal.corp.test".into(), vec![loopback]),
        "circle" => return Reply::Alias(name.to_owned(), Vec::new()),
        "mixed" => return Reply::Addresses(vec![allowed, loopback]),
        "steady" => return Reply::Addresses(vec![allowed]),
        "turning" | "closing" if times == 0 => return Reply::Addresses(vec![allowed]),
        "dying" if times < 2 => return Reply::Addresses(vec![allowed]),
        "both" => return Reply::Addresses(vec![nowhere, allowed]),
        "nowhere" => return Reply::Addresses(vec![nowhere]),
        _ => {}
    }
    let v4 = first.strip_prefix('a').filter(|digits| digits.len() == 8);
    let v6 = first.strip_prefix('b').filter(|digits| digits.len() == 32);
    let address = match (v4, v6) {
        (Some(digits), _) => {
            u32::from_str_radix(digits, 16).ok().map(|bits| Ipv4Addr::from(bits).into())
        }
        (_, Some(digits)) => {
            u128::from_str_radix(digits, 16).ok().map(|bits| Ipv6Addr::from(bits).into())
        }
        _ => None,
    };
    Reply::Addresses(vec![address.unwrap_or(loopback)])
}

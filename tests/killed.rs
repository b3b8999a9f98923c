//! The control service as a process that is killed (SIGKILL) while calls of a provider come in and
//! versions are published: what was acknowledged is there afterwards, once, and nothing is half there.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use sallygate_control::clock::wall_ms;
use sallygate_control::domain::audit;
use sallygate_control::store::{Access, Location, Store};
use sallygate_control::webhook::queue::LEASE_MS;
use serde_json::{Value, json};

const SECRET: &[u8] = b"the-secret-of-the-hook";
const SENDERS: usize = 4;
/// Calls that are accepted before each of the kills.
const BEFORE_KILL: [usize; 3] = [5, 40, 120];
const PROFILES: &str = "/v1/sandbox/profiles";
const CALLS: &str = "/v1/integration/webhooks/events";

/// A running `sallygate control`.
struct Service {
    child: Child,
    address: SocketAddr,
    token: String,
}

impl Service {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
        command.env_clear().args(["control", "--config"]).arg(dir.join("config.toml"));
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.expect("a file"));
        let mut child = command.spawn().expect("the binary runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the line that says that it serves");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("{}", std::fs::read_to_string(dir.join("log")).unwrap_or_default())
        });
        let address = ready["control"].as_str().expect("an address").parse().expect("an address");
        let token = std::fs::read_to_string(dir.join("operator.token")).expect("a token");
        Self { child, address, token: token.trim().to_owned() }
    }

    /// Its status and body; `None`: it was killed meanwhile.
    fn send(&self, request: (&str, &str), headers: &str, body: &str) -> Option<(u16, Value)> {
        let (method, path) = request;
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    fn ask(&self, request: (&str, &str), body: Value) -> Option<(u16, Value)> {
        let bearer = format!("Authorization: Bearer {}\r\n", self.token);
        self.send(request, &bearer, &body.to_string())
    }

    #[track_caller]
    fn expect(&self, request: (&str, &str), body: Value, expected: u16) -> Value {
        let (status, answer) = self.ask(request, body).expect("it answers");
        assert_eq!(status, expected, "{request:?}: {answer}");
        answer
    }

    /// A call of the provider, with this id.
    fn call(&self, connection: &str, id: &str) -> Option<u16> {
        let body =
            json!({ "ref": "refs/heads/main", "repository": { "full_name": "o/r" }, "id": id });
        let body = body.to_string();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
        let tag = aws_lc_rs::hmac::sign(&key, body.as_bytes());
        let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = format!(
            "X-Gitea-Event: push\r\nX-Gitea-Delivery: {id}\r\nX-Gitea-Signature: {signature}\r\n"
        );
        let path = format!("/p/integration/webhooks/git/{connection}");
        self.send(("POST", &path), &headers, &body).map(|(status, _)| status)
    }

    /// Every event, by the id that the provider gave it: how often it is there, and whether all of
    /// them were processed.
    fn events(&self) -> (BTreeMap<String, usize>, bool) {
        let (mut found, mut processed) = (BTreeMap::new(), true);
        let mut next = format!("{CALLS}?limit=200");
        loop {
            let page = self.expect(("GET", &next), Value::Null, 200);
            for event in page["items"].as_array().expect("items") {
                let id = event["externalDeliveryId"].as_str().expect("an id").to_owned();
                *found.entry(id).or_default() += 1;
                processed &= event["processedAt"].is_string();
            }
            match page["nextCursor"].as_str() {
                Some(cursor) => next = format!("{CALLS}?limit=200&cursor={cursor}"),
                None => return (found, processed),
            }
        }
    }

    /// SIGKILL: nothing in the process can do anything about it.
    fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ended");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value}")).to_owned()
}

/// A connection to a provider, and a profile; their ids.
fn prepare(service: &Service) -> (String, String) {
    let target = json!({
        "definition": "gitea::gitea-default", "displayName": "Git",
        "config": { "baseUrl": "https://git.test" },
    });
    service.expect(("PUT", "/v1/integration/targets/git"), target, 200);
    let secrets = json!({ "token": "t", "webhookSecret": String::from_utf8_lossy(SECRET) });
    let form = json!({ "displayName": "C", "method": "token", "secrets": secrets });
    let made = service.expect(("POST", "/v1/integration/connections/git/form"), form, 201);
    let profile = service.expect(("POST", PROFILES), json!({ "name": "web" }), 201);
    let action = json!({ "type": "deliverToSandbox", "profileId": text(&profile, "id") });
    let trigger = json!({ "displayName": "R", "rule": { "action": action } });
    service.expect(("POST", "/v1/integration/webhooks/triggers"), trigger, 201);
    (text(&made, "id"), text(&profile, "id"))
}

/// What the outside knows.
#[derive(Default)]
struct Known {
    accepted: Mutex<BTreeSet<String>>,
    /// More was accepted.
    grown: Condvar,
    /// Sent, and never answered.
    unanswered: Mutex<BTreeSet<String>>,
    /// The newest version that was said to be in force.
    published: AtomicUsize,
}

impl Known {
    /// Until so many calls were accepted.
    fn wait_for(&self, count: usize) {
        let accepted = self.accepted.lock().expect("a lock");
        drop(self.grown.wait_while(accepted, |accepted| accepted.len() < count).expect("a lock"));
    }

    /// Sends until there is nobody any more.
    fn send_calls(&self, service: &Service, (connection, sender): (&str, String)) {
        for number in 0.. {
            let id = format!("{sender}-{number}");
            match service.call(connection, &id) {
                Some(202) => {
                    self.accepted.lock().expect("a lock").insert(id);
                    self.grown.notify_all();
                }
                // Too much at once: it was told so, and nothing was kept.
                Some(503) => {}
                Some(status) => panic!("{id}: {status}"),
                None => {
                    self.unanswered.lock().expect("a lock").insert(id);
                    return;
                }
            }
        }
    }

    /// Writes and publishes versions until there is nobody any more.
    fn publish_versions(&self, service: &Service, profile: &str) {
        for number in 0.. {
            let hosts = json!([format!("h{number}.test")]);
            let route = json!({ "name": "r", "match": { "hosts": hosts, "paths": ["/"] } });
            let version = json!({ "policy": { "routes": [route] } });
            let path = format!("{PROFILES}/{profile}");
            let written = service.ask(("POST", &format!("{path}/versions")), version);
            let Some((201, _)) = written else { return };
            match service.ask(("POST", &format!("{path}/publish")), json!({})) {
                Some((200, told)) => {
                    let version = told["version"].as_u64().expect("a version");
                    let version = usize::try_from(version).expect("a version");
                    self.published.store(version, Ordering::SeqCst);
                }
                // The database was busy: nothing of it happened.
                Some((503, _)) => {}
                Some((status, told)) => panic!("{status}: {told}"),
                None => return,
            }
        }
    }
}

fn check_profile(service: &Service, profile: &str, known: &Known) {
    let path = format!("{PROFILES}/{profile}");
    let found = service.expect(("GET", &path), Value::Null, 200);
    let number = |key: &str| found[key].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let (latest, published) = (number("latestVersion"), number("publishedVersion"));
    let said = known.published.load(Ordering::SeqCst);
    assert!(said <= published && published <= latest, "{said} was in force: {found}");
    let versions = service.expect(("GET", &format!("{path}/versions?limit=200")), Value::Null, 200);
    let versions = versions["items"].as_array().expect("items").len();
    assert_eq!(versions.min(200), latest.min(200), "no version is half there");
    if published > 0 {
        let version =
            service.expect(("GET", &format!("{path}/versions/{published}")), Value::Null, 200);
        assert_eq!(
            version["planDigest"], found["publishedDigest"],
            "the plan in force is that one's"
        );
    }
}

#[test]
fn a_killed_service_has_what_it_acknowledged_once_and_nothing_by_half() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("config.toml"), "[control]\nlisten = \"127.0.0.1:0\"\n")
        .expect("a file");
    let mut service = Service::start(dir.path());
    let (connection, profile) = prepare(&service);
    let known = Known::default();
    for (round, enough) in BEFORE_KILL.into_iter().enumerate() {
        let before = known.accepted.lock().expect("a lock").len();
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (known, service, connection) = (&known, &service, connection.as_str());
                scope.spawn(move || {
                    known.send_calls(service, (connection, format!("d-{round}-{sender}")));
                });
            }
            scope.spawn(|| known.publish_versions(&service, &profile));
            known.wait_for(before + enough);
            let id = i32::try_from(service.child.id()).expect("a process id");
            let id = rustix::process::Pid::from_raw(id).expect("a process id");
            rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("it is killed");
        });
        service.child.wait().expect("it ended");
        service = Service::start(dir.path());
        let accepted = known.accepted.lock().expect("a lock").clone();
        let (there, _) = service.events();
        let lost: Vec<_> = accepted.iter().filter(|id| !there.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} were acknowledged, and {lost:?} are gone", accepted.len());
        // What nobody answered is sent again by its provider, and is there once.
        for id in std::mem::take(&mut *known.unanswered.lock().expect("a lock")) {
            let status = service.call(&connection, &id);
            assert!(matches!(status, Some(200 | 202)), "{id}: {status:?}");
            known.accepted.lock().expect("a lock").insert(id);
        }
        check_profile(&service, &profile, &known);
    }
    // Whatever was under way is done in the end, without anybody asking.
    // What a killed worker had claimed is claimed again when its lease runs out.
    let deadline = wall_ms() + 2 * LEASE_MS;
    let there = loop {
        let (there, processed) = service.events();
        if processed {
            break there;
        }
        assert!(wall_ms() < deadline, "events are left");
    };
    let accepted = known.accepted.lock().expect("a lock").clone();
    assert_eq!(there.keys().cloned().collect::<BTreeSet<_>>(), accepted);
    assert!(there.values().all(|count| *count == 1), "nothing is doubled");
    service.kill();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let location = Location::Sqlite(dir.path().join("control.db"));
        let store = Store::open(&location, wall_ms()).await.expect("the database opens");
        let mut transaction = store.begin(Access::Read).await.expect("a transaction");
        let broken = audit::first_broken(&mut *transaction).await.expect("the chain is read");
        assert_eq!(broken, None, "the chain of the audit holds");
    });
}

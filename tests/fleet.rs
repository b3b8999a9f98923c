//! A proxy in a process of its own: let in, told, lent credentials; it serves while the control service
//! is killed, starts without it, and catches up when it is there again.

#![cfg(test)]

#[expect(dead_code, reason = "every test file uses its part of the client")]
mod raw;
#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use raw::{Caller, Raw};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use world::{Inject, Process, RunningWorld, Service, Upstream, World, eventually, sallygate};

/// What is no longer allowed ends within this, while proxies can be told.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);
/// A proxy that was without control connects again within five seconds.
const BACK_WITHIN: Duration = Duration::from_secs(20);

const PROFILES: &str = "/v1/sandbox/profiles";

/// A control service with a connection, and a profile in force that uses it.
struct Stage {
    world: RunningWorld,
    runtime: Runtime,
    connection: String,
    profile: String,
}

/// A proxy of its own.
struct Edge {
    home: PathBuf,
    control: String,
    process: Process,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value}")).to_owned()
}

/// Runs to its end on a thread and a runtime of its own.
fn beside<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| Runtime::new().expect("a runtime").block_on(future));
        running.join().expect("the client ends")
    })
}

fn stage() -> Stage {
    let world = World::new()
        .upstream(Upstream::new("api", Service::Http).inject(Inject::Bearer))
        .config("[control]\nlisten = \"127.0.0.1:0\"\n")
        .start();
    let (runtime, empty) = (Runtime::new().expect("a runtime"), String::new);
    let mut stage = Stage { world, runtime, connection: empty(), profile: empty() };
    stage.put_target();
    let secret = stage.world.upstream("api").canary().value().to_owned();
    let body = json!({ "displayName": "Mine", "secrets": { "value": secret } });
    let made = stage.ask(("POST", "/v1/integration/connections/the-api/form"), body, 201);
    stage.connection = text(&made, "id");
    stage.profile = text(&stage.ask(("POST", PROFILES), json!({ "name": "web" }), 201), "id");
    stage.write(&["/get"]);
    stage
}

impl Stage {
    #[track_caller]
    fn ask(&self, request: (&str, &str), body: Value, status: u16) -> Value {
        let answer = self.world.control(request, &body.to_string());
        assert_eq!(answer.status, status, "{request:?}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or(Value::Null)
    }

    fn put_target(&self) {
        let upstream = self.world.upstream("api");
        let ca = std::fs::read_to_string(self.world.data_file("upstream-ca.pem"));
        let body = json!({
            "definition": "generic::http-api",
            "displayName": "The API",
            "config": { "baseUrl": "https://api.test" },
            "options": {
                "inject": { "instead": { "kind": "bearer" } },
                "upstream": {
                    "caPem": ca.expect("the upstream's CA"),
                    "addresses": [upstream.address],
                    "allowRanges": ["127.0.0.0/8"],
                },
            },
        });
        self.ask(("PUT", "/v1/integration/targets/the-api"), body, 200);
    }

    fn write(&self, paths: &[&str]) {
        let route = json!({ "name": "read", "match": { "methods": ["GET"], "paths": paths } });
        let asking = json!({ "methods": ["GET"], "paths": ["/headers"] });
        let held = json!({ "name": "ask", "action": "hold", "match": asking });
        let routes = [route, held];
        let binding = json!({ "id": "api", "connectionId": self.connection, "routes": routes });
        let versions = format!("{PROFILES}/{}/versions", self.profile);
        self.ask(("POST", &versions), json!({ "bindings": [binding] }), 201);
    }

    fn publish(&self) -> Value {
        let path = format!("{PROFILES}/{}/publish?wait=20", self.profile);
        self.ask(("POST", &path), json!({}), 200)
    }

    /// Its id, and who it is for `edge`.
    fn sandbox(&self, edge: &Edge) -> (String, Caller) {
        let made = self.ask(("POST", "/v1/sandboxes"), json!({ "profileId": self.profile }), 201);
        let id = text(&made, "id");
        let caller = edge.caller(format!("{id}:{}", text(&made, "token")));
        let told = || edge.opens(&caller);
        eventually(&self.runtime, "the proxy knows the sandbox", REVOKED_WITHIN, told);
        (id, caller)
    }

    /// Runs a command about the control service's installation.
    fn command(&self, arguments: &[&str]) -> String {
        let output =
            sallygate().args(arguments).arg("--dir").arg(self.world.data_file("")).output();
        let output = output.expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Lets a proxy in, and starts it.
    fn edge(&self) -> Edge {
        let home = self.world.home().join("edge");
        std::fs::create_dir_all(&home).expect("a directory");
        let config = "[proxy]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n";
        std::fs::write(home.join("config.toml"), config).expect("a writable directory");
        std::fs::write(home.join("policy.toml"), "").expect("a writable directory");
        let token = home.join("token");
        std::fs::write(&token, self.command(&["fleet", "invite", "edge"])).expect("it is written");
        let control = format!("http://{}", self.world.control_address());
        let enroll = |token: &PathBuf| {
            let mut command = sallygate();
            command.args(["proxy", "enroll", "--control", &control, "--config"]);
            command.arg(home.join("config.toml")).arg("--token-file").arg(token);
            command.output().expect("the binary runs")
        };
        let output = enroll(&token);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let wrong = home.join("wrong");
        std::fs::write(&wrong, "sge_0").expect("it is written");
        assert_eq!(enroll(&wrong).status.code(), Some(6), "a wrong token");
        let process = Edge::run(&home, &control);
        Edge { home, control, process }
    }
}

impl Edge {
    fn run(home: &std::path::Path, control: &str) -> Process {
        Process::start_as(&home.join("config.toml"), &["--control", control], &[])
    }

    /// Kills it, and starts it again.
    fn restart(&mut self) {
        self.process.kill();
        self.process = Self::run(&self.home, &self.control);
    }

    fn caller(&self, identity: String) -> Caller {
        Caller { proxy: self.process.proxy, identity }
    }

    fn opens(&self, caller: &Caller) -> bool {
        let caller = self.caller(caller.identity.clone());
        beside(async {
            let mut raw = Raw::connect(&caller).await;
            raw.ask_tunnel(&caller, "api.test").await.starts_with("HTTP/1.1 200")
        })
    }

    /// The status of an answer to a request of this sandbox.
    fn get(&self, caller: &Caller, path: &str) -> u16 {
        self.answer(caller, path).0
    }

    fn answer(&self, caller: &Caller, path: &str) -> (u16, String) {
        let (caller, ca) = (self.caller(caller.identity.clone()), self.home.join("ca.pem"));
        beside(async {
            let mut raw = Raw::tunnel(&caller, "api.test", &ca).await;
            raw.get("api.test", path).await
        })
    }

    /// Asks for what is held, and gets the id of what waits.
    fn held(&self, caller: &Caller) -> String {
        let (status, body) = self.answer(caller, "/headers");
        let body: Value = serde_json::from_str(&body).expect("a problem document");
        assert_eq!((status, &body["code"]), (403, &json!("approval_pending")), "{body}");
        text(&body, "approvalId")
    }

    /// How an approval stands, as the proxy itself tells the sandbox.
    fn standing(&self, caller: &Caller, id: &str) -> Value {
        let caller = self.caller(caller.identity.clone());
        let body = beside(async {
            let mut raw = Raw::connect(&caller).await;
            let authorization = caller.authorization();
            raw.send(&format!(
                "GET http://sallygate.internal/v1/approvals/{id} HTTP/1.1\r\n\
                 Host: sallygate.internal\r\n{authorization}\r\n"
            ))
            .await;
            let head = raw.head().await;
            raw.body(&head).await
        });
        serde_json::from_str::<Value>(&body).expect("JSON")["standing"].clone()
    }
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The control service alone, where it was before.
fn control_again(stage: &Stage) -> Ends {
    let listen = stage.world.control_address().to_string();
    let mut command = sallygate();
    command.args(["control", "--listen", &listen, "--config"]);
    command.arg(stage.world.data_file("config.toml")).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().expect("the binary runs");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    assert!(line.contains("\"ready\":true"), "{line}");
    Ends(child)
}

#[test]
fn a_proxy_of_its_own_serves_whether_control_is_there_or_not() {
    let mut stage = stage();
    let mut edge = stage.edge();
    let listed = || stage.command(&["fleet", "list", "-o", "json"]);
    eventually(&stage.runtime, "it is live", BACK_WITHIN, || listed().contains("\"live\":true"));
    let published = stage.publish();
    assert_eq!(published["acknowledged"], true, "{published}");
    assert!(listed().contains(&text(&published, "planDigest")), "{}", listed());
    let (id, caller) = stage.sandbox(&edge);
    assert_eq!(edge.get(&caller, "/get"), 200, "the upstream takes nothing but the credential");
    assert_eq!(edge.get(&caller, "/other"), 403);
    // The control service is killed. The proxy goes on; and it starts again without it.
    stage.world.process().kill();
    assert_eq!(edge.get(&caller, "/get"), 200);
    edge.restart();
    assert_eq!(edge.get(&caller, "/get"), 200);
    assert_eq!(edge.get(&caller, "/other"), 403);
    let secret = stage.world.upstream("api").canary().value().as_bytes().to_owned();
    for file in std::fs::read_dir(edge.home.join("fleet")).expect("its files") {
        let path = file.expect("a file").path();
        let bytes = std::fs::read(&path).expect("its bytes");
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{path:?}");
    }
    // It is there again, with other news: the proxy hears of them by itself.
    let control = control_again(&stage);
    stage.write(&["/get", "/other"]);
    let path = format!("{PROFILES}/{}/publish", stage.profile);
    stage.ask(("POST", &path), json!({}), 200);
    eventually(&stage.runtime, "it has the new plan", BACK_WITHIN, || {
        edge.get(&caller, "/other") != 403
    });
    let published = stage.publish();
    assert_eq!(published["acknowledged"], true, "{published}");
    let revoke = format!("/v1/sandboxes/{id}/revoke");
    stage.ask(("POST", &revoke), json!({}), 200);
    let ended = || !edge.opens(&caller);
    eventually(&stage.runtime, "the sandbox has ended", REVOKED_WITHIN, ended);
    let (_, other) = stage.sandbox(&edge);
    assert_eq!(edge.get(&other, "/get"), 200);
    let revoke = format!("/v1/integration/connections/{}/revoke", stage.connection);
    stage.ask(("POST", &revoke), json!({}), 200);
    let taken = || edge.get(&other, "/get") == 503;
    eventually(&stage.runtime, "the credential is taken back", REVOKED_WITHIN, taken);
    // The proxy itself is let in no more, and keeps nothing for its next start.
    let proxies = stage.ask(("GET", "/v1/proxies"), json!({}), 200);
    let revoke = format!("/v1/proxies/{}/revoke", text(&proxies["items"][0], "id"));
    stage.ask(("POST", &revoke), json!({}), 200);
    let ended = || !edge.opens(&other);
    eventually(&stage.runtime, "the proxy has forgotten", REVOKED_WITHIN, ended);
    drop(control);
    edge.restart();
    assert!(!edge.opens(&other));
}

#[test]
fn a_request_that_a_proxy_of_its_own_holds_is_decided_in_control() {
    let mut stage = stage();
    let edge = stage.edge();
    stage.publish();
    let (_, caller) = stage.sandbox(&edge);
    let (_, other) = stage.sandbox(&edge);
    let first = edge.held(&caller);
    assert_eq!(edge.held(&caller), first, "the same request waits once");
    assert_ne!(edge.held(&other), first, "another sandbox's is another");
    assert_eq!(edge.standing(&caller, &first), "pending");
    assert_eq!(edge.standing(&other, &first), Value::Null, "another sandbox's is absent");
    for wrong in ["apr_0", "..", "%2e%2e", "claim", ""] {
        assert_eq!(edge.standing(&caller, wrong), Value::Null, "{wrong}");
    }
    // By the command line: what waits is there, and is decided there.
    let listed = stage.command(&["approval", "list", "--state", "pending"]);
    assert!(listed.contains(&first), "{listed}");
    let said = stage.command(&["approval", "approve", &first]);
    assert!(said.contains("approved_once"), "{said}");
    assert_eq!(edge.standing(&caller, &first), "approved_once");
    assert_eq!(edge.get(&caller, "/headers"), 200);
    assert_eq!(edge.standing(&caller, &first), "used");
    let second = edge.held(&caller);
    assert_ne!(second, first, "a yes for one request is used up");
    // Several at once; one that is decided already spoils them all.
    let theirs = edge.held(&other);
    let deny = |ids: &[&str]| {
        let mut command = sallygate();
        command.args(["approval", "deny"]).args(ids).arg("--dir").arg(stage.world.data_file(""));
        command.output().expect("the binary runs").status.code()
    };
    assert_eq!(deny(&[&second, &theirs, &first]), Some(1));
    assert_eq!(edge.standing(&caller, &second), "pending");
    assert_eq!(deny(&[&first]), Some(5), "what is decided stays decided");
    assert_eq!(deny(&["apr_0"]), Some(4));
    assert_eq!(deny(&[&second, &theirs]), Some(0));
    for caller in [&caller, &other] {
        let (status, body) = edge.answer(caller, "/headers");
        assert_eq!(status, 403);
        assert!(body.contains("approval_denied"), "{body}");
    }
    // For a time. While control is away nothing that is held passes, not even that.
    let (_, third) = stage.sandbox(&edge);
    let id = edge.held(&third);
    stage.command(&["approval", "approve", &id, "--for", "600"]);
    assert_eq!(edge.get(&third, "/headers"), 200);
    assert_eq!(edge.get(&third, "/headers"), 200);
    stage.world.process().kill();
    let (status, body) = edge.answer(&third, "/headers");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("approval_unavailable"), "{body}");
    assert_eq!(edge.get(&third, "/get"), 200, "what is not held goes on");
}

//! From an operator's token to an injected credential: the real binary, its API, its proxy, real
//! upstreams, on both databases. What is revoked ends within a second.

#![cfg(test)]

#[path = "../control/tests/world/postgres.rs"]
#[expect(dead_code, reason = "its other user takes it as a location")]
mod postgres;
#[expect(dead_code, reason = "every test file uses its part of the client")]
mod raw;
#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::path::PathBuf;
use std::time::Duration;

use raw::{Caller, Raw};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use world::{AdminAnswer, Inject, RunningWorld, Service, Upstream, World, eventually};

/// What is no longer allowed ends within this: a promise of the product, not a wish of the test.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

const CONNECTIONS: &str = "/v1/integration/connections";
const PROFILES: &str = "/v1/sandbox/profiles";

/// Where the control service keeps what it knows.
enum Database<'s> {
    Sqlite,
    Postgres,
    /// One that is stopped and started.
    Of(&'s postgres::Server),
}

/// A profile in force, with the credential that the upstream wants.
struct Stage {
    world: RunningWorld,
    runtime: Runtime,
    ca: PathBuf,
    connection: String,
    profile: String,
}

fn stage(database: Database<'_>) -> Stage {
    let mut world = World::new()
        .upstream(Upstream::new("api", Service::Http).inject(Inject::Bearer))
        .config("[control]\nlisten = \"127.0.0.1:0\"\n");
    let url = match database {
        Database::Sqlite => None,
        Database::Postgres => Some(postgres::database_url()),
        Database::Of(server) => Some(server.database_url()),
    };
    if let Some(url) = url {
        world = world.variable("DATABASE_URL", &url);
    }
    let world = world.start();
    let runtime = Runtime::new().expect("a runtime");
    let ca = world.ca_pem();
    let empty = String::new;
    let mut stage = Stage { world, runtime, ca, connection: empty(), profile: empty() };
    stage.put_target();
    let secret = stage.world.upstream("api").canary().value().to_owned();
    stage.connection = stage.connect(&secret);
    let profile = stage.ask(("POST", PROFILES), json!({ "name": "web" }), 201);
    stage.profile = text(&profile, "id");
    stage.publish();
    stage
}

/// Runs to its end on a thread and a runtime of its own: also where one runs already.
fn beside<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| Runtime::new().expect("a runtime").block_on(future));
        running.join().expect("the client ends")
    })
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value}")).to_owned()
}

fn json_of(answer: &AdminAnswer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or(Value::Null)
}

impl Stage {
    #[track_caller]
    fn ask(&self, request: (&str, &str), body: Value, status: u16) -> Value {
        let answer = self.world.control(request, &body.to_string());
        assert_eq!(answer.status, status, "{request:?}: {}", answer.body);
        json_of(&answer)
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

    fn connect(&self, secret: &str) -> String {
        let body = json!({ "displayName": "Mine", "secrets": { "value": secret } });
        let made = self.ask(("POST", &format!("{CONNECTIONS}/the-api/form")), body, 201);
        text(&made, "id")
    }

    /// Writes a version that reads with the credential, and waits until the proxy serves it.
    fn publish(&self) {
        let paths = json!(["/get", "/sse"]);
        let matching = json!({ "methods": ["GET"], "paths": paths });
        let route = json!({ "name": "read", "match": matching });
        let asking = json!({ "methods": ["GET"], "paths": ["/headers"] });
        let held = json!({ "name": "ask", "action": "hold", "match": asking });
        let routes = [route, held];
        let binding = json!({ "id": "api", "connectionId": self.connection, "routes": routes });
        let versions = format!("{PROFILES}/{}/versions", self.profile);
        self.ask(("POST", &versions), json!({ "bindings": [binding] }), 201);
        let path = format!("{PROFILES}/{}/publish?wait=20", self.profile);
        let published = self.ask(("POST", &path), json!({}), 200);
        assert_eq!(published["acknowledged"], true, "{published}");
    }

    /// A new sandbox: its id, and who it is for the proxy.
    fn sandbox(&self) -> (String, Caller) {
        let made = self.ask(("POST", "/v1/sandboxes"), json!({ "profileId": self.profile }), 201);
        let (id, token) = (text(&made, "id"), text(&made, "token"));
        let proxy = Caller::from_url(&self.world.proxy_url()).proxy;
        let caller = Caller { proxy, identity: format!("{id}:{token}") };
        eventually(&self.runtime, "the proxy knows the sandbox", Duration::from_secs(10), || {
            self.world.metrics().contains("sallygate_") && self.opens(&caller)
        });
        (id, caller)
    }

    fn opens(&self, caller: &Caller) -> bool {
        beside(async {
            let mut raw = Raw::connect(caller).await;
            raw.ask_tunnel(caller, "api.test").await.starts_with("HTTP/1.1 200")
        })
    }

    fn get(&self, caller: &Caller) -> (u16, String) {
        self.get_at(caller, "/get")
    }

    fn get_at(&self, caller: &Caller, path: &str) -> (u16, String) {
        beside(async {
            let mut raw = Raw::tunnel(caller, "api.test", &self.ca).await;
            raw.get("api.test", path).await
        })
    }

    /// Asks for what is held, and gets the id of what waits.
    fn held(&self, caller: &Caller) -> String {
        let (status, body) = self.get_at(caller, "/headers");
        assert_eq!(status, 403, "{body}");
        let body: Value = serde_json::from_str(&body).expect("a problem document");
        assert_eq!(body["code"], "approval_pending", "{body}");
        text(&body, "approvalId")
    }

    /// Waits on one connection until the answer has this status.
    async fn becomes(&self, raw: &mut Raw, status: u16) {
        let watching = async {
            while raw.get("api.test", "/get").await.0 != status {
                tokio::task::yield_now().await;
            }
        };
        let within = tokio::time::timeout(REVOKED_WITHIN, watching).await;
        assert!(within.is_ok(), "the answer is not {status} within {REVOKED_WITHIN:?}");
    }
}

fn a_held_request_passes_once_when_somebody_says_so(database: Database<'_>) {
    let stage = stage(database);
    let (_, caller) = stage.sandbox();
    let (_, other) = stage.sandbox();
    let first = stage.held(&caller);
    assert_eq!(stage.held(&caller), first, "the same request waits once");
    assert_ne!(stage.held(&other), first, "another sandbox's is another");
    let decide = |id: &str, body: Value| {
        stage.ask(("POST", &format!("/v1/approvals/{id}/decision")), body, 200)
    };
    decide(&first, json!({ "decision": "approve" }));
    stage.ask(
        ("POST", &format!("/v1/approvals/{first}/decision")),
        json!({ "decision": "deny" }),
        409,
    );
    assert_eq!(stage.get_at(&caller, "/headers").0, 200);
    let second = stage.held(&caller);
    assert_ne!(second, first);
    decide(&second, json!({ "decision": "deny" }));
    let (status, body) = stage.get_at(&caller, "/headers");
    assert_eq!(status, 403);
    assert!(body.contains("approval_denied"), "{body}");
    stage.held(&other);
    let used = stage.ask(("GET", "/v1/approvals?state=used"), Value::Null, 200);
    assert_eq!(used["items"].as_array().map(Vec::len), Some(1), "{used}");
    stage.world.check_invariants();
}

#[test]
fn a_held_request_passes_once_when_somebody_says_so_on_sqlite() {
    a_held_request_passes_once_when_somebody_says_so(Database::Sqlite);
}

#[test]
fn a_held_request_passes_once_when_somebody_says_so_on_postgresql() {
    a_held_request_passes_once_when_somebody_says_so(Database::Postgres);
}

fn a_user_goes_the_whole_way(database: Database<'_>) {
    let stage = stage(database);
    let (id, caller) = stage.sandbox();
    assert_eq!(stage.get(&caller).0, 200, "the upstream takes nothing but the credential");
    // A wrong credential reaches the upstream, which refuses it; the next one is right again.
    let rotate = format!("{CONNECTIONS}/{}/rotate-secret", stage.connection);
    let secret = stage.world.upstream("api").canary().value().to_owned();
    stage.ask(("POST", &rotate), json!({ "secrets": { "value": "of-yesterday" } }), 200);
    stage.runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller, "api.test", &stage.ca).await;
        stage.becomes(&mut raw, 401).await;
        stage.ask(("POST", &rotate), json!({ "secrets": { "value": secret } }), 200);
        stage.becomes(&mut raw, 200).await;
        stage.ask(("POST", "/v1/integration/targets/the-api/disable"), json!({}), 200);
        stage.becomes(&mut raw, 503).await;
        stage.ask(("POST", "/v1/integration/targets/the-api/enable"), json!({}), 200);
        stage.becomes(&mut raw, 200).await;
        stage.ask(("POST", &format!("{CONNECTIONS}/{}/revoke", stage.connection)), json!({}), 200);
        stage.becomes(&mut raw, 503).await;
    });
    // The operator finds all of it on record, and no secret.
    let audit = stage.ask(("GET", "/v1/audit"), json!({}), 200);
    for action in ["target.put", "connection.rotate", "profile.publish", "sandbox.create"] {
        assert!(audit.to_string().contains(action), "{action}");
    }
    let line = stage
        .world
        .audit_line("the refusal is recorded", |line| line["code"] == "credential_unavailable");
    assert_eq!(line["sandbox"], json!(id), "{line}");
    let seen = [audit.to_string(), stage.world.metrics()].concat();
    assert!(!seen.contains(&secret) && !seen.contains("of-yesterday"));
    assert_nothing_at_rest(&stage, &secret);
}

/// The plaintext stands in no file of the control service.
fn assert_nothing_at_rest(stage: &Stage, secret: &str) {
    for name in ["control.db", "control.db-wal", "audit.jsonl"] {
        let bytes = std::fs::read(stage.world.data_file(name)).unwrap_or_default();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{name} holds the credential");
    }
}

#[test]
fn a_user_goes_the_whole_way_on_sqlite() {
    a_user_goes_the_whole_way(Database::Sqlite);
}

#[test]
fn a_user_goes_the_whole_way_on_postgresql() {
    a_user_goes_the_whole_way(Database::Postgres);
}

#[test]
fn a_revoked_sandbox_loses_what_it_has_in_flight_and_its_old_token() {
    let stage = stage(Database::Sqlite);
    let (id, caller) = stage.sandbox();
    let (rotated, old) = stage.sandbox();
    let other = stage.sandbox().1;
    stage.runtime.block_on(async {
        let mut streaming = Raw::tunnel(&caller, "api.test", &stage.ca).await;
        streaming.send("GET /sse HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        streaming.until("first part").await;
        let mut beside = Raw::tunnel(&other, "api.test", &stage.ca).await;
        stage.ask(("POST", &format!("/v1/sandboxes/{id}/revoke")), json!({}), 200);
        assert!(streaming.ends_within(REVOKED_WITHIN).await, "the stream goes on");
        assert_eq!(beside.get("api.test", "/get").await.0, 200, "another sandbox goes on");
        let mut fresh = Raw::connect(&caller).await;
        assert!(fresh.ask_tunnel(&caller, "api.test").await.contains("407"));
    });
    let path = format!("/v1/sandboxes/{rotated}/rotate-token");
    let made = stage.ask(("POST", &path), json!({}), 200);
    let renewed = Caller { identity: format!("{rotated}:{}", text(&made, "token")), ..old.clone() };
    eventually(&stage.runtime, "the old token ends", REVOKED_WITHIN, || !stage.opens(&old));
    assert_eq!(stage.get(&renewed).0, 200);
}

#[test]
fn an_old_token_is_good_for_its_overlap_and_a_signed_one_for_its_time() {
    let stage = stage(Database::Sqlite);
    let (id, old) = stage.sandbox();
    let one = format!("/v1/sandboxes/{id}");
    let made = stage.ask(("POST", &format!("{one}/rotate-token?overlapSeconds=5")), json!({}), 200);
    let caller = |token: &str| Caller { identity: format!("{id}:{token}"), ..old.clone() };
    let new = caller(&text(&made, "token"));
    eventually(&stage.runtime, "the new token is known", REVOKED_WITHIN, || stage.opens(&new));
    assert!(stage.opens(&old), "both are good");
    let sign = |seconds: i64| {
        let body = json!({ "ttlSeconds": seconds });
        text(&stage.ask(("POST", &format!("{one}/signed-tokens")), body, 201), "token")
    };
    let signed = caller(&sign(600));
    let known = || stage.opens(&signed);
    eventually(&stage.runtime, "the signature is believed", REVOKED_WITHIN, known);
    assert_eq!(stage.get(&signed).0, 200);
    // It is nobody else's, and no part of it may differ.
    let (other, _) = stage.sandbox();
    let token = signed.identity.split_once(':').expect("a token").1.to_owned();
    let stolen = Caller { identity: format!("{other}:{token}"), ..old.clone() };
    assert!(!stage.opens(&stolen));
    let cut: String = token.chars().take(token.len() - 4).collect();
    assert!(!stage.opens(&caller(&cut)));
    // What is in flight ends with the token that it came with.
    let brief = caller(&sign(5));
    stage.runtime.block_on(async {
        let mut streaming = Raw::tunnel(&brief, "api.test", &stage.ca).await;
        streaming.send("GET /sse HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        streaming.until("first part").await;
        assert!(streaming.ends_within(Duration::from_secs(12)).await, "the stream goes on");
    });
    assert!(!stage.opens(&brief), "it is over");
    let within = Duration::from_secs(10);
    eventually(&stage.runtime, "the overlap ends", within, || !stage.opens(&old));
    assert!(stage.opens(&new) && stage.opens(&signed));
    stage.ask(("POST", &format!("{one}/rotate-token")), json!({}), 200);
    let ended = || !stage.opens(&new) && !stage.opens(&signed);
    eventually(&stage.runtime, "a rotation ends them all", REVOKED_WITHIN, ended);
}

#[test]
fn a_proxy_serves_again_what_was_in_force_before_a_restart() {
    let stage = stage(Database::Sqlite);
    let (_, caller) = stage.sandbox();
    assert_eq!(stage.get(&caller).0, 200);
    let Stage { mut world, runtime, ca, connection, profile } = stage;
    world.restart();
    let proxy = Caller::from_url(&world.proxy_url()).proxy;
    let caller = Caller { proxy, ..caller };
    let stage = Stage { world, runtime, ca, connection, profile };
    let within = Duration::from_secs(10);
    eventually(&stage.runtime, "what was in force is told", within, || stage.opens(&caller));
    assert_eq!(stage.get(&caller).0, 200);
}

#[test]
fn a_database_that_is_away_is_not_missed_by_who_is_served() {
    let server = postgres::Server::new();
    let stage = stage(Database::Of(&server));
    let (_, caller) = stage.sandbox();
    assert_eq!(stage.get(&caller).0, 200);
    server.stop();
    for (method, path, body) in [
        ("GET", PROFILES, Value::Null),
        ("POST", PROFILES, json!({ "name": "other" })),
        ("POST", "/v1/sandboxes", json!({ "profileId": stage.profile })),
        ("GET", "/readyz", Value::Null),
    ] {
        let answer = stage.world.control((method, path), &body.to_string());
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.body);
        assert!(answer.head.to_lowercase().contains("\r\nretry-after: "), "{}", answer.head);
    }
    assert_eq!(stage.get(&caller).0, 200, "what is in force stays in force");
    server.start();
    let back = || stage.world.control(("GET", PROFILES), "null").status == 200;
    eventually(&stage.runtime, "the database is there again", Duration::from_secs(10), back);
    stage.publish();
    assert_eq!(stage.get(&caller).0, 200);
    let profiles = stage.ask(("GET", PROFILES), Value::Null, 200);
    assert_eq!(profiles["items"].as_array().map(Vec::len), Some(1), "{profiles}");
}

#[test]
fn what_the_master_key_sealed_is_not_sealed_anew_when_the_key_is_gone() {
    let mut stage = stage(Database::Sqlite);
    stage.world.process().kill();
    std::fs::remove_file(stage.world.data_file("master.key")).expect("there is a key");
    let output = world::sallygate()
        .args(["control", "--listen", "127.0.0.1:0", "--config"])
        .arg(stage.world.data_file("config.toml"))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("master.key") && said.contains("put it back"), "{said}");
    assert!(!stage.world.data_file("master.key").exists(), "no other one is made");
}

impl Stage {
    /// Runs a command about this installation; its standard output.
    #[track_caller]
    fn sallygate(&self, arguments: &[&str]) -> String {
        let (code, output) = self.sallygate_ends(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {output}");
        output
    }

    fn sallygate_ends(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let data = self.world.data_file("");
        let output = world::sallygate().args(arguments).arg("--dir").arg(data).output();
        let output = output.expect("the binary runs");
        let said = if output.status.success() { &output.stdout } else { &output.stderr };
        (output.status.code(), String::from_utf8_lossy(said).into_owned())
    }

    /// The same, with JSON for an answer.
    #[track_caller]
    fn sallygate_json(&self, arguments: &[&str]) -> Value {
        let output = self.sallygate(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.world.home().join(name);
        std::fs::write(&path, content).expect("a writable directory");
        path.display().to_string()
    }
}

#[test]
fn the_command_line_goes_the_same_way() {
    let stage = stage(Database::Sqlite);
    let secret = stage.world.upstream("api").canary().value().to_owned();
    let file = stage.write("secret", &format!("{secret}\n"));
    let given = format!("value={file}");
    let made = stage.sallygate_json(&["connection", "create", "the-api", "--secret", &given]);
    let connection = text(&made, "id");
    let profile = text(&stage.sallygate_json(&["profile", "create", "cli"]), "id");
    let route = json!({ "name": "read", "match": { "methods": ["GET"], "paths": ["/get"] } });
    let binding = json!({ "id": "api", "connectionId": connection, "routes": [route] });
    let version = stage.write("version.json", &json!({ "bindings": [binding] }).to_string());
    let compiled = stage.sallygate_json(&["profile", "compile", &profile, "--from", &version]);
    let written = stage.sallygate_json(&["profile", "write", &profile, "--from", &version]);
    assert_eq!(written["planDigest"], compiled["planDigest"]);
    let published = stage.sallygate_json(&["profile", "publish", &profile, "--wait", "10"]);
    assert_eq!(published["acknowledged"], true, "{published}");
    let made = stage.sallygate_json(&["sandbox", "create", "--profile", &profile]);
    let proxy = Caller::from_url(&stage.world.proxy_url()).proxy;
    let identity = format!("{}:{}", text(&made, "id"), text(&made, "token"));
    let caller = Caller { proxy, identity };
    let within = Duration::from_secs(10);
    eventually(&stage.runtime, "the proxy knows it", within, || stage.opens(&caller));
    assert_eq!(stage.get(&caller).0, 200);
    let listed = stage.sallygate(&["sandbox", "list"]);
    assert!(listed.contains(&text(&made, "id")) && !listed.contains(&text(&made, "token")));
    // What is wrong is said with its code, and ends with the code of the command line.
    let wrong = stage.write("wrong.json", "{\"policy\":{\"other\":1}}");
    let refused = stage.sallygate_ends(&["profile", "write", &profile, "--from", &wrong]);
    assert_eq!(refused.0, Some(1));
    assert!(refused.1.contains("UNKNOWN_FIELD policy.other"), "{}", refused.1);
    for (arguments, code) in [
        (&["connection", "get", "icn_none"][..], 4),
        (&["connection", "delete", &connection], 5),
        (&["target", "get", "../x"], 3),
        (&["sandbox", "create", "--profile", "sbp_none"], 4),
    ] {
        assert_eq!(stage.sallygate_ends(arguments).0, Some(code), "{arguments:?}");
    }
    stage.sallygate(&["target", "disable", "the-api"]);
    eventually(&stage.runtime, "it is disabled", REVOKED_WITHIN, || stage.get(&caller).0 == 503);
}

#[test]
fn the_embedded_database_is_copied_to_postgresql_once() {
    let stage = stage(Database::Sqlite);
    stage.sandbox();
    let url = postgres::database_url();
    let migrate = ["db", "migrate-to", &url];
    assert_eq!(stage.sallygate_ends(&migrate).0, Some(5), "it runs");
    let Stage { mut world, runtime, ca, connection, profile } = stage;
    world.process().kill();
    let stage = Stage { world, runtime, ca, connection, profile };
    let said = stage.sallygate(&migrate);
    let copied = |table: &str| said.lines().any(|l| l.split_whitespace().eq([table, "1"]));
    assert!(copied("sandboxes") && copied("connections"), "{said}");
    let (code, said) = stage.sallygate_ends(&migrate);
    assert_eq!(code, Some(5), "{said}");
    assert!(!said.contains(&url), "{said}");
}

#[test]
fn new_keys_and_a_restored_copy_open_what_was_sealed() {
    let stage = stage(Database::Sqlite);
    let (_, caller) = stage.sandbox();
    let said = stage.sallygate(&["keys", "rotate"]);
    assert!(said.contains(": 1 secrets sealed again"), "{said}");
    assert_eq!(stage.sallygate_ends(&["keys", "rotate", "--master"]).0, Some(5), "it runs");
    assert_eq!(stage.get(&caller).0, 200);
    let copy = stage.world.home().join("copy.db").display().to_string();
    stage.sallygate(&["db", "backup", &copy]);
    assert_eq!(stage.sallygate_ends(&["db", "backup", &copy]).0, Some(5), "it is there");
    assert_eq!(stage.sallygate_ends(&["db", "restore", &copy, "--replace"]).0, Some(5), "it runs");
    let Stage { mut world, runtime, ca, connection, profile } = stage;
    world.process().kill();
    let stage = Stage { world, runtime, ca, connection, profile };
    let said = stage.sallygate(&["keys", "rotate", "--master"]);
    assert!(said.contains("data keys wrapped again"), "{said}");
    std::fs::remove_file(stage.world.data_file("control.db")).expect("a database");
    let garbage = stage.write("garbage.db", "no database at all");
    assert_eq!(stage.sallygate_ends(&["db", "restore", &garbage]).0, Some(1));
    stage.sallygate(&["db", "restore", &copy]);
    assert_eq!(stage.sallygate_ends(&["db", "restore", &copy]).0, Some(5), "it is there");
    let Stage { mut world, runtime, ca, connection, profile } = stage;
    world.restart();
    let proxy = Caller::from_url(&world.proxy_url()).proxy;
    let stage = Stage { world, runtime, ca, connection, profile };
    let caller = Caller { proxy, ..caller };
    let within = Duration::from_secs(10);
    eventually(&stage.runtime, "what was in force is told", within, || stage.opens(&caller));
    assert_eq!(stage.get(&caller).0, 200);
}

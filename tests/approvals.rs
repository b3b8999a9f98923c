//! Held requests: they wait, somebody decides, and the decision is about nothing else.

#![cfg(test)]

#[expect(dead_code, reason = "every test file uses its part of the client")]
mod raw;
#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::time::Duration;

use raw::{Caller, Raw};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use world::{RunningWorld, Service, Upstream, World, eventually, sallygate};

const API: &str = "api.test";
const ROUTES: &str = r#"
  { name = "read", methods = ["GET"], paths = ["/get"] },
  { name = "ask", action = "hold", paths = ["/anything"] },
  { name = "wait", action = "hold", paths = ["/upload"], approval_ms = 60000 },
"#;

struct Stage {
    world: RunningWorld,
    runtime: Runtime,
    caller: Caller,
}

impl Stage {
    fn new() -> Self {
        let api = Upstream::new("api", Service::Http);
        let digest = world::sha256(b"another");
        let other = format!(
            "[[sandboxes]]\nid = \"sbx_other\"\nprofile = \"web\"\ntoken_sha256 = \"{digest}\"\n"
        );
        let world = World::new().upstream(api).allow("api", ROUTES).policy(&other).start();
        let caller = Caller::from_url(&world.proxy_url());
        Self { world, runtime: Runtime::new().expect("a runtime"), caller }
    }

    fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        self.runtime.block_on(async {
            let mut raw = Raw::tunnel(&self.caller, API, &self.world.ca_pem()).await;
            let length = if method == "GET" { "" } else { "Content-Length: 0\r\n" };
            raw.send(&format!("{method} {path} HTTP/1.1\r\nHost: {API}\r\n{length}\r\n")).await;
            answer(&mut raw).await
        })
    }

    /// A request to the proxy itself, in absolute form.
    fn own(&self, caller: &Caller, method: &str, path: &str) -> (u16, Value) {
        self.runtime.block_on(async {
            let mut raw = Raw::connect(caller).await;
            let authorization = caller.authorization();
            raw.send(&format!(
                "{method} http://sallygate.internal{path} HTTP/1.1\r\nHost: sallygate.internal\r\n\
                 {authorization}\r\n"
            ))
            .await;
            answer(&mut raw).await
        })
    }

    fn held(&self, method: &str, path: &str) -> String {
        let (status, body) = self.ask(method, path);
        assert_eq!((status, &body["code"]), (403, &json!("approval_pending")), "{body}");
        let id = body["approvalId"].as_str().expect("an id").to_owned();
        assert_eq!(body["pollUrl"], format!("http://sallygate.internal/v1/approvals/{id}"));
        id
    }

    fn decide(&self, id: &str, body: &str) -> u16 {
        self.world.operator("POST", &format!("/v1/approvals/{id}"), body).status
    }

    fn standing(&self, id: &str) -> Value {
        let (status, body) = self.own(&self.caller, "GET", &format!("/v1/approvals/{id}"));
        assert_eq!(status, 200, "{body}");
        body["standing"].clone()
    }

    fn cli(&self, args: &[&str]) -> (i32, String) {
        let dir = self.world.ca_pem();
        let dir = dir.parent().expect("the data directory");
        let ran = sallygate().arg("approval").args(args).arg("--dir").arg(dir).output();
        let ran = ran.expect("the binary runs");
        let code = ran.status.code().expect("it was not killed");
        (code, String::from_utf8_lossy(&ran.stdout).into_owned())
    }
}

async fn answer(raw: &mut Raw) -> (u16, Value) {
    let head = raw.head().await;
    let body = raw.body(&head).await;
    (raw::status(&head), serde_json::from_str(&body).unwrap_or(Value::Null))
}

#[test]
fn a_held_request_passes_once_when_it_was_approved_once() {
    let stage = Stage::new();
    let id = stage.held("POST", "/anything?a=1");
    assert_eq!(stage.held("POST", "/anything?a=1"), id, "the same request is the same approval");
    assert_eq!(stage.standing(&id), "pending");
    assert!(stage.world.upstream("api").seen().is_empty());
    assert_eq!(stage.decide(&id, r#"{"decision":"approve"}"#), 200);
    for (method, path) in
        [("PUT", "/anything?a=1"), ("POST", "/anything?a=2"), ("POST", "/anything")]
    {
        assert_ne!(stage.held(method, path), id, "{method} {path}");
    }
    assert_eq!(stage.ask("POST", "/anything?a=1").0, 200);
    assert_eq!(stage.standing(&id), "used");
    assert_ne!(stage.held("POST", "/anything?a=1"), id);
    stage.world.assert_saw("api", &["/anything?a=1"]);
    stage.world.upstream("api").assert_always_authenticated();
}

#[test]
fn a_request_that_was_approved_for_a_time_passes_again_also_after_a_reload() {
    let stage = Stage::new();
    let id = stage.held("POST", "/anything");
    let (code, shown) = stage.cli(&["list"]);
    assert!(
        code == 0 && shown.contains(&id) && shown.contains("https://api.test/anything"),
        "{shown}"
    );
    assert_eq!(stage.cli(&["approve", &id, "--for", "600"]).0, 0);
    assert_eq!(stage.ask("POST", "/anything").0, 200);
    let policy =
        stage.world.policy().replace("name = \"ask\"", "connect_ms = 4999, name = \"ask\"");
    assert_eq!(stage.world.reload(&policy).status, 200);
    assert_eq!(stage.ask("POST", "/anything").0, 200);
    assert_eq!(stage.standing(&id), "approved");
}

#[test]
fn a_request_that_was_denied_is_told_so_and_never_sent() {
    let stage = Stage::new();
    let id = stage.held("POST", "/anything");
    assert_eq!(stage.cli(&["deny", &id]).0, 0);
    let (status, body) = stage.ask("POST", "/anything");
    assert_eq!((status, &body["code"]), (403, &json!("approval_denied")), "{body}");
    assert_eq!(stage.standing(&id), "denied");
    assert_eq!(stage.cli(&["approve", &id]).0, 5, "what is decided stays decided");
    assert_eq!(stage.cli(&["approve", "apr_0"]).0, 4);
    assert_eq!(stage.cli(&["approve", "../sandboxes"]).0, 3);
    assert!(stage.world.upstream("api").seen().is_empty());
}

#[test]
fn a_request_that_may_wait_is_sent_as_soon_as_it_is_approved() {
    let stage = Stage::new();
    let status = std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = Runtime::new().expect("a runtime");
            let mut id = String::new();
            eventually(&runtime, "the request waits", Duration::from_secs(10), || {
                let list = stage.world.operator("GET", "/v1/approvals", "").body;
                let list: Value = serde_json::from_str(&list).expect("JSON");
                let found = list["approvals"][0]["id"].as_str();
                id = found.unwrap_or_default().to_owned();
                !id.is_empty()
            });
            assert_eq!(stage.decide(&id, r#"{"decision":"approve"}"#), 200);
        });
        stage.ask("POST", "/upload").0
    });
    assert_eq!(status, 200);
}

#[test]
fn decisions_that_mean_nothing_are_refused() {
    let stage = Stage::new();
    let id = stage.held("POST", "/anything");
    for body in [
        "",
        "{}",
        r#"{"decision":"maybe"}"#,
        r#"{"decision":"deny","forSeconds":5}"#,
        r#"{"decision":"approve","forSeconds":0}"#,
        r#"{"decision":"approve","forSeconds":604801}"#,
        r#"{"decision":"approve","x":1}"#,
    ] {
        assert_eq!(stage.decide(&id, body), 400, "{body}");
    }
    assert_eq!(stage.decide("apr_0", r#"{"decision":"approve"}"#), 404);
    assert_eq!(stage.standing(&id), "pending");
}

#[test]
fn a_sandbox_sees_what_is_its_own_and_decides_nothing() {
    let stage = Stage::new();
    let id = stage.held("POST", "/anything");
    let page = format!("/v1/approvals/{id}");
    let other = Caller { proxy: stage.caller.proxy, identity: "sbx_other:another".into() };
    assert_eq!(stage.own(&other, "GET", &page).0, 403, "another sandbox's approval");
    let nobody = Caller { proxy: stage.caller.proxy, identity: "sbx_other:wrong".into() };
    assert_eq!(stage.own(&nobody, "GET", "/v1/me").0, 407);
    for (method, path) in [
        ("POST", page.as_str()),
        ("GET", "/v1/approvals"),
        ("GET", "/v1/approvals/"),
        ("GET", "/v1/status"),
        ("GET", "/metrics"),
        ("DELETE", "/v1/me"),
    ] {
        assert_eq!(stage.own(&stage.caller, method, path).0, 403, "{method} {path}");
    }
    let (status, me) = stage.own(&stage.caller, "GET", "/v1/me");
    assert_eq!((status, &me["sandbox"]), (200, &json!("sbx_e2e")));
    let actions: Vec<_> =
        me["routes"].as_array().expect("routes").iter().map(|r| &r["action"]).collect();
    assert_eq!(actions, ["hold", "allow", "hold"], "{me}");
    let canary = stage.world.upstream("api").canary().value().to_owned();
    assert!(!me.to_string().contains(&canary));
    assert_eq!(stage.standing(&id), "pending");
}

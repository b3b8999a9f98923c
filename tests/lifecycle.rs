//! Plans and sandboxes change while requests are in flight; the process starts, reloads and stops.

#![cfg(test)]

#[expect(dead_code, reason = "every test file uses its part of the client")]
mod raw;
#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use raw::{Caller, Raw};
use tokio::runtime::Runtime;
use world::{Inject, RunningWorld, Service, Upstream, World, eventually};

/// What is no longer allowed ends within this: a promise of the product, not a wish of the test.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

const READ: &str = "{ name = \"read\", methods = [\"GET\"], paths = [\"/get\", \"/sse\", \"/echo\", \"/slow-length\"] },";
const TUNNELLED: &str = "[[profiles.web.routes]]\nname = \"tunnelled\"\naction = \"tunnel\"\nhosts = [\"raw.test\"]\ntarget = \"raw\"\n";

struct Stage {
    world: RunningWorld,
    runtime: Runtime,
    caller: Caller,
    ca: PathBuf,
}

fn stage() -> Stage {
    let world = World::new()
        .upstream(Upstream::new("api", Service::Http).inject(Inject::Bearer))
        .upstream(Upstream::new("raw", Service::Http).inject(Inject::None))
        .allow("api", READ)
        .policy(TUNNELLED)
        .start();
    let caller = Caller::from_url(&world.proxy_url());
    let ca = world.ca_pem();
    Stage { world, runtime: Runtime::new().expect("a runtime"), caller, ca }
}

impl Stage {
    /// A session sandbox of its own, to be revoked.
    fn session(&self) -> (String, Caller) {
        let answer = self.world.operator(
            "POST",
            "/v1/sandboxes",
            "{\"profile\":\"web\",\"ttlSeconds\":600}",
        );
        assert_eq!(answer.status, 201, "{}", answer.body);
        let minted: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let id = minted["id"].as_str().expect("an id").to_owned();
        let identity = format!("{id}:{}", minted["token"].as_str().expect("a token"));
        (id, Caller { proxy: self.caller.proxy, identity })
    }

    fn revoke(&self, id: &str) {
        assert_eq!(self.world.operator("DELETE", &format!("/v1/sandboxes/{id}"), "").status, 204);
    }
}

/// A server-sent stream that has begun and waits for the test.
async fn begun(caller: &Caller, ca: &std::path::Path) -> Raw {
    let mut raw = Raw::tunnel(caller, "api.test", ca).await;
    raw.send("GET /sse HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    raw.until("first part").await;
    raw
}

#[test]
fn a_revoked_sandbox_loses_its_response_in_flight_and_its_next_request() {
    let stage = stage();
    let (id, caller) = stage.session();
    stage.runtime.block_on(async {
        let mut streaming = begun(&caller, &stage.ca).await;
        let mut idle = Raw::tunnel(&caller, "api.test", &stage.ca).await;
        assert_eq!(idle.get("api.test", "/get").await.0, 200);
        stage.revoke(&id);
        assert!(streaming.ends_within(REVOKED_WITHIN).await, "the stream goes on");
        assert_eq!(idle.get("api.test", "/get").await.0, 407);
        let mut fresh = Raw::connect(&caller).await;
        assert!(fresh.ask_tunnel(&caller, "api.test").await.contains("407"));
    });
    let line = stage.world.audit_line("the cut is recorded", |l| {
        l["code"] == "token_revoked" && l["route"] == "ibd_api/read"
    });
    assert_eq!(line["verdict"], "deny");
}

#[test]
fn a_revoked_sandbox_loses_its_tunnel_and_its_websocket() {
    let stage = stage();
    let (id, caller) = stage.session();
    let upstream_ca = stage.ca.with_file_name("upstream-ca.pem");
    stage.runtime.block_on(async {
        let mut tunnel = Raw::tunnel(&caller, "raw.test", &upstream_ca).await;
        assert_eq!(tunnel.get("raw.test", "/get").await.0, 200);
        let mut socket = Raw::tunnel(&caller, "api.test", &stage.ca).await;
        socket
            .send("GET /echo HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            .await;
        assert_eq!(raw::status(&socket.head().await), 101);
        socket.until("greeting").await;
        stage.revoke(&id);
        assert!(tunnel.ends_within(REVOKED_WITHIN).await, "the tunnel goes on");
        assert!(socket.ends_within(REVOKED_WITHIN).await, "the WebSocket goes on");
    });
}

#[test]
fn a_plan_that_takes_the_route_away_ends_what_is_on_it_and_nothing_else() {
    let stage = stage();
    let upstream_ca = stage.ca.with_file_name("upstream-ca.pem");
    stage.runtime.block_on(async {
        let mut streaming = begun(&stage.caller, &stage.ca).await;
        let mut tunnel = Raw::tunnel(&stage.caller, "raw.test", &upstream_ca).await;
        let more = "[[profiles.web.routes]]\nname = \"more\"\nhosts = [\"more.test\"]\n";
        let widened = stage.world.policy().replace(TUNNELLED, &format!("{TUNNELLED}{more}"));
        assert_eq!(stage.world.reload(&widened).status, 200);
        stage.world.upstream("api").open_gate();
        streaming.until("second part").await;
        assert_eq!(tunnel.get("raw.test", "/get").await.0, 200);
        let narrowed = widened.replace(", \"/sse\"", "");
        assert_eq!(stage.world.reload(&narrowed).status, 200);
        assert!(streaming.ends_within(REVOKED_WITHIN).await, "the stream goes on");
        assert_eq!(tunnel.get("raw.test", "/get").await.0, 200);
        assert_eq!(stage.world.reload(&narrowed.replace(TUNNELLED, "")).status, 200);
        assert!(tunnel.ends_within(REVOKED_WITHIN).await, "the tunnel goes on");
    });
}

#[test]
fn fifty_swaps_under_load_lose_no_request() {
    let stage = stage();
    let (done, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let loads: Vec<_> = (0..8)
        .map(|_| {
            let (done, sent) = (Arc::clone(&done), Arc::clone(&sent));
            let (caller, ca) = (stage.caller.clone(), stage.ca.clone());
            stage.runtime.spawn(async move {
                let mut raw = Raw::tunnel(&caller, "api.test", &ca).await;
                while !done.load(Ordering::Acquire) {
                    let (status, body) = raw.get("api.test", "/get").await;
                    assert_eq!(status, 200, "{body}");
                    sent.fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect();
    for n in 0..50u64 {
        let more =
            format!("[[profiles.web.routes]]\nname = \"more-{n}\"\nhosts = [\"more-{n}.test\"]\n");
        let policy = stage.world.policy().replace(TUNNELLED, &format!("{TUNNELLED}{more}"));
        let before = sent.load(Ordering::Acquire);
        assert_eq!(stage.world.reload(&policy).status, 200);
        // Every plan is really used before the next one comes.
        eventually(&stage.runtime, "requests go on", Duration::from_secs(20), || {
            sent.load(Ordering::Acquire) > before
        });
    }
    done.store(true, Ordering::Release);
    for load in loads {
        stage.runtime.block_on(load).expect("no request failed");
    }
    assert!(sent.load(Ordering::Acquire) >= 50);
}

#[test]
fn a_malformed_policy_is_refused_with_every_problem_and_the_running_plan_stays() {
    let stage = stage();
    let broken =
        stage.world.policy().replace("unmatched", "unmached").replace("\"GET\"", "\"GET\", 7");
    let answer = stage.world.reload(&broken);
    assert_eq!(answer.status, 422, "{}", answer.body);
    for part in ["policy.toml:", "unmached", "unmatched", "WRONG_TYPE"] {
        assert!(answer.body.contains(part), "no {part:?} in {}", answer.body);
    }
    stage.runtime.block_on(async {
        let mut raw = Raw::tunnel(&stage.caller, "api.test", &stage.ca).await;
        assert_eq!(raw.get("api.test", "/get").await.0, 200);
    });
}

#[test]
fn a_changed_policy_file_and_a_hangup_signal_are_both_taken_up() {
    let mut stage = stage();
    let path = stage.ca.with_file_name("policy.toml");
    let digests = |world: &RunningWorld| -> String {
        let metrics = world.metrics();
        metrics.lines().filter(|l| l.starts_with("sallygate_plan_info")).collect()
    };
    let first = digests(&stage.world);
    std::fs::write(&path, stage.world.policy().replace(", \"/sse\"", "")).expect("a writable file");
    eventually(&stage.runtime, "the changed file is loaded", Duration::from_secs(10), || {
        digests(&stage.world) != first
    });
    let second = digests(&stage.world);
    std::fs::write(&path, stage.world.policy()).expect("a writable file");
    stage.world.process().signal("HUP");
    eventually(&stage.runtime, "the file is loaded on SIGHUP", Duration::from_secs(10), || {
        digests(&stage.world) != second
    });
    assert_eq!(digests(&stage.world), first);
}

#[test]
fn a_definition_of_the_operator_is_taken_up_when_it_comes_and_when_it_changes() {
    let stage = stage();
    let file = |name: &str| stage.ca.with_file_name(name);
    let dir = file("integrations.d");
    std::fs::create_dir_all(&dir).expect("a writable directory");
    let definition = |path: &str| {
        format!(
            "familyId = \"acme\"\nvariantId = \"cloud\"\nkind = \"connector\"\n\
             displayName = \"Acme\"\ndescription = \"Things.\"\nlogoKey = \"acme\"\n\
             [[compileBinding.origins]]\nname = \"api\"\nbaseUrl = \"https://api.test\"\n\
             [[compileBinding.routes]]\nname = \"get\"\npaths = [{path}]\n\
             [targetConfigSchema.properties.baseUrl]\ntype = \"string\"\n"
        )
    };
    let write = |path: &str| {
        std::fs::write(dir.join("acme.toml"), definition(path)).expect("a writable directory");
    };
    write("7");
    let answer = stage.world.reload(stage.world.policy());
    assert_eq!(answer.status, 422, "{}", answer.body);
    for part in ["acme.toml:12:10", "WRONG_TYPE", "compileBinding.routes[0].paths[0]"] {
        assert!(answer.body.contains(part), "no {part:?} in {}", answer.body);
    }
    write("\"/get\"");
    let config = std::fs::read_to_string(file("config.toml")).expect("a readable file");
    let (target, _) = config.split_once("[connections.api]").expect("a connection");
    let (_, target) = target.split_once("[targets.api]").expect("a target");
    let target = target.replace("generic::http-api", "acme::cloud");
    let config = format!(
        "{config}\n[targets.acme]{target}\n[connections.acme]\ntarget = \"acme\"\n\
         value_file = \"secrets/api\"\n"
    );
    std::fs::write(file("config.toml"), config).expect("a writable file");
    let binding = "[[profiles.web.bindings]]\nid = \"ibd_acme\"\nconnection = \"acme\"\n";
    let (before, after) = stage.world.policy().split_once("[[profiles.web.bindings]]").map_or_else(
        || panic!("a binding"),
        |(before, after)| (before.to_owned(), after.to_owned()),
    );
    // Only the definition says what is allowed: the first binding is gone.
    let (_, after) = after.split_once("]\n").expect("the end of the routes");
    let policy = format!("{before}{binding}{after}");
    let answer = stage.world.reload(&policy);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let status = |path: &'static str| {
        stage.runtime.block_on(async {
            let mut raw = Raw::tunnel(&stage.caller, "api.test", &stage.ca).await;
            raw.get("api.test", path).await.0
        })
    };
    assert_eq!((status("/get"), status("/headers")), (200, 403));
    let digests = || -> String {
        let metrics = stage.world.metrics();
        metrics.lines().filter(|l| l.starts_with("sallygate_plan_info")).collect()
    };
    let before = digests();
    write("\"/headers\"");
    eventually(&stage.runtime, "the changed definition", Duration::from_secs(10), || {
        digests() != before
    });
    assert_eq!((status("/get"), status("/headers")), (403, 200));
}

#[test]
fn a_terminated_proxy_finishes_what_is_in_flight_takes_nothing_new_and_ends_well() {
    let mut stage = stage();
    stage.runtime.block_on(async {
        let mut streaming = begun(&stage.caller, &stage.ca).await;
        let mut idle = Raw::tunnel(&stage.caller, "api.test", &stage.ca).await;
        stage.world.process().signal("TERM");
        assert!(idle.ends_within(Duration::from_secs(5)).await, "an idle connection stays");
        stage.world.upstream("api").open_gate();
        streaming.until("second part").await;
        stage.world.upstream("api").open_gate();
        streaming.until("0\r\n\r\n").await;
    });
    let runtime = Runtime::new().expect("a runtime");
    eventually(&runtime, "the process ends", Duration::from_secs(10), || {
        !stage.world.process().is_alive()
    });
    assert_eq!(stage.world.process().exit_status().and_then(|s| s.code()), Some(0));
    let ended = stage
        .world
        .audit()
        .into_iter()
        .filter(|l| l["route"] == "ibd_api/read" && l["code"] == "ok")
        .count();
    assert_eq!(ended, 1, "the exchange is in the record");
}

#[test]
fn a_client_may_try_again_on_the_same_connection_after_a_407() {
    let stage = stage();
    let nobody = Caller { identity: String::new(), ..stage.caller.clone() };
    let somebody = Caller { identity: "sbx_e2e:wrong".into(), ..stage.caller.clone() };
    stage.runtime.block_on(async {
        let mut raw = Raw::connect(&nobody).await;
        assert!(raw.ask_tunnel(&nobody, "api.test").await.contains("407"));
        assert!(raw.ask_tunnel(&somebody, "api.test").await.contains("407"));
        assert!(raw.ask_tunnel(&stage.caller, "api.test").await.contains("200"));
        let mut raw = raw.secure("api.test", &stage.ca).await;
        assert_eq!(raw.get("api.test", "/get").await.0, 200);
    });
}

#[test]
fn a_unix_socket_and_a_source_address_say_who_is_asking() {
    let world = World::new()
        .upstream(Upstream::new("api", Service::Http).inject(Inject::Bearer))
        .allow("api", READ)
        .config("[[proxy.unix]]\npath = \"web.sock\"\nsandbox = \"sbx_socket\"\n")
        .policy("[[sandboxes]]\nid = \"sbx_socket\"\nprofile = \"web\"\n[[sandboxes]]\nid = \"sbx_source\"\nprofile = \"web\"\nsources = [\"127.0.0.1/32\"]\n")
        .start();
    let caller = Caller::from_url(&world.proxy_url());
    let nobody = Caller { identity: String::new(), ..caller };
    let ca = world.ca_pem();
    Runtime::new().expect("a runtime").block_on(async {
        let socket = tokio::net::UnixStream::connect(ca.with_file_name("web.sock"))
            .await
            .expect("the socket");
        let mut by_socket = Raw::over(socket);
        assert!(by_socket.ask_tunnel(&nobody, "api.test").await.contains("200"));
        let mut by_socket = by_socket.secure("api.test", &ca).await;
        assert_eq!(by_socket.get("api.test", "/get").await.0, 200);
        let mut by_source = Raw::tunnel(&nobody, "api.test", &ca).await;
        assert_eq!(by_source.get("api.test", "/get").await.0, 200);
    });
    for sandbox in ["sbx_socket", "sbx_source"] {
        world.audit_line("the request is recorded", |line| {
            line["sandbox"] == sandbox && line["code"] == "ok"
        });
    }
}

#[test]
fn without_its_credential_a_request_is_refused_and_nothing_is_sent() {
    let stage = stage();
    let secret = stage.ca.with_file_name("secrets").join("api");
    std::fs::remove_file(secret).expect("the credential's file");
    stage.runtime.block_on(async {
        let mut raw = Raw::tunnel(&stage.caller, "api.test", &stage.ca).await;
        let (status, body) = raw.get("api.test", "/get").await;
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("credential_unavailable"), "{body}");
    });
    assert!(stage.world.upstream("api").seen().is_empty());
}

#[test]
fn a_slow_response_with_a_length_arrives_as_it_comes() {
    let stage = stage();
    stage.runtime.block_on(async {
        let mut raw = Raw::tunnel(&stage.caller, "api.test", &stage.ca).await;
        raw.send("GET /slow-length HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        // The upstream sends each part only after the gate was opened for it.
        raw.until("first part").await;
        stage.world.upstream("api").open_gate();
        raw.until("second part").await;
        stage.world.upstream("api").open_gate();
        raw.until("third part").await;
    });
}

//! Limits and budgets as a sandbox meets them: told truly, kept over a change of plan and over the
//! death of the process, and given back to nobody.

#![cfg(test)]

#[expect(dead_code, reason = "every test file uses its part of the client")]
mod raw;
#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::path::Path;
use std::time::Duration;

use raw::{Caller, Raw};
use tokio::runtime::Runtime;
use world::{Process, RunningWorld, Service, Upstream, World, eventually};

const API: &str = "api.test";

fn world(routes: &str) -> RunningWorld {
    World::new().upstream(Upstream::new("api", Service::Http)).allow("api", routes).start()
}

fn caller(world: &RunningWorld) -> Caller {
    Caller::from_url(&world.proxy_url())
}

/// Status, `Retry-After` and body of one request.
async fn ask(raw: &mut Raw, request: &str) -> (u16, Option<u64>, String) {
    raw.send(request).await;
    let head = raw.head().await;
    let lower = head.to_ascii_lowercase();
    let after = lower.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let after = after.and_then(|seconds| seconds.trim().parse().ok());
    (raw::status(&head), after, raw.body(&head).await)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {API}\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: {API}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn gets(runtime: &Runtime, caller: &Caller, ca: &Path, count: usize) -> Vec<(u16, String)> {
    runtime.block_on(async {
        let mut raw = Raw::tunnel(caller, API, ca).await;
        let mut answers = Vec::new();
        for _ in 0..count {
            let (status, _, body) = ask(&mut raw, &get("/get")).await;
            answers.push((status, body));
        }
        answers
    })
}

fn statuses(answers: &[(u16, String)]) -> Vec<u16> {
    answers.iter().map(|(status, _)| *status).collect()
}

#[test]
fn requests_over_the_rate_are_refused_with_the_time_to_wait_and_a_reload_gives_none_back() {
    let world =
        world("{ name = \"r\", paths = [\"/get\"], requests = { count = 2, seconds = 3600 } },");
    let runtime = Runtime::new().expect("a runtime");
    let (caller, ca) = (caller(&world), world.ca_pem());
    let answers = gets(&runtime, &caller, &ca, 3);
    assert_eq!(statuses(&answers), [200, 200, 429]);
    assert!(answers[2].1.contains("\"rate_limited\""), "{answers:?}");
    runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller, API, &ca).await;
        let (_, after, _) = ask(&mut raw, &get("/get")).await;
        let after = after.expect("Retry-After");
        assert!((1790..=1800).contains(&after), "one comes back every 1800 s: {after}");
    });
    let more = world.policy().replace("name = \"r\"", "connect_ms = 4999, name = \"r\"");
    assert_eq!(world.reload(&more).status, 200);
    assert_eq!(statuses(&gets(&runtime, &caller, &ca, 1)), [429]);
    let metrics = world.metrics();
    assert!(metrics.contains("sallygate_rate_limited_total{scope=\"route\"} 3"), "{metrics}");
    assert_eq!(world.upstream("api").seen().len(), 2);
}

#[test]
fn bytes_that_are_owed_refuse_the_next_request_and_cut_none_short() {
    let world = world(
        "{ name = \"r\", paths = [\"/upload\"], bytes_out = { bytes = 1000, seconds = 3600 } },",
    );
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller(&world), API, &world.ca_pem()).await;
        let body = "x".repeat(2000);
        let (status, _, answer) = ask(&mut raw, &post("/upload", &body)).await;
        assert_eq!((status, answer.contains("\"body_bytes\":2000")), (200, true), "{answer}");
        let (status, after, answer) = ask(&mut raw, &post("/upload", "y")).await;
        assert_eq!((status, answer.contains("bytes sent")), (429, true), "{answer}");
        assert!(after.is_some_and(|after| (3595..=3604).contains(&after)), "{after:?}");
    });
    assert_eq!(world.upstream("api").seen().len(), 1);
}

#[test]
fn a_place_among_those_at_one_time_is_given_back_when_a_client_goes_away() {
    let world = world("{ name = \"r\", paths = [\"/get\", \"/sse\"], concurrency = 1 },");
    let runtime = Runtime::new().expect("a runtime");
    let (caller, ca) = (caller(&world), world.ca_pem());
    let streaming = runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller, API, &ca).await;
        raw.send(&get("/sse")).await;
        raw.until("first part").await;
        raw
    });
    assert_eq!(statuses(&gets(&runtime, &caller, &ca, 2)), [429, 429]);
    drop(streaming);
    eventually(&runtime, "the place is free", Duration::from_secs(10), || {
        // A thread of its own: this one is waiting inside of a runtime.
        let ask = || statuses(&gets(&Runtime::new().expect("a runtime"), &caller, &ca, 1));
        std::thread::scope(|scope| scope.spawn(ask).join()).expect("an answer") == [200]
    });
}

#[test]
fn a_body_over_the_size_is_refused_before_and_while_it_comes() {
    let world = world("{ name = \"r\", paths = [\"/upload\"], max_request_bytes = 10 },");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller(&world), API, &world.ca_pem()).await;
        assert_eq!(ask(&mut raw, &post("/upload", &"x".repeat(10))).await.0, 200);
        assert_eq!(ask(&mut raw, &post("/upload", &"x".repeat(11))).await.0, 413);
        let mut raw = Raw::tunnel(&caller(&world), API, &world.ca_pem()).await;
        let head =
            format!("POST /upload HTTP/1.1\r\nHost: {API}\r\nTransfer-Encoding: chunked\r\n\r\n");
        raw.send(&format!("{head}b\r\nxxxxxxxxxxx\r\n")).await;
        assert_eq!(raw::status(&raw.head().await), 413);
    });
}

#[test]
fn a_budget_of_uses_outlives_a_change_of_plan_and_a_killed_process() {
    let mut world = world("{ name = \"r\", paths = [\"/get\"], uses = { limit = 3 } },");
    let runtime = Runtime::new().expect("a runtime");
    let (old, ca) = (caller(&world), world.ca_pem());
    let file = ca.with_file_name("budgets.json");
    assert_eq!(statuses(&gets(&runtime, &old, &ca, 2)), [200, 200]);
    let more = world.policy().replace("name = \"r\"", "connect_ms = 4999, name = \"r\"");
    assert_eq!(world.reload(&more).status, 200);
    eventually(&runtime, "the budget is written", Duration::from_secs(10), || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"uses\":{\"total\":2"))
    });
    world.process().kill();
    let fresh = Process::start(&ca.with_file_name("config.toml"));
    let caller = Caller { proxy: fresh.proxy, ..old };
    let answers = gets(&runtime, &caller, &ca, 3);
    assert_eq!(statuses(&answers), [200, 403, 403]);
    assert!(answers[1].1.contains("\"budget_exhausted\""), "{answers:?}");
    assert_eq!(world.upstream("api").seen().len(), 3);
}

#[test]
fn a_proxy_whose_budgets_cannot_be_read_does_not_start() {
    let mut world = world("{ name = \"r\", paths = [\"/get\"], uses = { limit = 3 } },");
    let ca = world.ca_pem();
    world.process().kill();
    std::fs::write(ca.with_file_name("budgets.json"), "{\"version\":1")
        .expect("a writable directory");
    let config = ca.with_file_name("config.toml");
    let ended = world::sallygate().args(["proxy", "--config"]).arg(&config).output();
    let ended = ended.expect("the binary runs");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("does not hold budgets"), "{said}");
}

/// 9 tokens at 100 micro-units each, as `tests/world/openai.rs` answers.
fn spending(limit: u64) -> RunningWorld {
    let route = format!(
        "{{ name = \"r\", paths = [\"/v1/**\"], spend = {{ limit_micros = {limit}, \
         assumed_micros = 5000, prices = [{{ pointer = \"/usage/total_tokens\", micros = 100 }}] }} }},"
    );
    World::new().upstream(Upstream::new("api", Service::OpenAi)).allow("api", &route).start()
}

const QUESTION: &str = r#"{"model":"m","messages":[{"role":"user","content":"?"}]}"#;
const STREAMED: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"?"}]}"#;
const SILENT: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"?"}]}"#;

#[test]
fn what_answers_say_they_cost_is_spent_whole_and_streamed_over_both_versions_of_http() {
    let world = spending(3600);
    let curl = |version: &str, body: &str| {
        world.upstream("api").open_gate();
        let url = "https://api.test/v1/chat/completions";
        let args = ["-sS", "--compressed", version, "-w", "%{http_code}", "-d", body, url];
        world.client("curl").args(args).run().succeeded().stdout
    };
    for (version, body) in [
        ("--http1.1", QUESTION),
        ("--http2", QUESTION),
        ("--http1.1", STREAMED),
        ("--http2", STREAMED),
    ] {
        let told = curl(version, body);
        assert!(told.ends_with("200"), "{version} {body}: {told}");
    }
    for version in ["--http1.1", "--http2"] {
        let told = curl(version, QUESTION);
        assert!(told.contains("budget_exhausted") && told.ends_with("403"), "{told}");
    }
}

#[test]
fn who_gets_an_answer_without_its_cost_pays_what_was_assumed() {
    let world = spending(5000);
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller(&world), API, &world.ca_pem()).await;
        // An error that names no cost costs nothing.
        assert_eq!(ask(&mut raw, &post("/v1/chat/completions", "{}")).await.0, 400);
        world.upstream("api").open_gate();
        assert_eq!(ask(&mut raw, &post("/v1/chat/completions", SILENT)).await.0, 200);
        let (status, _, body) = ask(&mut raw, &post("/v1/chat/completions", QUESTION)).await;
        assert_eq!((status, body.contains("budget_exhausted")), (403, true), "{body}");
    });
}

#[test]
fn who_breaks_off_before_the_cost_is_told_pays_what_was_assumed() {
    let world = spending(5000);
    let runtime = Runtime::new().expect("a runtime");
    let (caller, ca) = (caller(&world), world.ca_pem());
    runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller, API, &ca).await;
        raw.send(&post("/v1/chat/completions", STREAMED)).await;
        raw.until("data: ").await;
        drop(raw);
    });
    world.audit_line("the broken stream is recorded", |line| line["method"] == "POST");
    runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller, API, &ca).await;
        assert_eq!(ask(&mut raw, &post("/v1/chat/completions", QUESTION)).await.0, 403);
    });
}

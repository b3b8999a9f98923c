//! Whoever fails too often is told to wait, over a real socket; nobody else is.
#![expect(clippy::expect_used, reason = "a test fails where what it relies on is not there")]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
#[expect(dead_code, reason = "only one of the databases is needed")]
mod world;

use reqwest::{Client, Method, StatusCode};
use sallygate_control::api::{Gate, Serving, serve_behind};
use scene::{Api, OPERATOR};
use world::World;

/// Failures that an address may have at once.
const FAILURES_MAX: usize = 120;

struct Stage {
    api: Api,
    serving: Serving,
    client: Client,
}

impl Stage {
    /// `trusted`: whose `X-Forwarded-For` counts.
    async fn new(trusted: &[&str]) -> Self {
        let api = Api::new(World::sqlite()).await;
        api.echo_target("echo").await;
        let trusted = trusted.iter().map(|net| net.parse().expect("a range")).collect();
        let gate = Gate::new(api.control.clock.clone(), trusted);
        let nearby = "127.0.0.1:0".parse().expect("an address");
        let serving = serve_behind(api.control.clone(), nearby, gate).await.expect("it listens");
        // Whoever was first has chosen.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { api, serving, client }
    }

    async fn ask(&self, (method, path): (Method, &str), headers: &[(&str, &str)]) -> (u16, u64) {
        let url = format!("http://{}{path}", self.serving.address);
        let request = self.client.request(method, url);
        let request = headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        let response = request.send().await.expect("an answer");
        let wait = response.headers().get("retry-after");
        let wait = wait.map(|value| value.to_str().expect("text").parse().expect("seconds"));
        (response.status().as_u16(), wait.unwrap_or(0))
    }

    async fn me(&self, token: &str) -> (u16, u64) {
        let authorization = format!("Bearer {token}");
        self.ask((Method::GET, "/v1/me"), &[("authorization", &authorization)]).await
    }

    async fn fail(&self, times: usize) {
        for at in 0..times {
            assert_eq!(self.me(&format!("wrong-{at}")).await.0, 401);
        }
    }
}

#[tokio::test]
async fn whoever_tries_tokens_is_told_to_wait_and_those_who_were_let_in_are_not() {
    let it = Stage::new(&[]).await;
    let late = it.api.token("member").await;
    assert_eq!(it.me(OPERATOR).await.0, 200);
    it.fail(FAILURES_MAX).await;
    let (status, wait) = it.me("one-more").await;
    assert_eq!(status, 429);
    assert!((1..60).contains(&wait), "{wait}");
    assert_eq!(it.me(OPERATOR).await.0, 200, "it was let in before");
    assert_eq!(it.me(&late).await.0, 429, "nobody knows yet that this one is right");
    for open in ["/healthz", "/readyz", "/openapi.json", "/docs"] {
        assert_eq!(it.ask((Method::GET, open), &[]).await.0, 200, "{open}");
    }
    it.api.pass_time(i64::try_from(wait * 1000).expect("a time"));
    assert_eq!(it.me(&late).await.0, 200);
    assert_eq!(it.me("wrong").await.0, 401);
    // What was forgiven is forgiven for all that passed, and no more.
    it.api.pass_time(60_000);
    it.fail(FAILURES_MAX).await;
    assert_eq!(it.me("one-more").await.0, 429);
    it.serving.stop().await;
}

#[tokio::test]
async fn a_way_in_that_is_tried_closes_for_itself_alone() {
    let it = Stage::new(&[]).await;
    let wrong = (Method::POST, "/p/integration/webhooks/echo/icn_none");
    for _ in 0..FAILURES_MAX {
        let status = it.ask(wrong.clone(), &[]).await.0;
        assert!([401, 404].contains(&status), "{status}");
    }
    assert_eq!(it.ask(wrong.clone(), &[]).await.0, 429);
    let other = (Method::POST, "/p/integration/webhooks/echo/icn_other");
    assert_ne!(it.ask(other, &[]).await.0, 429, "one provider calls for many");
    assert_eq!(it.me(OPERATOR).await.0, 200);
    let ledger = (Method::GET, "/api/approvals/clawledger/pending");
    for at in 0..FAILURES_MAX {
        let secret = format!("wrong-{at}");
        let headers = [("x-clawledger-token", secret.as_str())];
        assert_eq!(it.ask(ledger.clone(), &headers).await.0, 401);
    }
    assert_eq!(it.ask(ledger, &[("x-clawledger-token", "x")]).await.0, 429);
    let login = (Method::GET, "/api/v1/auth/oidc/login");
    assert_eq!(it.ask(login, &[]).await.0, 429, "what anybody may begin is one way in");
    assert_eq!(it.me("wrong").await.0, 401);
    it.serving.stop().await;
}

#[tokio::test]
async fn an_address_is_what_a_trusted_proxy_says_and_never_what_a_caller_says() {
    let (first, second) = ("198.51.100.1", "198.51.100.2");
    let trusting = Stage::new(&["127.0.0.0/8"]).await;
    let simple = Stage::new(&[]).await;
    for (it, blocked) in
        [(&trusting, StatusCode::UNAUTHORIZED), (&simple, StatusCode::TOO_MANY_REQUESTS)]
    {
        let me = (Method::GET, "/v1/me");
        for _ in 0..FAILURES_MAX {
            assert_eq!(it.ask(me.clone(), &[("x-forwarded-for", first)]).await.0, 401);
        }
        assert_eq!(it.ask(me.clone(), &[("x-forwarded-for", first)]).await.0, 429);
        assert_eq!(it.ask(me, &[("x-forwarded-for", second)]).await.0, blocked.as_u16());
    }
    trusting.serving.stop().await;
    simple.serving.stop().await;
}

//! What proves a sandbox: its token, the one before for a while, and what was signed for it.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use sallygate_control::credentials::INSTALLATION;
use sallygate_control::domain::sandbox::{self, Live};
use sallygate_control::store::Access;
use scene::{Answer, Api};
use serde_json::{Value, json};
use world::{NOW, World};

on_both_databases!(
    a_new_token_ends_the_old_one_at_once_or_later,
    what_is_signed_is_good_for_its_time_and_its_sandbox,
    a_rotation_ends_what_was_signed_before,
    a_sandbox_may_have_nothing_but_signed_tokens,
    a_time_that_is_none_is_refused,
    the_key_that_signs_is_sealed_and_survives_a_rotation,
);

struct Stage {
    api: Api,
    profile: String,
}

impl Stage {
    async fn new(world: World) -> Self {
        let api = Api::new(world).await;
        let made = api.post("/v1/sandbox/profiles", json!({ "name": "web" })).await.expect(201);
        let profile = made.get("id");
        let path = format!("/v1/sandbox/profiles/{profile}");
        api.post(&format!("{path}/versions"), json!({})).await.expect(201);
        api.post(&format!("{path}/publish"), json!({})).await.expect(200);
        Self { api, profile }
    }

    async fn create(&self, more: Value) -> (String, String) {
        let mut body = json!({ "profileId": self.profile });
        for (key, value) in more.as_object().expect("fields") {
            body[key] = value.clone();
        }
        let made = self.api.post("/v1/sandboxes", body).await.expect(201);
        (made.get("id"), made.get("token"))
    }

    async fn rotate(&self, id: &str, query: &str) -> Answer {
        self.api.ask("POST", &format!("/v1/sandboxes/{id}/rotate-token{query}")).send().await
    }

    async fn sign(&self, id: &str, seconds: i64) -> Answer {
        let body = json!({ "ttlSeconds": seconds });
        self.api.post(&format!("/v1/sandboxes/{id}/signed-tokens"), body).await
    }

    /// Whose token this is.
    async fn whose(&self, token: &str) -> Option<String> {
        let mut transaction = self.api.control.store.begin(Access::Read).await.expect("a store");
        let now_ms = self.api.control.clock.now_ms();
        let found = sandbox::identify(&mut *transaction, token, now_ms).await.expect("an answer");
        found.map(|sandbox| sandbox.id)
    }

    async fn live(&self, id: &str) -> Live {
        let mut transaction = self.api.control.store.begin(Access::Read).await.expect("a store");
        let now_ms = self.api.control.clock.now_ms();
        let found = sandbox::find_live(&mut *transaction, id, now_ms).await.expect("an answer");
        found.expect("it lives")
    }
}

async fn a_new_token_ends_the_old_one_at_once_or_later(world: World) {
    let it = Stage::new(world).await;
    let (id, first) = it.create(json!({})).await;
    let own = Some(id.clone());
    assert_eq!(it.whose(&first).await, own);
    let second = it.rotate(&id, "").await.expect(200).get("token");
    assert_eq!((it.whose(&first).await, it.whose(&second).await), (None, own.clone()));
    let third = it.rotate(&id, "?overlapSeconds=60").await.expect(200).get("token");
    assert_eq!((it.whose(&second).await, it.whose(&third).await), (own.clone(), own.clone()));
    assert_eq!(it.live(&id).await.former.map(|(_, until)| until), Some(NOW + 60_000));
    it.api.pass_time(59_999);
    assert_eq!(it.whose(&second).await, own);
    it.api.pass_time(1);
    assert_eq!((it.whose(&second).await, it.whose(&third).await), (None, own.clone()));
    assert_eq!(it.live(&id).await.former, None);
    // Two rotations end what was there before the first, whatever was promised.
    let fourth = it.rotate(&id, "?overlapSeconds=60").await.expect(200).get("token");
    let fifth = it.rotate(&id, "?overlapSeconds=60").await.expect(200).get("token");
    assert_eq!(it.whose(&third).await, None);
    assert_eq!((it.whose(&fourth).await, it.whose(&fifth).await), (own.clone(), own.clone()));
    let last = it.rotate(&id, "").await.expect(200).get("token");
    for ended in [&fourth, &fifth] {
        assert_eq!(it.whose(ended).await, None);
    }
    assert_eq!(it.whose(&last).await, own);
    it.api.ask("POST", &format!("/v1/sandboxes/{id}/revoke")).send().await.expect(200);
    assert_eq!(it.whose(&last).await, None);
}

async fn what_is_signed_is_good_for_its_time_and_its_sandbox(world: World) {
    let it = Stage::new(world).await;
    let (id, token) = it.create(json!({})).await;
    assert_eq!(it.live(&id).await.signer(), None, "nothing was signed for it");
    let told = it.api.notices().await.len();
    let made = it.sign(&id, 600).await.expect(201);
    let signed = made.get("token");
    assert_eq!(made.get("tokenExpiresAt"), "2027-01-15T08:10:00Z");
    assert_eq!(it.api.notices().await.len(), told + 1, "proxies hear whose signature counts");
    it.sign(&id, 600).await.expect(201);
    assert_eq!(it.api.notices().await.len(), told + 1, "once");
    assert_eq!(it.whose(&signed).await, Some(id.clone()));
    assert_eq!(it.whose(&token).await, Some(id.clone()), "the other one stays");
    assert!(it.live(&id).await.signer().is_some());
    for at in [1, 10, signed.len() / 2, signed.len() - 1] {
        let mut changed = signed.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("text");
        assert_eq!(it.whose(&changed).await, None, "byte {at}");
    }
    it.api.pass_time(599_999);
    assert_eq!(it.whose(&signed).await, Some(id.clone()));
    it.api.pass_time(1);
    assert_eq!(it.whose(&signed).await, None);
    let again = it.sign(&id, 60).await.expect(201).get("token");
    it.api.ask("POST", &format!("/v1/sandboxes/{id}/revoke")).send().await.expect(200);
    assert_eq!(it.whose(&again).await, None);
    it.sign(&id, 60).await.refused(409, "sandbox_ended");
    it.sign("sbx_none", 60).await.refused(404, "not_found");
}

async fn a_rotation_ends_what_was_signed_before(world: World) {
    let it = Stage::new(world).await;
    let (id, _) = it.create(json!({})).await;
    let signed = it.sign(&id, 600).await.expect(201).get("token");
    it.rotate(&id, "?overlapSeconds=60").await.expect(200);
    assert_eq!(it.whose(&signed).await, Some(id.clone()));
    let newer = it.sign(&id, 600).await.expect(201).get("token");
    it.api.pass_time(60_000);
    assert_eq!((it.whose(&signed).await, it.whose(&newer).await), (None, Some(id.clone())));
    it.rotate(&id, "").await.expect(200);
    assert_eq!(it.whose(&newer).await, None);
}

async fn a_sandbox_may_have_nothing_but_signed_tokens(world: World) {
    let it = Stage::new(world).await;
    let (id, signed) = it.create(json!({ "signedTokenSeconds": 60 })).await;
    assert_eq!(signed.matches('.').count(), 2, "{signed}");
    assert_eq!(it.whose(&signed).await, Some(id.clone()));
    let live = it.live(&id).await;
    assert_eq!(live.token_sha256.len(), 32, "its address alone must never prove it");
    assert!(live.signer().is_some());
    it.api.pass_time(60_000);
    assert_eq!(it.whose(&signed).await, None);
    let shown = it.api.get(&format!("/v1/sandboxes/{id}")).await.expect(200);
    assert!(!shown.text.contains("token"), "{}", shown.text);
}

async fn a_time_that_is_none_is_refused(world: World) {
    let it = Stage::new(world).await;
    let (id, token) = it.create(json!({})).await;
    for seconds in [0, -1, 86_401, i64::MAX] {
        it.sign(&id, seconds).await.refused(422, "invalid");
    }
    for query in ["?overlapSeconds=-1", "?overlapSeconds=86401"] {
        it.rotate(&id, query).await.refused(422, "invalid");
    }
    for query in ["?overlapSeconds=x", "?other=1"] {
        it.rotate(&id, query).await.refused(400, "bad_request");
    }
    let body = json!({ "profileId": it.profile, "signedTokenSeconds": 0 });
    it.api.post("/v1/sandboxes", body).await.refused(422, "invalid");
    assert_eq!(it.whose(&token).await, Some(id));
    let all = it.api.get("/v1/sandboxes").await.expect(200).body;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "nothing else was made");
}

async fn the_key_that_signs_is_sealed_and_survives_a_rotation(world: World) {
    let it = Stage::new(world).await;
    let (id, signed) = it.create(json!({ "signedTokenSeconds": 600 })).await;
    let control = &it.api.control;
    let rotated = control.vault.rotate_data_key(&control.store, INSTALLATION, NOW).await;
    assert_eq!(rotated.expect("it is rotated").secrets, 2, "both keys are sealed anew");
    assert_eq!(it.whose(&signed).await, Some(id.clone()));
    let again = it.sign(&id, 60).await.expect(201).get("token");
    assert_eq!(it.whose(&again).await, Some(id), "the same key signs");
}

//! Tokens are renewed by one at a time, seen to end, and taken back at the provider.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

use super::{CONNECTIONS, HOUR, Scene, encoded, named, owner_of, parameter};
use crate::on_both_databases;
use crate::provider::provider;
use crate::world::{self, World};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallygate_control::connect::{CameBack, Connect, Who};
use sallygate_control::credentials::Plaintext;
use sallygate_control::renewal::Renewal;
use serde_json::json;
on_both_databases!(
    a_process_that_dies_after_the_exchange_leaves_nothing,
    replicas_that_ask_at_once_refresh_once,
    a_provider_that_is_away_ends_nothing_before_the_token_ends,
    tokens_are_renewed_before_anybody_asks,
    what_the_provider_took_back_is_seen_and_mended,
    the_provider_is_told_of_a_deleted_connection,
);

async fn revoke(token: &str) {
    let provider = provider();
    let basic = STANDARD.encode(format!("sallygate:{}", encoded(&provider.client_secret)));
    let basic = format!("Basic {basic}").parse().unwrap();
    let url = format!("{}/token/revocation", provider.issuer);
    let form = format!("token={}", encoded(token));
    let answer = provider.outbound().post_form(&url, Some(basic), form).await.unwrap();
    assert!(answer.status.is_success());
}

async fn a_process_that_dies_after_the_exchange_leaves_nothing(world: World) {
    let scene = Scene::new(world).await;
    let back = scene.consent(named("Mine"), "ada").await;
    let (state, code) = (parameter(&back, "state").unwrap(), parameter(&back, "code").unwrap());
    let organisation = scene.organisation().await;
    let who = Who { organisation: &organisation, session: "operator" };
    let came_back = CameBack::Code(Plaintext::new(code.into_bytes()));
    let consented =
        Connect(&scene.api.control).finish_consent(who, ("api", &state), came_back).await;
    // The provider has answered, and nobody keeps it.
    drop(consented.unwrap());
    assert_eq!(scene.count().await, 0);
    assert!(!scene.audit().await.contains("connection."));
    scene.complete(&back).await.refused(422, "oauth_state_unknown");
    scene.connect("ada").await;
}

async fn replicas_that_ask_at_once_refresh_once(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let wanted = scene.sandbox(&connection).await;
    let first = scene.resolve(&wanted).await.unwrap();
    let refresh = scene.stored(&connection, "oauth2_refresh_token").await;
    scene.api.pass_time(HOUR - 59_000);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (control, wanted) = (scene.api.control.clone(), wanted.clone());
        asking.spawn(async move { control.resolve(&wanted).await.map(|c| (c.secret, c.version)) });
    }
    let given = asking.join_all().await;
    let given: Vec<_> = given.into_iter().map(Result::unwrap).collect();
    assert!(given.iter().all(|(_, version)| *version == 2), "one refresh");
    let second = String::from_utf8(given[0].0.expose().to_vec()).unwrap();
    assert_ne!(first, second);
    assert_ne!(scene.stored(&connection, "oauth2_refresh_token").await, refresh, "it rotates");
    // The provider voids everything when an old refresh token is used: the new one still works.
    scene.api.pass_time(2 * HOUR);
    let third = scene.resolve(&wanted).await.unwrap();
    assert_eq!(owner_of(&third).await.as_deref(), Some("ada"));
    assert_eq!(scene.connection(&connection).await["status"], "active");
}

async fn a_provider_that_is_away_ends_nothing_before_the_token_ends(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let wanted = scene.sandbox(&connection).await;
    let first = scene.resolve(&wanted).await.unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("https://localhost:{}/token", closed.local_addr().unwrap().port());
    drop(closed);
    scene.change_target(|body| body["config"]["tokenUrl"] = json!(nowhere)).await;
    scene.api.pass_time(HOUR - 30_000);
    assert_eq!(scene.resolve(&wanted).await.as_ref(), Ok(&first), "it still works");
    scene.api.pass_time(30_000);
    assert_eq!(scene.resolve(&wanted).await, Err("oauth_unavailable"));
    assert_eq!(scene.connection(&connection).await["status"], "active");
    scene.change_target(|_| ()).await;
    assert_ne!(scene.resolve(&wanted).await, Ok(first));
}

async fn tokens_are_renewed_before_anybody_asks(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let mut renewal = Renewal::new(scene.api.control.clone());
    assert_eq!(renewal.pass().await.unwrap().renewed, 0, "it is young");
    scene.api.pass_time(HOUR / 5 * 4);
    assert_eq!(renewal.pass().await.unwrap().renewed, 1);
    assert_eq!(renewal.pass().await.unwrap().renewed, 0);
    assert_eq!(scene.connection(&connection).await["credentials"][0]["version"], 2);
    // One that fails is not asked for at every look.
    scene.api.pass_time(HOUR / 5 * 4);
    scene
        .change_target(|body| body["config"]["tokenUrl"] = json!("https://nowhere.invalid/"))
        .await;
    let failed = async |renewal: &mut Renewal| renewal.pass().await.unwrap().failed;
    assert_eq!(failed(&mut renewal).await, 1);
    assert_eq!(failed(&mut renewal).await, 0);
    scene.api.pass_time(30_000);
    assert_eq!(failed(&mut renewal).await, 1);
    scene.api.pass_time(59_999);
    assert_eq!(failed(&mut renewal).await, 0, "twice as long");
    scene.change_target(|_| ()).await;
    scene.api.pass_time(1);
    assert_eq!(renewal.pass().await.unwrap().renewed, 1);
}

async fn what_the_provider_took_back_is_seen_and_mended(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let wanted = scene.sandbox(&connection).await;
    let refresh = scene.stored(&connection, "oauth2_refresh_token").await.unwrap();
    revoke(&refresh).await;
    scene.api.pass_time(HOUR / 5 * 4);
    let mut renewal = Renewal::new(scene.api.control.clone());
    assert_eq!(renewal.pass().await.unwrap().failed, 1);
    let seen = scene.connection(&connection).await;
    assert_eq!(
        (&seen["status"], &seen["statusReason"]),
        (&json!("error"), &json!("invalid_grant"))
    );
    let metrics = scene.api.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("sallygate_connections{status=\"error\"} 1"), "{metrics}");
    let told = scene.api.notices().await;
    assert!(told.iter().any(|notice| notice.payload == json!({ "connectionId": connection })));
    assert_eq!(scene.resolve(&wanted).await, Err("credential_refused"));
    assert_eq!(renewal.pass().await.unwrap().failed, 0, "nobody tries any more");
    // Whoever asks later why it does not work finds it.
    assert_eq!(scene.audit().await.matches("connection.fail").count(), 1);
    // The same person consents again: the same connection, with its bindings.
    let body = json!({ "displayName": "Mine", "connectionId": connection });
    let back = scene.consent(body, "ada").await;
    let mended = scene.complete(&back).await.expect(201);
    assert_eq!((mended.get("id"), mended.get("status")), (connection.clone(), "active".into()));
    let token = scene.resolve(&wanted).await.unwrap();
    assert_eq!(owner_of(&token).await.as_deref(), Some("ada"));
    assert_eq!(scene.count().await, 1);
}

async fn the_provider_is_told_of_a_deleted_connection(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let token = scene.stored(&connection, "oauth2_access_token").await.unwrap();
    assert_eq!(owner_of(&token).await.as_deref(), Some("ada"));
    scene
        .change_target(|body| body["config"]["revocationUrl"] = json!("https://nowhere.invalid/"))
        .await;
    let path = format!("{CONNECTIONS}/{connection}");
    assert_eq!(scene.api.ask("DELETE", &path).send().await.status, 204);
    assert_eq!(scene.stored(&connection, "oauth2_access_token").await, None);
    assert_eq!(owner_of(&token).await.as_deref(), Some("ada"), "nobody was told yet");
    // The process that would tell dies; another one does it, with a key that was made since.
    let organisation = scene.organisation().await;
    let control = &scene.api.control;
    let now = control.clock.now_ms();
    control.vault.rotate_data_key(&control.store, &organisation, now).await.unwrap();
    let mut renewal = Renewal::new(control.clone());
    assert_eq!(renewal.pass().await.unwrap().told, 0, "the provider is away");
    scene.change_target(|_| ()).await;
    assert_eq!(renewal.pass().await.unwrap().told, 0, "it is not asked all the time");
    scene.api.pass_time(600_000);
    assert_eq!(renewal.pass().await.unwrap().told, 1);
    assert_eq!(owner_of(&token).await, None);
    assert_eq!(renewal.pass().await.unwrap().told, 0);
    // One that has no such endpoint is not told, and nothing waits for it.
    scene
        .change_target(|body| drop(body["config"].as_object_mut().unwrap().remove("revocationUrl")))
        .await;
    let other = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    scene.api.ask("DELETE", &format!("{CONNECTIONS}/{other}")).send().await;
    assert_eq!(renewal.pass().await.unwrap().told, 0);
    scene.change_target(|_| ()).await;
    scene.api.pass_time(600_000);
    assert_eq!(renewal.pass().await.unwrap().told, 0);
    let audit = scene.audit().await;
    assert!(audit.contains("connection.revoke_token") && !audit.contains(&token));
}

//! Connections without a browser of their own: another device, and a program.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

use super::{HOUR, Scene, named, owner_of};
use crate::on_both_databases;
use crate::provider::browser::Browser;
use crate::provider::provider;
use crate::world::{self, World};
use serde_json::json;
on_both_databases!(a_person_connects_on_another_device, a_program_connects_by_itself,);

async fn a_person_connects_on_another_device(world: World) {
    let scene = Scene::new(world).await;
    let started = scene.api.post(&scene.path("device/start"), named("Mine")).await.expect(201);
    let handle = json!({ "handle": started.get("handle") });
    let poll = async |seconds: i64| {
        scene.api.pass_time(seconds * 1000);
        scene.api.post(&scene.path("device/poll"), handle.clone()).await
    };
    assert_eq!(poll(0).await.expect(200).get("status"), "pending");
    assert_eq!(poll(10).await.expect(200).get("status"), "pending");
    // Many at once: one of them asks the provider.
    scene.api.pass_time(10_000);
    let asked = async || poll(0).await.expect(200).get("status");
    let (one, other) = tokio::join!(asked(), asked());
    assert_eq!((one.as_str(), other.as_str()), ("pending", "pending"));
    let stranger = scene.api.token("member").await;
    let ask = scene.api.ask("POST", &scene.path("device/poll")).json(handle.clone());
    ask.bearer(&stranger).send().await.refused(422, "oauth_state_unknown");
    let mut browser = Browser::new(provider());
    browser.approve_device(&started.get("verificationUri"), &started.get("userCode")).await;
    let done = poll(10).await.expect(200);
    assert_eq!(done.get("status"), "connected");
    let connection = done.body["connection"]["id"].as_str().unwrap().to_owned();
    let wanted = scene.sandbox(&connection).await;
    let token = scene.resolve(&wanted).await.unwrap();
    assert!(owner_of(&token).await.is_some());
    assert!(!done.text.contains(&token));
    poll(10).await.refused(422, "oauth_state_unknown");
    // It is renewed as any other.
    scene.api.pass_time(2 * HOUR);
    assert_ne!(scene.resolve(&wanted).await.unwrap(), token);
}

async fn a_program_connects_by_itself(world: World) {
    let scene = Scene::new(world).await;
    let made = scene.api.post(&scene.path("client-credentials"), named("Program")).await;
    let made = made.expect(201);
    assert_eq!(made.get("method"), "program");
    let wanted = scene.sandbox(&made.get("id")).await;
    let first = scene.resolve(&wanted).await.unwrap();
    let asked = provider().count("client_credentials").await;
    scene.api.pass_time(500_000);
    assert_eq!(scene.resolve(&wanted).await.as_ref(), Ok(&first), "it is kept");
    scene.api.pass_time(60_000);
    assert_ne!(scene.resolve(&wanted).await, Ok(first), "it ended soon");
    assert!(provider().count("client_credentials").await > asked);
}

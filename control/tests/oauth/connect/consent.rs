//! A person consents in a browser, and comes back.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

use super::{CONNECTIONS, Scene, named, owner_of, parameter, target};
use crate::login::config;
use crate::on_both_databases;
use crate::provider::browser::Browser;
use crate::provider::provider;
use crate::scene::Answer;
use crate::world::{self, NOW, World};
use sallygate_control::clock::wall_ms;
use sallygate_control::domain::resolve::Wanted;
use sallygate_control::login::{Finish, Login, SESSION_COOKIE};
use serde_json::{Value, json};
use url::Url;
on_both_databases!(
    a_person_connects_and_a_sandbox_gets_their_token,
    a_state_ends_once_for_whoever_began_it,
    an_answer_is_given_again_for_the_same_request_alone,
    whoever_does_not_consent_connects_nothing,
    a_redirect_uri_stays_what_it_was_when_it_began,
    a_target_that_is_not_whole_or_not_reachable_begins_nothing,
    nobody_else_takes_the_place_of_whoever_consented,
    the_browser_that_began_it_ends_it,
);

async fn sign_in(scene: &Scene, who: &str) -> (String, String) {
    let control = &scene.api.control;
    let login = Login::new(config(), control.store.clone(), control.vault.clone()).unwrap();
    let now = control.clock.now_ms();
    let started = login.start("/", now).await.unwrap();
    let back = Browser::new(provider()).visit(&format!("{}&login_hint={who}", started.url)).await;
    let (state, code) = (parameter(&back, "state").unwrap(), parameter(&back, "code"));
    let cookie = started.cookie.as_str();
    let finish = Finish { state: &state, code: code.as_deref(), issuer: None, cookie };
    let token = login.finish(finish, now).await.unwrap().token;
    (format!("{SESSION_COOKIE}={}", token.expose()), token.csrf())
}

async fn a_person_connects_and_a_sandbox_gets_their_token(world: World) {
    let scene = Scene::new(world).await;
    let back = scene.consent(named("Ada's"), "ada").await;
    let made = scene.complete(&back).await.expect(201);
    let connection = made.get("id");
    assert_eq!((made.get("status"), made.get("method")), ("active".into(), "oauth".into()));
    assert_eq!(made.get("externalSubject"), "ada");
    let kinds: Vec<_> = made.body["credentials"].as_array().unwrap().iter().collect();
    let kinds: Vec<_> = kinds.into_iter().map(|c| c["secretType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["oauth2_access_token", "oauth2_refresh_token"]);
    let wanted = scene.sandbox(&connection).await;
    let token = scene.resolve(&wanted).await.unwrap();
    assert_eq!(owner_of(&token).await.as_deref(), Some("ada"));
    // It was used, and that is known; how often it was used since is not.
    let used = scene.connection(&connection).await["credentials"][0]["lastUsedAt"].clone();
    assert!(used.is_string(), "{used}");
    scene.api.pass_time(5 * 60_000);
    scene.resolve(&wanted).await.unwrap();
    assert_eq!(scene.connection(&connection).await["credentials"][0]["lastUsedAt"], used);
    scene.api.pass_time(6 * 60_000);
    scene.resolve(&wanted).await.unwrap();
    assert_ne!(scene.connection(&connection).await["credentials"][0]["lastUsedAt"], used);
    // A refresh token, or another's token, never leaves.
    let refresh = Wanted { secret_type: "oauth2_refresh_token".to_owned(), ..wanted.clone() };
    assert_eq!(scene.resolve(&refresh).await, Err("credential_refused"));
    let refresh = scene.stored(&connection, "oauth2_refresh_token").await.unwrap();
    let shown = [made.text, scene.audit().await, scene.connection(&connection).await.to_string()];
    for secret in [&token, &refresh, &parameter(&back, "code").unwrap()] {
        assert!(shown.iter().all(|shown| !shown.contains(secret.as_str())));
    }
}

async fn a_state_ends_once_for_whoever_began_it(world: World) {
    let scene = Scene::new(world).await;
    scene.api.put("/v1/integration/targets/other", target(provider())).await.expect(200);
    let stranger = scene.api.token("member").await;
    let complete = async |path: &str, back: &Url, bearer: Option<&str>| {
        let body = json!({ "state": parameter(back, "state"), "code": parameter(back, "code") });
        let ask = scene.api.ask("POST", path).json(body);
        let ask = if let Some(bearer) = bearer { ask.bearer(bearer) } else { ask };
        ask.send().await
    };
    let path = scene.path("oauth2/complete");
    // Whoever tries, it is used then: also by whom it belongs to.
    let back = scene.consent(named("Mine"), "ada").await;
    let theirs = complete(&path, &back, Some(&stranger)).await;
    theirs.refused(422, "oauth_state_unknown");
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    let back = scene.consent(named("Mine"), "ada").await;
    let elsewhere = format!("{CONNECTIONS}/other/oauth2/complete");
    complete(&elsewhere, &back, None).await.refused(422, "oauth_state_unknown");
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    let back = scene.consent(named("Mine"), "ada").await;
    let elsewhere = scene.path("redirect/complete");
    let body = json!({ "state": parameter(&back, "state"), "parameters": {} });
    scene.api.post(&elsewhere, body).await.refused(422, "oauth_state_unknown");
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    let back = scene.consent(named("Mine"), "ada").await;
    scene.api.pass_time(600_000);
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    assert_eq!(scene.count().await, 0);
    let back = scene.consent(named("Mine"), "ada").await;
    complete(&path, &back, None).await.expect(201);
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    assert_eq!(scene.count().await, 1);
    for wrong in [
        json!({}),
        json!({ "state": 1 }),
        json!({ "state": "x", "iss": "https://evil.example" }),
        json!({ "state": "x", "code": ["y"] }),
    ] {
        scene.api.post(&path, wrong).await.refused(400, "bad_request");
    }
}

async fn an_answer_is_given_again_for_the_same_request_alone(world: World) {
    let scene = Scene::new(world).await;
    let send = async |path: &str, body: &Value| {
        let path = scene.path(path);
        scene.api.ask("POST", &path).json(body.clone()).header("idempotency-key", "k1").send().await
    };
    let first = send("oauth2/start", &named("Mine")).await.expect(201);
    let again = send("oauth2/start", &named("Mine")).await.expect(201);
    assert_eq!(first.text, again.text);
    send("oauth2/start", &named("Other")).await.refused(409, "idempotency_key_reused");
    let url = format!("{}&login_hint=ada", first.get("authorizationUrl"));
    let back = Browser::new(provider()).visit(&url).await;
    let body = json!({ "state": parameter(&back, "state"), "code": parameter(&back, "code") });
    let complete = async || {
        let path = scene.path("oauth2/complete");
        let ask = scene.api.ask("POST", &path).json(body.clone());
        ask.header("idempotency-key", "k2").send().await.expect(201)
    };
    assert_eq!(complete().await.text, complete().await.text);
    assert_eq!(scene.count().await, 1);
}

async fn whoever_does_not_consent_connects_nothing(world: World) {
    let scene = Scene::new(world).await;
    let back = scene.consent(named("Mine"), "nobody").await;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    let state = parameter(&back, "state");
    let body = json!({ "state": state, "error": "access_denied" });
    let denied = scene.api.post(&scene.path("oauth2/complete"), body.clone()).await;
    denied.refused(403, "consent_denied");
    let again = scene.api.post(&scene.path("oauth2/complete"), body).await;
    again.refused(422, "oauth_state_unknown");
    // A code that was never given is worth nothing, and spends the state.
    let back = scene.consent(named("Mine"), "ada").await;
    let body = json!({ "state": parameter(&back, "state"), "code": "made-up" });
    let refused = scene.api.post(&scene.path("oauth2/complete"), body).await;
    refused.refused(409, "oauth_refused");
    assert!(!refused.text.contains("made-up"));
    scene.complete(&back).await.refused(422, "oauth_state_unknown");
    assert_eq!(scene.count().await, 0);
}

async fn a_redirect_uri_stays_what_it_was_when_it_began(world: World) {
    let scene = Scene::new(world).await;
    let back = scene.consent(named("Mine"), "ada").await;
    scene
        .change_target(|body| body["config"]["redirectUri"] = json!("https://other.example/"))
        .await;
    scene.complete(&back).await.expect(201);
    let started = scene.api.post(&scene.path("oauth2/start"), named("Mine")).await.expect(201);
    let url = Url::parse(&started.get("authorizationUrl")).unwrap();
    assert_eq!(parameter(&url, "redirect_uri").as_deref(), Some("https://other.example/"));
    assert_eq!(parameter(&url, "code_challenge_method").as_deref(), Some("S256"));
    // Whoever is at another place says so to nobody: the body has no such field.
    let body = json!({ "displayName": "x", "redirectUri": "https://evil.example/" });
    scene.api.post(&scene.path("oauth2/start"), body).await.refused(400, "bad_request");
}

async fn a_target_that_is_not_whole_or_not_reachable_begins_nothing(world: World) {
    let scene = Scene::new(world).await;
    let (start, program) = (scene.path("oauth2/start"), scene.path("client-credentials"));
    for missing in ["clientId", "redirectUri", "authorizationUrl"] {
        scene
            .change_target(|body| drop(body["config"].as_object_mut().unwrap().remove(missing)))
            .await;
        scene.api.post(&start, named("Mine")).await.refused(409, "target_incomplete");
    }
    let read_only = scene.api.token("read_only").await;
    let ask = scene.api.ask("POST", &start).json(named("Mine")).bearer(&read_only);
    ask.send().await.refused(403, "insufficient_role");
    scene.change_target(|_| ()).await;
    for wrong in [
        json!({ "displayName": "x", "method": "device" }),
        json!({ "displayName": "x", "method": "none" }),
        json!({ "displayName": "" }),
        json!({ "displayName": "x", "config": { "unknown": 1 } }),
    ] {
        scene.api.post(&start, wrong).await.refused(422, "invalid");
    }
    let absent = json!({ "displayName": "x", "connectionId": "icn_none" });
    scene.api.post(&start, absent).await.refused(404, "not_found");
    // A token endpoint inside the house is not spoken to, whoever names it.
    scene.change_target(|body| body["options"] = json!({})).await;
    scene.api.post(&program, named("Mine")).await.refused(409, "address_refused");
    scene.change_target(|body| body["options"]["upstream"]["caPem"] = Value::Null).await;
    scene.api.post(&program, named("Mine")).await.refused(503, "oauth_unavailable");
    scene.change_target(|body| body["secrets"]["clientSecret"] = json!("wrong")).await;
    scene.api.post(&program, named("Mine")).await.refused(409, "oauth_refused");
    scene.api.post("/v1/integration/targets/api/disable", json!({})).await.expect(200);
    scene.api.post(&start, named("Mine")).await.refused(409, "target_disabled");
    assert_eq!(scene.count().await, 0);
}

async fn nobody_else_takes_the_place_of_whoever_consented(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let before = scene.stored(&connection, "oauth2_access_token").await;
    let body = json!({ "displayName": "Mine", "connectionId": connection });
    let back = scene.consent(body.clone(), "grace").await;
    scene.complete(&back).await.refused(409, "subject_differs");
    assert_eq!(scene.stored(&connection, "oauth2_access_token").await, before);
    let back = scene.consent(body.clone(), "ada").await;
    let revoke = format!("{CONNECTIONS}/{connection}/revoke");
    scene.api.post(&revoke, json!({})).await.expect(200);
    // It was ended meanwhile: what its owner ended nobody takes up again.
    scene.complete(&back).await.refused(409, "connection_revoked");
    scene.api.post(&scene.path("oauth2/start"), body).await.refused(409, "connection_revoked");
}

async fn the_browser_that_began_it_ends_it(world: World) {
    let scene = Scene::new(world).await;
    // Whoever signs in does so by the clock of the provider.
    scene.api.pass_time(wall_ms() - NOW);
    let (ada, csrf) = sign_in(&scene, "ada").await;
    let (again, _) = sign_in(&scene, "ada").await;
    let begin = async || {
        let path = scene.path("oauth2/start");
        let ask = scene.api.ask("POST", &path).json(named("Mine")).without("authorization");
        let ask = ask.header("cookie", ada.clone());
        ask.header("x-csrf-token", csrf.clone()).send().await.expect(201)
    };
    let consent = async |started: Answer, who: &str| {
        let url = format!("{}&login_hint={who}", started.get("authorizationUrl"));
        Browser::new(provider()).visit(&url).await
    };
    let visit = async |back: &Url, cookie: Option<&str>| {
        let path = format!("/v1/integration/callback?{}", back.query().unwrap());
        let ask = scene.api.ask("GET", &path).without("authorization");
        let ask = if let Some(cookie) = cookie { ask.header("cookie", cookie) } else { ask };
        let page = ask.send().await;
        let code = parameter(back, "code").unwrap_or_else(|| "no code".to_owned());
        assert!(!page.text.contains(&code), "{}", page.text);
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        assert_eq!(page.headers["cache-control"], "no-store");
        page
    };
    let back = consent(begin().await, "ada").await;
    // Neither another browser, nor another session of the same person, and nothing is spent by it.
    for stranger in [None, Some(again.as_str()), Some("__Host-sallygate-session=sgs_x")] {
        let page = visit(&back, stranger).await.expect(200);
        assert!(page.text.contains("Copy the address"), "{}", page.text);
    }
    assert_eq!(scene.count().await, 0);
    let page = visit(&back, Some(&ada)).await.expect(200);
    assert!(page.text.contains("<h1>Connected</h1>"), "{}", page.text);
    assert_eq!(scene.count().await, 1);
    assert!(visit(&back, Some(&ada)).await.text.contains("Copy the address"), "it is spent");
    let denied = consent(begin().await, "nobody").await;
    let page = visit(&denied, Some(&ada)).await.expect(409);
    assert!(page.text.contains("consent_denied"), "{}", page.text);
    assert_eq!(scene.count().await, 1);
}

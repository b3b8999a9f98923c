//! What is of another organisation is as absent as what never was, whoever asks for it and how.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use scene::{Answer, Api};
use serde_json::{Value, json};
use world::World;

on_both_databases!(what_is_of_another_organisation_is_as_absent_as_what_never_was);

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Something that belongs to the first organisation: the parameter of paths that names it, its id,
/// one of nothing that looks alike, and where it is shown.
struct Thing {
    parameter: &'static str,
    id: String,
    absent: &'static str,
    shown: String,
}

async fn things(api: &Api) -> Vec<Thing> {
    api.echo_target("echo").await;
    let connection = api.connect("echo", "a-secret").await;
    let made = async |path: &str, body: Value| api.post(path, body).await.expect(201).get("id");
    let profile = made("/v1/sandbox/profiles", json!({ "name": "web" })).await;
    let bound = json!({ "bindings": [{ "id": "demo", "connectionId": connection }] });
    let path = format!("/v1/sandbox/profiles/{profile}");
    api.post(&format!("{path}/versions"), bound).await.expect(201);
    api.post(&format!("{path}/publish"), json!({})).await.expect(200);
    let sandbox = made("/v1/sandboxes", json!({ "profileId": profile })).await;
    let webhooks = "/v1/integration/webhooks";
    let body = json!({ "displayName": "E", "url": "https://hooks.example/in" });
    let endpoint = made(&format!("{webhooks}/endpoints"), body).await;
    let action = json!({ "type": "deliver", "endpointId": endpoint });
    let body = json!({ "displayName": "R", "rule": { "action": action } });
    let trigger = made(&format!("{webhooks}/triggers"), body).await;
    let token = json!({ "name": "theirs", "role": "member" });
    let token = made("/v1/api-tokens", token).await;
    [
        ("connectionId", connection, "icn_none", "/v1/integration/connections/{}"),
        ("profileId", profile, "sbp_none", "/v1/sandbox/profiles/{}"),
        ("sandboxId", sandbox, "sbx_none", "/v1/sandboxes/{}"),
        ("endpointId", endpoint, "whe_none", "/v1/integration/webhooks/endpoints/{}"),
        ("triggerId", trigger, "wht_none", "/v1/integration/webhooks/triggers/{}"),
        ("tokenId", token, "tok_none", "/v1/api-tokens"),
    ]
    .map(|(parameter, id, absent, shown)| {
        let shown = shown.replace("{}", &id);
        Thing { parameter, id, absent, shown }
    })
    .into()
}

/// What the operation takes, so that it is refused for nothing else.
fn body(operation: &str) -> Value {
    match operation {
        "rotateConnection" => json!({ "secrets": { "token": "another" } }),
        "renameConnection" => json!({ "displayName": "mine" }),
        "signSandboxToken" => json!({ "ttlSeconds": 60 }),
        "explainRequest" => json!({ "method": "GET", "url": "https://echo.test/" }),
        "putWebhookEndpoint" => json!({ "displayName": "E", "url": "https://hooks.example/mine" }),
        "putWebhookTrigger" => {
            let action = json!({ "type": "deliver", "endpointId": "whe_none" });
            json!({ "displayName": "R", "rule": { "action": action } })
        }
        _ => json!({}),
    }
}

async fn what_is_of_another_organisation_is_as_absent_as_what_never_was(world: World) {
    let api = Api::new(world).await;
    let things = things(&api).await;
    api.pass_time(1);
    let other = api.post("/v1/organisations", json!({ "name": "other" })).await.expect(201);
    let other = other.get("id");
    let before = shown(&api, &things).await;
    let document = api.get("/openapi.json").await.expect(200).body;
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for thing in &things {
            let parameter = format!("{{{}}}", thing.parameter);
            // A sandbox asks for its bootstrap document and its events, and shows its own token.
            let own = ["/bootstrap", "/events", "/events/acknowledge"];
            let own = path.contains("{sandboxId}") && own.iter().any(|end| path.ends_with(end));
            if !path.contains(&parameter) || own {
                continue;
            }
            for method in METHODS.iter().filter(|method| operations.get(**method).is_some()) {
                let operation = operations[*method]["operationId"].as_str().expect("an id");
                let ask = async |id: &str| -> Answer {
                    let path = path.replace(&parameter, id).replace("{version}", "1");
                    let path = path.replace("{targetKey}", "echo");
                    let ask = api.ask(&method.to_uppercase(), &path);
                    let ask = ask.header("sallygate-organisation", other.as_str());
                    let takes = operations[*method].get("requestBody").is_some();
                    if takes { ask.json(body(operation)).send().await } else { ask.send().await }
                };
                let (theirs, none) = (ask(&thing.id).await, ask(thing.absent).await);
                assert_eq!(theirs.status, 404, "{operation}: {}", theirs.text);
                let same = theirs.text.replace(&thing.id, thing.absent);
                assert_eq!((same, theirs.status), (none.text, none.status), "{operation}");
                asked += 1;
            }
        }
    }
    assert!(asked > 20, "{asked} operations were asked");
    assert_eq!(shown(&api, &things).await, before, "nothing changed");
}

async fn shown(api: &Api, things: &[Thing]) -> Vec<Value> {
    let mut all = Vec::new();
    for thing in things {
        all.push(api.get(&thing.shown).await.expect(200).body);
    }
    all
}

//! The example payloads of `@octokit/webhooks-examples`, which `tests/prepare` installs: every one is
//! an event.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

use sallygate_definitions::Registry;
use sallygate_definitions::webhook::{Check, Delivery, Incoming, Legacy, WebhookSecret};
use serde_json::Value;

const EXAMPLES: &str =
    "tests/clients/node_modules/@octokit/webhooks-examples/api.github.com/index.json";

fn signature(secret: &[u8], body: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[test]
fn every_example_payload_of_github_becomes_an_event() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(EXAMPLES);
    let text = std::fs::read_to_string(path).expect("tests/prepare installs the examples");
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let registry = Registry::builtin();
    let github = registry.require("github::github-cloud").unwrap();
    let verify = &github.webhook_handler.as_ref().unwrap().verify;
    let secrets = [WebhookSecret::new("hush")];
    let check = Check { secrets: &secrets, now_ms: 0, legacy: Legacy::Refuse };
    let (mut kinds, mut payloads, mut dated, mut ordered) = (BTreeSet::new(), 0, 0, 0);
    for event in &events {
        let name = event["name"].as_str().unwrap();
        for (at, example) in event["examples"].as_array().unwrap().iter().enumerate() {
            let body = example.to_string().into_bytes();
            let (signature, delivery) = (signature(b"hush", &body), format!("{name}-{at}"));
            let headers = [
                ("x-hub-signature-256", signature.as_bytes()),
                ("x-github-event", name.as_bytes()),
                ("x-github-delivery", delivery.as_bytes()),
            ];
            let delivery = Delivery { headers: &headers, query: None, body: &body };
            let verified = verify.verify(delivery, &check).unwrap();
            let Incoming::Event(incoming) = github.incoming(&verified).unwrap() else {
                panic!("{name} is a challenge");
            };
            assert_eq!(incoming.provider_event_type, name);
            assert_eq!(incoming.external_delivery_id, format!("{name}-{at}"));
            let action = example["action"].as_str();
            let action = action.map(|action| format!(".{}", action.replace('-', "_")));
            assert_eq!(incoming.event_type, format!("github.{name}{}", action.unwrap_or_default()));
            assert_eq!(&incoming.payload, example);
            payloads += 1;
            dated += usize::from(incoming.occurred_at.is_some());
            ordered += usize::from(incoming.source_order_key.is_some());
            kinds.insert(name);
        }
    }
    assert!(kinds.len() >= 58 && payloads >= 329, "{} kinds, {payloads} payloads", kinds.len());
    assert!(dated * 10 > payloads * 7, "{dated} of {payloads} say when they happened");
    assert!(ordered * 10 > payloads * 7, "{ordered} of {payloads} say what they are ordered by");
}

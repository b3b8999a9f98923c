//! Deliveries as providers send them, signed here by the primitive and not by our own code.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::world::NOW;

/// A secret that is fine for every scheme.
pub(crate) const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
pub(crate) const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `v1,` and the signature of Standard Webhooks.
pub(crate) fn standard(secret: &str, (id, seconds): (&str, i64), body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
    let seconds = seconds.to_string();
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
    format!("v1,{}", STANDARD.encode(hmac(&key, &parts)))
}

/// A provider with what it takes to connect to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provider {
    pub(crate) definition: &'static str,
    /// Names of the form's secrets: the token, and the webhook's secret.
    pub(crate) token: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) config: fn() -> Value,
    /// The call says whose it is.
    pub(crate) by_payload: bool,
    pub(crate) sign: fn(secret: &str, body: &str, at_seconds: i64) -> Vec<(&'static str, String)>,
    /// The id of the delivery, in the body or in these headers.
    pub(crate) body: fn(id: &str) -> Value,
    pub(crate) id_header: Option<&'static str>,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) signature_header: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) transport: &'static str,
    pub(crate) has_window: bool,
}

/// A delivery that is being put together.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Sent {
    pub(crate) fn header(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(known, _)| *known == name);
        &mut found.expect("the header").1
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }
}

impl Provider {
    pub(crate) fn sent(&self, secret: &str, id: &str) -> Sent {
        self.sent_at(secret, (id, NOW / 1000), &(self.body)(id))
    }

    pub(crate) fn sent_at(&self, secret: &str, (id, seconds): (&str, i64), body: &Value) -> Sent {
        let body = body.to_string();
        let mut headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if self.signature_header == "webhook-signature" {
            headers.push(("webhook-id", id.to_owned()));
            headers.push(("webhook-timestamp", seconds.to_string()));
            headers.push(("webhook-signature", standard(secret, (id, seconds), body.as_bytes())));
        } else {
            headers.extend((self.sign)(secret, &body, seconds));
            headers.extend(self.id_header.map(|name| (name, id.to_owned())));
        }
        Sent { headers, body }
    }
}

fn of_body(name: &'static str, prefix: &str, secret: &str, body: &str) -> (&'static str, String) {
    (name, format!("{prefix}{}", hex(&hmac(secret.as_bytes(), &[body.as_bytes()]))))
}

pub(crate) const GITHUB: Provider = Provider {
    definition: "github::github-cloud",
    token: "token",
    secret: "webhookSecret",
    config: || json!({}),
    by_payload: false,
    sign: |secret, body, _| vec![of_body("x-hub-signature-256", "sha256=", secret, body)],
    body: |_| json!({ "action": "opened", "issue": { "node_id": "I_1", "number": 7 } }),
    id_header: Some("x-github-delivery"),
    headers: &[("x-github-event", "issues")],
    signature_header: "x-hub-signature-256",
    event_type: "github.issues.opened",
    transport: "signature",
    has_window: false,
};

pub(crate) const SLACK: Provider = Provider {
    definition: "slack::slack-default",
    token: "token",
    secret: "signingSecret",
    config: || json!({ "teamId": "T1" }),
    by_payload: true,
    sign: |secret, body, seconds| {
        let stamp = seconds.to_string();
        let parts: [&[u8]; 4] = [b"v0:", stamp.as_bytes(), b":", body.as_bytes()];
        let signature = format!("v0={}", hex(&hmac(secret.as_bytes(), &parts)));
        vec![("x-slack-signature", signature), ("x-slack-request-timestamp", stamp)]
    },
    body: |id| {
        let event = json!({ "type": "message", "channel": "C1" });
        json!({ "type": "event_callback", "team_id": "T1", "event_id": id, "event": event })
    },
    id_header: None,
    headers: &[],
    signature_header: "x-slack-signature",
    event_type: "slack.message",
    transport: "signature",
    has_window: true,
};

pub(crate) const LINEAR: Provider = Provider {
    definition: "linear::linear-default",
    token: "apiKey",
    secret: "webhookSecret",
    config: || json!({ "organizationId": "o-1" }),
    by_payload: true,
    sign: |secret, body, _| vec![of_body("linear-signature", "", secret, body)],
    body: |_| linear(NOW),
    id_header: Some("linear-delivery"),
    headers: &[],
    signature_header: "linear-signature",
    event_type: "linear.issue.create",
    transport: "signature",
    // Its time stands in the body, which is signed.
    has_window: false,
};

pub(crate) fn linear(at_ms: i64) -> Value {
    json!({
        "action": "create", "type": "Issue", "organizationId": "o-1",
        "webhookTimestamp": at_ms, "data": { "id": "i1" },
    })
}

pub(crate) const OPENAI: Provider = Provider {
    definition: "openai::openai-default",
    token: "apiKey",
    secret: "webhookSecret",
    config: || json!({}),
    by_payload: false,
    sign: |_, _, _| Vec::new(),
    body: |_| json!({ "type": "response.completed", "data": { "id": "resp_1" } }),
    id_header: None,
    headers: &[],
    signature_header: "webhook-signature",
    event_type: "openai.response.completed",
    transport: "signature",
    has_window: true,
};

pub(crate) const GITLAB: Provider = Provider {
    definition: "gitlab::gitlab-default",
    token: "token",
    secret: "webhookSecret",
    config: || json!({}),
    by_payload: false,
    sign: |secret, _, _| vec![("x-gitlab-token", secret.to_owned())],
    body: |_| json!({ "object_kind": "push", "ref": "refs/heads/main" }),
    id_header: Some("idempotency-key"),
    headers: &[("x-gitlab-event", "Push Hook")],
    signature_header: "x-gitlab-token",
    event_type: "gitlab.push",
    transport: "preferred",
    has_window: false,
};

pub(crate) const GITLAB_SIGNED: Provider = Provider {
    secret: "webhookSigningToken",
    signature_header: "webhook-signature",
    headers: &[("x-gitlab-event", "Push Hook"), ("idempotency-key", "fixed")],
    transport: "signature",
    has_window: true,
    ..GITLAB
};

pub(crate) const PLANE: Provider = Provider {
    definition: "plane::plane-default",
    token: "apiKey",
    secret: "webhookSecret",
    config: || json!({ "workspace": "acme", "workspaceId": "w-1" }),
    by_payload: true,
    sign: |secret, body, _| vec![of_body("x-plane-signature", "", secret, body)],
    body: |_| {
        json!({
            "event": "issue", "action": "created", "workspace_id": "w-1", "data": { "id": "p1" },
        })
    },
    id_header: Some("x-plane-delivery"),
    headers: &[("x-plane-event", "issue")],
    signature_header: "x-plane-signature",
    event_type: "plane.issue.created",
    transport: "signature",
    has_window: false,
};

/// Every scheme that a definition describes.
pub(crate) const ALL: [Provider; 7] = [GITHUB, SLACK, LINEAR, OPENAI, GITLAB, GITLAB_SIGNED, PLANE];

//! Deliveries of every provider: published vectors are taken, and whatever differs from them is not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a helper fails the test")]

use std::sync::LazyLock;

use proptest::prelude::*;
use sallygate_definitions::contract::webhook::Verifier;
use sallygate_definitions::webhook::{
    Check, Delivery, Event, Incoming, Legacy, Refusal, Transport, WebhookSecret, sign,
};
use sallygate_definitions::{Definition, Registry};
use serde_json::{Value, json};

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::builtin);

fn definition(key: &str) -> &'static Definition {
    REGISTRY.require(key).unwrap()
}

fn verifier(key: &str) -> &'static Verifier {
    &definition(key).webhook_handler.as_ref().unwrap().verify
}

/// A delivery with all that it is checked with, to be changed in one place.
#[derive(Clone, Debug)]
struct Sent {
    headers: Vec<(String, Vec<u8>)>,
    query: Option<String>,
    body: Vec<u8>,
    secrets: Vec<String>,
    now_ms: i64,
    legacy: Legacy,
}

impl Sent {
    fn new(secret: &str, body: &str, headers: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Self {
            headers: headers.iter().map(own).collect(),
            query: None,
            body: body.as_bytes().to_vec(),
            secrets: vec![secret.to_owned()],
            now_ms: 0,
            legacy: Legacy::Accept,
        }
    }

    fn at(self, seconds: i64) -> Self {
        Self { now_ms: seconds * 1000, ..self }
    }

    fn verified_by(&self, verifier: &Verifier) -> Result<Transport, Refusal> {
        self.with(verifier, |verified| verified.map(|v| v.transport()))
    }

    fn with<T>(
        &self,
        verifier: &Verifier,
        then: impl FnOnce(Result<sallygate_definitions::webhook::VerifiedDelivery<'_>, Refusal>) -> T,
    ) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let delivery =
            Delivery { headers: &headers, query: self.query.as_deref(), body: &self.body };
        let secrets: Vec<WebhookSecret> =
            self.secrets.iter().map(|secret| WebhookSecret::new(secret.as_bytes())).collect();
        let check = Check { secrets: &secrets, now_ms: self.now_ms, legacy: self.legacy };
        then(verifier.verify(delivery, &check))
    }

    fn event(&self, key: &str) -> Event {
        let incoming = self
            .with(verifier(key), |verified| definition(key).incoming(&verified.unwrap()).unwrap());
        match incoming {
            Incoming::Event(event) => *event,
            Incoming::Challenge(answer) => panic!("a challenge: {answer}"),
        }
    }
}

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation>
fn github() -> Sent {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("X-Hub-Signature-256", signature)];
    Sent::new("It's a Secret to Everybody", "Hello, World!", &headers)
}

/// The example of the specification and of its reference libraries.
fn standard() -> Sent {
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    Sent::new(secret, r#"{"test": 2432232314}"#, &headers).at(1_614_265_330)
}

/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
fn slack() -> Sent {
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let headers = [("X-Slack-Signature", signature), ("X-Slack-Request-Timestamp", "1531420618")];
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
                &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
                &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F\
                commands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    Sent::new("8f742231b10e8888abcd99yyyzzz85a5", body, &headers).at(1_531_420_618)
}

fn hex_hmac(secret: &str, body: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signed as the provider does, where it publishes no example: by the same primitive, over what its
/// page says.
fn signed(header: &str, prefix: &str, body: &str) -> Sent {
    let signature = format!("{prefix}{}", hex_hmac("hush", body.as_bytes()));
    Sent::new("hush", body, &[(header, &signature)])
}

fn linear(body: &str) -> Sent {
    signed("Linear-Signature", "", body).at(1_700_000_000)
}

const LINEAR: &str = r#"{"action": "create", "type": "Issue", "createdAt": "2023-11-14T22:13:20.000Z",
    "organizationId": "org", "webhookTimestamp": 1700000000000, "data": {"id": "i1"}}"#;

/// Every provider, with a delivery that it could have sent.
fn deliveries() -> Vec<(&'static str, Sent)> {
    vec![
        ("github::github-cloud", github()),
        ("github::github-enterprise-server", github()),
        ("openai::openai-default", standard()),
        ("gitlab::gitlab-default", standard()),
        ("slack::slack-default", slack()),
        ("linear::linear-default", linear(LINEAR)),
        ("gitea::gitea-default", signed("X-Gitea-Signature", "", "{}")),
        ("gitea::gitea-default", signed("X-Forgejo-Signature", "", "{}")),
        ("plane::plane-default", signed("X-Plane-Signature", "", "{}")),
        ("atlassian::atlassian-default", signed("X-Hub-Signature", "sha256=", "{}")),
    ]
}

fn signature_of(sent: &mut Sent) -> &mut Vec<u8> {
    let is_signature = |name: &str| name.to_ascii_lowercase().contains("signature");
    let found = sent.headers.iter_mut().find(|(name, _)| is_signature(name));
    found.map(|(_, value)| value).unwrap()
}

#[test]
fn what_a_provider_signed_is_taken() {
    for (key, sent) in deliveries() {
        assert_eq!(sent.verified_by(verifier(key)), Ok(Transport::Signature), "{key}");
        let spelled = Sent {
            headers: sent.headers.iter().map(|(n, v)| (n.to_uppercase(), v.clone())).collect(),
            ..sent.clone()
        };
        assert_eq!(spelled.verified_by(verifier(key)), Ok(Transport::Signature), "{key}");
        let secrets = vec!["older".to_owned(), sent.secrets.concat()];
        let rotated = Sent { secrets, ..sent };
        assert_eq!(rotated.verified_by(verifier(key)), Ok(Transport::Signature), "{key}");
    }
}

/// What is done to a delivery, and why it is refused then.
type Change = (&'static str, fn(&mut Sent), &'static [Refusal]);

const CHANGES: &[Change] = &[
    ("another secret", |s| s.secrets = vec!["whsec_b3RoZXI=".into()], &[Refusal::Mismatch]),
    ("no secret", |s| s.secrets.clear(), &[Refusal::NoSecret]),
    ("an empty secret", |s| s.secrets = vec![String::new()], &[Refusal::Mismatch]),
    ("no header", |s| s.headers.clear(), &[Refusal::Missing]),
    ("the header twice", |s| s.headers.extend(s.headers.clone()), &[Refusal::Repeated]),
    ("one byte more", |s| s.body.push(b' '), &[Refusal::Mismatch]),
    ("one byte less", |s| s.body.truncate(s.body.len() - 1), &[Refusal::Mismatch]),
    ("no body", |s| s.body.clear(), &[Refusal::Mismatch]),
    (
        "a signature cut short",
        |s| {
            signature_of(s).pop();
        },
        &[Refusal::Malformed, Refusal::Mismatch],
    ),
    (
        "a signature of nothing",
        |s| signature_of(s).clear(),
        &[Refusal::Malformed, Refusal::Mismatch],
    ),
    (
        "a signature and more",
        |s| signature_of(s).extend(b"00"),
        &[Refusal::Malformed, Refusal::Mismatch],
    ),
    (
        "a signature in capital letters",
        |s| signature_of(s).make_ascii_uppercase(),
        &[Refusal::Malformed, Refusal::Mismatch],
    ),
    (
        "a signature with a tab before it",
        |s| signature_of(s).insert(0, b'\t'),
        &[Refusal::Malformed, Refusal::Mismatch],
    ),
    (
        "a signature that is no text",
        |s| signature_of(s).fill(0xff),
        &[Refusal::Malformed, Refusal::Mismatch],
    ),
];

#[test]
fn whatever_differs_from_what_was_signed_is_refused() {
    for (key, sent) in deliveries() {
        for (what, change, expected) in CHANGES {
            let mut changed = sent.clone();
            change(&mut changed);
            let found = changed.verified_by(verifier(key));
            let found = found.err().unwrap_or_else(|| panic!("{key}: {what} is taken"));
            assert!(expected.contains(&found), "{key}: {what}: {found:?}");
        }
        for at in 0..sent.body.len() {
            let mut changed = sent.clone();
            if let Some(byte) = changed.body.get_mut(at) {
                *byte ^= 1;
            }
            let found = changed.verified_by(verifier(key));
            assert_eq!(found, Err(Refusal::Mismatch), "{key}: byte {at}");
        }
    }
}

#[test]
fn a_delivery_is_taken_only_near_the_time_that_it_says() {
    for (key, sent, tolerance) in [
        ("openai::openai-default", standard(), 300),
        ("gitlab::gitlab-default", standard(), 300),
        ("slack::slack-default", slack(), 300),
        ("linear::linear-default", linear(LINEAR), 60),
    ] {
        for (away, expected) in [
            (0, true),
            (tolerance, true),
            (-tolerance, true),
            (tolerance + 1, false),
            (-tolerance - 1, false),
            (86_400 * 365, false),
        ] {
            let moved = Sent { now_ms: sent.now_ms + away * 1000, ..sent.clone() };
            let found = moved.verified_by(verifier(key));
            let stale = if expected { Ok(Transport::Signature) } else { Err(Refusal::Stale) };
            assert_eq!(found, stale, "{key} {away}");
        }
    }
}

#[test]
fn a_timestamp_is_part_of_what_is_signed() {
    for (key, sent, header) in [
        ("openai::openai-default", standard(), "webhook-timestamp"),
        ("slack::slack-default", slack(), "X-Slack-Request-Timestamp"),
    ] {
        for (stamp, expected) in [
            (Some("1531420619"), Refusal::Mismatch),
            (Some(""), Refusal::Mismatch),
            (Some("now"), Refusal::Mismatch),
            (None, Refusal::Missing),
        ] {
            let mut changed = sent.clone();
            changed.headers.retain(|(name, _)| name != header);
            changed
                .headers
                .extend(stamp.map(|stamp| (header.to_owned(), stamp.as_bytes().to_vec())));
            assert_eq!(changed.verified_by(verifier(key)), Err(expected), "{key} {stamp:?}");
        }
    }
    for body in
        [r#"{"type": "Issue"}"#, r#"{"webhookTimestamp": "1700000000000"}"#, "[]", "no JSON"]
    {
        let found = linear(body).verified_by(verifier("linear::linear-default"));
        assert_eq!(found, Err(Refusal::Malformed), "{body}");
    }
}

#[test]
fn one_of_several_signatures_is_enough_and_other_versions_count_for_nothing() {
    let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let bad = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let other = good.replacen("v1,", "v1a,", 1);
    let many = [bad; 16].join(" ");
    for (signatures, expected) in [
        (format!("{bad} {good}"), Ok(Transport::Signature)),
        (format!("{good} {bad}"), Ok(Transport::Signature)),
        (format!("{other} {good}"), Ok(Transport::Signature)),
        (other.clone(), Err(Refusal::Mismatch)),
        (bad.to_owned(), Err(Refusal::Mismatch)),
        (good.replacen("v1,", "v2,", 1), Err(Refusal::Mismatch)),
        (good.replacen("v1,", "", 1), Err(Refusal::Mismatch)),
        (good.replacen('=', "", 1), Err(Refusal::Mismatch)),
        (good.replacen(' ', ",", 1).replacen("v1,", "V1,", 1), Err(Refusal::Mismatch)),
        (format!("{many} {good}"), Err(Refusal::Malformed)),
    ] {
        let mut sent = standard();
        *signature_of(&mut sent) = signatures.clone().into_bytes();
        assert_eq!(sent.verified_by(verifier("openai::openai-default")), expected, "{signatures}");
    }
}

#[test]
fn our_own_signature_is_the_published_one() {
    let secret = WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let body = br#"{"test": 2432232314}"#;
    let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
    assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    assert_eq!(sign(&WebhookSecret::new("whsec_?"), "id", 0, body), None);
    assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
}

#[test]
fn a_shared_secret_says_by_which_way_it_came() {
    let plane = "plane::plane-default";
    let by = |headers: &[(&str, &str)]| Sent::new("hush", "{}", headers);
    let query = |query: &str| Sent { query: Some(query.into()), ..by(&[]) };
    let preferred = ("X-Plane-Webhook-Secret", "hush");
    let refusing = |sent: Sent| Sent { legacy: Legacy::Refuse, ..sent };
    for (sent, key, expected) in [
        (by(&[preferred]), plane, Ok(Transport::Preferred)),
        (by(&[("X-Webhook-Secret", "hush")]), plane, Ok(Transport::Fallback)),
        (query("secret=hush"), plane, Ok(Transport::Legacy)),
        (query("a=b&secret=h%75sh"), plane, Ok(Transport::Legacy)),
        (refusing(query("secret=hush")), plane, Err(Refusal::LegacyTransport)),
        (refusing(query("secret=wrong")), plane, Err(Refusal::LegacyTransport)),
        (refusing(by(&[preferred])), plane, Ok(Transport::Preferred)),
        (query("secret=hush&secret=hush"), plane, Err(Refusal::Malformed)),
        (query("Secret=hush"), plane, Err(Refusal::Missing)),
        (query("secret="), plane, Err(Refusal::Mismatch)),
        (by(&[]), plane, Err(Refusal::Missing)),
        // The preferred place decides: nothing behind it is looked at.
        (
            by(&[("X-Plane-Webhook-Secret", "no"), ("X-Webhook-Secret", "hush")]),
            plane,
            Err(Refusal::Mismatch),
        ),
        (by(&[preferred, preferred]), plane, Err(Refusal::Repeated)),
        // A signature that is there decides: the secret beside it does not make it good.
        (by(&[("X-Plane-Signature", "00"), preferred]), plane, Err(Refusal::Malformed)),
        (by(&[("X-Gitlab-Token", "hush")]), "gitlab::gitlab-default", Ok(Transport::Preferred)),
        (by(&[("X-Gitlab-Token", "Hush")]), "gitlab::gitlab-default", Err(Refusal::Mismatch)),
        (by(&[("X-Gitlab-Token", "hus")]), "gitlab::gitlab-default", Err(Refusal::Mismatch)),
        (by(&[("X-Gitlab-Token", "hush ")]), "gitlab::gitlab-default", Err(Refusal::Mismatch)),
        (
            by(&[("webhook-signature", "v1,"), ("X-Gitlab-Token", "hush")]),
            "gitlab::gitlab-default",
            Err(Refusal::Missing),
        ),
        (
            by(&[("X-ClawLedger-Token", "hush")]),
            "clawledger::clawledger-default",
            Ok(Transport::Preferred),
        ),
        (by(&[("Authorization", "Bearer hush")]), "warp::warp-setup", Ok(Transport::Preferred)),
        (by(&[("Authorization", "bearer hush")]), "warp::warp-setup", Err(Refusal::Malformed)),
        (by(&[("Authorization", "hush")]), "warp::warp-setup", Err(Refusal::Malformed)),
    ] {
        assert_eq!(sent.verified_by(verifier(key)), expected, "{key} {sent:?}");
    }
}

/// What an operator's own definition can say about an HMAC.
#[test]
fn an_hmac_of_any_shape_is_described_by_data() {
    let with_time: Verifier = serde_json::from_value(json!({
        "kind": "hmacSha256", "header": "X-Sign", "encoding": "base64", "prefix": "t1 ",
        "signed": "timestampDotBody",
        "timestamp": {"header": "X-Time", "unit": "seconds", "toleranceSeconds": 10},
    }))
    .unwrap();
    let made = {
        use base64::Engine;
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"hush");
        let tag = aws_lc_rs::hmac::sign(&key, b"1700000000.{}");
        format!("t1 {}", base64::engine::general_purpose::STANDARD.encode(tag))
    };
    let sent = |signature: &str| {
        let headers = [("X-Sign", signature), ("X-Time", "1700000000")];
        Sent::new("hush", "{}", &headers).at(1_700_000_005)
    };
    assert_eq!(sent(&made).verified_by(&with_time), Ok(Transport::Signature));
    assert_eq!(sent(&made).at(1_700_000_011).verified_by(&with_time), Err(Refusal::Stale));
    let other = format!("t1 {}=", "A".repeat(43));
    assert_eq!(sent(&other).verified_by(&with_time), Err(Refusal::Mismatch));
    assert_eq!(
        sent(made.trim_start_matches("t1 ")).verified_by(&with_time),
        Err(Refusal::Malformed)
    );
}

#[test]
fn an_event_has_one_form_whoever_sent_it() {
    let headers =
        [("X-Gitlab-Token", "hush"), ("Idempotency-Key", "d1"), ("X-Gitlab-Event-UUID", "e1")];
    let body = json!({"object_kind": "merge_request", "project": {"path_with_namespace": "g/p"},
        "object_attributes": {"id": 7, "action": "open", "updated_at": "2017-09-15 16:50:55 UTC"}});
    let event = Sent::new("hush", &body.to_string(), &headers).event("gitlab::gitlab-default");
    let expected = Event {
        external_event_id: "e1".into(),
        external_delivery_id: "d1".into(),
        provider_event_type: "merge_request".into(),
        event_type: "gitlab.merge_request.open".into(),
        payload: body,
        occurred_at: Some("2017-09-15T16:50:55Z".into()),
        source_order_key: Some("7".into()),
    };
    assert_eq!(event, expected);

    let mut sent = linear(LINEAR);
    sent.headers.push(("Linear-Delivery".into(), b"d2".to_vec()));
    let event = sent.event("linear::linear-default");
    assert_eq!(
        (event.event_type.as_str(), event.external_delivery_id.as_str()),
        ("linear.issue.create", "d2")
    );
    assert_eq!(event.occurred_at.as_deref(), Some("2023-11-14T22:13:20Z"));
    assert_eq!(event.source_order_key.as_deref(), Some("i1"));

    let body = r#"{"webhookEvent": "jira:issue_updated", "timestamp": 1531420618500, "issue": {"id": "10"}}"#;
    let event = signed("X-Hub-Signature", "sha256=", body).event("atlassian::atlassian-default");
    assert_eq!(event.event_type, "atlassian.issue.updated");
    assert!(event.external_delivery_id.starts_with("sha256:"), "{event:?}");
    assert_eq!(event.occurred_at.as_deref(), Some("2018-07-12T18:36:58.5Z"));
}

#[test]
fn what_the_catalogue_does_not_list_is_named_after_the_provider() {
    for (event, body, expected) in [
        ("push", json!({}), "github.push"),
        ("issues", json!({"action": "opened"}), "github.issues.opened"),
        ("Strange-Event", json!({"action": "Half Done"}), "github.strange_event.half_done"),
    ] {
        let body = body.to_string();
        let mut sent = signed("X-Hub-Signature-256", "sha256=", &body);
        sent.headers.push(("X-GitHub-Event".into(), event.as_bytes().to_vec()));
        assert_eq!(sent.event("github::github-cloud").event_type, expected);
    }
}

#[test]
fn a_challenge_is_answered_and_is_no_event() {
    let body = r#"{"type": "url_verification", "token": "t", "challenge": "3eZbrw1aB"}"#;
    let base = format!("v0:1531420618:{body}");
    let signature = format!("v0={}", hex_hmac("hush", base.as_bytes()));
    let headers =
        [("X-Slack-Signature", signature.as_str()), ("X-Slack-Request-Timestamp", "1531420618")];
    let sent = Sent::new("hush", body, &headers).at(1_531_420_618);
    let key = "slack::slack-default";
    let incoming = sent.with(verifier(key), |v| definition(key).incoming(&v.unwrap()).unwrap());
    assert_eq!(incoming, Incoming::Challenge("3eZbrw1aB".into()));
}

#[test]
fn a_payload_may_come_as_a_form_and_must_be_json() {
    let event = ("X-GitHub-Event".to_owned(), b"push".to_vec());
    let form = ("content-type".to_owned(), b"application/x-www-form-urlencoded".to_vec());
    let key = "github::github-cloud";
    for (body, headers, expected) in [
        ("payload=%7B%22ref%22%3A%22r%22%7D", vec![event.clone(), form.clone()], None),
        ("payload=%7B", vec![event.clone(), form.clone()], Some("payload_not_json")),
        ("other=1", vec![event.clone(), form], Some("payload_not_json")),
        ("{", vec![event.clone()], Some("payload_not_json")),
        ("", vec![event.clone()], Some("payload_not_json")),
        ("{}", vec![], Some("event_type_missing")),
        ("{}", vec![event], None),
    ] {
        let mut sent = signed("X-Hub-Signature-256", "sha256=", body);
        sent.headers.extend(headers);
        let incoming = sent.with(verifier(key), |v| definition(key).incoming(&v.unwrap()));
        assert_eq!(incoming.err().map(|error| error.code()), expected, "{body}");
    }
}

#[test]
fn a_payload_names_the_connection_that_it_is_for() {
    for (key, body, expected) in [
        ("slack::slack-default", r#"{"team_id": "T1"}"#, Some("T1")),
        ("linear::linear-default", LINEAR, Some("org")),
        ("plane::plane-default", r#"{"workspace_id": "w1"}"#, Some("w1")),
        ("plane::plane-default", r#"{"workspace_id": null}"#, None),
        ("plane::plane-default", "no JSON", None),
        ("github::github-cloud", r#"{"installation": {"id": 1}}"#, None),
    ] {
        let delivery = Delivery { headers: &[], query: None, body: body.as_bytes() };
        assert_eq!(
            definition(key).named_connection(&delivery).as_deref(),
            expected,
            "{key} {body}"
        );
    }
}

#[test]
fn every_definition_with_webhooks_says_how_they_are_verified() {
    let with = REGISTRY.iter().filter(|definition| definition.webhook_handler.is_some());
    let families: Vec<&str> = with.map(|definition| definition.family_id.as_str()).collect();
    let expected = [
        "atlassian",
        "clawledger",
        "gitea",
        "github",
        "github",
        "gitlab",
        "linear",
        "openai",
        "plane",
        "slack",
        "warp",
    ];
    assert_eq!(families, expected);
    let codes: std::collections::BTreeSet<&str> = Refusal::ALL.iter().map(|r| r.code()).collect();
    assert_eq!(codes.len(), Refusal::ALL.len());
}

proptest! {
    /// Nothing that anybody makes up is taken, and nothing makes it panic.
    #[test]
    fn no_delivery_is_taken_without_the_secret(
        names in prop::collection::vec(0..12_usize, 0..4),
        values in prop::collection::vec("[ -~]{0,80}", 4),
        body in prop::collection::vec(any::<u8>(), 0..64),
        query in "[a-z=&%]{0,20}",
    ) {
        let known = ["X-Hub-Signature-256", "X-Hub-Signature", "webhook-id", "webhook-timestamp",
            "webhook-signature", "X-Slack-Signature", "X-Slack-Request-Timestamp",
            "Linear-Signature", "X-Gitea-Signature", "X-Plane-Signature", "X-Gitlab-Token",
            "Authorization"];
        let headers: Vec<(String, Vec<u8>)> = names.iter().zip(&values).filter_map(|(at, value)| {
            Some(((*known.get(*at)?).to_owned(), value.clone().into_bytes()))
        }).collect();
        let secrets = vec!["a secret that nobody guesses".to_owned()];
        let sent = Sent { headers, query: Some(query), body, secrets, now_ms: 0, legacy: Legacy::Accept };
        for definition in REGISTRY.iter() {
            let Some(handler) = &definition.webhook_handler else { continue };
            prop_assert!(sent.verified_by(&handler.verify).is_err());
        }
    }

    #[test]
    fn every_payload_that_is_json_becomes_an_event(action in "\\PC{0,12}", number: i64) {
        let body: Value = json!({"action": action, "issue": {"updated_at": number, "node_id": action}});
        let body = body.to_string();
        let mut sent = signed("X-Hub-Signature-256", "sha256=", &body);
        sent.headers.push(("X-GitHub-Event".into(), b"issues".to_vec()));
        let event = sent.event("github::github-cloud");
        prop_assert!(event.event_type.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b)));
    }
}

//! An installation with a connection to a provider.

use std::sync::Arc;
use std::time::Duration;

use sallygate_control::outbound::Reach;
use sallygate_control::service::Control;
use sallygate_control::store::{Access, Location, Store, fetch_optional};
use sallygate_control::webhook::{Webhooks, Worker};
use serde_json::{Value, json};

use crate::providers::{Provider, SECRET, Sent};
use crate::receiver::Receiver;
use crate::scene::{Answer, Api};
use crate::world::{NOW, World};

pub(crate) const WEBHOOKS: &str = "/v1/integration/webhooks";

pub(crate) struct Stage {
    pub(crate) api: Arc<Api>,
    key: String,
    pub(crate) provider: Provider,
    pub(crate) connection: String,
    location: Location,
    reach: Reach,
}

impl Stage {
    pub(crate) async fn new(world: World, provider: Provider) -> Self {
        Self::reaching(world, provider, Reach::default()).await
    }

    /// Where deliveries may reach the receiver.
    pub(crate) async fn with_receiver(world: World, receiver: &Receiver) -> Self {
        Self::reaching(world, crate::providers::GITHUB, receiver.reach()).await
    }

    async fn reaching(world: World, provider: Provider, reach: Reach) -> Self {
        let location = world.location.clone();
        let api = Arc::new(Api::reaching(world, reach.clone()).await);
        Self::at(api, ("t".to_owned(), provider), (&location, &reach)).await
    }

    /// The same installation, with a target of another provider.
    pub(crate) async fn next(&self, provider: Provider) -> Self {
        let key = format!("t-{}", self.count("SELECT COUNT(*) FROM targets").await);
        Self::at(Arc::clone(&self.api), (key, provider), (&self.location, &self.reach)).await
    }

    async fn at(
        api: Arc<Api>,
        (key, provider): (String, Provider),
        (location, reach): (&Location, &Reach),
    ) -> Self {
        let target = json!({ "definition": provider.definition, "displayName": "T" });
        api.put(&format!("/v1/integration/targets/{key}"), target).await.expect(200);
        let (location, reach) = (location.clone(), reach.clone());
        let mut stage = Self { api, key, provider, connection: String::new(), location, reach };
        stage.connection = stage.connect(SECRET).await;
        stage
    }

    /// A further connection to the target; its id.
    pub(crate) async fn connect(&self, secret: &str) -> String {
        let mut secrets = json!({ self.provider.token: "a-token-for-the-api" });
        secrets[self.provider.secret] = json!(secret);
        let config = (self.provider.config)();
        let body = json!({ "displayName": "C", "config": config, "secrets": secrets });
        let path = format!("/v1/integration/connections/{}/form", self.key);
        self.api.post(&path, body).await.expect(201).get("id")
    }

    /// Another process on the same database.
    pub(crate) async fn replica(&self) -> Control {
        let store = Store::open(&self.location, NOW).await.expect("the store opens");
        let webhooks = Webhooks::new(&self.reach).expect("metrics");
        Control { store, webhooks, ..self.api.control.clone() }
    }

    pub(crate) fn worker(&self) -> Worker {
        Worker::new(self.api.control.clone())
    }

    pub(crate) fn path(&self) -> String {
        let rest = if self.provider.by_payload { "" } else { &format!("/{}", self.connection) };
        format!("/p/integration/webhooks/{}{rest}", self.key)
    }

    pub(crate) async fn send(&self, sent: &Sent) -> Answer {
        self.send_to(&self.path(), sent).await
    }

    pub(crate) async fn send_to(&self, path: &str, sent: &Sent) -> Answer {
        let mut ask = self.api.ask("POST", path).without("authorization");
        for (name, value) in &sent.headers {
            ask = ask.header(name, value.clone());
        }
        ask.text(sent.body.clone()).send().await
    }

    /// A delivery of this id, accepted.
    pub(crate) async fn accepted(&self, id: &str) {
        let answer = self.send(&self.provider.sent(SECRET, id)).await.expect(202);
        assert_eq!(answer.body, json!({ "status": "accepted" }));
    }

    pub(crate) async fn events(&self) -> Vec<Value> {
        self.items("events").await
    }

    pub(crate) async fn items(&self, what: &str) -> Vec<Value> {
        let list = self.api.get(&format!("{WEBHOOKS}/{what}?limit=200")).await.expect(200).body;
        list["items"].as_array().expect("items").clone()
    }

    pub(crate) async fn endpoint(&self, receiver: &Receiver) -> (String, String) {
        let body = json!({ "displayName": "E", "url": receiver.url() });
        let made = self.api.post(&format!("{WEBHOOKS}/endpoints"), body).await.expect(201);
        (made.get("id"), made.get("secret"))
    }

    pub(crate) async fn trigger(&self, rule: Value) -> String {
        let body = json!({ "displayName": "R", "rule": rule });
        self.api.post(&format!("{WEBHOOKS}/triggers"), body).await.expect(201).get("id")
    }

    /// An endpoint at the receiver, and a trigger that sends everything there. Ids and secret.
    pub(crate) async fn everything_to(&self, receiver: &Receiver) -> (String, String) {
        let (endpoint, secret) = self.endpoint(receiver).await;
        let action = json!({ "type": "deliver", "endpointId": endpoint });
        self.trigger(json!({ "action": action })).await;
        (endpoint, secret)
    }

    /// Puts more of what is in the only inbox into it, as often.
    pub(crate) async fn fill_inbox(&self, times: i64) {
        let mut transaction = self.api.control.store.begin(Access::Locking).await.expect("a store");
        for n in 0..times {
            let sql = "INSERT INTO sandbox_events (id, organisation_id, sandbox_id, event_id, \
                       trigger_id, round, sequence, created_at) SELECT $1, organisation_id, \
                       sandbox_id, event_id, $1, round, sequence, created_at FROM sandbox_events \
                       WHERE id NOT LIKE 'filled-%'";
            let values = sallygate_control::values![format!("filled-{n}")];
            transaction.execute(sql, values).await.expect("it is written");
        }
        transaction.commit().await.expect("it is kept");
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let mut transaction = self.api.control.store.begin(Access::Read).await.expect("a store");
        let row = fetch_optional(&mut *transaction, sql, Vec::new()).await.expect("an answer");
        row.expect("a row").integer().expect("a number")
    }

    /// Everything that is written about webhooks.
    pub(crate) async fn written(&self) -> i64 {
        self.count(
            "SELECT (SELECT COUNT(*) FROM webhook_events) + (SELECT COUNT(*) FROM webhook_jobs) \
             + (SELECT COUNT(*) FROM webhook_contents)",
        )
        .await
    }
}

/// What happens within a time, or the test fails.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it happens")
}

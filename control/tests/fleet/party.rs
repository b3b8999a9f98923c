//! A control service that listens, a profile that binds a connection, and proxies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use sallygate_control::api::{self, ApiMetrics, Serving, router};
use sallygate_control::domain::proxy;
use sallygate_control::feed::{About, Feed, InForce, Order, Proxy, Refused};
use sallygate_control::fleet::{Identity, Link, Remote, ResolveBody, Unreached};
use sallygate_control::service::Control;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::scene::Api;
use crate::world::World;

pub(crate) const CANARY: &str = "canary-0123456789-0123456789-LAST";
pub(crate) const PROFILES: &str = "/v1/sandbox/profiles";

pub(crate) struct Party {
    pub(crate) api: Api,
    pub(crate) profile: String,
    pub(crate) connection: String,
    pub(crate) replica: Replica,
}

/// A process of the control service, but for the process.
pub(crate) struct Replica {
    pub(crate) control: Control,
    pub(crate) address: SocketAddr,
    serving: Serving,
    feed: JoinHandle<()>,
}

impl Replica {
    /// Over the database of `control`; port 0 lets the system choose.
    pub(crate) async fn start(control: &Control, port: u16) -> Self {
        let control = Control { feed: Feed::default(), ..control.clone() };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let serving = api::serve(control.clone(), address).await.expect("it listens");
        let running = control.clone();
        let feed = tokio::spawn(async move { running.feed.clone().run(running).await });
        Self { control, address: serving.address, serving, feed }
    }

    pub(crate) async fn stop(self) {
        self.feed.abort();
        self.serving.stop().await;
    }
}

impl Party {
    /// With a version that is written, and nothing in force.
    pub(crate) async fn new(world: World) -> Self {
        let mut api = Api::new(world).await;
        let replica = Replica::start(&api.control, 0).await;
        // What the API is asked wakes the feed of the process that listens.
        api.router = router(&replica.control, &ApiMetrics::new().expect("metrics"));
        api.echo_target("echo").await;
        let connection = api.connect("echo", CANARY).await;
        let made = api.post(PROFILES, json!({ "name": "web" })).await.expect(201);
        let party = Self { profile: made.get("id"), api, connection, replica };
        party.add(party.version()).await;
        party
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("{PROFILES}/{}{rest}", self.profile)
    }

    /// A version that binds the connection.
    pub(crate) fn version(&self) -> Value {
        let binding = json!({ "id": "demo", "connectionId": self.connection });
        json!({ "bindings": [binding] })
    }

    pub(crate) async fn add(&self, version: Value) -> Value {
        self.api.post(&self.path("/versions"), version).await.expect(201).body
    }

    /// Puts a version in force, and waits until proxies serve it.
    pub(crate) async fn publish(&self, version: i64) -> Value {
        let body = json!({ "version": version });
        self.api.post(&self.path("/publish?wait=20"), body).await.expect(200).body
    }

    pub(crate) async fn sandbox(&self) -> String {
        let body = json!({ "profileId": self.profile });
        self.api.post("/v1/sandboxes", body).await.expect(201).get("id")
    }

    /// The text of a token that lets a proxy in.
    pub(crate) async fn invitation(&self) -> String {
        let body = json!({ "name": "edge" });
        self.api.post("/v1/proxies/enrollments", body).await.expect(201).get("token")
    }

    pub(crate) fn link(&self, identity: Identity) -> Link {
        self.link_to(&format!("http://{}", self.replica.address), identity)
    }

    fn link_to(&self, url: &str, identity: Identity) -> Link {
        let clock = self.api.control.clock.clone();
        Link::new(url, &[], Arc::new(identity), clock).expect("a loopback address")
    }

    /// A proxy that was let in and does not listen yet.
    pub(crate) async fn proxy(&self) -> Edge {
        let home = tempfile::tempdir().expect("a directory");
        let identity = Identity::open_or_create(home.path()).expect("a key");
        let enrolled = self.link(identity).enroll(&self.invitation().await).await;
        let mut identity = Identity::open_or_create(home.path()).expect("a key");
        identity.remember(enrolled.expect("it is let in")).expect("it is written");
        let id = identity.enrolled().expect("enrolled").proxy_id.clone();
        Edge { home, id }
    }

    /// What its control service says of a proxy.
    pub(crate) async fn shown(&self, id: &str) -> Value {
        self.api.get(&format!("/v1/proxies/{id}")).await.expect(200).body
    }

    /// Waits until a proxy is one that is waited for.
    pub(crate) async fn until_live(&self, edges: &[&Edge]) {
        for edge in edges {
            while self.shown(&edge.id).await["live"] != true {
                tokio::task::yield_now().await;
            }
        }
    }

    pub(crate) fn wanted(&self, sandbox: &str, digest: &Value) -> ResolveBody {
        ResolveBody {
            sandbox_id: sandbox.to_owned(),
            plan_digest: digest.as_str().expect("a digest").to_owned(),
            connection_id: self.connection.clone(),
            secret_type: "api_key".to_owned(),
            slot_key: None,
            resolver_key: None,
            scope: serde_json::Map::new(),
        }
    }
}

/// The directory of a proxy, and who it is.
pub(crate) struct Edge {
    pub(crate) home: TempDir,
    pub(crate) id: String,
}

/// A proxy that listens, as long as this is there.
pub(crate) struct Running {
    pub(crate) remote: Remote,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    /// Plans that it does not serve.
    pub(crate) refuses: Arc<Mutex<Refused>>,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Edge {
    pub(crate) fn identity(&self) -> Identity {
        Identity::open_or_create(self.home.path()).expect("a key")
    }

    pub(crate) fn link(&self, party: &Party) -> Link {
        party.link(self.identity())
    }

    pub(crate) fn start(&self, party: &Party) -> Running {
        self.start_at(party, &format!("http://{}", party.replica.address))
    }

    pub(crate) fn start_at(&self, party: &Party, url: &str) -> Running {
        let (link, clock) = (party.link_to(url, self.identity()), party.api.control.clock.clone());
        let with = (clock, about());
        let remote = Remote::open(link, self.home.path(), with).expect("its files");
        let (sender, orders) = mpsc::unbounded_channel();
        let refuses = Arc::new(Mutex::new(Refused::new()));
        let (listening, refused) = (remote.clone(), Arc::clone(&refuses));
        let proxy: Proxy = Arc::new(move |order| {
            // Whoever looked has seen enough.
            let _ = sender.send(order);
            refused.lock().expect("a lock").clone()
        });
        let task = tokio::spawn(async move { listening.run(proxy, || ()).await });
        Running { remote, orders, refuses, task }
    }

    pub(crate) async fn in_the_store(&self, party: &Party) -> proxy::Proxy {
        let begun = party.api.control.store.begin(sallygate_control::store::Access::Read).await;
        let mut transaction = begun.expect("a transaction");
        proxy::find(&mut *transaction, &self.id).await.expect("a proxy")
    }
}

impl Running {
    /// What is put in force next.
    pub(crate) async fn applied(&mut self) -> InForce {
        loop {
            match self.orders.recv().await.expect("an order") {
                Order::Apply(in_force) => return in_force,
                Order::Forget(_) => {}
            }
        }
    }

    /// What is put in force next that is like this.
    pub(crate) async fn until(&mut self, like: impl Fn(&InForce) -> bool) -> InForce {
        loop {
            let applied = self.applied().await;
            if like(&applied) {
                return applied;
            }
        }
    }

    pub(crate) async fn forgotten(&mut self) -> Vec<String> {
        loop {
            match self.orders.recv().await.expect("an order") {
                Order::Apply(_) => {}
                Order::Forget(connections) => return connections,
            }
        }
    }

    /// Everything that it was ordered so far.
    pub(crate) fn so_far(&mut self) -> Vec<Order> {
        std::iter::from_fn(|| self.orders.try_recv().ok()).collect()
    }

    pub(crate) async fn resolve(&self, wanted: &ResolveBody) -> Result<String, String> {
        let resolved = self.remote.resolve(wanted).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        resolved.map(|it| text(it.secret.expose())).map_err(|error| format!("{error:?}"))
    }
}

/// What every proxy here says of itself.
pub(crate) fn about() -> About {
    let ca = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    About { entrance: Some("edge.example:8089".to_owned()), ca_pem: Some(ca.to_owned()) }
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(outcome: Result<T, Unreached>) -> String {
    match outcome.expect_err("it is refused") {
        Unreached::Refused { code, .. } | Unreached::Later { code, .. } => code,
        Unreached::Revoked => "proxy_revoked".to_owned(),
        other @ (Unreached::Away | Unreached::Identity(_)) => format!("{other:?}"),
    }
}

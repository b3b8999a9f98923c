//! What is killed anywhere, has no room, or has its clock set back leaves nothing half and loses
//! nothing, on both databases.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails where what it relies on is not there"
)]

mod killed;
#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use killed::killed_after;
use sallygate_control::change;
use sallygate_control::credentials::Vault;
use sallygate_control::domain::audit;
use sallygate_control::store::{Access, Row, StoreError, Topic, Transaction, Value as Cell};
use sallygate_control::values;
use scene::Api;
use serde_json::{Value, json};
use world::{NOW, World};

on_both_databases!(
    a_publish_that_is_killed_anywhere_happened_whole_or_not_at_all,
    a_new_data_key_that_is_killed_anywhere_is_finished_by_the_next,
    a_new_master_key_that_is_killed_anywhere_is_finished_by_the_next,
    a_clock_that_is_set_back_changes_no_order,
);

const PROFILES: &str = "/v1/sandbox/profiles";
const SECRET: &str = "the-secret-of-connection";

/// What is in force, what was told of it, and what is on record, which always agree.
#[derive(Debug, PartialEq, Eq)]
struct InForce {
    version: Option<i64>,
    told: usize,
    recorded: usize,
}

struct Scene {
    api: Api,
    profile: String,
}

impl Scene {
    /// A profile with two versions, neither of which is in force.
    async fn new(world: World) -> Self {
        let api = Api::new(world).await;
        let made = api.post(PROFILES, json!({ "name": "web" })).await.expect(201);
        let profile = made.get("id");
        for unmatched in ["deny", "passthrough"] {
            let version = json!({ "policy": { "unmatched": unmatched } });
            let path = format!("{PROFILES}/{profile}/versions");
            api.post(&path, version).await.expect(201);
        }
        Self { api, profile }
    }

    async fn in_force(&self) -> InForce {
        let shown = self.api.get(&format!("{PROFILES}/{}", self.profile)).await.expect(200).body;
        let notices = self.api.notices().await;
        let recorded = self.audited().await;
        InForce {
            version: shown["publishedVersion"].as_i64(),
            told: notices.iter().filter(|notice| notice.topic == Topic::Published).count(),
            recorded: recorded.iter().filter(|entry| entry["action"] == "profile.publish").count(),
        }
    }

    async fn audited(&self) -> Vec<Value> {
        let listed = self.api.get("/v1/audit?limit=200").await.expect(200).body;
        listed["items"].as_array().expect("items").clone()
    }

    async fn publish(&self, version: i64) {
        let path = format!("{PROFILES}/{}/publish", self.profile);
        self.api.post(&path, json!({ "version": version })).await.expect(200);
    }

    async fn record_is_whole(&self) {
        let mut transaction = self.api.control.store.begin(Access::Read).await.expect("a store");
        let broken = audit::first_broken(&mut *transaction).await.expect("a record");
        assert_eq!(broken, None);
    }

    /// Every secret opens, with what it was when it was put in.
    async fn all_open(&self, vault: &Vault, count: usize) {
        let mut transaction = self.api.control.store.begin(Access::Read).await.expect("a store");
        let sql = "SELECT organisation_id, id, key_version, ciphertext FROM credentials";
        let rows = transaction.fetch(sql, Vec::new()).await.expect("credentials");
        assert_eq!(rows.len(), count);
        for row in rows {
            let opened = open(vault, &mut *transaction, row).await;
            assert_eq!(opened, SECRET);
        }
    }

    async fn connections(&self, count: usize) {
        self.api.echo_target("echo").await;
        for _ in 0..count {
            self.api.connect("echo", SECRET).await;
        }
    }

    async fn organisation(&self) -> String {
        let mut transaction = self.api.control.store.begin(Access::Read).await.expect("a store");
        let sql = "SELECT id FROM organisations";
        let rows = transaction.fetch(sql, Vec::new()).await.expect("an answer");
        rows.into_iter().next().expect("a row").text().expect("an id")
    }

    async fn number(&self, sql: &'static str, values: Vec<Cell>) -> i64 {
        let mut transaction = self.api.control.store.begin(Access::Read).await.expect("a store");
        let rows = transaction.fetch(sql, values).await.expect("an answer");
        rows.into_iter().next().expect("a row").integer().expect("a number")
    }
}

async fn open(vault: &Vault, transaction: &mut dyn Transaction, mut row: Row) -> String {
    use sallygate_control::credentials::{Place, Sealed};

    let (owner, id) = (row.text().expect("an owner"), row.text().expect("an id"));
    let key_version = row.integer().expect("a version");
    let sealed = Sealed { key_version, ciphertext: row.bytes().expect("bytes") };
    let place = Place { table: "credentials", row: &id, column: "ciphertext" };
    let opened = vault.open(transaction, &owner, place, &sealed).await;
    let opened = opened.unwrap_or_else(|error| panic!("{id}: {error}"));
    String::from_utf8_lossy(opened.expose()).into_owned()
}

async fn a_publish_that_is_killed_anywhere_happened_whole_or_not_at_all(world: World) {
    let scene = Scene::new(world).await;
    let mut before = scene.in_force().await;
    assert_eq!(before, InForce { version: None, told: 0, recorded: 0 });
    let (mut polls, mut undone) = (0, 0);
    loop {
        let next = before.version.map_or(1, |version| 3 - version);
        let done = killed_after(polls, scene.publish(next)).await;
        let after = scene.in_force().await;
        if after == before {
            undone += 1;
            // Whoever asks again gets it.
            scene.publish(next).await;
        }
        let expected =
            InForce { version: Some(next), told: before.told + 1, recorded: before.recorded + 1 };
        before = scene.in_force().await;
        assert_eq!(before, expected, "after {polls} polls");
        if done {
            break;
        }
        polls += 1;
    }
    assert!(undone > 0, "it was killed before it was done");
    scene.record_is_whole().await;
}

async fn a_new_data_key_that_is_killed_anywhere_is_finished_by_the_next(world: World) {
    let scene = Scene::new(world).await;
    // More than are sealed again in one step.
    let count = 70;
    scene.connections(count).await;
    let (store, vault) = (&scene.api.control.store, &scene.api.control.vault);
    let organisation = scene.organisation().await;
    let mut polls = 0;
    loop {
        let rotating = async {
            vault.rotate_data_key(store, &organisation, NOW).await.expect("a rotation");
        };
        let done = killed_after(polls, rotating).await;
        scene.all_open(vault, count).await;
        // What is written meanwhile is sealed as well, and opens.
        vault.rotate_data_key(store, &organisation, NOW).await.expect("a rotation");
        let newest = "SELECT MAX(version) FROM data_keys WHERE owner = $1";
        let newest = scene.number(newest, values![&organisation]).await;
        let left = "SELECT COUNT(*) FROM credentials WHERE key_version < $1";
        assert_eq!(scene.number(left, values![newest]).await, 0, "after {polls} polls");
        scene.all_open(vault, count).await;
        if done {
            break;
        }
        // Not every point: a rotation of so many waits some hundred times.
        polls = polls * 5 / 4 + 1;
    }
    assert!(polls > 5, "it was killed somewhere");
}

async fn a_new_master_key_that_is_killed_anywhere_is_finished_by_the_next(world: World) {
    let scene = Scene::new(world).await;
    scene.connections(2).await;
    let store = &scene.api.control.store;
    let mut polls = 0;
    loop {
        let vault = scene.api.next_master_key();
        let rewrapping = async {
            vault.rewrap(store).await.expect("data keys");
        };
        let done = killed_after(polls, rewrapping).await;
        scene.all_open(&vault, 2).await;
        vault.rewrap(store).await.expect("data keys");
        scene.all_open(&scene.api.newest_master_key_alone(), 2).await;
        if done {
            break;
        }
        polls += 1;
    }
    assert!(polls > 0, "it was killed somewhere");
}

async fn a_clock_that_is_set_back_changes_no_order(world: World) {
    let scene = Scene::new(world).await;
    scene.publish(1).await;
    scene.api.pass_time(-24 * 3_600_000);
    scene.publish(2).await;
    assert_eq!(scene.in_force().await, InForce { version: Some(2), told: 2, recorded: 2 });
    let notices = scene.api.notices().await;
    assert!(notices.is_sorted_by_key(|notice| notice.sequence), "{notices:?}");
    let recorded = scene.audited().await;
    let versions = recorded.iter().filter(|entry| entry["action"] == "profile.publish");
    let versions: Vec<_> = versions.map(|entry| entry["after"]["version"].as_i64()).collect();
    assert_eq!(versions, [Some(1), Some(2)]);
    scene.record_is_whole().await;
}

/// Lets the connection that writes have as many pages as there are, and no more: SQLite says the
/// same then as on a disk without room, and ends its transaction by itself.
async fn fill_up(api: &Api) {
    let limited: Result<(), StoreError> = change!(api.control.store, |transaction| {
        transaction.define("PRAGMA max_page_count = 1".to_owned()).await
    });
    limited.expect("SQLite takes its limit");
}

#[tokio::test]
async fn without_room_a_write_is_refused_and_what_is_there_is_read() {
    let scene = Scene::new(World::sqlite()).await;
    scene.publish(1).await;
    fill_up(&scene.api).await;
    // The last free pages are used up by what fits into them.
    let mut made = 0;
    let refused = loop {
        let body = json!({ "name": format!("{made}-{}", "x".repeat(100)) });
        let answer = scene.api.post(PROFILES, body).await;
        if answer.status.is_success() {
            made += 1;
            assert!(made < 1000, "there is always room");
        } else {
            break answer;
        }
    };
    refused.refused(503, "store_full");
    assert_eq!(refused.headers["retry-after"], "30");
    let listed = |body: &Value| body["items"].as_array().expect("items").len();
    let shown = scene.api.get(&format!("{PROFILES}?limit=200")).await.expect(200).body;
    assert_eq!(listed(&shown), (made + 1).min(200), "all that was acknowledged, and no more");
    assert_eq!(scene.in_force().await.version, Some(1));
    scene.record_is_whole().await;
    // The limit went with its connection: there is room, and the service goes on by itself.
    scene.api.post(PROFILES, json!({ "name": "after" })).await.expect(201);
    scene.publish(2).await;
    scene.record_is_whole().await;
}

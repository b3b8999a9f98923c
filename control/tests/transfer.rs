//! From the embedded database to a real PostgreSQL server: everything, or nothing.
#![expect(clippy::expect_used, reason = "a test fails where what it relies on is not there")]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use sallygate_control::domain::audit;
use sallygate_control::feed::Feed;
use sallygate_control::service::Control;
use sallygate_control::store::{Access, Store};
use sallygate_control::transfer::{TransferError, transfer};
use scene::{Api, OPERATOR};
use serde_json::json;
use world::World;

/// Something of each kind, with secrets.
async fn populate(api: &Api) {
    api.echo_target("echo").await;
    let connection = api.connect("echo", "hunter2").await;
    let profile = api.post("/v1/sandbox/profiles", json!({ "name": "Mine" })).await.expect(201);
    let profile = profile.get("id");
    let bound = json!({ "bindings": [{ "connectionId": connection }] });
    let path = format!("/v1/sandbox/profiles/{profile}");
    api.post(&format!("{path}/versions"), bound).await.expect(201);
    api.post(&format!("{path}/publish"), json!({})).await.expect(200);
    api.post("/v1/sandboxes", json!({ "profileId": profile })).await.expect(201);
    api.token("member").await;
    // More than are held at once.
    for at in 0..130 {
        for key in ["a", "b", "c", "d"] {
            api.echo_target(&format!("{key}{at}")).await;
        }
    }
}

/// Every row of every table, as both databases show it.
async fn everything(store: &Store) -> Vec<String> {
    let mut transaction = store.begin(Access::Read).await.expect("a transaction");
    let mut found = Vec::new();
    for table in store.tables().await.expect("tables") {
        let sql = format!("SELECT {} FROM {}", table.column_names(), table.name);
        for mut row in transaction.fetch_built(sql, Vec::new()).await.expect("rows") {
            let values = table.columns.iter().map(|column| row.value(&column.absent));
            let shown = values.map(|value| shown(&value.expect("a value")));
            found.push(format!("{} {}", table.name, shown.collect::<Vec<_>>().join("|")));
        }
    }
    found.sort();
    found
}

fn shown(value: &sallygate_control::store::Value) -> String {
    use sallygate_control::store::Value;
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(integer) => format!("{integer:?}"),
        Value::Bytes(bytes) => format!("{bytes:?}"),
    }
}

#[tokio::test]
async fn every_row_arrives_and_the_service_goes_on_there() {
    let api = Api::new(World::sqlite()).await;
    populate(&api).await;
    let (from, to) = (&api.control.store, World::postgres().store().await);
    let before = everything(from).await;
    assert!(before.len() > 1000, "{}", before.len());
    let copied = transfer(from, &to).await.expect("copied");
    assert_eq!(everything(&to).await, before);
    let rows: i64 = copied.iter().map(|table| table.rows).sum();
    assert_eq!(usize::try_from(rows).expect("a count"), before.len());
    let control = Control { store: to.clone(), feed: Feed::default(), ..api.control.clone() };
    control.prepare(OPERATOR).await.expect("it starts there");
    assert_eq!(everything(&to).await, before, "a start there makes nothing anew");
    let mut transaction = to.begin(Access::Read).await.expect("a transaction");
    assert_eq!(audit::first_broken(&mut *transaction).await.expect("a chain"), None);
}

#[tokio::test]
async fn a_database_with_rows_is_left_alone() {
    let api = Api::new(World::sqlite()).await;
    let to = Api::new(World::postgres()).await;
    let before = everything(&to.control.store).await;
    let refused = transfer(&api.control.store, &to.control.store).await;
    assert!(matches!(refused, Err(TransferError::NotEmpty(_))), "{refused:?}");
    assert_eq!(everything(&to.control.store).await, before);
}

#[tokio::test]
async fn only_from_the_embedded_database_to_postgres() {
    let sqlite = World::sqlite();
    let (sqlite, postgres) = (sqlite.store().await, World::postgres().store().await);
    for (from, to) in [(&sqlite, &sqlite), (&postgres, &sqlite), (&postgres, &postgres)] {
        let refused = transfer(from, to).await;
        assert!(matches!(refused, Err(TransferError::Direction)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_broken_chain_or_a_row_that_cannot_be_written_leaves_nothing() {
    for damage in [
        "UPDATE audit SET actor = 'somebody else' WHERE sequence = 2",
        // PostgreSQL keeps no NUL in a text.
        "UPDATE organisations SET name = 'a' || char(0)",
    ] {
        let api = Api::new(World::sqlite()).await;
        api.echo_target("echo").await;
        let from = &api.control.store;
        let mut transaction = from.begin(Access::Write).await.expect("a transaction");
        let changed = transaction.execute(damage, Vec::new()).await.expect("damage");
        assert_eq!(changed, 1, "{damage}");
        transaction.commit().await.expect("a commit");
        let to = World::postgres().store().await;
        let before = everything(&to).await;
        let refused = transfer(from, &to).await;
        assert!(refused.is_err(), "{damage}");
        assert_eq!(everything(&to).await, before, "{damage}");
        assert!(!format!("{refused:?}").contains("hunter2"));
    }
}

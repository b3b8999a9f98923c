//! What the store promises, on a real SQLite file and on a real PostgreSQL server.
#![expect(clippy::unwrap_used, reason = "a test fails where what it relies on is not there")]

mod world;

use sallygate_control::store::{
    Access, CLOCKS_APART_MS, Location, Notice, Store, StoreError, Told, Topic, fetch_optional,
    notices_after, tell, told,
};
use sallygate_control::{change, values};
use world::{NOW, World};

on_both_databases!(
    a_second_start_changes_nothing,
    a_database_of_a_newer_version_is_left_alone,
    a_step_that_was_changed_after_it_was_applied_is_refused,
    many_starts_at_once_make_the_schema_once,
    what_is_not_committed_is_not_there,
    what_is_broken_off_while_it_begins_is_not_open,
    every_type_comes_back_as_it_was,
    a_row_that_must_be_unique_is_a_conflict,
    a_row_whose_owner_is_missing_is_a_conflict,
    changes_at_once_lose_nothing,
    a_lease_has_one_holder_at_a_time,
    a_lease_that_ran_out_goes_to_another_with_a_higher_fence,
    a_lease_of_before_a_clock_was_set_back_goes_to_another,
    a_holder_that_was_away_too_long_changes_nothing,
    what_happened_is_told_in_order_for_a_day,
    whoever_sees_a_notice_sees_all_before_it,
    what_did_not_happen_is_never_told,
);

const NEW_ORGANISATION: &str =
    "INSERT INTO organisations (id, name, created_at) VALUES ($1, $2, $3)";

async fn add(store: &Store, id: &str, name: &str) -> Result<u64, StoreError> {
    change!(store, |transaction| {
        transaction.execute(NEW_ORGANISATION, values![id, name, NOW]).await
    })
}

async fn count(store: &Store) -> i64 {
    let mut transaction = store.begin(Access::Read).await.unwrap();
    let sql = "SELECT COUNT(*) FROM organisations";
    let row = fetch_optional(&mut *transaction, sql, Vec::new()).await.unwrap();
    row.unwrap().integer().unwrap()
}

async fn a_second_start_changes_nothing(world: World) {
    let first = world.store().await;
    add(&first, "org_1", "one").await.unwrap();
    let schema = first.schema().await.unwrap();
    first.close().await;
    let second = Store::connect(&world.location).await.unwrap();
    let migrated = second.migrate(NOW + 1).await.unwrap();
    assert_eq!(migrated.from, migrated.to);
    assert_eq!(second.schema().await.unwrap(), schema);
    assert_eq!(count(&second).await, 1);
}

async fn a_database_of_a_newer_version_is_left_alone(world: World) {
    let store = world.store().await;
    let newer = "INSERT INTO schema_steps (version, name, sha256, applied_at) \
                 VALUES (1000, 'later', 'x', 0)";
    change!(store, |t| { t.execute(newer, Vec::new()).await }).unwrap();
    let refused = store.migrate(NOW).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 1000, .. }), "{refused:?}");
    assert_eq!(refused.code(), "store_newer");
}

async fn a_step_that_was_changed_after_it_was_applied_is_refused(world: World) {
    let store = world.store().await;
    let forged = "UPDATE schema_steps SET sha256 = 'other' WHERE version = 1";
    change!(store, |t| { t.execute(forged, Vec::new()).await }).unwrap();
    assert!(matches!(store.migrate(NOW).await, Err(StoreError::Migration(1))));
}

async fn many_starts_at_once_make_the_schema_once(world: World) {
    // The file must be there first: SQLite cannot switch to WAL from several connections at once.
    let first = Store::connect(&world.location).await.unwrap();
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store = first.clone();
        starts.spawn(async move { store.migrate(NOW).await });
    }
    let mut made = 0;
    while let Some(migrated) = starts.join_next().await {
        made += usize::from(migrated.unwrap().unwrap().from == 0);
    }
    assert_eq!(made, 1);
}

async fn what_is_not_committed_is_not_there(world: World) {
    let store = world.store().await;
    let mut transaction = store.begin(Access::Write).await.unwrap();
    transaction.execute(NEW_ORGANISATION, values!["org_1", "one", NOW]).await.unwrap();
    drop(transaction);
    assert_eq!(count(&store).await, 0);
    let failed: Result<(), _> = change!(store, |transaction| {
        transaction.execute(NEW_ORGANISATION, values!["org_2", "two", NOW]).await?;
        Err(StoreError::Shape)
    });
    assert!(failed.is_err());
    assert_eq!(count(&store).await, 0);
}

async fn what_is_broken_off_while_it_begins_is_not_open(world: World) {
    let store = world.store().await;
    for at in 0..60 {
        let mut beginning = Box::pin(store.begin(Access::Read));
        let mut polls: i32 = at % 6;
        std::future::poll_fn(|context| {
            polls -= 1;
            let ready = polls < 0 || beginning.as_mut().poll(context).is_ready();
            if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        drop(beginning);
        // What only reads would refuse this.
        assert_eq!(add(&store, &format!("org_{at}"), &at.to_string()).await.unwrap(), 1);
    }
    assert_eq!(count(&store).await, 60);
}

async fn every_type_comes_back_as_it_was(world: World) {
    let store = world.store().await;
    let bytes: Vec<u8> = (0..=255).collect();
    let text = "ü 'quoted' \" \\ \u{1F512} \n";
    change!(store, |transaction| {
        let token = "INSERT INTO api_tokens (id, organisation_id, name, role, sha256, \
                         created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let nobody: Option<&str> = None;
        let values = values!["t", nobody, text, "operator", bytes.clone(), i64::MAX, None::<i64>];
        transaction.execute(token, values).await
    })
    .unwrap();
    let mut transaction = store.begin(Access::Read).await.unwrap();
    let find = "SELECT name, sha256, created_at, expires_at, organisation_id FROM api_tokens";
    let mut row = fetch_optional(&mut *transaction, find, Vec::new()).await.unwrap().unwrap();
    assert_eq!(row.text().unwrap(), text);
    assert_eq!(row.bytes().unwrap(), bytes);
    assert_eq!(row.integer().unwrap(), i64::MAX);
    assert_eq!(row.optional_integer().unwrap(), None);
    assert!(matches!(row.text(), Err(StoreError::Shape)), "an absent value is no text");
    assert!(matches!(row.text(), Err(StoreError::Shape)), "there is no further column");
}

async fn a_row_that_must_be_unique_is_a_conflict(world: World) {
    let store = world.store().await;
    add(&store, "org_1", "one").await.unwrap();
    for (id, name) in [("org_1", "two"), ("org_2", "one")] {
        let refused = add(&store, id, name).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict(_)), "{refused:?}");
        assert!(!refused.to_string().contains("org_"), "{refused}");
    }
    assert_eq!(count(&store).await, 1);
}

async fn a_row_whose_owner_is_missing_is_a_conflict(world: World) {
    let store = world.store().await;
    let orphan = "INSERT INTO profiles (id, organisation_id, name, latest_version, created_at, \
                  updated_at) VALUES ('sbp_1', 'org_none', 'p', 0, 0, 0)";
    let refused = change!(store, |t| { t.execute(orphan, Vec::new()).await });
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
}

async fn changes_at_once_lose_nothing(world: World) {
    let store = world.store().await;
    add(&store, "org_1", "0").await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut done = 0;
            while done < 5 {
                match increment(&store).await {
                    Ok(()) => done += 1,
                    // Under this much contention a change may lose all its tries.
                    Err(StoreError::Contention(_)) => {}
                    Err(other) => return Err(other),
                }
            }
            Ok(())
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap().unwrap();
    }
    let mut transaction = store.begin(Access::Read).await.unwrap();
    let find = "SELECT name FROM organisations";
    let row = fetch_optional(&mut *transaction, find, Vec::new()).await.unwrap();
    assert_eq!(row.unwrap().text().unwrap(), "40");
}

async fn increment(store: &Store) -> Result<(), StoreError> {
    change!(store, |transaction| {
        let find = "SELECT name FROM organisations WHERE id = 'org_1'";
        let row = fetch_optional(transaction, find, Vec::new()).await?;
        let number: i64 = row.unwrap().text()?.parse().unwrap();
        let write = "UPDATE organisations SET name = $1 WHERE id = 'org_1'";
        transaction.execute(write, values![(number + 1).to_string()]).await?;
        Ok(())
    })
}

async fn a_lease_has_one_holder_at_a_time(world: World) {
    let store = world.store().await;
    let until = NOW + 1_000;
    let over = until + CLOCKS_APART_MS;
    let first = store.take_lease("refresh", "a", (NOW, until)).await.unwrap().unwrap();
    assert_eq!(first.fence, 1);
    assert_eq!(store.take_lease("refresh", "b", (NOW, until)).await.unwrap(), None);
    // A clock that is ahead of the holder's takes nothing from it.
    for now in [until - 1, until, over - 1] {
        let taken = store.take_lease("refresh", "b", (now, now + 1_000)).await.unwrap();
        assert_eq!(taken, None, "{}", now - NOW);
    }
    let longer = store.take_lease("refresh", "a", (NOW + 500, NOW + 2_000)).await.unwrap().unwrap();
    assert_eq!((longer.fence, longer.expires_ms), (1, NOW + 2_000));
    assert!(store.take_lease("other", "b", (NOW, until)).await.unwrap().is_some());
    store.drop_lease(&longer).await.unwrap();
    let next = store.take_lease("refresh", "b", (NOW, until)).await.unwrap().unwrap();
    assert_eq!(next.fence, 2);
}

async fn a_lease_that_ran_out_goes_to_another_with_a_higher_fence(world: World) {
    let store = world.store().await;
    store.take_lease("refresh", "a", (NOW, NOW + 10)).await.unwrap().unwrap();
    let over = NOW + 10 + CLOCKS_APART_MS;
    let second = store.take_lease("refresh", "b", (over, over + 10)).await.unwrap().unwrap();
    assert_eq!((second.fence, second.holder.as_str()), (2, "b"));
}

/// It ends when nobody could have asked for: whoever took it, by a clock that was set back since.
async fn a_lease_of_before_a_clock_was_set_back_goes_to_another(world: World) {
    let store = world.store().await;
    let life = 30_000;
    let lost = store.take_lease("refresh", "a", (NOW, NOW + life)).await.unwrap().unwrap();
    let barely = NOW - CLOCKS_APART_MS;
    assert_eq!(store.take_lease("refresh", "b", (barely, barely + life)).await.unwrap(), None);
    let before = NOW - 3_600_000;
    let taken = store.take_lease("refresh", "b", (before, before + life)).await.unwrap().unwrap();
    assert_eq!(taken.fence, 2);
    let mut transaction = store.begin(Access::Read).await.unwrap();
    assert!(!lost.is_held(&mut *transaction).await.unwrap());
}

async fn a_holder_that_was_away_too_long_changes_nothing(world: World) {
    let store = world.store().await;
    let late = store.take_lease("refresh", "a", (NOW, NOW + 10)).await.unwrap().unwrap();
    let mut transaction = store.begin(Access::Read).await.unwrap();
    assert!(late.is_held(&mut *transaction).await.unwrap());
    drop(transaction);
    let over = NOW + 10 + CLOCKS_APART_MS;
    store.take_lease("refresh", "b", (over, over + 10)).await.unwrap().unwrap();
    // It comes back, gives back what is no longer its own, and does not hold it.
    store.drop_lease(&late).await.unwrap();
    let mut transaction = store.begin(Access::Read).await.unwrap();
    assert!(!late.is_held(&mut *transaction).await.unwrap());
    drop(transaction);
    assert_eq!(store.take_lease("refresh", "c", (over + 1, over + 20)).await.unwrap(), None);
}

async fn what_happened_is_told_in_order_for_a_day(world: World) {
    let store = world.store().await;
    for (at, topic) in [(1, Topic::Sandbox), (2, Topic::Published), (3, Topic::Invalidated)] {
        let payload = serde_json::json!({ "number": at });
        change!(store, |t| { tell(t, (topic, None), &payload, NOW + at).await }).unwrap();
    }
    let waiting = behind(&store, 0, 10).await;
    let shown = |notice: &Notice| (notice.topic, notice.payload.to_string());
    let all: Vec<_> = waiting.iter().map(shown).collect();
    let [sandbox, published, invalidated] =
        [(Topic::Sandbox, 1), (Topic::Published, 2), (Topic::Invalidated, 3)]
            .map(|(topic, number)| (topic, format!("{{\"number\":{number}}}")));
    assert_eq!(all, [sandbox, published, invalidated]);
    let (first, rest) = waiting.split_first().unwrap();
    assert_eq!(waiting.iter().map(|notice| notice.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(behind(&store, 0, 1).await, std::slice::from_ref(first));
    assert_eq!(behind(&store, 1, 10).await, rest, "as often as it is asked");
    assert_eq!(place(&store).await, Told { newest: 3, known_after: 0 });
    // A day later the first two are dropped, and whoever had not heard of them is told everything.
    store.forget_old_notices(NOW + 24 * 3_600_000 + 3).await.unwrap();
    assert_eq!(place(&store).await, Told { newest: 3, known_after: 2 });
    store.forget_old_notices(i64::MAX).await.unwrap();
    assert_eq!(place(&store).await, Told { newest: 3, known_after: 3 });
    let payload = serde_json::json!({});
    change!(store, |t| { tell(t, (Topic::Sandbox, None), &payload, NOW).await }).unwrap();
    assert_eq!(place(&store).await, Told { newest: 4, known_after: 3 });
}

async fn behind(store: &Store, sequence: i64, most: i64) -> Vec<Notice> {
    let mut transaction = store.begin(Access::Read).await.unwrap();
    notices_after(&mut *transaction, sequence, most).await.unwrap()
}

async fn place(store: &Store) -> Told {
    let mut transaction = store.begin(Access::Read).await.unwrap();
    told(&mut *transaction).await.unwrap()
}

/// Several replicas tell at the same time, and a reader never sees a number before a lower one.
async fn whoever_sees_a_notice_sees_all_before_it(world: World) {
    const WRITERS: usize = 4;
    const EACH: usize = 8;
    let store = world.store().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for at in 0..EACH {
                let payload = serde_json::json!({ "writer": writer, "at": at });
                let told: Result<(), StoreError> =
                    change!(store, |t| { tell(t, (Topic::Sandbox, None), &payload, NOW).await });
                // Who lost too many races gives up: that is an answer, and no gap.
                assert!(matches!(told, Ok(()) | Err(StoreError::Contention(_))), "{told:?}");
            }
        });
    }
    let mut seen = 0;
    while !writers.is_empty() {
        while writers.try_join_next().is_some_and(|joined| {
            joined.unwrap();
            true
        }) {}
        for notice in behind(&store, seen, 100).await {
            assert_eq!(notice.sequence, seen + 1, "a number was skipped");
            seen = notice.sequence;
        }
        tokio::task::yield_now().await;
    }
    let last = behind(&store, seen, 100).await;
    assert_eq!(place(&store).await.newest, last.last().map_or(seen, |notice| notice.sequence));
    assert!(place(&store).await.newest >= 8, "{seen}");
}

async fn what_did_not_happen_is_never_told(world: World) {
    let store = world.store().await;
    let failed: Result<(), _> = change!(store, |transaction| {
        tell(transaction, (Topic::Sandbox, None), &serde_json::json!({}), NOW).await?;
        Err(StoreError::Shape)
    });
    assert!(failed.is_err());
    assert_eq!(behind(&store, 0, 10).await, []);
    assert_eq!(place(&store).await, Told { newest: 0, known_after: 0 });
}

#[tokio::test]
async fn both_databases_have_the_same_schema() {
    let (sqlite, postgres) = (World::sqlite(), World::postgres());
    let ours = sqlite.store().await.schema().await.unwrap();
    let theirs = postgres.store().await.schema().await.unwrap();
    assert!(ours.len() > 60, "{ours:#?}");
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn a_location_never_shows_its_password() {
    let url = "postgres://user:hunter2@db.test/x".to_owned();
    let location = Location::Postgres(sallygate_control::store::DatabaseUrl::new(url));
    assert!(!format!("{location:?}").contains("hunter2"));
    let away = Store::connect(&location).await.unwrap_err();
    assert!(!format!("{away} {away:?}").contains("hunter2"), "{away:?}");
}

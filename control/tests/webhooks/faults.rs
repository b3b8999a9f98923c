//! What is killed anywhere loses nothing and leaves nothing half; several workers do nothing twice;
//! and what has an order keeps it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use sallygate_control::service::Control;
use sallygate_control::store::CLOCKS_APART_MS;
use sallygate_control::webhook::queue::{Claimed, JobKind, LEASE_MS, claim};
use sallygate_control::webhook::{Worker, attempt, process};
use serde_json::{Value, json};

use crate::killed::killed_after;
use crate::on_both_databases;
use crate::providers::{GITHUB, SECRET};
use crate::receiver::Receiver;
use crate::stage::{Stage, soon};
use crate::world::{self, NOW, World};

on_both_databases!(
    a_call_that_is_killed_anywhere_is_there_once_when_it_is_repeated,
    an_event_whose_worker_is_killed_anywhere_is_processed_once,
    a_delivery_whose_worker_is_killed_anywhere_is_made,
    what_is_claimed_is_left_alone_until_its_lease_ends,
    a_clock_that_is_set_back_holds_nothing_up,
    a_worker_that_was_away_too_long_changes_nothing,
    two_replicas_claim_nothing_twice,
    events_with_one_key_are_delivered_in_order,
    many_calls_at_once_are_all_there,
    a_worker_that_runs_does_what_comes,
);

async fn claimed(control: &Control, kind: JobKind) -> Vec<Claimed> {
    claim(&control.store, kind, (control.clock.now_ms(), 100)).await.expect("a claim")
}

async fn a_call_that_is_killed_anywhere_is_there_once_when_it_is_repeated(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    let mut polls = 0;
    loop {
        let sent = GITHUB.sent(SECRET, &format!("d-{polls}"));
        let before = stage.written().await;
        let done = killed_after(polls, async {
            stage.send(&sent).await;
        })
        .await;
        // The provider calls again. Whatever was there before: there is one of each afterwards.
        let again = stage.send(&sent).await;
        assert!([200, 202].contains(&again.status.as_u16()), "{}", again.text);
        assert_eq!(stage.written().await, before + 3, "after {polls} polls");
        if done {
            assert_eq!(again.status, 200);
            break;
        }
        polls += 1;
    }
    assert!(polls > 0, "it was killed somewhere");
    // They are of one issue: one after the other.
    let after = Worker::new(stage.replica().await);
    let mut processed = 0;
    while after.events().await.expect("events") > 0 {
        processed += 1;
    }
    assert_eq!(processed, polls + 1);
}

async fn an_event_whose_worker_is_killed_anywhere_is_processed_once(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    stage.everything_to(&receiver).await;
    let mut polls = 0;
    loop {
        stage.accepted(&format!("d-{polls}")).await;
        // Another process, which dies: its connections are gone with it.
        let dying = stage.replica().await;
        let done = killed_after(polls, async {
            for job in claimed(&dying, JobKind::Event).await {
                let outcome = process::outcome(&dying, &job).await.expect("an outcome");
                let outcome = outcome.expect("a content");
                process::finish(&dying, (&job, &outcome)).await.expect("an end");
            }
        })
        .await;
        dying.store.close().await;
        // What it had claimed is free when the lease ends, and not before.
        stage.api.pass_time(LEASE_MS);
        stage.worker().events().await.expect("events");
        let deliveries = stage.items("deliveries").await.len();
        assert_eq!(deliveries, polls + 1, "one for each event, after {polls} polls");
        assert_eq!(stage.count("SELECT COUNT(*) FROM webhook_jobs WHERE kind = 'event'").await, 0);
        if done {
            break;
        }
        polls += 1;
    }
    assert!(polls > 0, "it was killed somewhere");
}

async fn a_delivery_whose_worker_is_killed_anywhere_is_made(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    let (_, secret) = stage.everything_to(&receiver).await;
    let mut polls = 0;
    loop {
        stage.accepted(&format!("d-{polls}")).await;
        stage.worker().events().await.expect("events");
        let dying = stage.replica().await;
        let done = killed_after(polls, async {
            for job in claimed(&dying, JobKind::Delivery).await {
                let prepared = attempt::prepare(&dying, &job).await.expect("something to do");
                let sent = attempt::send(&dying, &prepared).await;
                attempt::finish(&dying, (&job, &prepared), sent).await.expect("an end");
            }
        })
        .await;
        dying.store.close().await;
        stage.api.pass_time(LEASE_MS);
        stage.worker().deliveries().await.expect("deliveries");
        assert_eq!(stage.count("SELECT COUNT(*) FROM webhook_jobs").await, 0, "{polls} polls");
        if done {
            break;
        }
        polls += 1;
    }
    assert!(polls > 0, "it was killed somewhere");
    let deliveries = stage.items("deliveries").await;
    assert!(deliveries.iter().all(|delivery| delivery["status"] == "delivered"));
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for taken in receiver.taken() {
        assert!(taken.is_signed_by(&secret));
        let first = bodies.entry(taken.id()).or_insert_with(|| taken.body.clone());
        assert_eq!(*first, taken.body, "what came twice is the same");
    }
    assert_eq!(bodies.len(), polls + 1, "at least once each");
}

async fn what_is_claimed_is_left_alone_until_its_lease_ends(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    stage.accepted("d-1").await;
    let (one, other) = (stage.replica().await, stage.replica().await);
    assert_eq!(claimed(&one, JobKind::Event).await.len(), 1);
    stage.api.pass_time(LEASE_MS - 1);
    assert_eq!(claimed(&other, JobKind::Event).await, []);
    stage.api.pass_time(1);
    let again = claimed(&other, JobKind::Event).await;
    assert_eq!((again.len(), again[0].attempts), (1, 2));
    // A clock that is a little behind takes nothing from it.
    stage.api.pass_time(-CLOCKS_APART_MS);
    assert_eq!(claimed(&one, JobKind::Event).await, []);
}

/// A clock that is set back makes nothing wait for it: neither what just came, nor what was claimed
/// by somebody who died before, nor what was put off.
async fn a_clock_that_is_set_back_holds_nothing_up(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    stage.everything_to(&receiver).await;
    let (hour, day) = (3_600_000, 24 * 3_600_000);
    stage.accepted("d-1").await;
    stage.api.pass_time(-hour);
    assert_eq!(stage.worker().events().await.expect("events"), 1, "it just came");
    receiver.answer(500);
    assert_eq!(claimed(&stage.replica().await, JobKind::Delivery).await.len(), 1);
    stage.api.pass_time(-hour);
    assert_eq!(stage.worker().deliveries().await.expect("deliveries"), 1, "it was claimed");
    assert_eq!(stage.worker().deliveries().await.expect("deliveries"), 0, "it is put off");
    stage.api.pass_time(-day);
    assert_eq!(stage.worker().deliveries().await.expect("deliveries"), 1, "it was put off");
    assert_eq!(stage.items("deliveries").await[0]["status"], "delivered");
    assert_eq!(receiver.taken().len(), 2);
}

async fn a_worker_that_was_away_too_long_changes_nothing(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    stage.everything_to(&receiver).await;
    stage.accepted("d-1").await;
    let (slow, quick) = (stage.replica().await, stage.replica().await);
    let jobs = claimed(&slow, JobKind::Event).await;
    let outcome = process::outcome(&slow, &jobs[0]).await.expect("an outcome").expect("a content");
    stage.api.pass_time(LEASE_MS);
    Worker::new(quick.clone()).events().await.expect("events");
    assert!(!process::finish(&slow, (&jobs[0], &outcome)).await.expect("an end"));
    assert_eq!(stage.items("deliveries").await.len(), 1);
    // The same for what goes out, also when the job was done and asked for again in the meantime.
    receiver.answer(500);
    let jobs = claimed(&slow, JobKind::Delivery).await;
    let prepared = attempt::prepare(&slow, &jobs[0]).await.expect("something to do");
    let sent = attempt::send(&slow, &prepared).await;
    stage.api.pass_time(LEASE_MS);
    Worker::new(quick).deliveries().await.expect("deliveries");
    let path = format!("/v1/integration/webhooks/deliveries/{}/redeliver", jobs[0].subject);
    stage.api.ask("POST", &path).send().await.expect(200);
    assert!(!attempt::finish(&slow, (&jobs[0], &prepared), sent).await.expect("an end"));
    let shown = stage.items("deliveries").await;
    assert_eq!((&shown[0]["status"], &shown[0]["attempts"]), (&json!("waiting"), &json!(1)));
}

async fn two_replicas_claim_nothing_twice(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    for n in 0..40 {
        // Without an order key, all of them may be claimed at once.
        let mut body = (GITHUB.body)("");
        body["issue"] = json!({ "number": n });
        let id = format!("d-{n}");
        stage.send(&GITHUB.sent_at(SECRET, (&id, NOW / 1000), &body)).await.expect(202);
    }
    let replicas = [stage.replica().await, stage.replica().await, stage.replica().await];
    let mut tasks = tokio::task::JoinSet::new();
    for control in replicas {
        tasks.spawn(async move {
            let mut mine = Vec::new();
            // Small bites, so that they meet.
            for _ in 0..30 {
                let now_ms = control.clock.now_ms();
                let some = claim(&control.store, JobKind::Event, (now_ms, 3)).await;
                mine.extend(some.expect("a claim").into_iter().map(|job| job.subject));
            }
            mine
        });
    }
    let mut all = Vec::new();
    while let Some(mine) = tasks.join_next().await {
        all.extend(mine.expect("a task"));
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((count, all.len()), (40, 40));
}

/// Numbers that look like chance, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

async fn events_with_one_key_are_delivered_in_order(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    let (endpoint, _) = stage.endpoint(&receiver).await;
    let template = json!({ "key": "{{payload.issue.node_id}}", "n": "{{payload.n}}" });
    let action = json!({ "type": "deliver", "endpointId": endpoint, "template": template });
    stage.trigger(json!({ "action": action })).await;
    let mut dice = Dice(7);
    let mut sent: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let workers = [Worker::new(stage.replica().await), Worker::new(stage.replica().await)];
    let mut n = 0;
    for _round in 0..12 {
        for _ in 0..dice.roll(6) {
            n += 1;
            let key = format!("I_{}", dice.roll(3));
            let body = json!({ "action": "edited", "issue": { "node_id": key }, "n": n });
            let id = format!("d-{n}");
            stage.send(&GITHUB.sent_at(SECRET, (&id, NOW / 1000), &body)).await.expect(202);
            sent.entry(key).or_default().push(n);
        }
        // Now and then the other side fails, so that some wait while others are due.
        (0..dice.roll(4))
            .for_each(|_| receiver.answer(if dice.0.is_multiple_of(2) { 500 } else { 200 }));
        let [one, other] = &workers;
        let (a, b) = tokio::join!(one.events(), other.events());
        a.and(b).expect("events");
        let (a, b) = tokio::join!(one.deliveries(), other.deliveries());
        a.and(b).expect("deliveries");
        stage.api.pass_time(i64::try_from(dice.roll(9_000)).expect("a time"));
    }
    for _ in 0..200 {
        if stage.count("SELECT COUNT(*) FROM webhook_jobs").await == 0 {
            break;
        }
        let [one, other] = &workers;
        let (a, b) = tokio::join!(one.events(), other.deliveries());
        a.and(b).expect("work");
        stage.api.pass_time(7 * 3600 * 1000);
    }
    assert_eq!(stage.count("SELECT COUNT(*) FROM webhook_jobs").await, 0);
    // The first time that each came is in the order in which it was sent.
    let mut came: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for taken in receiver.taken() {
        let body: Value = taken.json();
        let (key, n) = (body["key"].as_str().expect("a key"), body["n"].as_u64().expect("n"));
        let numbers = came.entry(key.to_owned()).or_default();
        if numbers.last() != Some(&n) {
            numbers.push(n);
        }
    }
    assert!(n > 20, "{n}");
    assert_eq!(came, sent);
}

async fn many_calls_at_once_are_all_there(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    let calls: Vec<_> = (0..200).map(|n| GITHUB.sent(SECRET, &format!("d-{}", n / 2))).collect();
    let sending = calls.iter().map(|sent| stage.send(sent));
    let mut answers = BTreeMap::new();
    for answer in join_all(sending).await {
        *answers.entry(answer.text).or_insert(0) += 1;
    }
    // Each was sent twice, at the same time.
    let expected = [("accepted", 100), ("duplicate", 100)];
    let expected = expected.map(|(status, n)| (json!({ "status": status }).to_string(), n));
    assert_eq!(answers, BTreeMap::from(expected));
    assert_eq!(stage.count("SELECT COUNT(*) FROM webhook_events").await, 100);
    assert_eq!(stage.count("SELECT COUNT(DISTINCT sequence) FROM webhook_events").await, 100);
}

/// All of them, polled side by side on this task.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut all = true;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => all = false,
                }
            }
        }
        if all { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}

async fn a_worker_that_runs_does_what_comes(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    stage.everything_to(&receiver).await;
    let running = tokio::spawn(stage.worker().run());
    stage.accepted("d-1").await;
    soon(async {
        while stage
            .count("SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'delivered'")
            .await
            < 1
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(receiver.taken().len(), 1);
    running.abort();
}

//! Answers that break off, and clients that go away: nobody takes half of it for the whole.

use super::rig::gate::{Gate, gate};
use super::rig::h2;
use super::rig::scene::{Fault, Scene};
use super::rig::stream::{Filled, Stream};
use super::rig::upstream::{After, Connection};
use super::{GET, reset};

/// The client has seen the first bytes of an answer that then breaks off: it can tell.
#[track_caller]
fn check_aborted(
    scene: fn(Box<Fault>) -> Scene,
    head: &'static str,
    fault: impl Fn(&mut Connection, &Gate) -> After + Send + Sync + 'static,
) {
    let (gate, keeper) = gate();
    let scene = scene(Box::new(move |connection, _| {
        connection.send(head.as_bytes());
        gate.pass();
        fault(connection, &gate)
    }));
    let mut client = scene.ask(GET);
    keeper.wait();
    assert!(client.wait_for(b"begun"), "what came before the fault is passed on");
    scene.check_others_unharmed();
    keeper.open();
    let answer = client.answer(false).expect("a begun answer");
    assert!(!answer.complete, "a clean end: {answer:?}");
    assert_ne!(client.read_to_end(), Filled::Silence, "the connection was left open");

    let mut over_h2 = scene.ask_h2();
    over_h2
        .read_until(|replies| !replies.streams.get(&1).is_none_or(|reply| reply.data.is_empty()));
    keeper.open();
    over_h2.read_until(|replies| replies.streams.get(&1).is_some_and(h2::Reply::is_settled));
    let reply = over_h2.replies.streams.get(&1).cloned().unwrap_or_default();
    assert!(reply.reset.is_some() && !reply.ended, "a clean end over HTTP/2: {reply:?}");
    scene.check_others_unharmed();
}

const WITH_LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n";

#[test]
fn a_body_shorter_than_its_length_has_no_clean_end() {
    check_aborted(Scene::http, WITH_LENGTH, |_, _| After::Close);
}

#[test]
fn a_chunked_body_without_its_last_chunk_has_no_clean_end() {
    check_aborted(Scene::http, CHUNKED, |_, _| After::Close);
}

#[test]
fn a_reset_within_a_body_is_no_clean_end() {
    check_aborted(Scene::http, WITH_LENGTH, |connection, _| {
        reset(connection);
        After::Reset
    });
}

#[test]
fn a_reset_within_a_body_that_ends_with_the_connection_is_no_clean_end() {
    check_aborted(Scene::http, "HTTP/1.1 200 OK\r\n\r\nbegun", |connection, _| {
        reset(connection);
        After::Reset
    });
}

#[test]
fn a_body_that_stalls_runs_into_the_idle_timeout() {
    check_aborted(Scene::hasty_http, CHUNKED, |_, gate| {
        gate.pass();
        After::Close
    });
}

#[test]
fn a_client_that_takes_nothing_is_not_waited_for() {
    let (gate, keeper) = gate();
    let scene = Scene::http(Box::new(move |connection, _| {
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n");
        while connection.send(&[b'x'; 64 * 1024]) {}
        gate.knock();
        After::Close
    }));
    let client = scene.ask(GET);
    // The upstream's sending fails when the proxy has given the client up.
    keeper.wait();
    assert!(matches!(client.stream, Stream::Client(_)));
    scene.check_others_unharmed();
}

#[test]
fn a_client_that_goes_away_takes_its_upstream_request_with_it() {
    let (gate, keeper) = gate();
    let scene = Scene::http(Box::new(move |connection, _| {
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nbegun");
        while connection.send(b"more") {}
        gate.knock();
        After::Close
    }));
    let mut client = scene.ask(GET);
    assert!(client.wait_for(b"begun"));
    client.stream.reset();
    keeper.wait();
    scene.check_others_unharmed();
    assert!(scene.healthy.seen(|seen| !seen.requests.is_empty()));
}

//! WebSocket handshakes: a 101 is passed on when it answers what was asked, and every byte behind it.

use super::rig;
use super::rig::gate::gate;
use super::rig::scene::Scene;
use super::rig::stream::Filled;
use super::rig::upstream::After;
use super::{GET, check_answer};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn handshake() -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: faulty.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

fn switching(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

#[test]
fn bytes_that_come_with_the_101_are_delivered_and_both_ways_are_open() {
    let scene = Scene::http(Box::new(|connection, _| {
        connection.send(format!("{}greeting", switching(ACCEPT)).as_bytes());
        loop {
            let bytes = connection.receive();
            if bytes.is_empty() || !connection.send(&bytes) {
                return After::Close;
            }
        }
    }));
    let mut client = scene.ask(&handshake());
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(101));
    assert!(client.wait_for(b"greeting"), "what came with the 101 was lost");
    // Whatever the bytes are, they are passed on: also those that look like a request.
    for message in ["\x00\u{7f}ping", "GET /evil HTTP/1.1\r\nHost: evil.test\r\n\r\n", "last"] {
        client.send(message.as_bytes());
        assert!(client.wait_for(message.as_bytes()), "{message:?} did not come back");
    }
    assert_eq!(scene.requests(), 1);
    let authorization = scene.faulty.seen(|seen| seen.requests[0].headers("authorization"));
    assert_eq!(authorization, [format!("Bearer {}", scene.arena.secret("faulty").value())]);
    scene.check_others_unharmed();
}

#[test]
fn bytes_sent_before_the_101_wait_for_it() {
    let (gate, keeper) = gate();
    let scene = Scene::http(Box::new(move |connection, _| {
        gate.pass();
        connection.send(switching(ACCEPT).as_bytes());
        let early = connection.receive();
        connection.send(&early);
        After::Close
    }));
    let mut client = scene.ask(&format!("{}early", handshake()));
    keeper.wait();
    let seen = scene.faulty.seen(|seen| seen.bytes.clone());
    assert!(rig::find(&seen, b"early", 0).is_none(), "bytes ran ahead of the upgrade");
    keeper.open();
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(101));
    assert!(client.wait_for(b"early"), "what was sent early was lost");
}

#[test]
fn a_101_that_answers_another_handshake_is_an_error_of_the_upstream() {
    for answer in
        [switching("AAAAAAAAAAAAAAAAAAAAAAAAAAA="), switching("").replace("websocket", "foo")]
    {
        let scene = Scene::http(Box::new(move |connection, _| {
            connection.send(answer.as_bytes());
            After::Close
        }));
        let mut client = scene.ask(&handshake());
        check_answer(client.answer(false), 502, "upstream_protocol", "");
        scene.check_others_unharmed();
    }
}

#[test]
fn an_upgrade_that_the_upstream_declines_is_an_ordinary_answer() {
    let scene = Scene::http(Box::new(rig::upstream::plain));
    let mut client = scene.ask(&handshake());
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
    client.send(GET.as_bytes());
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
}

/// What an upgraded connection may take of the proxy's memory, whatever is sent over it.
const UPGRADED_KIB_MAX: u64 = 8 * 1024;

#[test]
fn a_frame_of_any_length_and_pings_without_end_pass_in_constant_memory() {
    const PIECE: &[u8] = &[b'x'; 64 * 1024];
    const PIECES: usize = 1024;
    let scene = Scene::http(Box::new(|connection, _| {
        connection.send(switching(ACCEPT).as_bytes());
        // A frame of 64 MiB, and a flood of pings behind it.
        connection.send(&[0x82, 0x7f, 0, 0, 0, 0, 4, 0, 0, 0]);
        let sent = (0..PIECES).all(|_| connection.send(PIECE));
        assert!(sent && connection.send(&[0x89, 0].repeat(100_000)) && connection.send(b"last"));
        connection.receive();
        After::Close
    }));
    let mut client = scene.ask(&handshake());
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(101));
    let process = &scene.arena.process;
    let before = process.memory_kib();
    process.reset_memory_peak();
    let (mut got, mut tail) = (0, Vec::new());
    while !tail.ends_with(b"last") {
        assert!(matches!(client.moment(), Filled::Bytes(_)), "it broke off behind {got} bytes");
        client.received.clear();
        let fresh = std::mem::take(client.buffered());
        got += fresh.len();
        tail.extend_from_slice(&fresh[fresh.len().saturating_sub(4)..]);
        tail.drain(..tail.len().saturating_sub(4));
    }
    assert_eq!(got, 10 + PIECES * PIECE.len() + 200_000 + 4);
    let grown = process.memory_peak_kib().saturating_sub(before);
    assert!(grown <= UPGRADED_KIB_MAX, "grew by {grown} KiB");
    assert_eq!(scene.requests(), 1);
}

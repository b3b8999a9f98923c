//! Faults before the first byte of an answer: the sandbox is told which one it was.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use socket2::SockRef;

use super::rig;
use super::rig::gate::{Keeper, gate};
use super::rig::scene::{Scene, provider_and_ca};
use super::rig::upstream::After;
use super::{GET, check_answer, reset};

const POST: &str = "POST /x HTTP/1.1\r\nHost: faulty.test\r\nContent-Length: 5\r\n\r\nhello";

/// The fault is in progress while another upstream answers; then the client is told of it.
#[track_caller]
fn check_fault(scene: &Scene, keeper: &Keeper, status: u16, code: &str, detail: &str) {
    let mut client = scene.ask(GET);
    keeper.wait();
    scene.check_others_unharmed();
    keeper.open();
    check_answer(client.answer(false), status, code, detail);
    assert_eq!(scene.code_on_record(), code);
    scene.check_others_unharmed();
}

#[test]
fn an_upstream_that_refuses_connections_is_named_so() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = closed.local_addr().expect("a bound address");
    drop(closed);
    let scene = Scene::elsewhere(&provider_and_ca(), address);
    check_answer(scene.ask(GET).answer(false), 502, "upstream_connect", "does not accept");
    assert_eq!(scene.code_on_record(), "upstream_connect");
    scene.check_others_unharmed();
}

#[test]
fn an_upstream_that_never_shakes_hands_runs_into_the_connect_timeout() {
    let (gate, keeper) = gate();
    let scene = Scene::hasty_tcp(move |socket| {
        gate.pass();
        // Held open until the test is over.
        gate.pass();
        drop(socket);
    });
    check_fault(&scene, &keeper, 504, "upstream_timeout", "connect");
}

#[test]
fn an_upstream_that_resets_before_the_handshake_is_a_tls_failure() {
    let (gate, keeper) = gate();
    let scene = Scene::tcp(move |socket| {
        gate.pass();
        SockRef::from(&socket).set_linger(Some(Duration::ZERO)).ok();
    });
    check_fault(&scene, &keeper, 502, "upstream_tls", "tls_handshake");
}

#[test]
fn an_upstream_that_speaks_no_tls_is_never_spoken_to_without() {
    let (gate, keeper) = gate();
    let scene = Scene::tcp(move |mut socket| {
        gate.pass();
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok();
        gate.pass();
    });
    check_fault(&scene, &keeper, 502, "upstream_tls", "tls_handshake");
}

#[test]
fn an_upstream_that_hangs_before_its_answer_runs_into_the_first_byte_timeout() {
    let (gate, keeper) = gate();
    let scene = Scene::hasty_http(Box::new(move |_, _| {
        gate.pass();
        gate.pass();
        After::Close
    }));
    check_fault(&scene, &keeper, 504, "upstream_timeout", "first byte");
}

#[test]
fn an_upstream_that_resets_before_its_answer_broke_off() {
    let (gate, keeper) = gate();
    let scene = Scene::http(Box::new(move |connection, _| {
        gate.pass();
        reset(connection);
        After::Reset
    }));
    check_fault(&scene, &keeper, 502, "upstream_protocol", "");
}

#[test]
fn an_upstream_that_resets_within_its_head_broke_off() {
    let (gate, keeper) = gate();
    let scene = Scene::http(Box::new(move |connection, _| {
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: te");
        gate.pass();
        reset(connection);
        After::Reset
    }));
    check_fault(&scene, &keeper, 502, "upstream_protocol", "");
}

#[test]
fn a_request_that_may_have_been_acted_on_is_not_sent_again() {
    let scene = Scene::http(Box::new(|_, _| After::Close));
    check_answer(scene.ask(POST).answer(false), 502, "upstream_protocol", "");
    assert_eq!(scene.requests(), 1);
    scene.check_others_unharmed();
}

#[test]
fn a_pooled_connection_that_the_upstream_has_closed_costs_no_request() {
    let (gate, keeper) = gate();
    let scene = Scene::http(Box::new(move |connection, request| {
        rig::upstream::plain(connection, request);
        if request.path() == "/last" {
            // Closed between two requests, as keep-alive timeouts do.
            gate.pass();
            return After::Close;
        }
        After::KeepOpen
    }));
    let mut client = scene.ask("GET /last HTTP/1.1\r\nHost: faulty.test\r\n\r\n");
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
    keeper.wait();
    keeper.open();
    client.send(GET.as_bytes());
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
}

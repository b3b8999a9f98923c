//! What passes as it comes, each way, and in its turn.

use super::GET;
use super::rig;
use super::rig::gate::gate;
use super::rig::h2;
use super::rig::scene::Scene;
use super::rig::upstream::After;

/// Each part arrives before the upstream sends the next one: no clock is needed to see that
/// nothing is held back.
#[track_caller]
fn check_streams(head: &'static str, parts: [&'static str; 3], end: &'static str) {
    let (gate, keeper) = gate();
    let scene = Scene::http(Box::new(move |connection, _| {
        connection.send(head.as_bytes());
        for part in parts {
            connection.send(part.as_bytes());
            gate.pass();
        }
        connection.send(end.as_bytes());
        After::Close
    }));
    let mut client = scene.ask(GET);
    for part in ["first", "second", "third"] {
        assert!(client.wait_for(part.as_bytes()), "`{part}` was held back");
        keeper.open();
    }
    assert!(client.answer(false).is_some_and(|answer| answer.complete), "no clean end");
    let mut over_h2 = scene.ask_h2();
    for part in ["first", "second", "third"] {
        over_h2.read_until(|replies| {
            let data = replies.streams.get(&1).map_or(&[][..], |reply| &reply.data);
            rig::find(data, part.as_bytes(), 0).is_some()
        });
        assert!(over_h2.replies.end.is_none(), "`{part}` was held back over HTTP/2");
        keeper.open();
    }
    over_h2.read_until(|replies| replies.streams.get(&1).is_some_and(h2::Reply::is_settled));
    assert!(over_h2.replies.streams.get(&1).is_some_and(|reply| reply.ended), "no clean end");
}

#[test]
fn a_slow_body_with_a_length_streams_as_it_comes() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n";
    check_streams(head, ["first", "second", "third"], "");
}

#[test]
fn events_stream_as_they_come() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let parts =
        ["d\r\ndata: first\n\n\r\n", "e\r\ndata: second\n\n\r\n", "d\r\ndata: third\n\n\r\n"];
    check_streams(head, parts, "0\r\n\r\n");
}

#[test]
fn events_with_a_length_stream_as_they_come() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 40\r\n\r\n";
    check_streams(head, ["data: first\n\n", "data: second\n\n", "data: third\n\n"], "\n\n");
}

#[test]
fn a_body_that_ends_with_the_connection_streams_as_it_comes() {
    check_streams("HTTP/1.1 200 OK\r\n\r\n", ["first", "second", "third"], "");
}

#[test]
fn an_upload_streams_as_it_comes() {
    let scene = Scene::http(Box::new(rig::upstream::plain));
    for length in ["Content-Length: 11", "Transfer-Encoding: chunked"] {
        let (first, second) = match length.starts_with('C') {
            true => ("hello", " world"),
            false => ("5\r\nhello\r\n", "6\r\n world\r\n0\r\n\r\n"),
        };
        let head = format!("POST /x HTTP/1.1\r\nHost: faulty.test\r\n{length}\r\n\r\n{first}");
        let mut client = scene.ask(&head);
        let came = scene.faulty.wait(|seen| seen.bytes.ends_with(first.as_bytes()));
        assert!(came, "the first part of the body was held back");
        client.send(second.as_bytes());
        assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
        let body = scene.faulty.seen(|seen| seen.requests.last().map(|last| last.body.clone()));
        assert_eq!(body.as_deref(), Some(&b"hello world"[..]));
    }
}

#[test]
fn a_client_that_waits_for_100_gets_it_from_the_upstream() {
    let scene = Scene::http(Box::new(rig::upstream::plain));
    let head = "POST /x HTTP/1.1\r\nHost: faulty.test\r\nExpect: 100-continue\r\n\
                Content-Length: 5\r\n\r\n";
    let mut client = scene.ask(head);
    assert!(scene.faulty.wait(|seen| !seen.requests.is_empty()), "the head was held back");
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(100));
    client.send(b"hello");
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
}

#[test]
fn a_request_that_comes_early_is_sent_when_its_turn_comes() {
    let (gate, keeper) = gate();
    let scene = Scene::http(Box::new(move |connection, request| {
        if request.path() == "/second" {
            return rig::upstream::plain(connection, request);
        }
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        gate.pass();
        connection.send(b" half");
        After::KeepOpen
    }));
    let mut client = scene.ask(GET);
    assert!(client.wait_for(b"first"));
    client.send(b"GET /second HTTP/1.1\r\nHost: faulty.test\r\n\r\n");
    keeper.wait();
    scene.check_others_unharmed();
    assert_eq!(scene.requests(), 1, "the second request ran ahead of the first one's answer");
    keeper.open();
    assert_eq!(client.answer(false).map(|answer| answer.body), Some(b"first half".to_vec()));
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
    assert_eq!(scene.requests(), 2);
}

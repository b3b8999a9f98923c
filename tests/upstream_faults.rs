//! Upstreams that fail in every way that a connection can fail: the sandbox gets the code for it,
//! nothing is sent twice that could be acted on twice, and other traffic does not notice. Streams
//! of upstreams that do not fail pass as they come, each way.

#![cfg(test)]

#[expect(dead_code, reason = "each test file uses its part of the rig")]
#[path = "hostile/mod.rs"]
mod rig;

use rig::answer::Answer;
use rig::fetch;
use rig::gate::{Gate, Keeper, gate};
use rig::h2;
use rig::scene::{Fault, Scene, provider_and_ca};
use rig::stream::{Filled, Stream};
use rig::upstream::{After, Connection};
use socket2::SockRef;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

const GET: &str = "GET /x HTTP/1.1\r\nHost: faulty.test\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: faulty.test\r\nContent-Length: 5\r\n\r\nhello";

/// The proxy's own answer, with this status and code.
#[track_caller]
fn check_answer(answer: Option<Answer>, status: u16, code: &str, detail: &str) {
    let answer = answer.expect("an answer");
    assert_eq!((answer.status, answer.code()), (status, Some(code)), "{}", answer.head);
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("a document");
    let given = problem["detail"].as_str().unwrap_or_default();
    assert!(given.contains(detail), "`{given}` does not say `{detail}`");
}

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

/// Ends a connection with a reset and not with a goodbye.
fn reset(connection: &Connection) {
    SockRef::from(connection.stream.socket()).set_linger(Some(Duration::ZERO)).ok();
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

/// An upstream that speaks HTTP/2 only and ends every answer with a trailer.
async fn serve_trailers(listener: tokio::net::TcpListener, config: Arc<rustls::ServerConfig>) {
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    while let Ok((socket, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let tls = acceptor.accept(socket).await.expect("TLS from the proxy");
            let mut connection = ::h2::server::handshake(tls).await.expect("HTTP/2");
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let answer = http::Response::new(());
                let mut body = respond.send_response(answer, false).expect("an open stream");
                body.send_data("ok".into(), false).expect("an open stream");
                let mut trailers = http::HeaderMap::new();
                trailers.insert("x-checksum", "5d1f".parse().expect("a value"));
                body.send_trailers(trailers).expect("an open stream");
            }
        });
    }
}

#[test]
fn trailers_pass_over_http2() {
    let ca = provider_and_ca();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bound = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = bound.expect("a loopback port");
    let address = listener.local_addr().expect("a bound address");
    let mut config = (*ca.server(&["faulty.test"])).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    runtime.spawn(serve_trailers(listener, Arc::new(config)));
    let scene = Scene::elsewhere(&ca, address);
    let (_, body, trailers) = runtime.block_on(async {
        let mut sender = fetch::open(&scene.arena, "faulty.test").await;
        fetch::get(&mut sender, "faulty.test").await
    });
    assert_eq!(body, b"ok");
    assert_eq!(trailers.get("x-checksum").map(http::HeaderValue::as_bytes), Some(&b"5d1f"[..]));
}

/// An upstream over HTTP/2 that resets every stream behind its head.
async fn reset_streams(
    listener: tokio::net::TcpListener,
    config: Arc<rustls::ServerConfig>,
    streams: Arc<AtomicUsize>,
) {
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, streams) = (acceptor.clone(), Arc::clone(&streams));
        tokio::spawn(async move {
            let tls = acceptor.accept(socket).await.expect("TLS from the proxy");
            let mut connection = ::h2::server::handshake(tls).await.expect("HTTP/2");
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                streams.fetch_add(1, Ordering::AcqRel);
                respond.send_reset(::h2::Reason::INTERNAL_ERROR);
            }
        });
    }
}

#[test]
fn a_request_over_http2_that_may_have_been_acted_on_is_not_sent_again() {
    let ca = provider_and_ca();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bound = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = bound.expect("a loopback port");
    let address = listener.local_addr().expect("a bound address");
    let mut config = (*ca.server(&["faulty.test"])).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let streams = Arc::new(AtomicUsize::new(0));
    runtime.spawn(reset_streams(listener, Arc::new(config), Arc::clone(&streams)));
    let scene = Scene::elsewhere(&ca, address);
    runtime.block_on(async {
        let mut sender = fetch::open(&scene.arena, "faulty.test").await;
        for sent in 1..=3 {
            let request = http::Request::post("https://faulty.test/").body(()).expect("a request");
            let (answer, _) = sender.send_request(request, true).expect("a stream");
            assert_eq!(answer.await.expect("an answer").status(), 502);
            assert_eq!(streams.load(Ordering::Acquire), sent);
        }
    });
}

/// An upstream that speaks HTTP/2 only for as long as it is `young`, once on each connection, and
/// HTTP/1.1 only from then on.
async fn serve_once_each(
    listener: tokio::net::TcpListener,
    [young, old]: [Arc<rustls::ServerConfig>; 2],
    is_old: Arc<AtomicBool>,
    ended: Arc<Notify>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    while let Ok((socket, _)) = listener.accept().await {
        let config = if is_old.load(Ordering::Acquire) { &old } else { &young };
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(config));
        let ended = Arc::clone(&ended);
        tokio::spawn(async move {
            let Ok(mut tls) = acceptor.accept(socket).await else { return };
            if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                let mut connection = ::h2::server::handshake(tls).await.expect("HTTP/2");
                let Some(Ok((_, mut respond))) = connection.accept().await else { return };
                respond.send_response(http::Response::new(()), true).expect("a stream");
                connection.graceful_shutdown();
                while connection.accept().await.is_some() {}
                return ended.notify_one();
            }
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = tls.read_u8().await else { return };
                head.push(byte);
            }
            tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold").await.ok();
            tls.flush().await.ok();
        });
    }
}

#[test]
fn an_upstream_that_no_longer_speaks_http2_is_asked_again() {
    let ca = provider_and_ca();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bound = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = bound.expect("a loopback port");
    let address = listener.local_addr().expect("a bound address");
    let is_old = Arc::new(AtomicBool::new(false));
    let configs = [&b"h2"[..], b"http/1.1"].map(|alpn| {
        let mut config = (*ca.server(&["faulty.test"])).clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    });
    let ended = Arc::new(Notify::new());
    runtime.spawn(serve_once_each(listener, configs, Arc::clone(&is_old), Arc::clone(&ended)));
    let scene = Scene::elsewhere(&ca, address);
    runtime.block_on(async {
        let mut sender = fetch::open(&scene.arena, "faulty.test").await;
        let (status, body, _) = fetch::get(&mut sender, "faulty.test").await;
        assert_eq!((status, &body[..]), (200, &b""[..]));
        ended.notified().await;
        is_old.store(true, Ordering::Release);
        for _ in 0..2 {
            let (status, body, _) = fetch::get(&mut sender, "faulty.test").await;
            assert_eq!((status, &body[..]), (200, &b"old"[..]));
        }
    });
}

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

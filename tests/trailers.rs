//! Trailers in both directions and both versions of HTTP, over real sockets: what follows a body
//! arrives behind it, what has no business there does not arrive at all, and the stream that they
//! came on serves the next exchange.

#![cfg(test)]

#[expect(dead_code, reason = "each test file uses its part of the rig")]
#[path = "hostile/mod.rs"]
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rig::fetch;
use rig::scene::{Scene, provider_and_ca};
use rig::upstream::{After, plain};

/// A body with trailers, some of which decide about messages or carry credentials.
const WITH_TRAILERS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
    Trailer: X-Checksum\r\n\r\n5\r\nhello\r\n0\r\nX-Checksum: 5d1f\r\nSet-Cookie: sid=1\r\n\
    Content-Length: 9\r\nProxy-Authenticate: no\r\nServer-Timing: db;dur=5\r\n\r\n";

fn answering(answer: &'static str) -> Scene {
    Scene::http(Box::new(move |connection, _| {
        connection.send(answer.as_bytes());
        After::KeepOpen
    }))
}

fn get(more: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: faulty.test\r\n{more}\r\n")
}

/// What came for one request over HTTP/1.1, up to the end of its body.
fn raw(scene: &Scene, request: &str) -> String {
    let mut client = scene.ask(request);
    assert!(client.answer(false).expect("an answer").complete);
    String::from_utf8_lossy(&client.received).into_owned()
}

#[track_caller]
fn check_over_h2(scene: &Scene, body: &[u8], names: &[&str]) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut sender = fetch::open(&scene.arena, "faulty.test").await;
        // Twice, so that the second one comes on a stream that has had trailers.
        for _ in 0..2 {
            let (status, got, trailers) = fetch::get(&mut sender, "faulty.test").await;
            assert_eq!(status, 200);
            assert!(got == body, "{} bytes of {}", got.len(), body.len());
            let mut found: Vec<&str> = trailers.keys().map(http::HeaderName::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, names);
        }
    });
}

#[test]
fn trailers_of_an_answer_follow_its_body_over_http1() {
    let scene = answering(WITH_TRAILERS);
    let text = raw(&scene, &get("TE: trailers\r\n"));
    let end = "5\r\nhello\r\n0\r\nx-checksum: 5d1f\r\nserver-timing: db;dur=5\r\n\r\n";
    assert!(text.ends_with(end), "{text}");
    assert!(text.contains("\r\nTrailer: X-Checksum\r\n"), "{text}");
    let head = scene.faulty.seen(|seen| seen.requests[0].clone());
    assert_eq!(
        (head.headers("te"), head.headers("connection")),
        (vec!["trailers".into()], vec!["TE".into()])
    );
}

#[test]
fn a_client_that_does_not_read_trailers_gets_none_and_none_are_announced() {
    let scene = answering(WITH_TRAILERS);
    for te in ["", "TE: deflate\r\n"] {
        let text = raw(&scene, &get(te));
        assert!(text.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{text}");
        assert!(!text.contains("Trailer"), "{text}");
    }
    let asked = scene.faulty.seen(|seen| seen.requests.iter().any(|r| !r.headers("te").is_empty()));
    assert!(!asked, "the upstream was told that trailers are read");
}

#[test]
fn trailers_of_an_http1_answer_arrive_over_http2() {
    let scene = answering(WITH_TRAILERS);
    check_over_h2(&scene, b"hello", &["server-timing", "x-checksum"]);
    // One connection for four exchanges: what had trailers is as good as new.
    check_over_h2(&scene, b"hello", &["server-timing", "x-checksum"]);
    assert_eq!(scene.faulty.seen(|seen| seen.connections), 1);
}

#[test]
fn trailers_behind_an_empty_body_arrive_over_http2() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Checksum: 0\r\n\r\n";
    check_over_h2(&answering(answer), b"", &["x-checksum"]);
}

#[test]
fn trailers_that_are_all_removed_end_the_body_over_http2() {
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nHost: x\r\n\r\n";
    check_over_h2(&answering(answer), b"ok", &[]);
}

#[test]
fn trailers_wait_for_a_body_that_is_larger_than_every_window() {
    let piece = vec![b'x'; 64 * 1024];
    let whole = vec![b'x'; 64 * piece.len()];
    let scene = Scene::http(Box::new(move |connection, _| {
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..64 {
            connection
                .send(&[format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat());
        }
        connection.send(b"0\r\nX-Checksum: 5d1f\r\n\r\n");
        After::KeepOpen
    }));
    check_over_h2(&scene, &whole, &["x-checksum"]);
}

#[test]
fn trailers_that_come_byte_by_byte_are_the_same() {
    let scene = Scene::http(Box::new(|connection, _| {
        for byte in WITH_TRAILERS.as_bytes() {
            connection.send(&[*byte]);
        }
        After::KeepOpen
    }));
    check_over_h2(&scene, b"hello", &["server-timing", "x-checksum"]);
    let text = raw(&scene, &get("TE: trailers\r\n"));
    assert!(
        text.contains("\r\n0\r\nx-checksum: 5d1f\r\nserver-timing: db;dur=5\r\n\r\n"),
        "{text}"
    );
    // Both may be answered over HTTP/2, so the second one goes where the first one did.
    assert_eq!(scene.faulty.seen(|seen| seen.connections), 1);
}

const CHUNKED_POST: &str = "POST /x HTTP/1.1\r\nHost: faulty.test\r\n\
    Trailer: X-Checksum, Authorization , content-md5\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn trailers_of_a_request_follow_its_body_and_no_credential_does() {
    let scene = Scene::http(Box::new(plain));
    let mut client = scene.ask(CHUNKED_POST);
    for _ in 0..2 {
        client.send(
            b"5\r\nhello\r\n0\r\nX-Checksum: 5d1f\r\nAuthorization: Bearer mine\r\nCookie: mine=1\r\n\
              X-Api-Key: mine\r\nX-Auth-Token: mine\r\nProxy-Authorization: Bearer mine\r\n\
              Host: mine.test\r\nContent-Length: 9\r\nX-Forwarded-For: mine\r\n\r\n",
        );
        assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
        client.send(CHUNKED_POST.as_bytes());
    }
    let (bytes, connections) = scene.faulty.seen(|seen| (seen.bytes.clone(), seen.connections));
    let text = String::from_utf8_lossy(&bytes);
    let ends = text.matches("5\r\nhello\r\n0\r\nx-checksum: 5d1f\r\n\r\n").count();
    assert_eq!(ends, 2, "{text}");
    assert!(!text.contains("mine"), "{text}");
    assert!(text.contains("\r\ntrailer: X-Checksum\r\n"), "{text}");
    assert_eq!(connections, 1, "what had trailers serves the next request");
}

#[test]
fn a_request_whose_trailers_are_all_removed_ends_as_if_it_had_none() {
    let scene = Scene::http(Box::new(plain));
    let mut client = scene.ask(
        "POST /x HTTP/1.1\r\nHost: faulty.test\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nAuthorization: Bearer mine\r\n\r\n",
    );
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
    let bytes = scene.faulty.seen(|seen| seen.bytes.clone());
    assert!(bytes.ends_with(b"5\r\nhello\r\n0\r\n\r\n"), "{}", rig::shown(&bytes));
}

/// An exchange that is on record has given its stream back to the pool.
fn wait_for_records(scene: &Scene, exchanges: usize) {
    let lines = scene.arena.tail.since(0, |lines| lines.len() >= exchanges);
    assert!(lines.len() >= exchanges, "{exchanges} exchanges are not on record");
}

/// What an upstream of HTTP/1 gets of requests over HTTP/2 with these fields in front.
fn posted_over_h2(fields: &[(&'static str, &'static str)]) -> String {
    let trailers = [
        ("x-checksum", "5d1f"),
        ("authorization", "Bearer mine"),
        ("cookie", "mine=1"),
        ("x-api-key", "mine"),
        ("proxy-authorization", "Bearer mine"),
        ("content-length", "9"),
        ("x-forwarded-for", "mine"),
    ];
    let scene = Scene::http(Box::new(plain));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut sender = fetch::open(&scene.arena, "faulty.test").await;
        for sent in 1..=2 {
            let status = fetch::post(&mut sender, "faulty.test", fields, &trailers).await;
            assert_eq!(status, 200);
            wait_for_records(&scene, sent);
        }
    });
    let (bytes, connections) = scene.faulty.seen(|seen| (seen.bytes.clone(), seen.connections));
    // The first one is that by which the upstream was asked what it speaks.
    assert_eq!(connections, 1, "what had trailers serves the next request");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(!text.contains("mine"), "{text}");
    text
}

#[test]
fn trailers_of_a_request_over_http2_follow_its_body_and_no_credential_does() {
    let announced = posted_over_h2(&[("trailer", "x-checksum, authorization")]);
    let unannounced = posted_over_h2(&[]);
    for text in [&announced, &unannounced] {
        let ends = text.matches("\r\n0\r\nx-checksum: 5d1f\r\n\r\n").count();
        assert_eq!(ends, 2, "{text}");
    }
    assert!(announced.contains("\r\ntrailer: x-checksum\r\n"), "{announced}");
    assert!(!unannounced.to_lowercase().contains("\r\ntrailer"), "{unannounced}");
}

#[test]
fn a_length_that_was_given_over_http2_is_kept_and_no_trailers_follow_it() {
    let text = posted_over_h2(&[("content-length", "5")]);
    assert_eq!(text.matches("\r\n\r\nhello").count(), 2, "{text}");
    assert!(!text.contains("x-checksum"), "{text}");
}

/// Takes the whole of a request and says that it came over HTTP/2.
async fn accept_h2(mut body: h2::RecvStream, mut respond: h2::server::SendResponse<bytes::Bytes>) {
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).expect("an open window");
    }
    let answer = http::Response::builder().status(202).header("x-spoke", "h2").body(());
    respond.send_response(answer.expect("an answer"), true).expect("a stream");
}

/// A TLS server with both protocols; says over each which one it was.
async fn speak_both(listener: tokio::net::TcpListener, config: Arc<rustls::ServerConfig>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    while let Ok((socket, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut tls = acceptor.accept(socket).await.expect("TLS from the proxy");
            if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                let mut connection = h2::server::handshake(tls).await.expect("HTTP/2");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(accept_h2(request.into_body(), respond));
                }
                return;
            }
            let mut seen = Vec::new();
            while !seen.ends_with(b"0\r\nx-checksum: 5d1f\r\n\r\n") {
                let Ok(byte) = tls.read_u8().await else { return };
                seen.push(byte);
            }
            let answer = b"HTTP/1.1 201 OK\r\nX-Spoke: h1\r\nContent-Length: 0\r\n\r\n";
            tls.write_all(answer).await.expect("a proxy that reads");
            tls.flush().await.expect("a proxy that reads");
        });
    }
}

/// A proxy in front of such a server.
fn both() -> (Scene, tokio::runtime::Runtime) {
    let ca = provider_and_ca();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bound = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = bound.expect("a loopback port");
    let address = listener.local_addr().expect("a bound address");
    let mut config = (*ca.server(&["faulty.test"])).clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    runtime.spawn(speak_both(listener, Arc::new(config)));
    (Scene::elsewhere(&ca, address), runtime)
}

#[test]
fn a_request_that_announces_trailers_goes_where_they_can_follow() {
    let (scene, _runtime) = both();
    let text = raw(&scene, &get("TE: trailers\r\n"));
    assert!(text.contains("x-spoke: h2\r\n"), "{text}");
    let post = CHUNKED_POST.replace("\r\nHost", "\r\nTE: trailers\r\nHost");
    let text = raw(&scene, &format!("{post}5\r\nhello\r\n0\r\nX-Checksum: 5d1f\r\n\r\n"));
    assert!(text.to_lowercase().contains("x-spoke: h1\r\n"), "{text}");
}

/// The status says which protocol the server was spoken to in; gRPC is HTTP/2 whatever it announces.
#[test]
fn a_request_over_http2_that_announces_trailers_goes_where_they_can_follow() {
    let (scene, runtime) = both();
    runtime.block_on(async {
        let mut sender = fetch::open(&scene.arena, "faulty.test").await;
        let trailer = ("trailer", "x-checksum");
        let grpc = ("content-type", "application/grpc");
        for (fields, status) in [(&[][..], 202), (&[trailer], 201), (&[trailer, grpc], 202)] {
            let trailers = [("x-checksum", "5d1f")];
            let answered = fetch::post(&mut sender, "faulty.test", fields, &trailers).await;
            assert_eq!(answered, status, "{fields:?}");
        }
    });
}

/// What is broken must not be found by anybody else: neither its stream nor its bytes.
#[test]
fn a_stream_on_which_framing_broke_never_serves_again() {
    for broken in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    ] {
        let scene = Scene::http(Box::new(move |connection, request| {
            if request.path() == "/x" {
                connection.send(broken.as_bytes());
                return After::KeepOpen;
            }
            plain(connection, request)
        }));
        assert_eq!(scene.arena.fetch("faulty.test", "/before"), 200);
        wait_for_records(&scene, 1);
        let mut client = scene.ask(&get(""));
        client.answer(false);
        for asked in 1..=3 {
            let mut next = scene.ask("GET /after HTTP/1.1\r\nHost: faulty.test\r\n\r\n");
            let answer = next.answer(false).expect("an answer");
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ok\n"[..]), "{broken}");
            wait_for_records(&scene, 2 + asked);
        }
        let connections = scene.faulty.seen(|seen| seen.connections);
        assert_eq!(connections, 2, "{broken}");
        scene.check_others_unharmed();
    }
}

/// One pooled stream that its upstream closes when the next request has come: it may have been
/// acted on, so only what is safe to repeat is sent again.
#[test]
fn only_what_is_safe_to_repeat_is_sent_again_when_a_pooled_stream_dies() {
    let put = "PUT /x HTTP/1.1\r\nHost: faulty.test\r\nContent-Length: 2\r\n\r\nok";
    let post = put.replace("PUT", "POST");
    for (request, status, sent) in [(get("").as_str(), 200, 2), (put, 200, 2), (&post, 502, 1)] {
        let has_died = AtomicBool::new(false);
        let scene = Scene::http(Box::new(move |connection, request| {
            if request.path() == "/x" && !has_died.swap(true, Ordering::Relaxed) {
                return After::Close;
            }
            plain(connection, request)
        }));
        assert_eq!(scene.arena.fetch("faulty.test", "/before"), 200);
        wait_for_records(&scene, 1);
        let mut client = scene.ask(request);
        let answer = client.answer(false).expect("an answer");
        assert_eq!(answer.status, status, "{request}");
        let seen =
            scene.faulty.seen(|seen| seen.requests.iter().filter(|r| r.path() == "/x").count());
        assert_eq!(seen, sent, "{request}");
    }
}

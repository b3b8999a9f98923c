//! Upstreams that speak HTTP/2, for as long as they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::rig::fetch;
use super::rig::scene::{Scene, provider_and_ca};

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
                // However it ends: a reset is told again and again.
                while let Some(Ok(_)) = connection.accept().await {}
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

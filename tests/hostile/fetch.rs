//! A well-behaved HTTP/2 client inside an intercepted tunnel, for what the library does rightly.

use h2::client::SendRequest;
use http::HeaderMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::arena::{Arena, SANDBOX};

/// Opens a connection to `https://<host>`.
pub(crate) async fn open(arena: &Arena, host: &str) -> SendRequest<bytes::Bytes> {
    let mut socket = tokio::net::TcpStream::connect(arena.process.proxy).await.expect("a proxy");
    let auth = arena.auth(SANDBOX);
    let connect = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n{auth}\r\n");
    socket.write_all(connect.as_bytes()).await.expect("a proxy that reads");
    let mut opened = Vec::new();
    while !opened.ends_with(b"\r\n\r\n") {
        opened.push(socket.read_u8().await.expect("an answer to CONNECT"));
    }
    let tls = arena.tls(host, &["h2"]);
    let name = tls.name.try_into().expect("a server name");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls.config));
    let tls = connector.connect(name, socket).await.expect("an intercepted tunnel");
    let (sender, connection) = h2::client::handshake(tls).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

/// Status, body and trailers of one request that reads trailers.
pub(crate) async fn get(
    sender: &mut SendRequest<bytes::Bytes>,
    host: &str,
) -> (u16, Vec<u8>, HeaderMap) {
    let request = http::Request::get(format!("https://{host}/")).header("te", "trailers").body(());
    let (answer, _) = sender.send_request(request.expect("a request"), true).expect("a stream");
    let answer = answer.await.expect("an answer");
    let status = answer.status().as_u16();
    let mut stream = answer.into_body();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.expect("data");
        stream.flow_control().release_capacity(data.len()).expect("an open window");
        body.extend_from_slice(&data);
    }
    (status, body, stream.trailers().await.expect("an end").unwrap_or_default())
}

/// The status of a POST whose body comes in two pieces, with these fields in front and behind.
pub(crate) async fn post(
    sender: &mut SendRequest<bytes::Bytes>,
    host: &str,
    fields: &[(&'static str, &'static str)],
    trailers: &[(&'static str, &'static str)],
) -> u16 {
    let mut request = http::Request::post(format!("https://{host}/x"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    let (answer, mut body) = sender.send_request(request, false).expect("a stream");
    body.send_data("hel".into(), false).expect("an open stream");
    body.send_data("lo".into(), false).expect("an open stream");
    let mut behind = HeaderMap::new();
    for (name, value) in trailers {
        behind.append(*name, value.parse().expect("a value"));
    }
    body.send_trailers(behind).expect("an open stream");
    answer.await.expect("an answer").status().as_u16()
}

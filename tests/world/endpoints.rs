//! The plain HTTP upstream: echo, downloads, uploads, streams that wait for the test, WebSocket.

use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde_json::json;
use std::sync::Arc;

use super::body::{Answer, PseudoRandom, json, streamed, whole};
use super::seen::Entry;
use super::upstream::State;
use super::websocket;

/// The parts of a response that waits at the gate between them.
const PARTS: [&str; 3] = ["first part\n", "second part\n", "third part\n"];

pub(crate) async fn answer(
    mut request: Request<Incoming>,
    mut entry: Entry,
    state: Arc<State>,
) -> Answer {
    let path = request.uri().path().to_owned();
    if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
        return bytes(count);
    }
    match path.as_str() {
        "/get" | "/headers" | "/anything" | "/upload" => {
            echo(&mut request, &mut entry, &state).await
        }
        own if own.ends_with("/below/a-credential") => echo(&mut request, &mut entry, &state).await,
        "/sse" => sse(state),
        "/slow-length" => slow_length(state),
        "/trailers" => trailers(),
        "/echo" => websocket::upgrade(request),
        "/redirect" => {
            let response = whole(StatusCode::FOUND, "text/plain", "elsewhere\n");
            let (mut head, body) = response.into_parts();
            head.headers.insert("location", "https://elsewhere.test/".parse().expect("a value"));
            Response::from_parts(head, body)
        }
        _ => json(StatusCode::NOT_FOUND, &json!({ "error": "the upstream has no such path" })),
    }
}

/// What was asked, at any path.
pub(crate) async fn echo_any(
    mut request: Request<Incoming>,
    mut entry: Entry,
    state: &State,
) -> Answer {
    echo(&mut request, &mut entry, state).await
}

/// What was asked, with the digest of the body, once all of it has arrived.
async fn echo(request: &mut Request<Incoming>, entry: &mut Entry, state: &State) -> Answer {
    let seen = entry.drain(request.body_mut()).await;
    let headers: serde_json::Map<_, _> =
        seen.headers.iter().map(|(name, value)| (name.clone(), state.mask(value).into())).collect();
    json(
        StatusCode::OK,
        &json!({
            "method": seen.method,
            "url": state.mask(&format!("https://{}{}", seen.host, seen.path)),
            "protocol": seen.protocol,
            "headers": headers,
            "body_bytes": seen.body_bytes,
            "body_sha256": seen.body_sha256,
            "body": state.mask(&String::from_utf8_lossy(
                &seen.body_start[..seen.body_start.len().min(1024)],
            )),
        }),
    )
}

fn bytes(count: u64) -> Answer {
    let (sender, body) = streamed();
    tokio::spawn(async move {
        for piece in PseudoRandom::new(count) {
            if !sender.send(piece).await {
                return;
            }
        }
    });
    let response = Response::builder().header("content-length", count);
    response.header("content-type", "application/octet-stream").body(body).expect("a response")
}

/// Server-sent events, each after the test has opened the gate for it but for the first.
fn sse(state: Arc<State>) -> Answer {
    let (sender, body) = streamed();
    tokio::spawn(async move {
        for (number, part) in PARTS.iter().enumerate() {
            if number > 0 {
                state.pass_gate().await;
            }
            sender.send(format!("id: {number}\ndata: {part}\n")).await;
        }
    });
    Response::builder().header("content-type", "text/event-stream").body(body).expect("a response")
}

/// A response with a Content-Length whose parts wait at the gate.
fn slow_length(state: Arc<State>) -> Answer {
    let length: usize = PARTS.iter().map(|part| part.len()).sum();
    let (sender, body) = streamed();
    tokio::spawn(async move {
        for (number, part) in PARTS.iter().enumerate() {
            if number > 0 {
                state.pass_gate().await;
            }
            sender.send(*part).await;
        }
    });
    let response = Response::builder().header("content-length", length);
    response.header("content-type", "text/plain").body(body).expect("a response")
}

fn trailers() -> Answer {
    let (sender, body) = streamed();
    tokio::spawn(async move {
        sender.send("a body with a trailer\n").await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "5d1f".parse().expect("a value"));
        sender.trailers(trailers).await;
    });
    Response::builder().header("trailer", "x-checksum").body(body).expect("a response")
}

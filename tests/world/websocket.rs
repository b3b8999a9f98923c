//! A WebSocket that greets at once and then echoes.

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::body::{Answer, json, whole};

pub(crate) fn upgrade(request: Request<Incoming>) -> Answer {
    let Some(key) = request.headers().get("sec-websocket-key").cloned() else {
        return json(StatusCode::BAD_REQUEST, &json!({ "error": "not a WebSocket handshake" }));
    };
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        echo(upgraded).await;
    });
    let accept = derive_accept_key(key.as_bytes());
    let (mut head, body) = whole(StatusCode::SWITCHING_PROTOCOLS, "text/plain", "").into_parts();
    head.headers.clear();
    head.headers.insert("connection", "Upgrade".parse().expect("a value"));
    head.headers.insert("upgrade", "websocket".parse().expect("a value"));
    head.headers.insert("sec-websocket-accept", accept.parse().expect("a value"));
    Response::from_parts(head, body)
}

async fn echo(upgraded: Upgraded) {
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    // Sent at once, so that it may arrive together with the 101.
    socket.send(Message::text("greeting")).await.ok();
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

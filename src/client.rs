//! The operator's side of a running proxy: `/v1` with the token of the data directory.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::exit::Failure;
use crate::running::{self, Running};

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// How long a session sandbox may live at most: a week, as the proxy says.
pub(crate) const SESSION_SECONDS_MAX: u64 = 7 * 24 * 3600;

/// A client of one running proxy.
#[derive(Clone)]
pub(crate) struct Admin {
    address: SocketAddr,
    token: String,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A sandbox that lives in the proxy until it is revoked or expires.
#[derive(Deserialize)]
pub(crate) struct SessionSandbox {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl std::fmt::Debug for SessionSandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionSandbox").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SessionSandbox {
    /// The value of `Proxy-Authorization` that proves it.
    pub(crate) fn authorization(&self) -> String {
        use base64::Engine;
        let pair = format!("{}:{}", self.id, self.token);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }
}

/// The proxy that runs from `data_dir`, and a client of it.
pub(crate) fn connect(data_dir: &Path) -> Result<(Running, Admin), Failure> {
    let Some(running) = running::find(data_dir) else {
        let dir = data_dir.display();
        let message = format!("no proxy is running from `{dir}`; `sallygate up` starts one");
        return Err(Failure::Unavailable(message));
    };
    let admin = Admin::new(running.admin, data_dir)?;
    Ok((running, admin))
}

/// A client of the control service that runs from `data_dir`.
pub(crate) fn control(data_dir: &Path) -> Result<Admin, Failure> {
    let running = running::find(data_dir);
    let Some(control) = running.and_then(|running| running.control) else {
        let dir = data_dir.display();
        let message =
            format!("no control service is running from `{dir}`; `sallygate up` starts one");
        return Err(Failure::Unavailable(message));
    };
    Admin::new(control, data_dir)
}

impl Admin {
    /// A client of the proxy at `address`, with the operator's token of `data_dir`.
    pub(crate) fn new(address: SocketAddr, data_dir: &Path) -> Result<Self, Failure> {
        let path = data_dir.join("operator.token");
        let token = std::fs::read_to_string(&path).map_err(|error| {
            Failure::Unauthorized(format!("`{}` cannot be read: {error}", path.display()))
        })?;
        Ok(Self { address, token: token.trim().to_owned() })
    }

    /// Asks, and gives the answer when it is one of success.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = async {
            let response = self.send(method, path, body).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = body.map_err(|error| self.unavailable(error))?.to_bytes();
            let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            if status.is_success() { Ok(value) } else { Err(refusal(status, &value)) }
        };
        match timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(self.unavailable("no answer in time")),
        }
    }

    /// Makes a sandbox for this session.
    pub(crate) async fn mint(
        &self,
        profile: &str,
        ttl_seconds: u64,
    ) -> Result<SessionSandbox, Failure> {
        let body = json!({ "profile": profile, "ttlSeconds": ttl_seconds });
        let minted = self.call(Method::POST, "/v1/sandboxes", Some(&body)).await?;
        serde_json::from_value(minted).map_err(|error| self.unavailable(error))
    }

    /// Ends a session sandbox.
    pub(crate) async fn revoke(&self, id: &str) -> Result<(), Failure> {
        self.call(Method::DELETE, &format!("/v1/sandboxes/{id}"), None).await.map(drop)
    }

    /// Records as they are written from now on.
    pub(crate) async fn tail(&self) -> Result<Tail, Failure> {
        let response = timeout(ANSWER_WITHIN, self.send(Method::GET, "/v1/tail", None)).await;
        let response = response.map_err(|_| self.unavailable("no answer in time"))??;
        match response.status() {
            StatusCode::OK => Ok(Tail { body: response.into_body(), unread: Vec::new() }),
            status => Err(refusal(status, &Value::Null)),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = timeout(CONNECT_WITHIN, TcpStream::connect(self.address)).await;
        let stream = stream
            .map_err(|_| self.unavailable("no connection in time"))?
            .map_err(|error| self.unavailable(error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unavailable(error))?;
        // Errors of the connection are those of the request, which is waited for.
        tokio::spawn(connection);
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::Usage(error.to_string()))?;
        sender.send_request(request).await.map_err(|error| self.unavailable(error))
    }

    fn unavailable(&self, reason: impl std::fmt::Display) -> Failure {
        let address = self.address;
        Failure::Unavailable(format!("the listener at {address}: {reason}"))
    }
}

fn refusal(status: StatusCode, answer: &Value) -> Failure {
    let detail = answer.get("detail").and_then(Value::as_str);
    let mut message = detail.map_or_else(|| format!("the answer is {status}"), str::to_owned);
    for issue in answer.get("issues").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| issue.get(key).and_then(Value::as_str).unwrap_or_default();
        message += &format!("\n  {} {}: {}", text("code"), text("field"), text("message"));
    }
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Unauthorized(message),
        StatusCode::NOT_FOUND => Failure::NotFound(message),
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Failure::Conflict(message),
        StatusCode::SERVICE_UNAVAILABLE => Failure::Unavailable(message),
        _ => Failure::Failed(message),
    }
}

/// Records of a running proxy, line by line.
#[derive(Debug)]
pub(crate) struct Tail {
    body: Incoming,
    unread: Vec<u8>,
}

impl Tail {
    /// The next record; `None` when the proxy went away.
    pub(crate) async fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                let line = std::mem::replace(&mut self.unread, rest);
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.unread.len() > LINE_BYTES_MAX {
                return None;
            }
            let frame = self.body.frame().await?.ok()?;
            self.unread.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }
}

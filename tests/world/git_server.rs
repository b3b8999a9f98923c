//! Git over smart HTTP: every request runs the real `git http-backend` as a CGI program.
//!
//! Repositories below `/old/` are served without version 2 of the protocol.

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::body::{Answer, Sender, json, streamed};
use super::seen::Entry;

const HEAD_BYTES_MAX: usize = 64 * 1024;

pub(crate) async fn answer(request: Request<Incoming>, entry: Entry, root: PathBuf) -> Answer {
    let mut backend = start(&request, &root);
    let stdin = backend.stdin.take().expect("stdin is a pipe");
    let mut stdout = backend.stdout.take().expect("stdout is a pipe");
    // Both ways at once: the backend may answer before it has read everything.
    tokio::spawn(feed(request.into_body(), entry, stdin));
    let Some((head, rest)) = head(&mut stdout).await else {
        return json(StatusCode::BAD_GATEWAY, &json!({ "error": "git http-backend gave no head" }));
    };
    let (sender, body) = streamed();
    tokio::spawn(pass_on(rest, stdout, sender, backend));
    head.body(body).expect("a valid response")
}

fn start(request: &Request<Incoming>, root: &Path) -> Child {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", root)
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        // A request that arrives here is authenticated: git then allows it to push.
        .env("REMOTE_USER", "sallygate")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default());
    for (variable, name) in [
        // Absent for a chunked body: the backend then reads to the end.
        ("CONTENT_LENGTH", "content-length"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        let is_old = name == "git-protocol" && request.uri().path().starts_with("/old/");
        if let Some(value) = header(name).filter(|_| !is_old) {
            command.env(variable, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().expect("git runs (tests/prepare installs it)")
}

async fn feed(mut body: Incoming, mut entry: Entry, mut stdin: ChildStdin) {
    while let Some(piece) = entry.next(&mut body).await {
        if stdin.write_all(&piece).await.is_err() {
            return;
        }
    }
}

/// The CGI head, and what was read beyond it.
async fn head(stdout: &mut ChildStdout) -> Option<(hyper::http::response::Builder, Bytes)> {
    let mut read = BytesMut::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if read.len() > HEAD_BYTES_MAX || stdout.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = read.split_to(end + 4);
    let mut response = Response::builder();
    for line in std::str::from_utf8(&head).ok()?.split_terminator("\r\n").filter(|l| !l.is_empty())
    {
        let (name, value) = line.split_once(": ")?;
        response = if name == "Status" {
            response.status(value.split(' ').next()?)
        } else {
            response.header(name, value)
        };
    }
    Some((response, read.freeze()))
}

async fn pass_on(rest: Bytes, mut stdout: ChildStdout, sender: Sender, mut backend: Child) {
    let mut open = rest.is_empty() || sender.send(rest).await;
    while open {
        let mut piece = BytesMut::with_capacity(64 * 1024);
        open = match stdout.read_buf(&mut piece).await {
            Ok(count) if count > 0 => sender.send(piece).await,
            Ok(_) | Err(_) => false,
        };
    }
    backend.wait().await.ok();
}

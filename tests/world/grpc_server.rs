//! The gRPC upstream: grpcio in a process of its own, which reports what it sees line by line.

use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::client::{clients, venv};
use super::seen::Seen;
use super::tls::Leaf;
use super::upstream::State;

pub(crate) async fn start(
    state: Arc<State>,
    leaf: &Leaf,
    directory: &Path,
) -> (SocketAddr, JoinHandle<()>) {
    let certificate = directory.join("grpc.pem");
    let key = directory.join("grpc-key.pem");
    std::fs::write(&certificate, leaf.certificate_pem()).expect("a writable directory");
    std::fs::write(&key, leaf.key_pem()).expect("a writable directory");
    let (_, expected) = state.expected_header().expect("gRPC credentials are headers");
    let mut server = Command::new(venv("python"))
        .arg(clients("grpc_server.py"))
        .args([&certificate, &key])
        .env("EXPECTED_AUTHORIZATION", expected)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python runs (tests/prepare makes .venv)");
    let stdout = server.stdout.take().expect("stdout is a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let first = lines.next_line().await.ok().flatten().expect("the server tells its port");
    let port = first.parse().expect("the first line is the port");
    let task = tokio::spawn(record(lines, state, server));
    (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), task)
}

/// Owns the server: ending this task ends it.
async fn record(mut lines: Lines<BufReader<ChildStdout>>, state: Arc<State>, server: Child) {
    while let Ok(Some(line)) = lines.next_line().await {
        let call: Value = serde_json::from_str(&line).expect("the server writes JSON lines");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = call["metadata"].as_array().into_iter().flatten();
        state.record.push(Seen {
            method: "POST".to_owned(),
            host: text(&call["host"]),
            path: text(&call["method"]),
            protocol: "h2".to_owned(),
            headers: metadata.map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
            ..Seen::default()
        });
    }
    drop(server);
}

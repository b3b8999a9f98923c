//! An endpoint of AWS in a process of its own, in which botocore says what signature is right.

use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::canary::Canary;
use super::client::{clients, venv};
use super::seen::Seen;
use super::tls::Leaf;
use super::upstream::State;

/// As `credential_process` prints it.
pub(crate) fn session(canary: &Canary) -> String {
    let session = json!({
        "Version": 1,
        "AccessKeyId": "AKIDWORLD",
        "SecretAccessKey": canary.value(),
        "SessionToken": "session/token==",
    });
    session.to_string()
}

pub(crate) async fn start(
    (state, service): (Arc<State>, &str),
    leaf: &Leaf,
    directory: &Path,
) -> (SocketAddr, JoinHandle<()>) {
    let certificate = directory.join(format!("servers/{service}.pem"));
    let key = directory.join(format!("servers/{service}-key.pem"));
    std::fs::write(&certificate, leaf.certificate_pem()).expect("a writable directory");
    std::fs::write(&key, leaf.key_pem()).expect("a writable directory");
    let mut server = Command::new(venv("python"))
        .arg(clients("aws_server.py"))
        .args([&certificate, &key])
        .envs([("AWS_SERVICE", service), ("AWS_REGION", "eu-west-1")])
        .env("AWS_SECRET", state.canary.value())
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
        let headers = call["headers"].as_array().into_iter().flatten();
        state.record.push(Seen {
            method: text(&call["method"]),
            host: text(&call["host"]),
            path: text(&call["path"]),
            protocol: "http/1.1".to_owned(),
            headers: headers.map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
            body_sha256: call["data_sha256"].as_str().map(str::to_owned),
            problem: call["problem"].as_str().map(str::to_owned),
            ..Seen::default()
        });
    }
    drop(server);
}

//! Upstreams that fail in every way that a connection can fail: the sandbox gets the code for it,
//! nothing is sent twice that could be acted on twice, and other traffic does not notice. Streams
//! of upstreams that do not fail pass as they come, each way.

#![cfg(test)]

mod begun;
mod over_h2;
mod refused;
mod streams;
mod upgrade;

#[expect(dead_code, reason = "each test file uses its part of the rig")]
#[path = "../hostile/mod.rs"]
mod rig;

use rig::answer::Answer;
use rig::upstream::Connection;
use socket2::SockRef;
use std::time::Duration;

const GET: &str = "GET /x HTTP/1.1\r\nHost: faulty.test\r\n\r\n";

/// The proxy's own answer, with this status and code.
#[track_caller]
fn check_answer(answer: Option<Answer>, status: u16, code: &str, detail: &str) {
    let answer = answer.expect("an answer");
    assert_eq!((answer.status, answer.code()), (status, Some(code)), "{}", answer.head);
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("a document");
    let given = problem["detail"].as_str().unwrap_or_default();
    assert!(given.contains(detail), "`{given}` does not say `{detail}`");
}

/// Ends a connection with a reset and not with a goodbye.
fn reset(connection: &Connection) {
    SockRef::from(connection.stream.socket()).set_linger(Some(Duration::ZERO)).ok();
}

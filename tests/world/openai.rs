//! An upstream that speaks OpenAI's API as documented: models, chat completions, whole and streamed.
//!
//! A streamed answer for the model `gated` waits at the gate after its first words.

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

use super::body::{Answer, json, streamed};
use super::seen::Entry;
use super::upstream::State;

const WORDS: [&str; 4] = ["The ", "gate ", "is ", "open."];

pub(crate) async fn answer(
    mut request: Request<Incoming>,
    mut entry: Entry,
    state: Arc<State>,
) -> Answer {
    match (request.method().as_str(), request.uri().path()) {
        ("GET", "/v1/models") => json(
            StatusCode::OK,
            &json!({ "object": "list", "data": [
                { "id": "gated", "object": "model", "created": 1_700_000_000, "owned_by": "test" },
            ]}),
        ),
        ("POST", "/v1/chat/completions") => {
            let seen = entry.drain(request.body_mut()).await;
            match serde_json::from_slice(&seen.body_start) {
                Ok(question) => chat(&question, state),
                Err(error) => refuse(&error.to_string()),
            }
        }
        _ => refuse("unknown path"),
    }
}

fn refuse(message: &str) -> Answer {
    let error = json!({ "message": message, "type": "invalid_request_error", "code": null });
    json(StatusCode::BAD_REQUEST, &json!({ "error": error }))
}

fn chat(question: &Value, state: Arc<State>) -> Answer {
    if question["messages"].as_array().is_none_or(Vec::is_empty) {
        return refuse("`messages` is required");
    }
    if question["stream"] == true { stream(question, state) } else { complete() }
}

fn complete() -> Answer {
    let message = json!({ "role": "assistant", "content": WORDS.concat(), "refusal": null });
    let choice =
        json!({ "index": 0, "message": message, "finish_reason": "stop", "logprobs": null });
    let usage = json!({ "prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9 });
    json(
        StatusCode::OK,
        &json!({
            "id": "chatcmpl-test", "object": "chat.completion", "created": 1_700_000_000,
            "model": "gated", "choices": [choice], "usage": usage,
        }),
    )
}

fn stream(question: &Value, state: Arc<State>) -> Answer {
    let tells_usage = question["stream_options"]["include_usage"] == true;
    let (sender, body) = streamed();
    tokio::spawn(async move {
        sender.send(event(&json!({ "role": "assistant", "content": "" }), None)).await;
        for (number, word) in WORDS.iter().enumerate() {
            if number == 1 {
                state.pass_gate().await;
            }
            sender.send(event(&json!({ "content": word }), None)).await;
        }
        sender.send(event(&json!({}), Some("stop"))).await;
        if tells_usage {
            let usage = json!({ "prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9 });
            let last = json!({ "choices": [], "usage": usage });
            sender.send(format!("data: {last}\n\n")).await;
        }
        sender.send("data: [DONE]\n\n").await;
    });
    Response::builder().header("content-type", "text/event-stream").body(body).expect("a response")
}

fn event(delta: &Value, finish_reason: Option<&str>) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish_reason });
    let chunk = json!({
        "id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 1_700_000_000,
        "model": "gated", "choices": [choice],
    });
    format!("data: {chunk}\n\n")
}

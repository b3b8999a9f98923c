//! Answers in the shapes that providers document, read at the places that the builtin definitions
//! name, at prices at which every kind of token shows.

use proptest::prelude::*;
use sallygate_compiler::plan::{ModelPrice, Route, TokenKind, Usage};
use sallygate_definitions::Registry;
use serde_json::json;

use super::price::Counts;
use super::{Form, Metered};

const KINDS: [u64; 4] = [1_000_000, 1_000_000_000, 1_000_000_000_000, 10_000_000];

/// What is counted of the definition's routes; `model` is dearer than `cheap`, which costs nothing.
fn metered(key: &str, model: &str) -> Metered {
    let rule = Registry::builtin().require(key).unwrap().usage.clone().unwrap();
    let mut usage = serde_json::to_value(rule).unwrap();
    usage["connectionId"] = json!("con");
    let mut usage: Usage = serde_json::from_value(usage).unwrap();
    let price = |model: &str, [input, cached, write, output]: [u64; 4]| ModelPrice {
        model: model.to_owned(),
        input_micros_per_million: input,
        cached_input_micros_per_million: cached,
        cache_write_micros_per_million: write,
        output_micros_per_million: output,
    };
    usage.prices = vec![price("cheap*", [0; 4]), price(model, KINDS)];
    assert_eq!(usage.problems(), [""; 0]);
    let route = json!({"routeId": "b/r", "bindingId": "b", "usage": usage, "match": {
        "scheme": "https", "hosts": ["a.test"], "paths": ["/**"]}});
    let route: Route = serde_json::from_value(route).unwrap();
    Metered::new(&route).unwrap()
}

/// Tokens by kind, and what they cost.
type Expected = Option<([u64; 4], u64)>;

#[track_caller]
fn check(metered: &Metered, form: Form, answer: &str, expected: Expected) {
    for size in [1, 5, 64, answer.len().max(1)] {
        read(metered, form, answer.as_bytes().chunks(size), expected);
    }
}

#[track_caller]
fn read<'a>(
    metered: &Metered,
    form: Form,
    pieces: impl Iterator<Item = &'a [u8]>,
    expected: Expected,
) {
    let mut reader = metered.reader(form);
    pieces.for_each(|piece| reader.push(piece));
    reader.finish();
    let told = metered.told(&reader).told;
    let tokens = told.tokens.map(|counts: Counts| TokenKind::ALL.map(|kind| counts.get(kind)));
    assert_eq!(tokens.map(|tokens| (tokens, told.micros)), expected);
}

fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("event: x\ndata: {data}\n\n")).collect()
}

const CHAT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1741569952,
"model":"gpt-4.1-2025-04-14","choices":[{"index":0,"message":{"role":"assistant",
"content":"{\"usage\":{\"prompt_tokens\":7},\"model\":\"cheap\"}","refusal":null},"finish_reason":"stop"}],
"usage":{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,
"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},
"completion_tokens_details":{"reasoning_tokens":64,"audio_tokens":0}},"service_tier":"default"}"#;

const RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","error":null,
"model":"gpt-4.1-2025-04-14","output":[{"type":"message","role":"assistant","content":[
{"type":"output_text","text":"In a peaceful grove","annotations":[]}]}],"usage":{"input_tokens":36,
"input_tokens_details":{"cached_tokens":6},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":0},
"total_tokens":123},"user":null,"metadata":{}}"#;

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5",
"content":[{"type":"text","text":"\"usage\":{\"input_tokens\":9}"}],"stop_reason":"end_turn",
"usage":{"input_tokens":2095,"cache_creation_input_tokens":2,"cache_read_input_tokens":3,
"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":0},"output_tokens":503}}"#;

const CHUNK: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","model":"gpt-4.1","choices":[{"index":0,"delta":{"content":"usage"}}],"usage":null}"#;
const LAST_CHUNK: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","model":"gpt-4.1","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0}}}"#;
const CREATED: &str = r#"{"type":"response.created","response":{"id":"resp_1","model":"gpt-4.1","status":"in_progress","usage":null}}"#;
const DELTA: &str =
    r#"{"type":"response.output_text.delta","delta":"\"usage\":{\"input_tokens\":5}"}"#;
const COMPLETED: &str = r#"{"type":"response.completed","response":{"id":"resp_1","model":"gpt-4.1","status":"completed","usage":{"input_tokens":37,"output_tokens":11,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":48}}}"#;

#[test]
fn the_tokens_of_openai_are_counted_whole_and_streamed_and_each_once() {
    let metered = metered("openai::openai-default", "gpt-4.1*");
    let chat = [86, 1920, 0, 300];
    check(&metered, Form::Json, CHAT, Some((chat, 86 + 1_920_000 + 3000)));
    let response = [30, 6, 0, 87];
    check(&metered, Form::Json, RESPONSE, Some((response, 30 + 6000 + 870)));
    let stream = events(&[CHUNK, CHUNK, LAST_CHUNK, "[DONE]"]);
    check(&metered, Form::Events, &stream, Some(([19, 0, 0, 10], 119)));
    let stream = events(&[CREATED, DELTA, COMPLETED]);
    check(&metered, Form::Events, &stream, Some(([37, 0, 0, 11], 147)));
    let embedding = r#"{"object":"list","model":"cheap-embedding","data":[{"embedding":[0.1,-0.2]}],
        "usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    check(&metered, Form::Json, embedding, Some(([8, 0, 0, 0], 0)));
    for untold in [
        events(&[CHUNK, CHUNK, "[DONE]"]),
        events(&[CREATED, DELTA]),
        r#"{"id":"resp_1","status":"queued","model":"gpt-4.1","usage":null}"#.to_owned(),
        r#"{"error":{"message":"usage","type":"invalid_request_error"}}"#.to_owned(),
        r#"{"data":[{"usage":{"prompt_tokens":3}}]}"#.to_owned(),
        String::new(),
    ] {
        check(&metered, Form::Events, &untold, None);
        check(&metered, Form::Json, &untold, None);
    }
}

const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","model":"claude-sonnet-4-5","content":[],"usage":{"input_tokens":25,"cache_creation_input_tokens":4,"cache_read_input_tokens":2,"output_tokens":1}}}"#;
const PING: &str = r#"{"type": "ping"}"#;
const TEXT: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"{\"usage\":1}"}}"#;
const OLD_END: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#;
const END: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":25,"cache_creation_input_tokens":4,"cache_read_input_tokens":2,"output_tokens":15}}"#;
const SEARCHED: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":1000,"cache_creation_input_tokens":4,"cache_read_input_tokens":2,"output_tokens":15,"server_tool_use":{"web_search_requests":1}}}"#;

#[test]
fn the_tokens_of_anthropic_are_counted_once_however_often_a_stream_tells_them() {
    let metered = metered("anthropic::anthropic-default", "claude-*");
    let expected = [2095, 3, 2, 503];
    check(&metered, Form::Json, MESSAGE, Some((expected, 2095 + 3000 + 2_000_000 + 5030)));
    let cost = |input: u64, output: u64| input + 2000 + 4_000_000 + output * 10;
    for (data, [input, output]) in [
        (&[START, PING, TEXT, OLD_END][..], [25, 15]),
        (&[START, TEXT, END], [25, 15]),
        (&[START, OLD_END, END], [25, 15]),
        (&[START, TEXT, SEARCHED], [1000, 15]),
        // Broken off: what was told until then.
        (&[START, TEXT], [25, 1]),
    ] {
        let tokens = [input, 2, 4, output];
        check(&metered, Form::Events, &events(data), Some((tokens, cost(input, output))));
    }
    // A model that has no price costs what is dearest, and so does one that is not named.
    for name in ["gpt-9", "Claude-x", "cheap\\u0020", &"c".repeat(129)] {
        let other = START.replace("claude-sonnet-4-5", name);
        let told = events(&[&other, END]);
        check(&metered, Form::Events, &told, Some(([25, 2, 4, 15], cost(25, 15))));
    }
    let cheap = events(&[&START.replace("claude-sonnet-4-5", "cheap-1"), END]);
    check(&metered, Form::Events, &cheap, Some(([25, 2, 4, 15], 0)));
    for untold in
        [r#"{"input_tokens":2095}"#, r#"{"type":"error","error":{"type":"overloaded_error"}}"#]
    {
        check(&metered, Form::Json, untold, None);
    }
}

#[test]
fn a_model_runs_for_a_post_and_for_an_upgrade_and_for_nothing_else() {
    let metered = metered("openai::openai-default", "m");
    for (method, is_upgrade, expected) in [
        ("POST", false, true),
        ("GET", true, true),
        ("GET", false, false),
        ("HEAD", false, false),
        ("DELETE", false, false),
        ("post", false, false),
    ] {
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(metered.runs(&method, is_upgrade), expected, "{method} {is_upgrade}");
    }
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_it_tells_the_same(cuts in prop::collection::vec(0usize..900, 0..12)) {
        let metered = metered("anthropic::anthropic-default", "claude-*");
        let stream = events(&[START, TEXT, SEARCHED]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|w| &stream.as_bytes()[w[0]..w[1]]);
        read(&metered, Form::Events, pieces, Some(([1000, 2, 4, 15], 1000 + 2000 + 4_000_000 + 150)));
    }
}

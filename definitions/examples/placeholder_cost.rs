//! What looking for placeholders costs where there are none, counted in this process:
//! `placeholder_cost head` and `placeholder_cost body` are for callgrind, which `benches/instructions`
//! runs them under. Both print how often they looked.

#![expect(clippy::print_stdout, reason = "what it finds out is its output")]

use std::hint::black_box;
use std::sync::Arc;

use sallygate_definitions::placeholder::{
    Known, Owner, Passed, PlaceholderKey, Recogniser, Shape, ShapeError, Spelling, Stream,
    may_hold_code,
};

const ROUNDS: usize = 1024;

/// What the head of a request of an SDK is made of.
const HEAD: [&str; 16] = [
    "api.openai.com",
    "/v1/chat/completions",
    "",
    "application/json",
    "application/json",
    "gzip, deflate, br, zstd",
    "keep-alive",
    "4312",
    "Bearer ",
    "OpenAI/Python 1.54.3",
    "python",
    "1.54.3",
    "Linux",
    "x64",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0",
    "0f9b2c1e-5d54-4c3f-8a6e-7c1d2b3a4f5e-0f9b2c1e-5d54-4c3f-8a6e-7c1d2b3a4f5e",
];

fn main() -> Result<(), ShapeError> {
    let recogniser = Arc::new(recogniser()?);
    match std::env::args().nth(1).as_deref() {
        Some("head") => (0..ROUNDS).for_each(|_| counted_head(&recogniser)),
        _ => {
            let text =
                r#"{"role":"user","content":"Is the gate open?\nIt is 5 o'clock, 100 % sure."},"#;
            let piece = text.repeat(16 * 1024 / text.len());
            (0..ROUNDS).for_each(|_| counted_body(&recogniser, piece.as_bytes()));
        }
    }
    println!("{ROUNDS}");
    Ok(())
}

fn recogniser() -> Result<Recogniser, ShapeError> {
    let key = PlaceholderKey::from_bytes([7; 32]);
    let shape = Shape::parse("ghp_{alphanumeric:36}")?;
    let owner = |connection| Owner {
        organization: "local",
        sandbox: "sbx",
        connection,
        secret_type: "api_key",
        slot: None,
    };
    let known = ["a", "b", "c"].map(|connection| Known::new(&key, &owner(connection), &shape));
    Ok(Recogniser::new(vec![key], known.to_vec()))
}

#[inline(never)]
fn counted_head(recogniser: &Recogniser) {
    for value in HEAD.iter().filter(|value| may_hold_code(value.len())) {
        let _ = black_box(recogniser.finds(black_box(value.as_bytes())));
    }
}

#[inline(never)]
fn counted_body(recogniser: &Arc<Recogniser>, piece: &[u8]) {
    let mut stream = Stream::new(Arc::clone(recogniser), Vec::new(), Spelling::Any);
    let passed = stream.push(black_box(piece), false);
    let _ = black_box(matches!(passed, Ok(Passed::AsItIs(_))));
}

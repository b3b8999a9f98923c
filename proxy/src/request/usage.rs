//! What an answer cost: asked for in a form that can be read, read while it passes, and settled.

use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RANGE};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use sallygate_compiler::plan::TokenKind;

use super::{Exchange, Permit};
use crate::meter::{Form, Metered, Reads, Told};

/// What is counted of the route, and what its answer is read for.
fn metered(x: &Exchange) -> Option<(&Metered, Reads)> {
    let permit = x.permit.as_ref()?;
    let metered = permit.route()?.metered.as_ref()?;
    Some((metered, metered.reads(permit.counted()?)))
}

/// Asks for the answer uncompressed where it is read, and for the whole of it where that must be.
pub(super) fn ask_plainly(request: &mut RequestHeader, x: &Exchange) -> Result<()> {
    let Some((_, reads)) = metered(x) else { return Ok(()) };
    if reads == Reads::Nothing {
        return Ok(());
    }
    if reads == Reads::Cost {
        request.remove_header(&RANGE);
    }
    request.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
}

/// Begins to read a final answer. One whose cost would go by uncounted is not passed on.
pub(super) fn begin(response: &ResponseHeader, x: &mut Exchange) -> Result<(), &'static str> {
    let Some((metered, reads)) = metered(x) else { return Ok(()) };
    let codings = response.headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_plain = codings.all(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"identity"));
    match reads {
        Reads::Nothing => return Ok(()),
        Reads::Cost if !is_plain => {
            return Err("the answer is compressed unasked, and its cost cannot be read");
        }
        Reads::Cost | Reads::Tokens => {}
    }
    let kind = response.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_events = kind.eq_ignore_ascii_case(b"text/event-stream");
    // Compressed bytes are no JSON: nothing is found in them, and that is what is told.
    let reader = metered.reader(if is_events { Form::Events } else { Form::Json });
    x.usage = Some(reader);
    Ok(())
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    BrokenOff,
}

/// Puts what the request cost in the place of what was assumed, and counts its tokens.
pub(super) fn settle(ending: Ending, x: &mut Exchange) {
    let Some(mut reader) = x.usage.take() else { return };
    reader.finish();
    let Some((metered, _)) = metered(x) else { return };
    let found = metered.told(&reader);
    let is_error = x.status >= 400;
    if let Some(connection) = metered.connection()
        && (found.told.tokens.is_some() || !is_error)
    {
        count(x, (metered, connection), &found.told);
    }
    let broke_off = ending == Ending::BrokenOff;
    if let Some(metering) = x.permit.as_mut().and_then(Permit::metering) {
        metering.settle(&found, broke_off, is_error);
    }
}

/// Counts what an answer told: for operators, and for the sandbox itself.
fn count(x: &Exchange, (metered, connection): (&Metered, &str), told: &Told) {
    let metrics = &x.shared.metrics;
    if let Some(sandbox) = &x.sandbox {
        x.shared.meters.tell(&sandbox.id, metered, told);
    }
    let connection = metrics.connection(connection);
    let result = if told.tokens.is_some() { "told" } else { "untold" };
    metrics.model_answers.with_label_values(&[connection, result]).inc();
    metrics.model_spend.with_label_values(&[connection]).inc_by(told.micros);
    for kind in TokenKind::ALL {
        let tokens = told.tokens.map_or(0, |tokens| tokens.get(kind));
        metrics.model_tokens.with_label_values(&[connection, kind.as_str()]).inc_by(tokens);
    }
}

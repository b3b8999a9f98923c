//! What an answer cost: asked for in a form that can be read, read while it passes, and settled.

use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RANGE};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::{Exchange, Permit};
use crate::meter::{Form, Metered};

fn metered(x: &Exchange) -> Option<&Metered> {
    let metered = x.permit.as_ref().and_then(Permit::route)?.metered.as_ref()?;
    metered.reads_answers().then_some(metered)
}

/// Asks for the whole answer, uncompressed, where it must be read.
pub(super) fn ask_plainly(request: &mut RequestHeader, x: &Exchange) -> Result<()> {
    if metered(x).is_none() {
        return Ok(());
    }
    request.remove_header(&RANGE);
    request.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
}

/// Begins to read a final answer. An answer that cannot be read is not passed on: its cost would
/// go by uncounted.
pub(super) fn begin(response: &ResponseHeader, x: &mut Exchange) -> Result<(), &'static str> {
    let Some(metered) = metered(x) else { return Ok(()) };
    let codings = response.headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if !codings.all(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err("the answer is compressed unasked, and its cost cannot be read");
    }
    let kind = response.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_events = kind.eq_ignore_ascii_case(b"text/event-stream");
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

/// Puts what the request cost in the place of what was assumed.
///
/// What broke off costs at least what was assumed: the number at the end was never seen. An error
/// that names no number costs nothing.
pub(super) fn settle(ending: Ending, x: &mut Exchange) {
    let Some(metered) = metered(x) else { return };
    let assumed = metered.assumed();
    let Some(mut reader) = x.usage.take() else { return };
    reader.finish();
    let told = x
        .permit
        .as_ref()
        .and_then(Permit::route)
        .and_then(|route| route.metered.as_ref()?.price(&reader));
    let cost = match (told, ending) {
        (Some(micros), Ending::Whole) => micros,
        (Some(micros), Ending::BrokenOff) => micros.max(assumed),
        (None, _) if x.status >= 400 => 0,
        (None, _) => return,
    };
    if let Some(metering) = x.permit.as_mut().and_then(Permit::metering) {
        metering.settle(cost);
    }
}

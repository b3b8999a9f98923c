//! Placeholders in bodies. Where the route says so, the credential comes in their place while the
//! body passes; everywhere else a body ends where one comes.
//!
//! What is compressed is not looked into: no placeholder is replaced in it, so a route that replaces
//! them in bodies takes no such body.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use sallygate_definitions::contract::injection::PlaceholderPlace;
use sallygate_definitions::placeholder::{Misuse, Passed, Spelling, Stream, Substitute};
use zeroize::Zeroizing;

use super::frames::Frames;
use super::{Sighting, Spot, misuse};
use crate::credential::Ready;
use crate::denial::{Code, Denial};
use crate::plan::ActiveRoute;
use crate::request::{Exchange, Permit, forward, inject, inspect};

/// What is done with the body of one attempt.
#[derive(Debug)]
pub(in crate::request) enum Care {
    Body(Stream),
    /// The connection speaks WebSocket from here on.
    Frames(Frames),
}

/// Whether the route replaces placeholders in bodies.
fn swaps(route: &ActiveRoute) -> bool {
    let mut swaps = route.injections.iter().filter_map(|injection| injection.swap());
    swaps.any(|swap| swap.is_at(PlaceholderPlace::Body))
}

/// Refuses a body that cannot be looked into where it would have to be. One whose length is said,
/// and within the bound of what is looked into, is read first: then its length can be said again.
pub(in crate::request) async fn prepare(
    permit: &Permit,
    session: &mut Session,
    x: &mut Exchange,
) -> Result<(), Denial> {
    let Some(route) = permit.route().filter(|route| swaps(route)) else { return Ok(()) };
    let headers = &session.as_downstream().req_header().headers;
    if is_encoded(headers) {
        let detail = "the body is compressed, and the route would have to look into it";
        return Err(Denial::new(Code::BodyEncoded, detail).route(&*route.id));
    }
    let length = content_length(headers);
    if length.is_some_and(|length| length > 0 && length <= x.shared.limits.inspect_body_bytes_max) {
        inspect::whole(session, x).await?;
    }
    Ok(())
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Begins an attempt, and says how long the body will be where that is known.
pub(in crate::request) fn begin(request: &mut RequestHeader, x: &mut Exchange) -> Result<()> {
    x.care = None;
    let Some(sandbox) = x.sandbox.as_ref() else { return Ok(()) };
    let Some(recogniser) = sandbox.recogniser().map(Arc::clone) else { return Ok(()) };
    let is_upgrade = x.head.as_ref().is_some_and(|head| head.is_upgrade);
    if is_upgrade {
        x.care = Some(Care::Frames(Frames::new(recogniser)));
        return Ok(());
    }
    let route = x.permit.as_ref().and_then(Permit::route).filter(|route| swaps(route));
    let Some(route) = route else {
        if !is_encoded(&request.headers) {
            let stream = Stream::new(recogniser, Vec::new(), Spelling::Any);
            x.care = Some(Care::Body(stream));
        }
        return Ok(());
    };
    let spelling = spelling(&request.headers);
    let stream = || -> Result<Stream> {
        let substitutes = substitutes(route, &x.credentials, spelling)?;
        Ok(Stream::new(Arc::clone(&recogniser), substitutes, spelling))
    };
    if let Some(length_before) = content_length(&request.headers).filter(|length| *length > 0) {
        // What was read for another reason may be less than all of it.
        let held = x.held.as_ref().map(inspect::Held::bytes);
        let held = held.filter(|body| body.len() as u64 == length_before);
        match held.map(|body| length(stream()?, &body)) {
            // What has no business there ends the body when it passes.
            Some(length) => {
                if let Some(length) = length? {
                    request.insert_header(CONTENT_LENGTH, length)?;
                }
            }
            None => {
                request.remove_header(&CONTENT_LENGTH);
                if !x.upstream_h2 {
                    request.insert_header(TRANSFER_ENCODING, "chunked")?;
                }
            }
        }
    }
    x.care = Some(Care::Body(stream()?));
    Ok(())
}

/// The length of a body once everything is in its place; `None`: it will not get there.
fn length(mut stream: Stream, body: &[u8]) -> Result<Option<usize>> {
    Ok(match stream.push(body, true) {
        Ok(Passed::AsItIs(length)) => Some(length),
        Ok(Passed::Instead(bytes)) => Some(Zeroizing::new(bytes).len()),
        Err(Misuse(_)) => None,
    })
}

/// Which escapes a reader of the body undoes.
fn spelling(headers: &HeaderMap) -> Spelling {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let kind = kind.to_ascii_lowercase();
    match &kind[..] {
        b"application/x-www-form-urlencoded" => Spelling::Percent,
        b"application/json" | b"application/x-ndjson" | b"application/graphql" => Spelling::Json,
        other if other.ends_with(b"+json") => Spelling::Json,
        _ => Spelling::Plain,
    }
}

/// What comes in the place of which placeholder, as it is written in such a body.
fn substitutes(
    route: &ActiveRoute,
    credentials: &[Arc<Ready>],
    spelling: Spelling,
) -> Result<Vec<Substitute>> {
    // In the order of the cells, as they were resolved.
    let cells = route.injections.iter().flat_map(|own| own.cells().map(move |_| own));
    let mut substitutes = Vec::new();
    for (injection, ready) in cells.zip(credentials) {
        let Some(swap) = injection.swap().filter(|swap| swap.is_at(PlaceholderPlace::Body)) else {
            continue;
        };
        let text = written(ready.secret.expose(), spelling)?;
        substitutes.push(Substitute { own: swap.own, text });
    }
    Ok(substitutes)
}

fn written(secret: &[u8], spelling: Spelling) -> Result<Zeroizing<Vec<u8>>> {
    match spelling {
        Spelling::Percent => Ok(inject::encoded(secret)),
        Spelling::Plain | Spelling::Any => Ok(Zeroizing::new(secret.to_vec())),
        Spelling::Json => {
            let why = "a credential that JSON cannot hold: nothing is sent";
            let cannot = || Error::explain(ErrorType::InternalError, why);
            let text = std::str::from_utf8(secret).map_err(|_| cannot())?;
            let quoted = serde_json::to_string(text).map(Zeroizing::new).map_err(|_| cannot())?;
            let inside = quoted.as_bytes().get(1..quoted.len().saturating_sub(1));
            Ok(Zeroizing::new(inside.unwrap_or_default().to_vec()))
        }
    }
}

/// The next piece of the body as it goes on.
pub(in crate::request) fn pass(
    body: &mut Option<Bytes>,
    end: bool,
    x: &mut Exchange,
) -> Result<()> {
    let outcome = match x.care.as_mut() {
        None => return Ok(()),
        Some(Care::Body(stream)) => {
            passed(stream, body, end).map_err(|Misuse(whose)| (Spot::Body, whose))
        }
        Some(Care::Frames(frames)) if x.slot.is_upgraded() => {
            let bytes = body.as_deref().unwrap_or_default();
            frames.look(bytes).map_err(|Misuse(whose)| (Spot::Frame, whose))
        }
        Some(Care::Frames(frames)) => {
            let found = body.as_deref().and_then(|bytes| frames.recogniser().finds(bytes));
            found.map_or(Ok(()), |whose| Err((Spot::Body, whose)))
        }
    };
    let Err((spot, whose)) = outcome else { return Ok(()) };
    *body = None;
    let Some(sandbox) = x.sandbox.clone() else { return Ok(()) };
    let denial = misuse(Sighting { spot, whose }, &sandbox, &x.shared.metrics);
    Err(forward::refuse(x, denial))
}

fn passed(stream: &mut Stream, body: &mut Option<Bytes>, end: bool) -> Result<(), Misuse> {
    let piece = body.take();
    let end = end || piece.is_none();
    let piece = piece.unwrap_or_default();
    let out = match stream.push(&piece, end)? {
        Passed::AsItIs(length) if length == piece.len() => piece,
        Passed::AsItIs(length) => piece.slice(..length),
        Passed::Instead(bytes) => Bytes::from(bytes),
    };
    // To Pingora, no piece is the end, and an empty one is none yet.
    *body = (!end || !out.is_empty()).then_some(out);
    Ok(())
}

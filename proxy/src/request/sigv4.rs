//! Requests to AWS, signed anew with the connection's credential, whatever the sandbox signed them
//! with (Signature Version 4).
//!
//! What stands for the body in the signature is settled before anything is connected; the
//! signature itself is made last of all, over the request as it goes out. Of a body in signed
//! chunks, each chunk is signed anew while it passes.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{AUTHORIZATION, HOST};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use sallygate_compiler::plan::{PresignedUrls, Signing};
use sallygate_definitions::sigv4::{
    self, ChunkSigner, Credentials, PathStyle, Payload, Presigned, Request, Scope, Signature,
};
use time::OffsetDateTime;

use super::parse::RequestHead;
use super::{Exchange, Permit, forward, inspect};
use crate::clock;
use crate::credential::{Ready, ReadyInjection};
use crate::denial::{Code, Denial};

const CONTENT_SHA256: &str = "x-amz-content-sha256";
const DATE: &str = "x-amz-date";
const SECURITY_TOKEN: &str = "x-amz-security-token";

/// What stands for the body, and what the chunks that are under way are signed with.
#[derive(Debug, Default)]
pub(crate) struct Signed {
    payload: String,
    chunks: Option<ChunkSigner>,
}

/// Refuses what is not to be signed anew, and finds what stands for the body: what the request
/// says of it, else its hash. Then the body is read, within the bound of what rules look into.
pub(super) async fn prepare(
    permit: &Permit,
    (session, head): (&mut Session, &RequestHead),
    x: &mut Exchange,
) -> Result<(), Denial> {
    let Some(route) = permit.route() else { return Ok(()) };
    let Some(signing) = route.injections.iter().find_map(ReadyInjection::signing) else {
        return Ok(());
    };
    let target = head.target.to_path_and_query();
    let is_presigned = match sigv4::presigned(target.split_once('?').map_or("", |(_, q)| q)) {
        Presigned::No => false,
        Presigned::Version4 | Presigned::Version2 => true,
    };
    if is_presigned && signing.presigned == PresignedUrls::Refuse {
        let detail = "the URL is signed already, with somebody's credential";
        return Err(Denial::new(Code::Denied, detail).route(&*route.id));
    }
    let payload = match stated(&session.as_downstream().req_header().headers)? {
        Some(stated) => stated,
        None if is_presigned => Payload::Unsigned.as_str().to_owned(),
        None => sigv4::payload_hash(&inspect::whole(session, x).await?),
    };
    x.signed = Some(Signed { payload, chunks: None });
    Ok(())
}

/// What the sandbox says that stands for the body.
fn stated(headers: &http::HeaderMap) -> Result<Option<String>, Denial> {
    let mut stated = headers.get_all(CONTENT_SHA256).iter();
    let Some(first) = stated.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|text| Payload::parse(text).is_some());
    let text = text.filter(|_| stated.next().is_none());
    let cannot = || {
        let detail = "`x-amz-content-sha256` says something that cannot be signed anew";
        Denial::new(Code::BadFraming, detail)
    };
    text.map(|text| Some(text.to_owned())).ok_or_else(cannot)
}

/// Signs the request as it stands. Nothing of it may change afterwards.
pub(super) fn sign(
    request: &mut RequestHeader,
    signing: &Signing,
    ready: &Ready,
    signed: Option<&Signed>,
) -> Result<Option<ChunkSigner>> {
    let Ok(credentials) = Credentials::parse(ready.secret.expose()) else {
        return Err(internal("the credential is not the JSON of an AWS session"));
    };
    let stated = signed.map(|signed| signed.payload.as_str());
    let Some(payload) = stated.and_then(Payload::parse) else {
        return Err(internal("nothing stands for the body"));
    };
    let is_s3 = signing.service == "s3" || signing.service.starts_with("s3-");
    let style = if is_s3 { PathStyle::S3 } else { PathStyle::Normal };
    unsign(request)?;
    let timestamp = timestamp();
    request.insert_header(DATE, timestamp.as_str())?;
    if is_s3 {
        request.insert_header(CONTENT_SHA256, payload.as_str())?;
    }
    if let Some(token) = credentials.session_token() {
        request.insert_header(SECURITY_TOKEN, sensitive(token)?)?;
    }
    let scope = Scope::new(&timestamp, &signing.region, &signing.service)
        .map_err(|_| internal("the scope of the signature is none"))?;
    let signature = signature(request, (payload, style), &credentials, &scope)?;
    request.insert_header(AUTHORIZATION, sensitive(&signature.authorization)?)?;
    Ok(match payload {
        Payload::Streaming | Payload::StreamingTrailer => {
            ChunkSigner::new(payload, &credentials, &scope, &signature).ok()
        }
        Payload::Hash(_) | Payload::Unsigned | Payload::StreamingUnsignedTrailer => None,
    })
}

/// Takes the sandbox's own signature off.
pub(super) fn unsign(request: &mut RequestHeader) -> Result<()> {
    request.remove_header(&AUTHORIZATION);
    request.remove_header(SECURITY_TOKEN);
    let raw = std::str::from_utf8(request.raw_path()).unwrap_or_default();
    let Some((path, query)) = raw.split_once('?') else { return Ok(()) };
    if sigv4::presigned(query) == Presigned::No {
        return Ok(());
    }
    let query = sigv4::unsigned(query);
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    request.set_raw_path(target.as_bytes())
}

/// Of all headers those are signed that AWS wants signed: others may change on the way.
fn is_signed(name: &str) -> bool {
    matches!(name, "host" | "content-type" | "content-md5") || name.starts_with("x-amz-")
}

fn signature(
    request: &RequestHeader,
    (payload, style): (Payload<'_>, PathStyle),
    credentials: &Credentials,
    scope: &Scope<'_>,
) -> Result<Signature> {
    let mut headers = Vec::with_capacity(8);
    for (name, value) in request.headers.iter().filter(|(name, _)| is_signed(name.as_str())) {
        let value = std::str::from_utf8(value.as_bytes());
        headers.push((name.as_str(), value.map_err(|_| internal("a header is not text"))?));
    }
    if !request.headers.contains_key(HOST) {
        return Err(internal("no host is signed"));
    }
    let raw = std::str::from_utf8(request.raw_path()).map_err(|_| internal("no text"))?;
    let (path, query) = match raw.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (raw, None),
    };
    let method = request.method.as_str();
    let request = Request { method, path, query, headers: &headers, payload, style };
    Ok(sigv4::sign(&request, credentials, scope))
}

fn sensitive(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| internal("not a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `20150830T123600Z`
fn timestamp() -> String {
    let now = OffsetDateTime::from_unix_timestamp(clock::wall_seconds())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
    let (hour, minute, second) = (now.hour(), now.minute(), now.second());
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// From here on the body's chunks are signed.
pub(super) fn begin(chunks: Option<ChunkSigner>, x: &mut Exchange) {
    if let Some(signed) = &mut x.signed {
        signed.chunks = chunks;
    }
}

/// The next piece of the body, with the signatures of the chunks that are whole by now.
pub(super) fn body(body: &mut Option<Bytes>, end: bool, x: &mut Exchange) -> Result<()> {
    let signer = x.signed.as_mut().and_then(|signed| signed.chunks.as_mut());
    let Some(signer) = signer else { return Ok(()) };
    let piece = body.take();
    let end = end || piece.is_none();
    let piece = piece.unwrap_or_default();
    let mut out = Vec::with_capacity(piece.len());
    let outcome = signer.push(&piece, &mut out);
    if let Err(bad) = outcome.and_then(|()| if end { signer.finish() } else { Ok(()) }) {
        let detail = format!("the body is not `aws-chunked` as its head says: {bad}");
        return Err(forward::refuse(x, Denial::new(Code::BadFraming, detail)));
    }
    // To Pingora, no piece is the end, and an empty one is none yet.
    *body = (!end || !out.is_empty()).then(|| Bytes::from(out));
    Ok(())
}

fn internal(why: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, why)
}

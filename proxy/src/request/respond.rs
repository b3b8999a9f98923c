//! The proxy's own answers: one maker for each form, and nothing else knows their bytes.

use std::fmt::Write;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderValue, Version};
use pingora::Error;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use sallygate_compiler::content::git::{self, Push};
use serde_json::json;

use super::Exchange;
use crate::denial::{Code, Denial};
use crate::id::ExchangeId;

/// What an answer says about the request that it answers.
#[derive(Clone, Copy, Debug, Default)]
struct About<'a> {
    method: &'a str,
    host: &'a str,
    for_git: bool,
}

/// Refuses a request before anything was sent upstream.
pub(super) async fn denial(session: &mut Session, x: &mut Exchange, denial: Denial) {
    answer(session, x, denial).await;
}

/// Answers a request that could not be carried out, if anybody is still there to be answered.
pub(super) async fn failure(
    session: &mut Session,
    x: &mut Exchange,
    denial: Option<Denial>,
    _error: &Error,
) {
    let Some(denial) = denial else { return };
    session.as_downstream_mut().set_keepalive(None);
    let begun = session.response_written().is_some_and(|r| !r.status.is_informational());
    if begun {
        // The head is out: breaking off is the only honest thing left to say.
        x.denial = Some(denial);
        return;
    }
    answer(session, x, denial).await;
    if session.req_header().version != Version::HTTP_2 {
        // The client may still be sending: let it read the answer before the socket closes.
        session.as_downstream_mut().shutdown().await;
    }
}

async fn answer(session: &mut Session, x: &mut Exchange, denial: Denial) {
    let head = x.head.clone();
    let agent = session.req_header().headers.get(USER_AGENT).map(HeaderValue::as_bytes);
    let host = head.as_ref().map(|h| h.authority.host.as_str().to_owned()).unwrap_or_default();
    let method = session.req_header().method.to_string();
    let about = About { method: &method, host: &host, for_git: agent.is_some_and(is_git) };
    let is_grpc = head.as_ref().is_some_and(|h| h.is_grpc && h.is_h2);
    if !denial.keeps_connection() {
        session.as_downstream_mut().set_keepalive(None);
    }
    let (response, body) = if is_grpc {
        (grpc(&denial, x.id), Bytes::new())
    } else if let Some(report) = x.push.as_ref().and_then(|push| report(push, &denial, x.id)) {
        report
    } else if x.fetch.is_some() && method == "POST" {
        fetch_error(&denial, x.id)
    } else {
        problem(&denial, x.id, &about)
    };
    x.status = response.as_ref().map_or(0, |r| r.status.as_u16());
    x.denial = Some(denial);
    let Some(response) = response else { return };
    let is_head = method == "HEAD";
    let empty = body.is_empty() || is_head;
    // The client may be gone already; then there is nobody to tell.
    if write_head(session, response, empty).await.is_ok() && !empty {
        x.bytes_out += body.len() as u64;
        let _ = session.write_response_body(Some(body), true).await;
    }
}

/// Writes a response head. Pingora's own way puts the end of an HTTP/2 stream into a DATA frame of
/// its own, and gRPC takes a trailers-only answer only with the end on the HEADERS frame.
async fn write_head(
    session: &mut Session,
    response: ResponseHeader,
    end: bool,
) -> pingora::Result<()> {
    match session.as_downstream_mut() {
        ServerSession::Custom(stream) => {
            stream.write_response_header(Box::new(response), end).await
        }
        ServerSession::H1(_) | ServerSession::H2(_) | ServerSession::Subrequest(_) => {
            session.write_response_header(Box::new(response), end).await
        }
    }
}

/// git prints what stands in a plain text body, and nothing of a JSON one.
fn is_git(agent: &[u8]) -> bool {
    agent.starts_with(b"git/")
}

fn problem(denial: &Denial, id: ExchangeId, about: &About<'_>) -> (Option<ResponseHeader>, Bytes) {
    let (kind, body) = body(denial, id, about);
    let build = || -> pingora::Result<ResponseHeader> {
        let mut response = ResponseHeader::build(denial.code.status(), Some(9))?;
        response.set_reason_phrase(Some(&reason_phrase(denial, id)))?;
        for (name, value) in fields(denial, id) {
            response.insert_header(name, value)?;
        }
        response.insert_header(CONTENT_TYPE, kind)?;
        response.insert_header(CONTENT_LENGTH, body.len())?;
        Ok(response)
    };
    (build().ok(), Bytes::from(body.clone()))
}

/// git shows what a push's own answer says, and nothing of any other than 200.
fn report(push: &Push, denial: &Denial, id: ExchangeId) -> Option<(Option<ResponseHeader>, Bytes)> {
    let reason = plain(&format!("sallygate: {}: {}", denial.code.as_str(), denial.detail));
    let hint = denial.hint.as_deref().map(|h| format!("sallygate: {}\n", plain(h)));
    let message = format!("{reason}\n{}sallygate: decision dec_{id}\n", hint.unwrap_or_default());
    let body = git::refusal(push, &reason, &message)?;
    Some(for_git(denial, id, "application/x-git-receive-pack-result", body))
}

/// The same for a fetch, which prints what stands in a line of its own kind.
fn fetch_error(denial: &Denial, id: ExchangeId) -> (Option<ResponseHeader>, Bytes) {
    let (code, detail) = (denial.code.as_str(), &denial.detail);
    let message = plain(&format!("sallygate: {code}: {detail} (decision dec_{id})"));
    for_git(denial, id, "application/x-git-upload-pack-result", git::error(&message))
}

fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

fn for_git(
    denial: &Denial,
    id: ExchangeId,
    kind: &str,
    body: Vec<u8>,
) -> (Option<ResponseHeader>, Bytes) {
    let build = || -> pingora::Result<ResponseHeader> {
        let mut response = ResponseHeader::build(200, Some(9))?;
        for (name, value) in fields(denial, id) {
            response.insert_header(name, value)?;
        }
        response.insert_header(CONTENT_TYPE, kind)?;
        response.insert_header(CONTENT_LENGTH, body.len())?;
        Ok(response)
    };
    (build().ok(), Bytes::from(body.clone()))
}

fn fields(denial: &Denial, id: ExchangeId) -> Vec<(&'static str, String)> {
    let code = denial.code.as_str();
    let mut fields = vec![
        ("x-sallygate-code", code.to_owned()),
        ("x-sallygate-decision", format!("dec_{id}")),
        (
            "proxy-status",
            format!("sallygate; error={}; details=\"{code}\"", proxy_error(denial.code)),
        ),
        (CACHE_CONTROL.as_str(), "no-store".to_owned()),
    ];
    if denial.code.status() == 407 {
        fields.push((PROXY_AUTHENTICATE.as_str(), "Basic realm=\"sallygate\"".to_owned()));
    }
    if let Some(seconds) = denial.retry_after {
        fields.push((RETRY_AFTER.as_str(), seconds.to_string()));
    }
    fields
}

/// RFC 9209 §2.3.
fn proxy_error(code: Code) -> &'static str {
    match code {
        Code::UpstreamDns => "dns_error",
        Code::UpstreamConnect => "connection_refused",
        Code::UpstreamTls => "tls_certificate_error",
        Code::UpstreamProtocol => "http_protocol_error",
        Code::UpstreamTimeout => "connection_timeout",
        Code::AddressRefused => "destination_ip_prohibited",
        Code::BadFraming
        | Code::HostNotCanonical
        | Code::PathNotCanonical
        | Code::AuthorityMismatch => "http_request_error",
        Code::CredentialUnavailable | Code::ApprovalUnavailable | Code::Draining => {
            "proxy_internal_error"
        }
        Code::ProxyAuthRequired
        | Code::TokenExpired
        | Code::TokenRevoked
        | Code::NoRoute
        | Code::Denied
        | Code::RateLimited
        | Code::BudgetExhausted
        | Code::ApprovalPending
        | Code::ApprovalDenied
        | Code::PlaceholderMisuse
        | Code::BodyEncoded
        | Code::RequestTooLarge => "http_request_denied",
    }
}

/// Shown by most clients where they show nothing else.
fn reason_phrase(denial: &Denial, id: ExchangeId) -> String {
    format!("Sallygate {} dec_{id}", denial.code.as_str())
}

fn body(denial: &Denial, id: ExchangeId, about: &About<'_>) -> (&'static str, Vec<u8>) {
    let code = denial.code.as_str();
    if about.for_git {
        let mut text = format!("sallygate: {code}: {}\n", denial.detail);
        if let Some(hint) = &denial.hint {
            let _ = writeln!(text, "sallygate: {hint}");
        }
        let _ = writeln!(text, "sallygate: decision dec_{id}");
        return ("text/plain; charset=utf-8", text.into_bytes());
    }
    let mut document = json!({
        "type": format!("/docs/errors/{code}"),
        "title": denial.code.summary().trim(),
        "status": denial.code.status(),
        "code": code,
        "detail": denial.detail,
        "requestId": id.to_string(),
        "decision": format!("dec_{id}"),
        "host": about.host,
        "method": about.method,
        "hint": denial.hint,
        "next_step": denial.advice().as_str(),
        "origin": "proxy",
        "error": { "type": code, "code": code, "message": message(denial, id) },
    });
    if let (Some(approval), Some(fields)) = (&denial.approval, document.as_object_mut()) {
        fields.insert("approvalId".into(), json!(approval));
        fields.insert("pollUrl".into(), json!(super::own::approval_url(approval)));
    }
    ("application/problem+json", document.to_string().into_bytes())
}

/// SDKs print `error.message`; everything that a person needs stands in it.
fn message(denial: &Denial, id: ExchangeId) -> String {
    let hint = denial.hint.as_deref().map(|h| format!("; {h}")).unwrap_or_default();
    format!("sallygate: {}: {}{hint} (decision dec_{id})", denial.code.as_str(), denial.detail)
}

/// gRPC reads trailers-only responses and no bodies (gRPC over HTTP/2, "Responses").
fn grpc(denial: &Denial, id: ExchangeId) -> Option<ResponseHeader> {
    let status = match denial.code.status() {
        400 | 413 | 421 => "3",
        407 => "16",
        403 => "7",
        429 => "8",
        504 => "4",
        _ => "14",
    };
    let build = || -> pingora::Result<ResponseHeader> {
        let mut response = ResponseHeader::build(200, Some(6))?;
        response.insert_header(CONTENT_TYPE, "application/grpc")?;
        response.insert_header("grpc-status", status)?;
        response.insert_header("grpc-message", percent_encoded(&message(denial, id)))?;
        response.insert_header("x-sallygate-code", denial.code.as_str())?;
        Ok(response)
    };
    build().ok()
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A whole HTTP/1.1 answer, for requests that never became an exchange of Pingora's.
pub(crate) fn plain_answer(
    denial: &Denial,
    id: ExchangeId,
    method: &str,
    host: &str,
    agent: &[u8],
) -> Vec<u8> {
    let about = About { method, host, for_git: is_git(agent) };
    let (kind, body) = body(denial, id, &about);
    let mut head = format!("HTTP/1.1 {} {}\r\n", denial.code.status(), reason_phrase(denial, id));
    for (name, value) in fields(denial, id) {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let connection = if denial.keeps_connection() { "keep-alive" } else { "close" };
    let _ = write!(
        head,
        "content-type: {kind}\r\ncontent-length: {}\r\nconnection: {connection}\r\n\r\n",
        body.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

/// Answers a request that was for the proxy itself.
pub(super) async fn own(session: &mut Session, x: &mut Exchange, document: &serde_json::Value) {
    let body = Bytes::from(document.to_string().into_bytes());
    let build = || -> pingora::Result<ResponseHeader> {
        let mut response = ResponseHeader::build(200, Some(3))?;
        response.insert_header(CONTENT_TYPE, "application/json")?;
        response.insert_header(CACHE_CONTROL, "no-store")?;
        response.insert_header(CONTENT_LENGTH, body.len())?;
        Ok(response)
    };
    let Ok(response) = build() else { return };
    x.status = 200;
    let is_head = session.req_header().method == "HEAD";
    // The client may be gone already; then there is nobody to tell.
    if write_head(session, response, is_head).await.is_ok() && !is_head {
        x.bytes_out += body.len() as u64;
        let _ = session.write_response_body(Some(body), true).await;
    }
}

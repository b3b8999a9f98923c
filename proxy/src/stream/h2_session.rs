//! One request of an HTTP/2 connection, as Pingora sees it.
//!
//! Pingora has a session of its own for this. What it does not like about a request it answers
//! without a reason, and nobody hears of it; it drops informational answers, and gives every answer
//! another `Date`. Here nothing is judged: that is the way of a request.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::date::get_cached_date;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, OrErr, Result};

use crate::request::Slot;

/// What of a request body is kept to send it again: as much as Pingora keeps.
const REPLAY_BYTES: usize = 64 * 1024;
/// They belong to a connection of HTTP/1 (RFC 9113 §8.2.2).
const NOT_IN_FRAMES: [HeaderName; 5] = [
    TRANSFER_ENCODING,
    CONNECTION,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A stream: the request that came, and the answer that goes.
pub(crate) struct H2Session {
    request: RequestHeader,
    body: RecvStream,
    answer: SendResponse<Bytes>,
    /// Is there from the head of the answer on.
    sending: Option<SendStream<Bytes>>,
    written: Option<Box<ResponseHeader>>,
    has_ended: bool,
    bytes_read: usize,
    bytes_sent: usize,
    replay: Replay,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
    digest: Arc<Digest>,
    slot: Arc<Slot>,
}

/// What is kept of the request body.
enum Replay {
    Nothing,
    All(BytesMut),
    /// It became too long.
    Lost,
}

impl H2Session {
    pub(crate) fn new(
        request: Request<RecvStream>,
        answer: SendResponse<Bytes>,
        digest: Arc<Digest>,
    ) -> Self {
        let (request, body) = request.into_parts();
        Self {
            request: request.into(),
            body,
            answer,
            sending: None,
            written: None,
            has_ended: false,
            bytes_read: 0,
            bytes_sent: 0,
            replay: Replay::Nothing,
            read_timeout: None,
            write_timeout: None,
            drain_timeout: None,
            digest,
            slot: Arc::default(),
        }
    }

    /// The slot of the exchange.
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Whether a body comes with the request.
    pub(crate) fn has_body(&self) -> bool {
        !self.has_no_body()
    }

    fn has_body_ended(&self) -> bool {
        self.has_no_body() || self.body.is_end_stream()
    }

    fn has_no_body(&self) -> bool {
        let is_announced_empty =
            || self.request.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
        self.bytes_read == 0 && (self.body.is_end_stream() || is_announced_empty())
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        let data = self.body.data().await.transpose();
        let data = data.or_err(ErrorType::ReadError, "while a request body was read")?;
        let Some(data) = data else {
            self.read_trailers().await?;
            return Ok(None);
        };
        self.bytes_read += data.len();
        self.replay.keep(&data);
        // The stream may be gone by now, and its window with it.
        let _ = self.body.flow_control().release_capacity(data.len());
        Ok(Some(data))
    }

    /// Whoever writes the end of the body finds the trailers at hand.
    async fn read_trailers(&mut self) -> Result<()> {
        let trailers = self.body.trailers().await;
        let trailers = trailers.or_err(ErrorType::ReadError, "while trailers were read")?;
        if let Some(trailers) = trailers {
            self.slot.set_request_trailers(trailers);
        }
        Ok(())
    }

    fn send_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.has_ended || self.written.is_some() {
            return Ok(());
        }
        for name in &NOT_IN_FRAMES {
            head.remove_header(name);
        }
        if head.status.is_informational() {
            return self.send_informational(&head);
        }
        if !head.headers.contains_key(DATE) {
            // RFC 9110 §6.6.1: whoever has a clock and passes on an answer without one adds it.
            head.insert_header(DATE, get_cached_date())?;
        }
        let mut parts = head.as_owned_parts();
        set_apart(&mut parts.headers);
        let sending = self.answer.send_response(Response::from_parts(parts, ()), end);
        self.sending = Some(sending.or_err(ErrorType::WriteError, "while an answer was begun")?);
        self.written = Some(head);
        self.has_ended = end;
        Ok(())
    }

    /// There is no 101 in HTTP/2 (RFC 9113 §8.6).
    fn send_informational(&mut self, head: &ResponseHeader) -> Result<()> {
        if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        let mut parts = head.as_owned_parts();
        set_apart(&mut parts.headers);
        let sent = self.answer.send_informational(Response::from_parts(parts, ()));
        sent.or_err(ErrorType::WriteError, "while an informational answer was sent")
    }

    async fn send_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.has_ended {
            return Ok(());
        }
        let trailers = self.slot.frames().filter(|_| end).cloned();
        let sending = self.sending.as_mut().ok_or_else(no_head)?;
        let length = data.len();
        let end = end && trailers.is_none();
        send(sending, data, end, self.write_timeout).await.map_err(Error::into_down)?;
        self.bytes_sent += length;
        self.has_ended = end;
        trailers.map_or(Ok(()), |trailers| self.send_trailers(trailers))
    }

    fn send_trailers(&mut self, mut trailers: HeaderMap) -> Result<()> {
        if self.has_ended {
            return Ok(());
        }
        set_apart(&mut trailers);
        let sending = self.sending.as_mut().ok_or_else(no_head)?;
        let sent = sending.send_trailers(trailers);
        sent.or_err(ErrorType::WriteError, "while trailers were sent")?;
        self.has_ended = true;
        Ok(())
    }

    /// Without a head there is nothing to end: dropping the stream resets it. Trailers of an HTTP/1
    /// answer come with nothing else than its end.
    fn end(&mut self) -> Result<()> {
        if let Some(trailers) = self.slot.frames().filter(|_| self.sending.is_some()).cloned() {
            return self.send_trailers(trailers);
        }
        let Some(sending) = self.sending.as_mut().filter(|_| !self.has_ended) else {
            return Ok(());
        };
        let sent = sending.send_data(Bytes::new(), true);
        sent.or_err(ErrorType::WriteError, "while an answer was ended")?;
        self.has_ended = true;
        Ok(())
    }

    /// One step of an answer; whether it was the last one.
    async fn perform(&mut self, task: HttpTask) -> Result<bool> {
        match task {
            HttpTask::Header(head, end) => {
                self.send_head(head, end).map_err(Error::into_down)?;
                Ok(end)
            }
            HttpTask::Body(Some(data), end) if !data.is_empty() => {
                self.send_body(data, end).await?;
                Ok(end)
            }
            HttpTask::Body(_, end) => Ok(end),
            HttpTask::UpgradedBody(..) => {
                Error::e_explain(ErrorType::InternalError, "an upgrade within HTTP/2")
            }
            HttpTask::Trailer(Some(trailers)) => {
                self.send_trailers(*trailers)?;
                Ok(true)
            }
            HttpTask::Trailer(None) | HttpTask::Done => Ok(true),
            HttpTask::Failed(error) => Err(error),
        }
    }

    /// Waits until the client gives up on the answer.
    async fn reset(&mut self) -> Result<Reason> {
        let (sending, answer) = (&mut self.sending, &mut self.answer);
        let reset = poll_fn(|cx| match sending.as_mut() {
            Some(sending) => sending.poll_reset(cx),
            None => answer.poll_reset(cx),
        });
        reset.await.or_err(ErrorType::H2Error, "while an answer was waited for")
    }
}

impl Replay {
    fn keep(&mut self, data: &[u8]) {
        match self {
            Self::All(kept) if kept.len() + data.len() <= REPLAY_BYTES => {
                kept.extend_from_slice(data);
            }
            Self::All(_) => *self = Self::Lost,
            Self::Nothing | Self::Lost => {}
        }
    }
}

/// Gives the values of fields a buffer of their own, which is as large as they are.
///
/// The compressor keeps values in its table for as long as the connection lasts, and with each of them
/// the buffer that it is a part of: of an HTTP/1 upstream, that is all of what was read with its head.
fn set_apart(fields: &mut HeaderMap) {
    let mut bytes = BytesMut::with_capacity(fields.values().map(HeaderValue::len).sum());
    for value in fields.values_mut() {
        bytes.extend_from_slice(value.as_bytes());
        let Ok(mut copy) = HeaderValue::from_maybe_shared(bytes.split().freeze()) else { continue };
        copy.set_sensitive(value.is_sensitive());
        *value = copy;
    }
}

fn no_head() -> Box<Error> {
    Error::explain(ErrorType::H2Error, "a body before its head")
}

/// Sends `data` as fast as the client's window opens.
async fn send(
    sending: &mut SendStream<Bytes>,
    mut data: Bytes,
    end: bool,
    limit: Option<Duration>,
) -> Result<()> {
    let failed = "while a body was sent";
    if data.is_empty() {
        return sending.send_data(data, end).or_err(ErrorType::WriteError, failed);
    }
    while !data.is_empty() {
        sending.reserve_capacity(data.len());
        let room = poll_fn(|cx| sending.poll_capacity(cx));
        let room = within(limit, ErrorType::WriteTimedout, room).await?;
        let closed = || Error::explain(ErrorType::ConnectionClosed, failed);
        let room = room.ok_or_else(closed)?.or_err(ErrorType::WriteError, failed)?;
        let piece = data.split_to(room.min(data.len()));
        let is_last = end && data.is_empty();
        sending.send_data(piece, is_last).or_err(ErrorType::WriteError, failed)?;
    }
    Ok(())
}

async fn within<T>(
    limit: Option<Duration>,
    kind: ErrorType,
    wait: impl Future<Output = T>,
) -> Result<T> {
    let Some(limit) = limit else { return Ok(wait.await) };
    let done = tokio::time::timeout(limit, wait).await;
    done.map_err(|_| Error::explain(kind, "the client of an HTTP/2 stream is too slow"))
}

#[async_trait]
impl Session for H2Session {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        within(self.read_timeout, ErrorType::ReadTimedout, self.read()).await?
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        let limit = self.drain_timeout;
        let rest = async {
            while !self.has_body_ended() && self.read().await?.is_some() {}
            Ok(())
        };
        within(limit, ErrorType::ReadTimedout, rest).await?
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.send_head(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.send_head(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.send_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.send_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_last = false;
        for task in tasks {
            is_last |= self.perform(task).await?;
        }
        if is_last {
            self.end().map_err(Error::into_down)?;
        }
        Ok(is_last)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    /// For logs of Pingora's, which must not hold paths.
    fn request_summary(&self) -> String {
        self.request.method.to_string()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        if !self.has_ended {
            self.answer.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.has_body_ended()
    }

    async fn finish(&mut self) -> Result<()> {
        self.end()
    }

    fn is_body_empty(&mut self) -> bool {
        self.has_no_body()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.has_body_ended() {
            return self.read_body_bytes().await;
        }
        let reason = self.reset().await?;
        Error::e_explain(ErrorType::H2Error, format!("the client gave up: {reason}"))
    }

    fn body_bytes_sent(&self) -> usize {
        self.bytes_sent
    }

    fn body_bytes_read(&self) -> usize {
        self.bytes_read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Arc::get_mut(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    /// For requests that Pingora makes of requests, of which there are none here.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {
        if let Replay::Nothing = self.replay {
            self.replay = Replay::All(BytesMut::new());
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        matches!(self.replay, Replay::Lost)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match &self.replay {
            Replay::All(kept) if !kept.is_empty() => Some(Bytes::copy_from_slice(kept)),
            Replay::All(_) | Replay::Nothing | Replay::Lost => None,
        }
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

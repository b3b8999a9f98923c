//! What is written to an HTTP/1 upstream: the request as Pingora writes it, and its trailers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use pingora::protocols::Stream;
use tokio::io::AsyncWrite;

use super::Journey;
use crate::request::trailers;
use crate::stream::framing::Body;
use crate::stream::head::Framing;
use crate::stream::written;

/// Writes up to this size wait for the next one, or for a flush.
const SMALL_BYTES: usize = 64;

/// Where in the request its writer stands.
enum Stage {
    Head,
    /// A chunked body, which Pingora flushes piece by piece: its trailers can be put in.
    Chunks(Body),
    /// Bytes pass as they are.
    Plain,
}

/// The writing half of an upstream stream. No `Debug`: the head has the credential in it.
pub(super) struct Outgoing {
    stage: Stage,
    held: BytesMut,
}

impl Outgoing {
    pub(super) fn new(journey: &Journey) -> Self {
        let stage = if journey.has_body { Stage::Head } else { Stage::Plain };
        Self { stage, held: BytesMut::new() }
    }

    /// Whether everything was written out that was taken.
    pub(super) fn is_clean(&self) -> bool {
        let is_whole = match self.stage {
            Stage::Chunks(body) => body == Body::Done,
            Stage::Head => false,
            Stage::Plain => true,
        };
        is_whole && self.held.is_empty()
    }

    pub(super) fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        bytes: &[u8],
        journey: &Journey,
    ) -> Poll<io::Result<usize>> {
        match self.stage {
            Stage::Plain => {
                ready!(self.poll_release(stream, cx))?;
                Pin::new(stream).poll_write(cx, bytes)
            }
            Stage::Head => {
                // INVARIANT on Pingora 0.9.1: a head is one write, and is flushed.
                let is_chunked = written::has_coding(bytes);
                let chunked = Body::from(Framing::Chunked);
                self.stage = if is_chunked { Stage::Chunks(chunked) } else { Stage::Plain };
                self.held.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            Stage::Chunks(body) => self.poll_write_chunks((stream, body), cx, bytes, journey),
        }
    }

    fn poll_write_chunks(
        &mut self,
        (stream, mut body): (&mut Stream, Body),
        cx: &mut Context<'_>,
        bytes: &[u8],
        journey: &Journey,
    ) -> Poll<io::Result<usize>> {
        let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
        let taken = body.take(bytes).map_err(malformed)?;
        let mut piece = bytes;
        if taken.trailers_at < taken.whole
            && let Some(section) = section(journey)
        {
            if taken.trailers_at == 0 {
                self.held.extend_from_slice(&section);
                self.stage = Stage::Chunks(body);
                return Poll::Ready(Ok(bytes.len()));
            }
            piece = bytes.get(..taken.trailers_at).unwrap_or_default();
        }
        let written = if piece.len() <= SMALL_BYTES {
            self.held.extend_from_slice(piece);
            piece.len()
        } else {
            ready!(self.poll_release(stream, cx))?;
            ready!(Pin::new(stream).poll_write(cx, piece))?
        };
        if let Stage::Chunks(body) = &mut self.stage {
            body.take(bytes.get(..written).unwrap_or_default()).map_err(malformed)?;
        }
        Poll::Ready(Ok(written))
    }

    /// Writes out what was held back.
    pub(super) fn poll_release(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let n = ready!(Pin::new(&mut *stream).poll_write(cx, &self.held))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

/// The trailer section of the request, when it has one that may be passed on.
fn section(journey: &Journey) -> Option<Vec<u8>> {
    let mut fields = journey.slot.request_trailers()?.clone();
    trailers::sift_request(&mut fields, &journey.credentials);
    if let Some(recogniser) = &journey.recogniser {
        trailers::sift_placeholders(&mut fields, recogniser);
    }
    (!fields.is_empty()).then(|| trailers::section(&fields))
}

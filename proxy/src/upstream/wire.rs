//! One HTTP/1 stream to an upstream, as Pingora sees it: for the length of one exchange.
//!
//! INVARIANT: a reader behind it sees whole answer heads that [`answer::parse`] accepted, exactly the
//! body bytes that belong to them, and the end of the stream behind the last one. What is broken
//! ends the exchange, and the stream with it: only a stream whose exchange was whole goes back into
//! the pool.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use pingora::protocols::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outgoing::Outgoing;
use super::{Journey, Pool};
use crate::denial::Denial;
use crate::request::Reader;
use crate::stream::answer::{self, Rest};
use crate::stream::framing::Body;
use crate::stream::{Message, Sifted, head};

/// Where in the answer its reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A head is due.
    Head,
    /// A head or a body whose end is known; what comes behind it.
    Message(Rest),
    /// What comes belongs to the answer until the stream ends.
    ToTheEnd,
    /// The answer is whole.
    Done,
    /// The answer cannot be read.
    Broken,
}

/// What came where a head was due.
enum Found {
    /// The end of the stream.
    End,
    /// A whole head; it is in the reader's buffer.
    HandedOut,
    /// Nothing that can be handed out yet: it is in the wire's buffer.
    Nothing,
}

/// An upstream stream: strict framing, trailers kept apart.
pub(super) struct UpstreamWire {
    /// `None` only while it is dropped.
    stream: Option<Stream>,
    journey: Arc<Journey>,
    pool: Arc<Pool>,
    key: u64,
    stage: Stage,
    message: Message,
    inbuf: BytesMut,
    outgoing: Outgoing,
    /// How much of the answer was handed out: its head counts as one byte.
    delivered: u64,
    has_written: bool,
    /// Pingora has asked whether the stream can serve again.
    is_released: bool,
}

impl std::fmt::Debug for UpstreamWire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the buffers: requests have credentials in them, and answers whatever upstreams say.
        f.debug_struct("UpstreamWire").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl UpstreamWire {
    pub(super) fn new(stream: Stream, journey: Arc<Journey>, pool: Arc<Pool>, key: u64) -> Self {
        Self {
            stream: Some(stream),
            outgoing: Outgoing::new(&journey),
            journey,
            pool,
            key,
            stage: Stage::Head,
            message: Message::none(),
            inbuf: BytesMut::new(),
            delivered: 0,
            has_written: false,
            is_released: false,
        }
    }

    /// Ends the exchange, and this stream with it.
    fn refuse(&mut self, denial: Denial) -> io::Error {
        self.stage = Stage::Broken;
        self.journey.slot.refuse(denial);
        io::ErrorKind::InvalidData.into()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        if self.inbuf.is_empty() {
            return Pin::new(stream).poll_read(cx, buf);
        }
        let n = self.inbuf.len().min(buf.remaining());
        buf.put_slice(self.inbuf.get(..n).unwrap_or_default());
        self.inbuf.advance(n);
        Poll::Ready(Ok(()))
    }

    /// Reads once, straight into the reader's buffer: nearly always the head comes as a whole, and
    /// with the beginning of its body. What is anything else is left for [`Self::poll_head`].
    fn poll_whole_head(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Found>> {
        let before = buf.filled().len();
        ready!(self.poll_fill(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(Found::End));
        }
        let end = head::end(fresh, 0).unwrap_or_default();
        let parsed = fresh.get(..end).filter(|head| !head.is_empty());
        let parsed = parsed.map(|head| answer::parse(head, self.journey.asked));
        if let Some(Ok(Rest::Body(body))) = parsed {
            self.message = Message::new(0, body);
            self.stage = Stage::Message(Rest::Body(body));
            self.delivered += 1;
            self.sift(buf, before + end);
            return Poll::Ready(Ok(Found::HandedOut));
        }
        self.inbuf.extend_from_slice(fresh);
        buf.set_filled(before);
        self.refuse_early()?;
        Poll::Ready(Ok(Found::Nothing))
    }

    /// Looks at body bytes behind a head that is handed out with them. What is wrong with them is told
    /// with the next read: the head stands.
    fn sift(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        match self.message.sift(&mut self.inbuf, buf, before) {
            Ok(sifted) => self.note(sifted),
            Err(denial) => {
                buf.set_filled(before);
                self.refuse(answer::refused(&denial.detail));
            }
        }
    }

    fn note(&mut self, sifted: Sifted) {
        self.delivered += sifted.content;
        if let Some(trailers) = sifted.trailers {
            self.journey.reader.keep(trailers, &self.journey.slot);
        }
        if self.message.is_done() {
            self.stage = Stage::Done;
        }
    }

    /// Waits for a whole head; `false` when the stream ended before it began.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut seen = 0;
        loop {
            if let Some(end) = head::end(&self.inbuf, seen) {
                return Poll::Ready(self.accept(end).map(|()| true));
            }
            seen = self.inbuf.len();
            if seen > answer::HEAD_BYTES_MAX {
                return Poll::Ready(Err(self.refuse(answer::refused("its head is too long"))));
            }
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(false)) };
            let mut space = [const { std::mem::MaybeUninit::uninit() }; 4096];
            let mut more = ReadBuf::uninit(&mut space);
            ready!(Pin::new(stream).poll_read(cx, &mut more))?;
            if more.filled().is_empty() {
                return Poll::Ready(match seen {
                    0 => Ok(false),
                    _ => Err(self.refuse(answer::refused("it broke off in its head"))),
                });
            }
            self.inbuf.extend_from_slice(more.filled());
            self.refuse_early()?;
        }
    }

    /// Refuses what cannot become a head, without waiting for its end.
    fn refuse_early(&mut self) -> io::Result<()> {
        let n = self.inbuf.len().min(7);
        if b"HTTP/1.".get(..n) == self.inbuf.get(..n) {
            return Ok(());
        }
        Err(self.refuse(answer::refused("it does not begin as HTTP/1")))
    }

    fn accept(&mut self, end: usize) -> io::Result<()> {
        let bytes = self.inbuf.get(..end).unwrap_or_default();
        let rest = match answer::parse(bytes, self.journey.asked) {
            Ok(rest) => rest,
            Err(denial) => return Err(self.refuse(denial)),
        };
        let body = match rest {
            Rest::Body(body) => body,
            Rest::Head | Rest::ToTheEnd | Rest::Switched => Body::Done,
        };
        self.message = Message::new(end, body);
        self.stage = Stage::Message(rest);
        self.delivered += u64::from(rest != Rest::Head);
        Ok(())
    }

    /// Hands out what was looked at; the end of a message waits where its trailers do.
    fn poll_cleared(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        rest: Rest,
    ) -> Poll<io::Result<()>> {
        if self.journey.reader == Reader::Frames && self.journey.slot.frames().is_some() {
            // Trailers are written behind the body, and not before all of it was taken.
            ready!(self.journey.slot.poll_passed(cx, self.delivered));
        }
        self.message.hand_out(&mut self.inbuf, buf);
        if self.message.is_done() {
            self.stage = match rest {
                Rest::Head => Stage::Head,
                Rest::Body(_) => Stage::Done,
                Rest::ToTheEnd | Rest::Switched => Stage::ToTheEnd,
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Reads a piece of a body whose end is known.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        rest: Rest,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            ready!(self.poll_fill(cx, buf))?;
            if buf.filled().len() == before {
                // It broke off: Pingora knows what is missing.
                return Poll::Ready(Ok(()));
            }
            let sifted = match self.message.sift(&mut self.inbuf, buf, before) {
                Ok(sifted) => sifted,
                Err(denial) => {
                    return Poll::Ready(Err(self.refuse(answer::refused(&denial.detail))));
                }
            };
            self.note(sifted);
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            if self.message.is_cleared() {
                return self.poll_cleared(cx, buf, rest);
            }
        }
    }

    /// Whether its exchange is whole, so that the stream may serve another one.
    fn is_clean(&self) -> bool {
        self.is_released
            && !self.journey.is_upgrade
            && self.stage == Stage::Done
            && self.inbuf.is_empty()
            && self.outgoing.is_clean()
    }
}

impl AsyncRead for UpstreamWire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.has_written) && this.journey.is_upgrade {
            // Pingora 0.9.1 ends an upgraded exchange when a 101 is read before the (empty) request
            // body was taken note of: both are waited for in one `select!`, and an upstream that
            // answers at once can make both ready. Yielding once settles the order.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.stage == Stage::Head {
            let found = if this.inbuf.is_empty() {
                ready!(this.poll_whole_head(cx, buf))?
            } else {
                Found::Nothing
            };
            match found {
                Found::End | Found::HandedOut => return Poll::Ready(Ok(())),
                Found::Nothing if ready!(this.poll_head(cx))? => {}
                Found::Nothing => return Poll::Ready(Ok(())),
            }
        }
        match this.stage {
            Stage::Message(rest) if this.message.is_cleared() => this.poll_cleared(cx, buf, rest),
            Stage::Message(rest) => this.poll_body(cx, buf, rest),
            Stage::ToTheEnd => this.poll_fill(cx, buf),
            Stage::Done => {
                this.is_released = true;
                Poll::Ready(Ok(()))
            }
            Stage::Head | Stage::Broken => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
    }
}

impl AsyncWrite for UpstreamWire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.has_written = true;
        let Some(stream) = &mut this.stream else { return Poll::Ready(Ok(0)) };
        this.outgoing.poll_write(stream, cx, bytes, &this.journey)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(stream) = &mut this.stream else { return Poll::Ready(Ok(())) };
        ready!(this.outgoing.poll_release(stream, cx))?;
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(stream) = &mut this.stream else { return Poll::Ready(Ok(())) };
        ready!(this.outgoing.poll_release(stream, cx))?;
        Pin::new(stream).poll_shutdown(cx)
    }
}

impl VirtualSocket for UpstreamWire {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        // They were set when the stream was opened.
        Ok(())
    }
}

impl Drop for UpstreamWire {
    fn drop(&mut self) {
        if self.is_clean()
            && let Some(stream) = self.stream.take()
        {
            self.pool.put(self.key, stream);
        }
    }
}

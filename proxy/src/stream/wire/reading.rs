//! What a reader behind a wire gets: the bytes of one message, as fast as they may come.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Protocol, Wire};
use crate::clock;
use crate::denial::{Code, Denial};
use crate::limits::ms;

/// What a client may send ahead of its turn before the socket is left unread.
const EARLY_BYTES: usize = 16 * 1024;

impl Wire {
    /// A body waits for the client: at most the grace time, then at least so many bytes a second.
    fn poll_body_stall<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let now = clock::now();
        let began = *self.body_began.get_or_insert(now);
        let earned =
            Duration::from_secs(self.body_bytes / self.limits.body_bytes_per_second.max(1));
        let deadline = began + ms(self.limits.body_grace_ms) + earned;
        let timer = self
            .body_timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        while timer.as_mut().poll(cx).is_ready() {
            if clock::now() >= deadline {
                let detail = "the request body did not come in time";
                self.slot.refuse(Denial::new(Code::BadFraming, detail));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }

    fn poll_read_h1(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Protocol::H1(message) = &mut self.protocol else { return Poll::Pending };
        if message.is_cleared() {
            message.hand_out(&mut self.inbuf, buf);
            return Poll::Ready(Ok(()));
        }
        if self.slot.is_upgraded() {
            return self.poll_read_upgraded(cx, buf);
        }
        if message.is_read() {
            return self.poll_read_early(cx);
        }
        self.poll_read_body(cx, buf)
    }

    fn poll_read_upgraded(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.inbuf.is_empty() {
            return self.poll_fill(cx, buf);
        }
        let n = self.inbuf.len().min(buf.remaining());
        buf.put_slice(self.inbuf.get(..n).unwrap_or_default());
        self.inbuf.advance(n);
        Poll::Ready(Ok(()))
    }

    /// Between the end of a request and the end of its response: what comes is kept for later,
    /// the end of the stream is reported at once.
    fn poll_read_early(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.inbuf.len() < EARLY_BYTES {
            let mut stack = [const { MaybeUninit::uninit() }; 1024];
            let mut early = ReadBuf::uninit(&mut stack);
            ready!(self.poll_fill(cx, &mut early))?;
            if early.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.inbuf.extend_from_slice(early.filled());
        }
        Poll::Pending
    }

    fn poll_read_body(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            let is_end = ready!(self.poll_body_piece(cx, buf))?;
            if is_end || buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            // All of it was trailers, and an empty read would be the end of the stream.
            let Protocol::H1(message) = &mut self.protocol else { return Poll::Pending };
            if message.is_cleared() {
                message.hand_out(&mut self.inbuf, buf);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads once; the answer is whether the stream has ended.
    fn poll_body_piece(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        if self.inbuf.is_empty() {
            match self.poll_fill(cx, buf) {
                Poll::Ready(filled) => filled?,
                Poll::Pending => return self.poll_body_stall(cx),
            }
        } else {
            let n = self.inbuf.len().min(buf.remaining());
            buf.put_slice(self.inbuf.get(..n).unwrap_or_default());
            self.inbuf.advance(n);
        }
        let is_end = buf.filled().len() == before;
        let Protocol::H1(message) = &mut self.protocol else { return Poll::Pending };
        let sifted = message.sift(&mut self.inbuf, buf, before).map_err(|denial| {
            self.slot.refuse(denial);
            io::Error::from(io::ErrorKind::InvalidData)
        })?;
        self.body_bytes += sifted.whole as u64;
        if let Some(trailers) = sifted.trailers {
            self.slot.set_request_trailers(trailers);
        }
        Poll::Ready(Ok(is_end))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.outbuf.is_empty() {
            // Whoever reads is about to wait: nothing that was written may wait with it.
            if let Poll::Ready(Err(e)) = this.poll_release(cx) {
                return Poll::Ready(Err(e));
            }
            let _ = this.poll_push(cx)?;
        }
        if let Protocol::H1(_) = this.protocol {
            return this.poll_read_h1(cx, buf);
        }
        this.poll_read_h2(cx, buf)
    }
}

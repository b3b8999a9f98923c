//! What is written to a client: small writes put together, and what Pingora leaves out put in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use super::{Transport, Wire};
use crate::limits::ms;
use crate::stream::written;

/// Small writes are put together up to this size: one TLS record, one system call.
const HOLD_BYTES: usize = 16 * 1024;
/// The end of a chunked body without trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Wire {
    /// Writes out what was held back.
    pub(super) fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbuf.is_empty() {
            let held = std::mem::take(&mut self.outbuf);
            let written = self.poll_put(cx, &held);
            self.outbuf = held;
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.outbuf.advance(n),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return self.poll_write_stall(cx),
            }
            self.write_timer = None;
        }
        // Whatever its capacity says: that of a buffer that was filled to the last byte is 0 now.
        self.outbuf = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// A write waits for the client: not for ever.
    fn poll_write_stall<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let limit = ms(self.limits.write_stall_ms);
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes the trailer section in place of the last chunk, which Pingora writes bare.
    ///
    /// INVARIANT on Pingora 0.9.1: the last chunk is one write of exactly these five bytes, and a
    /// chunk's payload follows a write of its size line. `tests/curl.rs` holds it to that.
    fn replace_last_chunk(&mut self, bytes: &[u8]) -> bool {
        let is_payload = std::mem::replace(&mut self.before_five_bytes, bytes == b"5\r\n");
        if bytes != LAST_CHUNK || is_payload {
            return false;
        }
        let Some(section) = self.slot.trailers() else { return false };
        self.outbuf.extend_from_slice(section);
        true
    }

    /// Gives a response head the `Date` that its upstream sent, in place of Pingora's own.
    ///
    /// INVARIANT on Pingora 0.9.1: a head is one write, and what it sets is `Date: …`.
    fn restore_date(&mut self, bytes: &[u8]) -> bool {
        let Some(date) = self.slot.date().filter(|_| !self.is_dated) else { return false };
        let Some(value) = written::date(bytes) else { return false };
        let (before, after) = (bytes.get(..value.start), bytes.get(value.end..));
        for part in [before.unwrap_or_default(), date, after.unwrap_or_default()] {
            self.outbuf.extend_from_slice(part);
        }
        self.is_dated = true;
        true
    }

    /// Whether writes may wait for company: not while a body is coming in (its sender may be
    /// waiting for our bytes while nobody polls for more), not after an upgrade.
    fn may_hold(&self) -> bool {
        self.is_request_done() && !self.slot.is_upgraded()
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.is_h2() && (this.restore_date(bytes) || this.replace_last_chunk(bytes)) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let fits = this.outbuf.len() + bytes.len() <= HOLD_BYTES;
        if !this.is_h2() && fits && this.may_hold() {
            this.outbuf.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(this.poll_release(cx))?;
        match this.poll_put(cx, bytes) {
            Poll::Ready(done) => {
                this.write_timer = None;
                Poll::Ready(done)
            }
            Poll::Pending => this.poll_write_stall(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.is_h2() {
            let first = bufs.iter().find(|b| !b.is_empty()).map_or(&[][..], |b| b);
            return Pin::new(this).poll_write(cx, first);
        }
        let written = match &mut this.transport {
            Transport::Plain(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Transport::Tls(s) => Pin::new(s.as_mut()).poll_write_vectored(cx, bufs),
        };
        match written {
            Poll::Ready(done) => {
                this.write_timer = None;
                Poll::Ready(done)
            }
            Poll::Pending => this.poll_write_stall(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.is_h2()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_release(cx))?;
        match this.poll_push(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => this.poll_write_stall(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_close(cx)
    }
}

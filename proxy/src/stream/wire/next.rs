//! Between requests: waits for the next head, and reads all of it before anybody else sees a byte.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, ReadBuf};

use super::{Protocol, Transport, Wire};
use crate::denial::{Code, Denial};
use crate::limits::{ms, size};
use crate::request::Slot;
use crate::stream::framing::Body;
use crate::stream::head::{self, Head};
use crate::stream::lines::slice;
use crate::stream::message::Message;

/// What came when the next request was waited for.
pub(crate) enum NextHead {
    /// A well-formed request head, not consumed yet.
    Ready(Head),
    /// The client went away, or was idle for too long, between requests.
    Closed,
    /// The client sent something that is answered and ends the connection.
    Refused(Denial),
}

impl Wire {
    /// Waits for the next request and reads its whole head, within the idle and the head deadline.
    /// The first request of a connection has no idle time: its head is due at once.
    pub(crate) async fn next_head(&mut self) -> NextHead {
        self.slot = Arc::new(Slot::default());
        if self.inbuf.is_empty() {
            self.inbuf = BytesMut::new();
            // What says nothing at all is not waited for as long as what has asked before.
            let patience =
                if self.is_fresh { self.limits.head_ms } else { self.limits.keepalive_ms };
            self.silence.set_limit(ms(patience));
            if !matches!(self.first_bytes().await, Ok(n) if n > 0) {
                return NextHead::Closed;
            }
        }
        // Nearly always it is here as a whole already, and no deadline need be set.
        match self.head_so_far(0) {
            Ok(Some(head)) => return self.accept(head),
            Ok(None) => {}
            Err(refused) => return refused,
        }
        match tokio::time::timeout(ms(self.limits.head_ms), self.whole_head()).await {
            Ok(Ok(head)) => self.accept(head),
            Ok(Err(refused)) => refused,
            Err(_) => NextHead::Refused(Denial::new(
                Code::BadFraming,
                "the request head did not come in time",
            )),
        }
    }

    fn accept(&mut self, head: Head) -> NextHead {
        self.is_fresh = false;
        self.is_dated = false;
        self.body_began = None;
        self.body_timer = None;
        self.body_bytes = 0;
        self.protocol = Protocol::H1(Message::new(head.length, Body::from(head.framing)));
        NextHead::Ready(head)
    }

    /// Waits for bytes without holding a buffer: an idle connection costs no more than its socket.
    /// Nothing came in time: an error.
    async fn first_bytes(&mut self) -> io::Result<usize> {
        self.silence.begin();
        std::future::poll_fn(|cx| {
            let mut stack = [const { MaybeUninit::uninit() }; 4096];
            let mut first = ReadBuf::uninit(&mut stack);
            if self.poll_fill(cx, &mut first)?.is_pending() {
                ready!(self.silence.poll_end(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.inbuf.extend_from_slice(first.filled());
            Poll::Ready(Ok(first.filled().len()))
        })
        .await
    }

    async fn whole_head(&mut self) -> Result<Head, NextHead> {
        loop {
            let seen = self.inbuf.len();
            self.inbuf.reserve(4096);
            let read = match &mut self.transport {
                Transport::Plain(s) => s.read_buf(&mut self.inbuf).await,
                Transport::Tls(s) => s.read_buf(&mut self.inbuf).await,
            };
            if !matches!(read, Ok(n) if n > 0) {
                return Err(NextHead::Closed);
            }
            if let Some(head) = self.head_so_far(seen)? {
                return Ok(head);
            }
        }
    }

    /// The head, if it is here as a whole; its end is looked for behind the first `seen` bytes.
    fn head_so_far(&self, seen: usize) -> Result<Option<Head>, NextHead> {
        let Some(end) = head::end(&self.inbuf, seen) else {
            self.refuse_early(self.inbuf.len())?;
            return Ok(None);
        };
        let bytes = self.inbuf.get(..end).unwrap_or_default();
        head::parse(bytes, &self.limits).map(Some).map_err(NextHead::Refused)
    }

    /// Refuses what cannot become a request head, without waiting for its end.
    fn refuse_early(&self, seen: usize) -> Result<(), NextHead> {
        let refuse = |detail| Err(NextHead::Refused(Denial::new(Code::BadFraming, detail)));
        if seen > size(self.limits.head_bytes) {
            return refuse("the request head is too long");
        }
        match self.inbuf.first() {
            Some(b) if b.is_ascii_uppercase() || *b == b'\r' || *b == b'\n' => Ok(()),
            _ => refuse("this is not an HTTP request"),
        }
    }

    /// The bytes of the head that [`Wire::next_head`] returned.
    pub(crate) fn head_bytes(&self, head: &Head) -> &[u8] {
        self.inbuf.get(..head.length).unwrap_or_default()
    }

    /// Gives Host the bytes that stand at `spelling`, and reads the head again.
    pub(crate) fn respell_host(&mut self, head: &Head, spelling: Range<usize>) -> NextHead {
        let Some(host) = head.host.clone() else {
            return NextHead::Refused(Denial::new(Code::BadFraming, "no Host field"));
        };
        let bytes = std::mem::take(&mut self.inbuf);
        for part in [0..host.start, spelling, host.end..bytes.len()] {
            self.inbuf.extend_from_slice(slice(&bytes, &part));
        }
        let end = head::end(&self.inbuf, 0).unwrap_or_default();
        match head::parse(slice(&self.inbuf, &(0..end)), &self.limits) {
            Ok(head) => self.accept(head),
            Err(denial) => NextHead::Refused(denial),
        }
    }

    /// Consumes the head without handing it to anyone: for CONNECT, which ends HTTP here.
    pub(crate) fn consume_head(&mut self, head: &Head) {
        self.inbuf.advance(head.length.min(self.inbuf.len()));
        self.protocol = Protocol::H1(Message::none());
    }
}

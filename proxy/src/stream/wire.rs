//! One connection of a sandbox, as Pingora sees it.
//!
//! INVARIANT: while a wire speaks HTTP/1, a reader behind it sees whole request heads that
//! [`head::parse`] accepted, exactly the body bytes that belong to them, and never a byte of the
//! next request before [`Wire::next_head`] was asked for it.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::ALPN;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use super::framing::Body;
use super::h2_frames::{FrameMeter, Signals};
use super::head::{self, Head};
use super::message::Message;
use super::silence::Silence;
use super::socket::Replay;
use crate::clock;
use crate::denial::{Code, Denial};
use crate::limits::{Limits, ms, size};
use crate::request::Slot;

/// Small writes are put together up to this size: one TLS record, one system call.
const HOLD_BYTES: usize = 16 * 1024;
/// The end of a chunked body without trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What a client may send ahead of its turn before the socket is left unread.
const EARLY_BYTES: usize = 16 * 1024;
/// How long the unread rest of a refused request is read and thrown away.
const LINGER: Duration = Duration::from_secs(1);

enum Transport {
    Plain(Replay),
    Tls(Box<TlsStream<Replay>>),
}

enum Protocol {
    /// HTTP/1: the present request.
    H1(Message),
    /// HTTP/2: frames are counted, otherwise bytes pass.
    H2 { meter: FrameMeter, signals: Arc<Signals>, is_flooded: bool },
}

/// What came when the next request was waited for.
pub(crate) enum NextHead {
    /// A well-formed request head, not consumed yet.
    Ready(Head),
    /// The client went away, or was idle for too long, between requests.
    Closed,
    /// The client sent something that is answered and ends the connection.
    Refused(Denial),
}

/// A sandbox's connection: transport, framing and deadlines in one.
pub(crate) struct Wire {
    transport: Transport,
    protocol: Protocol,
    inbuf: BytesMut,
    outbuf: BytesMut,
    limits: Arc<Limits>,
    slot: Arc<Slot>,
    /// Between requests.
    silence: Silence,
    body_began: Option<Instant>,
    body_bytes: u64,
    body_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    /// The last write was the size line of a chunk with five bytes.
    before_five_bytes: bool,
    linger: Option<Linger>,
    /// No request has come yet: whoever connects has something to say.
    is_fresh: bool,
    /// The present response's head has the upstream's own `Date`.
    is_dated: bool,
    id: i32,
}

/// What is left of closing: our side is shut, the client may still be writing.
struct Linger {
    bytes_left: usize,
    until: Pin<Box<Sleep>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the buffers: they hold what sandboxes send.
        f.debug_struct("Wire").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Wire {
    /// A wire in clear text that speaks HTTP/1.
    pub(crate) fn plain(socket: Replay, limits: Arc<Limits>, id: i32) -> Self {
        Self::new(Transport::Plain(socket), limits, id, false)
    }

    /// A wire inside TLS; HTTP/2 when that was negotiated.
    pub(crate) fn tls(stream: TlsStream<Replay>, limits: Arc<Limits>, id: i32) -> Self {
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Self::new(Transport::Tls(Box::new(stream)), limits, id, h2)
    }

    fn new(transport: Transport, limits: Arc<Limits>, id: i32, h2: bool) -> Self {
        let protocol = if h2 {
            Protocol::H2 {
                meter: FrameMeter::new(limits.h2_control_frames_max),
                signals: Arc::default(),
                is_flooded: false,
            }
        } else {
            Protocol::H1(Message::none())
        };
        Self {
            transport,
            protocol,
            inbuf: BytesMut::new(),
            outbuf: BytesMut::new(),
            silence: Silence::new(ms(limits.keepalive_ms)),
            limits,
            slot: Arc::new(Slot::default()),
            body_began: None,
            body_bytes: 0,
            body_timer: None,
            write_timer: None,
            before_five_bytes: false,
            linger: None,
            is_fresh: true,
            is_dated: false,
            id,
        }
    }

    /// What tells this connection from others: its socket's descriptor.
    pub(crate) fn raw_id(&self) -> i32 {
        self.id
    }

    /// Whether HTTP/2 was negotiated.
    pub(crate) fn is_h2(&self) -> bool {
        matches!(self.protocol, Protocol::H2 { .. })
    }

    /// What this wire says about an HTTP/2 connection; nothing ever on HTTP/1.
    pub(crate) fn signals(&self) -> Arc<Signals> {
        match &self.protocol {
            Protocol::H2 { signals, .. } => Arc::clone(signals),
            Protocol::H1(_) => Arc::default(),
        }
    }

    /// The slot of the exchange that is under way on this HTTP/1 connection.
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

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
            self.inbuf.extend_from_slice(head::slice(&bytes, &part));
        }
        let end = head::end(&self.inbuf, 0).unwrap_or_default();
        match head::parse(head::slice(&self.inbuf, &(0..end)), &self.limits) {
            Ok(head) => self.accept(head),
            Err(denial) => NextHead::Refused(denial),
        }
    }

    /// Consumes the head without handing it to anyone: for CONNECT, which ends HTTP here.
    pub(crate) fn consume_head(&mut self, head: &Head) {
        self.inbuf.advance(head.length.min(self.inbuf.len()));
        self.protocol = Protocol::H1(Message::none());
    }

    /// Whether the present request was read to its end.
    pub(crate) fn is_request_done(&self) -> bool {
        match &self.protocol {
            Protocol::H1(message) => message.is_done(),
            // Behind a flood there is more of it: unread, it would take the GOAWAY with it.
            Protocol::H2 { is_flooded, .. } => !is_flooded,
        }
    }

    /// Writes an answer of the proxy's own.
    pub(crate) async fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        self.flush().await
    }

    /// Gives up the HTTP view: the socket, with what was read from it and not consumed.
    pub(crate) fn into_replay(self: Box<Self>) -> Option<Replay> {
        match self.transport {
            Transport::Plain(replay) if self.inbuf.is_empty() => Some(replay),
            Transport::Plain(replay) => Some(replay.with_prefix(self.inbuf)),
            Transport::Tls(_) => None,
        }
    }

    /// Closes so that the last answer arrives: what the client is still sending is read for a
    /// moment, because a socket closed with unread bytes resets and takes the answer with it.
    pub(crate) async fn close(&mut self) {
        let closing = AsyncWriteExt::shutdown(self);
        let _ = tokio::time::timeout(2 * LINGER, closing).await;
    }

    /// Reads and throws away what the client is still sending. Beyond the bound the socket stays open
    /// unread until the time is up: closing it now would reset the connection all the same.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(linger) = &mut self.linger else { return Poll::Ready(()) };
        if linger.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut stack = [0u8; 4096];
        while linger.bytes_left > 0 {
            let mut unread = ReadBuf::new(&mut stack);
            let read = match &mut self.transport {
                Transport::Plain(s) => Pin::new(s).poll_read(cx, &mut unread),
                Transport::Tls(s) => Pin::new(s.get_mut().0).poll_read(cx, &mut unread),
            };
            match (ready!(read), unread.filled().len()) {
                (Err(_), _) | (Ok(()), 0) => return Poll::Ready(()),
                (Ok(()), n) => linger.bytes_left = linger.bytes_left.saturating_sub(n),
            }
        }
        Poll::Pending
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Transport::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }

    fn poll_put(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(s) => Pin::new(s).poll_write(cx, bytes),
            Transport::Tls(s) => Pin::new(s).poll_write(cx, bytes),
        }
    }

    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(s) => Pin::new(s).poll_flush(cx),
            Transport::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    /// Writes out what was held back.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

    /// A flood is read no further: whoever serves the connection says so to the client and ends it.
    fn poll_read_h2(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Protocol::H2 { is_flooded: true, .. } = self.protocol {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(self.poll_fill(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if let Protocol::H2 { meter, signals, is_flooded } = &mut self.protocol {
            let is_within = meter.take(fresh, clock::now);
            signals.set_opened(meter.opened());
            if !is_within {
                *is_flooded = true;
                signals.raise();
                buf.set_filled(before);
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
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
        let Some(value) = head::date(bytes) else { return false };
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
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(this.poll_release(cx))?;
            ready!(match &mut this.transport {
                Transport::Plain(s) => Pin::new(s).poll_shutdown(cx),
                Transport::Tls(s) => Pin::new(s).poll_shutdown(cx),
            })?;
            this.linger = Some(Linger {
                bytes_left: size(this.limits.linger_bytes),
                until: Box::pin(tokio::time::sleep(LINGER)),
            });
        }
        if !this.is_request_done() || !this.inbuf.is_empty() {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[async_trait::async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        self.close().await;
    }
}

impl UniqueID for Wire {
    fn id(&self) -> i32 {
        self.id
    }
}

impl Ssl for Wire {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.is_h2().then_some(ALPN::H2)
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Peek for Wire {}

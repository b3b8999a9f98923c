//! One connection of a sandbox, as Pingora sees it.
//!
//! INVARIANT: while a wire speaks HTTP/1, a reader behind it sees whole request heads that
//! [`super::head::parse`] accepted, exactly the body bytes that belong to them, and never a byte of
//! the next request before [`Wire::next_head`] was asked for it.

mod next;

mod reading;

mod frames;

mod writing;

mod closing;

mod as_stream;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use self::closing::Linger;
use self::frames::Frames;
use super::h2_frames::Signals;
use super::message::Message;
use super::silence::Silence;
use super::socket::Replay;
use super::tls::TlsStream;
use crate::limits::{Limits, ms};
use crate::request::Slot;

pub(crate) use self::next::NextHead;

/// The slot of all HTTP/2 wires, whose exchanges have slots of their own.
static NO_SLOT: LazyLock<Arc<Slot>> = LazyLock::new(Arc::default);

enum Transport {
    Plain(Replay),
    Tls(Box<TlsStream>),
}

enum Protocol {
    /// HTTP/1: the present request.
    H1(Message),
    /// HTTP/2: frames are counted, otherwise bytes pass.
    H2(Frames),
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
    pub(crate) fn tls(stream: TlsStream, limits: Arc<Limits>, id: i32) -> Self {
        let h2 = stream.alpn() == Some(b"h2");
        Self::new(Transport::Tls(Box::new(stream)), limits, id, h2)
    }

    fn new(transport: Transport, limits: Arc<Limits>, id: i32, h2: bool) -> Self {
        let protocol = if h2 {
            Protocol::H2(Frames::new(limits.h2_control_frames_max))
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
            slot: if h2 { Arc::clone(&NO_SLOT) } else { Arc::default() },
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
        matches!(self.protocol, Protocol::H2(_))
    }

    /// What this wire says about an HTTP/2 connection; nothing ever on HTTP/1.
    pub(crate) fn signals(&self) -> Arc<Signals> {
        match &self.protocol {
            Protocol::H2(frames) => Arc::clone(&frames.signals),
            Protocol::H1(_) => Arc::default(),
        }
    }

    /// The slot of the exchange that is under way on this HTTP/1 connection.
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Whether the present request was read to its end.
    pub(crate) fn is_request_done(&self) -> bool {
        match &self.protocol {
            Protocol::H1(message) => message.is_done(),
            // Behind a flood there is more of it: unread, it would take the GOAWAY with it.
            Protocol::H2(frames) => !frames.is_flooded(),
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
}

//! What a wire keeps of an HTTP/2 connection: the frames are counted and looked at, and the bytes
//! pass as they are.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::{Protocol, Wire};
use crate::clock;
use crate::stream::h2_frames::{FrameMeter, Signals};

/// The frames of one connection.
pub(super) struct Frames {
    meter: FrameMeter,
    pub(super) signals: Arc<Signals>,
    is_flooded: bool,
}

impl Frames {
    pub(super) fn new(control_frames_max: u64) -> Self {
        Self {
            meter: FrameMeter::new(control_frames_max),
            signals: Arc::default(),
            is_flooded: false,
        }
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded
    }

    /// How many of `fresh` bytes may be handed out now; `None` when there are too many frames.
    fn pass(&mut self, fresh: &[u8]) -> Option<usize> {
        let mut taken = 0;
        loop {
            let seen = self.meter.take(fresh.get(taken..).unwrap_or_default(), clock::now);
            taken += seen.taken;
            let has_room = seen.fragment.is_none_or(|stream| self.signals.add_fragment(stream));
            if seen.is_flood || !has_room {
                self.is_flooded = true;
                break;
            }
            if seen.fragment.is_none() {
                break;
            }
        }
        self.signals.set_opened(self.meter.opened());
        if self.is_flooded {
            self.signals.raise();
            return None;
        }
        Some(taken)
    }
}

impl Wire {
    pub(super) fn poll_read_h2(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Protocol::H2(frames) = &mut self.protocol else { return Poll::Pending };
        if frames.is_flooded {
            // It is read no further: whoever serves the connection says so to the client and ends it.
            return Poll::Pending;
        }
        if frames.meter.resume() {
            // A reader that finds nothing more turns to the requests that it has.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.inbuf.is_empty() {
            return self.poll_read_frames(cx, buf);
        }
        let length = self.inbuf.len().min(buf.remaining());
        let kept = self.inbuf.get(..length).unwrap_or_default();
        let Some(taken) = frames.pass(kept) else { return Poll::Pending };
        buf.put_slice(kept.get(..taken).unwrap_or_default());
        self.inbuf.advance(taken);
        if self.inbuf.is_empty() {
            self.inbuf = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads straight into the reader's buffer; what it may not have yet is kept.
    fn poll_read_frames(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.poll_fill(cx, buf))?;
        let Protocol::H2(frames) = &mut self.protocol else { return Poll::Pending };
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let passed = frames.pass(fresh);
        let taken = passed.unwrap_or_default();
        if passed.is_some() {
            self.inbuf.extend_from_slice(fresh.get(taken..).unwrap_or_default());
        }
        buf.set_filled(before + taken);
        if passed.is_some() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

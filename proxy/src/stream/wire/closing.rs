//! The end of a connection, such that the client reads the last answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use super::{Transport, Wire};
use crate::limits::size;

/// How long the unread rest of a refused request is read and thrown away.
const LINGER: Duration = Duration::from_secs(1);

/// What is left of closing: our side is shut, the client may still be writing.
pub(super) struct Linger {
    bytes_left: usize,
    until: Pin<Box<Sleep>>,
}

impl Wire {
    /// Closes so that the last answer arrives: what the client is still sending is read for a
    /// moment, because a socket closed with unread bytes resets and takes the answer with it.
    pub(crate) async fn close(&mut self) {
        let closing = AsyncWriteExt::shutdown(self);
        let _ = tokio::time::timeout(2 * LINGER, closing).await;
    }

    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(self.poll_release(cx))?;
            ready!(match &mut self.transport {
                Transport::Plain(s) => Pin::new(s).poll_shutdown(cx),
                Transport::Tls(s) => Pin::new(s).poll_shutdown(cx),
            })?;
            self.linger = Some(Linger {
                bytes_left: size(self.limits.linger_bytes),
                until: Box::pin(tokio::time::sleep(LINGER)),
            });
        }
        if !self.is_request_done() || !self.inbuf.is_empty() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
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
                Transport::Tls(s) => Pin::new(s.socket_mut()).poll_read(cx, &mut unread),
            };
            match (ready!(read), unread.filled().len()) {
                (Err(_), _) | (Ok(()), 0) => return Poll::Ready(()),
                (Ok(()), n) => linger.bytes_left = linger.bytes_left.saturating_sub(n),
            }
        }
        Poll::Pending
    }
}

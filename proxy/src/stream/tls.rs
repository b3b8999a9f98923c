//! The TLS of intercepted connections, on rustls without rustls's buffers.
//!
//! A connection of rustls's ordinary kind keeps a read buffer of 4 KB for as long as it lives, and most
//! connections of agents live idle. Here ciphertext is read into a buffer of the thread and decrypted
//! from there; a connection holds bytes only while a record is not whole, or a reader or the socket
//! does not take what there is.

mod handshake;

mod scratch;

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeTlsData, UnbufferedStatus, WriteTraffic};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Replay;

pub(crate) use self::handshake::{Refused, accept};

/// A record's payload at most (RFC 8446 §5.1); what is written goes out in pieces of as much.
const RECORD_BYTES: usize = 16 * 1024;
/// Ciphertext that is kept for more to come: a record at its largest, or the messages of a handshake.
const UNREAD_BYTES_MAX: usize = 64 * 1024 + RECORD_BYTES;
/// Ciphertext that waits for the socket and still takes another record along.
const COMPANY_BYTES_MAX: usize = 4 * 1024;

/// A server's side of TLS over a sandbox's socket.
pub(crate) struct TlsStream {
    socket: Replay,
    connection: UnbufferedServerConnection,
    /// Ciphertext of a record that is not whole yet.
    unread: Vec<u8>,
    /// What was decrypted and did not fit where it was read into.
    plain: BytesMut,
    /// Ciphertext that the socket has not taken yet.
    unsent: BytesMut,
    /// The client has said that it sends nothing more.
    is_read_closed: bool,
    /// We have said so.
    is_write_closed: bool,
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the buffers: they hold what sandboxes send.
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

impl TlsStream {
    fn new(socket: Replay, connection: UnbufferedServerConnection) -> Self {
        Self {
            socket,
            connection,
            unread: Vec::new(),
            plain: BytesMut::new(),
            unsent: BytesMut::new(),
            is_read_closed: false,
            is_write_closed: false,
        }
    }

    /// The protocol that was agreed on by ALPN.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// The version of TLS.
    pub(crate) fn version(&self) -> Option<rustls::ProtocolVersion> {
        self.connection.protocol_version()
    }

    /// The socket below, for whoever reads and throws away what comes after the end.
    pub(crate) fn socket_mut(&mut self) -> &mut Replay {
        &mut self.socket
    }

    /// Reads from the socket once, and decrypts what is whole of it. 0 at the end of the socket.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        if !self.unread.is_empty() {
            return self.poll_receive_more(cx, sink);
        }
        scratch::with_input(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let received = read.filled_mut();
            let used = self.process(received, sink)?;
            self.unread.extend_from_slice(received.get(used..).unwrap_or_default());
            Poll::Ready(Ok(received.len()))
        })
    }

    /// The same, behind what is here of a record already.
    fn poll_receive_more(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.unread.len() > UNREAD_BYTES_MAX {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let received = scratch::with_input(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            self.unread.extend_from_slice(read.filled());
            Poll::Ready(io::Result::Ok(read.filled().len()))
        });
        let received = ready!(received)?;
        let mut unread = std::mem::take(&mut self.unread);
        let used = self.process(&mut unread, sink)?;
        if used < unread.len() {
            unread.drain(..used);
            self.unread = unread;
        }
        Poll::Ready(Ok(received))
    }

    /// Decrypts into `sink`, and behind it; answers what must be answered. Returns how much of
    /// `incoming` was used.
    fn process(&mut self, incoming: &mut [u8], sink: &mut ReadBuf<'_>) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let rest = incoming.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(rest);
            used += discard;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.say_why();
                    return Err(invalid(error));
                }
            };
            match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        used += record.discard;
                        let fits = record.payload.len().min(sink.remaining());
                        let (now, later) = record.payload.split_at(fits);
                        sink.put_slice(now);
                        self.plain.extend_from_slice(later);
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.unsent)?,
                // Sent when the socket takes it: what is encoded is encoded once.
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                ConnectionState::PeerClosed => self.is_read_closed = true,
                ConnectionState::BlockedHandshake
                | ConnectionState::WriteTraffic(_)
                | ConnectionState::Closed => return Ok(used),
                // Early data is never offered, and no other state is known.
                ConnectionState::ReadEarlyData(_) | _ => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
    }

    /// Takes what is to be said before the connection ends over an error: the alert that belongs to it.
    fn say_why(&mut self) {
        loop {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    // It only tells the client what it will find out.
                    let _ = encode(data, &mut self.unsent);
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                _ => return,
            }
        }
    }

    /// Lets `act` write while the connection may send.
    fn when_writable<T>(
        &mut self,
        act: impl FnOnce(&mut WriteTraffic<'_, rustls::server::ServerConnectionData>) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let status = self.connection.process_tls_records(&mut self.unread);
            let discard = status.discard;
            match status.state.map_err(invalid)? {
                ConnectionState::WriteTraffic(mut traffic) => return act(&mut traffic),
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.unsent)?,
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                ConnectionState::PeerClosed => self.is_read_closed = true,
                // What is unread is never a whole record, and handshakes are over.
                ConnectionState::ReadTraffic(_)
                | ConnectionState::ReadEarlyData(_)
                | ConnectionState::BlockedHandshake
                | ConnectionState::Closed
                | _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
            self.unread.drain(..discard);
        }
    }

    /// Encrypts one record, and gives it to the socket as far as that takes it.
    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_write_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.unsent.len() > COMPANY_BYTES_MAX {
            ready!(self.poll_drain(cx))?;
        }
        let payload = payload.get(..payload.len().min(RECORD_BYTES)).unwrap_or_default();
        if payload.is_empty() {
            return Poll::Ready(Ok(0));
        }
        scratch::with_output(|scratch| {
            let length = self.when_writable(|traffic| {
                traffic.encrypt(payload, scratch).map_err(io::Error::other)
            })?;
            let mut record = scratch.get(..length).unwrap_or_default();
            if self.unsent.is_empty() {
                match Pin::new(&mut self.socket).poll_write(cx, record) {
                    Poll::Ready(Ok(sent)) => record = record.get(sent..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            self.unsent.extend_from_slice(record);
            Poll::Ready(Ok(payload.len()))
        })
    }

    /// Gives the socket what it has not taken yet.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.unsent.advance(sent),
            }
        }
        if self.unsent.capacity() > 0 {
            self.unsent = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, unsent: &mut BytesMut) -> io::Result<()> {
    scratch::with_output(|scratch| {
        let length = data.encode(scratch).map_err(io::Error::other)?;
        unsent.extend_from_slice(scratch.get(..length).unwrap_or_default());
        Ok(())
    })
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            // Nothing would ever be read into it, and what came would be kept without a bound.
            return Poll::Ready(Ok(()));
        }
        if !this.plain.is_empty() {
            let n = this.plain.len().min(buf.remaining());
            buf.put_slice(this.plain.get(..n).unwrap_or_default());
            this.plain.advance(n);
            if this.plain.is_empty() {
                this.plain = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        while buf.filled().len() == before && !this.is_read_closed {
            let Poll::Ready(received) = this.poll_receive(cx, buf) else {
                // Whoever reads is about to wait: nothing that was written may wait with it. What the
                // socket takes no more is for a writer to know.
                let _ = this.poll_drain(cx);
                return Poll::Pending;
            };
            match received {
                // Without the alert that ends TLS, somebody may have cut it off.
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => {
                    let _ = this.poll_drain(cx);
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, bytes)
    }

    /// One record of what there is: frames of HTTP/2 come as a head and a payload.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
        let first = filled.next().map_or(&[][..], |buf| buf);
        if first.len() >= RECORD_BYTES || filled.next().is_none() {
            return this.poll_send(cx, first);
        }
        scratch::with_gathered(bufs, RECORD_BYTES, |together| this.poll_send(cx, together))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_write_closed {
            this.is_write_closed = true;
            // A connection that has failed has said so already.
            let _ = scratch::with_output(|scratch| {
                let length = this.when_writable(|traffic| {
                    traffic.queue_close_notify(scratch).map_err(io::Error::other)
                })?;
                this.unsent.extend_from_slice(scratch.get(..length).unwrap_or_default());
                io::Result::Ok(())
            });
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

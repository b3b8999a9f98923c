//! One end of a connection, in clear text or inside TLS, with the ways it may end told apart.

use rustls::{ClientConnection, ServerConnection, StreamOwned};
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// A connected stream.
pub(crate) enum Stream {
    Clear(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// What reading brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    Bytes(usize),
    /// The peer closed; inside TLS it may have left out to say so.
    End,
    Reset,
    /// Nothing came for longer than anything may take.
    Silence,
}

impl Filled {
    fn of(error: &io::Error) -> Self {
        let is = |kinds: &[ErrorKind]| kinds.contains(&error.kind());
        if is(&[ErrorKind::WouldBlock, ErrorKind::TimedOut]) {
            Self::Silence
        } else if is(&[ErrorKind::UnexpectedEof]) {
            Self::End
        } else {
            Self::Reset
        }
    }
}

impl Stream {
    pub(crate) fn clear(socket: TcpStream) -> Self {
        socket.set_nodelay(true).ok();
        socket.set_read_timeout(Some(PATIENCE)).ok();
        socket.set_write_timeout(Some(PATIENCE)).ok();
        Self::Clear(socket)
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(socket) => socket,
            Self::Client(tls) => &tls.sock,
            Self::Server(tls) => &tls.sock,
        }
    }

    /// Reads once and puts what came behind `buffer`.
    pub(crate) fn fill(&mut self, buffer: &mut Vec<u8>) -> Filled {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.read(&mut piece) {
                Ok(0) => return Filled::End,
                Ok(count) => {
                    buffer.extend_from_slice(&piece[..count]);
                    return Filled::Bytes(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Filled::of(&error),
            }
        }
    }

    /// Says that nothing more will be sent; reading goes on.
    pub(crate) fn half_close(&mut self) {
        match self {
            Self::Clear(_) => {}
            Self::Client(tls) => {
                tls.conn.send_close_notify();
                tls.flush().ok();
            }
            Self::Server(tls) => {
                tls.conn.send_close_notify();
                tls.flush().ok();
            }
        }
        self.socket().shutdown(Shutdown::Write).ok();
    }

    /// Ends the connection with a TCP reset.
    pub(crate) fn reset(self) {
        SockRef::from(self.socket()).set_linger(Some(Duration::ZERO)).ok();
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.read(buffer),
            Self::Client(tls) => tls.read(buffer),
            Self::Server(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.write(bytes),
            Self::Client(tls) => tls.write(bytes),
            Self::Server(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(socket) => socket.flush(),
            Self::Client(tls) => tls.flush(),
            Self::Server(tls) => tls.flush(),
        }
    }
}

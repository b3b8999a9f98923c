//! Connects to whichever of several addresses answers first.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::{Error, ErrorType};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long an address gets before the next one is tried beside it (RFC 8305 §5).
const NEXT_ATTEMPT: Duration = Duration::from_millis(250);

/// Addresses that were checked.
#[derive(Debug)]
pub(super) struct Racing {
    pub(super) addresses: Vec<SocketAddr>,
}

#[async_trait]
impl L4Connect for Racing {
    async fn connect(&self, _address: &PingoraAddr) -> pingora::Result<L4Stream> {
        let stream = race(&self.addresses)
            .await
            .map_err(|e| Error::because(error_type(&e), "connecting to the upstream", e))?;
        Ok(stream.into())
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is the library's and grows without us"
)]
fn error_type(error: &io::Error) -> ErrorType {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorType::ConnectNoRoute
        }
        _ => ErrorType::ConnectError,
    }
}

/// Happy eyeballs (RFC 8305) over addresses that were checked.
pub(super) async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => {}
            },
            () = tokio::time::sleep(NEXT_ATTEMPT), if more => {}
        }
    }
}

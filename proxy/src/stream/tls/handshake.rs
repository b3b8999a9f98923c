//! From a socket to TLS over it.

use std::io;
use std::sync::Arc;
use std::task::ready;

use rustls::server::UnbufferedServerConnection;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncWriteExt, ReadBuf};

use super::super::socket::Replay;
use super::TlsStream;

/// A fatal `unrecognized_name` alert (RFC 6066 §3) as a whole record.
const UNRECOGNIZED_NAME: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 112];

/// Why there is no TLS.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The hello asks for a name that `config` has no certificate for.
    Name,
    /// There is no hello, or it cannot be read.
    Hello,
    /// The client says that it does not go on.
    Alert,
    /// Nothing that it offers can be spoken, it went away, or what followed makes no sense.
    Broken,
}

/// Answers the handshake that begins on `socket`; the client is told why it is refused.
pub(crate) async fn accept(
    socket: Replay,
    config: Arc<ServerConfig>,
) -> Result<TlsStream, Refused> {
    let connection = UnbufferedServerConnection::new(config).map_err(|_| Refused::Broken)?;
    let mut stream = TlsStream::new(socket, connection);
    let mut is_answered = false;
    while stream.connection.is_handshaking() {
        let received = receive(&mut stream).await;
        let refused = match received {
            Ok(0) if !is_answered => Refused::Hello,
            Ok(0) => Refused::Broken,
            Ok(_) => {
                is_answered |= !stream.unsent.is_empty();
                continue;
            }
            Err(error) => why(&error, is_answered),
        };
        if let Refused::Name = refused {
            // In place of what the library would say: the name is the reason.
            stream.unsent.clear();
            stream.unsent.extend_from_slice(UNRECOGNIZED_NAME);
        }
        // The client closes either way; the alert only tells it why.
        let _ = stream.flush().await;
        let _ = stream.socket.shutdown().await;
        return Err(refused);
    }
    // In TLS 1.3 nothing but a ticket is left to send, which goes out with the first answer; before
    // that, the client waits for the end of our handshake.
    if stream.version() != Some(ProtocolVersion::TLSv1_3) {
        stream.flush().await.map_err(|_| Refused::Broken)?;
    }
    Ok(stream)
}

async fn receive(stream: &mut TlsStream) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        ready!(stream.poll_drain(cx))?;
        // A client may send its first request behind its last message: that waits.
        stream.poll_receive(cx, &mut ReadBuf::new(&mut []))
    })
    .await
}

fn why(error: &io::Error, is_answered: bool) -> Refused {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::AlertReceived(_)) => Refused::Alert,
        // What the library says when the resolver of `config` has no certificate for a name.
        Some(rustls::Error::General(_)) if !is_answered => Refused::Name,
        Some(
            rustls::Error::InvalidMessage(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. },
        ) if !is_answered => Refused::Hello,
        _ => Refused::Broken,
    }
}

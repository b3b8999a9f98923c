//! A loopback listener that adds a sandbox's identity to what passes.
//!
//! The identity stays in this process: the child's environment names an address and no token, and
//! clients that cannot send `user:password` to a proxy work as well. Beside the identity every byte
//! passes as it came; what is wrong with it is the proxy's to say. Whoever can connect to loopback
//! on this machine can use the listener while it is there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A longer head passes without identity, and the proxy refuses it.
const HEAD_BYTES_MAX: usize = 128 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";
const ESTABLISHED: &[u8] = b"HTTP/1.1 200";

/// What a listener's connections need.
#[derive(Clone)]
struct Route {
    proxy: SocketAddr,
    authorization: Arc<str>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A listener that is there as long as its runtime.
pub(crate) struct Forwarder {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Forwarder {
    /// Listens on a port that the system chooses.
    pub(crate) async fn open(proxy: SocketAddr, authorization: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let route = Route { proxy, authorization: authorization.into(), asked: Arc::clone(&asked) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // An error ends this connection, which is all that can be said to its client.
                tokio::spawn(carry(client, route.clone()));
            }
        });
        Ok(Self { address, asked })
    }

    /// The request lines that came since the last call.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn carry(mut client: TcpStream, route: Route) -> io::Result<()> {
    let Some((head, rest)) = read_head(&mut client).await? else { return Ok(()) };
    let mut proxy = TcpStream::connect(route.proxy).await?;
    client.set_nodelay(true)?;
    proxy.set_nodelay(true)?;
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    route.asked.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    proxy.write_all(&identified(&head, &route.authorization)).await?;
    proxy.write_all(&rest).await?;
    if !head.starts_with(b"CONNECT ") {
        return copy_bidirectional(&mut client, &mut proxy).await.map(drop);
    }
    let mut answer = vec![0; 16 * 1024];
    let length = proxy.read(&mut answer).await?;
    answer.truncate(length);
    client.write_all(&answer).await?;
    if answer.starts_with(ESTABLISHED) {
        return copy_bidirectional(&mut client, &mut proxy).await.map(drop);
    }
    // A second request on this connection would go without identity: it has to be a new one.
    proxy.shutdown().await?;
    copy(&mut proxy, &mut client).await?;
    client.shutdown().await
}

/// A request head with the empty line behind it, and what came with it. `None`: nothing came.
async fn read_head(client: &mut TcpStream) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok((!bytes.is_empty()).then(|| (bytes, Vec::new())));
        }
        let end = bytes.windows(HEAD_END.len()).position(|four| four == HEAD_END);
        if let Some(end) = end {
            let rest = bytes.split_off(end + HEAD_END.len());
            return Ok(Some((bytes, rest)));
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Ok(Some((bytes, Vec::new())));
        }
    }
}

/// The head with the identity behind its request line, in the place of any other. Requests other
/// than CONNECT and upgrades become the last of their connection, because only the first head of a
/// connection is looked at.
fn identified(head: &[u8], authorization: &str) -> Vec<u8> {
    let lines = || head.split_inclusive(|byte| *byte == b'\n');
    let named = |line: &[u8], name: &[u8]| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    let upgrades = lines().any(|line| named(line, b"upgrade:"));
    let last = !head.starts_with(b"CONNECT ") && !upgrades;
    let mut new = Vec::with_capacity(head.len() + 256);
    for (at, line) in lines().enumerate() {
        let keeps_alive = named(line, b"connection:")
            && line.trim_ascii_end().to_ascii_lowercase().ends_with(b"keep-alive");
        let replaced = named(line, b"proxy-authorization:")
            || (last && (named(line, b"proxy-connection:") || keeps_alive));
        if !replaced {
            new.extend_from_slice(line);
        }
        if at == 0 {
            let close = if last { "Connection: close\r\n" } else { "" };
            new.extend_from_slice(
                format!("Proxy-Authorization: {authorization}\r\n{close}").as_bytes(),
            );
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_carries_this_identity_and_no_other() {
        let check = |head: &str, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&identified(head.as_bytes(), "A")), expected);
        };
        check(
            "CONNECT h:443 HTTP/1.0\r\n\r\n",
            "CONNECT h:443 HTTP/1.0\r\nProxy-Authorization: A\r\n\r\n",
        );
        check(
            "CONNECT h:443 HTTP/1.1\r\nproxy-authorization: B\r\nHost: h\r\n\r\n",
            "CONNECT h:443 HTTP/1.1\r\nProxy-Authorization: A\r\nHost: h\r\n\r\n",
        );
        check(
            "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nProxy-Authorization: A\r\nConnection: close\r\nHost: h\r\n\r\n",
        );
        check(
            "GET http://h/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nProxy-Authorization: A\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
    }
}

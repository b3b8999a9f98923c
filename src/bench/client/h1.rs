//! HTTP/1.1 by hand: the request is written once and sent again and again; of the response only the
//! status and `Content-Length` are read.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Way;
use crate::bench::error::ClientError;

const BUFFER_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    request: Vec<u8>,
    buffer: Vec<u8>,
    response_bytes: usize,
}

impl Connection {
    pub(super) fn new(stream: TlsStream<TcpStream>, way: &Way) -> Self {
        let Way { host, path, response_bytes, .. } = way;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sallygate-bench\r\nAccept: */*\r\n\r\n"
        );
        Self {
            stream,
            request: request.into_bytes(),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            response_bytes: *response_bytes,
        }
    }

    pub(super) async fn exchange(&mut self) -> Result<(), ClientError> {
        self.stream.write_all(&self.request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let head = loop {
            self.read().await?;
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
        };
        if head.status != 200 {
            return Err(ClientError::Status(head.status));
        }
        while self.buffer.len() < head.bytes + head.body_bytes {
            self.read().await?;
        }
        match self.buffer.len() - head.bytes {
            received if received == self.response_bytes => Ok(()),
            received => Err(ClientError::Length { expected: self.response_bytes, received }),
        }
    }

    pub(super) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
    }

    async fn read(&mut self) -> Result<(), ClientError> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ClientError::Io(std::io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// `None` while the head is incomplete.
    fn parse(buffer: &[u8]) -> Result<Option<Self>, ClientError> {
        let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = buffer.get(..end).and_then(|head| std::str::from_utf8(head).ok());
        let mut lines = text.ok_or(ClientError::Head)?.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        match (status, length) {
            (Some(status), Some(body_bytes)) => {
                Ok(Some(Self { status, bytes: end + 4, body_bytes }))
            }
            (Some(_) | None, Some(_) | None) => Err(ClientError::Head),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let text = b"HTTP/1.1 200 OK\r\ndate: x\r\nContent-Length: 3\r\n\r\nabc";
        let head = Head { status: 200, bytes: 47, body_bytes: 3 };
        assert_eq!(Head::parse(text).ok(), Some(Some(head)));
        assert_eq!(Head::parse(&text[..46]).ok(), Some(None));
    }

    #[test]
    fn a_head_without_a_length_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(Head::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}

//! HTTP/2 by the `h2` crate, without a client on top of it.

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Way;
use crate::bench::error::ClientError;

const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 24;

#[derive(Debug, Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    request: Request<()>,
    response_bytes: usize,
}

impl Connection {
    pub(super) async fn open(stream: TlsStream<TcpStream>, way: &Way) -> Result<Self, ClientError> {
        let (sender, connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(stream)
            .await?;
        // It ends with the last sender; an error reaches whoever waits for a response.
        tokio::spawn(connection);
        let request = Request::get(format!("https://{}{}", way.host, way.path))
            .header("user-agent", "sallygate-bench")
            .header("accept", "*/*")
            .body(())
            .map_err(|error| ClientError::Io(std::io::Error::other(error)))?;
        Ok(Self { sender, request, response_bytes: way.response_bytes })
    }

    pub(super) async fn exchange(&mut self) -> Result<(), ClientError> {
        let mut sender = self.sender.clone().ready().await?;
        let (response, _) = sender.send_request(self.request.clone(), true)?;
        let response = response.await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut received = 0;
        while let Some(data) = body.data().await {
            let bytes = data?.len();
            received += bytes;
            body.flow_control().release_capacity(bytes)?;
        }
        match (status, self.response_bytes) {
            (200, expected) if expected == received => Ok(()),
            (200, expected) => Err(ClientError::Length { expected, received }),
            (status, _) => Err(ClientError::Status(status)),
        }
    }
}

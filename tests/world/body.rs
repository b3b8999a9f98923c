//! Bodies that come piece by piece and are never held whole.

use aws_lc_rs::digest::{self, Context};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame};
use hyper::{HeaderMap, Response, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context as Task, Poll};
use tokio::sync::mpsc;

use super::seen::hex;

pub(crate) type BoxBody = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Answer = Response<BoxBody>;

const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that wait for the peer: enough to keep the socket busy, too few to hide buffering.
const PIECES_WAITING_MAX: usize = 4;

/// A body whose pieces another task sends.
struct Streamed(mpsc::Receiver<Frame<Bytes>>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(task).map(|frame| frame.map(Ok))
    }
}

/// The sending end of a streamed body. Sending to a peer that went away does nothing.
pub(crate) struct Sender(mpsc::Sender<Frame<Bytes>>);

impl Sender {
    /// True as long as somebody receives.
    pub(crate) async fn send(&self, data: impl Into<Bytes>) -> bool {
        self.0.send(Frame::data(data.into())).await.is_ok()
    }

    pub(crate) async fn trailers(&self, trailers: HeaderMap) {
        self.0.send(Frame::trailers(trailers)).await.ok();
    }
}

pub(crate) fn streamed() -> (Sender, BoxBody) {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
    (Sender(sender), Streamed(receiver).boxed_unsync())
}

pub(crate) fn whole(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = http_body_util::Full::new(body.into()).boxed_unsync();
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(body).expect("a valid response")
}

pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    whole(status, "application/json", value.to_string())
}

/// A fixed sequence of bytes that does not compress, cheap enough to saturate a TLS connection: one
/// random-looking block whose first eight bytes are replaced by its number.
#[derive(Debug, Clone)]
pub(crate) struct PseudoRandom {
    piece: u64,
    left: u64,
}

impl PseudoRandom {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { piece: 0, left: bytes }
    }

    pub(crate) fn sha256(self) -> String {
        let mut digest = Context::new(&digest::SHA256);
        self.for_each(|piece| digest.update(&piece));
        hex(digest.finish().as_ref())
    }
}

impl Iterator for PseudoRandom {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let len = usize::try_from(self.left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        if len == 0 {
            return None;
        }
        let mut piece = BLOCK.to_vec();
        piece[..8].copy_from_slice(&self.piece.to_le_bytes());
        piece.truncate(len);
        self.piece += 1;
        self.left -= len as u64;
        Some(piece.into())
    }
}

/// Marsaglia's xorshift64.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(PIECE_BYTES / 8).flatten().collect()
});

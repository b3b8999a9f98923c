//! HTTP/2 without a library on our side: frames are made of the bytes that a case wants, headers
//! are HPACK literals without Huffman coding, so that nothing corrects what is wrong on purpose.

use std::collections::BTreeMap;

use super::client::Client;
use super::stream::Filled;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const FRAME_BYTES_MAX: usize = 16 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// HEADERS, and CONTINUATION where one frame does not hold the list.
pub(crate) fn headers(stream: u32, list: &[(Vec<u8>, Vec<u8>)], end_stream: bool) -> Vec<u8> {
    let block: Vec<u8> = list.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let mut pieces: Vec<&[u8]> = block.chunks(FRAME_BYTES_MAX).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let frames = pieces.iter().enumerate().map(|(index, piece)| {
        let kind = if index == 0 { HEADERS } else { CONTINUATION };
        let end_stream = if index == 0 && end_stream { END_STREAM } else { 0 };
        let end_headers = if index == last { END_HEADERS } else { 0 };
        frame(kind, end_stream | end_headers, stream, piece)
    });
    frames.collect::<Vec<_>>().concat()
}

pub(crate) fn data(stream: u32, bytes: &[u8], end_stream: bool) -> Vec<u8> {
    frame(DATA, u8::from(end_stream) * END_STREAM, stream, bytes)
}

/// A literal field without indexing (RFC 7541 §6.2.2).
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        integer(text.len(), &mut bytes);
        bytes.extend_from_slice(text);
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn integer(value: usize, bytes: &mut Vec<u8>) {
    let Some(mut rest) = value.checked_sub(127) else {
        return bytes.push(u8::try_from(value).expect("below 127"));
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).expect("a remainder") | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("below 128"));
}

/// What came back on one stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) blocks: Vec<Vec<u8>>,
    pub(crate) data: Vec<u8>,
    pub(crate) ended: bool,
    pub(crate) reset: Option<u32>,
}

impl Reply {
    /// Whether the first field of a block, which informational answers may have gone before, is
    /// `:status` 200, 204, 206 or 304: index 8 to 11 of the static table.
    pub(crate) fn says_ok(&self) -> bool {
        let is_size_update = |byte: &&u8| **byte & 0xe0 == 0x20;
        self.blocks.iter().any(|block| {
            let first = block.iter().find(|byte| !is_size_update(byte));
            first.is_some_and(|byte| (0x88..=0x8b).contains(byte))
        })
    }

    /// Whether nothing more will come on this stream.
    pub(crate) fn is_settled(&self) -> bool {
        self.ended || self.reset.is_some()
    }

    /// The problem document, when the proxy answered by itself.
    pub(crate) fn problem(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.data).ok()
    }
}

/// The replies on a connection, and how it ended.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    pub(crate) streams: BTreeMap<u32, Reply>,
    pub(crate) goaway: Option<u32>,
    pub(crate) pongs: usize,
    pub(crate) end: Option<Filled>,
}

/// A client that has said hello.
pub(crate) struct H2 {
    pub(crate) client: Client,
    pub(crate) replies: Replies,
}

impl H2 {
    pub(crate) fn start(mut client: Client) -> Self {
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        Self { client, replies: Replies::default() }
    }

    /// Reads until `enough`, or to the end of the connection.
    pub(crate) fn read_until(&mut self, enough: impl Fn(&Replies) -> bool) {
        while !enough(&self.replies) && self.replies.end.is_none() {
            if !self.take_frame() {
                self.client.more();
                self.replies.end = self.client.end();
            }
        }
        // What came before the end counts.
        while self.take_frame() {}
    }

    /// Reads what comes until the socket's own time limit; silence is no end here.
    pub(crate) fn read_moment(&mut self) {
        match self.client.moment() {
            Filled::Silence | Filled::Bytes(_) => {}
            end @ (Filled::End | Filled::Reset) => {
                self.replies.streams.entry(1).or_default().reset.get_or_insert(0);
                self.replies.end = Some(end);
            }
        }
        while self.take_frame() {}
    }

    fn take_frame(&mut self) -> bool {
        let buffer = self.client.buffered();
        let &[a, b, c, kind, flags, s0, s1, s2, s3, ..] = buffer.as_slice() else { return false };
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if buffer.len() < 9 + length {
            return false;
        }
        let payload: Vec<u8> = buffer.drain(..9 + length).skip(9).collect();
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        self.note(kind, flags, stream, payload);
        true
    }

    fn note(&mut self, kind: u8, flags: u8, stream: u32, payload: Vec<u8>) {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        match kind {
            SETTINGS if flags & ACK == 0 => {
                self.client.send(&frame(SETTINGS, ACK, 0, &[]));
            }
            PING if flags & ACK == 0 => {
                self.client.send(&frame(PING, ACK, 0, &payload));
            }
            PING => self.replies.pongs += 1,
            GOAWAY => self.replies.goaway = payload.get(4..8).map(number),
            DATA | HEADERS | CONTINUATION => {
                let reply = self.replies.streams.entry(stream).or_default();
                reply.ended |= kind != CONTINUATION && flags & END_STREAM != 0;
                if kind == DATA {
                    reply.data.extend_from_slice(&payload);
                    let more = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
                    if !payload.is_empty() {
                        let updates = [0, stream].map(|id| frame(WINDOW_UPDATE, 0, id, &more));
                        self.client.send(&updates.concat());
                    }
                } else {
                    reply.blocks.push(payload);
                }
            }
            RST_STREAM => {
                self.replies.streams.entry(stream).or_default().reset = Some(number(&payload));
            }
            _ => {}
        }
    }
}

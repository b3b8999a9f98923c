//! Bodies in `aws-chunked` whose chunks are signed, signed again while they pass.
//!
//! A chunk's signature stands in front of its data and covers it, so one chunk is held at a time.
//! Sizes stay as they were written: the length that the request announced stays right.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html> and
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

use std::fmt;

use aws_lc_rs::hmac::{Key, sign as hmac};

use super::canonical::{Payload, hex, sha256_hex};
use super::credentials::Credentials;
use super::sign::{ALGORITHM, Scope, Signature};

/// A larger chunk is not held: SDKs send 64 KiB to 1 MiB.
pub const CHUNK_BYTES_MAX: usize = 8 << 20;
/// A line holds a size and a signature, or a checksum.
const LINE_BYTES_MAX: usize = 512;
const TRAILERS_MAX: usize = 8;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";
/// SHA-256 of nothing.
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Why a body is not one in signed chunks: what has been given out is not to be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadChunks {
    /// The request does not announce signed chunks.
    NotSigned,
    Line,
    Size,
    TooLarge,
    Trailer,
    /// It goes on after its end.
    Excess,
    /// It ends before its end.
    Short,
}

impl BadChunks {
    pub fn code(self) -> &'static str {
        match self {
            Self::NotSigned => "chunks_not_signed",
            Self::Line => "chunk_line",
            Self::Size => "chunk_size",
            Self::TooLarge => "chunk_too_large",
            Self::Trailer => "chunk_trailer",
            Self::Excess => "chunks_excess",
            Self::Short => "chunks_short",
        }
    }
}

impl fmt::Display for BadChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSigned => "the request does not announce signed chunks",
            Self::Line => "a line of the chunked body is too long or not text",
            Self::Size => "a chunk does not say its size as `SIZE;chunk-signature=…`",
            Self::TooLarge => "a chunk is larger than is held",
            Self::Trailer => "the trailer is not a few lines of `name:value`",
            Self::Excess => "the chunked body goes on after its end",
            Self::Short => "the chunked body ends before its end",
        })
    }
}

impl std::error::Error for BadChunks {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A line with the size of the next chunk.
    Size,
    /// So many bytes of data and CRLF are missing.
    Data(usize),
    /// The CRLF after the last chunk of a body without trailers.
    Last,
    Trailer,
    Done,
}

/// Signs the chunks of one body.
pub struct ChunkSigner {
    key: Key,
    timestamp: String,
    scope: String,
    previous: String,
    has_trailer: bool,
    state: State,
    /// The line, or the chunk with its CRLF, that has come so far.
    held: Vec<u8>,
    size: String,
    trailers: Vec<(String, String)>,
    decoded_bytes: u64,
}

impl fmt::Debug for ChunkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkSigner").field("state", &self.state).finish_non_exhaustive()
    }
}

impl ChunkSigner {
    /// A signer for the body of a request that has `seed`.
    pub fn new(
        payload: Payload<'_>,
        credentials: &Credentials,
        scope: &Scope<'_>,
        seed: &Signature,
    ) -> Result<Self, BadChunks> {
        let has_trailer = match payload {
            Payload::Streaming => false,
            Payload::StreamingTrailer => true,
            Payload::Hash(_) | Payload::Unsigned | Payload::StreamingUnsignedTrailer => {
                return Err(BadChunks::NotSigned);
            }
        };
        Ok(Self {
            key: scope.key(credentials),
            timestamp: scope.timestamp().to_owned(),
            scope: scope.path(),
            previous: seed.signature.clone(),
            has_trailer,
            state: State::Size,
            held: Vec::new(),
            size: String::new(),
            trailers: Vec::new(),
            decoded_bytes: 0,
        })
    }

    /// Takes the next bytes of the body, and adds to `out` what of it is signed.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadChunks> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Done => return Err(BadChunks::Excess),
                State::Data(missing) => self.data(bytes, missing, out)?,
                State::Size | State::Last | State::Trailer => self.line(bytes, out)?,
            };
        }
        Ok(())
    }

    /// The body has ended.
    pub fn finish(&self) -> Result<(), BadChunks> {
        match self.state {
            State::Done => Ok(()),
            State::Size | State::Data(_) | State::Last | State::Trailer => Err(BadChunks::Short),
        }
    }

    /// Bytes of data so far: at the end, what `x-amz-decoded-content-length` says.
    pub fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes
    }

    fn data<'b>(
        &mut self,
        bytes: &'b [u8],
        missing: usize,
        out: &mut Vec<u8>,
    ) -> Result<&'b [u8], BadChunks> {
        let (now, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.held.extend_from_slice(now);
        self.state = State::Data(missing - now.len());
        if self.state == State::Data(0) {
            let chunk = std::mem::take(&mut self.held);
            let data = chunk.strip_suffix(b"\r\n").ok_or(BadChunks::Size)?;
            self.chunk(data, out);
            out.extend_from_slice(&chunk);
            self.decoded_bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
            // The room is kept for the next chunk.
            self.held = chunk;
            self.held.clear();
            self.state = State::Size;
        }
        Ok(rest)
    }

    /// Writes the line in front of a chunk, with its new signature.
    fn chunk(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let hash = if data.is_empty() { EMPTY_HASH.to_owned() } else { sha256_hex(data) };
        let text = format!(
            "{ALGORITHM}-PAYLOAD\n{}\n{}\n{}\n{EMPTY_HASH}\n{hash}",
            self.timestamp, self.scope, self.previous
        );
        self.previous = hex(hmac(&self.key, text.as_bytes()).as_ref());
        out.extend_from_slice(self.size.as_bytes());
        out.extend_from_slice(b";chunk-signature=");
        out.extend_from_slice(self.previous.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn line<'b>(&mut self, bytes: &'b [u8], out: &mut Vec<u8>) -> Result<&'b [u8], BadChunks> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (now, rest) = match end.and_then(|at| bytes.split_at_checked(at + 1)) {
            Some(split) => split,
            None => (bytes, &[][..]),
        };
        if self.held.len() + now.len() > LINE_BYTES_MAX {
            return Err(BadChunks::Line);
        }
        self.held.extend_from_slice(now);
        if end.is_some() {
            let line = std::mem::take(&mut self.held);
            let text = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
            self.whole_line(text.ok_or(BadChunks::Line)?, out)?;
        }
        Ok(rest)
    }

    fn whole_line(&mut self, line: &str, out: &mut Vec<u8>) -> Result<(), BadChunks> {
        match self.state {
            State::Size => self.size_line(line, out),
            State::Trailer => self.trailer_line(line, out),
            State::Last if line.is_empty() => {
                out.extend_from_slice(b"\r\n");
                self.state = State::Done;
                Ok(())
            }
            State::Last | State::Data(_) | State::Done => Err(BadChunks::Excess),
        }
    }

    fn size_line(&mut self, line: &str, out: &mut Vec<u8>) -> Result<(), BadChunks> {
        let (size, extension) = line.split_once(';').ok_or(BadChunks::Size)?;
        let signature = extension.strip_prefix("chunk-signature=").ok_or(BadChunks::Size)?;
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        // A signature of another length would change the length of the body.
        if size.is_empty()
            || size.len() > 16
            || !is_hex(size)
            || signature.len() != 64
            || !is_hex(signature)
        {
            return Err(BadChunks::Size);
        }
        let bytes = usize::from_str_radix(size, 16).map_err(|_| BadChunks::Size)?;
        if bytes > CHUNK_BYTES_MAX {
            return Err(BadChunks::TooLarge);
        }
        size.clone_into(&mut self.size);
        if bytes > 0 {
            self.state = State::Data(bytes + 2);
            return Ok(());
        }
        self.chunk(&[], out);
        self.state = if self.has_trailer { State::Trailer } else { State::Last };
        Ok(())
    }

    fn trailer_line(&mut self, line: &str, out: &mut Vec<u8>) -> Result<(), BadChunks> {
        if line.is_empty() {
            self.trailer(out);
            self.state = State::Done;
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or(BadChunks::Trailer)?;
        let name = name.to_ascii_lowercase();
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let known = self.trailers.iter().any(|(known, _)| *known == name);
        if name.is_empty()
            || !name.bytes().all(fine)
            || known
            || self.trailers.len() >= TRAILERS_MAX
        {
            return Err(BadChunks::Trailer);
        }
        // The sandbox's own signature is replaced by ours.
        if name != TRAILER_SIGNATURE {
            self.trailers.push((name, value.trim().to_owned()));
        }
        Ok(())
    }

    fn trailer(&mut self, out: &mut Vec<u8>) {
        self.trailers.sort_unstable();
        let lines: String =
            self.trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let text = format!(
            "{ALGORITHM}-TRAILER\n{}\n{}\n{}\n{}",
            self.timestamp,
            self.scope,
            self.previous,
            sha256_hex(lines.as_bytes())
        );
        let signature = hex(hmac(&self.key, text.as_bytes()).as_ref());
        for (name, value) in &self.trailers {
            out.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        }
        out.extend_from_slice(format!("{TRAILER_SIGNATURE}:{signature}\r\n\r\n").as_bytes());
    }
}

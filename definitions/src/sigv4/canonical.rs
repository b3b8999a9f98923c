//! The canonical request: what is signed, written in one way.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

/// A request as it goes out. Header names are in small letters.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    pub method: &'r str,
    /// As it stands in the request line.
    pub path: &'r str,
    pub query: Option<&'r str>,
    /// What is signed, `host` among them.
    pub headers: &'r [(&'r str, &'r str)],
    pub payload: Payload<'r>,
    pub style: PathStyle,
}

/// How a service reads paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathStyle {
    /// Escaped a second time, without dot segments and empty segments.
    Normal,
    /// S3: escaped once, every segment as it is.
    S3,
}

/// What stands for the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'p> {
    /// The hash of the whole body, in hex.
    Hash(&'p str),
    Unsigned,
    /// `aws-chunked`, each chunk with a signature.
    Streaming,
    /// The same, with signed trailers.
    StreamingTrailer,
    /// `aws-chunked` without signatures, with trailers.
    StreamingUnsignedTrailer,
}

impl<'p> Payload<'p> {
    /// As `x-amz-content-sha256` has it; `None` for what is none of them.
    pub fn parse(text: &'p str) -> Option<Self> {
        let is_hash =
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match text {
            "UNSIGNED-PAYLOAD" => Some(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Some(Self::Streaming),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Some(Self::StreamingTrailer),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Self::StreamingUnsignedTrailer),
            hash if is_hash => Some(Self::Hash(hash)),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'p str {
        match self {
            Self::Hash(hash) => hash,
            Self::Unsigned => "UNSIGNED-PAYLOAD",
            Self::Streaming => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            Self::StreamingTrailer => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            Self::StreamingUnsignedTrailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }
    }
}

/// Headers that change on the way, or are written after the signature.
const UNSIGNED: [&str; 14] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-amzn-trace-id",
];

/// Whether a header, by its name in small letters, is one to sign.
pub fn is_signable(name: &str) -> bool {
    !UNSIGNED.contains(&name) && !name.starts_with("x-forwarded-")
}

impl Request<'_> {
    /// The text whose hash is signed.
    pub(super) fn canonical(&self) -> String {
        let (headers, names) = headers(self.headers);
        let path = path(self.path, self.style);
        let query = query(self.query.unwrap_or(""));
        let payload = self.payload.as_str();
        format!("{}\n{path}\n{query}\n{headers}\n{names}\n{payload}", self.method)
    }

    /// `host;x-amz-date`
    pub(super) fn signed_headers(&self) -> String {
        headers(self.headers).1
    }
}

/// Each header in a line, and the names of all.
fn headers(given: &[(&str, &str)]) -> (String, String) {
    let mut sorted: Vec<(&str, String)> =
        given.iter().map(|(name, value)| (*name, collapsed(value))).collect();
    // Stable: the values of one header stay in the order in which they stand.
    sorted.sort_by(|a, b| a.0.cmp(b.0));
    let (mut lines, mut names) = (String::new(), Vec::new());
    for same in sorted.chunk_by(|a, b| a.0 == b.0) {
        let Some((name, _)) = same.first() else { continue };
        let values: Vec<&str> = same.iter().map(|(_, value)| value.as_str()).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(lines, "{name}:{}", values.join(","));
        names.push(*name);
    }
    (lines, names.join(";"))
}

/// Without white space at the ends, and with one space for several.
fn collapsed(value: &str) -> String {
    value.split([' ', '\t']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn path(path: &str, style: PathStyle) -> String {
    let path = if path.is_empty() { "/" } else { path };
    match style {
        PathStyle::S3 => path
            .split('/')
            .map(|segment| escaped(&unescaped(segment)))
            .collect::<Vec<_>>()
            .join("/"),
        PathStyle::Normal => {
            let segments = normalised(path);
            segments.iter().map(|s| escaped(s.as_bytes())).collect::<Vec<_>>().join("/")
        }
    }
}

/// RFC 3986 §5.2.4, and without empty segments but a last one.
fn normalised(path: &str) -> Vec<&str> {
    let mut kept: Vec<&str> = vec![""];
    for segment in path.split('/').skip(1) {
        match segment {
            "" | "." => {}
            ".." => {
                if kept.len() > 1 {
                    kept.pop();
                }
            }
            segment => kept.push(segment),
        }
    }
    if kept.len() == 1 || path.ends_with('/') {
        kept.push("");
    }
    kept
}

/// Parameters in order of their escaped names and values.
fn query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (escaped(&unescaped(name)), escaped(&unescaped(value)))
        })
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Everything but unreserved bytes (RFC 3986 §2.3) escaped.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The bytes that escapes stand for; a `%` that begins none is itself.
pub(super) fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        let pair = digit(after.first()).zip(digit(after.get(1)));
        let value = pair.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        match (first, value) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    bytes
}

/// What stands for a whole body: its SHA-256, in hex.
pub fn payload_hash(body: &[u8]) -> String {
    sha256_hex(body)
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

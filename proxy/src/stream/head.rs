//! Reads an HTTP/1 request head, strictly (RFC 9112 §2–§6).
//!
//! Where the RFC lets a recipient choose between repair and refusal, this refuses: what two
//! parsers could read differently must not reach an upstream. Nothing here decides about policy.

use std::ops::Range;

use memchr::memchr;

use super::lines::{Lines, content_length, field, is_token, slice};
use crate::denial::{Code, Denial};
use crate::limits::{Limits, size};

/// How long the body of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body.
    None,
    /// As many bytes as Content-Length says.
    Length(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
}

/// What one request head says about itself, as far as the listener needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes from the first of the request line to the last of the empty line.
    pub(crate) length: usize,
    pub(crate) method: Range<usize>,
    pub(crate) target: Range<usize>,
    pub(crate) version: Version,
    pub(crate) framing: Framing,
    pub(crate) host: Option<Range<usize>>,
    pub(crate) proxy_authorization: Option<Range<usize>>,
    pub(crate) user_agent: Option<Range<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// Finds the end of a head: the offset behind the first empty line.
///
/// A bare LF is accepted as a line end here, so that a head with one is found, parsed and refused
/// instead of waited for until the deadline.
pub(crate) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    while let Some(offset) = bytes.get(at..).and_then(|rest| memchr(b'\n', rest)) {
        let next = at + offset + 1;
        match (bytes.get(next), bytes.get(next + 1)) {
            (Some(b'\n'), _) => return Some(next + 1),
            (Some(b'\r'), Some(b'\n')) => return Some(next + 2),
            _ => at = next,
        }
    }
    None
}

/// Parses a complete head (up to and with its empty line).
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Head, Denial> {
    // It may have come in one piece, before anybody counted.
    if bytes.len() > size(limits.head_bytes) {
        return Err(bad("the request head is too long"));
    }
    let mut lines = Lines::of(bytes);
    let line = lines.next()?;
    let (method, target, version) = request_line(bytes, line, limits)?;
    let mut fields = Fields::default();
    let mut count = 0;
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > size(limits.headers_max) {
            return Err(bad("too many header fields"));
        }
        let (name, value) = field(bytes, line)?;
        fields.note(bytes, name, value)?;
    }
    let framing = fields.framing(bytes, version)?;
    fields.check(bytes, slice(bytes, &method), version, framing)?;
    Ok(Head {
        length: lines.at(),
        method,
        target,
        version,
        framing,
        host: fields.host,
        proxy_authorization: fields.proxy_authorization,
        user_agent: fields.user_agent,
    })
}

fn bad(detail: &'static str) -> Denial {
    Denial::new(Code::BadFraming, detail)
}

type RequestLine = (Range<usize>, Range<usize>, Version);

fn request_line(bytes: &[u8], line: Range<usize>, limits: &Limits) -> Result<RequestLine, Denial> {
    let text = slice(bytes, &line);
    let first = text.iter().position(|b| *b == b' ').ok_or_else(|| bad("no request target"))?;
    let last = text.iter().rposition(|b| *b == b' ').unwrap_or(first);
    if last == first {
        return Err(bad("no protocol version"));
    }
    let (start, method) = (line.start, line.start..line.start + first);
    let target = start + first + 1..start + last;
    let version = match text.get(last + 1..) {
        Some(b"HTTP/1.1") => Version::Http11,
        Some(b"HTTP/1.0") => Version::Http10,
        _ => return Err(bad("the protocol version is not HTTP/1.1 or HTTP/1.0")),
    };
    check_method(slice(bytes, &method))?;
    check_target(slice(bytes, &target), limits)?;
    Ok((method, target, version))
}

/// Methods are tokens; ours are upper case, because `get` is not GET and no API means it.
pub(crate) fn check_method(method: &[u8]) -> Result<(), Denial> {
    if method.is_empty() || method.len() > 32 || !method.iter().all(|b| is_token(*b)) {
        return Err(bad("the method is not a token"));
    }
    if method.iter().any(u8::is_ascii_lowercase) {
        return Err(bad("methods are written in upper case"));
    }
    Ok(())
}

fn check_target(target: &[u8], limits: &Limits) -> Result<(), Denial> {
    if target.is_empty() {
        return Err(bad("the request target is empty"));
    }
    if target.len() > size(limits.target_bytes) {
        return Err(bad("the request target is too long"));
    }
    let wrong = |b: &u8| *b <= b' ' || *b >= 0x7f || *b == b'#';
    if target.iter().any(wrong) {
        return Err(Denial::new(
            Code::PathNotCanonical,
            "the request target has a space, a control byte, a fragment or a byte above 0x7e",
        ));
    }
    Ok(())
}

/// The fields that decide how the message is framed and where it goes.
#[derive(Default)]
struct Fields {
    host: Option<Range<usize>>,
    length: Option<Range<usize>>,
    coding: Option<Range<usize>>,
    proxy_authorization: Option<Range<usize>>,
    user_agent: Option<Range<usize>>,
    upgrade: Option<Range<usize>>,
}

impl Fields {
    fn note(
        &mut self,
        bytes: &[u8],
        name: Range<usize>,
        value: Range<usize>,
    ) -> Result<(), Denial> {
        let text = slice(bytes, &name);
        let once = |slot: &mut Option<Range<usize>>, detail: &'static str| match slot
            .replace(value.clone())
        {
            None => Ok(()),
            Some(_) => Err(bad(detail)),
        };
        match text.len() {
            4 if text.eq_ignore_ascii_case(b"host") => once(&mut self.host, "two Host fields"),
            14 if text.eq_ignore_ascii_case(b"content-length") => {
                once(&mut self.length, "two Content-Length fields")
            }
            17 if text.eq_ignore_ascii_case(b"transfer-encoding") => {
                once(&mut self.coding, "two Transfer-Encoding fields")
            }
            19 if text.eq_ignore_ascii_case(b"proxy-authorization") => {
                once(&mut self.proxy_authorization, "two Proxy-Authorization fields")
            }
            7 if text.eq_ignore_ascii_case(b"upgrade") => {
                once(&mut self.upgrade, "two Upgrade fields")
            }
            10 if text.eq_ignore_ascii_case(b"user-agent") => {
                self.user_agent = Some(value);
                Ok(())
            }
            10 if text.eq_ignore_ascii_case(b"connection") => {
                check_connection(slice(bytes, &value))
            }
            6 if text.eq_ignore_ascii_case(b"expect") => check_expect(slice(bytes, &value)),
            _ => Ok(()),
        }
    }

    fn framing(&self, bytes: &[u8], version: Version) -> Result<Framing, Denial> {
        match (&self.length, &self.coding) {
            (Some(_), Some(_)) => Err(bad("both Content-Length and Transfer-Encoding")),
            (None, None) => Ok(Framing::None),
            (Some(length), None) => match content_length(slice(bytes, length))? {
                0 => Ok(Framing::None),
                n => Ok(Framing::Length(n)),
            },
            (None, Some(_)) if version == Version::Http10 => {
                Err(bad("Transfer-Encoding in an HTTP/1.0 message"))
            }
            (None, Some(coding)) if slice(bytes, coding).eq_ignore_ascii_case(b"chunked") => {
                Ok(Framing::Chunked)
            }
            (None, Some(_)) => Err(bad("a Transfer-Encoding other than `chunked`")),
        }
    }

    fn check(
        &self,
        bytes: &[u8],
        method: &[u8],
        version: Version,
        framing: Framing,
    ) -> Result<(), Denial> {
        if matches!(method, b"TRACE" | b"TRACK") {
            return Err(bad("TRACE would send the injected credential back"));
        }
        if self.host.is_none() && version == Version::Http11 {
            return Err(bad("no Host field"));
        }
        if self.host.as_ref().is_some_and(|h| slice(bytes, h).is_empty()) {
            return Err(bad("the Host field is empty"));
        }
        if self.upgrade.is_some() && framing != Framing::None {
            return Err(bad("an upgrade request with a body"));
        }
        if method == b"CONNECT" && framing != Framing::None {
            return Err(bad("a CONNECT request with a body"));
        }
        Ok(())
    }
}

/// Pingora takes away what the options name, and refuses a request without Host when it is connected.
fn check_connection(text: &[u8]) -> Result<(), Denial> {
    for option in text.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
        if !option.iter().all(|b| is_token(*b)) {
            return Err(bad("a Connection option is not a token"));
        }
        if option.eq_ignore_ascii_case(b"host") {
            return Err(bad("a Connection option names Host"));
        }
    }
    Ok(())
}

fn check_expect(text: &[u8]) -> Result<(), Denial> {
    if text.eq_ignore_ascii_case(b"100-continue") {
        Ok(())
    } else {
        Err(bad("an expectation other than `100-continue`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Head, Denial> {
        parse(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn a_plain_head_is_read() {
        let text = "POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nProxy-Authorization: Bearer x \r\n\r\nbody";
        let head = read(text).unwrap();
        assert_eq!(slice(text.as_bytes(), &head.method), b"POST");
        assert_eq!(slice(text.as_bytes(), &head.target), b"/a?b");
        assert_eq!(head.framing, Framing::Length(12));
        assert_eq!(slice(text.as_bytes(), &head.proxy_authorization.unwrap()), b"Bearer x");
        assert_eq!(head.length, text.len() - 4);
        assert_eq!(end(text.as_bytes(), 0), Some(text.len() - 4));
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for (line, fields) in [
            ("GET / HTTP/1.1", ""),
            ("GET / HTTP/1.1", "Host: h\r\nHost: h\r\n"),
            ("GET / HTTP/1.1", "Host:\r\n"),
            ("GET  / HTTP/1.1", "Host: h\r\n"),
            ("GET / HTTP/1.2", "Host: h\r\n"),
            ("GET / http/1.1", "Host: h\r\n"),
            ("GET /", "Host: h\r\n"),
            ("get / HTTP/1.1", "Host: h\r\n"),
            ("G@T / HTTP/1.1", "Host: h\r\n"),
            ("TRACE / HTTP/1.1", "Host: h\r\n"),
            ("GET /a b HTTP/1.1", "Host: h\r\n"),
            ("GET /#f HTTP/1.1", "Host: h\r\n"),
            ("GET /é HTTP/1.1", "Host: h\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nContent-Length: 5, 5\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nContent-Length: +5\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nContent-Length: 05\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nContent-Length: 5 6\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nContent-Length:\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nContent-Length: 18446744073709551616\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nTransfer-Encoding: gzip, chunked\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nTransfer-Encoding: chunked;q=1\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nTransfer-Encoding:\x0bchunked\r\n"),
            ("POST / HTTP/1.1", "Host: h\r\nTransfer-Encoding : chunked\r\n"),
            (
                "POST / HTTP/1.1",
                "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            ),
            ("POST / HTTP/1.0", "Host: h\r\nTransfer-Encoding: chunked\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\nA: b\r\n c\r\n"),
            ("GET / HTTP/1.1", " Host: h\r\n"),
            ("GET / HTTP/1.1", "Host: h\nA: b\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\nA b: c\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\n: c\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\nA: b\x00\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\nA: b\rc\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\nExpect: y 100-continue\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\nConnection: a b\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\nConnection: close, HOST\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\nUpgrade: websocket\r\nContent-Length: 3\r\n"),
            ("CONNECT h:1 HTTP/1.1", "Host: h\r\nContent-Length: 3\r\n"),
            ("GET / HTTP/1.1", "Host: h\r\nProxy-Authorization: a\r\nProxy-Authorization: a\r\n"),
        ] {
            let text = format!("{line}\r\n{fields}\r\n");
            assert!(read(&text).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn a_connect_without_host_is_legal_in_http_1_0() {
        assert!(read("CONNECT h:443 HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_arrives() {
        let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nrest";
        for split in 1..text.len() {
            let found = end(&text[..split], 0).or_else(|| end(text, split));
            assert_eq!(found, Some(text.len() - 4));
        }
        assert_eq!(end(b"GET / HTTP/1.1\nHost: h\n\nrest", 0), Some(24));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_reach_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = parse(&bytes, &Limits::default());
            let _ = end(&bytes, 0);
        }
    }
}

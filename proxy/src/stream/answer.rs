//! Reads the head of an upstream's HTTP/1 answer, as strictly as that of a request.
//!
//! What two readers could cut differently ends the exchange: the one behind us may be the one that
//! reads it the other way (RFC 9112 §6.3).

use super::framing::Body;
use super::head::Framing;
use super::lines::{Lines, content_length, field, slice};
use crate::denial::{Code, Denial};

/// Bounds of a head. Upstreams are chosen by the operator, so they may say more than sandboxes.
pub(crate) const HEAD_BYTES_MAX: usize = 256 * 1024;
const FIELDS_MAX: usize = 256;

/// What stands behind the head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Another head: this one was informational.
    Head,
    /// A body whose end is known.
    Body(Body),
    /// A body that ends with the connection.
    ToTheEnd,
    /// Another protocol.
    Switched,
}

/// Whether an answer to the request can have a body at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// HEAD: the answer has the length of a body, and none.
    HeadOnly,
    Whole,
}

/// Reads a whole head, up to and with its empty line.
pub(crate) fn parse(bytes: &[u8], asked: Asked) -> Result<Rest, Denial> {
    read(bytes, asked).map_err(|denial| refused(&denial.detail))
}

/// Why an answer is not passed on.
pub(crate) fn refused(detail: &str) -> Denial {
    Denial::new(Code::UpstreamProtocol, format!("the upstream's answer: {detail}"))
}

fn bad(detail: &'static str) -> Denial {
    Denial::new(Code::UpstreamProtocol, detail)
}

fn read(bytes: &[u8], asked: Asked) -> Result<Rest, Denial> {
    let mut lines = Lines::of(bytes);
    let line = lines.next()?;
    let (is_old, status) = status_line(slice(bytes, &line))?;
    let (mut length, mut coding) = (None, None);
    for count in 0.. {
        let line = lines.next()?;
        if line.is_empty() {
            break;
        }
        if count == FIELDS_MAX {
            return Err(bad("too many header fields"));
        }
        let (name, value) = field(bytes, line)?;
        let name = slice(bytes, &name);
        let slot = match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => &mut length,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => &mut coding,
            _ => continue,
        };
        if slot.replace(slice(bytes, &value)).is_some() {
            return Err(bad("two Content-Length or Transfer-Encoding fields"));
        }
    }
    let rest = framing(length, coding, is_old)?;
    Ok(match status {
        101 => Rest::Switched,
        100..=199 => Rest::Head,
        204 | 304 => Rest::Body(Body::Done),
        _ if asked == Asked::HeadOnly => Rest::Body(Body::Done),
        _ => rest,
    })
}

/// Whether the version is 1.0, and the status.
fn status_line(line: &[u8]) -> Result<(bool, u16), Denial> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or_else(|| bad("it does not begin as HTTP/1"))?;
    let (is_old, rest) = match rest {
        [b'1', b' ', rest @ ..] => (false, rest),
        [b'0', b' ', rest @ ..] => (true, rest),
        _ => return Err(bad("the protocol version is not HTTP/1.1 or HTTP/1.0")),
    };
    // Many servers leave the blank in front of an empty reason out; nothing else reads it.
    let (digits, reason) = match rest {
        [a, b, c] => ([*a, *b, *c], &[][..]),
        [a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err(bad("the status is not a number of three digits")),
    };
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(digits, [b'1'..=b'5', ..]) {
        return Err(bad("the status is not one of HTTP"));
    }
    if reason.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) {
        return Err(bad("the reason has a control byte"));
    }
    let status = digits.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
    Ok((is_old, status))
}

fn framing(length: Option<&[u8]>, coding: Option<&[u8]>, is_old: bool) -> Result<Rest, Denial> {
    match (length, coding) {
        (Some(_), Some(_)) => Err(bad("both Content-Length and Transfer-Encoding")),
        (None, None) => Ok(Rest::ToTheEnd),
        (Some(length), None) => Ok(Rest::Body(match content_length(length)? {
            0 => Body::Done,
            n => Body::Length(n),
        })),
        (None, Some(_)) if is_old => Err(bad("Transfer-Encoding in an HTTP/1.0 message")),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Rest::Body(Body::from(Framing::Chunked)))
        }
        (None, Some(_)) => Err(bad("a Transfer-Encoding other than `chunked`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(text: &str, asked: Asked) -> Rest {
        parse(text.as_bytes(), asked).unwrap()
    }

    #[test]
    fn what_stands_behind_an_answers_head() {
        let chunked = Rest::Body(Body::from(Framing::Chunked));
        let none = Rest::Body(Body::Done);
        for (text, whole, head_only) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Rest::Body(Body::Length(5)), none),
            ("HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", none, none),
            ("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", chunked, none),
            ("HTTP/1.1 200 \r\n\r\n", Rest::ToTheEnd, none),
            ("HTTP/1.0 200 r\u{e9}ason\tx\r\nX: \u{e9}\r\n\r\n", Rest::ToTheEnd, none),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", none, none),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", none, none),
            ("HTTP/1.1 100 Continue\r\n\r\n", Rest::Head, Rest::Head),
            ("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", Rest::Head, Rest::Head),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Rest::Switched, Rest::Switched),
        ] {
            assert_eq!(rest(text, Asked::Whole), whole, "{text}");
            assert_eq!(rest(text, Asked::HeadOnly), head_only, "{text}");
        }
    }

    #[test]
    fn answers_that_two_readers_could_cut_differently_are_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 204 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n X: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 O\x01K\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 600 OK\r\n\r\n",
            "HTTP/1.1 999 OK\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "http/1.1 200 OK\r\n\r\n",
            " HTTP/1.1 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "<html>\r\n\r\n",
            "\r\n\r\n",
        ] {
            for asked in [Asked::Whole, Asked::HeadOnly] {
                let denial = parse(text.as_bytes(), asked).expect_err(text);
                assert_eq!(denial.code, Code::UpstreamProtocol, "{text:?}");
            }
        }
    }

    #[test]
    fn a_head_may_have_many_fields_but_not_any_number() {
        let text = |fields: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(fields));
        assert_eq!(rest(&text(FIELDS_MAX), Asked::Whole), Rest::ToTheEnd);
        parse(text(FIELDS_MAX + 1).as_bytes(), Asked::Whole).expect_err("one too many");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let text = [b"HTTP/1.1 200 OK\r\n", &bytes[..]].concat();
            let _ = parse(&text, Asked::Whole);
            let _ = parse(&bytes, Asked::Whole);
        }
    }
}

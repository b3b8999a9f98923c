//! The lines of an HTTP/1 message, and the fields in them: what requests, answers and trailers have
//! in common (RFC 9112 §5, RFC 9110 §5).

use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use crate::denial::{Code, Denial};

/// The part of `bytes` that `range` names; empty when it names none.
pub(crate) fn slice<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    bytes.get(range.clone()).unwrap_or_default()
}

/// The lines of a head, one after the other.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes of the lines that were read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// The next line without its CRLF.
    pub(super) fn next(&mut self) -> Result<Range<usize>, Denial> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let lf = memchr(b'\n', rest).ok_or_else(|| bad("a line has no end"))?;
        let cr = lf.checked_sub(1).filter(|i| rest.get(*i) == Some(&b'\r'));
        let cr = cr.ok_or_else(|| bad("a line ends with a bare line feed"))?;
        let line = self.at..self.at + cr;
        self.at += lf + 1;
        Ok(line)
    }
}

/// Name and value of the field in a line.
pub(super) fn field(
    bytes: &[u8],
    line: Range<usize>,
) -> Result<(Range<usize>, Range<usize>), Denial> {
    let text = slice(bytes, &line);
    if matches!(text.first(), Some(b' ' | b'\t')) {
        return Err(bad("a header field is folded over two lines"));
    }
    let colon = memchr(b':', text).ok_or_else(|| bad("a header field has no colon"))?;
    let name = slice(text, &(0..colon));
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return Err(bad("a header field name is not a token"));
    }
    let value = slice(text, &(colon + 1..text.len()));
    // No early exit: whole blocks are looked at in a few instructions.
    let is_control = |b: u8| ((b < b' ') & (b != b'\t')) | (b == 0x7f);
    if value.iter().fold(false, |found, b| found | is_control(*b)) {
        return Err(bad("a header field value has a control byte"));
    }
    let lead = value.iter().take_while(|b| is_blank(**b)).count();
    let tail = value.iter().rev().take_while(|b| is_blank(**b)).count();
    let start = line.start + colon + 1 + lead;
    Ok((line.start..line.start + colon, start..(line.end - tail).max(start)))
}

/// A length as it may be written: a number without sign, padding or list.
pub(super) fn content_length(text: &[u8]) -> Result<u64, Denial> {
    let digits = !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit);
    let padded = text.len() > 1 && text.first() == Some(&b'0');
    if !digits || padded {
        return Err(bad("the Content-Length is not a plain number"));
    }
    Ok(text.iter().fold(0, |n, b| n * 10 + u64::from(b - b'0')))
}

/// Reads a trailer section with its empty line.
pub(crate) fn trailers(bytes: &[u8]) -> Result<HeaderMap, Denial> {
    let mut lines = Lines::of(bytes);
    let mut fields = HeaderMap::new();
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = field(bytes, line)?;
        let name = HeaderName::from_bytes(slice(bytes, &name));
        let value = HeaderValue::from_bytes(slice(bytes, &value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(bad("a trailer field cannot be read"));
        };
        fields.append(name, value);
    }
}

fn bad(detail: &'static str) -> Denial {
    Denial::new(Code::BadFraming, detail)
}

const fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

pub(super) fn is_token(b: u8) -> bool {
    TOKEN.get(usize::from(b)).copied().unwrap_or_default()
}

/// Looked up instead of compared with every range.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, in bounds")]
        {
            table[byte as usize] = is_token_byte(byte);
        }
        byte += 1;
    }
    table
};

/// RFC 9110 §5.6.2.
const fn is_token_byte(b: u8) -> bool {
    matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

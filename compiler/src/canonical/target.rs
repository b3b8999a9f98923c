//! Request targets in origin form: the path percent-normalised, the query byte for byte.
//!
//! Path: escapes of unreserved characters are decoded, hex digits are upper case, and characters
//! that no URI may hold raw but that clients send (`"<>[]^`\``{|}`) are escaped. What some server
//! reads as a way up or a way around (`..`, `;`-suffixed dots, `\`, control bytes) is refused.

use std::borrow::Cow;

/// A canonical request target. Borrowed, without allocation, when the input was canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    raw: Cow<'a, str>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    path_bytes: usize,
    encoded_slash: bool,
    empty_segment: bool,
}

impl Target<'_> {
    /// Begins with `/`.
    #[inline]
    pub fn path(&self) -> &str {
        self.raw.get(..self.shape.path_bytes).unwrap_or_default()
    }

    /// Without the `?`; `Some("")` when the target ends in it.
    #[inline]
    pub fn query(&self) -> Option<&str> {
        self.raw.get(self.shape.path_bytes + 1..)
    }

    #[inline]
    pub fn has_encoded_slash(&self) -> bool {
        self.shape.encoded_slash
    }

    /// Whether `//` is in the path. A trailing slash alone is no empty segment.
    #[inline]
    pub fn has_empty_segment(&self) -> bool {
        self.shape.empty_segment
    }

    pub fn into_owned(self) -> Target<'static> {
        Target { raw: Cow::Owned(self.raw.into_owned()), shape: self.shape }
    }

    /// The bytes to send.
    pub fn to_path_and_query(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.raw)
    }
}

/// Why bytes are not a request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the request target does not begin with `/`")]
    NotOriginForm,
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
    #[error("the request target holds a byte that no request target may hold")]
    Byte,
    #[error("the path holds an escape of a control byte or of `\\`")]
    EscapedByte,
    #[error("a `%` is not followed by two hex digits")]
    Escape,
    #[error("the request target has a fragment")]
    Fragment,
}

impl PathError {
    /// Stable: part of the interface.
    pub fn code(self) -> &'static str {
        "path_not_canonical"
    }
}

/// Reads a request target in origin form.
pub fn target(input: &[u8]) -> Result<Target<'_>, PathError> {
    if let Some(shape) = scan(input)? {
        let raw = str::from_utf8(input).map_err(|_| PathError::Byte)?;
        return Ok(Target { raw: Cow::Borrowed(raw), shape });
    }
    let rewritten = rewrite(input)?;
    // INVARIANT: what `rewrite` makes is canonical; `scan` then finds nothing more to rewrite.
    let shape = scan(&rewritten)?.ok_or(PathError::Escape)?;
    let raw = String::from_utf8(rewritten).map_err(|_| PathError::Byte)?;
    Ok(Target { raw: Cow::Owned(raw), shape })
}

/// What a byte means in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Percent,
    /// Sent raw by clients, though no URI may hold it.
    Escape,
    Fragment,
    Refuse,
}

static CLASSES: [Class; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a miss is an error")]
const fn classes() -> [Class; 256] {
    let mut classes = [Class::Refuse; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => Class::Plain,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' => Class::Plain,
            b';' | b'=' | b':' | b'@' | b'.' | b'/' => Class::Plain,
            b'%' => Class::Percent,
            b'#' => Class::Fragment,
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => Class::Escape,
            _ => Class::Refuse,
        };
        byte += 1;
    }
    classes
}

#[inline]
fn class(byte: u8) -> Class {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Refuse)
}

/// The shape of a canonical target, or `None` when it must be rewritten first.
fn scan(input: &[u8]) -> Result<Option<Shape>, PathError> {
    if input.first() != Some(&b'/') {
        return Err(PathError::NotOriginForm);
    }
    let path_bytes = memchr::memchr(b'?', input).unwrap_or(input.len());
    let (path, query) = input.split_at_checked(path_bytes).unwrap_or((input, &[]));
    let mut shape = Shape { path_bytes, encoded_slash: false, empty_segment: false };
    if chunks::any(path, chunks::has_special) && !scan_special(path, &mut shape)? {
        return Ok(None);
    }
    check_query(query.get(1..).unwrap_or_default())?;
    if shape.encoded_slash || chunks::any_pair(path, chunks::has_dot_or_slash_after_slash) {
        shape.empty_segment = path.windows(2).any(|pair| pair == b"//");
        if has_dot_segment(path) {
            return Err(PathError::DotSegment);
        }
    }
    Ok(Some(shape))
}

/// Looks at a path with other bytes than plain ones. False: it must be rewritten first.
fn scan_special(path: &[u8], shape: &mut Shape) -> Result<bool, PathError> {
    for (at, &byte) in path.iter().enumerate() {
        match class(byte) {
            Class::Plain => {}
            Class::Percent => match escape(path.get(at + 1..at + 3))? {
                Escape::Keep(value) => shape.encoded_slash |= value == b'/',
                Escape::Rewrite(_) => return Ok(false),
            },
            Class::Escape => return Ok(false),
            Class::Fragment => return Err(PathError::Fragment),
            Class::Refuse => return Err(PathError::Byte),
        }
    }
    Ok(true)
}

/// Questions about all bytes of a text, sixteen at a time: written so that the compiler makes
/// vector instructions of them. Nearly every target is canonical as it comes, and this is what
/// finding that out costs.
mod chunks {
    const WIDTH: usize = 16;
    type Chunk = [u8; WIDTH];

    pub(super) fn any(bytes: &[u8], test: impl Fn(&Chunk) -> bool) -> bool {
        let (chunks, rest) = bytes.as_chunks::<WIDTH>();
        if chunks.iter().any(&test) {
            return true;
        }
        match bytes.last_chunk() {
            // Looks at some bytes twice, which costs less than looking at the last ones singly.
            Some(last) => test(last),
            None => test(&padded(rest)),
        }
    }

    /// For every two adjacent bytes.
    pub(super) fn any_pair(bytes: &[u8], test: impl Fn(&Chunk, &Chunk) -> bool) -> bool {
        let (Some((_, after)), Some((_, before))) = (bytes.split_first(), bytes.split_last())
        else {
            return false;
        };
        let (firsts, rest) = before.as_chunks::<WIDTH>();
        let (seconds, rest_after) = after.as_chunks::<WIDTH>();
        if firsts.iter().zip(seconds).any(|(first, second)| test(first, second)) {
            return true;
        }
        match (before.last_chunk(), after.last_chunk()) {
            (Some(first), Some(second)) => test(first, second),
            _ => test(&padded(rest), &padded(rest_after)),
        }
    }

    fn padded(bytes: &[u8]) -> Chunk {
        let mut chunk = [b'a'; WIDTH];
        for (to, from) in chunk.iter_mut().zip(bytes) {
            *to = *from;
        }
        chunk
    }

    /// Whether any byte is not [`Class::Plain`].
    pub(super) fn has_special(chunk: &Chunk) -> bool {
        !chunk.iter().fold(true, |all, byte| all & is_plain(*byte))
    }

    /// The same as the table says, without a lookup.
    fn is_plain(byte: u8) -> bool {
        let one =
            (byte == b'!') | (byte == b'$') | (byte == b'=') | (byte == b'_') | (byte == b'~');
        let symbol_or_digit = byte.wrapping_sub(b'&') <= b';' - b'&';
        let upper = byte.wrapping_sub(b'@') <= b'Z' - b'@';
        let lower = byte.wrapping_sub(b'a') <= b'z' - b'a';
        one | symbol_or_digit | upper | lower
    }

    pub(super) fn has_dot_or_slash_after_slash(first: &Chunk, second: &Chunk) -> bool {
        let pairs = first.iter().zip(second);
        pairs.fold(false, |any, (a, b)| any | ((*a == b'/') & ((*b == b'.') | (*b == b'/'))))
    }

    /// Whether any byte may not stand in a query.
    pub(super) fn has_no_query_byte(chunk: &Chunk) -> bool {
        let refused = |byte: u8| (byte.wrapping_sub(b'!') > b'~' - b'!') | (byte == b'#');
        chunk.iter().fold(false, |any, byte| any | refused(*byte))
    }

    #[cfg(test)]
    #[test]
    fn plain_is_what_the_table_calls_plain() {
        for byte in 0..=255 {
            let class = super::class(byte);
            assert_eq!(is_plain(byte), matches!(class, super::Class::Plain), "{byte:#x}");
        }
    }
}

enum Escape {
    /// Canonical as it is; stands for this byte.
    Keep(u8),
    /// Stands for this byte, and is to be written otherwise.
    Rewrite(u8),
}

fn escape(digits: Option<&[u8]>) -> Result<Escape, PathError> {
    let &[high, low] = digits.unwrap_or_default() else { return Err(PathError::Escape) };
    let (Some(h), Some(l)) = (hex(high), hex(low)) else { return Err(PathError::Escape) };
    let value = h << 4 | l;
    match value {
        0..=0x1f | 0x7f | b'\\' => Err(PathError::EscapedByte),
        _ if is_unreserved(value) => Ok(Escape::Rewrite(value)),
        _ if high.is_ascii_lowercase() || low.is_ascii_lowercase() => Ok(Escape::Rewrite(value)),
        _ => Ok(Escape::Keep(value)),
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The query is data for the upstream alone; only what would end the request line is refused.
fn check_query(query: &[u8]) -> Result<(), PathError> {
    match chunks::any(query, chunks::has_no_query_byte) {
        false => Ok(()),
        true if query.contains(&b'#') => Err(PathError::Fragment),
        true => Err(PathError::Byte),
    }
}

/// Whether some server would read a segment as `.` or `..`: also before `;`, where servers cut
/// parameters off, and between encoded slashes, which servers may decode.
fn has_dot_segment(path: &[u8]) -> bool {
    let path = str::from_utf8(path).unwrap_or_default();
    path.split('/').flat_map(|segment| segment.split("%2F")).any(|piece| {
        let name = piece.split(';').next().unwrap_or(piece);
        let name = name.split("%3B").next().unwrap_or(name);
        matches!(name, "." | "..")
    })
}

fn rewrite(input: &[u8]) -> Result<Vec<u8>, PathError> {
    let path_bytes = memchr::memchr(b'?', input).unwrap_or(input.len());
    let (path, query) = input.split_at_checked(path_bytes).unwrap_or((input, &[]));
    let mut out = Vec::with_capacity(input.len() + 16);
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        match class(byte) {
            Class::Percent => {
                let (Escape::Keep(value) | Escape::Rewrite(value)) =
                    escape(path.get(at + 1..at + 3))?;
                if is_unreserved(value) {
                    out.push(value)
                } else {
                    push_escaped(&mut out, value)
                }
                at += 2;
            }
            Class::Escape => push_escaped(&mut out, byte),
            Class::Plain => out.push(byte),
            Class::Fragment => return Err(PathError::Fragment),
            Class::Refuse => return Err(PathError::Byte),
        }
        at += 1;
    }
    out.extend_from_slice(query);
    Ok(out)
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    let digit = |value: u8| match value {
        0..=9 => b'0' + value,
        _ => b'A' + value - 10,
    };
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (input, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/%41%2d%7e", "/A-~"),
            ("/%c3%bc", "/%C3%BC"),
            ("/a%2fb", "/a%2Fb"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/v1;x", "/v1;x"),
            ("/a|b{c}", "/a%7Cb%7Bc%7D"),
            ("/a%7cb", "/a%7Cb"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/a..", "/a.."),
            ("/a?x=%41&y=/../%zz", "/a?x=%41&y=/../%zz"),
            ("/%61?", "/a?"),
            ("//a//", "//a//"),
        ] {
            let target = target(input.as_bytes()).unwrap_or_else(|e| panic!("{input}: {e}"));
            assert_eq!(target.to_path_and_query(), expected, "{input}");
            let borrowed = matches!(target.raw, Cow::Borrowed(_));
            assert_eq!(borrowed, input == expected, "{input}");
        }
    }

    #[test]
    fn a_target_with_two_readings_is_refused() {
        for (input, expected) in [
            ("", PathError::NotOriginForm),
            ("*", PathError::NotOriginForm),
            ("a", PathError::NotOriginForm),
            ("@evil/x", PathError::NotOriginForm),
            ("\\x", PathError::NotOriginForm),
            ("https://a.test/", PathError::NotOriginForm),
            ("?x", PathError::NotOriginForm),
            ("/..", PathError::DotSegment),
            ("/.", PathError::DotSegment),
            ("/a/../b", PathError::DotSegment),
            ("/a/./b", PathError::DotSegment),
            ("/a/..?x", PathError::DotSegment),
            ("/%2e%2e/b", PathError::DotSegment),
            ("/%2E./b", PathError::DotSegment),
            ("/.%2e", PathError::DotSegment),
            ("/..;/b", PathError::DotSegment),
            ("/..;a=b/b", PathError::DotSegment),
            ("/..%3b/b", PathError::DotSegment),
            ("/..%2fb", PathError::DotSegment),
            ("/a%2f..%2fb", PathError::DotSegment),
            ("/a%2F.", PathError::DotSegment),
            ("/a\\b", PathError::Byte),
            ("/a b", PathError::Byte),
            ("/a\0", PathError::Byte),
            ("/a\x7f", PathError::Byte),
            ("/ü", PathError::Byte),
            ("/a?b c", PathError::Byte),
            ("/a?ü", PathError::Byte),
            ("/a?\r\n", PathError::Byte),
            ("/%00", PathError::EscapedByte),
            ("/%0a", PathError::EscapedByte),
            ("/%7F", PathError::EscapedByte),
            ("/%5c", PathError::EscapedByte),
            ("/..%5c", PathError::EscapedByte),
            ("/%", PathError::Escape),
            ("/%4", PathError::Escape),
            ("/%zz", PathError::Escape),
            ("/%4?1", PathError::Escape),
            ("/%+1", PathError::Escape),
            ("/a#b", PathError::Fragment),
            ("/a?b#c", PathError::Fragment),
        ] {
            assert_eq!(target(input.as_bytes()), Err(expected), "{input:?}");
        }
    }

    #[test]
    fn encoded_slashes_and_empty_segments_are_seen() {
        for (input, encoded, empty) in [
            ("/a/b/", false, false),
            ("/a%2fb", true, false),
            ("/a%2Fb?c=//", true, false),
            ("/a//b", false, true),
            ("//", false, true),
            ("/a?b=%2f", false, false),
        ] {
            let target = target(input.as_bytes()).unwrap();
            let seen = (target.has_encoded_slash(), target.has_empty_segment());
            assert_eq!(seen, (encoded, empty), "{input}");
        }
    }

    #[test]
    fn path_and_query_are_split_at_the_first_question_mark() {
        for (input, path, query) in [
            ("/a", "/a", None),
            ("/a?", "/a", Some("")),
            ("/a?b?c", "/a", Some("b?c")),
            ("/%61?%61", "/a", Some("%61")),
        ] {
            let target = target(input.as_bytes()).unwrap();
            assert_eq!((target.path(), target.query()), (path, query), "{input}");
            assert_eq!(target.clone().into_owned(), target, "{input}");
        }
    }

    proptest! {
        #[test]
        fn canonicalising_twice_changes_nothing(input in "/([a-z./%;?{|-]|%[0-9a-fA-F]{2}){0,24}") {
            if let Ok(once) = target(input.as_bytes()) {
                let text = once.to_path_and_query().into_owned();
                let twice = target(text.as_bytes()).expect("canonical");
                prop_assert_eq!(&*twice.to_path_and_query(), &text);
                prop_assert!(matches!(twice.raw, Cow::Borrowed(_)));
                prop_assert_eq!(twice.shape, once.shape);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(input: Vec<u8>) {
            let _ = target(&input);
        }
    }
}

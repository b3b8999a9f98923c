//! Tokens of the GraphQL language (specification, October 2021, section 2.1).

use super::super::Unreadable;

/// A token, as far as selections need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Name(&'t str),
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Mark(u8),
    /// `...`
    Spread,
    /// A number or a string.
    Literal,
}

const BROKEN: Unreadable = Unreadable("the query is not GraphQL");

/// Splits a document into tokens.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    /// Line separators that only some lexers know would end a comment for those, and not here.
    pub(super) fn new(text: &'t str) -> Result<Self, Unreadable> {
        let odd = |c: char| match c {
            '\t' | '\n' | '\r' => false,
            '\u{85}' | '\u{2028}' | '\u{2029}' => true,
            other => other.is_control(),
        };
        if text.chars().any(odd) { Err(BROKEN) } else { Ok(Self { text, at: 0 }) }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'t>>, Unreadable> {
        self.skip_ignored();
        let rest = self.rest();
        let Some(first) = rest.bytes().next() else { return Ok(None) };
        let (token, length) = match first {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|'
            | b'}' => (Token::Mark(first), 1),
            b'.' if rest.starts_with("...") => (Token::Spread, 3),
            b'"' => (Token::Literal, string(rest)?),
            b'-' | b'0'..=b'9' => (Token::Literal, number(rest)?),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                let length = rest.bytes().take_while(|byte| inner(*byte)).count();
                (Token::Name(rest.get(..length).unwrap_or_default()), length)
            }
            _ => return Err(BROKEN),
        };
        self.at += length;
        Ok(Some(token))
    }

    /// White space, commas, byte order marks and comments.
    fn skip_ignored(&mut self) {
        loop {
            let rest = self.rest();
            let ignored = [' ', '\t', '\n', '\r', ',', '\u{feff}'];
            let trimmed = rest.trim_start_matches(ignored);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
        }
    }
}

/// The length of a number; what may not follow one is refused (section 2.9.1).
fn number(text: &str) -> Result<usize, Unreadable> {
    let part = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let length = text.bytes().take_while(|byte| part(*byte)).count();
    let digits = text.bytes().take(length).any(|byte| byte.is_ascii_digit());
    let next = text.as_bytes().get(length).copied();
    let clear = !next.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if digits && clear { Ok(length) } else { Err(BROKEN) }
}

/// The length of a string or block string, with its quotes.
fn string(text: &str) -> Result<usize, Unreadable> {
    if let Some(block) = text.strip_prefix("\"\"\"") {
        return block_string(block).map(|length| length + 3);
    }
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Ok(at + 1),
            b'\n' | b'\r' => return Err(BROKEN),
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    Err(BROKEN)
}

/// The length from behind the opening quotes; `\"""` is the only escape.
fn block_string(text: &str) -> Result<usize, Unreadable> {
    let mut from = 0;
    loop {
        let rest = text.get(from..).ok_or(BROKEN)?;
        let at = rest.find("\"\"\"").ok_or(BROKEN)?;
        let before = rest.get(..at).unwrap_or_default();
        if !before.ends_with('\\') {
            return Ok(from + at + 3);
        }
        from += at + 3;
    }
}

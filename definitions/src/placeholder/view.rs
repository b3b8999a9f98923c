//! Bytes as a reader behind us might understand them: escapes of characters that need none, undone.

/// Which escapes a reader undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// None.
    Plain,
    /// `%35`
    Percent,
    /// `\u0035`
    Json,
    /// Either: for what must not be there at all.
    Any,
}

impl Spelling {
    fn has_percent(self) -> bool {
        matches!(self, Self::Percent | Self::Any)
    }

    fn has_json(self) -> bool {
        matches!(self, Self::Json | Self::Any)
    }
}

/// RFC 3986 §2.3: what stands for itself.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// One character, and how many bytes it takes.
enum Unit {
    /// A character that needs no escape.
    Character(u8, usize),
    /// What may become an escape with what comes next.
    Begun,
}

/// The longest escape: `\u0035`.
pub(super) const ESCAPE_BYTES_MAX: usize = 6;

fn unit(bytes: &[u8], spelling: Spelling) -> Option<Unit> {
    let first = *bytes.first()?;
    if spelling.has_json() && bytes.starts_with(br"\\") {
        // An escaped backslash: what follows it is no escape.
        return Some(Unit::Character(first, 2));
    }
    let (lead, digits): (&[u8], _) = match first {
        b'%' if spelling.has_percent() => (b"%", 2),
        b'\\' if spelling.has_json() => (b"\\u00", 2),
        _ => return Some(Unit::Character(first, 1)),
    };
    let there = bytes.len().min(lead.len());
    if bytes.get(..there) != lead.get(..there) {
        return Some(Unit::Character(first, 1));
    }
    let rest = bytes.get(there..).unwrap_or_default();
    let value = rest.iter().take(digits).try_fold(0, |value, byte| {
        let digit = char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok())?;
        Some(value << 4 | digit)
    });
    match value {
        None => Some(Unit::Character(first, 1)),
        Some(_) if there < lead.len() || rest.len() < digits => Some(Unit::Begun),
        Some(value) if is_unreserved(value) => Some(Unit::Character(value, lead.len() + digits)),
        Some(_) => Some(Unit::Character(first, 1)),
    }
}

/// Whether some character is escaped that needs no escape: nearly nothing that clients write has
/// one, and without one the bytes are what they look like.
pub fn has_needless_escape(bytes: &[u8]) -> bool {
    memchr::memchr2_iter(b'%', b'\\', bytes).any(|at| {
        let rest = bytes.get(at..).unwrap_or_default();
        matches!(unit(rest, Spelling::Any), Some(Unit::Character(_, length)) if length > 2)
    })
}

/// Where an escape begins that the end of `bytes` cuts off.
pub(super) fn begun(bytes: &[u8]) -> Option<usize> {
    let from = bytes.len().saturating_sub(ESCAPE_BYTES_MAX - 1);
    (from..bytes.len()).find(|at| {
        let (before, rest) = bytes.split_at_checked(*at).unwrap_or_default();
        let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
        let is_escaped = rest.first() == Some(&b'\\') && backslashes % 2 == 1;
        !is_escaped && matches!(unit(rest, Spelling::Any), Some(Unit::Begun))
    })
}

/// Bytes with their escapes undone, and where each of them came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    bytes: Vec<u8>,
    /// Where the byte begins in what was read; one more for the end.
    origin: Vec<usize>,
}

impl View {
    /// Undoes what `spelling` says. With `Any`, both are undone once: neither is undone in the
    /// result of the other.
    pub fn of(raw: &[u8], spelling: Spelling) -> Self {
        let mut view = Self { bytes: Vec::with_capacity(raw.len()), ..Self::default() };
        let mut at = 0;
        while let Some(unit) = unit(raw.get(at..).unwrap_or_default(), spelling) {
            match unit {
                Unit::Character(byte, length) => {
                    view.bytes.push(byte);
                    view.origin.push(at);
                    at += length;
                }
                // An escape that is not whole is left out.
                Unit::Begun => break,
            }
        }
        view.origin.push(at);
        view
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the byte at `at` begins in what was read.
    pub fn origin(&self, at: usize) -> usize {
        let last = self.origin.last().copied().unwrap_or_default();
        self.origin.get(at).copied().unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &str, spelling: Spelling) -> String {
        String::from_utf8(View::of(raw.as_bytes(), spelling).bytes().to_vec()).unwrap()
    }

    #[test]
    fn escapes_of_what_needs_none_are_undone_and_others_stay() {
        for (raw, percent, json) in [
            ("abc", "abc", "abc"),
            ("%61bc", "abc", "%61bc"),
            (r"\u0061bc", r"\u0061bc", "abc"),
            ("%2D%5f%7E%2e", "-_~.", "%2D%5f%7E%2e"),
            (r"\u002d\u005F", r"\u002d\u005F", "-_"),
            ("%2f%25%00%26", "%2f%25%00%26", "%2f%25%00%26"),
            ("%2561", "%2561", "%2561"),
            (r"\u0022\u005c\n\\u0061", r"\u0022\u005c\n\\u0061", r"\u0022\u005c\n\u0061"),
            (r"\\\u0061", r"\\\u0061", r"\a"),
            ("%zz%6", "%zz", "%zz%6"),
            ("100%", "100", "100%"),
            (r"\u00", r"\u00", ""),
            (r"\u00e4\u0161", r"\u00e4\u0161", r"\u00e4\u0161"),
        ] {
            assert_eq!(text(raw, Spelling::Percent), percent, "{raw}");
            assert_eq!(text(raw, Spelling::Json), json, "{raw}");
            assert_eq!(text(raw, Spelling::Plain), raw, "{raw}");
        }
    }

    #[test]
    fn what_clients_write_has_no_needless_escape() {
        for raw in ["", "a=%20&b=%C3%A4%2F+", r#"{"a":"\"\\\n\u2028\u003c\u0026"}"#, "100 %", "\\"]
        {
            assert!(!has_needless_escape(raw.as_bytes()), "{raw}");
        }
        for raw in ["%61", "a%35", r"\u0035", r"x\u005f", "%2d", "%%35"] {
            assert!(has_needless_escape(raw.as_bytes()), "{raw}");
        }
    }

    #[test]
    fn an_escape_that_is_cut_off_is_seen() {
        for (raw, at) in [
            ("a%", Some(1)),
            ("a%3", Some(1)),
            (r"a\", Some(1)),
            (r"a\u00", Some(1)),
            (r"a\u003", Some(1)),
            (r"\\\u", Some(2)),
            ("", None),
            ("a", None),
            ("a%35", None),
            ("a%z", None),
            (r"\u0035", None),
            (r"\\", None),
            (r"\\u00", None),
            (r"a\n", None),
        ] {
            assert_eq!(begun(raw.as_bytes()), at, "{raw}");
        }
    }

    #[test]
    fn a_byte_knows_where_it_came_from() {
        let view = View::of(br"a%62\u0063d", Spelling::Any);
        assert_eq!(view.bytes(), b"abcd");
        let origins: Vec<usize> = (0..=4).map(|at| view.origin(at)).collect();
        assert_eq!(origins, [0, 1, 4, 10, 11]);
    }
}

//! What a placeholder looks like: a text with parts that are made up, such as
//! `ghp_{alphanumeric:36}`.

use super::key::CODE_BYTES;

/// For credentials whose definition says nothing.
pub const DEFAULT_SHAPE: &str = "sgp_{alphanumeric:40}";

/// A placeholder is not longer than this: it is held back while it comes in pieces.
pub const SHAPE_BYTES_MAX: usize = 512;

/// Whether a variable of this name may hold a placeholder: one that every shell can set, and that
/// does not say where to send requests.
pub fn is_variable(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && name.bytes().all(allowed)
        && !name.to_ascii_lowercase().ends_with("_proxy")
}

/// What a placeholder looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    parts: Vec<Part>,
    /// The index of the part that begins with the code.
    marked: usize,
    length: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Made(Alphabet, usize),
}

/// What a part is made of. All that can hold the code have the hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    Digits,
    Hex,
    Alphanumeric,
    Base64Url,
}

/// Why a text is no shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// A brace that opens or closes no part.
    Brace,
    /// A part with another name.
    Alphabet,
    /// A part without a length, or with length 0.
    Length,
    /// A character that does not stand for itself everywhere.
    Character,
    /// No part that can hold the code.
    Short,
    Long,
}

impl std::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Brace => f.write_str("has a brace that belongs to no part"),
            Self::Alphabet => {
                f.write_str("has parts of `digits`, `hex`, `alphanumeric` and `base64url` only")
            }
            Self::Length => f.write_str("has parts with a length, such as `{alphanumeric:36}`"),
            Self::Character => {
                f.write_str("has other characters than letters, digits and `-._~` in its text")
            }
            Self::Short => write!(
                f,
                "needs a part of `hex`, `alphanumeric` or `base64url` with at least {CODE_BYTES} \
                 characters"
            ),
            Self::Long => write!(f, "is longer than {SHAPE_BYTES_MAX} characters"),
        }
    }
}

impl Alphabet {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "digits" => Self::Digits,
            "hex" => Self::Hex,
            "alphanumeric" => Self::Alphanumeric,
            "base64url" => Self::Base64Url,
            _ => return None,
        })
    }

    fn characters(self) -> &'static [u8] {
        match self {
            Self::Digits => b"0123456789",
            Self::Hex => b"0123456789abcdef",
            Self::Alphanumeric => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            Self::Base64Url => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        }
    }

    fn holds_code(self) -> bool {
        match self {
            Self::Digits => false,
            Self::Hex | Self::Alphanumeric | Self::Base64Url => true,
        }
    }
}

impl Shape {
    /// Reads a shape.
    pub fn parse(text: &str) -> Result<Self, ShapeError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, behind) = after.split_once('}').ok_or(ShapeError::Brace)?;
            if !before.is_empty() {
                parts.push(Part::Text(plain(before)?));
            }
            let (name, length) = inside.split_once(':').ok_or(ShapeError::Length)?;
            let alphabet = Alphabet::parse(name).ok_or(ShapeError::Alphabet)?;
            let length: usize = length.parse().map_err(|_| ShapeError::Length)?;
            match length {
                0 => return Err(ShapeError::Length),
                1..=SHAPE_BYTES_MAX => parts.push(Part::Made(alphabet, length)),
                _ => return Err(ShapeError::Long),
            }
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(plain(rest)?));
        }
        let length = parts.iter().map(Part::len).sum();
        if length > SHAPE_BYTES_MAX {
            return Err(ShapeError::Long);
        }
        let holds = |part: &Part| match part {
            Part::Text(_) => false,
            Part::Made(alphabet, length) => alphabet.holds_code() && *length >= CODE_BYTES,
        };
        let marked = parts.iter().position(holds).ok_or(ShapeError::Short)?;
        Ok(Self { parts, marked, length })
    }

    /// The text, with `code` at the beginning of the part that holds it, and the place of the code.
    /// All else that is made up is chosen by `byte`, which gives the next one of as many as it takes.
    pub(super) fn fill(&self, code: &[u8], mut byte: impl FnMut() -> u8) -> (String, usize) {
        let (mut out, mut code_at) = (Vec::with_capacity(self.length), 0);
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Made(alphabet, length) => {
                    let mut left = *length;
                    if at == self.marked {
                        code_at = out.len();
                        out.extend_from_slice(code);
                        left = left.saturating_sub(code.len());
                    }
                    let characters = alphabet.characters();
                    let pick = |byte: u8| characters.get(usize::from(byte) % characters.len());
                    out.extend((0..left).filter_map(|_| pick(byte())));
                }
            }
        }
        // Made of ASCII alone.
        (String::from_utf8(out).unwrap_or_default(), code_at)
    }
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Made(_, length) => *length,
        }
    }
}

fn plain(text: &str) -> Result<String, ShapeError> {
    if text.contains('}') {
        return Err(ShapeError::Brace);
    }
    match text.bytes().all(super::view::is_unreserved) {
        true => Ok(text.to_owned()),
        false => Err(ShapeError::Character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &[u8] = b"5a11e9a7e000000000000000000000000000";

    fn filled(shape: &str) -> String {
        let mut next = 0u8;
        let byte = || {
            next = next.wrapping_add(37);
            next
        };
        Shape::parse(shape).unwrap().fill(CODE, byte).0
    }

    #[test]
    fn a_shape_is_filled_with_characters_of_its_parts() {
        let is_of = |text: &str, allowed: &str| text.chars().all(|c| allowed.contains(c));
        let token = filled("xoxb-{digits:12}-{alphanumeric:40}");
        let parts: Vec<&str> = token.split('-').collect();
        assert_eq!(parts.len(), 3);
        assert!(parts[1].len() == 12 && is_of(parts[1], "0123456789"), "{token}");
        assert!(parts[2].starts_with(std::str::from_utf8(CODE).unwrap()));
        assert_eq!(parts[2].len(), 40);
        assert_eq!(filled("{hex:36}").as_bytes(), CODE);
        assert_eq!(filled("a.{base64url:36}~b_").len(), 41);
    }

    #[test]
    fn the_default_is_a_shape() {
        assert_eq!(filled(DEFAULT_SHAPE).len(), 44);
    }

    #[test]
    fn what_cannot_be_told_apart_everywhere_is_no_shape() {
        for (text, error) in [
            ("", ShapeError::Short),
            ("ghp_", ShapeError::Short),
            ("{hex:35}", ShapeError::Short),
            ("{digits:40}", ShapeError::Short),
            ("{hex:20}{hex:20}", ShapeError::Short),
            ("{hex}", ShapeError::Length),
            ("{hex:}", ShapeError::Length),
            ("{hex:0}", ShapeError::Length),
            ("{hex:-1}", ShapeError::Length),
            ("{hex:1000}", ShapeError::Long),
            ("{hex:500}{hex:36}", ShapeError::Long),
            ("{HEX:36}", ShapeError::Alphabet),
            ("{:36}", ShapeError::Alphabet),
            ("{hex:36", ShapeError::Brace),
            ("hex:36}", ShapeError::Brace),
            ("a}{hex:36}", ShapeError::Brace),
            ("{{hex:36}}", ShapeError::Alphabet),
            ("a b{hex:36}", ShapeError::Character),
            ("a%{hex:36}", ShapeError::Character),
            ("a/{hex:36}", ShapeError::Character),
            ("ä{hex:36}", ShapeError::Character),
            ("{hex:36}\"", ShapeError::Character),
        ] {
            assert_eq!(Shape::parse(text), Err(error), "{text}");
        }
    }
}

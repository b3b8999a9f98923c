//! Follows a request body through a byte stream, so that its end is known exactly.
//!
//! The bytes themselves are passed on as they are; this only says which of them belong to the
//! message, and refuses chunked coding that another parser could read differently (RFC 9112 §7).

use super::head::Framing;
use crate::denial::{Code, Denial};

/// How much of a chunk extension, or of all trailer fields together, is read before refusing.
const EXTENSION_BYTES_MAX: u16 = 1024;
const TRAILER_BYTES_MAX: u16 = 8192;

/// Where in a message body the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// The message is complete.
    Done,
    /// So many bytes are to come.
    Length(u64),
    /// Inside chunked coding.
    Chunked(Chunked),
}

/// A state of the chunked decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunked {
    Size { value: u64, digits: u8 },
    Extension { value: u64, bytes: u16 },
    SizeLf { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart { bytes: u16 },
    Trailer { bytes: u16 },
    TrailerLf { bytes: u16 },
    EndLf,
}

impl From<Framing> for Body {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Done,
            Framing::Length(n) => Self::Length(n),
            Framing::Chunked => Self::Chunked(Chunked::Size { value: 0, digits: 0 }),
        }
    }
}

/// What of some bytes belongs to a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many of the bytes belong to the message.
    pub(crate) whole: usize,
    /// Where among them its trailer section begins, which ends with the empty line.
    pub(crate) trailers_at: usize,
    /// How many of them are content.
    pub(crate) content: u64,
}

impl Body {
    /// Takes the next bytes of the stream; returns which of them belong to this message.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Taken, Denial> {
        match self {
            Self::Done => Ok(Taken::default()),
            Self::Length(left) => {
                let content = (*left).min(bytes.len() as u64);
                *left -= content;
                if *left == 0 {
                    *self = Self::Done;
                }
                let whole = usize::try_from(content).unwrap_or(bytes.len());
                Ok(Taken { whole, trailers_at: whole, content })
            }
            Self::Chunked(_) => self.take_chunked(bytes),
        }
    }

    fn take_chunked(&mut self, bytes: &[u8]) -> Result<Taken, Denial> {
        let (mut at, mut content) = (0, 0);
        let mut trailers_at = None;
        while let Self::Chunked(state) = self {
            if let Chunked::Data { left } = state {
                let n = (*left).min((bytes.len() - at) as u64);
                *left -= n;
                content += n;
                at += usize::try_from(n).unwrap_or(0);
                if *left > 0 {
                    break;
                }
                *state = Chunked::DataCr;
            }
            if state.is_trailer() {
                trailers_at.get_or_insert(at);
            }
            let Some(byte) = bytes.get(at) else { break };
            at += 1;
            match state.next(*byte)? {
                Some(next) => *state = next,
                None => *self = Self::Done,
            }
        }
        Ok(Taken { whole: at, trailers_at: trailers_at.unwrap_or(at), content })
    }
}

impl Chunked {
    /// Behind the last chunk.
    const fn is_trailer(self) -> bool {
        matches!(
            self,
            Self::TrailerStart { .. } | Self::Trailer { .. } | Self::TrailerLf { .. } | Self::EndLf
        )
    }

    /// The state behind one more byte; `None` behind the last byte of the message.
    fn next(self, byte: u8) -> Result<Option<Self>, Denial> {
        Ok(Some(match (self, byte) {
            (Self::Size { value, digits }, b) if b.is_ascii_hexdigit() => {
                size_digit(value, digits, b)?
            }
            (Self::Size { digits: 0, .. }, _) => return Err(bad("a chunk has no size")),
            (Self::Size { value, .. }, b'\r') => Self::SizeLf { value },
            (Self::Size { value, .. }, b';') => Self::Extension { value, bytes: 0 },
            (Self::Extension { value, .. }, b'\r') => Self::SizeLf { value },
            (Self::Extension { bytes: EXTENSION_BYTES_MAX, .. }, _) => {
                return Err(bad("a chunk extension is too long"));
            }
            (Self::Extension { value, bytes }, b) if is_text(b) => {
                Self::Extension { value, bytes: bytes + 1 }
            }
            (Self::SizeLf { value: 0 }, b'\n') => Self::TrailerStart { bytes: 0 },
            (Self::SizeLf { value }, b'\n') => Self::Data { left: value },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { value: 0, digits: 0 },
            (Self::TrailerStart { .. }, b'\r') => Self::EndLf,
            (Self::TrailerStart { bytes: TRAILER_BYTES_MAX }, _)
            | (Self::Trailer { bytes: TRAILER_BYTES_MAX }, _) => {
                return Err(bad("the trailer fields are too long"));
            }
            (Self::TrailerStart { .. }, b' ' | b'\t') => {
                return Err(bad("a trailer field is folded"));
            }
            (Self::TrailerStart { bytes }, b) if is_text(b) => Self::Trailer { bytes: bytes + 1 },
            (Self::Trailer { bytes }, b'\r') => Self::TrailerLf { bytes },
            (Self::Trailer { bytes }, b) if is_text(b) => Self::Trailer { bytes: bytes + 1 },
            (Self::TrailerLf { bytes }, b'\n') => Self::TrailerStart { bytes },
            (Self::EndLf, b'\n') => return Ok(None),
            _ => return Err(bad("the chunked coding is malformed")),
        }))
    }
}

fn size_digit(value: u64, digits: u8, byte: u8) -> Result<Chunked, Denial> {
    let padded = digits == 1 && value == 0;
    if digits == 15 || padded {
        return Err(bad("a chunk size is not a plain hexadecimal number"));
    }
    let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
    Ok(Chunked::Size { value: value * 16 + digit, digits: digits + 1 })
}

const fn is_text(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

fn bad(detail: &'static str) -> Denial {
    Denial::new(Code::BadFraming, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunked() -> Body {
        Body::from(Framing::Chunked)
    }

    /// The body in pieces of `step` bytes: how many bytes belong to it, or why it was refused.
    fn run(text: &[u8], step: usize) -> Result<(usize, bool), Denial> {
        let (mut body, mut total) = (chunked(), 0);
        for piece in text.chunks(step) {
            let n = body.take(piece)?.whole;
            total += n;
            if n < piece.len() {
                break;
            }
        }
        Ok((total, body == Body::Done))
    }

    #[test]
    fn a_chunked_body_ends_where_it_ends_in_pieces_of_any_size() {
        let text =
            b"5\r\nhello\r\n1a;name=value\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX: y\r\n\r\nGET /";
        for step in 1..text.len() {
            assert_eq!(run(text, step).unwrap(), (text.len() - 5, true), "step {step}");
        }
    }

    #[test]
    fn the_trailer_section_is_told_apart_in_pieces_of_any_size() {
        let text = b"5\r\nhello\r\n0\r\nX: y\r\nZ: w\r\n\r\nGET /";
        for step in 1..text.len() {
            let (mut body, mut section, mut content) = (chunked(), Vec::new(), 0);
            for piece in text.chunks(step) {
                let taken = body.take(piece).unwrap();
                section.extend_from_slice(&piece[taken.trailers_at..taken.whole]);
                content += taken.content;
            }
            assert_eq!(section, b"X: y\r\nZ: w\r\n\r\n", "step {step}");
            assert_eq!(content, 5, "step {step}");
        }
    }

    #[test]
    fn chunks_that_could_be_read_differently_are_refused() {
        for text in [
            "0x5\r\nhello\r\n",
            "+5\r\n",
            " 5\r\n",
            "5 \r\n",
            "5_\r\n",
            "00005\r\nhello\r\n",
            "\r\n",
            "5\nhello\r\n",
            "5;a\nhello\r\n",
            "5\r\nhello\n",
            "5\r\nhello\r\r",
            "5\r\nhelloX\r\n",
            "1234567890abcdef1\r\n",
            "0\r\n X: y\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n\n",
            "g\r\n",
        ] {
            assert!(run(text.as_bytes(), 1).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn a_length_counts_down_and_leaves_the_rest() {
        let mut body = Body::from(Framing::Length(5));
        assert_eq!(body.take(b"hel").unwrap().whole, 3);
        assert_eq!(body.take(b"loGET").unwrap().whole, 2);
        assert_eq!(body, Body::Done);
    }

    proptest! {
        #[test]
        fn splitting_never_changes_the_answer(
            text in proptest::collection::vec(prop_oneof![Just(b'0'), Just(b'5'), Just(b'\r'), Just(b'\n'), Just(b';'), Just(b'a')], 0..40),
            step in 1usize..8,
        ) {
            let whole = run(&text, text.len().max(1)).map_err(|d| d.detail);
            let split = run(&text, step).map_err(|d| d.detail);
            prop_assert_eq!(whole.is_ok(), split.is_ok());
            if let (Ok(a), Ok(b)) = (whole, split) { prop_assert_eq!(a, b); }
        }
    }
}

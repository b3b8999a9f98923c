//! The HTTP/1 message that is being read: which of its bytes may be handed out, and its trailers.

use bytes::{Buf, BytesMut};
use http::HeaderMap;
use tokio::io::ReadBuf;

use super::framing::Body;
use super::lines;
use crate::denial::Denial;

/// Where in a message its reader stands.
#[derive(Debug)]
pub(crate) struct Message {
    body: Body,
    /// So many bytes at the front of the buffer were looked at and may be handed out.
    cleared: usize,
    /// The trailer section, as far as it came. The body goes on without it.
    section: Vec<u8>,
}

/// What was found among some bytes.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    /// Bytes that belong to the message.
    pub(crate) whole: usize,
    /// Bytes of content among them.
    pub(crate) content: u64,
    /// The trailers, when the message ended with some.
    pub(crate) trailers: Option<HeaderMap>,
}

impl Message {
    /// A message whose head is the first `head` bytes of the buffer.
    pub(crate) const fn new(head: usize, body: Body) -> Self {
        Self { body, cleared: head, section: Vec::new() }
    }

    /// No message, or the end of one.
    pub(crate) const fn none() -> Self {
        Self::new(0, Body::Done)
    }

    /// Whether it was handed out to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.cleared == 0 && self.is_read()
    }

    /// Whether it came to its end.
    pub(crate) fn is_read(&self) -> bool {
        self.body == Body::Done
    }

    /// Whether the reader's next bytes were looked at already.
    pub(crate) fn is_cleared(&self) -> bool {
        self.cleared > 0
    }

    /// Hands out what was looked at already.
    pub(crate) fn hand_out(&mut self, inbuf: &mut BytesMut, buf: &mut ReadBuf<'_>) {
        let n = self.cleared.min(buf.remaining()).min(inbuf.len());
        self.cleared -= n;
        buf.put_slice(inbuf.get(..n).unwrap_or_default());
        inbuf.advance(n);
    }

    /// Looks at the bytes in `buf` behind the first `before`. What belongs to the body stays, what
    /// lies behind the message is put back in front of `inbuf`, and the trailers are kept apart.
    pub(crate) fn sift(
        &mut self,
        inbuf: &mut BytesMut,
        buf: &mut ReadBuf<'_>,
        before: usize,
    ) -> Result<Sifted, Denial> {
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let taken = self.body.take(fresh)?;
        let mut sifted = Sifted { whole: taken.whole, content: taken.content, ..Sifted::default() };
        if let Some(surplus) = fresh.get(taken.whole..).filter(|rest| !rest.is_empty()) {
            put_in_front(inbuf, surplus);
        }
        let section = fresh.get(taken.trailers_at..taken.whole).unwrap_or_default();
        let is_bare = self.section.is_empty() && section == b"\r\n";
        if section.is_empty() || is_bare && self.is_read() {
            buf.set_filled(before + taken.whole);
            return Ok(sifted);
        }
        self.section.extend_from_slice(section);
        buf.set_filled(before + taken.trailers_at);
        if self.is_read() {
            sifted.trailers = Some(lines::trailers(&std::mem::take(&mut self.section))?);
            put_in_front(inbuf, b"\r\n");
            self.cleared = 2;
        }
        Ok(sifted)
    }
}

fn put_in_front(inbuf: &mut BytesMut, bytes: &[u8]) {
    let rest = std::mem::take(inbuf);
    inbuf.reserve(bytes.len() + rest.len());
    inbuf.extend_from_slice(bytes);
    inbuf.extend_from_slice(&rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::head::Framing;

    /// What a reader with a buffer of `room` bytes gets of `text`, which comes in pieces of `step`.
    fn read(
        text: &[u8],
        step: usize,
        room: usize,
    ) -> Result<(Vec<u8>, HeaderMap, Vec<u8>), Denial> {
        let mut message = Message::new(0, Body::from(Framing::Chunked));
        let (mut inbuf, mut out, mut trailers) = (BytesMut::new(), Vec::new(), HeaderMap::new());
        let mut pieces = text.chunks(step.min(room));
        while !message.is_done() {
            let mut space = vec![0; room];
            let mut buf = ReadBuf::new(&mut space);
            if message.is_cleared() {
                message.hand_out(&mut inbuf, &mut buf);
            } else {
                let Some(piece) = pieces.next() else { break };
                buf.put_slice(piece);
                let sifted = message.sift(&mut inbuf, &mut buf, 0)?;
                trailers.extend(sifted.trailers.unwrap_or_default());
            }
            out.extend_from_slice(buf.filled());
        }
        Ok((out, trailers, inbuf.to_vec()))
    }

    #[test]
    fn trailers_are_kept_apart_and_nothing_else_changes_in_pieces_of_any_size() {
        let body = b"5\r\nhello\r\n0\r\n";
        for (section, fields) in [
            (&b""[..], &[][..]),
            (b"X-Sum: 5d\r\n", &[("x-sum", "5d")]),
            (b"X-Sum:5d \r\ny: \r\nX-Sum: 6\r\n", &[("x-sum", "5d"), ("x-sum", "6"), ("y", "")]),
        ] {
            let text = [body, section, b"\r\n"].concat();
            for step in 1..=text.len() {
                for room in 1..=step {
                    let (out, trailers, rest) = read(&text, step, room).unwrap();
                    assert_eq!(out, [&body[..], b"\r\n"].concat(), "steps of {step} in {room}");
                    let mut found: Vec<_> =
                        trailers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
                    found.sort_unstable();
                    assert_eq!(found, fields, "steps of {step} in {room}");
                    assert_eq!(rest, b"", "steps of {step} in {room}");
                }
            }
        }
    }

    #[test]
    fn what_lies_behind_a_message_is_left_for_the_next() {
        let text = b"0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n";
        let (out, _, rest) = read(text, text.len(), text.len()).unwrap();
        assert_eq!(out, b"0\r\n\r\n");
        assert_eq!(rest, b"GET / HTTP/1.1\r\n");
    }

    #[test]
    fn trailers_that_are_no_fields_are_refused() {
        for section in ["no colon", ": no name", "X Y: z", "X : y", "X: a\rb", "X: \u{7f}", "é: x"]
        {
            let text = format!("0\r\n{section}\r\n\r\n");
            assert!(read(text.as_bytes(), 3, 3).is_err(), "accepted {section:?}");
        }
    }
}

//! What a sandbox sends over WebSocket (RFC 6455 §5.2): unmasked for a look, and passed as it is.
//!
//! No placeholder is replaced in a message. One that is seen ends the connection; what came before
//! it in the same message may have passed. Compressed messages are not looked into.

use std::sync::Arc;

use sallygate_definitions::placeholder::{Misuse, Passed, Recogniser, Spelling, Stream};

/// The stream of frames of one connection.
#[derive(Debug)]
pub(in crate::request) struct Frames {
    recogniser: Arc<Recogniser>,
    /// The message that is under way, in one frame or more.
    message: Stream,
    is_compressed: bool,
    /// A control frame, which may come between two of them.
    control: Stream,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// So much of a frame's head has come.
    Head(Vec<u8>),
    Payload {
        left: u64,
        mask: [u8; 4],
        at: usize,
        is_control: bool,
    },
}

impl Frames {
    pub(super) fn new(recogniser: Arc<Recogniser>) -> Self {
        let (message, control) = (stream(&recogniser), stream(&recogniser));
        let stage = Stage::Head(Vec::new());
        Self { recogniser, message, is_compressed: false, control, stage }
    }

    pub(super) fn recogniser(&self) -> &Recogniser {
        &self.recogniser
    }

    /// Looks at the next bytes.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<(), Misuse> {
        let mut rest = bytes;
        while let Some((first, more)) = rest.split_first() {
            match &mut self.stage {
                Stage::Head(head) => {
                    head.push(*first);
                    rest = more;
                    if let Some(head) = Head::read(head) {
                        self.begin(&head);
                    }
                }
                Stage::Payload { left, mask, at, is_control } => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    let (piece, behind) = rest.split_at_checked(take).unwrap_or_default();
                    let phase = *at;
                    *left = left.saturating_sub(take as u64);
                    *at = (phase + take) % 4;
                    let (mask, is_control) = (*mask, *is_control);
                    if *left == 0 {
                        self.stage = Stage::Head(Vec::new());
                    }
                    self.unmasked(piece, (mask, phase), is_control)?;
                    rest = behind;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, head: &Head) {
        let is_control = head.opcode & 0x08 != 0;
        if is_control {
            self.control = stream(&self.recogniser);
        } else if head.opcode != 0 {
            // A frame of opcode 0 goes on with the message before it.
            self.message = stream(&self.recogniser);
            self.is_compressed = head.is_compressed;
        }
        self.stage = match head.length {
            0 => Stage::Head(Vec::new()),
            left => Stage::Payload { left, mask: head.mask, at: 0, is_control },
        };
    }

    fn unmasked(
        &mut self,
        piece: &[u8],
        (mask, phase): ([u8; 4], usize),
        is_control: bool,
    ) -> Result<(), Misuse> {
        if self.is_compressed && !is_control {
            return Ok(());
        }
        let keys = mask.into_iter().cycle().skip(phase);
        let clear: Vec<u8> = piece.iter().zip(keys).map(|(byte, key)| byte ^ key).collect();
        let stream = if is_control { &mut self.control } else { &mut self.message };
        match stream.push(&clear, false)? {
            Passed::AsItIs(_) | Passed::Instead(_) => Ok(()),
        }
    }
}

fn stream(recogniser: &Arc<Recogniser>) -> Stream {
    Stream::new(Arc::clone(recogniser), Vec::new(), Spelling::Any)
}

struct Head {
    opcode: u8,
    is_compressed: bool,
    length: u64,
    mask: [u8; 4],
}

impl Head {
    /// `None`: more of it is to come.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = bytes.get(2..2 + extended)?;
        let length = match extended {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let mask = match second & 0x80 {
            0 => [0; 4],
            _ => bytes.get(2 + extended..6 + extended)?.try_into().ok()?,
        };
        Some(Self { opcode: first & 0x0f, is_compressed: first & 0x40 != 0, length, mask })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sallygate_definitions::placeholder::{Known, Owner, PlaceholderKey, Shape, Whose};

    use super::*;

    fn recogniser() -> Arc<Recogniser> {
        let key = PlaceholderKey::from_bytes([3; 32]);
        let owner = Owner {
            organization: "o",
            sandbox: "s",
            connection: "c",
            secret_type: "api_key",
            slot: None,
        };
        let shape = Shape::parse("ghp_{alphanumeric:36}").unwrap();
        let known = Known::new(&key, &owner, &shape);
        Arc::new(Recogniser::new(vec![key], vec![known]))
    }

    fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..126 => bytes.push(0x80 | short as u8),
            long @ 126..65536 => {
                bytes.push(0x80 | 126);
                bytes.extend((long as u16).to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.into_iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    fn look(frames: &[Vec<u8>], piece: usize) -> Result<(), Misuse> {
        let mut looked = Frames::new(recogniser());
        frames.concat().chunks(piece).try_for_each(|bytes| looked.look(bytes))
    }

    proptest! {
        #[test]
        fn a_placeholder_is_seen_however_a_message_is_cut(
            before in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0..40usize,
            mask in any::<[u8; 4]>(),
            piece in 1..50usize,
        ) {
            let own = recogniser().own()[0].text().to_vec();
            let (first, second) = own.split_at(cut);
            let start = [&before[..], first].concat();
            let ping = frame(0x89, b"ping", mask);
            let message = [frame(0x01, &start, mask), ping, frame(0x80, second, [9, 8, 7, 6])];
            prop_assert_eq!(look(&message, piece), Err(Misuse(Whose::Own(0))));
            // Another message is another one.
            let apart = [frame(0x81, first, mask), frame(0x81, second, mask)];
            let expected = if cut > 4 { Ok(()) } else { Err(Misuse(Whose::Own(0))) };
            prop_assert_eq!(look(&apart, piece), expected);
        }

        #[test]
        fn any_bytes_are_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Frames::new(recogniser()).look(&bytes);
        }
    }

    #[test]
    fn compressed_messages_pass() {
        let own = recogniser().own()[0].text().to_vec();
        assert_eq!(look(&[frame(0xc1, &own, [1, 2, 3, 4])], 7), Ok(()));
        let (first, second) = own.split_at(9);
        let cut =
            [frame(0x41, first, [1; 4]), frame(0x00, &own, [2; 4]), frame(0x80, second, [3; 4])];
        assert_eq!(look(&cut, 7), Ok(()));
        for first in [0x81, 0x82, 0x88, 0x89] {
            assert!(look(&[frame(first, &own, [0; 4])], 7).is_err(), "{first}");
        }
    }
}

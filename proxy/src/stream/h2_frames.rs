//! Counts the HTTP/2 frames that make work without carrying anything for the application, and looks
//! at the field blocks of requests.
//!
//! The h2 crate answers SETTINGS and PING without limit, so a client could keep a core busy from
//! one connection. The meter looks only at frame headers (RFC 9113 §4.1) as they pass, and leaves
//! what is in a field block to [`PathWatch`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::h2_path::PathWatch;

const PREFACE_BYTES: u32 = 24;
const WINDOW: Duration = Duration::from_secs(10);
/// WINDOW_UPDATE comes with every few kilobytes of a healthy download.
const WINDOW_UPDATES_PER_CONTROL_FRAME: u64 = 200;
/// A request with more bytes in its field block is taken before more is read. A field of one byte can
/// stand for a hundred in memory, so there must not be many of them there at a time.
const BLOCK_BYTES_SMALL: u64 = 1024;
/// Requests with a fragment that nobody has asked for: the library above refused them.
const FRAGMENTS_MAX: usize = 1000;

/// What the wire tells whoever serves the connection above it, past the HTTP/2 library between.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    flooded: Notify,
    opened: AtomicU64,
    /// Requests whose path has a fragment.
    fragments: Mutex<Vec<u32>>,
}

impl Signals {
    /// Returns when the client has sent more control frames than it may.
    pub(crate) async fn flooded(&self) {
        self.flooded.notified().await;
    }

    /// Requests whose first frame came, whatever became of them.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Whether the path of this request has a fragment. Requests are asked about in their order.
    pub(crate) fn has_fragment(&self, stream: u32) -> bool {
        let mut fragments = self.fragments.lock().unwrap_or_else(PoisonError::into_inner);
        let found = fragments.contains(&stream);
        fragments.retain(|later| *later > stream);
        found
    }

    pub(super) fn raise(&self) {
        self.flooded.notify_one();
    }

    pub(super) fn set_opened(&self, opened: u64) {
        self.opened.store(opened, Ordering::Relaxed);
    }

    /// Whether there was room for one more.
    pub(super) fn add_fragment(&self, stream: u32) -> bool {
        let mut fragments = self.fragments.lock().unwrap_or_else(PoisonError::into_inner);
        fragments.push(stream);
        fragments.len() <= FRAGMENTS_MAX
    }
}

/// Follows frame boundaries and counts per window of time.
#[derive(Debug)]
pub(crate) struct FrameMeter {
    header: [u8; 9],
    have: usize,
    skip: u32,
    control_frames: u64,
    window_updates: u64,
    window_began: Option<Instant>,
    max: u64,
    opened: u64,
    last_stream: u32,
    /// The present frame is a part of a field block.
    part: Option<BlockPart>,
    path: PathWatch,
    block_bytes: u64,
    is_pausing: bool,
}

/// A part of a field block: what stands around it in its frame (RFC 9113 §6.2).
#[derive(Clone, Copy, Debug)]
struct BlockPart {
    stream: u32,
    is_padding_due: bool,
    padding: u32,
    priority: usize,
    is_last: bool,
}

/// What a meter has seen in some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How many of the bytes may be handed out now.
    pub(crate) taken: usize,
    /// The request whose path has a fragment, when the last one of these bytes has.
    pub(crate) fragment: Option<u32>,
    /// More frames came than may.
    pub(crate) is_flood: bool,
}

impl FrameMeter {
    pub(crate) fn new(max: u64) -> Self {
        Self {
            header: [0; 9],
            have: 0,
            skip: PREFACE_BYTES,
            control_frames: 0,
            window_updates: 0,
            window_began: None,
            max,
            opened: 0,
            last_stream: 0,
            part: None,
            path: PathWatch::default(),
            block_bytes: 0,
            is_pausing: false,
        }
    }

    /// Streams that the client opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Whether a pause was due; it is over then.
    pub(crate) fn resume(&mut self) -> bool {
        std::mem::take(&mut self.is_pausing)
    }

    /// Takes bytes as they were read, up to the end of a request that must be looked at before the
    /// next one is read.
    pub(crate) fn take(&mut self, bytes: &[u8], now: impl Fn() -> Instant) -> Seen {
        let mut rest = bytes;
        let mut fragment = None;
        while !rest.is_empty() && !self.is_pausing && fragment.is_none() {
            rest = match self.skip {
                0 => self.read_header(rest, &now),
                _ => self.read_payload(rest),
            };
            if self.skip == 0 && self.have == 0 {
                fragment = self.end_part();
            }
        }
        let is_within = self.control_frames <= self.max
            && self.window_updates <= self.max.saturating_mul(WINDOW_UPDATES_PER_CONTROL_FRAME);
        Seen { taken: bytes.len() - rest.len(), fragment, is_flood: !is_within }
    }

    /// Reads of a frame behind its header what is there of it.
    fn read_payload<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let length = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        let (payload, rest) = bytes.split_at(length);
        self.skip -= u32::try_from(length).unwrap_or(self.skip);
        self.look_into(payload);
        rest
    }

    /// Reads of a frame header what is there of it.
    fn read_header<'a>(&mut self, bytes: &'a [u8], now: &impl Fn() -> Instant) -> &'a [u8] {
        let wanted = (self.header.len() - self.have).min(bytes.len());
        let (piece, rest) = bytes.split_at(wanted);
        if let Some(slot) = self.header.get_mut(self.have..self.have + wanted) {
            slot.copy_from_slice(piece);
        }
        self.have += wanted;
        if self.have == self.header.len() {
            self.begin(now);
        }
        rest
    }

    /// Asks for the time only for a frame that is counted.
    fn begin(&mut self, now: impl Fn() -> Instant) {
        let [a, b, c, kind, flags, s, t, u, v] = self.header;
        let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
        self.skip = u32::from_be_bytes([0, a, b, c]);
        self.have = 0;
        match kind {
            0x0 if self.skip > 0 => return,
            0x1 | 0x9 => self.part = Some(BlockPart::new(kind, flags, stream)),
            _ => {}
        }
        if kind == 0x1 {
            return self.open(stream);
        }
        let now = now();
        let began = *self.window_began.get_or_insert(now);
        if now.duration_since(began) > WINDOW {
            (self.control_frames, self.window_updates) = (0, 0);
            self.window_began = Some(now);
        }
        match kind {
            0x8 => self.window_updates += 1,
            _ => self.control_frames += 1,
        }
    }

    /// HEADERS of a stream that is known already are trailers.
    fn open(&mut self, stream: u32) {
        if stream > self.last_stream {
            self.last_stream = stream;
            self.opened += 1;
        }
    }

    /// Has the fields among the bytes of a frame looked at.
    fn look_into(&mut self, payload: &[u8]) {
        let Some(part) = &mut self.part else { return };
        let fields = part.fields(payload, self.skip);
        self.block_bytes += fields.len() as u64;
        self.path.take(fields);
    }

    /// Behind a frame: the request that ends with it, when its path has a fragment.
    fn end_part(&mut self) -> Option<u32> {
        let part = self.part.take().filter(|part| part.is_last)?;
        self.is_pausing = std::mem::take(&mut self.block_bytes) > BLOCK_BYTES_SMALL;
        self.path.end().then_some(part.stream)
    }
}

impl BlockPart {
    fn new(kind: u8, flags: u8, stream: u32) -> Self {
        let is_first = kind == 0x1;
        Self {
            stream,
            is_padding_due: is_first && flags & 0x8 != 0,
            padding: 0,
            priority: if is_first && flags & 0x20 != 0 { 5 } else { 0 },
            is_last: flags & 0x4 != 0,
        }
    }

    /// The fields among the next bytes of the frame, of which `left` more are to come.
    fn fields<'a>(&mut self, mut payload: &'a [u8], left: u32) -> &'a [u8] {
        if self.is_padding_due
            && let Some((length, rest)) = payload.split_first()
        {
            self.is_padding_due = false;
            self.padding = u32::from(*length);
            payload = rest;
        }
        let skipped = self.priority.min(payload.len());
        self.priority -= skipped;
        let fields = payload.get(skipped..).unwrap_or_default();
        let padding = usize::try_from(self.padding.saturating_sub(left)).unwrap_or(usize::MAX);
        fields.get(..fields.len().saturating_sub(padding)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 0];
        bytes.extend(std::iter::repeat_n(0u8, payload));
        bytes
    }

    #[test]
    fn a_flood_of_any_empty_frame_ends_the_connection() {
        for (kind, payload) in [(0x0, 0), (0x2, 5), (0x3, 4), (0x4, 0), (0x6, 8), (0x9, 1)] {
            let mut meter = FrameMeter::new(100);
            let mut bytes = vec![0; 24];
            bytes.extend((0..101).flat_map(|_| frame(kind, payload)));
            assert!(meter.take(&bytes, clock::now).is_flood, "kind {kind}");
        }
    }

    #[test]
    fn a_stream_is_opened_once_however_many_field_blocks_it_has() {
        let mut meter = FrameMeter::new(100);
        let mut bytes = vec![0; 24];
        for stream in [1, 1, 3, 9, 3] {
            let mut headers = frame(0x1, 4);
            headers[8] = stream;
            bytes.extend(headers);
        }
        assert!(!meter.take(&bytes, clock::now).is_flood);
        assert_eq!(meter.opened(), 3);
    }

    #[test]
    fn requests_and_data_are_not_counted() {
        let mut meter = FrameMeter::new(100);
        let mut bytes = vec![0; 24];
        bytes.extend((0..5000).flat_map(|_| [frame(0x1, 20), frame(0x0, 100)].concat()));
        assert!(!meter.take(&bytes, clock::now).is_flood);
    }

    #[test]
    fn a_new_window_forgives_and_pieces_of_any_size_count_alike() {
        let start = clock::now();
        let mut meter = FrameMeter::new(100);
        let mut bytes = vec![0; 24];
        bytes.extend((0..90).flat_map(|_| frame(0x6, 8)));
        for piece in bytes.chunks(7) {
            assert!(!meter.take(piece, || start).is_flood);
        }
        let later = start + Duration::from_secs(11);
        let more: Vec<u8> = (0..90).flat_map(|_| frame(0x6, 8)).collect();
        assert!(!meter.take(&more, || later).is_flood);
    }

    /// A frame of field block bytes with these flags.
    fn block(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// The requests with a fragment among these frames, in pieces of any size.
    #[track_caller]
    fn check_fragments(frames: &[Vec<u8>], expected: &[u32]) {
        let bytes = [vec![0; 24], frames.concat()].concat();
        for step in 1..=bytes.len() {
            let (mut meter, mut found) = (FrameMeter::new(100), Vec::new());
            for mut piece in bytes.chunks(step) {
                while !piece.is_empty() {
                    let seen = meter.take(piece, clock::now);
                    piece = &piece[seen.taken..];
                    found.extend(seen.fragment);
                }
            }
            assert_eq!(found, expected, "pieces of {step}");
        }
    }

    #[test]
    fn a_fragment_is_that_of_its_request_whatever_stands_around_it() {
        let path = &b"\x04\x04/a#b"[..];
        let (first, second) = path.split_at(3);
        check_fragments(&[block(1, 4, 1, path), block(1, 4, 3, b"\x84")], &[1]);
        check_fragments(&[block(1, 4, 1, b"\x84"), block(1, 5, 3, path)], &[3]);
        check_fragments(&[block(1, 0, 5, first), block(9, 4, 5, second)], &[5]);
        check_fragments(&[block(1, 0, 5, path), block(9, 4, 5, b"")], &[5]);
        check_fragments(
            &[block(1, 0x2c, 1, &[b"\x02pppp", &b"p"[..], path, b"##"].concat())],
            &[1],
        );
        check_fragments(&[block(1, 0x0c, 1, b"\x04\x04\x02/a#b##"), block(0, 0, 1, b"#")], &[]);
        check_fragments(&[block(1, 4, 1, b"\x44\x02/#"), block(1, 4, 3, b"\xbe")], &[1, 3]);
    }

    #[test]
    fn large_heads_are_read_one_by_one() {
        let small = block(1, 4, 1, &[0x84; 200]);
        let more = block(9, 0, 3, &[0x84; 200]);
        let large =
            [block(1, 0, 3, &[0x84; 200]), more.repeat(4), block(9, 4, 3, &[0x84; 200])].concat();
        let bytes = [vec![0; 24], small.repeat(42), large.repeat(2)].concat();
        let mut meter = FrameMeter::new(100);
        let taken = meter.take(&bytes, clock::now).taken;
        assert_eq!(taken, bytes.len() - large.len(), "read on behind a large head");
        assert_eq!(meter.take(&bytes[taken..], clock::now).taken, 0, "read without a pause");
        assert!(meter.resume() && !meter.resume());
        assert_eq!(meter.take(&bytes[taken..], clock::now).taken, large.len());
        assert!(meter.resume(), "the last one is a large head too");
    }
}

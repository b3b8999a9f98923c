//! Counts the HTTP/2 frames that make work without carrying anything for the application.
//!
//! The h2 crate answers SETTINGS and PING without limit, so a client could keep a core busy from
//! one connection. The meter looks only at frame headers (RFC 9113 §4.1) as they pass.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

const PREFACE_BYTES: u32 = 24;
const WINDOW: Duration = Duration::from_secs(10);
/// WINDOW_UPDATE comes with every few kilobytes of a healthy download.
const WINDOW_UPDATES_PER_CONTROL_FRAME: u64 = 200;

/// What the wire tells whoever serves the connection above it, past the HTTP/2 library between.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    flooded: Notify,
    opened: AtomicU64,
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

    pub(super) fn raise(&self) {
        self.flooded.notify_one();
    }

    pub(super) fn set_opened(&self, opened: u64) {
        self.opened.store(opened, Ordering::Relaxed);
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
        }
    }

    /// Streams that the client opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Takes bytes as they were read; `false` when the connection must end.
    pub(crate) fn take(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            self.skip -= skipped;
            bytes = bytes.get(skipped as usize..).unwrap_or_default();
            let wanted = (self.header.len() - self.have).min(bytes.len());
            let (piece, rest) = bytes.split_at(wanted);
            if let Some(slot) = self.header.get_mut(self.have..self.have + wanted) {
                slot.copy_from_slice(piece);
            }
            self.have += wanted;
            bytes = rest;
            if self.have == self.header.len() {
                self.count(&now);
            }
        }
        self.control_frames <= self.max
            && self.window_updates <= self.max.saturating_mul(WINDOW_UPDATES_PER_CONTROL_FRAME)
    }

    /// Asks for the time only for a frame that is counted.
    fn count(&mut self, now: impl Fn() -> Instant) {
        let [a, b, c, kind, _, s, t, u, v] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]);
        self.have = 0;
        match kind {
            0x0 if self.skip > 0 => return,
            0x1 => return self.open(u32::from_be_bytes([s & 0x7f, t, u, v])),
            _ => {}
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
            assert!(!meter.take(&bytes, clock::now), "kind {kind}");
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
        assert!(meter.take(&bytes, clock::now));
        assert_eq!(meter.opened(), 3);
    }

    #[test]
    fn requests_and_data_are_not_counted() {
        let mut meter = FrameMeter::new(100);
        let mut bytes = vec![0; 24];
        bytes.extend((0..5000).flat_map(|_| [frame(0x1, 20), frame(0x0, 100)].concat()));
        assert!(meter.take(&bytes, clock::now));
    }

    #[test]
    fn a_new_window_forgives_and_pieces_of_any_size_count_alike() {
        let start = clock::now();
        let mut meter = FrameMeter::new(100);
        let mut bytes = vec![0; 24];
        bytes.extend((0..90).flat_map(|_| frame(0x6, 8)));
        for piece in bytes.chunks(7) {
            assert!(meter.take(piece, || start));
        }
        let later = start + Duration::from_secs(11);
        let more: Vec<u8> = (0..90).flat_map(|_| frame(0x6, 8)).collect();
        assert!(meter.take(&more, || later));
    }
}

//! Buffers of a thread, for what begins and ends within one poll.

use std::cell::RefCell;
use std::io::IoSlice;

/// A record at its largest is 16 645 bytes (RFC 8446 §5.2), and more than one may have come.
const INPUT_BYTES: usize = 32 * 1024;
/// A record, and what the protocol may put in front of it.
const OUTPUT_BYTES: usize = 20 * 1024;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; INPUT_BYTES]);
    static OUTPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; OUTPUT_BYTES]);
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// For what a socket gives.
pub(super) fn with_input<T>(act: impl FnOnce(&mut [u8]) -> T) -> T {
    lent(&INPUT, INPUT_BYTES, act)
}

/// For what a socket takes.
pub(super) fn with_output<T>(act: impl FnOnce(&mut [u8]) -> T) -> T {
    lent(&OUTPUT, OUTPUT_BYTES, act)
}

/// The first `limit` bytes of `bufs` in one piece.
pub(super) fn with_gathered<T>(
    bufs: &[IoSlice<'_>],
    limit: usize,
    act: impl FnOnce(&[u8]) -> T,
) -> T {
    let gather = |gathered: &mut Vec<u8>| {
        gathered.clear();
        for buf in bufs {
            let room = limit - gathered.len();
            gathered.extend_from_slice(buf.get(..buf.len().min(room)).unwrap_or_default());
        }
    };
    GATHERED.with(|slot| match slot.try_borrow_mut() {
        Ok(mut gathered) => {
            gather(&mut gathered);
            act(&gathered)
        }
        Err(_) => {
            let mut gathered = Vec::new();
            gather(&mut gathered);
            act(&gathered)
        }
    })
}

/// Whoever is asked while the buffer is lent gets one of its own.
fn lent<T>(
    slot: &'static std::thread::LocalKey<RefCell<Vec<u8>>>,
    size: usize,
    act: impl FnOnce(&mut [u8]) -> T,
) -> T {
    slot.with(|slot| match slot.try_borrow_mut() {
        Ok(mut buffer) => act(&mut buffer),
        Err(_) => act(&mut vec![0; size]),
    })
}

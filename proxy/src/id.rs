//! Identifiers of exchanges: time-ordered, unguessable, short enough to read aloud.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 48 bits of milliseconds and 80 random bits, printed in Crockford base32 (26 characters).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangeId(u128);

impl ExchangeId {
    /// A new identifier for an exchange that begins now.
    pub fn new() -> Self {
        Self::at(clock::wall())
    }

    /// A new identifier for an exchange that began at this time.
    ///
    /// The random part is a keyed hash of a counter: never the same twice in a process, not to be
    /// guessed from outside, and without asking the system for randomness with every request.
    pub(crate) fn at(wall: Duration) -> Self {
        static KEYS: LazyLock<[RandomState; 2]> =
            LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let [high, low] = &*KEYS;
        let noise = (u128::from(high.hash_one(n)) << 64) | u128::from(low.hash_one(n));
        let ms = wall.as_millis() & ((1 << 48) - 1);
        Self((ms << 80) | (noise >> 48))
    }
}

impl Default for ExchangeId {
    fn default() -> Self {
        Self::new()
    }
}

/// An identifier as text, without an allocation.
#[derive(Clone, Copy)]
pub(crate) struct IdText([u8; 30]);

impl IdText {
    /// `dec_` and the identifier: how people name the decision.
    pub(crate) fn decision(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bare identifier.
    pub(crate) fn id(&self) -> &str {
        self.decision().strip_prefix("dec_").unwrap_or_default()
    }
}

impl ExchangeId {
    pub(crate) fn text(self) -> IdText {
        let mut text = *b"dec_00000000000000000000000000";
        let mut rest = self.0;
        for slot in text.iter_mut().skip(4).rev() {
            let digit = usize::try_from(rest & 31).unwrap_or(0);
            *slot = CROCKFORD.get(digit).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        IdText(text)
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().id())
    }
}

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

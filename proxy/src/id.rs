//! Identifiers of exchanges: time-ordered, unguessable, short enough to read aloud.

use std::fmt;

use aws_lc_rs::rand;

use crate::clock;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 48 bits of milliseconds and 80 random bits, printed in Crockford base32 (26 characters).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangeId(u128);

impl ExchangeId {
    /// A new identifier for an exchange that begins now.
    pub fn new() -> Self {
        let mut noise = [0u8; 16];
        // The only failure is a broken system generator; the time still orders the records.
        let _ = rand::fill(&mut noise);
        let ms = clock::wall().as_millis() & ((1 << 48) - 1);
        Self((ms << 80) | (u128::from_be_bytes(noise) >> 48))
    }
}

impl Default for ExchangeId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for shift in (0..26).rev() {
            let digit = (self.0 >> (shift * 5)) & 31;
            let letter =
                CROCKFORD.get(usize::try_from(digit).unwrap_or(0)).copied().unwrap_or(b'0');
            f.write_char(char::from(letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
